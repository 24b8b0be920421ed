"""A plain Deployment on a real cluster does the work that a comparison asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from roadstead.bench.comparison.contest import revised
from roadstead.model import HealthSpec, ModelSpec, Resources, RuntimeSpec, StopSpec, Template
from roadstead.spi.backend import BackendContext
from roadstead.spi.comparison import Work
from roadstead.spi.runtime import Launch, Program
from roadstead.units import Cpus, Duration, Memory
from roadstead_backends.kubernetes.options import KubernetesOptions
from roadstead_backends.kubernetes.rival import plain_deployment
from tests.cluster.cluster import Cluster

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(400)]

IMAGE = "localhost/roadstead/host:1"
LAUNCH = Launch(
    program=Program(module="roadstead.testing.server"), args=("$(HOST)", "8501"), rest_port=8501, image=IMAGE
)
WITHIN = 90.0


def until(holds: Callable[[], bool]) -> None:
    """Wait until it is so."""
    pause, deadline = threading.Event(), time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < deadline
        pause.wait(0.1)


def work(folder: Path, number: int) -> Work:
    """Return two small servers of a template with a number."""
    template = Template(
        model=ModelSpec(name="m", source=str(folder)),
        runtime=RuntimeSpec(name="test", image=IMAGE, batching=None),
        resources=Resources(cpu=Cpus(50), memory=Memory(64 * 1024**2)),
        health=HealthSpec(every=Duration(1_000)),
        stop=StopSpec(drain_within=Duration(0), kill_after=Duration(2_000)),
    )
    return Work(name="m", replicas=2, template=revised(template, number), launch=LAUNCH)


def test_it_starts_rolls_heals_and_goes(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    """As Kubernetes does all of it, and nothing is left."""
    context = BackendContext(
        cluster="prod",
        fleet="rival",
        owner_id="0123456789abcdef",
        options=KubernetesOptions(kubeconfig=cluster.kubeconfig, namespace=namespace),
        scheduling=None,
        root=tmp_path,
    )
    rival = plain_deployment(context)
    try:
        rival.ask(work(Path("/usr"), 1))
        until(lambda: len(rival.standing().current) == 2)
        first = rival.standing()
        assert (2, 0) == (first.ready, first.others)

        rival.ask(work(Path("/usr"), 2))
        until(lambda: len(rival.standing().current) == 2 and not rival.standing().others)
        assert rival.standing().current.isdisjoint(first.current)

        lost = rival.lose()
        until(lambda: len(rival.standing().current) == 2 and lost not in rival.standing().current)

        until(rival.end)
        assert not rival.standing().ready
    finally:
        rival.close()
