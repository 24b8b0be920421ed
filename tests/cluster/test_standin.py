"""Stand-in nodes on a real control plane: what everybody there makes of them is what they would of kubelets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.api import Api, Json
from tests.cluster.cluster import Cluster
from tests.cluster.standin import Standin
from tests.cluster.standin_api import Access
from tests.cluster.standin_life import BEHAVIOUR, Behaviour, Chances
from tests.cluster.standin_node import NodeShape
from tests.cluster.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

GPU, MIG = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"
QUICK = Chances(create=(0.01, 0.05), start=(0.01, 0.05), ready=(0.01, 0.1), live=(0.1, 0.2), back_off=0.02)
POOL = {"pool": "stand-in"}


@pytest.fixture(scope="module")
def standin(control_plane: Cluster) -> Iterator[Standin]:
    """Three nodes that are heard of often enough for the cluster's short patience."""
    shapes = [NodeShape(name=f"s-{n}", cpu="4", extended={GPU: 2, MIG: 1}, labels=POOL) for n in range(3)]
    access = Access.from_kubeconfig(control_plane.kubeconfig)
    with Standin(access, shapes, chances=QUICK, seed=1, heartbeat=2) as standin:
        for shape in shapes:
            control_plane.api.wait(f"/api/v1/nodes/{shape.name}", is_usable)
        yield standin
    for shape in shapes:
        control_plane.api.delete(f"/api/v1/nodes/{shape.name}", missing_ok=True)


@pytest.fixture
def pods(control_plane: Cluster, standin: Standin) -> Iterator[Pods]:
    """A namespace to make pods in."""
    with control_plane.namespace("standin") as namespace:
        yield Pods(control_plane.api, namespace)


class Pods:
    """Makes pods for stand-in nodes, and waits for what becomes of them."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    def spec(self, behaviour: Behaviour, **more: Any) -> Json:
        """Return the metadata and spec of a pod that behaves so."""
        asked = more.pop("requests", {})
        resources = {"requests": asked, "limits": asked}
        container = {"name": "server", "image": "server:1", "resources": resources}
        return {
            "metadata": {"annotations": {BEHAVIOUR: behaviour.value}, "labels": {"app": "x"}},
            "spec": {"containers": [container], "nodeSelector": POOL, "terminationGracePeriodSeconds": 1, **more},
        }

    def make(self, name: str, behaviour: Behaviour = Behaviour.WELL, **more: Any) -> None:
        """Create a pod."""
        made = self.spec(behaviour, **more)
        made["metadata"]["name"] = name
        self.api.create(f"/api/v1/namespaces/{self.namespace}/pods", made)

    def several(self, count: int, **more: Any) -> None:
        """Create a ReplicaSet."""
        template = self.spec(Behaviour.WELL, **more)
        spec = {"replicas": count, "selector": {"matchLabels": {"app": "x"}}, "template": template}
        body = {"metadata": {"name": "set"}, "spec": spec}
        self.api.create(f"/apis/apps/v1/namespaces/{self.namespace}/replicasets", body)

    def all(self) -> list[Json]:
        """Return every pod."""
        items: list[Json] = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return items

    def until(self, name: str, holds: Any) -> Json:
        """Return the pod once something holds for it."""
        return self.api.wait(f"/api/v1/namespaces/{self.namespace}/pods/{name}", holds, every=0.02)

    def gone(self, name: str, within: float = PATIENCE_S) -> None:
        """Wait until the pod is no more."""
        self.api.gone(f"/api/v1/namespaces/{self.namespace}/pods/{name}", within=within)


def is_usable(node: Json) -> bool:
    """Return whether a node is ready and the controllers have seen it."""
    return condition(node, "Ready") == "True" and not node["spec"].get("taints")


def condition(thing: Json, name: str) -> str:
    """Return the status of a condition."""
    found = (one["status"] for one in thing.get("status", {}).get("conditions", ()) if one["type"] == name)
    return next(found, "")


def is_ready(pod: Json) -> bool:
    """Return whether the pod is ready."""
    return condition(pod, "Ready") == "True"


def state(pod: Json) -> Json:
    """Return the status of the first container, empty before there is one."""
    statuses: list[Json] = pod.get("status", {}).get("containerStatuses") or [{}]
    return statuses[0]


def waits_for(pod: Json) -> str:
    """Return why its container waits."""
    return str(state(pod).get("state", {}).get("waiting", {}).get("reason", ""))


def test_nodes_offer_what_they_are_given(control_plane: Cluster, standin: Standin) -> None:
    """Processors, GPUs and partitions are allocatable, and the node has its place among the cluster's labels."""
    node = control_plane.api.get("/api/v1/nodes/s-0")
    offered = node["status"]["allocatable"]
    assert ("4", "2", "1", "110") == (offered["cpu"], offered[GPU], offered[MIG], offered["pods"])
    assert "s-0" == node["metadata"]["labels"]["kubernetes.io/hostname"]


