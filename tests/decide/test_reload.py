"""Changing the version in place: one replica after the other loads it beside what it serves."""

from __future__ import annotations

import attrs

from roadstead.model import Deployment, ModelVersion, Reloading, RolloutSpec, Strategy
from roadstead.plans import Delete, Reload, Shrink
from roadstead.reasons import ReasonCode
from roadstead.template import target
from roadstead.units import Duration, Memory
from roadstead.world import Usage
from roadstead_backends.simulated.faults import ModelFault
from tests.decide.scene import Scene, deployment, fleet, nodes, template

RELOAD = RolloutSpec(strategy=Strategy.RELOAD, progress_deadline=Duration(20_000))


def reloading(version: int, *, replicas: int = 2, source: str = "/m/1") -> Deployment:
    """Return a deployment whose replicas change their version in place."""
    made = template(source)
    made = attrs.evolve(made, model=attrs.evolve(made.model, version=version))
    return attrs.evolve(deployment(replicas=replicas, rollout=RELOAD), targets=(target("here", made, reloads=True),))


def started(version: int = 1, **given: object) -> Scene:
    """Return a scene with a settled deployment of that version."""
    scene = Scene(fleet(reloading(version, **given)), {"here": nodes(2)})  # type: ignore[arg-type]
    scene.settle()
    return scene


def served(scene: Scene) -> list[tuple[int, ...]]:
    """Return the versions that each replica serves."""
    return [member.model.versions for member in scene.truth().shards["anchor"].members if member.model is not None]


def processes(scene: Scene) -> set[str]:
    """Return which server processes there are."""
    return {member.replica.incarnation for member in scene.truth().shards["anchor"].members}


def test_another_version_is_loaded_by_the_very_same_processes() -> None:
    """Nothing is created, restarted or stopped."""
    scene = started()
    before = processes(scene)
    scene.declare(reloading(2))
    scene.settle()
    assert [(2,), (2,)] == served(scene)
    assert before == processes(scene)
    assert [] == scene.wrong


def test_replicas_load_one_after_the_other_and_serve_all_the_time() -> None:
    """As long as one loads, no other begins, and all of them are ready."""
    scene = started(replicas=3)
    scene.declare(reloading(2, replicas=3))
    loading = []
    for _ in range(20):
        decided = scene.turn()
        loading.append(sum(isinstance(step, Reload) for step in decided.steps))
        assert 3 == len(scene.truth().shards["anchor"].ready)
    assert 1 == max(loading)
    assert [(2,)] * 3 == served(scene)
    assert [] == scene.wrong


def test_a_version_that_cannot_be_loaded_takes_nothing_down() -> None:
    """The first replica that fails stops the others from trying; at the deadline the old version is wanted again."""
    scene = started()
    scene.clusters["here"].faults.models["/m/1/2"] = ModelFault.FAILS
    scene.declare(reloading(2))
    asked = set()
    held = set()
    for _ in range(40):
        decided = scene.turn()
        reloads = [step for step in decided.steps if isinstance(step, Reload)]
        asked |= {step.replica for step in reloads if step.template.model.version == 2}
        held |= {one.reason.code for one in decided.held}
        assert not [step for step in decided.steps if isinstance(step, Shrink | Delete)]
        assert 2 == len(scene.truth().shards["anchor"].ready)
    assert 1 == len(asked)
    assert ReasonCode.ROLLOUT_FAILED in held
    assert [(1,), (1,)] == served(scene)
    assert [] == scene.wrong


def test_after_a_failed_version_a_third_one_can_be_named() -> None:
    """What failed is remembered of that version and not of the group."""
    scene = started()
    scene.clusters["here"].faults.models["/m/1/2"] = ModelFault.FAILS
    scene.declare(reloading(2))
    scene.turns(40)
    scene.declare(reloading(3))
    scene.settle()
    assert [(3,), (3,)] == served(scene)
    assert [] == scene.wrong


def test_a_server_that_comes_back_serves_the_wanted_version_before_it_is_listed() -> None:
    """A crash during or after the change ends with the wanted version everywhere."""
    scene = started()
    scene.declare(reloading(2))
    scene.turns(3)
    scene.clusters["here"].crash(scene.truth().shards["anchor"].members[0].replica.id)
    scene.settle()
    assert [(2,), (2,)] == served(scene)
    assert [] == scene.wrong


def test_until_all_have_the_new_version_both_may_be_served_and_then_only_the_new_one() -> None:
    """The group itself says which versions count, so that a daemon without memory knows it too."""
    scene = started()
    scene.declare(reloading(2))
    scene.turn()
    (group,) = (group for _, group in scene.truth().shards["anchor"].groups)
    assert (2, Reloading((ModelVersion(1),))) == (group.template.model.version, group.reloading)
    scene.settle()
    (group,) = (group for _, group in scene.truth().shards["anchor"].groups)
    assert (2, Reloading()) == (group.template.model.version, group.reloading)


def test_a_version_waits_where_the_memory_may_not_hold_both() -> None:
    """What a replica uses now, twice, must stay within its limit; otherwise the plan says what would be enough."""
    scene = started()
    limit = template().resources.memory
    scene.use = {
        member.replica.id: Usage(memory=Memory(limit.bytes * 6 // 10))
        for member in scene.truth().shards["anchor"].members
    }
    scene.declare(reloading(2))
    scene.turn()
    decided = scene.turn()
    assert not [step for step in decided.steps if isinstance(step, Reload)]
    (held,) = (one.reason for one in decided.held if one.reason.code is ReasonCode.ROLLOUT_HELD)
    assert held.change is not None
    assert "raise resources.memory to" in held.change.text


def test_a_change_of_anything_else_rolls_to_a_new_group() -> None:
    """Only the version and its digest can change in place."""
    scene = started()
    before = processes(scene)
    scene.declare(reloading(2, source="/m/2"))
    scene.settle()
    assert before.isdisjoint(processes(scene))
    assert [(2,), (2,)] == served(scene)
    assert [] == scene.wrong


def test_a_daemon_without_memory_goes_on_with_the_change() -> None:
    """All that it needs is in the group and in the servers."""
    scene = started()
    scene.declare(reloading(2))
    scene.turns(2)
    scene.start_again(forget=True)
    scene.settle()
    assert [(2,), (2,)] == served(scene)
    assert [] == scene.wrong


def test_a_replica_that_was_left_with_two_versions_is_told_again() -> None:
    """A daemon that is killed in the middle leaves a server that may answer with either; the next one ends that."""
    scene = started()
    world = scene.drive.observe()
    shard = world.shards["anchor"]
    first = shard.members[0]
    assert first.model is not None
    both = attrs.evolve(first, model=attrs.evolve(first.model, versions=(0, 1)))
    left = attrs.evolve(world, shards={"anchor": attrs.evolve(shard, members=(both, *shard.members[1:]))})
    decided = scene.drive.decide(left)
    assert (True, False) == (both.ready, both.is_current)
    assert [first.replica.id] == [step.replica for step in decided.steps if isinstance(step, Reload)]
