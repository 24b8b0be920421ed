"""Load as a fluid, and the pretended gateway in front of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.bench.demand import Flow
from roadstead.bench.gateway import PretendedGateway
from roadstead.bench.scenario import Rate, Traffic
from roadstead.spi.gateway import Destination, Route, RouteTable
from roadstead.traffic import Endpoint
from roadstead.units import Duration


def traffic(*rates: tuple[int, int], service: int = 100, parallel: int = 1, patience: int = 5_000) -> Traffic:
    """Return traffic with these rates: seconds and requests per second."""
    return Traffic(
        service_time=Duration(service),
        parallel=parallel,
        patience=Duration(patience),
        rates=tuple(Rate(Duration(at * 1000), rate * 1000) for at, rate in rates),
    )


class TestFlow:
    """What becomes of requests."""

    def test_in_flight_is_rate_times_service_time_where_there_is_enough(self) -> None:
        """Little's law, with nothing waiting."""
        flow = Flow(traffic((0, 40)), 0)
        flow.advance(10_000, 8)
        assert (4, 400, 0, 40.0) == (flow.load.in_flight, flow.load.requests, flow.load.errors, flow.load.rate)
        assert flow.load.latency is not None
        assert 100.0 == flow.load.latency.p99

    def test_what_is_too_much_waits_and_makes_answers_late(self) -> None:
        """One server that does ten a second, with twenty sent: ten more wait after each second."""
        flow = Flow(traffic((0, 20)), 0)
        flow.advance(2_000, 1)
        assert (1 + 20, 0) == (flow.load.in_flight, flow.load.errors)
        assert flow.load.latency is not None
        assert 2_100.0 == flow.load.latency.p50

    def test_what_would_wait_for_too_long_fails(self) -> None:
        """No more wait than can be done within their patience."""
        flow = Flow(traffic((0, 20), patience=1_000), 0)
        flow.advance(10_000, 1)
        assert (200, 90) == (flow.requests, flow.failed)

    def test_what_waits_is_done_when_there_is_room_again(self) -> None:
        """After the rush the servers catch up, and nothing was lost."""
        flow = Flow(traffic((0, 20), (2, 0)), 0)
        flow.advance(2_000, 1)
        assert not flow.is_steady
        flow.advance(10_000, 1)
        flow.advance(11_000, 1)
        flow.advance(12_000, 1)
        assert (0, 40, 0, True) == (flow.load.in_flight, flow.requests, flow.failed, flow.is_steady)

    def test_without_a_server_everything_fails(self) -> None:
        """And no latency is made up."""
        flow = Flow(traffic((0, 20)), 0)
        flow.advance(1_000, 0)
        assert (20, 20, None) == (flow.requests, flow.failed, flow.load.latency)

    @given(
        st.lists(st.tuples(st.integers(0, 50), st.integers(0, 200)), min_size=1, max_size=6),
        st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5)), max_size=20),
    )
    def test_nothing_is_made_or_lost(self, steps: list[tuple[int, int]], story: list[tuple[int, int]]) -> None:
        """What was sent is what the rates say, and no more fails than was sent."""
        rates = sorted({0: 0, **dict(steps)}.items())
        flow, now = Flow(traffic(*rates), 0), 0
        for ms, servers in story:
            now += ms
            flow.advance(now, servers)
        ends = [at * 1000 for at, _ in rates[1:]] + [2**40]
        sent = sum(rate * max(0, min(now, end) - at * 1000) / 1000 for (at, rate), end in zip(rates, ends, strict=True))
        assert sent == pytest.approx(flow.requests, abs=1.01)
        assert 0 <= flow.failed <= flow.requests + 1
        assert flow.load.in_flight >= 0


class TestGateway:
    """A gateway that takes every table at once."""

    ONE = Endpoint(host="198.18.0.1", grpc=8500, rest=8501)
    TWO = Endpoint(host="198.18.0.2", grpc=8500, rest=8501)

    def _gateway(self, alive: set[Endpoint], now: list[int]) -> PretendedGateway:
        return PretendedGateway(
            now=lambda: now[0],
            serves=alive.__contains__,
            signs=lambda: frozenset(alive),
            flows={"anchor": Flow(traffic((0, 1)), 0)},
            service={"anchor": Duration(1_000)},
        )

    @staticmethod
    def _table(*destinations: Destination) -> RouteTable:
        return RouteTable({"anchor": Route(deployment="anchor", port=18000, destinations=destinations)})

    def test_who_does_not_answer_is_listed_and_does_not_serve(self) -> None:
        """The gateway sees it, and sends nothing there."""
        gateway = self._gateway({self.ONE}, [0])
        gateway.route(self._table(Destination(endpoint=self.ONE), Destination(endpoint=self.TWO)))
        passages = gateway.view().routes["anchor"].passages
        assert [(True, True), (True, False)] == [(one.listed, one.serving) for one in passages.values()]
        assert 1 == gateway.serving("anchor")

    def test_what_drains_is_idle_after_a_request_s_time(self) -> None:
        """Until then something may be in flight to it."""
        now = [0]
        gateway = self._gateway({self.ONE}, now)
        gateway.route(self._table(Destination(endpoint=self.ONE)))
        gateway.route(self._table(Destination(endpoint=self.ONE, draining=True)))
        story = []
        for at in (0, 999, 1_000):
            now[0] = at
            passage = gateway.view().routes["anchor"].passages[self.ONE]
            story.append((passage.listed, passage.idle))
        assert [(False, False), (False, False), (False, True)] == story

    def test_a_route_that_did_not_change_is_the_same_object(self) -> None:
        """Whoever compares identities is right to."""
        alive = {self.ONE}
        gateway = self._gateway(alive, [0])
        gateway.route(self._table(Destination(endpoint=self.ONE)))
        before = gateway.view().routes
        assert before is gateway.view().routes
        alive.clear()
        assert before["anchor"] is not gateway.view().routes["anchor"]
        assert {"anchor": 18000} == gateway.ports()
        gateway.stop()
        assert {} == gateway.ports()
