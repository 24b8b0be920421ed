"""What people ask of a rollout by command: that it stands still, that they vouch for it, that it is taken back."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from roadstead.daemon import steering
from roadstead.daemon.errors import NoRollout, NothingToUndo, NotPaused, UnknownRevision
from roadstead.model import Deployment, ModelVersion, RolloutSpec, Strategy
from roadstead.plans import Plan
from roadstead.reasons import ReasonCode
from roadstead.spi.backend import Expect
from roadstead.template import target
from roadstead.units import Duration
from roadstead_backends.simulated.faults import ModelFault
from tests.decide.scene import Scene, deployment, fleet, nodes, template, with_source

ROLLOUT = RolloutSpec(progress_deadline=Duration(20_000), history=3)
RELOAD = RolloutSpec(strategy=Strategy.RELOAD, progress_deadline=Duration(20_000))
BOTH = ("here", "there")


def started(*, replicas: int = 3, cpu: int = 8_000, rollout: RolloutSpec = ROLLOUT) -> Scene:
    """Return a scene of one node where ``/m/1`` serves and is proven."""
    scene = Scene(fleet(deployment(replicas=replicas, rollout=rollout)), {"here": nodes(1, cpu)}, thorough=True)
    scene.settle()
    return scene


def change(scene: Scene, source: str) -> None:
    """Write another template to the file."""
    scene.declare(with_source(scene.fleet.deployments["anchor"], source))


def halfway(source: str = "/m/2") -> Scene:
    """Return a scene in which the first replica of a new revision has just become ready."""
    scene = started()
    change(scene, source)
    for _ in range(20):
        scene.turn()
        if scene.serving()["here", source]:
            return scene
    raise AssertionError("nothing of the new revision serves")


def served(scene: Scene) -> Counter[str]:
    """Return how many replicas of each source serve."""
    return Counter({source: count for (_, source), count in scene.serving().items()})


def versions(scene: Scene) -> list[tuple[int, ...]]:
    """Return the versions that each replica serves."""
    return [member.model.versions for member in scene.members() if member.model is not None]


def codes(plan: Plan) -> set[ReasonCode]:
    """Return why something is held."""
    return {held.reason.code for held in plan.held}


# ---- pause and resume ----


def test_a_paused_rollout_stands_still_and_says_so() -> None:
    """What serves when it is paused serves for as long as it is; that it is paused is the reason."""
    scene = halfway()
    scene.pause("anchor")
    decided = scene.settle()
    assert {ReasonCode.PAUSED} == codes(decided)
    assert {"/m/1", "/m/2"} == set(served(scene))
    assert 3 <= served(scene).total() <= 4
    assert [] == scene.wrong


def test_a_paused_rollout_goes_on_when_it_is_resumed() -> None:
    """It ends as if nobody had held it up."""
    scene = halfway()
    scene.pause("anchor")
    scene.turns(20)
    scene.resume("anchor")
    scene.settle()
    assert {"/m/2": 3} == served(scene)
    assert [] == scene.wrong


@pytest.mark.parametrize("source", ["/m/1", "/m/2"])
def test_what_is_lost_while_it_is_paused_is_made_again_as_it_was(source: str) -> None:
    """Each revision gets back its own."""
    scene = halfway()
    scene.pause("anchor")
    scene.settle()
    before = served(scene)
    lost = next(one for one in scene.members() if one.group.template.model.source == source)
    scene.clusters["here"].lose(lost.replica.id)
    scene.settle()
    assert before == served(scene)
    assert [] == scene.wrong


def test_no_deadline_runs_while_it_is_paused() -> None:
    """A new revision that does not get ready is not failed by the time that a person holds it up."""
    scene = started()
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.FAILS
    change(scene, "/m/2")
    scene.turns(4)
    scene.pause("anchor")
    decided = scene.turns(50)
    assert {ReasonCode.PAUSED} == codes(decided)
    scene.resume("anchor")
    assert ReasonCode.ROLLOUT_FAILED in codes(scene.settle())


@pytest.mark.parametrize(("wanted", "least", "most"), [(5, 5, 6), (1, 1, 2), (0, 0, 0)])
def test_a_new_number_of_replicas_is_met_while_it_is_paused(wanted: int, least: int, most: int) -> None:
    """Scaling is no part of the rollout; what surges may stay as long as both revisions stand."""
    scene = halfway()
    scene.pause("anchor")
    scene.settle()
    scene.scale("anchor", wanted)
    scene.settle()
    assert least <= served(scene).total() <= most
    assert [] == scene.wrong


def test_a_change_of_the_template_ends_a_pause() -> None:
    """Whoever changes the file means that change."""
    scene = halfway()
    scene.pause("anchor")
    scene.turns(5)
    change(scene, "/m/3")
    scene.settle()
    assert {"/m/3": 3} == served(scene)


def test_a_version_that_is_being_loaded_stops_at_the_replicas_that_have_it() -> None:
    """Where replicas reload, a pause leaves the others with what they serve."""
    scene = reloading(1)
    scene.declare(at_version(2))
    while (2,) not in versions(scene):
        scene.turn()
    scene.pause("anchor")
    scene.turns(20)
    assert {(1,), (2,)} == set(versions(scene))
    scene.resume("anchor")
    scene.settle()
    assert {(2,)} == set(versions(scene))
    assert [] == scene.wrong


def test_only_what_rolls_can_be_paused_and_only_what_is_paused_resumed() -> None:
    """The refusals say what is the case instead."""
    scene = started()
    declared = scene.fleet.deployments["anchor"]
    with pytest.raises(NoRollout, match="nothing of anchor rolls now"):
        steering.pause(scene.fleet, declared, scene.truth())
    with pytest.raises(NotPaused, match="is not paused"):
        steering.resume(scene.fleet, declared)
    scene = halfway()
    scene.pause("anchor")
    with pytest.raises(NoRollout, match="paused already"):
        steering.pause(scene.fleet, scene.fleet.deployments["anchor"], scene.truth())


# ---- promote ----


def test_what_is_promoted_counts_as_proven_at_once() -> None:
    """Its replicas need not be ready for a while first, and none of them fails it."""
    scene = halfway()
    scene.promote("anchor")
    scene.turn()
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.CRASHES
    decided = scene.turns(40)
    assert ReasonCode.ROLLOUT_FAILED not in codes(decided)


def test_a_failed_revision_is_tried_again_once_it_is_promoted() -> None:
    """A person's word is worth more than the verdict."""
    scene = started()
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.CRASHES
    change(scene, "/m/2")
    scene.settle()
    assert {"/m/1": 3} == served(scene)
    scene.clusters["here"].faults.clear()
    scene.promote("anchor")
    scene.settle()
    assert {"/m/2": 3} == served(scene)
    assert [] == scene.wrong


