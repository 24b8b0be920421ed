"""When requests are due."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.load.course import Arrivals, Closed, Course, Open, due_times

rates = st.floats(min_value=0.01, max_value=1e5)
seeds = st.integers(min_value=0, max_value=2**32)


def first(pace: Open, count: int) -> list[float]:
    """Return the first times."""
    return list(itertools.islice(due_times(pace), count))


@given(rates, st.integers(min_value=1, max_value=2000))
def test_constant_arrivals_are_a_multiple_of_the_same_distance(rate: float, count: int) -> None:
    """However many there were before, the n-th request is due after n distances: nothing adds up."""
    times = first(Open(rate=rate, arrivals=Arrivals.CONSTANT), count)
    assert [number / rate for number in range(count)] == times


@given(rates, seeds)
def test_poisson_arrivals_have_the_rate_asked_for(rate: float, seed: int) -> None:
    """Over 4000 distances the mean is within 8 of its standard errors of 1 / rate."""
    times = first(Open(rate=rate, seed=seed), 4000)
    assert abs(times[-1] * rate / 4000 - 1) < 8 / 4000**0.5


@given(seeds)
def test_poisson_arrivals_vary_as_much_as_independent_ones(seed: int) -> None:
    """The distances have a standard deviation as large as their mean; those of a clock would have none."""
    times = first(Open(rate=1.0, seed=seed), 4000)
    distances = [after - before for before, after in itertools.pairwise(times)]
    assert 0.8 < statistics.stdev(distances) < 1.2


@given(rates, seeds)
def test_arrivals_never_go_back(rate: float, seed: int) -> None:
    """Requests are due in the order in which they are sent."""
    times = first(Open(rate=rate, seed=seed), 200)
    assert sorted(times) == times
    assert times[0] >= 0


@given(rates, seeds)
def test_the_same_seed_gives_the_same_times(rate: float, seed: int) -> None:
    """Two measurements can be given the same load; another seed gives another one."""
    pace = Open(rate=rate, seed=seed)
    assert first(pace, 50) == first(pace, 50)
    assert first(Open(rate=rate, seed=seed + 1), 50) != first(pace, 50)


@pytest.mark.parametrize("wrong", [{"duration": 0.0}, {"warm_up": -1.0}, {"deadline": 0.0}])
def test_a_course_without_time_is_none(wrong: dict[str, float]) -> None:
    """Nothing can be measured in no time."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Course(pace=Closed(1), **{"duration": 1.0, "warm_up": 0.0, "deadline": 1.0, **wrong})