def test_pods_of_a_set_become_ready_where_the_scheduler_puts_them(pods: Pods) -> None:
    """Six pods with a GPU each fill three nodes with two each, and each has an address of its own."""
    pods.several(6, requests={GPU: "1"})
    ready = until(lambda: found if len(found := [pod for pod in pods.all() if is_ready(pod)]) == 6 else None)
    assert 6 == len({pod["status"]["podIP"] for pod in ready})
    assert ["s-0", "s-0", "s-1", "s-1", "s-2", "s-2"] == sorted(pod["spec"]["nodeName"] for pod in ready)
    status = pods.api.wait(
        f"/apis/apps/v1/namespaces/{pods.namespace}/replicasets/set", lambda it: it["status"].get("readyReplicas") == 6
    )["status"]
    assert 6 == status["availableReplicas"]


def test_an_image_that_is_not_there_is_not_pulled(pods: Pods) -> None:
    """The container waits, first with the error and then backing off, and is tried again."""
    pods.make("a", Behaviour.NO_IMAGE)
    pods.until("a", lambda pod: waits_for(pod) == "ImagePullBackOff")
    pods.until("a", lambda pod: waits_for(pod) == "ErrImagePull")


@pytest.mark.parametrize(
    ("behaviour", "reason", "code"), [(Behaviour.CRASH, "Error", 1), (Behaviour.OUT_OF_MEMORY, "OOMKilled", 137)]
)
def test_a_crash_is_restarted_with_back_off(pods: Pods, behaviour: Behaviour, reason: str, code: int) -> None:
    """Restarts are counted, the last end is kept, and between two of them the container waits in its crash loop."""
    pods.make("a", behaviour)
    pod = pods.until("a", lambda pod: waits_for(pod) == "CrashLoopBackOff" and state(pod)["restartCount"] >= 2)
    ended = state(pod)["lastState"]["terminated"]
    assert (reason, code) == (ended["reason"], ended["exitCode"])
    assert "False" == condition(pod, "Ready")


def test_readiness_flaps(pods: Pods) -> None:
    """A pod that flaps is ready, is not, and is again, without a restart."""
    pods.make("a", Behaviour.FLAP)
    pods.until("a", is_ready)
    pods.until("a", lambda pod: not is_ready(pod))
    assert 0 == state(pods.until("a", is_ready))["restartCount"]


def test_a_node_takes_no_more_than_it_has(pods: Pods) -> None:
    """Whoever binds past the scheduler is rejected as a kubelet does it: for want of processors, or of devices."""
    pods.make("cpu", nodeName="s-1", requests={"cpu": "5"})
    assert "OutOfcpu" == pods.until("cpu", lambda pod: pod["status"]["phase"] == "Failed")["status"]["reason"]
    pods.make("one", nodeName="s-1", requests={MIG: "1"})
    pods.until("one", is_ready)
    pods.make("two", nodeName="s-1", requests={MIG: "1"})
    rejected = pods.until("two", lambda pod: pod["status"]["phase"] == "Failed")
    assert "UnexpectedAdmissionError" == rejected["status"]["reason"]


