"""One revision after another: surging, dipping, holding, falling back, and never below the floor."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from roadstead.assembly import assemble
from roadstead.model import Adoption, GpuPart, Quota, RolloutSpec, Strategy
from roadstead.plans import Bind, Delete, Grow, Plan, Shrink
from roadstead.reasons import ChangeKind, ReasonCode
from roadstead.units import Cpus, Duration, GpuShare
from roadstead.world import Phase, Reachable
from roadstead_backends.simulated.faults import ModelFault
from tests.decide.scene import NATIVE, TURN_MS, Scene, deployment, fleet, nodes, template, with_source

OLD, NEW = template("/m/1"), template("/m/2")


def rollout(**given: object) -> RolloutSpec:
    """Return a rollout with a short deadline."""
    return RolloutSpec(progress_deadline=Duration(30_000), **given)  # type: ignore[arg-type]


def rolling_over(scene: Scene, spec: RolloutSpec, replicas: int = 2) -> list[Counter[str]]:
    """Change the template of a settled deployment, and return who served after every turn until all is done."""
    scene.declare(deployment(of=NEW, replicas=replicas, rollout=spec))
    story = []
    for _ in range(60):
        scene.turn()
        story.append(Counter({source: count for (_, source), count in scene.serving().items()}))
        if story[-1] == {"/m/2": replicas}:
            return story
    raise AssertionError(f"not done: {story}; {scene.decided and scene.decided.held}")


def settled(cpu: int = 4_000, spec: RolloutSpec | None = None, replicas: int = 2, quota: Quota | None = None) -> Scene:
    """Return a scene of one node where the old revision serves and is proven."""
    first = fleet(deployment(of=OLD, replicas=replicas, rollout=spec or rollout()), search=quota or Quota())
    scene = Scene(first, {"here": nodes(1, cpu)}, thorough=True)
    scene.settle()
    return scene


def most(story: list[Counter[str]]) -> int:
    """Return the largest number of replicas that served at once."""
    return max(sum(turn.values()) for turn in story)


def fewest(story: list[Counter[str]]) -> int:
    """Return the smallest number of replicas that served."""
    return min(sum(turn.values()) for turn in story)


def reasons(plan: Plan) -> set[ReasonCode]:
    """Return why something is held."""
    return {held.reason.code for held in plan.held}


def test_a_new_revision_surges_where_there_is_room() -> None:
    """One more at a time comes first, so that never fewer than wanted serve."""
    scene = settled()
    story = rolling_over(scene, rollout(max_surge=1, max_unavailable=0))
    assert (2, 3) == (fewest(story), most(story))
    assert [] == scene.wrong


def test_a_larger_surge_takes_fewer_turns() -> None:
    """Two at a time are done sooner than one at a time."""
    one = rolling_over(settled(8_000, replicas=4), rollout(max_surge=1), replicas=4)
    two = rolling_over(settled(8_000, replicas=4), rollout(max_surge=2), replicas=4)
    assert len(two) < len(one)
    assert (4, 4) == (fewest(one), fewest(two))


def test_a_new_revision_dips_where_there_is_no_room() -> None:
    """On a full node one goes first, and its room goes to the new one; never below the floor."""
    scene = settled(cpu=2_000)
    story = rolling_over(scene, rollout(max_surge=1, max_unavailable=1))
    assert (1, 2) == (fewest(story), most(story))
    assert [] == scene.wrong


def test_the_room_of_a_dip_is_nobody_else_s() -> None:
    """A deployment of higher priority that waits for room does not take what the rollout freed for itself."""
    scene = settled(cpu=2_000)
    scene.declare(deployment("buoy", of=template("/m/3"), replicas=1, priority=9))
    story = rolling_over(scene, rollout(max_surge=0, max_unavailable=1))
    assert 2 == story[-1]["/m/2"]
    assert 0 == scene.serving("buoy").total()
    assert [] == scene.wrong


def test_the_room_of_a_dip_that_is_not_wanted_any_more_is_free_for_whoever_is_decided_about_first() -> None:
    """Planning again without a claim that lapsed comes to the same: it was in nobody's way in the turn of its end."""
    scene = settled(cpu=2_000)
    scene.declare(deployment("buoy", of=template("/m/3"), replicas=1, priority=9))
    scene.declare(deployment(of=NEW, rollout=rollout(max_surge=0, max_unavailable=1)))
    while not scene.drive.saved.claims or len(scene.members()) == 2:
        scene.turn()
    scene.scale("anchor", 1)
    decided = scene.turn()
    assert ["buoy"] == [step.group.deployment for step in decided.steps if isinstance(step, Bind)]
    assert [] == scene.wrong


def test_room_that_a_replica_still_holds_is_not_counted_a_second_time_as_claimed() -> None:
    """Two deployments that surge and dip at once: planning again, with the claims just made, gives the same steps."""
    spec = rollout(strategy=Strategy.ROLLING, max_surge=2, max_unavailable=1)
    both = [deployment(name, of=template(cpu=500), replicas=3, rollout=spec) for name in ("anchor", "buoy")]
    scene = Scene(fleet(*both), {"here": nodes(1, 4_000)}, thorough=True)
    scene.settle()
    scene.declare(*(with_source(one, "/m/2") for one in both))
    decided = scene.turn()
    assert 2 == sum(
        step.target for step in decided.steps if isinstance(step, Grow) and step.group.deployment == "anchor"
    )
    assert [] == scene.wrong


def test_a_rollout_that_can_neither_surge_nor_dip_is_held() -> None:
    """A full node and a floor at all that is wanted: nothing moves, and the change that would be enough is said."""
    scene = settled(cpu=2_000)
    scene.declare(deployment(of=NEW, rollout=rollout(max_surge=1, max_unavailable=0)))
    decided = scene.settle()
    (held,) = decided.held
    assert ReasonCode.ROLLOUT_HELD is held.reason.code
    assert held.reason.change is not None
    assert ChangeKind.RAISE_MAX_UNAVAILABLE is held.reason.change.kind
    assert {("here", "/m/1"): 2} == scene.serving()
    assert [] == scene.wrong


def test_at_the_quota_only_pairs_that_do_not_grow_are_made() -> None:
    """An owner at the limit rolls by dipping although the node has room for a surge."""
    scene = settled(cpu=8_000, quota=Quota(cpu=Cpus(2_000)))
    story = rolling_over(scene, rollout(max_surge=1, max_unavailable=1))
    assert (1, 2) == (fewest(story), most(story))
    assert [] == scene.wrong


def test_what_a_native_cluster_cannot_place_again_is_not_asked_for_again_and_again() -> None:
    """The old revision lost room there and the new one never fits: the rollout is held, and nothing is written."""
    scene = Scene(fleet(deployment(of=OLD)), {"here": nodes(1, 2_000)}, {"here": NATIVE}, thorough=True)
    scene.settle()
    simulated = scene.clusters["here"]
    simulated.lose_node("n0")
    simulated.set_node(nodes(1, 1_000)[0])
    scene.turns(5)
    needs_a_gpu = attrs.evolve(NEW, resources=attrs.evolve(NEW.resources, gpu=GpuPart(share=GpuShare(500))))
    scene.declare(deployment(of=needs_a_gpu, rollout=rollout(max_surge=0, max_unavailable=1)))
    assert scene.settle(within=100).held
    assert {("here", "/m/1"): 1} == scene.serving()
    assert [] == scene.wrong


def test_what_is_lost_when_a_rollout_begins_is_made_up_for_once() -> None:
    """The slot that makes up for it is not given up for the new revision: it would be asked for again, for ever."""
    spec = rollout(max_surge=0, max_unavailable=1)
    scene = settled(replicas=3, spec=spec)
    scene.clusters["here"].lose(scene.members()[0].replica.id)
    story = rolling_over(scene, spec, replicas=3)
    assert 2 == fewest(story)
    assert [] == scene.wrong


def test_recreate_takes_all_down_first() -> None:
    """The two revisions never serve, or stand, side by side."""
    scene = settled()
    scene.declare(deployment(of=NEW, rollout=rollout(strategy=Strategy.RECREATE)))
    sides = []
    for _ in range(20):
        scene.turn()
        sides.append({member.group.template.model.source for member in scene.members()})
    assert {"/m/1", "/m/2"} not in sides
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong


def test_a_failed_revision_falls_back_to_the_last_proven_one() -> None:
    """When the deadline ran out without progress, the old revision serves in full, and it is said why."""
    scene = settled()
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.FAILS
    scene.declare(deployment(of=NEW, rollout=rollout()))
    decided = scene.settle()
    assert {("here", "/m/1"): 2} == scene.serving()
    assert 2 == len(scene.members())
    assert ReasonCode.ROLLOUT_FAILED in reasons(decided)
    assert [] == scene.wrong


