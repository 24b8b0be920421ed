"""A gateway in front of pretended servers: it takes every table at once, and sends requests to whoever answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from roadstead.bench.demand import Flow
from roadstead.spi.gateway import Destination, Route, RouteTable
from roadstead.traffic import Endpoint, GatewayView, Passage, RouteLoad, RouteView
from roadstead.units import Duration

__all__ = ["PretendedGateway"]


class PretendedGateway:
    """One gateway of the simulated fleet.

    ``serves`` says whether a server at an address answers, and ``signs`` changes whenever any of that may have.
    ``flows`` are what clients send, by deployment, and ``service`` what one request takes. What drains is idle as soon
    as the requests that it had have ended.
    """

    def __init__(
        self,
        *,
        now: Callable[[], int],
        serves: Callable[[Endpoint], bool],
        signs: Callable[[], object],
        flows: Mapping[str, Flow],
        service: Mapping[str, Duration],
    ) -> None:
        self._now = now
        self._serves = serves
        self._signs = signs
        self._flows = flows
        self._service = service
        self._table = RouteTable()
        self._seen: object = None
        self._routes: Mapping[str, RouteView] = MappingProxyType({})
        self._drained: dict[tuple[str, Endpoint], int] = {}

    def route(self, table: RouteTable) -> None:
        """Take ``table``."""
        self._table = table
        now = self._now()
        draining = {
            (name, one.endpoint) for name, route in table.routes.items() for one in route.destinations if one.draining
        }
        self._drained = {place: self._drained.get(place, now) for place in sorted(draining, key=str)}

    def view(self) -> GatewayView:
        """Return what it does now."""
        signs = (self._table, self._signs(), self._still_draining())
        if self._seen is None or self._seen != signs:
            self._seen = signs
            self._routes = self._kept()
        return GatewayView(settled=True, routes=self._routes, loads=self._loads())

    def ports(self) -> Mapping[str, int]:
        """Return the ports of the table."""
        return {name: route.port for name, route in self._table.routes.items()}

    def stop(self) -> None:
        """Forget the table."""
        self.route(RouteTable())

    def close(self) -> None:
        """Go on."""

    def serving(self, name: str) -> int:
        """Return how many servers of a deployment get its requests and answer them."""
        self.view()
        route = self._routes.get(name)
        return sum(passage.serving for passage in route.passages.values()) if route is not None else 0

    def _still_draining(self) -> frozenset[tuple[str, Endpoint]]:
        now = self._now()
        return frozenset(
            place for place, since in self._drained.items() if now - since < self._service.get(place[0], Duration(0)).ms
        )

    def _kept(self) -> Mapping[str, RouteView]:
        """Return every route, the same object where it did not change."""
        busy = self._still_draining()
        routes = {}
        for name, route in self._table.routes.items():
            passages = {one.endpoint: self._passage(route, one, busy) for one in route.destinations}
            view = RouteView(port=route.port, passages=MappingProxyType(passages))
            routes[name] = self._routes[name] if self._routes.get(name) == view else view
        return MappingProxyType(routes) if routes != self._routes else self._routes

    def _passage(self, route: Route, one: Destination, busy: frozenset[tuple[str, Endpoint]]) -> Passage:
        serving = not one.draining and self._serves(one.endpoint)
        idle = one.draining and (route.deployment, one.endpoint) not in busy
        return Passage(listed=not one.draining, serving=serving, idle=idle)

    def _loads(self) -> Mapping[str, RouteLoad]:
        return MappingProxyType(
            {name: RouteLoad(total=self._flows[name].load) for name in self._table.routes if name in self._flows}
        )
