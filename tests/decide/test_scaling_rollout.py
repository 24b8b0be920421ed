"""Load that rises while revisions change, while there is no room, and while a quota is spent."""

from __future__ import annotations

import attrs
import pytest

from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget, Windows
from roadstead.decide.report import Service, fleet_status
from roadstead.model import Deployment, Quota, RolloutSpec
from roadstead.units import Cpus, Duration
from roadstead.world import Usage
from roadstead_backends.simulated.faults import ModelFault
from tests.decide.scene import Scene, deployment, fleet, nodes, with_source

SPEC = AutoscalingSpec(
    min=2,
    max=5,
    metrics=(MetricTarget(Metric.CPU, 500),),
    windows=Windows(stable=Duration(4_000), panic=Duration(2_000), scale_down_after=Duration(4_000)),
)
ANYBODY = Service(
    daemon=None, started_at=None, file="", turn=0, bad_file=(), staged=False, failing_since=None, problems=()
)


def scaled() -> Deployment:
    """Return a deployment of two to five replicas, by their CPU."""
    rollout = RolloutSpec(progress_deadline=Duration(600_000))
    return attrs.evolve(deployment(replicas=2, rollout=rollout), autoscaling=SPEC)


def work(scene: Scene, cpu: int) -> None:
    """Have every replica that is there use so much."""
    scene.use = {one.id: Usage(cpu=Cpus(cpu)) for one in scene.replicas()}


@pytest.fixture
def scene() -> Scene:
    """Two replicas at rest, on nodes with room for many."""
    scene = Scene(fleet(scaled()), {"here": nodes(3, cpu=4_000)})
    work(scene, 100)
    for _ in range(20):
        work(scene, 100)
        scene.turn()
    assert {("here", "/m/1"): 2} == scene.serving()
    return scene


def test_growth_during_a_rollout_that_is_not_proven_is_of_the_last_proven_revision(scene: Scene) -> None:
    """The new revision never gets ready: the old one grows to what load makes, and the new one keeps its surge."""
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.FAILS
    scene.declare(with_source(scaled(), "/m/2"))
    for _ in range(30):
        work(scene, 1_200)
        scene.turn()
    assert {("here", "/m/1"): 5} == scene.serving()
    assert 5 == (scene.decided.wanted["anchor"] if scene.decided is not None else 0)
    assert [] == scene.wrong


def test_growth_after_a_rollout_that_is_proven_is_of_the_new_revision(scene: Scene) -> None:
    """The new revision is there and proven: all that load makes is of it."""
    scene.declare(with_source(scaled(), "/m/2"))
    for _ in range(60):
        work(scene, 1_200)
        scene.turn()
    assert {("here", "/m/2"): 5} == scene.serving()
    assert [] == scene.wrong


def test_what_load_makes_and_what_there_is_room_for_are_two_numbers() -> None:
    """Five are wanted and four fit: the status has both, and which reason stands between."""
    scene = Scene(fleet(scaled()), {"here": nodes(1, cpu=4_000)})
    for _ in range(30):
        work(scene, 1_000)
        scene.turn()
    decided = scene.decided
    assert decided is not None
    status = fleet_status(scene.fleet, scene.truth(), decided, scene.clock.now(), ANYBODY).deployment("anchor")
    assert status is not None
    assert status.scaling is not None
    assert (5, 4, ("no-capacity",)) == (status.wanted, status.ready, status.scaling.capped_by)
    assert [] == scene.wrong


def test_a_quota_caps_what_load_makes_and_is_named() -> None:
    """Three replicas are the owner's: no more are asked for, whatever the load."""
    scene = Scene(fleet(scaled(), search=Quota(cpu=Cpus(3_000))), {"here": nodes(3, cpu=4_000)})
    for _ in range(30):
        work(scene, 1_000)
        scene.turn()
    decided = scene.decided
    assert decided is not None
    status = fleet_status(scene.fleet, scene.truth(), decided, scene.clock.now(), ANYBODY).deployment("anchor")
    assert status is not None
    assert status.scaling is not None
    assert (5, 3, ("quota",)) == (status.wanted, status.ready, status.scaling.capped_by)
    assert [] == scene.wrong
