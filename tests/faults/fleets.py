"""What the fleets of stories are made of: small replicas of one deployment or two, on one cluster or two."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from roadstead.autoscaling import AutoscalingSpec
from roadstead.model import (
    ClusterSpec,
    DaemonSpec,
    Deployment,
    Fleet,
    HealthSpec,
    ModelSpec,
    Quota,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    StopSpec,
    Strategy,
    Template,
    Via,
)
from roadstead.template import target
from roadstead.testing.strategies import gateways
from roadstead.units import Cpus, Duration, Memory
from tests.faults.furnishing import OWNER_ID

__all__ = ["BOTH", "ROLLS", "confined", "deployment", "fleet", "weighed"]

BOTH = ("here", "there")
ROLLS = RolloutSpec(progress_deadline=Duration(16_000))
IN_VAIN = Duration(8_000)
"""For how long a place may be looked for in vain."""


def template(source: str = "/m/1", *, start_within: Duration = Duration(3_600_000)) -> Template:
    """Return a small template; another ``source`` is another revision."""
    return Template(
        model=ModelSpec(name="m", source=source),
        runtime=RuntimeSpec(name="simulated", engine="simulated"),
        resources=Resources(cpu=Cpus(1_000), memory=Memory(2**20)),
        health=HealthSpec(every=Duration(2_000), failures=2, start_within=start_within),
        stop=StopSpec(drain_within=Duration(2_000), kill_after=Duration(1_000)),
    )


def deployment(  # all but the first by name
    source: str = "/m/1",
    *,
    version: int = 1,
    on: Iterable[str] = ("here",),
    replicas: int = 2,
    via: str | None = None,
    rollout: RolloutSpec = ROLLS,
    autoscaling: AutoscalingSpec | None = None,
    drain_within: Duration = Duration(2_000),
    fail_over_after: Duration = Duration(300_000),
) -> Deployment:
    """Return one deployment, called anchor."""
    made = template(source)
    made = attrs.evolve(
        made,
        model=attrs.evolve(made.model, version=version),
        stop=attrs.evolve(made.stop, drain_within=drain_within),
    )
    reloads = rollout.strategy is Strategy.RELOAD
    return Deployment(
        name="anchor",
        owner="search",
        targets=tuple(target(cluster, made, reloads=reloads) for cluster in on),
        elsewhere=tuple(target(cluster, made) for cluster in BOTH if cluster not in on),
        replicas=replicas,
        rollout=rollout,
        fail_over_after=fail_over_after,
        autoscaling=autoscaling,
        via=Via(gateway=via) if via is not None else None,
    )


def weighed(*weights: int) -> Deployment:
    """Return four replicas on both clusters by these weights."""
    made = deployment(on=BOTH, replicas=4)
    parts = (attrs.evolve(one, weight=weight) for one, weight in zip(made.targets, weights, strict=True))
    return attrs.evolve(made, targets=tuple(parts))


def confined(source: str = "/m/1", *, max_unavailable: int = 0) -> Deployment:
    """Return two replicas; a third one that finds no place is not waited for any longer than a server may start."""
    made = deployment(source, rollout=attrs.evolve(ROLLS, max_unavailable=max_unavailable))
    return attrs.evolve(made, targets=(target("here", template(source, start_within=IN_VAIN)),), elsewhere=())


def fleet(*deployments: Deployment, clusters: Iterable[str] = ("here",), **quotas: Quota) -> Fleet:
    """Return a fleet of these deployments; a keyword is an owner's quota."""
    fronts = sorted({one.via.gateway for one in deployments if one.via is not None})
    return Fleet(
        name="fleet",
        clusters={name: ClusterSpec(name=name, backend="simulated", options=None) for name in clusters},
        deployments={one.name: one for one in deployments},
        owner_id=OWNER_ID,
        quotas={"search": Quota(), **quotas},
        gateways=gateways(fronts),
        daemon=DaemonSpec(turn=Duration(2_000)),
    )
