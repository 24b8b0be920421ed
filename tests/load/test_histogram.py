"""Percentiles, held to those of the sorted values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.load.histogram import Histogram

seconds = st.floats(min_value=0.0, max_value=3000.0)


def filled(values: list[float]) -> Histogram:
    """Return a histogram of these values."""
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def close(told: float, exact: float) -> bool:
    """Whether some milliseconds are those, to three digits and a microsecond."""
    return abs(told - exact) <= exact * 1e-3 + 2e-3


@given(st.lists(seconds, min_size=1, max_size=300), st.sampled_from([1.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_the_value_of_that_rank_to_three_digits(values: list[float], percent: float) -> None:
    """The rank is rounded to the nearest one, as HDR histograms do."""
    rank = max(1, int(percent * len(values) / 100 + 0.5))
    assert close(filled(values).percentile(percent), sorted(values)[rank - 1] * 1000)


@given(st.lists(seconds, min_size=1, max_size=300))
def test_a_summary_rises_from_the_median_to_the_largest(values: list[float]) -> None:
    """No percentile is above the largest value, and that one is exact to the microsecond."""
    summary = filled(values).summary()
    assert summary is not None
    told = [summary.p50, summary.p90, summary.p99, summary.p999, summary.max]
    assert sorted(told) == told
    assert math.isclose(max(values) * 1000, summary.max, abs_tol=1e-3)


@given(st.lists(seconds, max_size=50))
def test_every_value_is_counted(values: list[float]) -> None:
    """None is too small or too large to be counted."""
    assert len(values) == len(filled(values))


def test_of_nothing_there_is_no_summary() -> None:
    """Nothing is not zero."""
    assert Histogram().summary() is None


@pytest.mark.parametrize(("value", "milliseconds"), [(-1.0, 0.0), (1e9, 3_600_000.0)])
def test_what_cannot_be_counted_counts_as_the_nearest_that_can(value: float, milliseconds: float) -> None:
    """A clock that went back, and more than an hour."""
    summary = filled([value]).summary()
    assert summary is not None
    assert milliseconds == summary.max
