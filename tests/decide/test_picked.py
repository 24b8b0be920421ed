"""What a cluster that picks by itself whom it gives up keeps us from, and what it does not."""

from __future__ import annotations

from roadstead.model import RolloutSpec, Scheduling
from roadstead.units import Duration
from roadstead_backends.simulated.cluster import capabilities
from roadstead_backends.simulated.faults import ModelFault
from tests.decide.scene import Scene, deployment, fleet, nodes, with_source

PICKS = capabilities(Scheduling.NATIVE, exact_retire=False)


def test_a_failed_revision_of_which_nothing_serves_goes() -> None:
    """Whoever the cluster picks of it, no serving replica is lost: what was surged for it is taken back."""
    first = deployment(replicas=1, rollout=RolloutSpec(progress_deadline=Duration(20_000)))
    scene = Scene(fleet(first), {"here": nodes(2)}, {"here": PICKS})
    scene.settle()
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.FAILS
    scene.declare(with_source(first, "/m/2"))

    scene.settle()

    assert {("here", "/m/1"): 1} == scene.serving()
    assert 1 == len(scene.members())
    assert [] == scene.wrong
