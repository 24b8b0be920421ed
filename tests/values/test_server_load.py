"""What two readings of a server's own counters say of its load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.traffic import MeanLoad, ServerLoad, mean_load, sum_of

_SECONDS = st.floats(0.1, 3600)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.1, 10**4), st.floats(0, 10**3), _SECONDS)
def test_a_steady_load_is_found(ok: int, failed: int, ms: float, before: float, seconds: float) -> None:
    """So many requests of one latency in a time are their rate, that latency, and their product in flight."""
    first = ServerLoad(ok=3, failed=5, latency=before)
    found = mean_load(first, ServerLoad(ok=3 + ok, failed=5 + failed, latency=before + ok * ms), seconds=seconds)
    assert found is not None
    assert pytest.approx((ok + failed) / seconds) == found.rate
    assert pytest.approx(failed / seconds) == found.error_rate
    assert pytest.approx(ok * ms / 1000 / seconds, abs=1e-6) == found.in_flight
    assert (None if not ok else pytest.approx(ms, rel=1e-3)) == found.latency


@given(st.integers(1, 100), st.integers(0, 100), st.floats(0.1, 1000), _SECONDS)
def test_a_server_that_started_again_has_no_load_yet(ok: int, failed: int, latency: float, seconds: float) -> None:
    """Counters that fell are another process's."""
    before = ServerLoad(ok=ok, failed=failed, latency=latency)
    assert None is mean_load(before, ServerLoad(ok=0, failed=failed, latency=0), seconds=seconds)
    assert None is mean_load(before, before, seconds=0)


def test_readings_that_are_too_coarse_say_only_what_they_can() -> None:
    """A sum in steps of ten seconds cannot say what five seconds were; how many requests ended, it does."""
    before = ServerLoad(ok=1000, failed=0, latency=10_000_000, step=10_000)
    found = mean_load(before, ServerLoad(ok=1050, failed=0, latency=10_010_000, step=10_000), seconds=5)
    assert found is not None
    assert (10.0, None, None) == (found.rate, found.latency, found.in_flight)
    long = mean_load(before, ServerLoad(ok=11_000, failed=0, latency=12_000_000, step=10_000), seconds=1000)
    assert long is not None
    assert (10.0, 200.0, 2.0) == (long.rate, long.latency, long.in_flight)
    idle = mean_load(before, before, seconds=5)
    assert idle is not None
    assert (0.0, None, 0.0) == (idle.rate, idle.latency, idle.in_flight)


_COUNTS = st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.floats(0.1, 100))


@given(st.lists(_COUNTS, min_size=1, max_size=8), _SECONDS)
def test_servers_together_are_like_one_that_did_all_of_it(counts: list[tuple[int, int, float]], seconds: float) -> None:
    """The sum of the loads is the load of the sums, whatever each server's part is."""
    nothing = ServerLoad(ok=0, failed=0, latency=0)
    each = [ServerLoad(ok=ok, failed=failed, latency=ok * ms) for ok, failed, ms in counts]
    one = ServerLoad(
        ok=sum(server.ok for server in each),
        failed=sum(server.failed for server in each),
        latency=sum(server.latency for server in each),
    )
    loads = [mean_load(nothing, server, seconds=seconds) for server in each]
    together = sum_of(load for load in loads if load is not None)
    alone = mean_load(nothing, one, seconds=seconds)
    assert together is not None
    assert alone is not None
    assert pytest.approx(alone.rate) == together.rate
    assert pytest.approx(alone.error_rate) == together.error_rate
    assert pytest.approx(alone.in_flight) == together.in_flight
    assert (None if alone.latency is None else pytest.approx(alone.latency, rel=1e-6)) == together.latency


def test_what_one_of_several_servers_cannot_tell_is_not_made_up() -> None:
    """Without one server's part nobody knows how many are in flight in all; of no server there is nothing to know."""
    told = MeanLoad(rate=10, error_rate=0, latency=5.0, in_flight=0.05)
    coarse = MeanLoad(rate=10, error_rate=0, latency=None, in_flight=None)
    assert MeanLoad(rate=20, error_rate=0, latency=5.0, in_flight=None) == sum_of([told, coarse])
    assert None is sum_of([])
