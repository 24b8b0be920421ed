"""Replicas that use more than they may: what is said, what is done, and that nobody is served less for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.assembly import assemble
from roadstead.capabilities import Capabilities, Limit
from roadstead.decide.excess import used_of
from roadstead.holdings import Limited, is_nearly_all, limit_of
from roadstead.model import ExcessAction, ExcessSpec, GpuPart, Quota, Resources, RolloutSpec, Strategy, WholeGpus
from roadstead.plans import Grow, Held, Plan, Restart, Shrink
from roadstead.reasons import ChangeKind, ReasonCode
from roadstead.testing.proxy import Traffic
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.world import Group, GroupKey, Phase, Reachable, Replica, Snapshot, Usage
from tests.decide.scene import DIRECTED, NATIVE, TURN_MS, Scene, deployment, fleet, nodes, template, with_source

_MIB = 2**20
AFTER = 5 * TURN_MS
TOO_MUCH = Usage(cpu=Cpus(100), memory=Memory(3 * _MIB))
ENOUGH = Usage(cpu=Cpus(100), memory=Memory(_MIB // 2))
UNKNOWN = Usage()


def spec(action: ExcessAction = ExcessAction.RESTART) -> ExcessSpec:
    """Return what happens to memory over the limit, after five turns."""
    return ExcessSpec(memory=action, after=Duration(AFTER))


def rollout(*, max_unavailable: int = 0, max_surge: int = 1) -> RolloutSpec:
    """Return how many may be missing, and how many too many."""
    return RolloutSpec(
        max_unavailable=max_unavailable, max_surge=max_surge, progress_deadline=Duration(60_000), strategy=Strategy.AUTO
    )


def settled(
    action: ExcessAction,
    *,
    max_unavailable: int = 0,
    cpu: int = 4_000,
    replicas: int = 2,
    able: Capabilities | None = None,
    refuses_early: bool = False,
) -> Scene:
    """Return a scene at rest, of one deployment; each replica takes 1000 of the node's ``cpu``."""
    declared = deployment(replicas=replicas, on_excess=spec(action), rollout=rollout(max_unavailable=max_unavailable))
    scene = Scene(
        fleet(declared),
        {"here": nodes(1, cpu)},
        {"here": able} if able is not None else None,
        thorough=True,
        refuses_early=refuses_early,
    )
    scene.settle()
    return scene


def swell(scene: Scene, number: int = 0, usage: Usage = TOO_MUCH) -> str:
    """Let one server process use too much, and return its incarnation."""
    replica = scene.members()[number].replica
    scene.excess[replica.incarnation] = usage
    return replica.incarnation


def told(decided: Plan) -> list[Held]:
    """Return what is said of replicas over their limits."""
    return [held for held in decided.held if held.reason.code is ReasonCode.OVER_LIMIT]


def steps(scene: Scene, turns: int) -> Counter[str]:
    """Return how many steps of each kind so many turns took."""
    return Counter(type(step).__name__ for _ in range(turns) for step in scene.turn().steps)


def processes(scene: Scene) -> set[str]:
    """Return the server processes that really are."""
    return {member.replica.incarnation for member in scene.members()}


# ---- what is said ----


def test_a_warning_says_what_is_used_of_how_much_for_how_long_and_touches_nothing() -> None:
    """The numbers are in the sentence, and raising the limit is the change that would be enough."""
    scene = settled(ExcessAction.WARN)
    swell(scene)
    before = processes(scene)
    decided = scene.turns(5)
    assert [] == told(decided)
    (held,) = told(scene.turn())
    assert held.reason.detail.endswith(f"uses 3Mi of 1Mi memory, for {Duration(AFTER)} or longer")
    assert held.reason.change is not None
    assert "raise resources.memory to 3Mi" == held.reason.change.text
    assert (before, Counter()) == (processes(scene), steps(scene, 10))
    assert [] == scene.wrong


def test_who_is_within_the_limits_again_is_forgiven() -> None:
    """The time begins again from nothing once less is used, and nothing is held any more."""
    scene = settled(ExcessAction.WARN)
    process = swell(scene)
    assert told(scene.turns(7))
    scene.excess[process] = ENOUGH
    assert [] == told(scene.turn())
    scene.excess[process] = TOO_MUCH
    assert [] == told(scene.turns(5))
    assert told(scene.turn())
    assert [] == scene.wrong


