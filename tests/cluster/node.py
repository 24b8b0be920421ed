"""A real node: containerd, kubelet and proxy on a machine of its own, which can lose its power, wire or voice."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from tests.cluster import control_groups, host_folders, node_files
from tests.cluster.api import when_answered
from tests.cluster.control_plane import PROXY, ControlPlane, proxy_flags
from tests.cluster.images import Image, images, write
from tests.cluster.machine import Machine, MachineError, Part
from tests.cluster.network import connect_node, port_of
from tests.cluster.node_files import NodeFiles, NodeSpec
from tests.cluster.waiting import PATIENCE_S, until

__all__ = ["CONTAINERD", "GPUS", "KUBELET", "Node", "is_ready"]

CONTAINERD: Final = "containerd"
KUBELET: Final = "kubelet"
GPUS: Final = "gpus"

_WANTED_BY_KUBELET: Final = {"vm/overcommit_memory": 1, "kernel/panic": 10, "kernel/panic_on_oops": 1}
"""Settings of the whole machine that the kubelet insists on: a node has files of its own in their place."""

Json = dict[str, Any]


def is_ready(node: Json) -> bool:
    """Whether a Node object says that it is ready."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@attrs.define(eq=False, kw_only=True)
class Node:
    """One node; its machine is another object each time that it is switched on."""

    name: str
    index: int
    spec: NodeSpec
    plane: ControlPlane
    files: NodeFiles
    parts: dict[str, Part] = attrs.field(factory=dict)
    _machine: Machine | None = None

    @property
    def machine(self) -> Machine:
        """The machine that it runs on; raises :class:`MachineError` while that is off."""
        if self._machine is None:
            raise MachineError(f"node {self.name} is off; power_on() switches it on")
        return self._machine

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return self._machine is not None

    def prepare(self) -> None:
        """Write its disk: configuration, certificates, images."""
        files, disk, addresses = self.files, self.files.disk, self.plane.addresses
        for folder in (disk, disk / "pki", disk / "images", disk / "lib", disk / "log", files.network_folder):
            folder.mkdir(parents=True)
        authority = disk / "pki" / "authority.crt"
        authority.write_bytes(self.plane.authority.certificate)
        own = self.plane.authority.issue(
            f"system:node:{self.name}",
            organizations=["system:nodes"],
            names=[self.name],
            addresses=[addresses.node(self.index)],
        ).write(disk / "pki", "serving")
        files.containerd_config.write_text(node_files.containerd_config(files, self.plane.packages))
        (files.network_folder / "10-pods.conflist").write_text(node_files.network_config(files, addresses, self.index))
        files.kubelet_config.write_text(
            node_files.kubelet_config(files, addresses, self.index, spec=self.spec, authority=authority, serving=own)
        )
        (disk / "resolv.conf").write_text("")
        files.runc.write_text(host_folders.script(self.plane.packages.runc, host_folders.folders()))
        files.runc.chmod(0o755)
        for image in images(self.plane.packages.busybox.read_bytes()):
            write(disk / "images", image)
        for name, value in _WANTED_BY_KUBELET.items():
            (disk / Path(name).name).write_text(f"{value}\n")

    def power_on(self) -> None:
        """Switch it on, with the disk as it was left; it joins in its own time (:meth:`wait_ready`)."""
        control_groups.make(self.files.cgroup)
        self._machine = machine = Machine.switch_on(self.name, owner=self.plane.addresses.device)
        self._mount()
        connect_node(self.plane.router, machine, self.plane.addresses, self.index)
        self._begin(CONTAINERD, [str(self.plane.packages.containerd), "--config", str(self.files.containerd_config)])
        until(self._containerd_answers, what=f"containerd on {self.name}")
        for path in sorted((self.files.disk / "images").iterdir()):
            self._ctr("images", "import", str(path))
        kubelet_user = self.plane.write_kubeconfig(self.name, f"system:node:{self.name}", ["system:nodes"])
        self._begin(KUBELET, self._kubelet(kubelet_user))
        proxy_user = self.plane.write_kubeconfig(f"{self.name}-proxy", f"system:{PROXY}")
        self._begin(PROXY, [str(self.plane.binary), PROXY, *proxy_flags(proxy_user, self.plane.addresses, self.name)])
        if self.spec.gpus:
            self._begin(GPUS, [str(self.plane.binary), GPUS, *(f"{kind}={n}" for kind, n in self.spec.gpus.items())])

    def power_off(self) -> None:
        """Cut its power: all on it is gone at once, nobody is told, and its disk stays."""
        if self._machine is not None:
            self._machine.switch_off()
            self._machine = None
            self.parts.clear()

    def cut_network(self) -> None:
        """Pull its wire: its pods go on, and nobody hears of it."""
        self.plane.router.network(f"link set {port_of(self.index)} down")

    def join_network(self) -> None:
        """Put its wire back."""
        self.plane.router.network(f"link set {port_of(self.index)} up")

    def fall_silent(self) -> None:
        """Freeze its kubelet: its pods go on and can be reached, but no heartbeat comes."""
        self.parts[KUBELET].freeze()

    def speak_again(self) -> None:
        """Let its kubelet go on."""
        self.parts[KUBELET].thaw()

    def heal(self) -> None:
        """Undo whatever was done to it, and wait until it is ready."""
        if not self.is_on:
            self.power_on()
        self.join_network()
        for part in self.parts.values():
            if not part.is_running:
                part.start()
            part.thaw()
        self.wait_ready()

    def wait_ready(self, within: float = PATIENCE_S) -> Json:
        """Return its Node object once the control plane says that it is ready; raise when a part of it has ended."""

        def ready() -> Json | None:
            for name in (CONTAINERD, KUBELET):
                self.parts[name].must_run()
            found = self.plane.api.find(f"/api/v1/nodes/{self.name}")
            return found if found is not None and is_ready(found) else None

        return until(when_answered(ready), within=within, every=0.1, what=f"node {self.name} to be ready")

    def wait_lost(self, within: float = PATIENCE_S) -> Json:
        """Return its Node object once the control plane says that it is not ready."""
        path = f"/api/v1/nodes/{self.name}"
        return self.plane.api.wait(path, lambda node: not is_ready(node), within=within)

    def load(self, image: Image) -> None:
        """Give it one more image."""
        self._ctr("images", "import", str(write(self.files.disk / "images", image)))

    def _mount(self) -> None:
        disk = self.files.disk
        commands = [
            f"mount --bind {disk}/lib /var/lib",
            f"mount --bind {disk}/log /var/log",
            "mount -t tmpfs -o mode=755 run /run",
            *(f"mount --bind {disk}/{Path(name).name} /proc/sys/{name}" for name in _WANTED_BY_KUBELET),
        ]
        self.machine.run("sh", "-e", stdin="\n".join(commands))

    def _begin(self, name: str, argv: Sequence[str]) -> None:
        log = self.plane.folder / "logs" / f"{self.name}.{name}.log"
        self.parts[name] = self.machine.start(name, argv, log=log, env={"PATH": self.plane.packages.path})

    def _ctr(self, *arguments: str) -> str:
        return self.machine.run(
            str(self.plane.packages.ctr), "--address", str(self.files.socket), "--namespace", "k8s.io", *arguments
        )

    def _containerd_answers(self) -> bool:
        self.parts[CONTAINERD].must_run()
        with contextlib.suppress(MachineError):
            self._ctr("version")
            return True
        return False

    def _kubelet(self, user: Path) -> list[str]:
        disk = self.files.disk
        labels = ",".join(f"{key}={value}" for key, value in self.spec.labels.items())
        return [
            *(str(self.plane.binary), KUBELET, f"--config={self.files.kubelet_config}", f"--kubeconfig={user}"),
            f"--hostname-override={self.name}",
            f"--node-ip={self.plane.addresses.node(self.index)}",
            f"--root-dir={disk}/kubelet",
            f"--cert-dir={disk}/pki",
            *([f"--node-labels={labels}"] if labels else []),
        ]
