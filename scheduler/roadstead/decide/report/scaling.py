"""How load decides about a deployment, in a status: what is measured of each metric, and how it came to the number."""

from __future__ import annotations

import attrs

from roadstead.autoscaling import AutoscalingSpec, Scaling
from roadstead.decide.report.causes import CANNOT_BE_PLACED
from roadstead.decide.windows import averages
from roadstead.memory import Series
from roadstead.model import Deployment
from roadstead.plans import Plan
from roadstead.units import Duration

__all__ = ["MetricStatus", "Replay", "ScalingStatus", "scaling_of"]


@attrs.frozen(kw_only=True)
class MetricStatus:
    """One metric: how much of it one replica should have, and how much there was of it in all, on average.

    Amounts are in thousandths of the metric's unit, and milliseconds for latency, of which ``stable`` and ``panic`` are
    times the replicas that gave it. They are ``None`` where nothing was measured, which is not the same as 0.
    ``measured`` is for how much of the stable window it was.
    """

    metric: str
    target: int
    stable: int | None
    panic: int | None
    measured: Duration


@attrs.frozen(kw_only=True)
class ScalingStatus:
    """Load decides how many replicas there are, from ``min`` to ``max``: ``wanted`` now, and why.

    ``capped_by`` are the codes of the reasons why not all that are wanted can be had.
    """

    min: int
    max: int
    policy: str
    wanted: int
    because: str
    metrics: tuple[MetricStatus, ...]
    capped_by: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Replay:
    """A change that load made at ``at`` (ms since the epoch) in turn ``turn``, asked again.

    ``differences`` say how the policy answers otherwise today; there are none where it answers as it did.
    """

    at: int
    turn: int
    decided: Scaling
    differences: tuple[str, ...]


def scaling_of(declared: Deployment, plan: Plan) -> ScalingStatus | None:
    """Return how load decides about a deployment, ``None`` where it does not."""
    spec = declared.autoscaling
    if spec is None:
        return None
    known = plan.memory.scaling.get(declared.name)
    measured = known.measured if known is not None and known.measured.spec == spec else None
    held = {one.reason.code for one in plan.held if one.deployment == declared.name}
    return ScalingStatus(
        min=spec.min,
        max=spec.max,
        policy=spec.policy,
        wanted=plan.wanted.get(declared.name, spec.min),
        because=measured.because if measured is not None else "",
        metrics=_metrics(spec, measured.series if measured is not None else (Series(),) * len(spec.metrics)),
        capped_by=tuple(sorted(code.value for code in held & CANNOT_BE_PLACED)),
    )


def _metrics(spec: AutoscalingSpec, series: tuple[Series, ...]) -> tuple[MetricStatus, ...]:
    found = [averages(one.buckets, spec.windows) for one in series]
    return tuple(
        MetricStatus(
            metric=target.metric.value,
            target=target.target,
            stable=one.stable,
            panic=one.panic,
            measured=Duration(min(one.known_ms, spec.windows.stable.ms)),
        )
        for target, one in zip(spec.metrics, found, strict=True)
    )