def test_what_nobody_can_measure_neither_counts_nor_forgives() -> None:
    """Ten turns without a measurement are no turns: the sixth one that shows too much is told, and not before."""
    scene = settled(ExcessAction.WARN)
    process = swell(scene)
    scene.turns(3)
    scene.excess[process] = UNKNOWN
    assert [] == told(scene.turns(10))
    scene.excess[process] = TOO_MUCH
    assert [] == told(scene.turns(2))
    assert told(scene.turn())
    scene.excess[process] = UNKNOWN
    (held,) = told(scene.turns(10))
    assert "used more than it may of 1Mi memory" in held.reason.detail
    assert [] == scene.wrong


# ---- restart ----


def test_where_one_may_be_missing_the_server_is_restarted_in_place() -> None:
    """It is drained, restarted once, and serves again as the same replica; nothing grows."""
    scene = settled(ExcessAction.RESTART, max_unavailable=1)
    ids = {member.replica.id for member in scene.members()}
    process = swell(scene)
    assert {"Restart": 1} == steps(scene, 25)
    assert process not in processes(scene)
    assert ids == {member.replica.id for member in scene.members()}
    scene.settle()
    assert [] == scene.wrong


def test_where_none_may_be_missing_another_one_comes_first() -> None:
    """There are never fewer than two that serve, and the offender is who goes."""
    scene = settled(ExcessAction.RESTART)
    process = swell(scene)
    least, kinds = 2, Counter[str]()
    for _ in range(30):
        kinds.update(type(step).__name__ for step in scene.turn().steps)
        least = min(least, scene.serving().total())
    assert (2, {"Grow": 1, "Bind": 1, "Shrink": 1}) == (least, kinds)
    assert process not in processes(scene)
    assert {("here", "/m/1"): 2} == scene.serving()
    scene.settle()
    assert [] == scene.wrong


def test_where_neither_fits_it_stays_and_the_smallest_change_is_said() -> None:
    """On a full node and with no replica to spare nothing is touched; one that may be missing would be enough."""
    scene = settled(ExcessAction.RESTART, cpu=2_000)
    process = swell(scene)
    decided = scene.turns(20)
    (held,) = told(decided)
    assert "taking it down first would leave less than the 2 that must serve" in held.reason.detail
    assert held.reason.change is not None
    assert (ChangeKind.RAISE_MAX_UNAVAILABLE, "raise rollout.max_unavailable by 1") == (
        held.reason.change.kind,
        held.reason.change.text,
    )
    assert process in processes(scene)
    scene.declare(attrs.evolve(scene.fleet.deployments["anchor"], rollout=rollout(max_unavailable=1)))
    assert {"Restart": 1} == steps(scene, 20)
    assert [] == scene.wrong


def test_an_owner_at_the_quota_gets_none_in_its_place() -> None:
    """One more would be over the quota: it stays, and why is said."""
    scene = settled(ExcessAction.EVICT)
    scene.limit(search=Quota(cpu=Cpus(2_000)))
    process = swell(scene)
    (held,) = told(scene.turns(20))
    assert "over the quota of search" in held.reason.detail
    assert process in processes(scene)
    assert [] == scene.wrong


@pytest.mark.parametrize("max_unavailable", [0, 1, 3])
def test_when_all_use_too_much_one_after_the_other_gives_way(max_unavailable: int) -> None:
    """Even where three may be missing at once never more than one is, and all are made anew."""
    scene = settled(ExcessAction.RESTART, max_unavailable=max_unavailable, replicas=3)
    before = {swell(scene, number) for number in range(3)}
    least = 3
    for _ in range(90):
        scene.turn()
        least = min(least, scene.serving().total())
    assert 3 - min(1, max_unavailable) == least
    assert set() == before & processes(scene)
    scene.settle()
    assert [] == scene.wrong


def test_one_that_uses_less_once_nobody_asks_it_is_restarted_all_the_same() -> None:
    """It does not go in and out of the table with what it uses: once out, it is restarted and comes back anew."""
    scene = settled(ExcessAction.RESTART, max_unavailable=1)
    process = swell(scene)
    scene.turns(6)
    scene.excess[process] = ENOUGH
    assert {"Restart": 1} == steps(scene, 10)
    assert process not in processes(scene)
    scene.settle()
    assert [] == scene.wrong


# ---- evict ----


@pytest.mark.parametrize(("max_unavailable", "least"), [(0, 2), (1, 1)])
def test_an_evicted_replica_is_given_up_and_another_one_made(max_unavailable: int, least: int) -> None:
    """First it goes where one may be missing, else first another comes; its id is used no more."""
    scene = settled(ExcessAction.EVICT, max_unavailable=max_unavailable)
    offender = scene.members()[0].replica.id
    swell(scene)
    fewest = 2
    for _ in range(30):
        scene.turn()
        fewest = min(fewest, scene.serving().total())
    assert least == fewest
    assert offender not in {member.replica.id for member in scene.members()}
    assert {("here", "/m/1"): 2} == scene.serving()
    scene.settle()
    assert [] == scene.wrong


