"""Deployments on the move: sent to another cluster, overflowing and coming back, failing over, and staying put."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from roadstead.decide.report import Action, DeploymentStatus, RolloutState, fleet_status, plan_view
from roadstead.model import ClusterState, Quota, RolloutSpec
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration
from tests.cli.stage import DAEMON
from tests.decide.scene import DIRECTED, NATIVE, TURN_MS, Scene, deployment, fleet, nodes, template, with_source

BOTH = ("here", "there")


def on(scene: Scene, name: str = "anchor") -> Counter[str]:
    """Return how many replicas really serve on which cluster."""
    return Counter(one.cluster for one in scene.members(name) if one.ready)


def codes(scene: Scene, name: str = "anchor") -> set[ReasonCode]:
    """Return why something of a deployment is not done."""
    decided = scene.decided
    assert decided is not None
    return {held.reason.code for held in decided.held if held.deployment == name}


def settled(
    *, replicas: int = 2, here: int = 2, there: int = 2, via: str | None = None, rollout: RolloutSpec | None = None
) -> Scene:
    """Return a scene at rest with all of a deployment on the first of two clusters; it could run on the other, too."""
    declared = deployment(replicas=replicas, via=via, rollout=rollout, elsewhere=("there",))
    scene = Scene(
        fleet(declared, clusters=BOTH, gateways=(via,) if via is not None else ()),
        {"here": nodes(here), "there": nodes(there)},
        {"there": DIRECTED},
        thorough=True,
    )
    scene.settle()
    return scene


# ---- by command ----


@pytest.mark.parametrize("via", [None, "front"])
def test_a_migration_makes_new_replicas_before_old_ones_go(via: str | None) -> None:
    """Never fewer than the floor serve, never more than one too many exist, and all ends on the other cluster."""
    scene = settled(replicas=3, via=via)
    scene.migrate("anchor", "there")
    most = 0
    for _ in range(120):
        scene.turn()
        members = scene.members()
        most = max(most, len(members))
        assert sum(one.serving for one in members) >= 3
    scene.settle()
    assert {"there": 3} == on(scene)
    assert 4 == most
    assert [] == scene.wrong


def test_a_migration_is_undone_from_wherever_it_stands() -> None:
    """What has come goes again, and what is left stays."""
    scene = settled(replicas=3)
    scene.migrate("anchor", "there")
    scene.turns(9)
    assert "there" in on(scene)
    scene.migrate("anchor", None)
    scene.settle()
    assert {"here": 3} == on(scene)
    assert [] == scene.wrong


@pytest.mark.parametrize("after", range(12))
def test_a_migration_goes_on_after_a_crash_wherever_it_was(after: int) -> None:
    """Whichever effect was the last of a daemon, the next one ends where it should, also without its memory."""
    scene = settled(via="front")
    scene.migrate("anchor", "there")
    scene.drive.lives = scene.drive.effects + 3 * after
    scene.turns(40)
    scene.start_again(forget=after % 2 == 1)
    scene.settle()
    assert {"there": 2} == on(scene)
    assert [] == scene.wrong


def test_a_migration_to_where_there_is_no_room_is_held_and_takes_nothing_down() -> None:
    """It says what is missing there, and goes on by itself when that is given."""
    scene = settled(here=2, there=0)
    scene.migrate("anchor", "there")
    scene.turns(60)
    assert {"here": 2} == on(scene)
    assert {ReasonCode.ROLLOUT_HELD} <= codes(scene) or {ReasonCode.NO_MATCHING_NODE} <= codes(scene)
    for node in nodes(2):
        scene.clusters["there"].set_node(node)
    scene.settle()
    assert {"there": 2} == on(scene)
    assert [] == scene.wrong


def test_a_migration_without_surge_goes_one_by_one_within_what_may_be_unavailable() -> None:
    """``max_surge: 0`` caps what exists at what is wanted."""
    spec = RolloutSpec(max_surge=0, max_unavailable=1, progress_deadline=Duration(60_000))
    scene = settled(replicas=3, rollout=spec)
    scene.migrate("anchor", "there")
    for _ in range(150):
        scene.turn()
        assert len(scene.members()) <= 3
    scene.settle()
    assert {"there": 3} == on(scene)
    assert [] == scene.wrong


def test_a_migration_stays_within_the_quota() -> None:
    """Without room for one more in the quota nothing moves, and it is said."""
    scene = settled()
    scene.limit(search=Quota(cpu=Cpus(2_000)))
    scene.migrate("anchor", "there")
    scene.turns(60)
    assert {"here": 2} == on(scene)
    assert ReasonCode.ROLLOUT_HELD in codes(scene)
    scene.limit(search=Quota(cpu=Cpus(3_000)))
    scene.settle()
    assert {"there": 2} == on(scene)
    assert [] == scene.wrong


def test_a_change_of_the_template_on_the_way_goes_to_the_new_cluster() -> None:
    """One rollout supersedes the other from wherever it stands."""
    scene = settled(replicas=3)
    scene.migrate("anchor", "there")
    scene.turns(8)
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    scene.settle()
    assert {("there", "/m/2"): 3} == scene.serving()
    assert [] == scene.wrong


def test_other_clusters_in_the_file_move_it_without_a_command() -> None:
    """The declarative form: the same passage, for the same reasons."""
    scene = settled(replicas=2)
    scene.declare(deployment(on=("there",), replicas=2, elsewhere=("here",)))
    scene.settle()
    assert {"there": 2} == on(scene)
    assert [] == scene.wrong


def test_reports_say_how_many_are_where_and_how_many_should_be() -> None:
    """The plan says what moves before it does; the status is not settled before all is there."""
    scene = settled(replicas=2)
    assert RolloutState.SETTLED is status(scene).state
    scene.migrate("anchor", "there")
    world = scene.drive.observe()
    (planned,) = plan_view(scene.fleet, world, scene.drive.decide(world), scene.clock.now()).deployments
    assert Action.MOVE is planned.action
    assert {("here", 2, 0), ("there", 0, 2)} == {(one.cluster, one.was, one.wanted) for one in planned.moved}

    scene.turns(3)
    assert RolloutState.PROGRESSING is status(scene).state
    assert {"here": 0, "there": 2} == {place.cluster: place.wanted for place in status(scene).places}
    scene.settle()
    assert RolloutState.SETTLED is status(scene).state
    assert [("there", 2, 2, 2)] == [(one.cluster, one.wanted, one.there, one.listed) for one in status(scene).places]


def status(scene: Scene) -> DeploymentStatus:
    """Return what is told of the deployment now."""
    world = scene.drive.observe()
    found = fleet_status(scene.fleet, world, scene.drive.decide(world), scene.clock.now(), DAEMON).deployment("anchor")
    assert found is not None
    return found


# ---- in order ----


def test_what_overflowed_comes_back_only_when_room_has_stood_for_a_while() -> None:
    """Room that comes and goes within a minute moves nothing; room that stays does."""
    declared = deployment(on=BOTH, replicas=2)
    scene = Scene(fleet(declared, clusters=BOTH), {"here": nodes(1, 1_000), "there": nodes(1)}, thorough=True)
    scene.settle()
    assert {"here": 1, "there": 1} == on(scene)
    small, large = nodes(1, 1_000)[0], nodes(1, 2_000)[0]
    for _ in range(4):
        scene.clusters["here"].set_node(large)
        scene.turns(40_000 // TURN_MS)
        scene.clusters["here"].set_node(small)
        scene.turns(2)
        assert {"here": 1, "there": 1} == on(scene)
    scene.clusters["here"].set_node(large)
    scene.settle()
    assert {"here": 2} == on(scene)
    assert [] == scene.wrong


def test_weights_are_kept_while_the_number_changes() -> None:
    """Two thirds here and one third there, at six and at three."""
    declared = deployment(on={"here": 2, "there": 1}, replicas=6)
    scene = Scene(fleet(declared, clusters=BOTH), {"here": nodes(2), "there": nodes(2)}, thorough=True)
    scene.settle()
    assert {"here": 4, "there": 2} == on(scene)
    scene.scale("anchor", 3)
    scene.settle()
    assert {"here": 2, "there": 1} == on(scene)
    assert [] == scene.wrong


# ---- states ----


def test_a_draining_cluster_is_left_and_nothing_starts_there() -> None:
    """Make before break onto the next cluster; and back when it is active again and has had room."""
    declared = deployment(on=BOTH, replicas=2)
    scene = Scene(fleet(declared, clusters=BOTH), {"here": nodes(1), "there": nodes(1)}, thorough=True)
    scene.settle()
    scene.set_state("here", ClusterState.DRAINING)
    for _ in range(60):
        scene.turn()
        assert sum(on(scene).values()) >= 2
    assert {"there": 2} == on(scene)
    scene.set_state("here", ClusterState.ACTIVE)
    scene.settle()
    assert {"here": 2} == on(scene)
    assert [] == scene.wrong


def test_what_no_other_cluster_can_take_stays_on_one_that_drains() -> None:
    """Also what may be unavailable: nobody gains anything from less."""
    spec = RolloutSpec(max_unavailable=1, progress_deadline=Duration(60_000))
    scene = Scene(fleet(deployment(replicas=2, rollout=spec), clusters=BOTH), {"here": nodes(1), "there": nodes(1)})
    scene.settle()
    scene.set_state("here", ClusterState.DRAINING)
    scene.turns(60)
    assert {"here": 2} == on(scene)
    assert ReasonCode.DISABLED in codes(scene)
    assert [] == scene.wrong


def test_a_disabled_cluster_is_written_off() -> None:
    """Its replicas count for nothing and are not touched; when it is used again, the ones too many go."""
    scene = Scene(
        fleet(deployment(on=BOTH, replicas=2), clusters=BOTH, search=Quota(cpu=Cpus(3_000))),
        {"here": nodes(1), "there": nodes(1)},
        thorough=True,
    )
    scene.settle()
    calls = len(scene.clusters["here"].calls)
    scene.set_state("here", ClusterState.DISABLED)
    scene.settle()
    assert {"there": 2} == on(scene)
    assert calls == len(scene.clusters["here"].calls)
    assert 2 == len(scene.replicas("here"))
    scene.set_state("here", ClusterState.ACTIVE)
    scene.settle()
    assert {"here": 2} == on(scene)
    assert [] == scene.wrong


# ---- fail-over ----


def lost_here(*, via: str | None, quota: int = 4_000, replicas: int = 2) -> Scene:
    """Return a scene whose first cluster, with all replicas, does not answer any more; fail-over takes a minute."""
    declared = deployment(on=BOTH, replicas=replicas, via=via, fail_over_after=60_000)
    scene = Scene(
        fleet(
            declared,
            clusters=BOTH,
            gateways=(via,) if via is not None else (),
            search=Quota(cpu=Cpus(quota)),
        ),
        {"here": nodes(1), "there": nodes(1)},
        thorough=True,
    )
    scene.settle()
    scene.clusters["here"].faults.partitioned = True
    return scene


def test_without_a_gateway_what_a_silent_cluster_had_is_made_up_after_its_time() -> None:
    """Not before; and when it answers again the newcomers go."""
    scene = lost_here(via=None)
    scene.turns(55_000 // TURN_MS)
    assert {"here": 2} == on(scene)
    scene.turns(40)
    assert {"here": 2, "there": 2} == on(scene)
    scene.clusters["here"].faults.partitioned = False
    scene.settle()
    assert {"here": 2} == on(scene)
    assert [] == scene.wrong


def test_what_the_gateway_sees_healthy_is_not_made_up() -> None:
    """However long the cluster is silent, clients are served."""
    scene = lost_here(via="front")
    scene.turns(100)
    assert {"here": 2} == on(scene)
    scene.clusters["here"].faults.partitioned = False
    scene.settle()
    assert [] == scene.wrong


def test_only_what_clients_miss_is_made_up() -> None:
    """One of two is gone with its cluster silent: one comes elsewhere, and stays until the cluster answers."""
    scene = lost_here(via="front")
    scene.turns(5)
    victim = scene.replicas("here")[0]
    assert victim.endpoint is not None
    scene.clusters["here"].lose(victim.id)
    scene.proxies["front"].faults.unhealthy.add(victim.endpoint)
    scene.turns(100)
    assert {"here": 1, "there": 1} == on(scene)
    scene.clusters["here"].faults.partitioned = False
    scene.settle()
    assert {"here": 2} == on(scene)
    assert [] == scene.wrong


def test_it_is_said_beforehand_that_the_quota_has_no_room_for_a_fail_over() -> None:
    """As soon as the cluster is silent, and not only when its time is over; then nothing grows."""
    scene = lost_here(via=None, quota=2_000)
    scene.turns(3)
    assert {ReasonCode.UNREACHABLE, ReasonCode.QUOTA} <= codes(scene)
    scene.turns(60)
    assert {"here": 2} == on(scene)
    scene.limit(search=Quota(cpu=Cpus(3_000)))
    scene.turns(30)
    assert {"here": 2, "there": 1} == on(scene)
    assert [] == scene.wrong


def test_time_that_nobody_saw_pass_fails_nothing_over() -> None:
    """A daemon that slept for a day, or a clock that jumped, counts two turns."""
    scene = lost_here(via=None)
    scene.turns(3)
    scene.clock.advance(86_400_000)
    scene.turns(3)
    assert {"here": 2} == on(scene)
    scene.clusters["here"].faults.partitioned = False
    scene.settle()
    assert [] == scene.wrong


# ---- where nobody can tell ----


def test_what_a_native_cluster_does_not_place_in_time_is_taken_back_and_goes_to_the_next() -> None:
    """It is tried; what waits there for longer than a start may take comes up elsewhere."""
    quick = attrs.evolve(template(), health=attrs.evolve(template().health, start_within=Duration(20_000)))
    scene = Scene(
        fleet(deployment(on=BOTH, replicas=3, of=quick), clusters=BOTH),
        {"here": nodes(1, 1_000), "there": nodes(1)},
        {"here": NATIVE},
        thorough=True,
    )
    scene.settle()
    assert {"here": 1, "there": 2} == on(scene)
    assert [] == scene.wrong


def test_a_native_cluster_that_was_full_is_tried_again_when_more_of_it_is_free() -> None:
    """What overflowed comes back, one surge at a time."""
    quick = attrs.evolve(template(), health=attrs.evolve(template().health, start_within=Duration(20_000)))
    scene = Scene(
        fleet(deployment(on=BOTH, replicas=2, of=quick), clusters=BOTH),
        {"here": nodes(1, 1_000), "there": nodes(1)},
        {"here": NATIVE},
        thorough=True,
    )
    scene.settle()
    assert {"here": 1, "there": 1} == on(scene)
    scene.clusters["here"].set_node(nodes(1, 3_000)[0])
    scene.settle()
    assert {"here": 2} == on(scene)
    assert [] == scene.wrong


def test_a_migration_to_a_native_cluster_without_room_is_taken_back_and_rests() -> None:
    """What was tried there in vain is given up; nothing is asked again until more of it is free."""
    quick = attrs.evolve(template(), health=attrs.evolve(template().health, start_within=Duration(20_000)))
    scene = Scene(
        fleet(deployment(replicas=2, of=quick, elsewhere=("there",)), clusters=BOTH),
        {"here": nodes(1), "there": nodes(1, 500)},
        {"there": NATIVE},
        thorough=True,
    )
    scene.settle()
    scene.migrate("anchor", "there")
    scene.turns(60)
    calls = scene.calls()
    scene.turns(60)
    assert calls == scene.calls()
    assert [] == scene.replicas("there")
    assert {"here": 2} == on(scene)
    assert ReasonCode.ROLLOUT_HELD in codes(scene)
    scene.clusters["there"].set_node(nodes(1)[0])
    scene.settle()
    assert {"there": 2} == on(scene)
    assert [] == scene.wrong


def test_a_rollout_on_a_native_cluster_without_room_for_one_more_is_taken_back_and_rests() -> None:
    """The same on one cluster: surge one, take it back, and hold."""
    quick = attrs.evolve(template(), health=attrs.evolve(template().health, start_within=Duration(20_000)))
    scene = Scene(fleet(deployment(replicas=2, of=quick)), {"here": nodes(1, 2_000)}, {"here": NATIVE}, thorough=True)
    scene.settle()
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    scene.turns(60)
    calls = scene.calls()
    scene.turns(60)
    assert calls == scene.calls()
    assert {("here", "/m/1"): 2} == scene.serving()
    assert ReasonCode.ROLLOUT_HELD in codes(scene)
    scene.clusters["here"].set_node(nodes(1, 3_000)[0])
    scene.settle()
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong
