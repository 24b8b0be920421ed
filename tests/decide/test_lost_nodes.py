"""A replica on a node that was given up counts for nothing; if it is back, one of the two goes before anything else."""

from __future__ import annotations

from collections import Counter

import pytest

from roadstead.capabilities import Capabilities
from roadstead.model import Quota
from roadstead.plans import Grow
from roadstead.units import Cpus
from roadstead.world import Phase
from tests.decide.scene import DIRECTED, NATIVE, TURN_MS, Scene, deployment, fleet, nodes

LOST_AFTER_TURNS = 30_000 // TURN_MS + 2
QUOTA = Quota(cpu=Cpus(2_000))


def parted(able: Capabilities, quota: Quota | None = None) -> tuple[Scene, str]:
    """Return a scene of two replicas on nodes of their own, of which the returned one was just cut off."""
    scene = Scene(
        fleet(deployment(), search=quota or Quota()), {"here": nodes(3, 1_000)}, {"here": able}, thorough=True
    )
    scene.settle()
    node = scene.members()[0].replica.node
    assert node is not None
    scene.clusters["here"].part_node(node)
    return scene, node


def phases(scene: Scene) -> Counter[Phase]:
    """Return how many replicas are in which phase."""
    return Counter(replica.phase for replica in scene.replicas() if replica.phase is not Phase.LOST)


@pytest.mark.parametrize("able", [DIRECTED, NATIVE])
def test_until_its_replacement_is_due_it_counts(able: Capabilities) -> None:
    """Nothing is made in its place while the cluster still hopes for the node."""
    scene, _ = parted(able)
    steps = [step for _ in range(LOST_AFTER_TURNS - 4) for step in scene.turn().steps]
    assert [] == steps
    assert 2 == len(scene.members())


@pytest.mark.parametrize("able", [DIRECTED, NATIVE])
def test_an_owner_at_the_quota_gets_another_one_once_the_node_is_given_up(able: Capabilities) -> None:
    """The lost one does not count any more, and so the quota has room."""
    scene, node = parted(able, QUOTA)
    scene.turns(LOST_AFTER_TURNS + 10)
    assert {("here", "/m/1"): 2} == scene.serving()
    assert node not in {member.replica.node for member in scene.members() if member.ready}
    assert [] == scene.wrong


@pytest.mark.parametrize("able", [DIRECTED, NATIVE])
def test_when_it_is_back_one_of_the_two_goes_and_nothing_grows_before(able: Capabilities) -> None:
    """There are three where two are wanted, over the quota for a moment: never below two, and nothing is added."""
    scene, node = parted(able, QUOTA)
    scene.turns(LOST_AFTER_TURNS + 10)
    scene.clusters["here"].return_node(node)
    grown, fewest = [], 2
    for _ in range(30):
        grown += [step for step in scene.turn().steps if isinstance(step, Grow)]
        fewest = min(fewest, scene.serving().total())
    assert ([], 2) == (grown, fewest)
    assert {Phase.RUNNING: 2} == phases(scene)
    scene.settle()
    assert [] == scene.wrong


def test_another_deployment_waits_until_the_one_too_many_is_gone() -> None:
    """Its owner is over the quota as long as three stand: nothing of that owner grows before."""
    scene, node = parted(DIRECTED, Quota(cpu=Cpus(3_000)))
    scene.turns(LOST_AFTER_TURNS + 10)
    scene.clusters["here"].return_node(node)
    scene.declare(deployment("buoy", replicas=1))
    for _ in range(40):
        before = len(scene.members())
        steps = scene.turn().steps
        assert before < 3 or not any(isinstance(step, Grow) and step.group.deployment == "buoy" for step in steps)
    assert {("here", "/m/1"): 1} == scene.serving("buoy")
    scene.settle()
    assert [] == scene.wrong
