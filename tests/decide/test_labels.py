"""What is written about a group besides its count, and where it must not be, since that would restart its replicas."""

from __future__ import annotations

import attrs

from tests.decide.scene import NATIVE, Scene, deployment, fleet, nodes, with_source

UNCHANGING = attrs.evolve(NATIVE, metadata_restarts=True)


def test_a_group_whose_labels_restart_its_replicas_keeps_its_owner() -> None:
    """It is not asked for again and again what its cluster does not do."""
    scene = Scene(fleet(deployment()), {"here": nodes(2)}, {"here": UNCHANGING})
    scene.settle()

    scene.declare(attrs.evolve(deployment(), owner="ads"))
    scene.settle()

    assert [] == scene.wrong


def test_a_group_whose_labels_restart_its_replicas_keeps_its_generation() -> None:
    """Also where its revision is the one that is wanted again."""
    scene = Scene(fleet(deployment()), {"here": nodes(2)}, {"here": UNCHANGING})
    scene.settle()
    scene.declare(with_source(deployment(), "/m/2"))
    scene.settle()

    scene.declare(deployment())
    scene.settle()

    assert {("here", "/m/1"): 2} == scene.serving()
    assert [] == scene.wrong
