"""What gateways do and measure, as frozen values: who gets requests, who is idle, and how much load there is.

A :class:`GatewayView` is one gateway's answer at one moment. What decisions about replicas need of it is small and
rarely changes (:class:`Passage`). The numbers of the load change all the time and stand apart, so that they make nobody
look again at a deployment whose endpoints are as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import attrs

__all__ = [
    "ABSENT_PASSAGE",
    "NO_DATA_PATH",
    "NO_LOAD",
    "UNKNOWN_PASSAGE",
    "DataPath",
    "Endpoint",
    "GatewayState",
    "GatewayView",
    "Latency",
    "Load",
    "MeanLoad",
    "Passage",
    "RouteLoad",
    "RouteView",
    "Seen",
    "ServerLoad",
    "ServerReading",
    "Unseen",
    "mean_load",
    "sum_of",
]


@attrs.frozen(kw_only=True)
class Endpoint:
    """Where one replica answers; a port is ``None`` where the server does not offer that protocol."""

    host: str
    grpc: int | None
    rest: int | None


@attrs.frozen(kw_only=True)
class Passage:
    """How requests get from a gateway to one endpoint now.

    ``known`` is false while the gateway does not answer: the rest is then what it last showed. ``listed``: it may be
    sent new requests. ``serving``: the table in force lists it, and the gateway does not see it unhealthy. ``idle``:
    nothing is in flight to it, as far as that matters; it is false for one that is listed.
    """

    known: bool = True
    listed: bool
    serving: bool
    idle: bool


ABSENT_PASSAGE = Passage(listed=False, serving=False, idle=True)
"""Of an endpoint that a gateway which answers does not have."""

UNKNOWN_PASSAGE = Passage(known=False, listed=True, serving=False, idle=False)
"""Of an endpoint that a gateway which never answered may have."""


@attrs.frozen(kw_only=True)
class RouteView:
    """One deployment's route in a gateway; ``problem`` says why clients cannot use it, or is empty.

    ``port`` is where clients connect. An endpoint that is not in ``passages`` is not in the gateway.
    """

    port: int
    passages: Mapping[Endpoint, Passage]
    problem: str = ""


@attrs.frozen(kw_only=True)
class Latency:
    """Percentiles of how long the replicas took to answer, over the last interval, in milliseconds."""

    p50: float
    p90: float
    p99: float


@attrs.frozen(kw_only=True)
class Load:
    """How much one endpoint, or all of a route, has to do.

    ``requests`` and ``errors`` count since the gateway started. ``rate`` and ``error_rate`` are per second over the
    last interval, and ``None`` until there are two readings. An error is an answer that says that the server failed.
    ``latency`` is ``None`` where nothing was answered in the interval, or the gateway does not measure it.
    """

    in_flight: int
    requests: int
    errors: int
    rate: float | None = None
    error_rate: float | None = None
    latency: Latency | None = None


NO_LOAD = Load(in_flight=0, requests=0, errors=0)


@attrs.frozen(kw_only=True)
class RouteLoad:
    """The load of one route, as a whole and by endpoint."""

    total: Load
    endpoints: Mapping[Endpoint, Load] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class ServerLoad:
    """What one server counted of its own requests for one model, since it started: a second source beside gateways.

    ``ok`` and ``failed`` are requests that ended. ``latency`` is the sum of how long the ok ones took, in milliseconds,
    and may be off by ``step``, since not every server says all its digits.
    """

    ok: int
    failed: int
    latency: float
    step: float = 0.0


@attrs.frozen(kw_only=True)
class MeanLoad:
    """What one server had to do on average between two readings; rates are per second, ``latency`` in milliseconds.

    ``in_flight`` and ``latency`` leave out requests that failed, and are ``None`` where the readings are too coarse to
    tell; ``latency`` also where no request ended well.
    """

    rate: float
    error_rate: float
    latency: float | None
    in_flight: float | None


_COARSE = 0.1
"""The part of a difference by which it may be off and still says something."""


def mean_load(before: ServerLoad, after: ServerLoad, *, seconds: float) -> MeanLoad | None:
    """Return the load of a server between two readings of it, ``seconds`` apart; ``None`` where it started in between.

    As many requests are in flight on average as seconds are spent by them all in a second (Little's law). A request
    counts when it ends: over times shorter than a request takes, this says little.

    >>> before, after = (ServerLoad(ok=ok, failed=0, latency=ms) for ok, ms in ((100, 5_000), (200, 15_000)))
    >>> mean_load(before, after, seconds=5)
    MeanLoad(rate=20.0, error_rate=0.0, latency=100.0, in_flight=2.0)
    """
    ok, failed = after.ok - before.ok, after.failed - before.failed
    latency = after.latency - before.latency
    step = before.step + after.step
    if seconds <= 0 or ok < 0 or failed < 0 or latency < -step:
        return None
    told = step <= _COARSE * latency
    return MeanLoad(
        rate=(ok + failed) / seconds,
        error_rate=failed / seconds,
        latency=latency / ok if ok and told else None,
        in_flight=latency / (1000 * seconds) if told else 0.0 if not ok else None,
    )


def sum_of(loads: Iterable[MeanLoad]) -> MeanLoad | None:
    """Return the load of several servers together; ``None`` of none.

    Rates and what is in flight add up, the latter as far as all of them say it. The latency is that of one request,
    whichever server answered it, as far as the servers say theirs.

    >>> one = MeanLoad(rate=30, error_rate=0, latency=10, in_flight=0.3)
    >>> sum_of([one, MeanLoad(rate=12, error_rate=2, latency=50, in_flight=0.5)])
    MeanLoad(rate=42, error_rate=2, latency=20.0, in_flight=0.8)
    """
    every = tuple(loads)
    if not every:
        return None
    flying = [one.in_flight for one in every if one.in_flight is not None]
    told = [(one.rate - one.error_rate, one.latency) for one in every if one.latency is not None]
    well = sum(rate for rate, _ in told)
    return MeanLoad(
        rate=sum(one.rate for one in every),
        error_rate=sum(one.error_rate for one in every),
        latency=sum(rate * latency for rate, latency in told) / well if well > 0 else None,
        in_flight=sum(flying) if len(flying) == len(every) else None,
    )


@attrs.frozen(kw_only=True)
class ServerReading:
    """What one server process said of its own load at ``at``, in milliseconds since the epoch.

    ``counted`` is since that process started. ``mean`` is over the ``seconds`` before ``at``, and ``None`` until the
    same process was read twice.
    """

    incarnation: str
    at: int
    counted: ServerLoad
    seconds: float = 0.0
    mean: MeanLoad | None = None


_NO_ROUTES: Mapping[str, RouteView] = MappingProxyType({})
_NO_LOADS: Mapping[str, RouteLoad] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class GatewayView:
    """One gateway at one moment; mappings are keyed by deployment.

    ``settled``: the newest table that it was offered is in force. ``problem`` is in the gateway's own words. While it
    is not settled it says why not. While it is settled it is a warning: requests pass as they should, and something
    else is not as the fleet file has it. A route that did not change since the last view is the same object.
    """

    settled: bool
    routes: Mapping[str, RouteView] = _NO_ROUTES
    loads: Mapping[str, RouteLoad] = _NO_LOADS
    problem: str = ""


@attrs.frozen
class Seen:
    """The gateway answered."""

    view: GatewayView


@attrs.frozen(kw_only=True)
class Unseen:
    """The gateway did not answer, since ``since`` (ms since the epoch), with what it last showed, if it ever did."""

    since: int
    error: str
    view: GatewayView | None = None


GatewayState = Seen | Unseen


_NO_GATEWAYS: Mapping[str, GatewayState] = MappingProxyType({})
_NOWHERE: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class DataPath:
    """All gateways by name, and ``via``: the name of the gateway of each deployment that has one."""

    gateways: Mapping[str, GatewayState] = _NO_GATEWAYS
    via: Mapping[str, str] = _NOWHERE

    def routes(self, gateway: str) -> Mapping[str, RouteView]:
        """Return the routes that a gateway last showed."""
        state = self.gateways.get(gateway)
        return state.view.routes if state is not None and state.view is not None else _NO_ROUTES

    def passage(self, deployment: str, endpoint: Endpoint | None) -> Passage | None:
        """Return how requests for ``deployment`` get to ``endpoint``; ``None`` where no gateway has to do with that.

        It serves where its own gateway says so. It is out only when no gateway lists it: one that the deployment has
        left may still do so for a moment. Without a gateway of its own it is never known to be idle.
        """
        own = self.via.get(deployment)
        others = [name for name in self.gateways if name != own and deployment in self.routes(name)]
        if own is None and not others:
            return None
        if endpoint is None:
            return ABSENT_PASSAGE
        passages = [self._through(name, deployment, endpoint) for name in others]
        if own is None:
            return attrs.evolve(_together(passages, serving=True), idle=False)
        through = self._through(own, deployment, endpoint)
        return _together([through, *passages], serving=through.serving) if passages else through

    def _through(self, gateway: str, deployment: str, endpoint: Endpoint) -> Passage:
        """Return what one gateway says; while it does not answer, what it last said, and that it is not known."""
        route = self.routes(gateway).get(deployment)
        said = route.passages.get(endpoint) if route is not None else None
        if isinstance(self.gateways.get(gateway), Seen):
            return said or ABSENT_PASSAGE
        return attrs.evolve(said, known=False) if said is not None else UNKNOWN_PASSAGE


NO_DATA_PATH = DataPath()


def _together(passages: Sequence[Passage], *, serving: bool) -> Passage:
    return Passage(
        known=all(one.known for one in passages),
        listed=any(one.listed for one in passages),
        serving=serving,
        idle=all(one.idle for one in passages),
    )
