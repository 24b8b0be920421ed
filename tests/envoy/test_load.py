"""How much there is to do, from Envoy's own counters."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from roadstead.traffic import RouteLoad
from tests.envoy.backend import Replica
from tests.envoy.conftest import Client, Load, Subject, passage_of, to, until

Make = Callable[..., Replica]
Connect = Callable[..., Client]


def load_of(subject: Subject) -> RouteLoad:
    """Return what the gateway says of the load now."""
    return subject.gateway.view().loads["m"]


def test_requests_and_errors_are_counted_for_each_replica_and_in_total(
    subject: Subject, replica: Make, client: Connect
) -> None:
    """Both protocols count; an answer of 500 is an error."""
    first, second = replica(), replica()
    subject.serve(first.endpoint, second.endpoint)
    one = client(subject.address)
    for _ in range(10):
        one.who(b"", timeout=30.0)
        one.rest("/who")
        one.rest("/fail")
    load = load_of(subject)
    assert (0, 30, 10) == (load.total.in_flight, load.total.requests, load.total.errors)
    assert {first.endpoint, second.endpoint} == load.endpoints.keys()
    assert (30, 10) == (
        sum(one.requests for one in load.endpoints.values()),
        sum(one.errors for one in load.endpoints.values()),
    )


def test_a_request_that_found_no_replica_is_a_failed_one(subject: Subject, client: Connect) -> None:
    """Who asks while nobody is there is load, too."""
    subject.offer(to())
    one = client(subject.address)
    assert [503] * 3 == [one.rest("/who")[0] for _ in range(3)]
    total = load_of(subject).total
    assert (3, 3) == (total.requests, total.errors)


def test_rates_and_latencies_are_those_of_the_last_interval(subject: Subject, replica: Make) -> None:
    """Nothing is said before there are two readings; under load they show it, and afterwards that it is over."""
    only = replica()
    subject.serve(only.endpoint)
    assert not load_of(subject).total.rate  # 0 where it took long enough for two readings
    with Load(subject.address) as load:
        view = subject.until(lambda view: view.loads["m"].total.latency is not None)
        total, single = view.loads["m"].total, view.loads["m"].endpoints[only.endpoint]
        load.more(10)
    assert total.rate is not None
    assert total.rate > 0
    assert total.rate == single.rate
    assert (0.0, None) == (total.error_rate, single.latency)
    assert total.latency is not None
    assert 0.0 <= total.latency.p50 <= total.latency.p90 <= total.latency.p99 < 5000
    quiet = subject.until(lambda view: view.loads["m"].total.rate == 0).loads["m"].total
    assert (total.requests <= quiet.requests, None) == (True, quiet.latency)


def test_what_is_in_flight_is_shown_where_it_is(subject: Subject, replica: Make, client: Connect) -> None:
    """The signal that scaling by concurrency needs."""
    first, second = replica(), replica()
    subject.serve(first.endpoint, second.endpoint)
    one = client(subject.address)
    calls = []
    for count in range(1, 5):
        calls.append(one.hold.future(b"", timeout=120.0))
        until(lambda count=count: len(first.holding + second.holding) == count)  # type: ignore[misc]
    load = load_of(subject)
    assert (4, [2, 2]) == (load.total.in_flight, [one.in_flight for one in load.endpoints.values()])
    for place in (first, second):
        place.may_answer.set()
    assert 4 == len([call.result() for call in calls])
    until(lambda: load_of(subject).total.in_flight == 0)


def test_totals_keep_what_a_replica_that_left_had_answered(subject: Subject, replica: Make, client: Connect) -> None:
    """Counters of a deployment only rise while Envoy runs, whoever comes and goes."""
    old, new = replica(), replica()
    subject.serve(old.endpoint)
    for _ in range(10):
        client(subject.address).rest("/who")
    assert 10 == load_of(subject).total.requests
    subject.gateway.route(to(new.endpoint))
    subject.until(lambda view: passage_of(view, new.endpoint).serving and not passage_of(view, old.endpoint).listed)
    client(subject.address).rest("/who")
    load = load_of(subject)
    assert (11, [new.endpoint]) == (load.total.requests, list(load.endpoints))


def test_counting_begins_anew_with_another_envoy(subject: Subject, replica: Make, client: Connect) -> None:
    """A restart is no burst of negative load: rates are unknown again until there are two readings."""
    only = replica()
    subject.serve(only.endpoint)
    for _ in range(10):
        client(subject.address).rest("/who")
    subject.until(lambda view: view.loads["m"].total.rate is not None)
    before = subject.pid()
    os.kill(before, signal.SIGKILL)
    view = subject.until(lambda view: subject.pid() != before and passage_of(view, only.endpoint).serving)
    total = view.loads["m"].total
    assert 0 == total.requests
    assert total.rate == pytest.approx(0) or total.rate is None
