"""Groups whose replicas drain by themselves once they are told to stop: they are told at once, and drained once."""

from __future__ import annotations

from roadstead.model import Deployment, ExcessAction, ExcessSpec, RolloutSpec
from roadstead.plans import Evict, Shrink
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Phase, Usage
from roadstead_backends.simulated.tempers import KUBERNETES
from tests.decide.scene import TURN_MS, Scene, deployment, fleet, nodes, template, with_source

DRAIN_MS = 10 * TURN_MS


def settled(declared: Deployment, *, gateways: tuple[str, ...] = (), serves_on: bool = True) -> Scene:
    """Return a scene at rest on a cluster that picks by itself who goes."""
    scene = Scene(
        fleet(declared, gateways=gateways),
        {"here": nodes(2, 8_000)},
        {"here": KUBERNETES.able},
        thorough=True,
        serves_on=serves_on,
    )
    scene.settle()
    return scene


def of_two(**changes: object) -> Deployment:
    """Return a deployment of two replicas that take long to drain."""
    return deployment(of=template(drain=DRAIN_MS), replicas=2, **changes)  # type: ignore[arg-type]  # fields of it


def stopping(scene: Scene) -> list[str]:
    """Return who was told to stop."""
    return [one.id for one in scene.replicas() if one.phase is Phase.STOPPING]


def test_without_a_gateway_it_leaves_the_list_and_is_told_to_stop_in_one_turn() -> None:
    """It serves on for all of its time then, and nobody waits for that twice."""
    scene = settled(of_two())
    scene.scale("anchor", 1)
    decided = scene.turn()
    (told,) = stopping(scene)
    assert [1] == [len(step.retire) for step in decided.steps if isinstance(step, Shrink)]
    assert 1 == len(decided.table.endpoints["anchor"])
    scene.turns(DRAIN_MS // TURN_MS - 1)
    assert [told] == stopping(scene)
    scene.settle()
    assert 1 == len(scene.replicas())
    assert [] == scene.wrong


def test_where_it_would_not_serve_on_it_is_told_when_its_time_is_over() -> None:
    """The same cluster, whose groups do not say so: the wait comes before."""
    scene = settled(of_two(), serves_on=False)
    scene.scale("anchor", 1)
    scene.turns(DRAIN_MS // TURN_MS)
    assert [] == stopping(scene)
    scene.settle()
    assert 1 == len(scene.replicas())
    assert [] == scene.wrong


def test_behind_a_gateway_it_is_told_only_when_it_was_seen_idle_and_out() -> None:
    """What is in flight is seen there, and serving on is for those whom nobody drained."""
    scene = settled(of_two(via="front"), gateways=("front",))
    scene.proxies["front"].faults.refuses = True
    scene.scale("anchor", 1)
    scene.turns(2 * DRAIN_MS // TURN_MS)
    assert [] == stopping(scene)
    assert [] == scene.wrong


def test_a_roll_is_never_below_the_floor_and_takes_its_time_to_drain_once() -> None:
    """Both replicas are new in less than four such times, of which each old one takes one."""
    scene = settled(of_two(rollout=RolloutSpec(max_surge=1, max_unavailable=0)))
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    fewest = 2
    for _ in range(3 * DRAIN_MS // TURN_MS):
        scene.turn()
        fewest = min(fewest, len(scene.drive.observe().shards["anchor"].serving))
    assert 2 == fewest
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong


def test_an_eviction_says_that_nobody_drained_it() -> None:
    """Its grace is all of the draining, and what is left to a server after that."""
    spec = ExcessSpec(memory=ExcessAction.EVICT, after=Duration(5 * TURN_MS))
    scene = settled(of_two(rollout=RolloutSpec(max_unavailable=1), on_excess=spec))
    scene.excess[scene.members()[0].replica.incarnation] = Usage(cpu=Cpus(1), memory=Memory(2**40))
    steps = [step for _ in range(20) for step in scene.turn().steps if isinstance(step, Evict)]
    stop = template(drain=DRAIN_MS).stop
    assert [Duration(stop.drain_within.ms + stop.kill_after.ms)] == [step.grace for step in steps]
    assert [] == scene.wrong
