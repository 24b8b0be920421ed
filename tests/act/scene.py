"""A small fleet on simulated clusters, in real time that runs a hundred times faster there."""

from __future__ import annotations

import time
from collections.abc import Callable

from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.capabilities import Capabilities
from roadstead.model import (
    ClusterSpec,
    DaemonSpec,
    Deployment,
    Fleet,
    HealthSpec,
    ModelSpec,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    Scheduling,
    StopSpec,
    Template,
)
from roadstead.template import target
from roadstead.units import Cpus, Duration, Memory
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.options import SimulatedOptions

PATIENCE = 60.0
ABLE = Capabilities(scheduling=frozenset({Scheduling.DIRECTED}), exact_retire=True, heals_alone=False)


def template(*, version: int = 1, drain: int = 0, every: int = 200) -> Template:
    """Return a template that is ready and stopped within hundredths of a second."""
    return Template(
        model=ModelSpec(name="minilm", source="/models/minilm", version=version),
        runtime=RuntimeSpec(name="simulated", engine="simulated"),
        resources=Resources(cpu=Cpus(500), memory=Memory(1024**3)),
        health=HealthSpec(every=Duration(every), failures=2, start_within=Duration(10_000)),
        stop=StopSpec(drain_within=Duration(drain), kill_after=Duration(100)),
    )


def deployment(
    name: str = "minilm", *, replicas: int = 2, cluster: str = "here", made_from: Template | None = None
) -> Deployment:
    """Return one deployment on one cluster."""
    return Deployment(
        name=name,
        owner="search",
        targets=(target(cluster, made_from or template()),),
        replicas=replicas,
        rollout=RolloutSpec(),
    )


def fleet(*deployments: Deployment, daemon: DaemonSpec | None = None, clusters: tuple[str, ...] = ("here",)) -> Fleet:
    """Return a fleet of these deployments on simulated clusters."""
    options = SimulatedOptions(speed=100)
    return Fleet(
        name="shop",
        clusters={name: ClusterSpec(name=name, backend="simulated", options=options) for name in clusters},
        deployments={one.name: one for one in deployments},
        daemon=daemon or DaemonSpec(turn=Duration(200)),
    )


def simulated(session: Session, name: str = "here") -> SimulatedCluster:
    """Return the simulated cluster that a session drives."""
    backend = session.clusters[name].backend
    assert isinstance(backend, SimulatedCluster)
    return backend


def ready(session: Session, name: str = "minilm") -> int:
    """Return how many replicas of a deployment were ready in the last turn."""
    last = session.reconciler.last
    shard = last.world.shards.get(name) if last is not None else None
    return len(shard.ready) if shard is not None else 0


def turn_until(session: Session, bell: Bell, holds: Callable[[], bool]) -> None:
    """Run turns, each when something happened or after a while, until ``holds``; fails after a deadline."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        session.turn()
        bell.wait(0.05)
