"""A view is kept up to date object by object, and shares with the one before all that did not change."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.model import HealthSpec, Quota, Resources, WholeGpus
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Drift, Phase
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.abilities import capabilities
from roadstead_backends.kubernetes.binding import lacks
from roadstead_backends.kubernetes.feeds import Place
from roadstead_backends.kubernetes.objects import (
    Autoscaler,
    Budget,
    Node,
    Pod,
    ReplicaSet,
    ResourceQuota,
    Service,
    VerticalAutoscaler,
)
from roadstead_backends.kubernetes.services import budget, service
from roadstead_backends.kubernetes.view import View
from tests.kubernetes.orders import template_with
from tests.kubernetes.pods import OWNER_ID, a_node, a_pod, a_set, a_stranger, running

ABLE = capabilities(Place(namespace="models", fleet="shop", owner_id=OWNER_ID, directed=False), minor=37, notes=())


def a_view() -> View:
    """Return an empty view."""
    return View(OWNER_ID, ABLE)


def put(view: View, *objects: ReplicaSet | Pod) -> View:
    """Show objects to a view."""
    for one in objects:
        if isinstance(one, ReplicaSet):
            view.put_group(one.metadata.name, one)
        else:
            view.put_pod(one.metadata.name, one)
    return view


# ---- groups ----


def test_a_group_has_the_pods_that_it_answers_for() -> None:
    """By the owner reference, not by labels that anybody can write."""
    view = put(
        a_view(), a_set(replicas=2), a_pod("p-1"), a_pod("p-2", node="n", server=running()), a_pod("p-3", owner="x")
    )
    (group,) = view.snapshot().groups
    assert [("p-1", Phase.SLOT), ("p-2", Phase.RUNNING)] == [(one.id, one.phase) for one in group.replicas]
    assert (2, template_with()) == (group.target, group.template)


def test_a_look_at_what_did_not_change_is_the_same_object() -> None:
    """Also where the cluster reported something that says nothing new."""
    view = put(a_view(), a_set(), a_pod(node="n", server=running()))
    before = view.snapshot()
    put(view, a_pod(node="n", server=running(), meta={"resourceVersion": "2", "annotations": {"a": "b"}}))
    assert before is view.snapshot()


def test_a_change_of_one_group_leaves_the_others_the_same_objects() -> None:
    """That is how ten thousand of them are looked at in milliseconds."""
    sets = [a_set(f"set-{name}", deployment=name) for name in ("a", "b", "c")]
    view = put(a_view(), *sets, *(a_pod(f"p-{one.metadata.uid}", owner=one.metadata.uid) for one in sets))
    before = view.snapshot().groups
    put(view, a_pod("p-set-b", owner="set-b", node="n", server=running()))
    after = view.snapshot().groups
    assert [True, False, True] == [one is other for one, other in zip(before, after, strict=True)]
    assert ["a", "b", "c"] == [one.key.deployment for one in after]


def test_a_group_that_is_gone_is_not_shown_and_neither_is_what_it_had() -> None:
    """Whichever of the two is told first."""
    for order in ((True, False), (False, True)):
        view = put(a_view(), a_set(), a_pod())
        for of_group in order:
            if of_group:
                view.put_group(a_set().metadata.name, None)
            else:
                view.put_pod("p-1", None)
        assert () == view.snapshot().groups


def test_what_others_own_is_told_of_and_not_shown() -> None:
    """On our names, with another owner id."""
    view = put(a_view(), a_set(labels={names.OWNER_ID: "somebody"}))
    snapshot = view.snapshot()
    assert ((), frozenset({"somebody"})) == (snapshot.groups, snapshot.foreign_owners)
    assert "somebody" == view.owner_of(a_set().metadata.name)


def test_a_group_on_its_way_out_asks_for_nothing() -> None:
    """It is there as long as its pods are."""
    view = put(a_view(), a_set(replicas=3, deletionTimestamp="2026-11-23T06:00:00Z"), a_pod())
    (group,) = view.snapshot().groups
    assert (0, 1) == (group.target, len(group.replicas))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=20), st.randoms())
def test_the_order_of_events_says_nothing(story: list[tuple[int, int, bool]], chance: random.Random) -> None:
    """Whatever came and went in between, a view shows what a new one shows of the same objects."""
    view = a_view()
    sets: dict[str, ReplicaSet | None] = {}
    pods: dict[str, Pod | None] = {}
    for number, which, there in story:
        group = a_set(f"set-{number}", deployment=f"d{number}")
        pod = a_pod(f"p-{number}-{which}", owner=f"set-{number}", node="n" if there else "")
        if which == 3:
            sets[group.metadata.name] = group if there else None
            view.put_group(group.metadata.name, group if there else None)
        else:
            pods[pod.metadata.name] = pod if there or which else None
            view.put_pod(pod.metadata.name, pods[pod.metadata.name])
        if chance.random() < 0.3:
            view.snapshot()
    fresh = a_view()
    for name, one in pods.items():
        fresh.put_pod(name, one)
    for name, left in sets.items():
        fresh.put_group(name, left)
    assert fresh.snapshot() == view.snapshot()


# ---- versions ----


def version_of(*objects: ReplicaSet | Pod) -> str:
    """Return the token of the only group."""
    view = put(a_view(), *objects)
    (group,) = view.snapshot().groups
    return group.version


@pytest.mark.parametrize(
    "changed",
    [
        (a_set(generation=2), a_pod()),
        (a_set("another"), a_pod(owner="another")),
        (a_set(annotations={names.OWNER: "ads"}), a_pod()),
        (a_set(annotations={names.GENERATION: "2"}), a_pod()),
        (a_set(), a_pod("p-2")),
        (a_set(),),
    ],
)
def test_a_version_changes_with_what_is_stored_and_with_the_set_of_pods(changed: Any) -> None:
    """Each of it makes what was decided before void."""
    assert version_of(a_set(), a_pod()) != version_of(*changed)


@pytest.mark.parametrize(
    "same",
    [
        (a_set(resourceVersion="9", status={"replicas": 1}), a_pod()),
        (a_set(), a_pod(node="n", server=running())),
    ],
)
def test_a_version_stays_while_the_cluster_only_reports(same: Any) -> None:
    """Counts that it has reached, and pods that found a node, are no reason to decide anew."""
    assert version_of(a_set(), a_pod()) == version_of(*same)


# ---- what others changed ----


def test_whoever_else_writes_to_a_group_makes_it_suspect_once() -> None:
    """Our own writes note the generation; another one is looked into, and then not again."""
    view = put(a_view(), a_set(generation=2))
    (suspect,) = view.suspects()
    assert not view.is_clean(suspect.name)
    drift = (Drift(field="f", ours="1", theirs="2", manager="kubectl-edit"),)
    view.judge(suspect.uid, 2, drift)
    assert ((), drift) == (view.suspects(), view.snapshot().groups[0].drift)
    put(view, a_set(generation=3, annotations={names.WRITTEN: "3"}))
    assert ((), ()) == (view.suspects(), view.snapshot().groups[0].drift)


def test_a_foreign_count_is_looked_into_and_is_no_drift() -> None:
    """What is decided about counts is decided anew anyway."""
    view = put(a_view(), a_set(generation=2, replicas=7))
    (suspect,) = view.suspects()
    view.judge(suspect.uid, 2, ())
    assert view.is_clean(suspect.name)
    assert (7, ()) == (view.snapshot().groups[0].target, view.snapshot().groups[0].drift)


def test_pods_made_of_a_foreign_template_are_marked() -> None:
    """Those, and no others."""
    view = put(a_view(), a_set(replicas=2), a_pod("p-1"), a_pod("p-2"))
    view.snapshot()
    view.mark_drifted(a_set().metadata.name, frozenset({"p-2"}))
    (group,) = view.snapshot().groups
    assert [False, True] == [one.drifted for one in group.replicas]


# ---- nodes ----


def test_what_others_hold_of_a_node_is_counted_until_they_are_gone() -> None:
    """By what they asked for; what ended holds nothing."""
    view = a_view()
    view.ground.put_node("node-1", a_node())
    view.ground.put_stranger("other/a", a_stranger("a", "node-1", requests={"cpu": "1500m", "memory": "1Gi"}))
    (node,) = view.snapshot().nodes
    assert (Cpus(4000), Cpus(1500), Memory(2**30)) == (node.cpu, node.foreign_cpu, node.foreign_memory)
    view.ground.put_stranger("other/a", None)
    assert Cpus(0) == view.snapshot().nodes[0].foreign_cpu


def test_a_pod_takes_the_most_of_what_it_ever_needs_at_once() -> None:
    """Its containers together, or one that comes before them; one that stays beside them counts with them."""
    first = {"resources": {"requests": {"cpu": "3"}}}
    beside = {"resources": {"requests": {"cpu": "1"}}, "restartPolicy": "Always"}
    view = a_view()
    view.ground.put_node("node-1", a_node())
    for one, expected in ((first, 3000), (beside, 2000)):
        view.ground.put_stranger("o/a", a_stranger("a", "node-1", requests={"cpu": "1"}, initContainers=[one]))
        assert expected == view.snapshot().nodes[0].foreign_cpu.milli


def test_devices_are_what_the_plugin_offers_less_what_others_took() -> None:
    """And none when the plugin is gone; partitions are counted by their profile."""
    labels = {"nvidia.com/gpu.product": "H100", "nvidia.com/gpu.memory": "81559"}
    view = a_view()
    node = a_node(labels=labels, more={"nvidia.com/gpu": "4", "nvidia.com/mig-1g.10gb": "7"})
    view.ground.put_node("node-1", node)
    view.ground.put_stranger("o/a", a_stranger("a", "node-1", requests={"nvidia.com/gpu": "1"}))
    devices = view.snapshot().nodes[0].devices
    assert ["gpu-0", "gpu-1", "gpu-2", "mig-1g.10gb"] == [one.id for one in devices]
    assert ("H100", Memory(81559 * 2**20), ("1g.10gb",) * 7) == (
        devices[0].model,
        devices[0].memory,
        devices[3].partitions,
    )
    view.ground.put_node("node-1", a_node(more={"nvidia.com/gpu": "0"}))
    assert () == view.snapshot().nodes[0].devices


def test_a_node_that_is_not_ready_or_tainted_takes_no_pods() -> None:
    """Nor one that is cordoned; a taint that our pods bear does not count."""
    view = a_view()
    for name, ready in (("a", "True"), ("b", "Unknown"), ("c", "False")):
        view.ground.put_node(name, a_node(name, ready=ready))
    assert [True, False, False] == [node.schedulable for node in view.snapshot().nodes]


def test_a_node_that_falls_silent_is_seen_on_the_pods_that_are_there() -> None:
    """Although nothing of them changed."""
    view = put(a_view(), a_set(), a_pod(node="node-1", server=running()))
    view.ground.is_seen = True
    view.ground.put_node("node-1", a_node())
    assert None is view.snapshot().groups[0].replicas[0].reason
    view.ground.put_node("node-1", a_node(ready="Unknown"))
    reason = view.snapshot().groups[0].replicas[0].reason
    assert reason is not None
    assert "node-1" in reason.detail


def test_a_pod_that_is_to_go_on_a_silent_node_is_given_up_in_its_time_and_not_before() -> None:
    """It may still serve, and holds its room, for as long as any other on a silent node; if it is back, it stops."""
    template = template_with(health=HealthSpec(node_lost_after=Duration(30_000)))
    meta = {"deletionTimestamp": "2026-11-23T06:00:00Z"}
    view = put(a_view(), a_set(template=template), a_pod(node="node-1", server=running(), meta=meta))
    view.ground.is_seen = True
    silent = a_node(ready="Unknown")
    since = int(dt.datetime(2026, 11, 23, 6, 0, 10, tzinfo=dt.UTC).timestamp() * 1000)
    view.ground.put_node("node-1", with_word_since(silent, since))

    def phase(at: int) -> Phase:
        view.at(at)
        return view.snapshot().groups[0].replicas[0].phase

    assert [Phase.STOPPING, Phase.STOPPING, Phase.LOST] == [phase(since + ms) for ms in (0, 29_999, 30_000)]
    view.ground.put_node("node-1", a_node())
    assert Phase.STOPPING is phase(since + 31_000)


def with_word_since(node: Node, since: int) -> Node:
    """Return a node whose readiness has been as it is since then (ms since the epoch)."""
    moment = dt.datetime.fromtimestamp(since / 1000, tz=dt.UTC)
    conditions = tuple(
        msgspec.structs.replace(one, last_transition_time=moment) if one.type == "Ready" else one
        for one in node.status.conditions
    )
    return msgspec.structs.replace(node, status=msgspec.structs.replace(node.status, conditions=conditions))


# ---- who else scales ----


@pytest.mark.parametrize(("mode", "said"), [("Auto", True), ("Recreate", True), ("", True), ("Off", False)])
def test_a_vertical_autoscaler_that_acts_is_said_and_one_that_recommends_is_not(mode: str, said: bool) -> None:
    """It would take pods away and change them; when it is gone, so is the word about it."""
    view = put(a_view(), a_set())
    target = {"kind": "ReplicaSet", "name": a_set().metadata.name}
    spec = {"targetRef": target, "updatePolicy": {"updateMode": mode}}
    scaler = msgspec.convert({"metadata": {"name": "theirs"}, "spec": spec}, VerticalAutoscaler)
    view.put_vertical("theirs", scaler)
    assert ("verticalpodautoscaler/theirs" if said else "") == view.snapshot().groups[0].scaled_by
    view.put_vertical("theirs", None)
    assert "" == view.snapshot().groups[0].scaled_by


def test_one_of_two_autoscalers_is_said_until_both_are_gone() -> None:
    """Who scales a group is somebody as long as anybody does."""
    view = put(a_view(), a_set())
    name = a_set().metadata.name
    target = {"kind": "ReplicaSet", "name": name}
    view.put_autoscaler("a", msgspec.convert({"metadata": {}, "spec": {"scaleTargetRef": target}}, Autoscaler))
    view.put_vertical("b", msgspec.convert({"metadata": {}, "spec": {"targetRef": target}}, VerticalAutoscaler))
    assert "horizontalpodautoscaler/a" == view.snapshot().groups[0].scaled_by
    view.put_autoscaler("a", None)
    assert "verticalpodautoscaler/b" == view.snapshot().groups[0].scaled_by
    view.put_vertical("b", None)
    assert "" == view.snapshot().groups[0].scaled_by


# ---- binding ----


def bound_view(resources: Resources) -> View:
    """Return a view with one node and two slots."""
    view = put(a_view(), a_set(template=template_with(resources=resources)), a_pod("p-1"), a_pod("p-2"))
    view.ground.put_node("node-1", a_node(more={"nvidia.com/gpu": "1"}))
    view.snapshot()
    return view


def missing(view: View, name: str, node: str = "node-1", devices: tuple[str, ...] = ()) -> str | None:
    """Return what a node lacks for a slot."""
    pod = view.pod(name)
    assert pod is not None
    return lacks(view, pod, node, devices)


def test_what_was_bound_takes_its_room_before_the_cluster_shows_it() -> None:
    """Two that fit alone and not together: the second one does not."""
    view = bound_view(Resources(cpu=Cpus(2500)))
    assert None is missing(view, "p-1")
    view.assume("p-1", "node-1", "")
    assert "1500 cpu left" in (missing(view, "p-2") or "")
    assert "node-1" == view.seat_of("p-1")
    view.put_pod("p-1", None)
    assert None is missing(view, "p-2")


def test_a_device_is_given_away_once() -> None:
    """As long as the pod that it was counted for is there."""
    view = bound_view(Resources(cpu=Cpus(100), gpu=WholeGpus(count=1)))
    assert None is missing(view, "p-1", devices=("gpu-0",))
    view.assume("p-1", "node-1", "gpu-0")
    assert "taken" in (missing(view, "p-2", devices=("gpu-0",)) or "")
    assert "no device" in (missing(view, "p-2", devices=("gpu-7",)) or "")


def test_a_node_that_is_not_there_has_no_room() -> None:
    """It is a place like any full one."""
    assert "no node" in (missing(bound_view(Resources()), "p-1", node="gone") or "")


# ---- what stands beside ----


def standing(floor: int | None, *, owner_id: str = OWNER_ID) -> View:
    """Return a view with the Service of a deployment, and its budget."""
    view = a_view()
    made = msgspec.convert(service("shop", owner_id, "minilm"), Service)
    view.standing.put_service(made.metadata.name, made)
    if floor is not None:
        rule = msgspec.convert(budget("shop", owner_id, "minilm", floor), Budget)
        view.standing.put_budget(rule.metadata.name, rule)
    return view


def test_what_stands_for_a_deployment_is_shown_with_its_floor() -> None:
    """Without a budget it is nothing; without the Service nothing stands at all."""
    assert {"minilm": 0} == standing(None).snapshot().settled
    view = standing(3)
    assert {"minilm": 3} == view.snapshot().settled
    before = view.snapshot().settled
    view.standing.put_budget("shop-other", None)
    assert before is view.snapshot().settled
    view.standing.put_service("shop-minilm", None)
    assert {} == view.snapshot().settled


def test_what_stands_for_others_is_told_of() -> None:
    """And is not ours to show."""
    snapshot = standing(3, owner_id="somebody").snapshot()
    assert ({}, frozenset({"somebody"})) == (snapshot.settled, snapshot.foreign_owners)


def test_a_quota_of_the_namespace_is_what_others_leave_of_it() -> None:
    """What we hold of it ourselves is not taken away from us."""
    view = put(a_view(), a_set(template=template_with(resources=Resources(cpu=Cpus(500)))), a_pod())
    hard, used = {"requests.cpu": "4", "limits.memory": "16Gi"}, {"requests.cpu": "1500m", "limits.memory": "4Gi"}
    quota = msgspec.convert({"metadata": {"name": "q"}, "status": {"hard": hard, "used": used}}, ResourceQuota)
    view.standing.put_quota("q", quota)
    assert Quota(cpu=Cpus(3000), memory=Memory(14 * 2**30)) == view.snapshot().quota
