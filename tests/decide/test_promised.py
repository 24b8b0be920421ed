"""Replicas that a cluster was asked for and does not make: given up first of all, once fewer are wanted."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.capabilities import Capabilities
from roadstead.model import Quota, RolloutSpec
from roadstead.plans import Grow, Plan, Shrink
from roadstead.reasons import ChangeKind, ReasonCode
from roadstead.units import Cpus, Duration
from roadstead.world import Phase
from roadstead_backends.simulated import tempers
from roadstead_backends.simulated.faults import CallFault, ModelFault
from tests.decide.scene import DIRECTED, NATIVE, Scene, deployment, fleet, nodes, template

EACH = 1_000
TIGHT = Quota(cpu=Cpus(4 * EACH))
"""What four replicas hold."""

NAMED_IN_VAIN = attrs.evolve(NATIVE, exact_retire=False)
PLACED_BY_US = tempers.placed_by_us(tempers.KUBERNETES).able
ABLE = pytest.mark.parametrize("able", [NATIVE, NAMED_IN_VAIN], ids=["exact", "whom it likes"])
FORBIDDEN = pytest.mark.parametrize(
    ("able", "refuses_early"),
    [
        pytest.param(NATIVE, True, id="native, makes none"),
        pytest.param(NAMED_IN_VAIN, True, id="whom it likes, makes none"),
        pytest.param(NATIVE, False, id="native, places none"),
        pytest.param(DIRECTED, True, id="directed, makes none"),
        pytest.param(PLACED_BY_US, True, id="directed and heals, makes none"),
        pytest.param(DIRECTED, False, id="directed, binds none"),
    ],
)
"""How a cluster can say that its own quota forbids one more: of the group, of the replica, or when we place it."""


def settled(
    able: Capabilities = NATIVE, *, replicas: int = 4, max_unavailable: int = 0, refuses_early: bool = True
) -> Scene:
    """Return a scene in which some replicas serve, on a cluster whose own quota allows no more.

    It makes none then and says so of the group only, unless it ``refuses_early`` no more than to run it.
    """
    rollout = RolloutSpec(max_unavailable=max_unavailable, progress_deadline=Duration(60_000))
    scene = Scene(
        fleet(deployment(replicas=replicas, rollout=rollout)),
        {"here": nodes(2, 16_000)},
        {"here": able},
        thorough=True,
        refuses_early=refuses_early,
    )
    scene.settle()
    scene.clusters["here"].limit(Quota(cpu=Cpus(replicas * EACH)))
    return scene


def asked(scene: Scene) -> list[int]:
    """Return how many replicas each group is asked for."""
    return [group.target for group in scene.clusters["here"].truth().groups]


def shrinks(decided: Plan) -> list[tuple[int, tuple[str, ...]]]:
    """Return how many are left after each step that leaves fewer, and who goes by name."""
    return [(step.target, step.retire) for step in decided.steps if isinstance(step, Shrink)]


@ABLE
@pytest.mark.parametrize("max_unavailable", [0, 1])
def test_what_was_asked_for_and_never_came_is_given_up_in_the_place_of_any_that_stands(
    able: Capabilities, max_unavailable: int
) -> None:
    """Five are wanted and the cluster makes no fifth; then four are wanted again, and nobody is taken down."""
    scene = settled(able, max_unavailable=max_unavailable)
    scene.scale("anchor", 5)
    scene.turns(10)
    assert [5] == asked(scene)
    before = scene.replicas()

    scene.scale("anchor", 4)
    assert [(4, ())] == shrinks(scene.turn())
    scene.settle()
    assert [4] == asked(scene)
    assert before == scene.replicas()
    assert [] == scene.wrong


def test_only_as_many_are_given_up_as_are_too_many() -> None:
    """Seven were asked for and five are wanted: the fifth is waited for."""
    scene = settled()
    scene.scale("anchor", 7)
    scene.turns(3)
    scene.scale("anchor", 5)
    assert [(5, ())] == shrinks(scene.turn())
    scene.turns(10)
    assert [5] == asked(scene)
    assert [] == scene.wrong


@ABLE
def test_more_than_never_came_leave_with_those_that_did(able: Capabilities) -> None:
    """Of two too many one is not there; the other one drains, and goes in the second step."""
    scene = settled(able)
    scene.scale("anchor", 5)
    scene.turns(3)
    scene.scale("anchor", 3)
    assert [(4, ())] == shrinks(scene.turn())
    scene.settle()
    assert [3] == asked(scene)
    assert 3 == len(scene.replicas())
    assert [] == scene.wrong


def test_what_never_came_of_a_revision_that_is_history_is_given_up() -> None:
    """Somebody asked for a replica of it while there was no room; nobody waits for that until there is."""
    scene = settled()
    scene.clusters["here"].limit(None)
    scene.declare(deployment(replicas=4, of=template("/m/2"), rollout=scene.fleet.deployments["anchor"].rollout))
    scene.settle()
    scene.clusters["here"].limit(TIGHT)
    old, _ = sorted(scene.clusters["here"].truth().groups, key=lambda group: group.generation)
    scene.clusters["here"].scale(old.key, "hpa/other", 1)
    scene.clusters["here"].scale(old.key, "", 1)
    assert [1, 4] == sorted(asked(scene))

    assert [(0, ())] == shrinks(scene.turn())
    scene.settle()
    assert [0, 4] == sorted(asked(scene))
    assert [] == scene.wrong


def test_what_the_cluster_heals_of_the_proven_revision_is_not_given_up_while_another_one_fails() -> None:
    """The one before is what serves until then, with all that it was asked for."""
    scene = settled()
    scene.clusters["here"].limit(None)
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.FAILS
    scene.declare(deployment(replicas=4, of=template("/m/2"), rollout=scene.fleet.deployments["anchor"].rollout))
    scene.turns(3)
    scene.clusters["here"].limit(TIGHT)
    scene.clusters["here"].lose(next(one.id for one in scene.replicas() if one.phase is Phase.RUNNING))
    plans = [scene.turn() for _ in range(10)]

    old = min(scene.clusters["here"].truth().groups, key=lambda group: group.generation)
    assert 4 == old.target
    assert [] == [step for one in plans for step in one.steps if isinstance(step, Grow | Shrink)]
    assert [] == scene.wrong


def rolled(scene: Scene) -> list[Plan]:
    """Return the plans of a roll for which the cluster's own quota leaves no room."""
    scene.declare(deployment(replicas=4, of=template("/m/2"), rollout=scene.fleet.deployments["anchor"].rollout))
    return [scene.turn() for _ in range(60)]


