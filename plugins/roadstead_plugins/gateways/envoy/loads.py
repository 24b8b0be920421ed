"""From what Envoy has counted to how much there is to do; pure but for what a meter remembers between two readings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from roadstead.traffic import Endpoint, Latency, Load, RouteLoad
from roadstead_plugins.gateways.envoy.histogram import EMPTY, Histogram
from roadstead_plugins.gateways.envoy.layout import deployment_of
from roadstead_plugins.gateways.envoy.readings import Host

__all__ = ["Counts", "Meter", "Reading", "reading"]

_SHORTEST_INTERVAL_S = 1.0


@attrs.frozen
class Counts:
    """Requests in flight now, and requests and errors since the count began."""

    in_flight: int = 0
    requests: int = 0
    errors: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return the sum."""
        return Counts(self.in_flight + other.in_flight, self.requests + other.requests, self.errors + other.errors)

    def went_back(self, before: Counts) -> bool:
        """Tell whether the count was begun anew after ``before``."""
        return self.requests < before.requests or self.errors < before.errors

    def since(self, before: Counts) -> Counts:
        """Return what was counted after ``before``."""
        if self.went_back(before):
            return self
        return Counts(self.in_flight, self.requests - before.requests, self.errors - before.errors)


@attrs.frozen(kw_only=True)
class RouteReading:
    """What was counted for one deployment.

    ``refused`` are requests that found no replica, ``times`` how long the others took.
    """

    endpoints: Mapping[Endpoint, Counts]
    refused: int
    times: Histogram


@attrs.frozen(kw_only=True)
class Reading:
    """All counters of one process at one moment; ``at`` is in monotonic seconds."""

    at: float
    incarnation: object
    routes: Mapping[str, RouteReading]


def reading(
    hosts: Mapping[str, tuple[Host, ...]],
    refused: Mapping[str, int],
    times: Mapping[str, Histogram],
    *,
    at: float,
    incarnation: object,
) -> Reading:
    """Return the reading that the clusters come to; an endpoint's protocols are taken together."""
    of_deployment: dict[str, list[str]] = {}
    for cluster in hosts:
        of_deployment.setdefault(deployment_of(cluster), []).append(cluster)
    routes = {
        deployment: RouteReading(
            endpoints=_by_endpoint(host for cluster in clusters for host in hosts[cluster]),
            refused=sum(refused.get(cluster, 0) for cluster in clusters),
            times=_together(times.get(cluster, EMPTY) for cluster in clusters),
        )
        for deployment, clusters in of_deployment.items()
    }
    return Reading(at=at, incarnation=incarnation, routes=routes)


def _by_endpoint(hosts: Iterable[Host]) -> Mapping[Endpoint, Counts]:
    found: dict[Endpoint, Counts] = {}
    for host in hosts:
        counted = Counts(host.in_flight, host.requests, host.errors)
        found[host.endpoint] = found.get(host.endpoint, Counts()).plus(counted)
    return found


def _together(histograms: Iterable[Histogram]) -> Histogram:
    total = EMPTY
    for histogram in histograms:
        total = total.plus(histogram) if total.counts else histogram
    return total


@attrs.frozen(kw_only=True)
class _Pace:
    """What happened per second in the last interval."""

    rate: float
    error_rate: float
    latency: Latency | None = None


@attrs.frozen
class _Paces:
    total: _Pace
    endpoints: Mapping[Endpoint, _Pace]


class Meter:
    """Turns readings into loads.

    An endpoint's counters go with it; what it had counted stays in its route's totals, as long as Envoy runs.
    """

    def __init__(self) -> None:
        self._last: Reading | None = None
        self._interval_from: Reading | None = None
        self._gone: dict[str, Counts] = {}
        self._paces: Mapping[str, _Paces] = {}

    def is_due(self, at: float, incarnation: object) -> bool:
        """Tell whether a reading at this time ends an interval, or begins the first: only then its times matter."""
        before = self._interval_from
        return before is None or before.incarnation != incarnation or at - before.at >= _SHORTEST_INTERVAL_S

    def loads(self, now: Reading) -> Mapping[str, RouteLoad]:
        """Return the loads that ``now`` shows; rates and latencies are those of the last interval of at least 1 s."""
        if self._last is None or self._last.incarnation != now.incarnation:
            self._interval_from, self._gone, self._paces = None, {}, {}
        else:
            self._keep_what_is_gone(self._last, now)
        self._last = now
        if self.is_due(now.at, now.incarnation):
            before, self._interval_from = self._interval_from, now
            if before is not None:
                seconds = now.at - before.at
                self._paces = {
                    name: _paces(before.routes.get(name), route, seconds) for name, route in now.routes.items()
                }
        return {name: self._load(name, route) for name, route in now.routes.items()}

    def _keep_what_is_gone(self, before: Reading, now: Reading) -> None:
        for name in self._gone.keys() - now.routes.keys():
            del self._gone[name]
        for name, route in now.routes.items():
            for endpoint, counted in _endpoints(before.routes.get(name)).items():
                there = route.endpoints.get(endpoint)
                if there is None or there.went_back(counted):
                    self._gone[name] = self._gone.get(name, Counts()).plus(attrs.evolve(counted, in_flight=0))

    def _load(self, name: str, route: RouteReading) -> RouteLoad:
        paces = self._paces.get(name)
        total = self._gone.get(name, Counts()).plus(Counts(0, route.refused, route.refused))
        for counted in route.endpoints.values():
            total = total.plus(counted)
        return RouteLoad(
            total=_as_load(total, paces.total if paces is not None else None),
            endpoints={
                endpoint: _as_load(counted, paces.endpoints.get(endpoint) if paces is not None else None)
                for endpoint, counted in route.endpoints.items()
            },
        )


def _endpoints(route: RouteReading | None) -> Mapping[Endpoint, Counts]:
    return route.endpoints if route is not None else {}


def _paces(before: RouteReading | None, now: RouteReading, seconds: float) -> _Paces:
    earlier = _endpoints(before)
    deltas = {endpoint: counted.since(earlier.get(endpoint, Counts())) for endpoint, counted in now.endpoints.items()}
    refused = now.refused - (before.refused if before is not None else 0)
    total = Counts(0, max(0, refused), max(0, refused))
    for delta in deltas.values():
        total = total.plus(delta)
    times = now.times.since(before.times) if before is not None else now.times
    return _Paces(
        _pace(total, seconds, times.latency()), {endpoint: _pace(delta, seconds) for endpoint, delta in deltas.items()}
    )


def _pace(delta: Counts, seconds: float, latency: Latency | None = None) -> _Pace:
    return _Pace(rate=delta.requests / seconds, error_rate=delta.errors / seconds, latency=latency)


def _as_load(counted: Counts, pace: _Pace | None) -> Load:
    return Load(
        in_flight=counted.in_flight,
        requests=counted.requests,
        errors=counted.errors,
        rate=pace.rate if pace is not None else None,
        error_rate=pace.error_rate if pace is not None else None,
        latency=pace.latency if pace is not None else None,
    )
