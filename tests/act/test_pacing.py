"""When the next turn begins."""

from __future__ import annotations

import itertools
import threading

from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.pacing import Bell, Pacing
from roadstead.units import Duration


def test_news_after_a_quiet_time_is_answered_at_once() -> None:
    """The first turn waits for nothing."""
    pacing = Pacing(Duration(5_000))
    pacing.began(100.0)
    pacing.ended(100.1)

    assert 100.1 == pacing.earliest()
    assert 105.0 == pacing.latest()


def test_turns_that_follow_each_other_slow_down_to_one_a_second() -> None:
    """Endless news cost a turn a second, and a short chain of steps is through in a fraction of one."""
    pacing, now, times = Pacing(Duration(5_000)), 0.0, []
    for _ in range(20):
        pacing.began(now)
        pacing.ended(now)
        times.append(now)
        now = pacing.earliest()

    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[4] < 0.1
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(gaps))
    assert [1.0] * 5 == [round(gap, 6) for gap in gaps[-5:]]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=30), st.integers(100, 10_000))
def test_there_is_always_a_next_turn(waits: list[float], interval: int) -> None:
    """However turns fall, the next one begins an interval later, and with news not later than a second."""
    pacing, now = Pacing(Duration(interval)), 0.0
    for wait in waits:
        now += wait
        pacing.began(now)
        pacing.ended(now)
        assert now <= pacing.earliest() <= now + 1.0
        assert now + interval / 1000 == pacing.latest()


def test_ringing_twice_is_heard_once() -> None:
    """Many pieces of news before a turn are one turn."""
    bell = Bell()
    bell.ring()
    bell.ring()

    assert bell.wait(10.0)
    assert not bell.wait(0.0)


def test_a_bell_wakes_who_waits() -> None:
    """A ring from another thread ends the wait before its time."""
    bell = Bell()
    threading.Timer(0.01, bell.ring).start()

    assert bell.wait(10.0)