def test_there_must_be_something_to_vouch_for() -> None:
    """What is proven already, what does not exist, and what was undone cannot be promoted."""
    scene = started()
    with pytest.raises(NoRollout, match="proven already"):
        steering.promote(scene.fleet, scene.fleet.deployments["anchor"], scene.truth(), scene.drive.saved)
    change(scene, "/m/2")
    with pytest.raises(NoRollout, match="exists yet"):
        steering.promote(scene.fleet, scene.fleet.deployments["anchor"], scene.truth(), scene.drive.saved)
    scene.settle()
    scene.undo("anchor")
    with pytest.raises(NoRollout, match="was undone by command"):
        steering.promote(scene.fleet, scene.fleet.deployments["anchor"], scene.truth(), scene.drive.saved)


# ---- undo ----


def test_undo_goes_back_to_the_proven_revision_before() -> None:
    """The group that was kept at zero gets its replicas back, and the file's revision stays in the history."""
    scene = started()
    change(scene, "/m/2")
    scene.settle()
    scene.undo("anchor")
    decided = scene.settle()
    assert {"/m/1": 3} == served(scene)
    assert () == decided.held
    assert [] == scene.wrong


def test_undo_in_the_middle_of_a_rollout_takes_it_back_from_there() -> None:
    """What was new goes, what was taken down comes back, and the floor holds."""
    scene = halfway()
    scene.undo("anchor")
    scene.settle()
    assert {"/m/1": 3} == served(scene)
    assert [] == scene.wrong


def test_undo_again_goes_further_back_and_clear_returns_to_the_file() -> None:
    """A revision that failed is passed over."""
    scene = started()
    change(scene, "/m/2")
    scene.settle()
    scene.clusters["here"].faults.models["/m/3"] = ModelFault.CRASHES
    change(scene, "/m/3")
    scene.settle()
    change(scene, "/m/4")
    scene.settle()
    ran: list[str] = []
    for _ in range(2):
        scene.undo("anchor")
        scene.settle()
        ran.append(*served(scene))
    assert ["/m/2", "/m/1"] == ran
    with pytest.raises(NothingToUndo):
        scene.undo("anchor")
    scene.clear("anchor")
    scene.settle()
    assert {"/m/4": 3} == served(scene)
    assert [] == scene.wrong


def test_undo_to_a_revision_of_the_history_runs_that_one() -> None:
    """What is named need not be the last one; what is in no history is refused with what there is."""
    scene = started()
    first = scene.fleet.deployments["anchor"].targets[0].revision
    for source in ("/m/2", "/m/3"):
        change(scene, source)
        scene.settle()
    with pytest.raises(UnknownRevision, match="'nothing' is in no history") as refused:
        scene.undo("anchor", "nothing")
    assert first in (refused.value.hint or "")
    scene.undo("anchor", first)
    scene.settle()
    assert {"/m/1": 3} == served(scene)
    assert [] == scene.wrong


