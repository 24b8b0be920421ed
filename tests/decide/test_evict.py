"""Where naming who goes is only a preference, who gives way is evicted: that one, one at a time, above the floor."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from roadstead.capabilities import Capabilities
from roadstead.model import ExcessAction, ExcessSpec, Quota, RolloutSpec
from roadstead.plans import Evict, Plan
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Drift, Usage
from roadstead_backends.simulated.tempers import KUBERNETES
from tests.decide.scene import TURN_MS, Scene, deployment, fleet, nodes

LIKE_KUBERNETES = attrs.evolve(KUBERNETES.able, settles=False)
TOO_MUCH = Usage(cpu=Cpus(100), memory=Memory(3 * 2**20))
SPEC = ExcessSpec(memory=ExcessAction.EVICT, after=Duration(5 * TURN_MS))


def settled(
    *, max_unavailable: int = 0, replicas: int = 3, cpu: int = 6_000, able: Capabilities = LIKE_KUBERNETES
) -> Scene:
    """Return a scene at rest, of one deployment on a cluster that picks by itself whom it gives up."""
    rollout = RolloutSpec(max_unavailable=max_unavailable, progress_deadline=Duration(60_000))
    declared = deployment(replicas=replicas, on_excess=SPEC, rollout=rollout)
    scene = Scene(fleet(declared), {"here": nodes(1, cpu)}, {"here": able}, thorough=True)
    scene.settle()
    return scene


def swell(scene: Scene, number: int = 0) -> str:
    """Let one server use too much, and return the replica."""
    replica = scene.members()[number].replica
    scene.excess[replica.incarnation] = TOO_MUCH
    return replica.id


def ids(scene: Scene) -> set[str]:
    """Return the replicas that are."""
    return {member.replica.id for member in scene.members()}


def told(decided: Plan) -> list[str]:
    """Return what is said of replicas over their limits."""
    return [held.reason.detail for held in decided.held if held.reason.code is ReasonCode.OVER_LIMIT]


def course(scene: Scene, turns: int) -> tuple[Counter[str], int]:
    """Return how many steps of each kind so many turns took, and the fewest that served meanwhile."""
    steps, fewest = Counter[str](), len(scene.members())
    for _ in range(turns):
        steps.update(type(step).__name__ for step in scene.turn().steps)
        fewest = min(fewest, scene.serving().total())
    return steps, fewest


def test_where_one_may_be_missing_it_is_evicted_and_the_cluster_makes_another() -> None:
    """One step that names it: all others are the same as before, and nobody asks for another count."""
    scene = settled(max_unavailable=1)
    before = ids(scene)
    offender = swell(scene)
    steps, fewest = course(scene, 30)
    assert ({"Evict": 1}, 2) == (steps, fewest)
    assert before - {offender} == before & ids(scene)
    assert 3 == len(ids(scene))
    scene.settle()
    assert [] == scene.wrong


def test_where_none_may_be_missing_another_one_comes_first_and_then_it_is_evicted() -> None:
    """There are never fewer than all that are wanted; in the end the cluster picks who was one too many."""
    scene = settled()
    offender = swell(scene)
    steps, fewest = course(scene, 60)
    assert ({"Grow": 1, "Evict": 1, "Shrink": 1}, 3) == (steps, fewest)
    assert offender not in ids(scene)
    assert {("here", "/m/1"): 3} == scene.serving()
    scene.settle()
    assert [] == scene.wrong


@pytest.mark.parametrize("max_unavailable", [0, 1])
def test_when_all_use_too_much_they_are_evicted_one_after_the_other(max_unavailable: int) -> None:
    """Never are two missing at once, and all are made anew."""
    scene = settled(max_unavailable=max_unavailable)
    before = ids(scene)
    for number in range(3):
        swell(scene, number)
    steps, fewest = course(scene, 200)
    assert (3, 3 - max_unavailable) == (steps["Evict"], fewest)
    assert set() == before & ids(scene)
    scene.settle()
    assert [] == scene.wrong


def test_an_owner_at_the_quota_has_nobody_evicted() -> None:
    """The one that ends and the one that comes would both count: it stays, and why is said."""
    scene = settled(max_unavailable=1)
    scene.limit(search=Quota(cpu=Cpus(3_000)))
    offender = swell(scene)
    steps, _ = course(scene, 20)
    assert Counter() == steps
    assert offender in ids(scene)
    (said,) = told(scene.turn())
    assert "quota of search" in said
    scene.limit(search=Quota(cpu=Cpus(4_000)))
    assert {"Evict": 1} == course(scene, 30)[0]
    assert [] == scene.wrong


def test_where_one_more_finds_no_room_it_stays_and_why_is_said() -> None:
    """On a full cluster with none to spare, one more is tried once, taken back, and the offender serves on."""
    scene = settled(cpu=3_000)
    offender = swell(scene)
    _, fewest = course(scene, 200)
    assert 3 == fewest
    assert offender in ids(scene)
    assert told(scene.turn())
    assert [] == scene.wrong


def test_one_that_cannot_be_evicted_stays_and_why_is_said() -> None:
    """On a cluster that neither evicts nor gives up who is named."""
    scene = settled(max_unavailable=1, able=attrs.evolve(LIKE_KUBERNETES, evicts=False))
    swell(scene)
    steps, _ = course(scene, 20)
    assert Counter() == steps
    (said,) = told(scene.turn())
    assert "neither restarts nor evicts one replica" in said


def test_who_was_made_from_what_somebody_else_wrote_is_evicted() -> None:
    """As drift asks for it: after it was put back, who was made meanwhile gives way."""
    scene = settled(max_unavailable=1)
    cluster = scene.clusters["here"]
    (group,) = cluster.truth().groups
    cluster.meddle(group.key, Drift(field="resources.memory", ours="1Mi", theirs="2Mi", manager="kubectl-edit"))
    cluster.lose(group.replicas[0].id)
    steps, fewest = course(scene, 60)
    assert (1, 1) == (steps["Revert"], steps["Evict"])
    assert 2 == fewest
    assert [False] * 3 == [member.replica.drifted for member in scene.members()]
    scene.settle()
    assert [] == scene.wrong


def test_one_that_restarted_since_the_decision_is_not_evicted() -> None:
    """It is another process, and within its limits as far as anybody knows."""
    scene = settled(max_unavailable=1)
    offender = swell(scene)

    def crash() -> None:
        decided = scene.decided
        if decided is not None and any(isinstance(step, Evict) for step in decided.steps):
            scene.drive.meanwhile = lambda: None
            scene.clusters["here"].crash(offender)
            scene.clock.advance(10_000)

    scene.drive.meanwhile = crash
    course(scene, 30)
    assert offender in ids(scene)
    scene.settle()
    assert [] == scene.wrong
