"""One replica is always to spare."""

from __future__ import annotations

import pytest

from roadstead.spi.policies import AutoscalingSpec, Metric, MetricTarget, ScalingQuestion
from roadstead_pier.policy import OneToSpare


def _question(load: int | None) -> ScalingQuestion:
    target = MetricTarget(metric=Metric.CONCURRENCY, target=4_000)
    spec = AutoscalingSpec(policy="one-to-spare", max=9, metrics=(target,))
    return ScalingQuestion(spec=spec, target=target, stable=load, panic=load, ready=2, wanted=2, elapsed_ms=1_000)


@pytest.mark.parametrize(("load", "wanted"), [(0, 1), (1, 2), (4_000, 2), (9_000, 4)])
def test_the_load_makes_one_more_than_it_needs(load: int, wanted: int) -> None:
    """Load in thousandths of a request in flight, four of which one replica takes."""
    assert OneToSpare().answer(_question(load)).wanted == wanted


def test_an_unknown_load_changes_nothing() -> None:
    """What was wanted before is wanted still."""
    assert OneToSpare().answer(_question(None)).wanted == 2