def test_a_stop_takes_its_grace_where_the_server_ignores_being_asked(pods: Pods) -> None:
    """One that obeys is gone long before its grace is over, one that ignores SIGTERM is there until then."""
    pods.make("obeys", terminationGracePeriodSeconds=60)
    pods.make("ignores", Behaviour.IGNORE_TERM, terminationGracePeriodSeconds=3)
    for name in ("obeys", "ignores"):
        pods.until(name, is_ready)
    for name in ("ignores", "obeys"):
        pods.api.delete(f"/api/v1/namespaces/{pods.namespace}/pods/{name}")
    pods.gone("obeys")
    assert ["ignores"] == [pod["metadata"]["name"] for pod in pods.all()]
    pods.gone("ignores")


def test_a_silent_node_is_declared_lost_and_its_pods_end_when_it_returns(pods: Pods, standin: Standin) -> None:
    """Its pods are told to go after their toleration, stay as nobody can stop them, and are gone once it is back."""
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
        for key in ("not-ready", "unreachable")
    ]
    pods.make("a", nodeName="s-2", tolerations=tolerations)
    pods.until("a", is_ready)
    standin.silence("s-2")
    pods.api.wait("/api/v1/nodes/s-2", lambda node: condition(node, "Ready") == "Unknown")
    left = pods.until("a", lambda pod: "deletionTimestamp" in pod["metadata"])
    assert not is_ready(left)
    standin.speak("s-2")
    pods.gone("a")
    pods.api.wait("/api/v1/nodes/s-2", is_usable)


def test_a_device_plugin_that_died_leaves_nothing_to_give(control_plane: Cluster, pods: Pods, standin: Standin) -> None:
    """What a node offers may change while it runs; the scheduler then says why it finds no place."""
    for number in range(3):
        standin.offer(f"s-{number}", {GPU: "0"})
    pods.make("a", requests={GPU: "1"})
    waiting = pods.until("a", lambda pod: condition(pod, "PodScheduled") == "False")
    assert f"Insufficient {GPU}" in waiting["status"]["conditions"][0]["message"]
    for number in range(3):
        standin.offer(f"s-{number}", {GPU: "2"})
    pods.until("a", is_ready)


def test_an_evicted_pod_stays_as_failed_and_is_replaced(pods: Pods, standin: Standin) -> None:
    """Thrown out for want of memory it says so, and its set makes another."""
    pods.several(1)
    first = until(lambda: next(iter(pods.all()), None))["metadata"]["name"]
    pods.until(first, is_ready)
    standin.evict(pods.namespace, first)
    assert "Evicted" == pods.until(first, lambda pod: pod["status"]["phase"] == "Failed")["status"]["reason"]
    until(lambda: any(is_ready(pod) for pod in pods.all() if pod["metadata"]["name"] != first))


def test_a_removed_node_is_gone_for_its_pods_too(control_plane: Cluster, pods: Pods) -> None:
    """A machine that its operator took away is not heard of again, and says nothing of its pods any more."""
    access = Access.from_kubeconfig(control_plane.kubeconfig)
    with Standin(access, [NodeShape(name="gone", labels={"pool": "gone"})], chances=QUICK, heartbeat=2) as standin:
        pods.make("a", nodeSelector={"pool": "gone"}, terminationGracePeriodSeconds=60)
        pods.until("a", is_ready)
        standin.remove("gone")
        assert control_plane.api.find("/api/v1/nodes/gone") is None
        pods.api.delete(f"/api/v1/namespaces/{pods.namespace}/pods/a")
        assert "deletionTimestamp" in pods.until("a", bool)["metadata"]


def test_a_node_that_somebody_wrote_is_stood_in_for_as_well(control_plane: Cluster) -> None:
    """It has no Lease yet, and is heard of all the same."""
    api, access = control_plane.api, Access.from_kubeconfig(control_plane.kubeconfig)
    api.create("/api/v1/nodes", {"metadata": {"name": "written"}})
    with Standin(access, [NodeShape(name="written")], chances=QUICK, heartbeat=2) as standin:
        api.wait("/api/v1/nodes/written", is_usable)
        standin.remove("written")
