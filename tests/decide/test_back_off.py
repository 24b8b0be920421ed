"""Steps that were refused: how long they wait, and when nobody waits for them any more."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.capabilities import Capabilities
from roadstead.decide.back_off import FIRST_WAIT_MS, counted, waited_for
from roadstead.memory import BackOff, PlanMemory, place
from roadstead.plans import Bind, Step
from roadstead.world import GroupKey, Outcome, OutcomeKind, Reachable, Snapshot, Unreachable, World
from roadstead_backends.simulated.faults import CallFault
from tests.decide.scene import DIRECTED, NATIVE, Scene, deployment, fleet, nodes

ABLE = pytest.mark.parametrize("able", [DIRECTED, NATIVE], ids=["directed", "native"])


def settled(able: Capabilities) -> Scene:
    """Return a scene in which two replicas serve."""
    scene = Scene(fleet(deployment()), {"here": nodes(2)}, {"here": able}, thorough=True)
    scene.settle()
    return scene


@ABLE
def test_a_refused_step_that_nobody_wants_any_more_is_forgotten_once_its_wait_is_over(able: Capabilities) -> None:
    """It was refused to grow, and by the time that it may be asked for again, nobody wants it."""
    scene = settled(able)
    scene.clusters["here"].faults.calls.append(CallFault.REJECTED)
    scene.scale("anchor", 3)
    scene.turn()
    scene.scale("anchor", 2)

    assert 1 == len(scene.turn().memory.back_off)
    scene.settle()
    assert {} == scene.drive.saved.back_off
    assert [] == scene.wrong


@ABLE
def test_a_step_that_is_refused_again_and_again_waits_longer_each_time(able: Capabilities) -> None:
    """A wait that is over is not forgotten while the step is wanted."""
    scene = settled(able)
    scene.clusters["here"].faults.calls.extend([CallFault.REJECTED] * 4)
    scene.scale("anchor", 3)
    waits = []
    for _ in range(20):
        waits += [one.failures for one in scene.turn().memory.back_off.values()]

    assert [1, 2, 3, 4] == sorted(set(waits))
    assert waits == sorted(waits)


def test_a_refusal_after_a_success_is_the_first_one_in_a_row() -> None:
    """Whatever was refused before: what was taken in the end waits no longer than anything else."""
    key = place("here", "anchor-r")
    memory = PlanMemory()
    for turn, kind in enumerate((OutcomeKind.FAILED, OutcomeKind.FAILED, OutcomeKind.DONE, OutcomeKind.FAILED), 1):
        outcome = Outcome(turn=turn, cluster="here", subject="anchor-r", kind=kind)
        memory = counted(memory, (outcome,), turn, FIRST_WAIT_MS)
    assert (1, FIRST_WAIT_MS) == (memory.back_off[key].failures, memory.back_off[key].wait_ms)


def test_what_a_cluster_refused_is_remembered_as_long_as_it_does_not_answer() -> None:
    """Nothing is planned there, so that nobody can tell whether it is still wanted."""
    scene = settled(NATIVE)
    scene.clusters["here"].faults.calls.append(CallFault.REJECTED)
    scene.scale("anchor", 3)
    scene.turn()
    scene.clusters["here"].faults.partitioned = True
    scene.turns(5)
    assert 1 == len(scene.drive.saved.back_off)

    scene.clusters["here"].faults.partitioned = False
    scene.settle()
    assert {} == scene.drive.saved.back_off


CLUSTERS = st.sampled_from(["answers", "silent", "gone"])
SUBJECTS = st.sampled_from(["a", "b", "c"])
WAITS = st.builds(
    BackOff,
    failures=st.integers(1, 9),
    wait_ms=st.sampled_from([0, 1, FIRST_WAIT_MS]),
    at=st.just(0),
    code=st.just("refused"),
    text=st.just(""),
)


def binds(cluster: str, subject: str) -> Step:
    """Return some step about this subject."""
    return Bind(
        cluster=cluster, replica=subject, group=GroupKey("anchor", "r"), node="n0", devices=(), because="it fits"
    )


@given(
    st.dictionaries(st.tuples(CLUSTERS, SUBJECTS), WAITS, max_size=6),
    st.frozensets(st.tuples(CLUSTERS, SUBJECTS), max_size=6),
)
def test_only_a_wait_that_is_over_and_that_no_step_takes_up_is_forgotten(
    waits: dict[tuple[str, str], BackOff], wanted: frozenset[tuple[str, str]]
) -> None:
    """Never one that runs, one whose step is planned, or one of a cluster that does not answer."""
    world = World(
        clusters={
            "answers": Reachable(Snapshot(capabilities=NATIVE)),
            "silent": Unreachable(since=0, error="no route to host"),
        }
    )
    memory = PlanMemory(back_off={place(*key): wait for key, wait in waits.items()})
    kept = waited_for(memory, world, tuple(binds(*key) for key in sorted(wanted)))

    right = {place(*key) for key, wait in waits.items() if wait.wait_ms > 0 or key in wanted or key[0] == "silent"}
    assert right == kept.keys()
    assert waited_for(attrs.evolve(memory, back_off=kept), world, ()) == {
        key: wait for key, wait in kept.items() if wait.wait_ms > 0 or key.startswith("silent/")
    }
