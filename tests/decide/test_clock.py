"""What a wall clock that is set does to decisions: time is what passed between turns, and no more than two of them."""

from __future__ import annotations

from tests.decide.scene import Scene, deployment, fleet, nodes

HOUR_MS = 3_600_000


def test_a_clock_that_is_set_back_holds_up_no_drain() -> None:
    """Replicas that were out of the table when the clock was set go down when the rest of their grace is over."""
    scene = Scene(fleet(deployment(replicas=3)), {"here": nodes(2)})
    scene.settle()
    scene.scale("anchor", 1)
    scene.turns(1)
    true = scene.drive.now
    scene.drive.now = lambda: true() - HOUR_MS

    scene.turns(6)

    assert 1 == len(scene.members())
    assert [] == scene.wrong
