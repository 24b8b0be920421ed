"""A cluster as a test sees it: one that is started here, to the last process, or one that is there already."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest
import urllib3

from tests.cluster import binary, control_groups, control_plane, network, packages
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane, Flags
from tests.cluster.machine import Machine, Part, left_behind
from tests.cluster.network import MOST_NODES, Addresses
from tests.cluster.node import Node
from tests.cluster.node_files import NodeFiles, NodeSpec
from tests.cluster.places import run_folder
from tests.cluster.waiting import PATIENCE_S, until

__all__ = ["Cluster", "NotPrepared", "kubectl_proxy", "sweep"]

_ANY_NODE: Final = NodeSpec()


class NotPrepared(Exception):
    """The components were not built, or the packages not fetched."""


@attrs.define(eq=False, kw_only=True)
class Cluster:
    """A cluster that answers.

    ``plane``, and with it :meth:`part` and :meth:`node`, is there only where it was started here: a test that asks for
    them on somebody else's cluster is skipped, for those are not for us to break.
    """

    kubeconfig: Path
    api: Api
    nodes: dict[str, Node] = attrs.field(factory=dict)
    _plane: ControlPlane | None = None
    _claim: socket.socket | None = None

    # ---- starting and stopping ----

    @classmethod
    def start(cls, *, flags: Flags | None = None) -> Cluster:
        """Start a control plane without nodes, in about 4 s; further flags for its parts are given by their names.

        What earlier runs left behind that were killed is swept first. Raises :class:`NotPrepared`.
        """
        built, unpacked = binary.built(), packages.fetched()
        if built is None or unpacked is None:
            raise NotPrepared("the components are not there; python -m tests.cluster build makes them")
        sweep()
        addresses, claim = _claimed()
        folder = run_folder(addresses.number)
        folder.mkdir(parents=True)
        try:
            router = Machine.switch_on("router", owner=addresses.device)
            plane = control_plane.start(
                binary=built, packages=unpacked, router=router, addresses=addresses, folder=folder, flags=flags or {}
            )
        except BaseException:
            _take_away(addresses)
            claim.close()
            raise
        return cls(kubeconfig=folder / "admin.kubeconfig", api=plane.api, plane=plane, claim=claim)

    @classmethod
    def existing(cls, kubeconfig: Path, api: Api) -> Cluster:
        """Return a cluster that is there already."""
        return cls(kubeconfig=kubeconfig, api=api)

    def add_node(self, name: str = "", spec: NodeSpec = _ANY_NODE, *, wait: bool = True) -> Node:
        """Start a real node, in about 3 s; ``wait=False`` returns before it is ready."""
        plane = self.plane
        taken = {node.index for node in self.nodes.values()}
        index = next(free for free in range(1, MOST_NODES + 1) if free not in taken)
        name = name or f"node-{index}"
        files = NodeFiles(disk=plane.folder / name, name=name, cgroup=f"{_cgroup(plane.addresses)}/{name}")
        node = Node(name=name, index=index, spec=spec, plane=plane, files=files)
        if not self.nodes:
            plane.serve_services(name)
        self.nodes[name] = node
        node.prepare()
        node.power_on()
        if wait:
            node.wait_ready()
        return node

    def remove_node(self, name: str) -> None:
        """Switch a node off for good, and let the cluster forget it and its pods."""
        node = self.nodes.pop(name)
        if self.nodes:
            self.plane.serve_services(next(iter(self.nodes)))
        node.power_off()
        control_groups.remove(node.files.cgroup)
        shutil.rmtree(node.files.disk)
        self.api.delete(f"/api/v1/nodes/{name}", missing_ok=True)
        pods = self.api.get("/api/v1/pods", fieldSelector=f"spec.nodeName={name}")["items"]
        for pod in pods:
            place = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            self.api.delete(place, missing_ok=True, gracePeriodSeconds=0)

    def stop(self) -> None:
        """End every process, and take away every interface, control group and file of it."""
        self.api.close()
        if self._plane is None or self._claim is None:
            return
        for node in self.nodes.values():
            node.power_off()
        self._plane.router.switch_off()
        _take_away(self._plane.addresses)
        self._claim.close()

    # ---- using it ----

    @property
    def is_ours(self) -> bool:
        """Whether it was started here, and may be broken."""
        return self._plane is not None

    @property
    def plane(self) -> ControlPlane:
        """Its control plane; skips the test where it is somebody else's."""
        if self._plane is None:
            pytest.skip("this cluster was there before: it is not ours to change or break")
        return self._plane

    def part(self, name: str) -> Part:
        """Return a process of the control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler."""
        return self.plane.parts[name]

    def node(self, name: str) -> Node:
        """Return one of our own nodes."""
        assert self.plane is not None
        return self.nodes[name]

    def wait_ready(self) -> None:
        """Wait until a namespace's own account is there: only then a pod can be created."""
        self.api.wait("/api/v1/namespaces/default/serviceaccounts/default", bool, every=0.05)

    def heal(self) -> None:
        """Undo what was done to its parts and nodes, and wait until all of them work."""
        for part in self.plane.parts.values():
            if not part.is_running:
                part.start()
            part.thaw()
        self.plane.wait_ready()
        for node in self.nodes.values():
            node.heal()

    @contextlib.contextmanager
    def namespace(self, prefix: str = "test", labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """Make a namespace for the time of a block, and yield its name; its end is not waited for.

        It begins once the API server answers, so that a fixture of many tests is not lost to a moment of silence.
        """
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.api.wait_ready()
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": dict(labels or {})}})
        try:
            self.api.wait(f"/api/v1/namespaces/{name}/serviceaccounts/default", bool, every=0.02)
            yield name
        finally:
            # What makes pods goes first, and the pods at once: whoever serves next needs the processors.
            for kind in ("deployments", "replicasets"):
                self.api.delete(f"/apis/apps/v1/namespaces/{name}/{kind}", propagationPolicy="Background")
            self.api.delete(f"/api/v1/namespaces/{name}/pods", gracePeriodSeconds=1)
            self.api.delete(f"/api/v1/namespaces/{name}")

    def kubectl(self, *arguments: str, stdin: str = "", within: float = PATIENCE_S) -> str:
        """Return what kubectl, as administrator, prints."""
        done = self.ran(*arguments, stdin=stdin, within=within)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def ran(self, *arguments: str, stdin: str = "", within: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator, and return how it ended; with a program in a pod, it ends as that does."""
        return subprocess.run(
            [*_kubectl(), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )


def _kubectl() -> list[str]:
    built = binary.built()
    return ["kubectl"] if built is None else [str(built), "kubectl"]


@contextlib.contextmanager
def kubectl_proxy(kubeconfig: Path) -> Iterator[Api]:
    """Yield the API of a cluster that is there already, through kubectl, which knows every way to log in."""
    argv = _kubectl()
    process = subprocess.Popen(
        [*argv, "--kubeconfig", str(kubeconfig), "proxy", "--port=0", "--accept-hosts=^127.0.0.1$"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        # The last word of what it says first is where it listens.
        address = process.stdout.readline().split()[-1:]
        if not address:
            raise RuntimeError(f"kubectl cannot use {kubeconfig}; try: kubectl --kubeconfig {kubeconfig} version")
        api = Api(f"http://{address[0]}", urllib3.PoolManager(retries=False, maxsize=16))
        yield api
        api.close()
    finally:
        process.terminate()
        process.communicate(timeout=20)


# ---- a number for each cluster of this machine ----


def _claimed() -> tuple[Addresses, socket.socket]:
    """Return the first free number's addresses, and what holds the claim to it while it is open."""
    for number in range(network.BLOCKS):
        claim = _claim(number)
        if claim is not None:
            return Addresses(number), claim
    raise RuntimeError(f"there are {network.BLOCKS} clusters on this machine already; stop one")


def _claim(number: int) -> socket.socket | None:
    """Return the hold of a number, or ``None`` where somebody has it.

    A name in the abstract namespace of sockets is held by one process of a network namespace, as the name of an
    interface is, and is free as soon as that process has ended, however it did.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0{Addresses(number).device}")
    except OSError:
        claim.close()
        return None
    return claim


def _cgroup(addresses: Addresses) -> str:
    return f"{addresses.device}-cluster"


def _take_away(addresses: Addresses) -> None:
    """Remove all that a cluster's number stands for; whatever of it runs is ended."""
    network.disconnect(addresses)
    for process in left_behind(addresses.device):
        with contextlib.suppress(OSError):
            process.kill()
    until(lambda: not left_behind(addresses.device), what=f"the end of the machines of {addresses.device}")
    control_groups.remove(_cgroup(addresses))
    shutil.rmtree(run_folder(addresses.number), ignore_errors=True)


def sweep() -> list[int]:
    """Take away what runs left behind that were killed, and return their numbers."""
    swept = []
    for number in range(network.BLOCKS):
        addresses = Addresses(number)
        claim = _claim(number)
        if claim is None:
            continue
        with claim:
            if run_folder(number).exists() or control_groups.present(_cgroup(addresses)):
                _take_away(addresses)
                swept.append(number)
    return swept
