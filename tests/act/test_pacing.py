"""When the next turn begins."""

from __future__ import annotations

import itertools
import threading

import pytest
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


@pytest.mark.parametrize(("takes", "gap"), [(0.0, 0.05), (0.001, 0.05), (0.01, 0.2), (0.05, 1.0), (2.0, 1.0)])
def test_turns_that_follow_each_other_slow_down(takes: float, gap: float) -> None:
    """Endless news cost a twentieth of the time, or a turn a second; a short chain of steps is soon through."""
    pacing, now, ended, gaps = Pacing(Duration(5_000)), 0.0, 0.0, []
    for _ in range(20):
        gaps.append(now - ended)
        pacing.began(now)
        ended = now + takes
        pacing.ended(ended)
        now = pacing.earliest()

    assert sum(gaps[:4]) < 0.1
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(gaps))
    assert [gap] * 5 == [round(one, 6) for one in gaps[-5:]]


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

    assert bell.wait(60.0)
    assert not bell.wait(0.0)


def test_a_bell_wakes_who_waits() -> None:
    """A ring from another thread ends the wait before its time."""
    bell = Bell()
    threading.Timer(0.01, bell.ring).start()

    assert bell.wait(60.0)
