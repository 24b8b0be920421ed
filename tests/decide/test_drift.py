"""What others change of our groups is put back, three times an hour at most, and what was made of it is made anew."""

from __future__ import annotations

from collections import Counter

import attrs

from roadstead.cli.text.drift import drift_view
from roadstead.decide.report import FieldDrift, FleetDrift, fleet_drift
from roadstead.model import OnDrift
from roadstead.plans import Plan, Revert
from roadstead.reasons import ReasonCode
from roadstead.world import Drift, Group
from tests.cli.stage import rendered
from tests.decide.scene import DIRECTED, TURN_MS, Scene, deployment, fleet, nodes

THEIRS = Drift(field="resources.memory", ours="1Mi", theirs="2Mi", manager="kubectl-edit")
HOUR = 3_600_000


def settled(on_drift: OnDrift = OnDrift.REVERT) -> Scene:
    """Return a scene at rest, of one deployment with two replicas and room for more."""
    scene = Scene(fleet(attrs.evolve(deployment(), on_drift=on_drift)), {"here": nodes(1)}, thorough=True)
    scene.settle()
    return scene


def group(scene: Scene) -> Group:
    """Return the only group as it really is."""
    (found,) = scene.clusters["here"].truth().groups
    return found


def meddle(scene: Scene) -> None:
    """Let somebody else change our group."""
    scene.clusters["here"].meddle(group(scene).key, THEIRS)


def codes(decided: Plan) -> set[ReasonCode]:
    """Return why something is held."""
    return {held.reason.code for held in decided.held}


def reverts(scene: Scene, turns: int) -> int:
    """Return how often so many turns put something back."""
    return sum(isinstance(step, Revert) for _ in range(turns) for step in scene.turn().steps)


def test_what_others_changed_is_put_back_and_nobody_is_stopped() -> None:
    """One step with a precondition; the replicas that were there before are as they were."""
    scene = settled()
    before = {member.replica.incarnation for member in scene.members()}
    meddle(scene)
    (step,) = scene.turn().steps
    assert isinstance(step, Revert)
    assert "kubectl-edit changed resources.memory from 1Mi to 2Mi" in step.because
    scene.settle()
    assert () == group(scene).drift
    assert before == {member.replica.incarnation for member in scene.members()}
    assert [] == scene.wrong


def test_replicas_that_were_made_of_it_are_replaced_one_at_a_time_above_the_floor() -> None:
    """Both were lost and made again while it was changed: both are replaced, and never are there fewer than two."""
    scene = settled()
    meddle(scene)
    cluster = scene.clusters["here"]
    for replica in scene.replicas():
        cluster.lose(replica.id)
    scene.drive.lives = None
    scene.declare(attrs.evolve(scene.fleet.deployments["anchor"], on_drift=OnDrift.REPORT))
    scene.turns(10)
    assert [True, True] == [replica.drifted for replica in scene.replicas()]
    scene.declare(attrs.evolve(scene.fleet.deployments["anchor"], on_drift=OnDrift.REVERT))
    least = 2
    for _ in range(60):
        scene.turn()
        least = min(least, scene.serving().total())
    assert (2, [False, False]) == (least, [replica.drifted for replica in scene.replicas()])
    scene.settle()
    assert [] == scene.wrong


def test_after_three_times_within_an_hour_it_is_contested_and_the_other_is_named() -> None:
    """The fourth change stays, and is put back once the hour is over."""
    scene = settled()
    done = 0
    for _ in range(3):
        meddle(scene)
        done += reverts(scene, 3)
    assert 3 == done
    meddle(scene)
    assert 0 == reverts(scene, 5)
    decided = scene.turn()
    (held,) = [one for one in decided.held if one.reason.code is ReasonCode.CONTESTED]
    assert "kubectl-edit changed again" in held.reason.detail
    assert held.reason.change is not None
    assert "have kubectl-edit leave it alone" in held.reason.change.text
    assert 1 == reverts(scene, HOUR // TURN_MS)
    assert [] == scene.wrong


def test_a_sleeping_daemon_lets_no_hour_pass() -> None:
    """What counts is how long was watched: a clock that jumps a day ends nothing."""
    scene = settled()
    for _ in range(3):
        meddle(scene)
        scene.turns(3)
    meddle(scene)
    scene.clock.advance(24 * HOUR)
    assert 0 == reverts(scene, 5)
    assert ReasonCode.CONTESTED in codes(scene.turn())


def test_where_it_is_only_to_be_reported_nothing_is_written() -> None:
    """It is said with the field and both values, and the group stays as somebody else wrote it."""
    scene = settled(OnDrift.REPORT)
    meddle(scene)
    calls = scene.calls()
    decided = scene.turns(10)
    assert {ReasonCode.DRIFT} == codes(decided)
    assert (calls, (THEIRS,)) == (scene.calls(), group(scene).drift)
    assert [] == scene.wrong


def test_a_change_between_decision_and_call_is_not_put_back_unseen() -> None:
    """Its precondition is the version that was seen: the call fails, and the next turn decides anew."""
    scene = settled()
    meddle(scene)
    other = attrs.evolve(THEIRS, field="env.LEVEL", ours="none", theirs="debug")

    def once_more() -> None:
        scene.drive.meanwhile = lambda: None
        scene.clusters["here"].meddle(group(scene).key, other)

    scene.drive.meanwhile = once_more
    scene.turn()
    assert 2 == len(group(scene).drift)
    scene.settle()
    assert () == group(scene).drift
    assert Counter() == Counter(scene.wrong)


def test_a_change_that_goes_on_is_one_change_however_often_putting_it_back_comes_too_late() -> None:
    """Each call fails since the group has moved on, as while a cluster carries the change out: nobody contests it."""
    scene = settled()
    meddle(scene)
    for number in range(5):
        other = attrs.evolve(THEIRS, field="env.LEVEL", ours="none", theirs=str(number))

        def move_on(theirs: Drift = other) -> None:
            scene.drive.meanwhile = lambda: None
            scene.clusters["here"].meddle(group(scene).key, theirs)

        scene.drive.meanwhile = move_on
        assert ReasonCode.CONTESTED not in codes(scene.turn())
    scene.settle()
    assert () == group(scene).drift
    assert Counter() == Counter(scene.wrong)


def test_one_who_changes_it_again_at_once_each_time_it_is_put_back_contests_it() -> None:
    """However quickly: what was put back in between is another change."""
    scene = settled()
    done = 0
    for _ in range(3):
        meddle(scene)
        done += reverts(scene, 1)
    meddle(scene)
    assert (3, 0) == (done, reverts(scene, 5))
    assert ReasonCode.CONTESTED in codes(scene.turn())


def shown(scene: Scene) -> FleetDrift:
    """Return what is told of drift as the loop sees it now."""
    world = scene.drive.observe()
    return fleet_drift(scene.fleet, world, scene.drive.decide(world), scene.clock.now())


def test_every_field_is_told_with_both_values_and_who_wrote_it() -> None:
    """Also what becomes of it, and nothing where all is as we made it."""
    scene = settled(OnDrift.REPORT)
    assert () == shown(scene).groups
    meddle(scene)
    (told,) = shown(scene).groups
    assert (FieldDrift(field="resources.memory", ours="1Mi", theirs="2Mi", manager="kubectl-edit"),) == told.fields
    assert ("report", False, 0) == (told.on_drift, told.contested, told.reverted)
    lines = rendered(drift_view(shown(scene)), 100)
    assert "resources.memory  1Mi   2Mi     kubectl-edit" in lines
    assert "stays as it is: drift: report" in lines


def test_a_contested_group_is_told_to_be_one() -> None:
    """With how often it was put back."""
    scene = settled()
    for _ in range(3):
        meddle(scene)
        scene.turns(3)
    meddle(scene)
    scene.turn()
    (told,) = shown(scene).groups
    assert (True, 3) == (told.contested, told.reverted)
    assert "is contested" in rendered(drift_view(shown(scene)), 100)


def test_a_cluster_that_cannot_put_back_is_not_asked_to() -> None:
    """It is said, with what remains to a person, and nothing is written."""
    able = attrs.evolve(DIRECTED, reverts=False)
    scene = Scene(fleet(deployment()), {"here": nodes(1)}, {"here": able}, thorough=True)
    scene.settle()
    meddle(scene)
    calls = scene.calls()
    decided = scene.turns(10)
    (held,) = decided.held
    assert ReasonCode.DRIFT is held.reason.code
    assert "here has no way to put that back" in held.reason.detail
    assert (calls, (THEIRS,)) == (scene.calls(), group(scene).drift)


def test_who_scales_a_group_besides_us_is_told() -> None:
    """By name, with what follows from it; it stands there although nothing of the group was changed."""
    scene = settled()
    scene.clusters["here"].scale(group(scene).key, "hpa/anchor", 2)
    (told,) = shown(scene).groups
    assert ((), True, "hpa/anchor") == (told.fields, told.contested, told.scaled_by)
    assert "is scaled by hpa/anchor" in rendered(drift_view(shown(scene)), 100)
