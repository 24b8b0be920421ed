"""The control plane: etcd, API server, controller manager, scheduler and a proxy for Services, on the router."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import attrs
import urllib3

from tests.cluster.api import Api, ApiError
from tests.cluster.certificates import Authority, key_pair, kubeconfig
from tests.cluster.machine import Machine, Part
from tests.cluster.network import Addresses, connect_router
from tests.cluster.packages import Packages
from tests.cluster.waiting import PATIENCE_S, until

__all__ = ["API_SERVER", "CONTROLLERS", "ETCD", "PROXY", "SCHEDULER", "ControlPlane", "proxy_flags", "start"]

ETCD: Final = "etcd"
API_SERVER: Final = "kube-apiserver"
CONTROLLERS: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"
PROXY: Final = "kube-proxy"

NODE_LOST_AFTER_S: Final = 8
"""After how many seconds of silence a node is declared not ready; 50 by default."""

PORT: Final = 6443
ADMINS: Final = "system:masters"
_CLIENT: Final = "http://127.0.0.1:2379"
_PEER: Final = "http://127.0.0.1:2380"

Flags = Mapping[str, Sequence[str]]
"""Further flags for parts, by their names."""


@attrs.frozen(kw_only=True)
class ControlPlane:
    """A running control plane, and how to become somebody to it."""

    router: Machine
    addresses: Addresses
    authority: Authority
    folder: Path
    api: Api
    binary: Path
    packages: Packages
    flags: Flags
    parts: dict[str, Part] = attrs.field(factory=dict)

    @property
    def server(self) -> str:
        """Its URL."""
        return f"https://{self.addresses.router}:{PORT}"

    def kubeconfig_for(self, user: str, groups: Sequence[str] = (), *, namespace: str = "default") -> str:
        """Return a kubeconfig of a user with a certificate; what the user may do is RBAC's to say."""
        credentials = self.authority.issue(user, organizations=groups)
        return kubeconfig(self.server, self.authority.certificate, credentials=credentials, namespace=namespace)

    def write_kubeconfig(self, name: str, user: str, groups: Sequence[str] = ()) -> Path:
        """Write a user's kubeconfig beside the cluster's other files and return where it is."""
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(self.kubeconfig_for(user, groups))
        return path

    def begin(self, name: str, arguments: Sequence[str]) -> None:
        """Start a part, with the further flags for it."""
        argv = [str(self.binary), name, *arguments, *self.flags.get(name, ())]
        log = self.folder / "logs" / f"{name}.log"
        self.parts[name] = self.router.start(name, argv, log=log, env={"PATH": self.packages.path})

    def serve_services(self, node: str) -> None:
        """Make Services' addresses work for whoever is outside, as ``node`` would; it need not be there yet.

        They do not go through that node, and work on while it is off. But the proxy wants to be some node: it waits for
        half a minute for one that never comes, and ends when its node is deleted.
        """
        user = self.write_kubeconfig(PROXY, f"system:{PROXY}")
        if PROXY in self.parts and self.parts[PROXY].is_running:
            self.parts[PROXY].kill()
        self.begin(PROXY, proxy_flags(user, self.addresses, node))

    def wait_ready(self, within: float = PATIENCE_S) -> None:
        """Wait until the API server says that it is ready; raise when it, or etcd, has ended."""

        def ready() -> bool:
            for name in (ETCD, API_SERVER):
                self.parts[name].must_run()
            try:
                self.api.text("/readyz")
            except (ApiError, urllib3.exceptions.HTTPError):
                return False
            return True

        until(ready, within=within, every=0.05, what="the API server to be ready")


