"""How many replicas measured load makes: what an owner declares of that, what a policy is asked, and what came of it.

Every number is an exact integer. A metric is counted in thousandths of its unit (requests, requests per second, cores,
devices), but for latency, which is in milliseconds.
"""

from __future__ import annotations

import enum

import attrs

from roadstead.units import Duration

__all__ = [
    "Asked",
    "AutoscalingSpec",
    "Metric",
    "MetricTarget",
    "Peak",
    "Scaling",
    "ScalingAnswer",
    "ScalingQuestion",
    "Windows",
]


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


# ---- what a policy is asked ----


@attrs.frozen(kw_only=True)
class ScalingQuestion:
    """How much there was of one metric, for a policy that says how many replicas that makes.

    ``stable`` and ``panic`` are averages over the windows of these names, of the whole deployment: what all replicas
    together had to do, in the unit of ``target``. They are ``None`` where nothing could be measured, which is never 0.
    Of latency, which does not add up, it is the 99th percentile times the replicas that gave it, so that dividing by
    the target is right for every metric.

    ``ready`` are the replicas that serve now, ``wanted`` were wanted before. ``elapsed_ms`` is the time since this
    policy was last asked for this deployment and metric, and ``memory`` what it answered then; empty the first time.
    """

    spec: AutoscalingSpec
    target: MetricTarget
    stable: int | None
    panic: int | None
    ready: int
    wanted: int
    elapsed_ms: int
    memory: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class ScalingAnswer:
    """How many replicas a policy wants, and why, in a sentence with the numbers; ``memory`` is for its next question.

    Time in ``memory`` is counted with :attr:`ScalingQuestion.elapsed_ms`, and never an instant: a clock may jump.
    """

    wanted: int = attrs.field(validator=attrs.validators.ge(0))
    because: str
    memory: tuple[int, ...] = ()


# ---- what comes of it ----


@attrs.frozen(kw_only=True)
class Asked:
    """What a policy was asked about one metric, and what it said; ``None`` where nothing could be measured.

    ``complete``: all of the stable window was measured. Without that, nothing is lowered.
    """

    question: ScalingQuestion
    answer: ScalingAnswer | None
    complete: bool


@attrs.frozen
class Peak:
    """The most replicas that were needed at any moment of ``ms`` milliseconds."""

    ms: int
    most: int


@attrs.frozen(kw_only=True)
class Scaling:
    """One decision about how many replicas a deployment should have, with everything that it was made from.

    ``peaks`` are the most that were needed lately, oldest first, without what was ``asked`` now, which counts for
    ``elapsed_ms``. ``because`` says it in a sentence with the numbers.
    """

    deployment: str
    spec: AutoscalingSpec
    was: int
    wanted: int
    asked: tuple[Asked, ...]
    peaks: tuple[Peak, ...]
    elapsed_ms: int
    because: str