@FORBIDDEN
def test_a_roll_that_a_clusters_own_quota_leaves_no_room_for_takes_one_down_first(
    able: Capabilities, refuses_early: bool
) -> None:
    """The first of the new ones does not come; it is waited for as long as a server may start, and then one yields."""
    scene = settled(able, max_unavailable=1, refuses_early=refuses_early)
    plans = rolled(scene)
    scene.settle()
    assert {("here", "/m/2"): 4} == scene.serving()
    assert {ReasonCode.QUOTA, ReasonCode.REFUSED} & {one.reason.code for decided in plans[1:4] for one in decided.held}
    assert [] == scene.wrong


@FORBIDDEN
def test_a_roll_that_a_clusters_own_quota_leaves_no_room_for_is_held_where_none_may_be_missing(
    able: Capabilities, refuses_early: bool
) -> None:
    """What never came is given up, everybody serves on, and the reason is said for as long as it stands still."""
    scene = settled(able, refuses_early=refuses_early)
    plans = rolled(scene)
    calls = scene.calls()
    plans.append(scene.turns(20))
    assert {("here", "/m/1"): 4} == scene.serving()
    assert [0, 4] == sorted(asked(scene))
    assert all(one.held or one.steps for one in plans[1:])
    assert [ReasonCode.ROLLOUT_HELD] == [one.reason.code for one in plans[-1].held]
    assert ["quota" in one.reason.raw for one in plans[-1].held] == [True]
    assert [ChangeKind.RAISE_MAX_UNAVAILABLE] == [one.reason.change.kind for one in plans[-1].held if one.reason.change]
    assert calls == scene.calls()
    assert [] == scene.wrong


