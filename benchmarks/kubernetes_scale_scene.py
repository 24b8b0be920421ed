"""The scene of `benchmarks.kubernetes_scale`: a real control plane, stand-in nodes, a daemon, and who looks on.

Nodes and their pods are stood in for by a process of its own (`tests.cluster.standin`): everything else is real. What
the daemon asks of the API server is not its own word but the API server's audit log; what becomes of pods is seen by a
watch of the measurement's own. All clocks are this machine's.
"""

import json
import random
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import psutil

from benchmarks.fleet import Stage, free_address, kill, until
from roadstead.cli.errors import NoDaemon, Refused
from roadstead.decide.report import RolloutState
from roadstead.shim.identity import ProcessIdentity
from roadstead_backends.kubernetes.access import FromFiles, Login
from roadstead_backends.kubernetes.objects import Pod
from roadstead_backends.kubernetes.reading import is_ready
from roadstead_backends.kubernetes.reflector import Reflector
from roadstead_backends.kubernetes.transport import Transport
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import ADMINS

__all__ = [
    "EACH",
    "NATIVE",
    "PATIENCE",
    "PLACED",
    "SLOW_HEARTBEAT",
    "Asked",
    "Audit",
    "Pods",
    "Scene",
    "Spent",
    "at_scale",
]

NATIVE, PLACED = "native", "placed"
"""The clusters of the fleet, and their namespaces: kube-scheduler picks nodes in one, we do in the other."""

EACH: Final = 20
"""Replicas of a deployment."""
PATIENCE: Final = 1_800.0
US: Final = "roadstead"
HEARTBEAT: Final = 20
SLOW_HEARTBEAT: Final = 40
"""Seconds between two reports of a node; the slow one is for a thousand of them, which take their machine's time."""
LATE: Final = 5
"""After so many heartbeats that did not come the control plane takes a node for lost."""

FLEET: Final = """
    version: 1
    fleet: scale
    clusters:
      native: {{backend: kubernetes, reach: none, options: {{kubeconfig: "{kubeconfig}", namespace: native}}}}
      placed:
        backend: kubernetes
        scheduling: directed
        reach: none
        options: {{kubeconfig: "{kubeconfig}", namespace: placed}}
    defaults:
      model: {{name: m, source: /models/m, version: 1}}
      runtime: {{engine: tensorflow_model_server, image: "example.com/serving:1"}}
      replicas: {each}
      resources: {{cpu: 500m, memory: 512Mi}}
      health: {{every: 5s, node_lost_after: 10s}}
      stop: {{drain_within: 0s, kill_after: 1s}}
      rollout: {{progress_deadline: 30m}}
    daemon: {{http: "{http}", state: "{state}"}}
    deployments: {{}}
    """

AUDIT: Final = """
    apiVersion: audit.k8s.io/v1
    kind: Policy
    omitStages: [RequestReceived]
    rules:
      - {{level: Metadata, users: [{user}]}}
      - {{level: None}}
    """

_LIFTED: Final = ("--kube-api-qps=5000", "--kube-api-burst=10000")
"""What the control plane's own parts may ask a second is no part of what is measured."""


# ---- what we ask of the API server ----


@attrs.frozen(kw_only=True)
class Asked:
    """One request of the daemon as the API server has it: when it came (s since the epoch), and what it was about."""

    at: float
    verb: str
    resource: str
    name: str
    code: int

    @property
    def is_write(self) -> bool:
        """Whether it is one that changes something."""
        return self.verb not in ("get", "list", "watch")


