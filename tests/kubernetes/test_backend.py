"""What a real API server, scheduler and controllers do with our objects, and what is seen and made of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.capabilities import Bounds
from roadstead.errors import Conflict, Retryable
from roadstead.model import HealthSpec, ModelSpec, PlacementSpec, Quota, Reach, Scheduling, Spread, StopSpec, Template
from roadstead.reasons import Reason, ReasonCode
from roadstead.spi.backend import ABSENT, BackendContext, Expect, GroupOrder
from roadstead.spi.runtime import Launch, Program
from roadstead.testing.subject import group_order
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Group, Phase, Replica, Snapshot
from roadstead_backends.kubernetes import feeds, names
from roadstead_backends.kubernetes.backend import KubernetesBackend
from roadstead_backends.kubernetes.connect import connect, open_transport
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.writing import Writer
from tests.cluster.api import ApiError
from tests.cluster.cluster import Cluster
from tests.cluster.waiting import until as wait_until
from tests.kubernetes.orders import template_with

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(400)]

Json = dict[str, Any]
Open = Callable[..., KubernetesBackend]

SERVER = Launch(
    program=Program(module="roadstead.testing.server"),
    args=("$(HOST)", "8501"),
    rest_port=8501,
    image="localhost/roadstead/host:1",
)
OWNER_ID = "0f1e2d3c4b5a6978"
WITHIN_S = 120.0
_NONE = Reason(code=ReasonCode.STARTING, detail="")


def context_for(cluster: Cluster, namespace: str, root: Path) -> BackendContext:
    """Return what a backend of a namespace is made from."""
    return BackendContext(
        cluster="prod",
        fleet="tests",
        owner_id=OWNER_ID,
        options=KubernetesOptions(kubeconfig=cluster.kubeconfig, namespace=namespace),
        scheduling=Scheduling.NATIVE,
        root=root,
        reach=Reach.DIRECT,
    )


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens backends, and closes them afterwards."""
    made: list[KubernetesBackend] = []

    def make(
        cluster: Cluster,
        namespace: str,
        *,
        scheduling: Scheduling = Scheduling.NATIVE,
        reach: Reach = Reach.DIRECT,
        owner_id: str = OWNER_ID,
    ) -> KubernetesBackend:
        context = context_for(cluster, namespace, tmp_path)
        made.append(connect(attrs.evolve(context, scheduling=scheduling, reach=reach, owner_id=owner_id)))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def order_for(folder: Path, *, drain: int = 0, cpu: int = 100, **changes: Any) -> GroupOrder:
    """Return the order for a small group whose model is in a folder of this machine; ``drain`` in seconds."""
    template = attrs.evolve(
        template_with(model=ModelSpec(name="m", source=str(folder))),
        stop=StopSpec(drain_within=Duration(drain * 1000), kill_after=Duration(1_000)),
        **changes,
    )
    resources = attrs.evolve(template.resources, cpu=Cpus(cpu), memory=Memory(64 * 2**20))
    return group_order(attrs.evolve(template, resources=resources), launch=SERVER, owner_id=OWNER_ID)


def until(backend: KubernetesBackend, holds: Callable[[Snapshot], bool]) -> Snapshot:
    """Return the first look of which it is true."""
    pause, deadline = threading.Event(), time.monotonic() + WITHIN_S
    while not holds(seen := backend.observe()):
        assert time.monotonic() < deadline, f"last seen: {seen.groups}"
        pause.wait(0.05)
    return seen


def only(seen: Snapshot) -> Group:
    """Return the only group."""
    (group,) = seen.groups
    return group


def runs(count: int, seen: Snapshot) -> bool:
    """Return whether the only group has so many replicas, and all run."""
    return [Phase.RUNNING] * count == [one.phase for group in seen.groups for one in group.replicas]


# ---- on a cluster without nodes ----


def test_a_full_quota_is_the_group_s_reason_and_the_cluster_s_limit(
    control_plane: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """There is no pod to look at: the ReplicaSet says it, and what is left to us is in the snapshot."""
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "150m"}}}
    control_plane.api.create(f"/api/v1/namespaces/{namespace}/resourcequotas", quota)
    backend = opened(control_plane, namespace)
    until(backend, lambda seen: seen.quota == Quota(cpu=Cpus(150)))
    backend.apply(order_for(tmp_path), 2, expect=ABSENT)
    seen = until(backend, lambda now: (only(now).reason or _NONE).count == 1)
    reason = only(seen).reason
    assert reason is not None
    assert (ReasonCode.QUOTA, 1, 2) == (reason.code, reason.count, reason.total)
    assert "exceeded quota: small" in reason.raw
    assert Quota(cpu=Cpus(150)) == until(backend, lambda now: len(only(now).replicas) == 1).quota


