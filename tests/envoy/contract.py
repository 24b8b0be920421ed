"""What every gateway has to do, whatever it drives: a class of tests to be subclassed, with a fixture ``subject``."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import pytest

from roadstead.errors import BackendError
from roadstead.spi.gateway import Destination, Gateway, Route, RouteTable
from roadstead.traffic import ABSENT_PASSAGE, Endpoint, GatewayView, Passage

__all__ = ["GatewayContract", "GatewaySubject"]

_DEPLOYMENT = "m"
_PORT = 18000
_PATIENCE_S = 60.0


class GatewaySubject(Protocol):
    """A gateway under test; what it drives has not been started yet."""

    @property
    def gateway(self) -> Gateway:
        """The gateway of now."""

    def endpoints(self, count: int) -> tuple[Endpoint, ...]:
        """Return so many endpoints at which servers answer for as long as the test runs."""

    def reopen(self) -> None:
        """Close the gateway as a daemon that ends does, and put the next daemon's in its place."""


class GatewayContract:
    """The promises of :class:`roadstead.spi.gateway.Gateway`."""

    def test_what_was_never_offered_a_table_has_no_ports_and_no_routes(self, subject: GatewaySubject) -> None:
        """It does not answer, or says that there is nothing; either is said in the contract's words."""
        assert {} == subject.gateway.ports()
        with contextlib.suppress(BackendError):
            assert {} == subject.gateway.view().routes

    def test_an_endpoint_is_listed_once_it_is_offered_and_serves_in_the_end(self, subject: GatewaySubject) -> None:
        """Nobody waits for that: offering returns before."""
        (only,) = subject.endpoints(1)
        subject.gateway.route(_table([only]))
        view = _first(subject, lambda _: True)
        assert view.routes[_DEPLOYMENT].passages[only].listed
        view = _first(subject, lambda view: view.settled and _passage(view, only).serving)
        assert (_PORT, "") == (view.routes[_DEPLOYMENT].port, view.routes[_DEPLOYMENT].problem)
        assert Passage(listed=True, serving=True, idle=False) == _passage(view, only)

    def test_the_same_table_again_changes_nothing(self, subject: GatewaySubject) -> None:
        """Routes stay the very objects, so nobody looks at them again."""
        table = _table(subject.endpoints(2))
        before = _settled(subject, table)
        subject.gateway.route(table)
        after = subject.gateway.view()
        assert (True, before.routes) == (after.settled, after.routes)
        assert after.routes[_DEPLOYMENT] is before.routes[_DEPLOYMENT]

    def test_a_draining_endpoint_becomes_idle_and_is_gone_when_it_leaves(self, subject: GatewaySubject) -> None:
        """Not listed, seen idle, absent: each is shown before anything behind it may be stopped."""
        leaving, staying = subject.endpoints(2)
        _settled(subject, _table([leaving, staying]))
        subject.gateway.route(_table([leaving, staying], draining=[leaving]))
        view = _first(subject, lambda view: _passage(view, leaving).idle)
        assert Passage(listed=False, serving=False, idle=True) == _passage(view, leaving)
        assert _passage(view, staying).serving
        view = _settled(subject, _table([staying]))
        assert leaving not in view.routes[_DEPLOYMENT].passages

    def test_an_endpoint_can_come_back_while_it_drains(self, subject: GatewaySubject) -> None:
        """A change of mind is a table like any other."""
        first, second = subject.endpoints(2)
        _settled(subject, _table([first, second]))
        subject.gateway.route(_table([first, second], draining=[first]))
        view = _settled(subject, _table([first, second]))
        assert Passage(listed=True, serving=True, idle=False) == _passage(view, first)

    def test_a_deployment_that_leaves_is_gone_in_the_end(self, subject: GatewaySubject) -> None:
        """Its endpoints are not listed from the moment that its leaving is in force."""
        (only,) = subject.endpoints(1)
        _settled(subject, _table([only]))
        subject.gateway.route(RouteTable({}))
        assert {} == _first(subject, lambda view: view.settled and not view.routes).routes
        assert {} == subject.gateway.ports()

    def test_the_next_daemon_finds_what_is_there(self, subject: GatewaySubject) -> None:
        """Ports and passages are the gateway's own to tell."""
        before = _settled(subject, _table(subject.endpoints(2)))
        subject.reopen()
        assert {_DEPLOYMENT: _PORT} == subject.gateway.ports()
        assert before.routes == _first(subject, lambda view: view.settled).routes

    def test_stopping_forgets_everything_and_may_be_repeated(self, subject: GatewaySubject) -> None:
        """What is taken down has no ports, and can be given a table again."""
        (only,) = subject.endpoints(1)
        _settled(subject, _table([only]))
        for _ in range(2):
            subject.gateway.stop()
        assert {} == subject.gateway.ports()
        with contextlib.suppress(BackendError):
            assert {} == subject.gateway.view().routes
        assert _passage(_settled(subject, _table([only])), only).serving

    def test_loads_are_of_deployments_and_endpoints_that_are_there(self, subject: GatewaySubject) -> None:
        """Counters of nobody are of no use to whoever scales."""
        endpoints = subject.endpoints(2)
        view = _settled(subject, _table(endpoints))
        assert {_DEPLOYMENT} == view.loads.keys()
        load = view.loads[_DEPLOYMENT]
        assert set(endpoints) == load.endpoints.keys()
        assert (0, 0, 0) == (load.total.in_flight, load.total.requests, load.total.errors)
        assert load.total.rate == pytest.approx(0) or load.total.rate is None


def _table(endpoints: Iterable[Endpoint], *, draining: Iterable[Endpoint] = ()) -> RouteTable:
    leaving = set(draining)
    destinations = tuple(
        Destination(endpoint=endpoint, draining=endpoint in leaving)
        for endpoint in sorted(endpoints, key=lambda endpoint: endpoint.host)
    )
    return RouteTable({_DEPLOYMENT: Route(deployment=_DEPLOYMENT, port=_PORT, destinations=destinations)})


def _passage(view: GatewayView, endpoint: Endpoint) -> Passage:
    route = view.routes.get(_DEPLOYMENT)
    return route.passages.get(endpoint, ABSENT_PASSAGE) if route is not None else ABSENT_PASSAGE


def _settled(subject: GatewaySubject, table: RouteTable) -> GatewayView:
    """Offer a table, and return the view once it is in force and every listed endpoint of it serves."""
    subject.gateway.route(table)
    listed = [one.endpoint for route in table.routes.values() for one in route.destinations if not one.draining]
    return _first(subject, lambda view: view.settled and all(_passage(view, endpoint).serving for endpoint in listed))


def _first(subject: GatewaySubject, holds: Callable[[GatewayView], bool]) -> GatewayView:
    """Return the first view of which ``holds`` is true; no answer is no view."""
    pause = threading.Event()
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(BackendError):
            view = subject.gateway.view()
            if holds(view):
                return view
        pause.wait(0.01)
    raise AssertionError(f"not within {_PATIENCE_S:g} s")