class Audit:
    """The API server's log of what the daemon asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._seen: set[str] = set()
        self._asked: list[Asked] = []

    def asked(self) -> list[Asked]:
        """Return all requests until now, as they were answered; a watch counts when it begins."""
        with self._path.open("rb") as log:
            log.seek(self._read)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._take(json.loads(line))
        return self._asked

    def _take(self, entry: Mapping[str, object]) -> None:
        if entry["auditID"] in self._seen:
            return
        self._seen.add(str(entry["auditID"]))
        about = _record(entry.get("objectRef"))
        resource = "/".join(str(about[key]) for key in ("resource", "subresource") if key in about)
        self._asked.append(
            Asked(
                at=datetime.fromisoformat(str(entry["requestReceivedTimestamp"])).timestamp(),
                verb=str(entry["verb"]),
                resource=resource or str(entry["requestURI"]),
                name=str(about.get("name", "")),
                code=int(str(_record(entry.get("responseStatus")).get("code", 0))),
            )
        )

    def between(self, since: float, until_: float) -> Counter[tuple[str, str]]:
        """Return how often what was asked in a time, by verb and resource."""
        return Counter((one.verb, one.resource) for one in self.asked() if since <= one.at < until_)

    def first(self, since: float, matches: Callable[[Asked], bool], within: float = 60.0) -> Asked:
        """Return the first request after a moment that is like that, once it has come."""
        return until(
            lambda: next((one for one in self.asked() if one.at >= since and matches(one)), None), within=within
        )


def _record(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


# ---- what becomes of pods ----


@attrs.define
class Life:
    """When one pod was first seen, had a node, was ready, and was gone or going; seconds since the epoch."""

    namespace: str
    owner: str
    seen: float
    node: str = ""
    bound: float | None = None
    ready: float | None = None
    leaving: float | None = None
    is_ready: bool = False


class Pods:
    """All pods of the cluster, looked at from outside."""

    def __init__(self, kubeconfig: Path) -> None:
        self._transport = Transport(Login(FromFiles(paths=(kubeconfig,))), cluster="watched")
        self._woken, self._over = threading.Event(), False
        chance = random.Random(0)  # noqa: S311  # spreads load, guards nothing
        self._reflector = Reflector(self._transport, "/api/v1/pods", Pod, wake=self._woken.set, chance=chance)
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.lives: dict[tuple[str, str], Life] = {}
        self._reflector.start()
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._over = True
        self._woken.set()
        self._thread.join()
        self._reflector.close()
        self._transport.close()

    def here(self, namespace: str) -> list[Life]:
        """Return the pods that are there and not about to go."""
        return [one for one in list(self.lives.values()) if one.namespace == namespace and one.leaving is None]

    def count_ready(self) -> int:
        """Return how many are there and ready."""
        return sum(one.is_ready and one.leaving is None for one in list(self.lives.values()))

    def _look(self) -> None:
        while not self._over:
            self._woken.wait()
            self._woken.clear()
            now = time.time()
            for key, pod in self._reflector.changes().objects.items():
                self._take(key, pod, now)

    def _take(self, key: tuple[str, str], pod: Pod | None, now: float) -> None:
        if pod is None:
            if key in self.lives and self.lives[key].leaving is None:
                self.lives[key].leaving = now
            return
        owner = pod.metadata.controller
        life = self.lives.setdefault(key, Life(key[0], owner.name if owner is not None else "", now))
        life.node, life.is_ready = pod.spec.node_name, is_ready(pod)
        if life.node and life.bound is None:
            life.bound = now
        if life.is_ready and life.ready is None:
            life.ready = now
        if pod.metadata.deletion is not None and life.leaving is None:
            life.leaving = now


# ---- all of it ----


@attrs.frozen(kw_only=True)
class Spent:
    """What a process has used so far: seconds of CPU, and resident memory in MB."""

    cpu: float
    rss: float

    @classmethod
    def by(cls, pid: int) -> "Spent":
        """Return what one process has used."""
        process = psutil.Process(pid)
        times = process.cpu_times()
        return cls(cpu=times.user + times.system, rss=process.memory_info().rss / 1e6)


@attrs.define(kw_only=True)
class Scene:
    """The cluster, the nodes, the daemon, and those who look on."""

    cluster: Cluster
    stage: Stage
    kubeconfig: Path
    audit: Audit
    pods: Pods
    nodes: int
    _standin: "subprocess.Popen[str] | None" = attrs.field(default=None, init=False)
    declared: dict[str, int] = attrs.field(factory=dict)
    daemon: ProcessIdentity | None = None

    def declare(self, on: str, deployments: int) -> None:
        """Save the fleet file with more deployments in it."""
        first = self.declared.get(on, 0)
        self.declared[on] = first + deployments
        lines = [f"  {on}-{number:04}: {{clusters: {on}}}\n" for number in range(first, first + deployments)]
        text = self.stage.file.read_text().replace("deployments: {}", "deployments:")
        saved = self.stage.file.with_suffix(".new")
        saved.write_text(text + "".join(lines))
        saved.replace(self.stage.file)  # never half a file

    @property
    def wanted(self) -> int:
        """How many pods the fleet file asks for."""
        return EACH * sum(self.declared.values())

    @contextmanager
    def stand_in(self, heartbeat: int) -> Iterator[None]:
        """Have somebody stand in for all nodes, who reports of each in every ``heartbeat`` (s)."""
        command = [sys.executable, "-m", "tests.cluster.standin_command", f"--kubeconfig={self.cluster.kubeconfig}"]
        words = [f"--nodes={self.nodes}", f"--heartbeat={heartbeat}"]
        pipe = subprocess.PIPE
        with subprocess.Popen([*command, *words], stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the nodes were not registered")
            self._standin = process
            yield
            process.stdin.close()

    def nodes_say(self, line: str) -> None:
        """Tell the stand-in nodes what happens to them."""
        assert self._standin is not None
        assert self._standin.stdin is not None
        assert self._standin.stdout is not None
        self._standin.stdin.write(f"{line}\n")
        self._standin.stdin.flush()
        said = self._standin.stdout.readline().strip()
        if said != "done":
            raise RuntimeError(f"the nodes answer {said!r} to {line[:40]!r}")

    def begin(self) -> float:
        """Start a daemon, and return when it was asked to."""
        began = time.time()
        self.stage.say("daemon", "start", "--background")  # it waits for a minute; what is large may take longer
        self.daemon = until(self._answering, every=0.2, within=PATIENCE)
        return began

    def _answering(self) -> ProcessIdentity | None:
        try:
            return self.stage.daemon()
        except (NoDaemon, Refused):
            return None

    def end(self) -> None:
        """Kill the daemon, where one runs."""
        if self.daemon is not None:
            kill(self.daemon)
            self.daemon = None

    def spent(self) -> Spent:
        """Return what the daemon has used."""
        assert self.daemon is not None, "no daemon was started"
        return Spent.by(self.daemon.pid)

    def is_settled(self) -> bool:
        """Return whether the daemon says of all deployments that they are as asked."""
        status = self.stage.client.status()
        return len(status.deployments) == sum(self.declared.values()) and all(
            one.state is RolloutState.SETTLED and one.serving == one.wanted for one in status.deployments
        )

    def wait_settled(self, *, every: float = 1.0) -> float:
        """Wait until all is as asked, and return when that was said."""
        until(lambda: self.pods.count_ready() >= self.wanted, every=0.2, within=PATIENCE)
        until(self.is_settled, every=every, within=PATIENCE)
        return time.time()


@contextmanager
def at_scale(nodes: int, *, standing: bool = False) -> Iterator[Scene]:
    """Yield a cluster of so many stand-in nodes; with ``standing``, nobody stands in for them yet."""
    heartbeat = SLOW_HEARTBEAT if standing else HEARTBEAT
    with tempfile.TemporaryDirectory(prefix="roadstead-scale-") as name:
        folder = Path(name)
        (folder / "audit.yaml").write_text(textwrap.dedent(AUDIT).format(user=US))
        (folder / "audit.log").touch()
        cluster = Cluster.start(flags=_flags(folder, LATE * heartbeat))
        try:
            cluster.wait_ready()
            for namespace in (NATIVE, PLACED):
                cluster.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
                cluster.api.wait(f"/api/v1/namespaces/{namespace}/serviceaccounts/default", bool)
            with _scene(cluster, nodes, folder) as scene, nullcontext() if standing else scene.stand_in(heartbeat):
                yield scene
        finally:
            cluster.stop()


@contextmanager
def _scene(cluster: Cluster, nodes: int, folder: Path) -> Iterator[Scene]:
    kubeconfig = cluster.plane.write_kubeconfig(US, US, [ADMINS])
    stage = Stage(folder)
    said = {"kubeconfig": kubeconfig, "each": EACH, "http": free_address(), "state": stage.state.path}
    stage.file.write_text(textwrap.dedent(FLEET).format(**said))
    pods = Pods(cluster.kubeconfig)
    scene = Scene(
        cluster=cluster, stage=stage, kubeconfig=kubeconfig, audit=Audit(folder / "audit.log"), pods=pods, nodes=nodes
    )
    try:
        yield scene
    finally:
        pods.close()
        scene.end()


def _flags(folder: Path, lost_after: int) -> dict[str, tuple[str, ...]]:
    return {
        "kube-apiserver": (
            f"--audit-policy-file={folder / 'audit.yaml'}",
            f"--audit-log-path={folder / 'audit.log'}",
        ),
        "kube-scheduler": _LIFTED,
        "kube-controller-manager": (
            *_LIFTED,
            "--concurrent-replicaset-syncs=20",
            f"--node-monitor-grace-period={lost_after}s",
            "--node-monitor-period=5s",
            # Else one node is given up every ten seconds, in case it is the control plane that is cut off.
            "--node-eviction-rate=100",
            "--secondary-node-eviction-rate=100",
        ),
    }
