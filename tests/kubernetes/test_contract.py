"""A real cluster keeps the backend contract, whoever picks the nodes: real pods in real containers."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest

from roadstead.errors import BackendError, Forbidden, OutcomeUnknown, Rejected, Retryable
from roadstead.model import Scheduling, StopSpec
from roadstead.spi.backend import ABSENT, Backend, BackendContext, Reverts
from roadstead.spi.runtime import Launch, Program
from roadstead.testing.conformance import BackendConformance
from roadstead.testing.conformance.asking import an_order
from roadstead.testing.http_faults import Fault, FaultProxy, Reply, Rule
from roadstead.testing.subject import expectation, found
from roadstead.units import Duration
from roadstead.world import Group, GroupKey, Snapshot
from roadstead_backends.kubernetes.connect import connect
from roadstead_backends.kubernetes.options import KubernetesOptions
from tests.cluster.api import Json
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until
from tests.proxied import ProxiedSubject

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(400)]

IMAGE = "localhost/roadstead/host:1"
LAUNCH = Launch(
    program=Program(module="roadstead.testing.server"), args=("$(HOST)", "8501"), rest_port=8501, image=IMAGE
)
SOON = StopSpec(drain_within=Duration(0), kill_after=Duration(2_000))
KILLED = 128 + 9
"""What a program ends with that was killed, and so its container."""


@attrs.frozen
class Writes(Rule):
    """A fault of the next write that an order of ours comes down to: not of what is written around it."""

    def matches(self, method: str, target: str) -> bool:
        """Return whether a request is such a write."""
        kinds = ("/replicasets", "/poddisruptionbudgets", "/binding", "/eviction")
        return method in ("POST", "PATCH", "DELETE") and any(kind in target for kind in kinds)


def _refusal(status: int, reason: str, message: str) -> Fault:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": status}
    return Reply(status, json.dumps(body).encode(), {"content-type": "application/json"})


_REFUSALS: dict[type[BackendError], Fault] = {
    Forbidden: _refusal(403, "Forbidden", 'User "tests" cannot do that'),
    Rejected: _refusal(422, "Invalid", "it is not valid"),
    Retryable: _refusal(429, "TooManyRequests", "there is too much to do"),
    OutcomeUnknown: _refusal(500, "InternalError", "etcd did not answer in time"),
}


@attrs.define(kw_only=True)
class ClusterSubject(ProxiedSubject):
    """A namespace of a real cluster, and what an administrator can do to it."""

    writes = Writes
    refusals = _REFUSALS

    admin: Cluster
    namespace: str
    stop: StopSpec = SOON

    def crash(self, replica: str) -> None:
        """Kill the process of a server from within its pod, and wait until its node has told of that."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{replica}"
        running = _server(self.admin.api.get(path))["containerID"]
        # The server is the first process of its container: with it goes all that was started beside it, so that this
        # program may be killed before it can say that it did its work. Whether it did is for the node to say.
        done = self.admin.ran("exec", "-n", self.namespace, replica, "--", "python3", "-S", "-c", _KILL)
        until(
            lambda: (running, KILLED) == _ended(_server(self.admin.api.get(path))),
            what=f"the end of {running}, for which exec ended with {done.returncode}: {done.stderr.strip()}",
        )

    def lose(self, replica: str) -> None:
        """Remove a pod without waiting for its node, as is done for one that is lost."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{replica}"
        self.admin.api.call("DELETE", path, query={"gracePeriodSeconds": 0})

    def meddle(self, key: GroupKey) -> str:
        """Give a group's servers another memory limit, as `kubectl edit` would."""
        path = f"/apis/apps/v1/namespaces/{self.namespace}/replicasets/tests-{key}"
        limits = {"memory": "65Mi"}
        containers = [{"name": "server", "resources": {"limits": limits}}]
        self.admin.api.call(
            "PATCH",
            path,
            body={"spec": {"template": {"spec": {"containers": containers}}}},
            kind="application/strategic-merge-patch+json",
            query={"fieldManager": "somebody"},
        )
        return "spec.template.spec.containers[server].resources.limits.memory"


def _server(pod: Json) -> Json:
    """Return what is told of a pod's only container."""
    (found,) = pod["status"]["containerStatuses"]
    server: Json = found
    return server


