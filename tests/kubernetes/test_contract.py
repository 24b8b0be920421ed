"""A real cluster keeps the backend contract, whoever picks the nodes: real pods in real containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from roadstead.model import Scheduling, StopSpec
from roadstead.spi.backend import Backend, BackendContext
from roadstead.spi.runtime import Launch, Program
from roadstead.testing.conformance import BackendConformance, LiveSubject
from roadstead.units import Duration
from roadstead.world import GroupKey
from roadstead_backends.kubernetes.connect import connect
from roadstead_backends.kubernetes.options import KubernetesOptions
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(240)]

IMAGE = "localhost/roadstead/host:1"
LAUNCH = Launch(
    program=Program(module="roadstead.testing.server"), args=("$(HOST)", "8501"), rest_port=8501, image=IMAGE
)
SOON = StopSpec(drain_within=Duration(0), kill_after=Duration(2_000))


@attrs.define(kw_only=True)
class ClusterSubject(LiveSubject):
    """A namespace of a real cluster, and what an administrator can do to it."""

    admin: Cluster
    namespace: str
    stop: StopSpec = SOON

    def crash(self, replica: str) -> None:
        """Kill the process of a server from within its pod."""
        self.admin.kubectl("exec", "-n", self.namespace, replica, "--", "python3", "-S", "-c", _KILL)

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


_KILL = """
import os
for name in os.listdir("/proc"):
    if name.isdigit() and int(name) != os.getpid():
        if b"roadstead.testing.server" in open(f"/proc/{name}/cmdline", "rb").read():
            os.kill(int(name), 9)
"""


def subject_of(cluster: Cluster, namespace: str, scheduling: Scheduling, root: Path) -> ClusterSubject:
    """Return a subject for a namespace; the model's folder is one that its nodes have."""
    (root / "minilm").mkdir()
    options = KubernetesOptions(
        kubeconfig=cluster.kubeconfig, namespace=namespace, model_roots=(str(root),), allow_exec=False
    )

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
        launch=LAUNCH,
        patience_s=60.0,
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
    def subject(self, cluster: Cluster, models: str, tmp_path: Path) -> Iterator[ClusterSubject]:
        """A namespace with nothing of ours in it."""
        made = subject_of(cluster, models, self.scheduling, tmp_path)
        yield made
        made.take_down()


class TestNative(_OnACluster):
    """kube-scheduler picks the nodes."""

    scheduling = Scheduling.NATIVE


class TestDirected(_OnACluster):
    """Our placement picks the nodes."""

    scheduling = Scheduling.DIRECTED