@pytest.mark.parametrize("fault", [ModelFault.FAILS, ModelFault.CRASHES])
def test_why_a_revision_failed_is_known_after_its_replicas_are_gone(fault: ModelFault) -> None:
    """What was said of the last try stays with the verdict, once nothing of the revision is left to ask."""
    scene = settled()
    scene.clusters["here"].faults.models["/m/2"] = fault
    scene.declare(deployment(of=NEW, rollout=rollout()))
    said: set[str] = set()
    for _ in range(60):
        scene.turn()
        for member in scene.members():
            if member.replica.reason is not None:
                said.add(f"{member.replica.reason}\n{member.replica.reason.raw}".strip())
            if member.model is not None and member.model.error:
                said.add(member.model.error)
    decided = scene.settle()
    assert {"/m/1"} == {member.group.template.model.source for member in scene.members()}
    (held,) = [held for held in decided.held if held.reason.code is ReasonCode.ROLLOUT_FAILED]
    assert held.reason.raw in said


def test_a_failed_revision_is_not_tried_again_as_it_is() -> None:
    """The fault is gone and the verdict stays; another change of the template is tried."""
    scene = settled()
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.CRASHES
    scene.declare(deployment(of=NEW, rollout=rollout()))
    scene.settle()
    scene.clusters["here"].faults.clear()
    scene.settle()
    assert {("here", "/m/1"): 2} == scene.serving()
    scene.declare(deployment(of=template("/m/3"), rollout=rollout()))
    scene.settle()
    assert {("here", "/m/3"): 2} == scene.serving()
    assert [] == scene.wrong


def test_a_first_revision_that_fails_goes_on_trying() -> None:
    """With nothing to fall back to, the server is restarted with back-off, and serves when the fault ends."""
    scene = Scene(fleet(deployment(rollout=rollout())), {"here": nodes(1)})
    scene.clusters["here"].faults.models["/m/1"] = ModelFault.CRASHES
    scene.turns(40)
    assert 0 == scene.serving().total()
    scene.clusters["here"].faults.clear()
    scene.settle()
    assert {("here", "/m/1"): 2} == scene.serving()
    assert [] == scene.wrong


def test_going_back_in_the_file_rolls_back() -> None:
    """The old revision's group is still there, and gets the replicas back."""
    scene = settled()
    rolling_over(scene, rollout())
    scene.declare(deployment(of=OLD, rollout=rollout()))
    scene.settle()
    assert {("here", "/m/1"): 2} == scene.serving()
    assert [] == scene.wrong


def test_no_more_old_groups_are_kept_than_the_history_says() -> None:
    """Empty groups beyond the history are deleted, the newest ones stay."""
    scene = settled(spec=rollout(history=1))
    for source in ("/m/2", "/m/3", "/m/4"):
        scene.declare(deployment(of=template(source), rollout=rollout(history=1)))
        scene.settle()
    sources = {group.template.model.source for group in scene.clusters["here"].truth().groups}
    assert {"/m/3", "/m/4"} == sources
    assert [] == scene.wrong


def test_a_retired_replica_leaves_the_table_and_all_of_its_time_is_waited() -> None:
    """Without a gateway, requests in flight are unknown: the whole of ``drain_within`` passes before it is stopped.

    It begins when the list without it was given out, which the next turn knows.
    """
    drain = 5 * TURN_MS
    scene = Scene(fleet(deployment(of=template(drain=drain))), {"here": nodes(1)}, thorough=True)
    scene.settle()
    scene.declare(deployment(of=template(drain=drain), replicas=1))
    listed, steps = [], []
    for _ in range(8):
        decided = scene.turn()
        listed.append(len(decided.table.endpoints["anchor"]))
        steps.append([type(step) for step in decided.steps])
    assert [1] * 8 == listed
    assert [[]] * 6 + [[Shrink], []] == steps
    assert [] == scene.wrong


def test_what_came_back_into_the_table_has_all_of_its_grace_again() -> None:
    """A deployment that left the file is listed in full; when it is back there, draining begins anew."""
    drain = 5 * TURN_MS
    scene = Scene(fleet(deployment(of=template(drain=drain))), {"here": nodes(1)}, thorough=True)
    scene.settle()
    smaller = deployment(of=template(drain=drain), replicas=1)
    scene.declare(smaller)
    scene.turns(4)
    scene.withdraw("anchor")
    scene.turns(4)
    scene.declare(smaller)
    steps = [[type(step) for step in scene.turn().steps] for _ in range(8)]
    assert [[]] * 6 + [[Shrink], []] == steps
    assert [] == scene.wrong