@FORBIDDEN
def test_a_roll_that_was_held_goes_on_once_the_clusters_own_quota_allows_more(
    able: Capabilities, refuses_early: bool
) -> None:
    """Nobody has to ask for it again: the quota that the cluster shows is larger than when it was found too small."""
    scene = settled(able, refuses_early=refuses_early)
    rolled(scene)
    scene.clusters["here"].limit(Quota(cpu=Cpus(5 * EACH)))
    scene.turns(10)
    scene.settle()
    assert {("here", "/m/2"): 4} == scene.serving()
    assert [] == scene.wrong


@pytest.mark.parametrize("fault", [CallFault.RETRYABLE, CallFault.REJECTED])
def test_a_cluster_that_fails_to_place_one_more_is_not_full(fault: CallFault) -> None:
    """Nobody yields to a replica that no call gets to run, whatever may be missing: it is tried on."""
    scene = settled(DIRECTED, max_unavailable=1)
    scene.clusters["here"].limit(None)
    scene.declare(deployment(replicas=4, of=template("/m/2"), rollout=scene.fleet.deployments["anchor"].rollout))
    scene.turn()
    scene.clusters["here"].faults.calls.extend([fault] * 50)
    plans = [scene.turn() for _ in range(60)]
    assert [] == [one for decided in plans for one in shrinks(decided)]
    assert {("here", "/m/1"): 4} == scene.serving()
    assert {ReasonCode.REFUSED} == {one.reason.code for decided in plans for one in decided.held}
    scene.clusters["here"].faults.clear()
    scene.settle()
    assert {("here", "/m/2"): 4} == scene.serving()
    assert [] == scene.wrong


@FORBIDDEN
def test_what_a_clusters_own_quota_forbids_is_asked_for_once_and_comes_when_it_may(
    able: Capabilities, refuses_early: bool
) -> None:
    """Growth that waits says why, writes nothing meanwhile, and takes nobody down."""
    scene = settled(able, refuses_early=refuses_early)
    before = scene.replicas()
    scene.scale("anchor", 5)
    plans = [scene.turn() for _ in range(40)]
    assert 1 == sum(isinstance(step, Grow) for one in plans for step in one.steps)
    assert all(one.held or one.steps for one in plans[2:])
    assert {replica.id for replica in before} <= {replica.id for replica in scene.replicas()}
    scene.clusters["here"].limit(None)
    scene.settle()
    assert {("here", "/m/1"): 5} == scene.serving()
    assert [] == scene.wrong


@FORBIDDEN
def test_what_a_clusters_own_quota_forbids_goes_to_the_next_cluster_and_comes_back(
    able: Capabilities, refuses_early: bool
) -> None:
    """It is waited for as long as a server may start; it returns after more has been allowed for a while."""
    scene = Scene(
        fleet(deployment(replicas=4, on=("here", "there")), clusters=("here", "there")),
        {"here": nodes(2, 16_000), "there": nodes(2, 16_000)},
        {"here": able, "there": able},
        thorough=True,
        refuses_early=refuses_early,
    )
    scene.settle()
    scene.clusters["here"].limit(TIGHT)
    scene.scale("anchor", 6)
    scene.turns(20)
    scene.settle()
    assert {("here", "/m/1"): 4, ("there", "/m/1"): 2} == scene.serving()
    scene.clusters["here"].limit(None)
    scene.turns(31)
    scene.settle()
    assert {("here", "/m/1"): 6} == scene.serving()
    assert [] == scene.wrong


@settings(max_examples=10)
@given(
    able=st.sampled_from([NATIVE, NAMED_IN_VAIN]),
    there=st.integers(1, 4),
    more=st.integers(1, 4),
    fewer=st.integers(0, 2),
    max_unavailable=st.integers(0, 2),
)
def test_whatever_was_asked_for_in_vain_no_group_waits_for_more_than_is_wanted(
    able: Capabilities, there: int, more: int, fewer: int, max_unavailable: int
) -> None:
    """In the end as many are asked for as are wanted, and nobody was taken down who was wanted all along."""
    scene, wanted = settled(able, replicas=there, max_unavailable=max_unavailable), max(0, there - fewer)
    before = {replica.id for replica in scene.replicas()}
    scene.scale("anchor", there + more)
    scene.turns(3)
    scene.scale("anchor", wanted)
    scene.turns(12)

    assert [wanted] == asked(scene)
    assert wanted == len(before & {replica.id for replica in scene.replicas()})
    assert [] == scene.wrong