def start(
    *, binary: Path, packages: Packages, router: Machine, addresses: Addresses, folder: Path, flags: Flags
) -> ControlPlane:
    """Start a control plane on a router that is on and bare; it is ready when this returns."""
    connect_router(router, addresses)
    authority = Authority.create("test cluster", dt.datetime.now(dt.UTC))
    admin = authority.issue("admin", organizations=[ADMINS])
    (folder / "logs").mkdir()
    (folder / "pki").mkdir()
    server = f"https://{addresses.router}:{PORT}"
    api = Api.connect(server, authority.certificate, folder / "pki", credentials=admin)
    plane = ControlPlane(
        router=router,
        addresses=addresses,
        authority=authority,
        folder=folder,
        api=api,
        binary=binary,
        packages=packages,
        flags=flags,
    )
    (folder / "admin.kubeconfig").touch(mode=0o600)
    (folder / "admin.kubeconfig").write_text(kubeconfig(server, authority.certificate, credentials=admin))

    signing, verifying = key_pair(folder / "pki", "tokens")
    plane.begin(ETCD, _etcd(folder))
    plane.begin(API_SERVER, _api_server(plane, signing, verifying))
    users = {name: plane.write_kubeconfig(name, f"system:{name}") for name in (SCHEDULER, PROXY)}
    # All controllers are one user here, without an account for each: it has to be allowed what all of them do.
    users[CONTROLLERS] = plane.write_kubeconfig(CONTROLLERS, f"system:{CONTROLLERS}", [ADMINS])
    plane.wait_ready()
    plane.begin(CONTROLLERS, _controllers(users[CONTROLLERS], folder, signing))
    plane.begin(SCHEDULER, ["--leader-elect=false", f"--kubeconfig={users[SCHEDULER]}", "--bind-address=127.0.0.1"])
    api.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _PROXIES)
    return plane


_PROXIES: Final = {
    "metadata": {"name": "test:proxies"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": f"system:{PROXY}"}],
}


def _etcd(folder: Path) -> list[str]:
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={_CLIENT}",
        f"--advertise-client-urls={_CLIENT}",
        f"--listen-peer-urls={_PEER}",
        f"--initial-advertise-peer-urls={_PEER}",
        f"--initial-cluster=default={_PEER}",
        "--unsafe-no-fsync",  # what a power cut would lose is a test's
        "--log-level=warn",
    ]


def _api_server(plane: ControlPlane, signing: Path, verifying: Path) -> list[str]:
    addresses, folder = plane.addresses, plane.folder / "pki"
    authority = folder / "authority.crt"
    authority.write_bytes(plane.authority.certificate)
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    # The loopback's, too: there, on this side, a test puts a proxy between.
    own = [addresses.router, addresses.services[1], IPv4Address("127.0.0.1")]
    serving = plane.authority.issue("kube-apiserver", names=names, addresses=own).write(folder, "serving")
    to_kubelet = plane.authority.issue("kube-apiserver", organizations=[ADMINS]).write(folder, "to-kubelet")
    return [
        f"--etcd-servers={_CLIENT}",
        f"--bind-address={addresses.router}",
        f"--secure-port={PORT}",
        f"--tls-cert-file={serving[0]}",
        f"--tls-private-key-file={serving[1]}",
        f"--client-ca-file={authority}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={verifying}",
        f"--service-account-signing-key-file={signing}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={addresses.services}",
        "--allow-privileged=true",
        f"--kubelet-certificate-authority={authority}",
        f"--kubelet-client-certificate={to_kubelet[0]}",
        f"--kubelet-client-key={to_kubelet[1]}",
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _controllers(user: Path, folder: Path, signing: Path) -> list[str]:
    authority = folder / "pki" / "authority.crt"
    return [
        f"--kubeconfig={user}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--service-account-private-key-file={signing}",
        f"--root-ca-file={authority}",
        # With a service account for each controller, the first namespace has its own only after 10 seconds more.
        "--use-service-account-credentials=false",
        f"--node-monitor-grace-period={NODE_LOST_AFTER_S}s",
        "--node-monitor-period=1s",
    ]


def proxy_flags(user: Path, addresses: Addresses, machine: str) -> list[str]:
    """Return the flags of the part that makes Services' addresses work on a machine."""
    return [
        f"--kubeconfig={user}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={addresses.pods}",
        f"--hostname-override={machine}",
        "--conntrack-max-per-core=0",  # a limit of the whole machine's
        "--healthz-bind-address=127.0.0.1",
        "--metrics-bind-address=127.0.0.1",
    ]