def test_the_room_of_one_that_is_given_up_is_kept_for_the_one_in_its_place() -> None:
    """Another deployment that waits for room on the full node does not get it."""
    scene = settled(ExcessAction.EVICT, max_unavailable=1, cpu=2_000)
    scene.declare(deployment("buoy", replicas=1, priority=9))
    scene.turns(3)
    process = swell(scene)
    scene.turns(30)
    assert process not in processes(scene)
    assert ({("here", "/m/1"): 2}, {}) == (scene.serving(), scene.serving("buoy"))
    assert [] == scene.wrong


def test_on_a_cluster_that_cannot_tell_one_more_is_tried_and_taken_back() -> None:
    """A full native cluster never places it: it is taken back in time, tried no more, and why is said."""
    scene = settled(ExcessAction.EVICT, cpu=2_000, able=NATIVE)
    process = swell(scene)
    kinds = steps(scene, 60)
    assert {"Grow": 1, "Shrink": 1} == kinds
    assert process in processes(scene)
    (held,) = told(scene.turn())
    assert "found no place for one more" in held.reason.detail
    assert [] == scene.wrong


@pytest.mark.parametrize("able", [NATIVE, DIRECTED], ids=["native", "directed"])
def test_where_a_clusters_own_quota_forbids_one_more_it_is_taken_back(able: Capabilities) -> None:
    """It is never made; nobody waits for it any longer than for one that finds no node, and why is said."""
    scene = settled(ExcessAction.EVICT, able=able, refuses_early=True)
    scene.clusters["here"].limit(Quota(cpu=Cpus(2_000)))
    process = swell(scene)
    kinds = steps(scene, 60)
    assert {"Grow": 1, "Shrink": 1} == kinds
    assert process in processes(scene)
    (held,) = told(scene.turn())
    assert "found no place for one more" in held.reason.detail
    assert [] == scene.wrong


# ---- beside other changes ----


def test_a_rollout_takes_the_one_that_uses_too_much_first() -> None:
    """Of two old replicas it is the older one that would go last, and it goes first."""
    scene = settled(ExcessAction.RESTART)
    oldest = min(scene.members(), key=lambda one: (one.replica.started_at or 0, one.replica.id)).replica
    scene.excess[oldest.incarnation] = TOO_MUCH
    scene.turns(5)
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    gone: list[str] = []
    for _ in range(40):
        gone += [name for step in scene.turn().steps if isinstance(step, Shrink) for name in step.retire]
    assert oldest.id == gone[0]
    assert {("here", "/m/2"): 2} == scene.serving()
    scene.settle()
    assert [] == scene.wrong


def test_requests_in_flight_are_waited_for_before_a_restart() -> None:
    """Behind a gateway it is restarted when it is idle or its grace is over, and no request is lost before."""
    declared = deployment(replicas=2, on_excess=spec(), rollout=rollout(max_unavailable=1), via="front")
    scene = Scene(
        fleet(declared, gateways=("front",)),
        {"here": nodes(1)},
        thorough=True,
        traffic=Traffic(most=2, service=(500, 3_000)),
    )
    scene.settle()
    process = swell(scene)
    taken = [step for _ in range(30) for step in scene.turn().steps if isinstance(step, Restart)]
    assert 1 == len({step.incarnation for step in taken})
    assert process not in processes(scene)
    scene.settle()
    assert [] == scene.wrong


def test_losing_the_memory_costs_one_more_time_of_watching() -> None:
    """A new daemon without memory acts once it has itself seen it for long enough."""
    scene = settled(ExcessAction.RESTART, max_unavailable=1)
    process = swell(scene)
    scene.turns(4)
    scene.start_again(forget=True)
    assert Counter() == steps(scene, 5)
    scene.turns(10)
    assert process not in processes(scene)
    assert [] == scene.wrong


def test_nothing_is_made_for_a_deployment_that_asks_for_none() -> None:
    """One that only warns, scaled to nothing, says nothing and grows nothing."""
    scene = settled(ExcessAction.EVICT)
    swell(scene)
    scene.turns(5)
    scene.scale("anchor", 0)
    taken = [step for _ in range(30) for step in scene.turn().steps]
    assert not any(isinstance(step, Grow) for step in taken)
    assert Counter() == scene.serving()
    assert [] == scene.wrong