def test_a_group_that_was_changed_meanwhile_is_not_put_back(
    control_plane: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """What is written was made of an older state, and that is a conflict: observe again, and do it again."""
    backend, order = opened(control_plane, namespace), order_for(tmp_path)
    backend.apply(order, 0, expect=ABSENT)
    name = f"tests-{order.key}"
    context = context_for(control_plane, namespace, tmp_path)
    place = Place(namespace=namespace, fleet="tests", owner_id=OWNER_ID, directed=False)
    change = [{"op": "add", "path": "/metadata/annotations/ours", "value": "1"}]
    path = f"/apis/apps/v1/namespaces/{namespace}/replicasets/{name}"
    with contextlib.closing(open_transport(context)[0]) as transport:
        writer = Writer(transport, place, "roadstead", lambda *_: None)
        before = control_plane.api.get(path)["metadata"]["resourceVersion"]
        theirs = control_plane.api.patch(path, {"metadata": {"annotations": {"theirs": "1"}}})
        with pytest.raises(Conflict):
            writer.patch_group(before, name, change, "it")
        written = writer.patch_group(theirs["metadata"]["resourceVersion"], name, change, "it")
    assert ("1", "1") == (written.metadata.annotations["ours"], written.metadata.annotations["theirs"])


def test_an_autoscaler_of_others_is_seen_and_its_count_is_left_to_it(
    control_plane: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """Owner and generation are written all the same."""
    backend, order = opened(control_plane, namespace), order_for(tmp_path)
    backend.apply(order, 1, expect=ABSENT)
    scaler = {
        "metadata": {"name": "theirs"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"tests-{order.key}"},
            "minReplicas": 1,
            "maxReplicas": 5,
        },
    }
    control_plane.api.create(f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers", scaler)
    seen = until(backend, lambda now: only(now).scaled_by != "")
    assert "horizontalpodautoscaler/theirs" == only(seen).scaled_by
    backend.apply(attrs.evolve(order, generation=2), 4, expect=Expect(only(seen).version))
    after = only(backend.observe())
    assert (1, 2) == (after.target, after.generation)


def test_a_volume_that_waits_for_another_scheduler_is_refused_where_we_place(
    control_plane: Cluster, namespace: str, opened: Open
) -> None:
    """It would wait for ever: nothing is made, and it is said why."""
    storage = {
        "metadata": {"name": f"late-{namespace}"},
        "provisioner": "example.com/none",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    control_plane.api.create("/apis/storage.k8s.io/v1/storageclasses", storage)
    claim = {
        "metadata": {"name": "models"},
        "spec": {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": f"late-{namespace}",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    control_plane.api.create(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claim)
    backend = opened(control_plane, namespace, scheduling=Scheduling.DIRECTED)
    until(backend, lambda now: {"models"} == now.capabilities.late_claims)
    control_plane.api.delete(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/models")
    until(backend, lambda now: not now.capabilities.late_claims)


def test_what_each_replica_may_have_is_known_and_followed(control_plane: Cluster, namespace: str, opened: Open) -> None:
    """A LimitRange is part of what the cluster can do."""
    backend = opened(control_plane, namespace)
    assert Bounds() == backend.observe().capabilities.bounds
    limits = [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "16Mi"}}]
    path = f"/api/v1/namespaces/{namespace}/limitranges"
    control_plane.api.create(path, {"metadata": {"name": "each"}, "spec": {"limits": limits}})
    until(backend, lambda now: Bounds(most_cpu=Cpus(2000), least_memory=Memory(16 << 20)) == now.capabilities.bounds)
    control_plane.api.delete(f"{path}/each")
    until(backend, lambda now: Bounds() == now.capabilities.bounds)


def test_a_kind_that_is_installed_later_is_seen(
    control_plane: Cluster, namespace: str, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vertical autoscalers are nobody's business until there are any, and nothing is said of them until then."""
    monkeypatch.setattr(feeds, "_ASKED_AGAIN_AFTER", Duration(100))
    backend, order = opened(control_plane, namespace), order_for(tmp_path)
    backend.apply(order, 1, expect=ABSENT)
    assert not [note for note in backend.observe().capabilities.notes if "vertical" in note]
    names = {"kind": "VerticalPodAutoscaler", "plural": "verticalpodautoscalers", "singular": "verticalpodautoscaler"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    installed = {
        "metadata": {
            "name": "verticalpodautoscalers.autoscaling.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/63797"},
        },
        "spec": {"group": "autoscaling.k8s.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    kinds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    control_plane.api.create(kinds, installed)
    try:
        path = f"/apis/autoscaling.k8s.io/v1/namespaces/{namespace}/verticalpodautoscalers"
        served_by(control_plane, path)
        target = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"tests-{order.key}"}
        body = {"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "theirs"}}
        control_plane.api.create(path, {**body, "spec": {"targetRef": target}})
        until(backend, lambda now: "verticalpodautoscaler/theirs" == only(now).scaled_by)
    finally:
        control_plane.api.delete(f"{kinds}/verticalpodautoscalers.autoscaling.k8s.io")
    until(backend, lambda now: "" == only(now).scaled_by)


def served_by(cluster: Cluster, path: str) -> None:
    """Wait until a kind that was just installed is there."""

    def answers() -> bool:
        try:
            return cluster.api.find(path) is not None
        except ApiError as error:
            if error.status != 429:  # its storage is being made
                raise
            return False

    wait_until(answers)


def _from(template: Template, source: str) -> Template:
    return attrs.evolve(template, model=attrs.evolve(template.model, source=source))


def test_what_others_made_under_our_names_is_not_taken_over(
    control_plane: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """Neither a Service without any label, nor a ReplicaSet."""
    backend, order = opened(control_plane, namespace), order_for(tmp_path)
    theirs = {"metadata": {"name": "tests-minilm"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}}}
    control_plane.api.create(f"/api/v1/namespaces/{namespace}/services", theirs)
    with pytest.raises(Conflict, match="belongs to somebody else"):
        backend.settle("minilm", 0)
    pod = {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    stranger = {
        "metadata": {"name": f"tests-{order.key}"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "theirs"}}, "template": pod},
    }
    control_plane.api.create(f"/apis/apps/v1/namespaces/{namespace}/replicasets", stranger)
    with pytest.raises(Conflict, match="that is not ours"):
        backend.apply(order, 1, expect=ABSENT)
    service = control_plane.api.get(f"/api/v1/namespaces/{namespace}/services/tests-minilm")
    assert {"app": "theirs"} == service["spec"]["selector"]


def test_nothing_is_written_while_nothing_is_to_be_done(
    control_plane: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """Looks change no object, nor does asking for what is there; a new daemon's first look neither."""
    backend, order = opened(control_plane, namespace), order_for(tmp_path)
    backend.settle("minilm", 1)
    backend.apply(order, 2, expect=ABSENT)
    until(backend, lambda now: len(only(now).replicas) == 2)
    kinds = ("api/v1/{}/services", "api/v1/{}/pods", "apis/policy/v1/{}/poddisruptionbudgets")
    paths = [f"/{kind.format(f'namespaces/{namespace}')}" for kind in kinds]
    replicas = f"/apis/apps/v1/namespaces/{namespace}/replicasets/tests-{order.key}"

    def managed() -> list[Any]:
        listed = [one["metadata"] for path in paths for one in control_plane.api.get(path)["items"]]
        metas = [*listed, control_plane.api.get(replicas)["metadata"]]
        return [(meta["name"], [one for one in meta["managedFields"] if _is_ours(one)]) for meta in metas]

    before = managed()
    for _ in range(3):
        backend.observe()
        backend.settle("minilm", 1)
        backend.apply(order, 2, expect=Expect(only(backend.observe()).version))
    opened(control_plane, namespace).observe()
    assert before == managed()


def _is_ours(entry: Json) -> bool:
    return str(entry["manager"]).startswith("roadstead")


def test_an_object_of_ours_is_such_as_the_api_server_takes_to_the_letter(
    control_plane: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """With strict validation, every option and source included; what comes back has not drifted."""
    backend = opened(control_plane, namespace)
    for number, source in enumerate(
        ("/models/m", "pvc://models/m", "oci://registry/m:1", "https://h/m.tar", "s3://b/m")
    ):
        order = order_for(tmp_path, cpu=100 + number)
        backend.apply(attrs.evolve(order, template=_from(order.template, source)), 0, expect=ABSENT)
    for group in backend.observe().groups:
        path = f"/apis/apps/v1/namespaces/{namespace}/replicasets/tests-{group.key}"
        control_plane.api.patch(path, {"spec": {"minReadySeconds": 1}})
    seen = until(backend, lambda now: len(now.groups) == 5)
    assert [()] * 5 == [group.drift for group in seen.groups]
    assert {"1"} == {
        control_plane.api.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets/tests-{one.key}")["metadata"][
            "annotations"
        ][names.WRITTEN]
        for one in seen.groups
    }


# ---- on a real node ----


def test_a_server_that_finishes_what_it_has_takes_no_longer_than_it_must(
    cluster: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """It may take ten minutes to drain, and is gone long before: it has nothing to finish."""
    backend, order = opened(cluster, namespace), order_for(tmp_path, drain=600)
    order = attrs.evolve(order, launch=attrs.evolve(order.launch, finishes=True))
    backend.apply(order, 2, expect=ABSENT)
    first, second = only(until(backend, partial(runs, 2))).replicas
    backend.apply(order, 1, retire=(first.id,), expect=Expect(only(backend.observe()).version))
    left = only(until(backend, partial(runs, 1))).replicas
    assert [second.id] == [one.id for one in left]


def test_who_was_drained_is_evicted_at_once_and_who_was_not_goes_on_serving(
    cluster: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """The grace says which it was: the first is gone in a moment, the other has all the time of its pod."""
    backend, order = opened(cluster, namespace), order_for(tmp_path, drain=600)
    backend.apply(order, 2, expect=ABSENT)
    first, second = only(until(backend, partial(runs, 2))).replicas
    backend.evict(first.id, grace=Duration(1_000), reason="it was drained")
    until(backend, lambda now: first.id not in {one.id for one in only(now).replicas})
    backend.evict(second.id, grace=Duration(601_000), reason="it was not")
    pod = cluster.api.get(f"/api/v1/namespaces/{namespace}/pods/{second.id}")
    assert 608 == pod["metadata"]["deletionGracePeriodSeconds"]
    seen = until(backend, lambda now: any(one.phase is Phase.STOPPING for one in only(now).replicas))
    assert (second.id, second.incarnation) in {(one.id, one.incarnation) for one in only(seen).replicas}
    backend.lose(second.id)


def test_a_sibling_that_is_not_ready_goes_before_the_one_that_was_named(
    cluster: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """The cluster picks; what really ends is what is shown, and it is the one that served nobody."""
    backend, order = opened(cluster, namespace), order_for(tmp_path)
    backend.apply(order, 1, expect=ABSENT)
    (ready,) = only(until(backend, partial(runs, 1))).replicas
    _wait_ready(cluster, namespace, ready.id)
    cluster.api.patch("/api/v1/nodes/node-1", {"spec": {"unschedulable": True}})
    try:
        backend.apply(order, 2, expect=Expect(only(backend.observe()).version))
        until(backend, lambda now: len(only(now).replicas) == 2)
        backend.apply(order, 1, retire=(ready.id,), expect=Expect(only(backend.observe()).version))
        left = only(until(backend, partial(runs, 1))).replicas
    finally:
        cluster.api.patch("/api/v1/nodes/node-1", {"spec": {"unschedulable": None}})
    assert [ready.id] == [one.id for one in left]


def _wait_ready(cluster: Cluster, namespace: str, pod: str) -> None:
    def is_ready(one: Json) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in one["status"].get("conditions", ()))

    cluster.api.wait(f"/api/v1/namespaces/{namespace}/pods/{pod}", is_ready)


def test_what_a_kubelet_rejects_is_lost_and_another_slot_takes_its_place(
    cluster: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """Told with the kubelet's word; when the group is asked for again, nothing is left of it."""
    backend = opened(cluster, namespace, scheduling=Scheduling.DIRECTED)
    order = order_for(tmp_path, cpu=1_000_000)
    backend.apply(order, 1, expect=ABSENT)
    (slot,) = only(until(backend, lambda now: len(only(now).replicas) == 1)).replicas
    binding = {"metadata": {"name": slot.id}, "target": {"kind": "Node", "name": "node-1"}}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/pods/{slot.id}/binding", binding)
    seen = until(backend, lambda now: {Phase.LOST, Phase.SLOT} == {one.phase for one in only(now).replicas})
    lost, another = sorted(only(seen).replicas, key=lambda one: one.phase is Phase.SLOT)
    assert slot.id == lost.id
    assert lost.reason is not None
    assert ReasonCode.NO_CAPACITY is lost.reason.code
    assert "OutOfcpu" in lost.reason.raw
    backend.apply(order, 1, expect=Expect(only(seen).version))
    until(backend, lambda now: [another.id] == [one.id for one in only(now).replicas])


def test_where_nobody_reaches_replicas_the_kubelet_says_who_is_ready(
    cluster: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """And there is no address to connect to."""
    backend, order = opened(cluster, namespace, reach=Reach.NONE), order_for(tmp_path)
    backend.apply(order, 1, expect=ABSENT)
    seen = until(backend, lambda now: runs(1, now) and only(now).replicas[0].ready is True)
    assert None is only(seen).replicas[0].endpoint


def test_a_lost_replica_is_gone_at_once(cluster: Cluster, namespace: str, opened: Open, tmp_path: Path) -> None:
    """As by a failing machine; another takes its place."""
    backend, order = opened(cluster, namespace), order_for(tmp_path, drain=60)
    backend.apply(order, 1, expect=ABSENT)
    (before,) = only(until(backend, partial(runs, 1))).replicas
    backend.lose(before.id)
    (after,) = only(until(backend, lambda now: runs(1, now) and only(now).replicas[0].id != before.id)).replicas
    assert before.incarnation != after.incarnation
    with pytest.raises(Conflict):
        backend.lose(before.id)


# ---- on two nodes ----


def test_replicas_of_a_dead_node_are_given_up_and_end_when_it_returns(
    two_nodes: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """As soon as their owner says; until then they are out of reach, and afterwards they hold nothing."""
    backend = opened(two_nodes, namespace)
    apart = PlacementSpec(spread=Spread(by="hostname", max_per=1))
    order = order_for(tmp_path, placement=apart, health=HealthSpec(node_lost_after=Duration(2_000)))
    backend.apply(order, 2, expect=ABSENT)
    replicas = only(until(backend, partial(runs, 2))).replicas
    (doomed,) = (one for one in replicas if one.node == "node-2")
    two_nodes.node("node-2").power_off()

    def of_doomed(seen: Snapshot) -> Replica | None:
        return next((one for one in only(seen).replicas if one.id == doomed.id), None)

    def is_replaced(seen: Snapshot) -> bool:
        lost = of_doomed(seen)
        return lost is not None and lost.phase is Phase.LOST and len(only(seen).replicas) == 3

    seen = until(backend, is_replaced)
    assert not seen.by_node["node-2"].schedulable
    two_nodes.node("node-2").power_on()
    until(backend, lambda now: of_doomed(now) is None and runs(2, now))


def test_a_budget_keeps_a_drain_from_taking_more_than_its_floor_allows(
    cluster: Cluster, namespace: str, opened: Open, tmp_path: Path
) -> None:
    """One of two may be evicted, the other is refused until it is replaced; without a floor both may."""
    backend, order = opened(cluster, namespace), order_for(tmp_path)
    backend.settle("minilm", 1)
    backend.apply(order, 2, expect=ABSENT)
    for replica in only(until(backend, partial(runs, 2))).replicas:
        _wait_ready(cluster, namespace, replica.id)
    path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/tests-minilm"
    cluster.api.wait(path, lambda one: one.get("status", {}).get("disruptionsAllowed") == 1)
    first, second = only(backend.observe()).replicas
    cluster.api.patch("/api/v1/nodes/node-1", {"spec": {"unschedulable": True}})
    try:
        backend.evict(first.id, grace=Duration(1_000), reason="a test")
        cluster.api.wait(path, lambda one: one["status"]["disruptionsAllowed"] == 0)
        with pytest.raises(Retryable):
            backend.evict(second.id, grace=Duration(1_000), reason="a test")
        backend.settle("minilm", 0)
        backend.evict(second.id, grace=Duration(1_000), reason="a test")
    finally:
        cluster.api.patch("/api/v1/nodes/node-1", {"spec": {"unschedulable": None}})
