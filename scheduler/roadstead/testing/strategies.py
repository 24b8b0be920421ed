"""Hypothesis strategies for Roadstead's values: amounts, templates, nodes, deployments and fleets.

Sizes are small on purpose: a fleet of three deployments on two clusters shows every kind of conflict, and a failing
example of it can be read.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import TypeVar

import attrs
from hypothesis import strategies as st

from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget, Windows
from roadstead.model import (
    BatchingSpec,
    ClusterSpec,
    Constraint,
    DaemonSpec,
    Deployment,
    ExcessAction,
    ExcessSpec,
    Fleet,
    GatewaySpec,
    Gpu,
    GpuPart,
    GpuPartition,
    HealthSpec,
    ModelSpec,
    OnDrift,
    Operator,
    PlacementSpec,
    Quota,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    Secret,
    Spread,
    StopSpec,
    Strategy,
    Template,
    Variable,
    Via,
    WholeGpus,
)
from roadstead.template import target
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.world import Device, Node

__all__ = [
    "autoscalings",
    "cpus",
    "deployments",
    "durations",
    "excesses",
    "fleets",
    "gateways",
    "gpu_shares",
    "gpus",
    "memories",
    "names",
    "nodes",
    "quotas",
    "rollouts",
    "served_templates",
    "templates",
]

T = TypeVar("T")
_MIB = 1024**2
ZONES = ("a", "b")
OWNERS = ("search", "ads")

cpus = st.integers(0, 10**9).map(Cpus)
memories = st.integers(0, 2**60).map(Memory)
durations = st.integers(0, 10**12).map(Duration)
gpu_shares = st.integers(1, 1000).map(GpuShare)
names = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)


# ---- any value of the model ----


def gpus() -> st.SearchStrategy[Gpu]:
    """Any way to ask for a GPU."""
    return st.one_of(
        st.builds(WholeGpus, count=st.integers(1, 8), models=_tuples(names), memory=memories),
        st.builds(GpuPart, share=gpu_shares, memory=memories, models=_tuples(names)),
        st.builds(GpuPartition, profile=names),
    )


def templates() -> st.SearchStrategy[Template]:
    """Any template, sensible or not: for forms, hashes and wires."""
    constraints = st.builds(Constraint, attribute=names, operator=st.sampled_from(Operator), values=_tuples(_texts))
    spread = st.none() | st.builds(Spread, by=names, max_per=st.none() | st.integers(1, 5))
    batching = st.none() | st.builds(BatchingSpec, max_batch_size=st.integers(1, 64), timeout=durations)
    return st.builds(
        Template,
        model=st.builds(
            ModelSpec,
            name=names,
            source=_texts,
            version=st.integers(1, 99),
            digest=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
        ),
        runtime=st.builds(RuntimeSpec, image=st.none() | _texts, batching=batching, args=_tuples(_texts)),
        resources=st.builds(Resources, cpu=cpus, memory=memories, disk=memories, gpu=st.none() | gpus()),
        env=_tuples(st.builds(Variable, name=names, value=_texts)),
        secrets=_tuples(st.builds(Secret, name=names, ref=_texts, version=st.integers(1, 9))),
        health=st.builds(HealthSpec, start_within=durations, failures=st.integers(1, 9), canary=st.none() | _texts),
        stop=st.builds(StopSpec, drain_within=durations, kill_after=durations),
        placement=st.builds(PlacementSpec, constraints=_tuples(constraints), spread=spread),
        backend_options=st.just("") | st.just('{"priority_class":"high"}'),
    )


def _tuples(of: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(of, max_size=3).map(tuple)


# ---- values that suit each other: a small world of two zones, two owners and replicas of one or two cores ----


def served_templates(runtime: str = "simulated", *, plain: bool = False) -> st.SearchStrategy[Template]:
    """A template that small clusters can run; some only on some nodes or on a GPU, unless they are ``plain``."""
    wanted_gpus = st.one_of(
        st.none(),
        st.none(),
        st.builds(WholeGpus, count=st.integers(1, 2)),
        st.builds(GpuPart, share=st.sampled_from([300, 500, 1000]).map(GpuShare)),
    )
    in_zone = st.sampled_from(ZONES).map(
        lambda zone: (Constraint(attribute="zone", operator=Operator.IN, values=(zone,)),)
    )
    return st.builds(
        Template,
        model=st.builds(
            ModelSpec,
            name=st.just("m"),
            source=st.sampled_from(["/m/1", "/m/2", "/m/3"]),
            version=st.sampled_from([1, 1, 2]),
        ),
        runtime=st.just(RuntimeSpec(name=runtime, engine=runtime)),
        resources=st.builds(
            Resources,
            cpu=st.sampled_from([500, 1_000, 1_500]).map(Cpus),
            memory=st.just(Memory(64 * _MIB)),
            gpu=st.none() if plain else wanted_gpus,
        ),
        health=st.builds(
            HealthSpec,
            every=st.just(Duration(2_000)),
            failures=st.just(2),
            start_within=st.sampled_from([4_000, 20_000, 120_000]).map(Duration),
        ),
        stop=st.just(StopSpec(drain_within=Duration(5_000), kill_after=Duration(1_000))),
        placement=st.just(PlacementSpec())
        if plain
        else st.builds(
            PlacementSpec,
            constraints=st.one_of(st.just(()), st.just(()), in_zone),
            spread=st.one_of(
                st.none(), st.none(), st.builds(Spread, by=st.just("zone"), max_per=st.none() | st.just(2))
            ),
        ),
    )


def rollouts() -> st.SearchStrategy[RolloutSpec]:
    """A way to pass from one revision to another; one that could never move is left out."""
    return st.builds(
        RolloutSpec,
        strategy=st.sampled_from(Strategy),
        max_surge=st.integers(0, 2),
        max_unavailable=st.integers(0, 2),
        progress_deadline=st.just(Duration(60_000)),
        history=st.integers(0, 2),
    ).filter(lambda spec: spec.max_surge + spec.max_unavailable > 0)


def excesses() -> st.SearchStrategy[ExcessSpec]:
    """What happens to replicas that use more than they may, after a few turns."""
    actions = st.sampled_from(ExcessAction)
    return st.builds(
        ExcessSpec,
        cpu=actions,
        memory=actions,
        gpu_memory=actions,
        after=st.sampled_from([4_000, 10_000]).map(Duration),
    )


@st.composite
def nodes(draw: st.DrawFn, prefix: str = "n", max_size: int = 3, *, plain: bool = False) -> tuple[Node, ...]:
    """One to ``max_size`` nodes in two zones.

    Some have GPUs, some are partly used by others, some are cordoned, and room is scarce, unless they are ``plain``.
    """
    if plain:
        count, cpu = draw(st.integers(1, 2)), Cpus(draw(st.sampled_from([4_000, 8_000])))
        return tuple(Node(name=f"{prefix}{number}", cpu=cpu, memory=Memory(1024 * _MIB)) for number in range(count))
    return tuple(
        Node(
            name=f"{prefix}{number}",
            cpu=Cpus(draw(st.sampled_from([1_000, 2_000, 4_000]))),
            memory=Memory(1024 * _MIB),
            foreign_cpu=Cpus(draw(st.sampled_from([0, 0, 500]))),
            devices=tuple(
                Device(id=f"{prefix}{number}-g{index}", model="A100", memory=Memory(1024 * _MIB))
                for index in range(draw(st.sampled_from([0, 0, 1, 2])))
            ),
            attributes={"zone": draw(st.sampled_from(ZONES))},
            schedulable=draw(st.sampled_from([True, True, True, False])),
        )
        for number in range(draw(st.integers(1, max_size)))
    )


def gateways(names: Sequence[str]) -> Mapping[str, GatewaySpec]:
    """Return gateways of these names, each with an address and ports enough."""
    return {
        name: GatewaySpec(
            name=name,
            kind="simulated",
            address=f"127.0.0.{number}",
            first_port=20_000,
            last_port=20_099,
            options=None,
        )
        for number, name in enumerate(names, start=1)
    }


@st.composite
def deployments(
    draw: st.DrawFn,
    name: str,
    clusters: Sequence[str],
    through: Sequence[str | None] = (None,),
    *,
    plain: bool = False,
    scales: bool = False,
) -> Deployment:
    """A deployment of that name on some of the clusters, in some order, and behind one of these gateways or none.

    Of those that may scale (``scales``), the load of some decides how many replicas they have.
    """
    template = draw(served_templates(plain=plain))
    gateway = draw(st.sampled_from(through))
    rollout = draw(rollouts())
    reloads = rollout.strategy is Strategy.RELOAD
    where = draw(st.lists(st.sampled_from(clusters), min_size=1, max_size=len(clusters), unique=True))
    weights = {cluster: draw(st.integers(1, 3)) for cluster in where} if draw(st.sampled_from([False, True])) else {}
    scaling = draw(autoscalings()) if scales else None
    return Deployment(
        name=name,
        owner=draw(st.sampled_from(OWNERS)),
        targets=tuple(
            attrs.evolve(target(cluster, template, reloads=reloads), weight=weights.get(cluster)) for cluster in where
        ),
        elsewhere=tuple(target(cluster, template, reloads=reloads) for cluster in clusters if cluster not in where),
        fail_over_after=draw(st.sampled_from([0, 10_000, 300_000]).map(Duration)),
        replicas=scaling.min if scaling is not None else draw(st.integers(0, 4)),
        autoscaling=scaling,
        priority=draw(st.integers(0, 1)),
        place=draw(st.sampled_from(["spread", "binpack"])),
        rollout=rollout,
        on_excess=draw(excesses()),
        on_drift=draw(st.sampled_from(OnDrift)),
        via=Via(gateway=gateway) if gateway is not None else None,
    )


def autoscalings() -> st.SearchStrategy[AutoscalingSpec | None]:
    """That load decides, or that it does not; by CPU, which clusters measure, with windows of two turns."""
    windows = st.builds(
        Windows,
        stable=st.just(Duration(4_000)),
        panic=st.just(Duration(2_000)),
        scale_down_after=st.sampled_from([0, 4_000]).map(Duration),
    )
    spec = st.builds(
        AutoscalingSpec,
        min=st.integers(1, 2),
        max=st.integers(2, 5),
        metrics=st.sampled_from([200, 500, 900]).map(lambda milli: (MetricTarget(Metric.CPU, milli),)),
        windows=windows,
    )
    return st.none() | spec | spec


def quotas() -> st.SearchStrategy[Mapping[str, Quota]]:
    """What the owners may hold: nothing said, or a limit that a few replicas reach."""
    limit = st.one_of(
        st.just(Quota()),
        st.builds(
            Quota,
            cpu=st.sampled_from([1_000, 3_000, 6_000]).map(Cpus),
            gpu=st.none() | st.sampled_from([500, 2_000]),
        ),
    )
    return st.fixed_dictionaries(dict.fromkeys(OWNERS, limit))


@st.composite
def fleets(
    draw: st.DrawFn,
    clusters: Sequence[str] = ("here", "there"),
    through: Sequence[str | None] = (None,),
    *,
    plain: bool = False,
    scales: bool = False,
) -> Fleet:
    """A fleet of up to three deployments over these clusters, behind these gateways or none."""
    chosen = draw(st.lists(st.sampled_from(["anchor", "buoy", "cable"]), min_size=plain, max_size=3, unique=True))
    return Fleet(
        name="fleet",
        clusters={name: ClusterSpec(name=name, backend="simulated", options=None) for name in clusters},
        deployments={name: draw(deployments(name, clusters, through, plain=plain, scales=scales)) for name in chosen},
        owner_id="owner",
        quotas=dict.fromkeys(OWNERS, Quota()) if plain else draw(quotas()),
        gateways=gateways(sorted({name for name in through if name is not None})),
        daemon=DaemonSpec(turn=Duration(2_000)),
    )
