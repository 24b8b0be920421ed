"""How many replicas measured load makes, as an owner declares it: bounds, targets, windows and the policy's name.

Every number is an exact integer. A metric is counted in thousandths of its unit (requests, requests per second, cores,
devices), but for latency, which is in milliseconds.
"""

from __future__ import annotations

import enum

import attrs

from roadstead.units import Duration

__all__ = ["AutoscalingSpec", "Metric", "MetricTarget", "Windows"]


@enum.unique
class Metric(enum.Enum):
    """What is measured of a deployment's load; the value is the fleet file's key."""

    CONCURRENCY = "concurrency"
    REQUESTS_PER_SECOND = "requests_per_second"
    LATENCY_P99 = "latency_p99"
    CPU = "cpu"
    GPU = "gpu"


@attrs.frozen
class MetricTarget:
    """How much of ``metric`` one replica should have to do: thousandths of its unit, milliseconds for latency."""

    metric: Metric
    target: int = attrs.field(validator=attrs.validators.ge(1))

    def shown(self, amount: int) -> str:
        """Return an amount of this metric as people read it.

        >>> MetricTarget(Metric.CONCURRENCY, 4000).shown(12_500)
        '12.5'
        >>> MetricTarget(Metric.LATENCY_P99, 200).shown(480)
        '480ms'
        """
        return f"{amount}ms" if self.metric is Metric.LATENCY_P99 else f"{amount / 1000:.4g}"

    def __str__(self) -> str:
        return f"{self.metric.value} {self.shown(self.target)}"


@attrs.frozen(kw_only=True)
class Windows:
    """Over what times load is averaged.

    ``stable`` is what counts as a rule and ``panic`` what shows a surge. Replicas go only after fewer were enough for
    all of ``scale_down_after``.
    """

    stable: Duration = Duration(60_000)
    panic: Duration = Duration(6_000)
    scale_down_after: Duration = Duration(300_000)


@attrs.frozen(kw_only=True)
class AutoscalingSpec:
    """That measured load decides how many replicas there are, from ``min`` to ``max``.

    Of several ``metrics``, the one that needs most decides. ``min`` is at least 1: without any replica nobody would see
    that requests come.
    """

    min: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    max: int
    policy: str = "concurrency"
    metrics: tuple[MetricTarget, ...] = attrs.field(validator=attrs.validators.min_len(1))
    windows: Windows = Windows()

    def __attrs_post_init__(self) -> None:
        if self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}")

    def bounded(self, count: int) -> int:
        """Return ``count``, or the bound that it is beyond."""
        return min(self.max, max(self.min, count))