def test_a_first_revision_has_nothing_to_go_back_to() -> None:
    """It is refused, and nothing changes."""
    scene = started()
    with pytest.raises(NothingToUndo, match="no proven revision"):
        scene.undo("anchor")


def test_undo_needs_no_group_to_be_left() -> None:
    """The command has the template: a group that somebody deleted meanwhile is made again."""
    scene = started()
    change(scene, "/m/2")
    scene.settle()
    old = next(one for one in scene.clusters["here"].truth().groups if one.template.model.source == "/m/1")
    scene.undo("anchor")
    scene.clusters["here"].delete(old.key, grace=Duration(0), expect=Expect(old.version))
    scene.settle()
    assert {"/m/1": 3} == served(scene)
    assert [] == scene.wrong


def test_undo_outlives_a_daemon_without_memory_and_ends_with_another_template() -> None:
    """It is an intent; the file's next template is another one."""
    scene = started()
    change(scene, "/m/2")
    scene.settle()
    scene.undo("anchor")
    scene.turns(2)
    scene.start_again(forget=True)
    scene.settle()
    assert {"/m/1": 3} == served(scene)
    change(scene, "/m/3")
    scene.settle()
    assert {"/m/3": 3} == served(scene)
    assert [] == scene.wrong


def test_undo_ends_a_pause() -> None:
    """It asks for something to roll."""
    scene = halfway()
    scene.pause("anchor")
    scene.turns(3)
    scene.undo("anchor")
    scene.settle()
    assert {"/m/1": 3} == served(scene)


def test_undo_goes_back_on_every_cluster() -> None:
    """Where the same template is another revision on each cluster, each goes back to its own."""
    first = deployment(on=BOTH, replicas=4, rollout=attrs.evolve(ROLLOUT, max_unavailable=1))

    def of_version(number: int) -> Deployment:
        targets = (target("here", template(f"/here/{number}")), target("there", template(f"/there/{number}")))
        return attrs.evolve(first, targets=targets)

    scene = Scene(
        fleet(of_version(1), clusters=BOTH), {"here": nodes(1, 3_000), "there": nodes(1, 6_000)}, thorough=True
    )
    scene.settle(quiet=60)
    before = served(scene)
    assert {"/here/1", "/there/1"} == set(before)
    scene.declare(of_version(2))
    scene.settle(quiet=60)
    assert {"/here/2", "/there/2"} == set(served(scene))
    scene.undo("anchor")
    scene.settle(quiet=60)
    assert before == served(scene)
    assert [] == scene.wrong


def at_version(version: int) -> Deployment:
    """Return a deployment whose replicas change their version in place; each version has a digest."""
    made = template()
    made = attrs.evolve(made, model=attrs.evolve(made.model, version=version, digest=f"{version}" * 64))
    return attrs.evolve(
        deployment(replicas=3, rollout=RELOAD), targets=(target("here", made, reloads=True),), rollout=RELOAD
    )


def reloading(version: int) -> Scene:
    """Return a scene with such a deployment, settled."""
    scene = Scene(fleet(at_version(version)), {"here": nodes(1, 8_000)}, thorough=True)
    scene.settle()
    return scene


def test_undo_of_a_version_loads_the_one_before_in_place() -> None:
    """The processes stay, the digest of the old version is known still, and going further back passes what failed."""
    scene = reloading(1)
    scene.declare(at_version(2))
    scene.settle()
    scene.clusters["here"].faults.models["/m/1/3"] = ModelFault.FAILS
    scene.declare(at_version(3))
    scene.turns(40)
    processes = {one.replica.incarnation for one in scene.members()}
    scene.undo("anchor")
    scene.settle()
    assert {(2,)} == set(versions(scene))
    scene.undo("anchor")
    scene.settle()
    assert {(1,)} == set(versions(scene))
    (wanted,) = {one.group.template.model.wanted for one in scene.members()}
    assert ModelVersion(1, "1" * 64) == wanted
    assert processes == {one.replica.incarnation for one in scene.members()}
    assert [] == scene.wrong


def test_undo_names_a_version_where_replicas_reload() -> None:
    """A version that nobody ever served is in no history."""
    scene = reloading(1)
    for version in (2, 3):
        scene.declare(at_version(version))
        scene.settle()
    with pytest.raises(UnknownRevision, match="'7'"):
        scene.undo("anchor", "7")
    scene.undo("anchor", "1")
    scene.settle()
    assert {(1,)} == set(versions(scene))
    scene.clear("anchor")
    scene.settle()
    assert {(3,)} == set(versions(scene))
    assert [] == scene.wrong