def test_what_is_to_be_taken_over_is_said_as_that_and_only_where_nothing_of_it_is_there() -> None:
    """The first group is what others made, if it is there; the next revision is one of ours."""
    declared = attrs.evolve(deployment(replicas=1), adopt=Adoption("here", "deployment/legacy"))
    scene = Scene(fleet(declared), {"here": nodes(1)}, thorough=True)
    (first,) = scene.turn().steps
    assert "deployment/legacy is taken over as it is, if it is there" == first.because
    scene.settle()
    scene.declare(with_source(declared, "/m/2"))
    assert ["a new revision"] == [step.because for step in scene.turn().steps]
    assert [] == scene.wrong


def test_a_replica_that_never_served_is_not_drained() -> None:
    """Nobody can have a request there, so it goes at once."""
    scene = Scene(fleet(deployment(of=template(drain=60_000))), {"here": nodes(1)})
    scene.turn()
    scene.declare(deployment(of=template(drain=60_000), replicas=1))
    (step,) = [step for step in scene.turn().steps if isinstance(step, Shrink)]
    assert (2, 1) == (step.was, step.target)


def test_a_clock_that_jumps_expires_nothing() -> None:
    """A weekend without a daemon counts as two turns at most: what was draining goes on draining."""
    scene = Scene(fleet(deployment(of=template(drain=60_000))), {"here": nodes(1)})
    scene.settle()
    scene.declare(deployment(of=template(drain=60_000), replicas=1))
    scene.turn()
    scene.start_again()
    scene.clock.advance(3 * 24 * 3_600_000)
    assert () == scene.turn().steps


def test_every_step_says_why() -> None:
    """Each step of a rollout carries a sentence."""
    scene = settled()
    scene.declare(deployment(of=NEW, rollout=rollout(history=0)))
    steps = [step for _ in range(40) for step in scene.turn().steps]
    assert {Grow, Shrink, Delete} <= {type(step) for step in steps}
    assert [] == [step for step in steps if not step.because]


@pytest.mark.parametrize("forget", [False, True])
def test_a_daemon_that_dies_at_every_effect_gets_there(forget: bool) -> None:
    """However early it is killed, and whether or not its memory survives, the rollout ends and the floor holds."""
    scene = settled()
    scene.declare(deployment(of=NEW, rollout=rollout()))
    for _ in range(40):
        scene.drive.lives = scene.drive.effects + 2
        scene.turns(3)
        scene.start_again(forget=forget and len(scene.serving()) < 2)
    scene.settle()
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong


# ---- where the cluster's own scheduler decides, and does not say beforehand ----


def tried(spec: RolloutSpec) -> Scene:
    """Return a scene on a full native cluster in which a change was just written to the file."""
    scene = Scene(fleet(deployment(of=OLD, rollout=spec)), {"here": nodes(1, 2_000)}, {"here": NATIVE}, thorough=True)
    scene.settle()
    scene.declare(deployment(of=NEW, rollout=spec))
    return scene


def slots(scene: Scene) -> int:
    """Return how many replicas wait for a node."""
    return sum(replica.phase is Phase.SLOT for replica in scene.replicas())


def test_a_surge_that_a_native_cluster_does_not_place_in_time_is_taken_back_and_the_rollout_held() -> None:
    """One more is asked for, and given up again; then it is said what would be enough, and nothing more is written."""
    scene = tried(rollout(max_surge=1, max_unavailable=0))
    scene.turns(3)
    assert 1 == slots(scene)
    decided = scene.settle()
    assert (0, {("here", "/m/1"): 2}) == (slots(scene), scene.serving())
    (held,) = decided.held
    assert ReasonCode.ROLLOUT_HELD is held.reason.code
    assert held.reason.change is not None
    assert ChangeKind.RAISE_MAX_UNAVAILABLE is held.reason.change.kind
    assert [] == scene.wrong


def test_a_surge_that_was_taken_back_is_tried_again_when_there_is_more_room() -> None:
    """A node that joins ends the hold, with nobody asking."""
    scene = tried(rollout(max_surge=1, max_unavailable=0))
    scene.settle()
    scene.clusters["here"].set_node(attrs.evolve(nodes(1)[0], name="n9"))
    scene.settle()
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong


