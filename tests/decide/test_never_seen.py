"""A daemon that was started while a cluster is silent: what runs there nobody has seen, but for the gateway's view."""

from __future__ import annotations

import pytest

from roadstead.model import Quota, RolloutSpec
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration
from tests.decide.scene import NATIVE, TURN_MS, Scene, deployment, fleet, nodes

AFTER_TURNS = 10


def started_blind(
    *, via: str | None = None, quota: Quota | None = None, forget: bool = True, after: int = AFTER_TURNS * TURN_MS
) -> Scene:
    """Return a scene whose new daemon has never seen the cluster on which both replicas run."""
    rollout = RolloutSpec(max_unavailable=0, progress_deadline=Duration(60_000))
    declared = deployment(on=("here", "there"), fail_over_after=after, via=via, rollout=rollout)
    first = fleet(declared, clusters=("here", "there"), gateways=("front",) if via else (), search=quota or Quota())
    scene = Scene(first, {"here": nodes(2), "there": nodes(2)}, {"there": NATIVE}, thorough=True)
    scene.settle()
    scene.clusters["here"].partition(parted=True)
    scene.start_again(forget=forget)
    return scene


def on(scene: Scene, cluster: str) -> int:
    """Return how many replicas really are on a cluster."""
    return sum(member.cluster == cluster for member in scene.members())


@pytest.mark.parametrize("forget", [True, False])
def test_nothing_is_made_up_before_the_time_is_over(forget: bool) -> None:
    """It may be well, and only out of our reach; that is said."""
    scene = started_blind(forget=forget)
    decided = scene.turns(AFTER_TURNS)
    assert 0 == on(scene, "there")
    assert ReasonCode.UNREACHABLE in {held.reason.code for held in decided.held}
    assert [] == scene.wrong


def test_what_is_to_be_made_up_at_once_is_made_up_by_the_second_turn() -> None:
    """A cluster has one turn to answer a new daemon, and a plan for that turn is the same made twice."""
    scene = started_blind(after=0)
    scene.turn()
    assert 0 == on(scene, "there")
    scene.turn()
    assert 2 == on(scene, "there")
    assert [] == scene.wrong


def test_without_a_gateway_all_of_it_is_made_up_when_the_time_is_over() -> None:
    """Nobody can say that anybody is served; when the cluster is back, the newcomers go."""
    scene = started_blind()
    scene.turns(AFTER_TURNS + 10)
    assert 2 == on(scene, "there")
    scene.clusters["here"].partition(parted=False)
    scene.settle()
    assert (2, 0) == (on(scene, "here"), on(scene, "there"))
    assert [] == scene.wrong


def test_while_the_gateway_sees_enough_healthy_nothing_is_made_up() -> None:
    """Whoever they are, clients are served; that holds as long as it does."""
    scene = started_blind(via="front")
    scene.turns(5 * AFTER_TURNS)
    assert (2, 0) == (on(scene, "here"), on(scene, "there"))
    scene.clusters["here"].partition(parted=False)
    scene.settle()
    assert [] == scene.wrong


def test_what_the_gateway_misses_is_made_up_and_no_more() -> None:
    """One of two died there: one comes elsewhere, and stays until the cluster is seen again."""
    scene = started_blind(via="front")
    dead = scene.members()[0].replica
    assert dead.endpoint is not None
    scene.proxies["front"].faults.unhealthy.add(dead.endpoint)
    scene.clusters["here"].lose(dead.id)
    scene.turns(AFTER_TURNS + 20)
    assert (1, 1) == (sum(one.ready for one in scene.members() if one.cluster == "here"), on(scene, "there"))
    scene.turns(40)
    assert 1 == on(scene, "there")
    scene.clusters["here"].partition(parted=False)
    scene.settle()
    assert [] == scene.wrong


def test_under_a_quota_nothing_grows_while_nobody_knows_what_is_held() -> None:
    """All of the quota may be in use where nobody sees it: it is said, and waited."""
    scene = started_blind(quota=Quota(cpu=Cpus(2_000)))
    decided = scene.turns(AFTER_TURNS + 20)
    assert 0 == on(scene, "there")
    assert "is not known, so nothing under its quota grows" in " ".join(held.reason.detail for held in decided.held)
    assert [] == scene.wrong


def test_a_daemon_that_is_started_again_goes_on_counting() -> None:
    """What it remembers of the silence is not lost with it; with the memory gone it would begin again."""
    scene = started_blind()
    scene.turns(AFTER_TURNS - 3)
    scene.start_again()
    scene.turns(6)
    assert 2 == on(scene, "there")
    assert [] == scene.wrong
