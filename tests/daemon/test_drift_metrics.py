"""What others change or scale of our groups can be watched and alerted on."""

from __future__ import annotations

from roadstead.act.calls import done
from roadstead.act.events import Turn
from roadstead.act.turn_events import reverted
from roadstead.daemon.drift_metrics import of_drift
from roadstead.plans import Revert
from roadstead.world import Drift
from tests.decide.scene import Scene, deployment, fleet, nodes

THEIRS = Drift(field="resources.memory", ours="1Mi", theirs="2Mi", manager="kubectl-edit")


def settled() -> Scene:
    """Return a scene at rest, of one deployment with two replicas."""
    scene = Scene(fleet(deployment()), {"here": nodes(1)})
    scene.settle()
    return scene


def turn(scene: Scene) -> Turn:
    """Return what the next turn sees and decides, with all that it does done."""
    world = scene.drive.observe()
    plan = scene.drive.decide(world)
    outcomes = tuple(done(step, plan.memory.turn) for step in plan.steps)
    return Turn(
        number=plan.memory.turn, at=scene.clock.now(), fleet=scene.fleet, world=world, plan=plan, outcomes=outcomes
    )


def samples(seen: Turn) -> dict[str, float]:
    """Return the value of every family that says something of the only group."""
    return {sample.name: sample.value for family in of_drift(seen) for sample in family.samples}


def test_a_group_that_is_as_it_was_made_says_nothing() -> None:
    """Absent, as everywhere where there is nothing to say."""
    assert {} == samples(turn(settled()))


def test_a_group_that_others_changed_is_counted_with_what_becomes_of_it() -> None:
    """One field, no replica made of it yet, put back for the first time now, and nobody fights over it."""
    scene = settled()
    (group,) = scene.clusters["here"].truth().groups
    scene.clusters["here"].meddle(group.key, THEIRS)
    seen = turn(scene)
    assert {
        "roadstead_drifted_fields": 1,
        "roadstead_drifted_replicas": 0,
        "roadstead_reverts_last_hour": 1,
        "roadstead_contested": 0,
    } == samples(seen)
    assert [Revert] == [type(step) for step in reverted(seen)]


def test_a_group_that_others_scale_is_contested() -> None:
    """As long as they do, though nothing of it was changed."""
    scene = settled()
    (group,) = scene.clusters["here"].truth().groups
    scene.clusters["here"].scale(group.key, "hpa/anchor", 2)
    seen = samples(turn(scene))
    assert (0, 1) == (seen["roadstead_drifted_fields"], seen["roadstead_contested"])
    scene.clusters["here"].scale(group.key, "", 0)
    assert {} == samples(turn(scene))
