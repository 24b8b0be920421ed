"""The configuration files of a node. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from tests.cluster.images import PAUSE
from tests.cluster.network import Addresses
from tests.cluster.packages import Packages

__all__ = ["NodeFiles", "NodeSpec", "containerd_config", "kubelet_config", "network_config"]

_PLUGINS_OFF: Final = ("snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.zfs", "snapshotter.v1.devmapper")


@attrs.frozen(kw_only=True)
class NodeSpec:
    """What a node is to be."""

    labels: Mapping[str, str] = {}
    gpus: Mapping[str, int] = {}
    """Devices that are not there, by resource: ``{"nvidia.com/gpu": 4, "nvidia.com/mig-1g.10gb": 7}``."""

    taints: tuple[str, ...] = ()
    """As ``KEY=VALUE:EFFECT``."""

    reserved: Mapping[str, str] = {}
    """What of the machine pods do not get, so that a node looks smaller: ``{"cpu": "1", "memory": "20Gi"}``."""


@attrs.frozen(kw_only=True)
class NodeFiles:
    """Where a node's things are: ``disk`` outlives the node's power, ``/run`` on the node does not."""

    disk: Path
    name: str
    cgroup: str

    @property
    def containerd_config(self) -> Path:
        """Containerd's configuration."""
        return self.disk / "containerd.toml"

    @property
    def kubelet_config(self) -> Path:
        """The kubelet's configuration."""
        return self.disk / "kubelet.json"

    @property
    def network_folder(self) -> Path:
        """The folder with the configuration of the pods' network."""
        return self.disk / "network"

    @property
    def runc(self) -> Path:
        """What containerd calls as runc."""
        return self.disk / "runc"

    @property
    def socket(self) -> Path:
        """Containerd's socket, on the node."""
        return Path("/run/containerd.sock")


def containerd_config(files: NodeFiles, packages: Packages) -> str:
    """Return containerd's configuration (version 2, of containerd 1.6 and 1.7)."""
    off = json.dumps([f"io.containerd.{name}" for name in _PLUGINS_OFF])
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{files.disk}/containerd"
state = "/run/containerd"
disabled_plugins = {off}
[grpc]
  address = "{files.socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "/run/containerd-opt"
[{cri}]
  sandbox_image = "{PAUSE}"
  # Lowering a score takes CAP_SYS_RESOURCE, without which runc dies of a broken pipe.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [{cri}.cni]
    bin_dir = "{packages.network_plugins}"
    conf_dir = "{files.network_folder}"
  [{cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        BinaryName = "{files.runc}"
        Root = "/run/runc"
        SystemdCgroup = false
"""


def network_config(files: NodeFiles, addresses: Addresses, index: int) -> str:
    """Return the configuration of the pods' network: each is wired to its node, which forwards."""
    addressing = {
        "type": "host-local",
        "dataDir": "/run/pod-addresses",
        "ranges": [[{"subnet": str(addresses.pods_of(index))}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addressing}
    return json.dumps({"cniVersion": "0.4.0", "name": files.name, "plugins": [plugin]}, indent=1)


def kubelet_config(
    files: NodeFiles, addresses: Addresses, index: int, *, spec: NodeSpec, authority: Path, serving: tuple[Path, Path]
) -> str:
    """Return the kubelet's configuration, with heartbeats quick enough for the control plane's short patience."""
    document = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(addresses.node(index)),
        "tlsCertFile": str(serving[0]),
        "tlsPrivateKeyFile": str(serving[1]),
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{files.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{files.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,  # as for containerd: lowering it is not ours
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": f"{files.disk}/volume-plugins",
        "resolvConf": f"{files.disk}/resolv.conf",
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "10s",
        "nodeLeaseDurationSeconds": 6,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # The machine is not the cluster's own: its disk may be nearly full for other reasons.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        "systemReserved": dict(spec.reserved),
        "registerWithTaints": [_taint(text) for text in spec.taints],
    }
    return json.dumps(document, indent=1)


def _taint(text: str) -> dict[str, str]:
    """Return a taint as the API has it.

    >>> _taint("nvidia.com/gpu=present:NoSchedule")
    {'key': 'nvidia.com/gpu', 'value': 'present', 'effect': 'NoSchedule'}
    """
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}
