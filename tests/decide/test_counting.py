"""Where somebody else decides how many replicas a group has, we send no count and roll nothing, and say who it is."""

from __future__ import annotations

from collections import Counter

from roadstead.model import ExcessAction, ExcessSpec
from roadstead.plans import Held, Plan
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import GroupKey, Usage
from roadstead_backends.simulated.tempers import KUBERNETES
from tests.decide.scene import TURN_MS, Scene, deployment, fleet, nodes, with_source

OTHER = "horizontalpodautoscaler/anchor"


def settled(on_excess: ExcessSpec | None = None) -> Scene:
    """Return a scene at rest, of three replicas on a cluster like Kubernetes."""
    declared = deployment(replicas=3, on_excess=on_excess)
    scene = Scene(fleet(declared), {"here": nodes(2, 8_000)}, {"here": KUBERNETES.able}, thorough=True)
    scene.settle()
    return scene


def key(scene: Scene) -> GroupKey:
    """Return the only group."""
    (group,) = scene.clusters["here"].truth().groups
    return group.key


def contested(decided: Plan) -> list[Held]:
    """Return what is held because somebody else decides."""
    return [held for held in decided.held if held.reason.code is ReasonCode.CONTESTED]


def kinds(scene: Scene, turns: int) -> Counter[str]:
    """Return how many steps of each kind so many turns took."""
    return Counter(type(step).__name__ for _ in range(turns) for step in scene.turn().steps)


def test_another_count_is_left_to_whoever_decides_it_and_both_ways_out_are_said() -> None:
    """Five where three are declared: nothing is written, and who it is stands in the reason."""
    scene = settled()
    scene.clusters["here"].scale(key(scene), OTHER, 5)
    assert {"Shrink", "Grow"}.isdisjoint(kinds(scene, 20))
    assert 5 == len(scene.members())
    (held,) = contested(scene.turn())
    assert OTHER in held.reason.detail
    assert held.reason.change is not None
    assert f"remove {OTHER}" in held.reason.change.text
    assert f"leave it to {OTHER}" in held.reason.change.text
    assert [] == scene.wrong


def test_a_changed_template_rolls_only_when_nobody_else_decides_any_more() -> None:
    """Until then no second group is made; afterwards the rollout goes on by itself."""
    scene = settled()
    scene.clusters["here"].scale(key(scene), OTHER, 1)
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    kinds(scene, 30)
    assert {("here", "/m/1"): 1} == scene.serving()
    assert contested(scene.turn())
    scene.clusters["here"].scale(key(scene), "", 0)
    scene.settle()
    assert {("here", "/m/2"): 3} == scene.serving()
    assert [] == scene.wrong


def test_what_is_deleted_goes_whoever_else_decides() -> None:
    """It was confirmed by its owner; nothing is left."""
    scene = settled()
    scene.clusters["here"].scale(key(scene), OTHER, 5)
    scene.delete("anchor")
    scene.settle()
    assert () == scene.members()
    assert [] == scene.wrong


def test_at_rest_nothing_is_written_however_it_is_scaled() -> None:
    """Also what stands for it as a whole stays within what it is declared with."""
    scene = settled()
    for target in (5, 1, 4):
        scene.clusters["here"].scale(key(scene), OTHER, target)
        scene.turns(20)
        calls = scene.calls()
        scene.turns(20)
        assert calls == scene.calls()
    assert [] == scene.wrong


def test_nobody_is_given_up_for_what_it_uses() -> None:
    """Another one would have to be asked for in its place: that is not ours to do."""
    scene = settled(ExcessSpec(memory=ExcessAction.EVICT, after=Duration(3 * TURN_MS)))
    scene.clusters["here"].scale(key(scene), OTHER, 3)
    scene.excess[scene.members()[0].replica.incarnation] = Usage(cpu=Cpus(1), memory=Memory(2**40))
    assert Counter() == kinds(scene, 20)
    assert [] == scene.wrong
