"""A cluster whose replicas nobody of ours connects to: its own word counts, and draining happens inside stopping."""

from __future__ import annotations

import attrs
import pytest

from roadstead.capabilities import Capabilities
from roadstead.model import ClusterSpec, ExcessAction, ExcessSpec, Fleet, Reach, RolloutSpec, Strategy
from roadstead.plans import Evict, Shrink
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Phase, Usage
from roadstead_backends.simulated.faults import ModelFault
from roadstead_backends.simulated.tempers import KUBERNETES, MARATHON, Temper
from tests.decide.scene import NATIVE, TURN_MS, Scene, deployment, fleet, nodes, template, with_source

DRAIN_MS = 20_000


def unreached(first: Fleet) -> Fleet:
    """Return the fleet with its cluster out of our reach."""
    spec: ClusterSpec = attrs.evolve(first.clusters["here"], reach=Reach.NONE)
    return attrs.evolve(first, clusters={"here": spec})


def settled(
    able: Capabilities = KUBERNETES.able, *, max_unavailable: int = 0, on_excess: ExcessSpec | None = None
) -> Scene:
    """Return a scene at rest, of three replicas that take long to drain."""
    declared = deployment(
        of=template(drain=DRAIN_MS),
        replicas=3,
        rollout=RolloutSpec(max_unavailable=max_unavailable, progress_deadline=Duration(120_000)),
        on_excess=on_excess,
    )
    scene = Scene(unreached(fleet(declared)), {"here": nodes(2, 8_000)}, {"here": able}, thorough=True)
    scene.settle()
    return scene


@pytest.mark.parametrize("temper", [KUBERNETES, MARATHON])
def test_what_its_cluster_says_is_ready_serves(temper: Temper) -> None:
    """Nobody asks a server, and all that are wanted count as serving."""
    scene = settled(temper.able)
    assert [True] * 3 == [member.replica.ready for member in scene.members()]
    assert {} == scene.drive.observe().models
    assert 3 == len(scene.drive.observe().shards["anchor"].serving)
    assert [] == scene.wrong


def test_replicas_that_are_one_too_many_are_told_to_stop_at_once_and_serve_on() -> None:
    """Nobody follows our list there: waiting before would help nobody. They stop when all of the time is over."""
    scene = settled()
    scene.scale("anchor", 2)
    (step,) = [step for step in scene.turn().steps if isinstance(step, Shrink)]
    assert 1 == len(step.retire)
    stopping = [replica.id for replica in scene.replicas() if replica.phase is Phase.STOPPING]
    assert 1 == len(stopping)
    scene.turns(DRAIN_MS // TURN_MS - 1)
    assert stopping == [replica.id for replica in scene.replicas() if replica.phase is Phase.STOPPING]
    scene.settle()
    assert 2 == len(scene.replicas())
    assert [] == scene.wrong


def test_an_eviction_has_the_time_to_drain_in_its_grace() -> None:
    """The grace is all of the draining, and what is left to a server after that."""
    spec = ExcessSpec(memory=ExcessAction.EVICT, after=Duration(5 * TURN_MS))
    scene = settled(max_unavailable=1, on_excess=spec)
    scene.excess[scene.members()[0].replica.incarnation] = Usage(cpu=Cpus(1), memory=Memory(2**40))
    steps = [step for _ in range(20) for step in scene.turn().steps if isinstance(step, Evict)]
    stop = template(drain=DRAIN_MS).stop
    assert [Duration(stop.drain_within.ms + stop.kill_after.ms)] == [step.grace for step in steps]
    assert [] == scene.wrong


def test_a_revision_rolls_out_on_the_word_of_the_cluster() -> None:
    """Never fewer than all, and in the end all are new."""
    scene = settled()
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    fewest = 3
    for _ in range(150):
        scene.turn()
        fewest = min(fewest, sum(replica.ready is True for replica in scene.replicas()))
    assert 3 == fewest
    assert {("here", "/m/2"): 3} == scene.serving()
    scene.settle()
    assert [] == scene.wrong


def test_a_revision_of_which_the_cluster_says_nothing_good_is_taken_back() -> None:
    """Its deadline runs on the word of the cluster as on that of a runtime."""
    scene = settled()
    scene.clusters["here"].afflict("/m/2", ModelFault.NEVER_LOADS)
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    decided = scene.turns(200)
    assert ReasonCode.ROLLOUT_FAILED in {held.reason.code for held in decided.held}
    assert {("here", "/m/1"): 3} == scene.serving()
    assert [] == scene.wrong


def test_a_cluster_that_says_nothing_of_readiness_is_not_used_out_of_reach() -> None:
    """Nobody would ever know whether a replica serves: it is said, and nothing is asked of it."""
    scene = Scene(unreached(fleet(deployment())), {"here": nodes(2)}, {"here": NATIVE})
    decided = scene.turns(5)
    (held,) = decided.held
    assert ReasonCode.UNSUPPORTED is held.reason.code
    assert "it does not say which replicas are ready" in held.reason.detail
    assert [] == scene.replicas()


def test_a_version_cannot_be_loaded_in_place_where_nobody_can_ask_for_it() -> None:
    """Whatever the cluster could do: it is said, and nothing is asked of it."""
    declared = deployment(rollout=RolloutSpec(strategy=Strategy.RELOAD, max_unavailable=1))
    scene = Scene(unreached(fleet(declared)), {"here": nodes(2)}, {"here": KUBERNETES.able})
    decided = scene.turns(3)
    (held,) = decided.held
    assert ReasonCode.UNSUPPORTED is held.reason.code
    assert "rollout.strategy: reload" in held.reason.detail
