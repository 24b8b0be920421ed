"""The gateway protocol in front of a simulated proxy: one such object is what one daemon has in its hands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from roadstead.errors import Unreachable
from roadstead.spi.gateway import RouteTable
from roadstead.testing.proxy import Counts, Proxy
from roadstead.traffic import Endpoint, GatewayView, Load, Passage, RouteLoad, RouteView

__all__ = ["SimulatedGateway", "true_view"]


class SimulatedGateway:
    """Drives a :class:`~roadstead.testing.proxy.Proxy` as :class:`roadstead.spi.gateway.Gateway` asks for.

    Whoever comes after a daemon makes another one for the same proxy.
    """

    def __init__(self, proxy: Proxy, name: str = "simulated") -> None:
        self.proxy = proxy
        self._name = name
        self._routes: Mapping[str, RouteView] = MappingProxyType({})
        self._wakes: list[Callable[[], None]] = []

    # ---- the contract ----

    def route(self, table: RouteTable) -> None:
        """Offer ``table``, starting the proxy where it does not run."""
        with self.proxy.lock:
            if not self.proxy.offer(table):
                raise Unreachable("simulated fault: it does not start", cluster=self._name)

    def view(self) -> GatewayView:
        """Return what the proxy does now."""
        with self.proxy.lock:
            self.proxy.advance()
            if not self.proxy.runs or self.proxy.faults.mute:
                raise Unreachable("simulated fault: it does not answer", cluster=self._name)
            passages = self.proxy.passages(hidden=False)
            self._routes = _kept(self._routes, _routes(self.proxy, passages))
            refusals = self.proxy.refusals
            problem = f"simulated fault: it refuses the route of {', '.join(refusals)}" if refusals else ""
            return GatewayView(
                settled=self.proxy.settled, routes=self._routes, loads=_loads(self.proxy, passages), problem=problem
            )

    def ports(self) -> Mapping[str, int]:
        """Return the ports of the newest table."""
        with self.proxy.lock:
            return self.proxy.ports

    def stop(self) -> None:
        """End the proxy and forget its tables."""
        with self.proxy.lock:
            self.proxy.forget()

    def close(self) -> None:
        """Let go of the proxy; it serves on."""
        with self.proxy.lock:
            for wake in self._wakes:
                self.proxy.wakes.remove(wake)
            self._wakes.clear()

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when the proxy's process ends."""
        with self.proxy.lock:
            self._wakes.append(wake)
            self.proxy.wakes.append(wake)


def true_view(proxy: Proxy) -> GatewayView:
    """Return what a proxy really does, whatever the faults in force: also requests to what has left its table."""
    with proxy.lock:
        proxy.advance()
        return GatewayView(settled=proxy.settled, routes=_routes(proxy, proxy.passages(hidden=True)))


def _routes(proxy: Proxy, passages: Mapping[str, Mapping[Endpoint, Passage]]) -> Mapping[str, RouteView]:
    problems = proxy.faults.problems
    return {
        name: RouteView(port=proxy.port(name), passages=MappingProxyType(dict(found)), problem=problems.get(name, ""))
        for name, found in passages.items()
    }


def _kept(before: Mapping[str, RouteView], now: Mapping[str, RouteView]) -> Mapping[str, RouteView]:
    """Return ``now`` with every route that did not change as the object that it was, and all of them too."""
    kept = {name: before[name] if before.get(name) == route else route for name, route in now.items()}
    return before if before == kept else MappingProxyType(kept)


def _loads(proxy: Proxy, passages: Mapping[str, Mapping[Endpoint, Passage]]) -> Mapping[str, RouteLoad]:
    """Return the counts of every route; a rate would need two readings, and nothing here is as fast as that."""
    on_their_way = Counter((one.deployment, one.endpoint) for one in proxy.requests if not one.hidden)
    found = {}
    for name, endpoints in passages.items():
        loads = {}
        for endpoint in endpoints:
            counts = proxy.counts.get((name, endpoint), Counts())
            loads[endpoint] = Load(
                in_flight=on_their_way[name, endpoint], requests=counts.requests, errors=counts.errors
            )
        total = Load(
            in_flight=sum(one.in_flight for one in loads.values()),
            requests=sum(one.requests for one in loads.values()),
            errors=sum(one.errors for one in loads.values()),
        )
        found[name] = RouteLoad(total=total, endpoints=MappingProxyType(loads))
    return MappingProxyType(found)