def _ended(server: Json) -> tuple[str, int] | None:
    """Return which run of a container ended last, and with what."""
    ended = server["state"].get("terminated") or server.get("lastState", {}).get("terminated")
    return (ended["containerID"], ended["exitCode"]) if ended is not None else None


_KILL = """
import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        if b"roadstead.testing.server" in open(f"/proc/{name}/cmdline", "rb").read():
            os.kill(int(name), 9)
"""


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[FaultProxy]:
    """Stands before the API server and speaks to it as its administrator."""
    user = json.loads(cluster.kubeconfig.read_text())
    (server,) = (one["cluster"] for one in user["clusters"])
    trusts = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
    (credentials,) = (one["user"] for one in user["users"])
    with _Pair(credentials) as pair:
        trusts.load_cert_chain(*pair)
    made = FaultProxy(server["server"], trusts=trusts).start()
    yield made
    made.close()
    made.check()


class _Pair:
    """A certificate and its key as files, for as long as it takes to load them."""

    def __init__(self, user: dict[str, str]) -> None:
        self._user = user
        self._folder = TemporaryDirectory()

    def __enter__(self) -> tuple[Path, Path]:
        paths = Path(self._folder.name, "crt"), Path(self._folder.name, "key")
        for path, name in zip(paths, ("client-certificate-data", "client-key-data"), strict=True):
            path.write_bytes(base64.b64decode(self._user[name]))
        return paths

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def subject_of(
    cluster: Cluster, namespace: str, proxy: FaultProxy, scheduling: Scheduling, root: Path
) -> ClusterSubject:
    """Return a subject for a namespace; the model's folder is one that its nodes have."""
    (root / "minilm").mkdir()
    user = {"clusters": [{"name": "tests", "cluster": {"server": proxy.url}}], "current-context": "tests"}
    contexts = [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}]
    path = root / "kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps({**user, "users": [{"name": "tests", "user": {}}], "contexts": contexts}))
    options = KubernetesOptions(kubeconfig=path, namespace=namespace, model_roots=(str(root),))

    def connected(owner_id: str) -> Backend:
        return connect(
            BackendContext(
                cluster="prod",
                fleet="tests",
                owner_id=owner_id,
                options=options,
                scheduling=scheduling,
                root=root / "backend",
            )
        )

    return ClusterSubject(
        cluster="prod",
        connect=connected,
        admin=cluster,
        namespace=namespace,
        proxy=proxy,
        launch=LAUNCH,
        patience_s=120.0,
    )


@pytest.fixture(scope="module")
def models(cluster: Cluster) -> Iterator[str]:
    """A namespace for all tests here, each of which leaves nothing in it."""
    with cluster.namespace() as name:
        yield name


class _OnACluster(BackendConformance):
    """All that is asked of a backend, of real pods; stories are few, as each step of them takes its time."""

    examples = 1
    steps = 6
    scheduling: Scheduling

    @pytest.fixture
    def subject(self, cluster: Cluster, models: str, proxy: FaultProxy, tmp_path: Path) -> Iterator[ClusterSubject]:
        """A namespace with nothing of ours in it."""
        made = subject_of(cluster, models, proxy, self.scheduling, tmp_path)
        yield made
        made.take_down()


class TestNative(_OnACluster):
    """kube-scheduler picks the nodes."""

    scheduling = Scheduling.NATIVE

    def test_a_group_is_put_back_although_it_reports_something_else_meanwhile(self, subject: ClusterSubject) -> None:
        """The server refuses what was made of another state of the object; what was decided about is as it was."""
        order = an_order(subject)
        subject.backend.apply(order, 0, expect=ABSENT)
        subject.meddle(order.key)
        subject.until(lambda now: bool(group_in(now, order.key).drift))
        subject.proxy.add(Writes(_refusal(409, "Conflict", "the object has been modified"), method="PATCH"))
        assert isinstance(subject.backend, Reverts)
        subject.backend.revert(order.key, expect=expectation(subject.backend, order.key))
        assert () == group_in(subject.backend.observe(), order.key).drift


def group_in(snapshot: Snapshot, key: GroupKey) -> Group:
    """Return a group that is there."""
    group = found(snapshot, key)
    assert group is not None
    return group


class TestDirected(_OnACluster):
    """Our placement picks the nodes."""

    scheduling = Scheduling.DIRECTED