# ---- limits ----

amounts = st.none() | st.integers(0, 4).map(lambda count: Memory(count * _MIB))
parts = st.one_of(
    st.none(),
    st.builds(WholeGpus, count=st.just(1), memory=st.just(Memory(_MIB))),
    st.builds(GpuPart, share=st.just(GpuShare(500)), memory=st.sampled_from([Memory(0), Memory(_MIB)])),
)


@given(cpu=st.none() | st.integers(0, 2_000).map(Cpus), memory=amounts, gpu_memory=amounts, gpu=parts)
def test_over_is_who_was_measured_to_use_more_of_something_than_its_limit_or_all_of_its_cpu(
    cpu: Cpus | None, memory: Memory | None, gpu_memory: Memory | None, gpu: WholeGpus | GpuPart | None
) -> None:
    """What is unknown is never over, and what has no limit neither."""
    usage = Usage(cpu=cpu, memory=memory, gpu_memory=gpu_memory)
    resources = Resources(cpu=Cpus(1_000), memory=Memory(2 * _MIB), gpu=gpu)
    over = [
        what
        for what in Limited
        if (used := used_of(usage, what)) is not None
        and (limit := limit_of(resources, what)) is not None
        and (used > limit or (what is Limited.CPU and is_nearly_all(used, limit)))
    ]
    first = assemble(None, one_replica(resources), {})
    measured = {"r": usage}
    world = assemble(first, one_replica(resources), {}, usage=measured)
    assert frozenset({"anchor"} if over else ()) == world.over
    assert world.over == assemble(world, world.clusters, {}, usage=measured).over
    assert frozenset() == assemble(world, world.clusters, {}, usage={}).over
    assert frozenset() == assemble(world, {}, {}, usage=measured).over


def one_replica(resources: Resources) -> Mapping[str, Reachable]:
    """Return a cluster with a deployment of one replica, ``r``, with these resources."""
    group = Group(
        key=GroupKey("anchor", "aaaaaaaaaa"),
        owner="search",
        owner_id="o",
        generation=1,
        target=1,
        template=attrs.evolve(template(), resources=resources),
        replicas=(Replica(id="r", phase=Phase.RUNNING),),
    )
    return {"here": Reachable(Snapshot(capabilities=NATIVE, groups=(group,)))}


def test_who_asked_for_no_gpu_may_use_no_gpu_memory() -> None:
    """Without a GPU any GPU memory is too much; with a whole one none is."""
    assert 0 == limit_of(Resources(), Limited.GPU_MEMORY)
    assert limit_of(Resources(gpu=WholeGpus(count=1)), Limited.GPU_MEMORY) is None
    part = GpuPart(share=GpuShare(500), memory=Memory(_MIB))
    assert _MIB == limit_of(Resources(gpu=part), Limited.GPU_MEMORY)


# ---- where the kernel holds the limit ----


def test_who_uses_all_the_cpu_that_the_kernel_lets_through_is_told_and_left_alone() -> None:
    """Nobody can be over a limit that is held; at it for long is worth saying, and no reason to stop anybody."""
    able = attrs.evolve(NATIVE, cpu_limit=Limit.CFS)
    declared = deployment(replicas=2, on_excess=ExcessSpec(cpu=ExcessAction.EVICT, after=Duration(AFTER)))
    scene = Scene(fleet(declared), {"here": nodes(1, 4_000)}, {"here": able}, thorough=True)
    scene.settle()
    limit = scene.members()[0].group.template.resources.cpu
    process = swell(scene, usage=Usage(cpu=Cpus(limit.milli * 96 // 100)))
    before = processes(scene)
    assert [] == told(scene.turns(5))
    (held,) = told(scene.turn())
    assert held.reason.detail.endswith(f"of {limit} cpu, for {Duration(AFTER)} or longer: the kernel holds it back")
    assert (before, Counter()) == (processes(scene), steps(scene, 10))
    scene.excess[process] = Usage(cpu=Cpus(limit.milli * 90 // 100))
    assert [] == told(scene.turn())
    assert [] == scene.wrong


def test_who_uses_all_of_a_cpu_that_nobody_holds_is_within_the_limit() -> None:
    """Without a kernel that holds anybody back, all of it is not too much."""
    scene = settled(ExcessAction.RESTART)
    limit = scene.members()[0].group.template.resources.cpu
    swell(scene, usage=Usage(cpu=limit))
    assert [] == told(scene.turns(10))
    assert [] == scene.wrong
