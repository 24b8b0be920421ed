"""Accounts: sent is ok, failed and in flight, always."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.load.record import Account, Outcome, Record
from roadstead.spi.load import OK

outcomes = st.builds(
    Outcome,
    code=st.sampled_from([OK, "UNAVAILABLE", "WRONG", "MISSING", "HTTP 503"]),
    detail=st.text(max_size=5),
    version=st.sampled_from([None, 1, 2]),
)


@given(st.lists(st.one_of(st.none(), outcomes), max_size=200))
def test_nothing_that_was_sent_is_out_of_the_accounts(events: list[Outcome | None]) -> None:
    """After any sequence of sending (``None``) and ending, sent = ok + failed + in flight, and codes add up."""
    account = Account()
    ended: list[Outcome] = []
    for event in events:
        if event is None:
            account.send()
        elif account.in_flight:
            account.end(event)
            ended.append(event)
        assert account.sent == account.ok + account.failed + account.in_flight
        assert account.failed == sum(account.failures.values())
    assert events.count(None) == account.sent
    assert sum(one.code == OK for one in ended) == account.ok
    assert sum(one.version is not None for one in ended) == sum(account.versions.values())
    for code in account.failures:
        assert next(one.detail for one in ended if one.code == code) == account.detail(code)


def test_what_was_never_sent_cannot_end() -> None:
    """A request that is counted twice would hide one that is lost."""
    account = Account()
    account.send()
    account.end(Outcome(code=OK))
    with pytest.raises(ValueError, match="none is on its way"):
        account.end(Outcome(code=OK))


@given(
    st.lists(
        st.tuples(st.floats(min_value=-2, max_value=5), st.floats(min_value=0, max_value=3), outcomes), max_size=60
    )
)
def test_the_warm_up_is_counted_apart(requests: list[tuple[float, float, Outcome]]) -> None:
    """Of two accounts each request is in one; histogram and timeline know those of the measurement only."""
    record = Record(every=1.0)
    for due, _, _ in sorted(requests, key=lambda one: one[0]):
        record.sent(due)
        record.handed_over(due, due + 0.001)
    for due, seconds, outcome in requests:
        record.ended(due, due + seconds, outcome)
    early = [one for one in requests if one[0] < 0]
    assert len(early) == record.warm_up.sent == record.warm_up.ok + record.warm_up.failed
    assert len(requests) - len(early) == record.account.sent == len(record.lateness)
    assert record.account.ok == len(record.latency)
    rows = record.timeline.rows()
    assert (record.account.ok, record.account.failed) == (sum(row.ok for row in rows), sum(row.failed for row in rows))


def test_time_is_counted_from_when_a_request_was_due() -> None:
    """A request that is sent two seconds late and answered at once took two seconds: nothing is omitted."""
    record = Record(every=1.0)
    record.sent(1.0)
    record.handed_over(1.0, 3.0)
    record.ended(1.0, 3.001, Outcome(code=OK))
    latency, lateness = record.latency.summary(), record.lateness.summary()
    assert latency is not None
    assert lateness is not None
    assert (2001, 2000) == (round(latency.max), round(lateness.max))