def test_a_native_cluster_that_is_full_dips_after_one_try_and_not_after_each() -> None:
    """What it frees itself is no sign of more room: the time to be placed is waited for once."""
    scene = tried(rollout(max_surge=1, max_unavailable=1))
    story = rolling_over(scene, rollout(max_surge=1, max_unavailable=1))
    within = OLD.health.start_within.ms // TURN_MS
    assert (1, 2) == (fewest(story), most(story))
    assert within <= len(story) < 2 * within
    assert [] == scene.wrong


def test_a_slot_that_waits_for_long_is_never_without_a_reason() -> None:
    """A cluster that says nothing about it is spoken for."""
    scene = Scene(fleet(deployment(replicas=3)), {"here": nodes(1, 2_000)}, {"here": NATIVE})
    scene.settle()
    snapshot = scene.clusters["here"].truth()
    mute = attrs.evolve(
        snapshot,
        groups=tuple(
            attrs.evolve(group, replicas=tuple(attrs.evolve(one, reason=None) for one in group.replicas))
            for group in snapshot.groups
        ),
    )
    world = assemble(None, {"here": Reachable(mute)}, scene.clusters["here"].model_states())
    held = scene.drive.decide(world).held
    assert ["here found no place for one more within 30s"] == [one.reason.detail for one in held]


def test_a_second_change_takes_over_from_wherever_the_first_one_stands() -> None:
    """Three revisions at once: what is unproven and in nobody's aim goes first, and the floor holds all along."""
    scene = settled(cpu=4_000, replicas=3)
    spec = rollout(max_surge=1, max_unavailable=0)
    scene.declare(deployment(of=NEW, replicas=3, rollout=spec))
    while not scene.serving()["here", "/m/2"]:
        scene.turn()
    scene.declare(deployment(of=template("/m/3"), replicas=3, rollout=spec))
    story = []
    while scene.serving() != {("here", "/m/3"): 3}:
        scene.turn()
        story.append(scene.serving().total())
        assert len(story) < 60
    assert 3 <= min(story)
    assert max(story) <= 4
    assert [] == scene.wrong


def test_of_those_that_do_not_serve_whoever_has_not_begun_to_run_is_given_up_first() -> None:
    """One that loads its model is further than one that waits for a node; giving it up would cost that time."""
    scene = Scene(fleet(deployment()), {"here": nodes(1, 3_000)})
    scene.settle()
    scene.clusters["here"].faults.models["/m/1"] = ModelFault.FAILS
    scene.scale("anchor", 4)
    scene.turns(4)
    begun = [one.replica.id for one in scene.members() if one.replica.phase is not Phase.SLOT]

    scene.scale("anchor", 3)
    scene.turns(2)

    assert 3 == len(begun)
    assert begun == [one.replica.id for one in scene.members()]
    assert [] == scene.wrong


def test_without_memory_and_with_nobody_ready_the_revision_that_was_kept_counts_as_proven() -> None:
    """While another one fails, the old one loses its replica and the daemon its memory: the old one comes back."""
    scene = Scene(
        fleet(deployment(replicas=1, rollout=RolloutSpec(progress_deadline=Duration(20_000)))), {"here": nodes(1)}
    )
    scene.settle()
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.FAILS
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    scene.turns(3)

    scene.clusters["here"].lose(scene.members()[0].replica.id)
    scene.start_again(forget=True)
    scene.settle()

    assert {("here", "/m/1"): 1} == scene.serving()
    assert [] == scene.wrong


def test_without_memory_a_revision_that_never_worked_does_not_stand_in_the_way_for_ever() -> None:
    """There is room for one replica only, and nobody knows any more that the old revision never got ready."""
    once = RolloutSpec(progress_deadline=Duration(20_000))
    scene = Scene(fleet(deployment(replicas=1, rollout=once)), {"here": nodes(1, 1_000)})
    scene.clusters["here"].faults.models["/m/1"] = ModelFault.FAILS
    scene.turns(8)
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    scene.start_again(forget=True)
    scene.settle()

    assert {("here", "/m/2"): 1} == scene.serving()
    assert [] == scene.wrong


def test_what_is_known_of_a_deployment_does_not_outlive_it() -> None:
    """A revision that failed, and was taken out of the file and deleted, is tried when it is declared again."""
    hasty = deployment(rollout=RolloutSpec(progress_deadline=Duration(20_000)))
    scene = Scene(fleet(hasty), {"here": nodes(1)})
    scene.clusters["here"].faults.models["/m/1"] = ModelFault.FAILS
    scene.turns(20)
    scene.withdraw("anchor")
    scene.turn()
    scene.delete("anchor")
    scene.settle()

    assert {} == scene.drive.saved.deployments
    assert [] == scene.wrong
