"""What happened when: nothing gets lost between rows."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from roadstead.load.timeline import Timeline, nearest_rank


class Requests(RuleBasedStateMachine):
    """Requests that are sent in order and end in any, beside the plainest bookkeeping there is."""

    def __init__(self) -> None:
        super().__init__()
        self.timeline = Timeline(0.5)
        self.now = 0.0
        self.flying: list[float] = []
        self.sent: Counter[int] = Counter()
        self.failed: Counter[tuple[int, str]] = Counter()
        self.seconds: dict[int, list[float]] = {}

    @rule(after=st.floats(min_value=0, max_value=1.5))
    def send(self, after: float) -> None:
        """Send one."""
        self.now += after
        self.timeline.sent(self.now)
        self.flying.append(self.now)
        self.sent[int(self.now // 0.5)] += 1

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), seconds=st.floats(min_value=0, max_value=9))
    def answer(self, data: st.DataObject, seconds: float) -> None:
        """Answer one of them."""
        due = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.timeline.answered(due, seconds)
        self.seconds.setdefault(int(due // 0.5), []).append(seconds * 1000)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), code=st.sampled_from(["UNAVAILABLE", "WRONG"]))
    def fail(self, data: st.DataObject, code: str) -> None:
        """Let one of them fail."""
        due = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.timeline.failed(due, code)
        self.failed[int(due // 0.5), code] += 1

    @invariant()
    def every_request_is_in_its_row(self) -> None:
        """Rows follow each other without a gap, and each counts what was due in it, whatever became of it later."""
        rows = self.timeline.rows()
        assert [number * 0.5 for number in range(len(rows))] == [row.at for row in rows]
        assert sum(self.sent.values()) == sum(row.sent for row in rows)
        for number, row in enumerate(rows):
            times = sorted(self.seconds.get(number, []))
            codes = {code: count for (index, code), count in self.failed.items() if index == number}
            assert (self.sent[number], len(times), codes) == (row.sent, row.ok, dict(row.failures))
            expected = [nearest_rank(times, percent) for percent in (50, 99, 100)]
            assert expected == [row.p50, row.p99, row.max]

    @invariant()
    def the_last_rows_are_the_last_of_all(self) -> None:
        """What is shown meanwhile is what is told in the end."""
        assert self.timeline.rows()[-2:] == self.timeline.last(2)


TestRequests = Requests.TestCase


def test_single_times_are_kept_only_while_something_is_on_its_way() -> None:
    """A measurement of hours is no heavier than its rows."""
    timeline = Timeline(1.0)
    for second in range(1000):
        timeline.sent(float(second))
        timeline.answered(float(second), 0.1)
    assert 1 == len(timeline._open)
    assert 1000 == len(timeline.rows())


def test_a_request_of_an_earlier_row_is_refused() -> None:
    """Its row may have been closed; a count that is silently wrong would be worse."""
    timeline = Timeline(1.0)
    timeline.sent(5.0)
    with pytest.raises(ValueError, match="due at 4"):
        timeline.sent(4.0)


@given(st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=40), st.floats(min_value=0, max_value=100))
def test_the_nearest_rank_has_that_share_at_or_below_it(values: list[float], percent: float) -> None:
    """And no smaller value has."""
    ordered = sorted(values)
    found = nearest_rank(ordered, percent)
    assert found is not None
    assert sum(value <= found for value in ordered) >= len(ordered) * percent / 100
    assert sum(value < found for value in ordered) < max(1, len(ordered) * percent / 100)


def test_rows_do_not_change_behind_the_back() -> None:
    """A row that was handed out is a value."""
    timeline = Timeline(1.0)
    timeline.sent(0.0)
    (before,) = timeline.rows()
    copy = attrs.evolve(before, failures=dict(before.failures))
    timeline.failed(0.0, "UNAVAILABLE")
    assert copy == before
