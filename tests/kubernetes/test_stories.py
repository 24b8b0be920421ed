"""Stories told by the daemon's own loop on a real cluster while its API, or its processes, do wrong.

A sample: `python -m benchmarks.http_faults` tries every fault of every call, `python -m benchmarks.kubernetes_signals`
every signal in every story.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roadstead.testing.live_faults.calls import Kind, Plan, Point, Sort
from roadstead.testing.live_faults.stories import STORIES
from roadstead.testing.live_faults.trials import Telling, Trial, judged
from roadstead.units import Duration
from tests.cluster.cluster import Cluster
from tests.kubernetes.ground import standin_ground
from tests.kubernetes.live import Ground, standing_by
from tests.kubernetes.signals import SIGNALS, Signal, real_ground, signalled

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300)]

CREATE = next(one for one in STORIES if one.name == "create")
SCALE = next(one for one in STORIES if one.name == "scale by hand")
PATIENCE = Duration(120_000)
FAULTS = (
    Plan(Point("POST replicasets", 0, Sort.WRITE), Kind.LOST_AFTER),
    Plan(Point("POST services", 0, Sort.WRITE), Kind.FAILS_AFTER),
    Plan(Point("POST poddisruptionbudgets", 0, Sort.WRITE), Kind.THROTTLED),
    Plan(Point("ask replicasets", 1, Sort.READ), Kind.TRUNCATED),
    Plan(Point("watch replicasets", 1, Sort.WATCHED), Kind.EXPIRED),
    Plan(Point("watch pods", 2, Sort.WATCHED), Kind.STALE),
)


@pytest.fixture(scope="module")
def ground(control_plane: Cluster) -> Iterator[Ground]:
    """A namespace with stand-in nodes."""
    with standin_ground(control_plane.kubeconfig, "native") as made:
        yield made


@pytest.fixture(scope="module")
def created(ground: Ground) -> Telling:
    """What comes of the first story without faults."""
    told = Trial(story=CREATE, furnish=ground.cluster).told()
    assert () == told.wrong
    return told


@pytest.mark.parametrize("plan", FAULTS, ids=str)
def test_a_fault_of_one_call_changes_nothing_about_the_end(ground: Ground, created: Telling, plan: Plan) -> None:
    """No replica is lost, duplicated or orphaned, the floor holds, and nothing is written at rest."""
    told = Trial(story=CREATE, furnish=ground.cluster).planned(plan, created)
    assert told.applied
    assert () == judged(str(plan), told, created).violations


@pytest.fixture(scope="module")
def real_nodes(cluster: Cluster, second_node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A namespace on two real nodes."""
    assert second_node in cluster.nodes
    folder = tmp_path_factory.mktemp("models")
    with cluster.namespace() as namespace, real_ground(cluster, namespace, folder) as made:
        standing_by(made)
        yield made


@pytest.fixture(scope="module")
def scaled(real_nodes: Ground) -> Telling:
    """What comes of the second story without signals."""
    told = Trial(story=SCALE, furnish=real_nodes.cluster, within=PATIENCE).told()
    assert () == told.wrong
    return told


@pytest.mark.parametrize(
    "signal",
    [pytest.param(one, id=one.name, marks=[pytest.mark.nightly] if one.is_long else []) for one in SIGNALS],
)
def test_a_signal_to_a_process_of_the_cluster_changes_nothing_about_the_end(
    two_nodes: Cluster, real_nodes: Ground, scaled: Telling, signal: Signal
) -> None:
    """Servers in containers go on, and what was asked for meanwhile is done when the process is back."""
    trial = Trial(story=signal.eased(SCALE), furnish=real_nodes.cluster, within=PATIENCE)
    told = trial.told(signalled(signal, two_nodes, writes=1), scaled)
    assert told.applied
    assert () == judged(signal.name, told, scaled).violations
