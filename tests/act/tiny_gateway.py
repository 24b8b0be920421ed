"""A gateway of a few lines that serves nobody, does what the contract says, and fails in every way when told to.

Its :class:`TinyProcess` stands for what serves on when the object that drives it is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

import attrs

from roadstead.errors import Rejected, Unreachable
from roadstead.model import GatewaySpec
from roadstead.spi.gateway import Gateway, GatewayContext, Route, RouteTable
from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginHost, Provenance
from roadstead.spi.records import GatewayPlugin
from roadstead.traffic import Endpoint, GatewayView, Load, Passage, RouteLoad, RouteView

EMPTY = RouteTable()


@attrs.frozen
class TinyOptions:
    """What the fleet file can say to it."""

    colour: str = "grey"


@attrs.define(eq=False)
class TinyProcess:
    """The gateway itself; tests change it while it runs.

    ``fails`` is raised by every call, ``refuses`` says why a table cannot be accepted, ``hesitates`` keeps one from
    being accepted. Calls wait as long as ``gate`` is not set.
    """

    running: bool = False
    offered: RouteTable = EMPTY
    accepted: RouteTable = EMPTY
    in_flight: dict[Endpoint, int] = attrs.field(factory=dict)
    requests: dict[Endpoint, int] = attrs.field(factory=dict)
    unhealthy: set[Endpoint] = attrs.field(factory=set)
    taken: dict[int, str] = attrs.field(factory=dict)
    fails: Exception | None = None
    refuses: str = ""
    hesitates: bool = False
    gate: threading.Event = attrs.field(factory=threading.Event)
    offers: list[RouteTable] = attrs.field(factory=list)
    views: int = 0

    def is_down(self) -> bool:
        """Whether it was taken down, or never started."""
        return not self.running

    def __attrs_post_init__(self) -> None:
        self.gate.set()

    def reached(self, deployment: str) -> frozenset[Endpoint]:
        """Return where new requests for a deployment go now."""
        return _listed(self.accepted.routes.get(deployment))

    def arrive(self) -> None:
        """Be asked, and answer when and how the test says."""
        self.gate.wait()
        if self.fails is not None:
            raise self.fails

    def seen(self) -> GatewayView:
        """Return what it shows, after accepting what it may; every object in it is a new one."""
        self.views += 1
        if not self.running:
            raise Unreachable("it does not run", cluster="tiny")
        if not self.refuses and not self.hesitates:
            self.accepted = self.offered
        names = self.accepted.routes.keys() | self.offered.routes.keys()
        return GatewayView(
            settled=self.accepted == self.offered,
            routes={name: self._route(name) for name in names},
            loads={name: self._load(name) for name in names},
            problem=self.refuses if self.accepted != self.offered else "",
        )

    def _route(self, name: str) -> RouteView:
        now, next_ = self.accepted.routes.get(name), self.offered.routes.get(name)
        may = _listed(now) | _listed(next_)
        passages = {
            endpoint: Passage(
                listed=endpoint in may,
                serving=endpoint in _listed(now) and endpoint not in self.unhealthy,
                idle=endpoint not in may and not self.in_flight.get(endpoint),
            )
            for endpoint in _all(now) | _all(next_)
        }
        port = (now or next_ or _NOWHERE).port
        return RouteView(port=port, passages=passages, problem=self.taken.get(port, ""))

    def _load(self, name: str) -> RouteLoad:
        endpoints = {
            endpoint: Load(
                in_flight=self.in_flight.get(endpoint, 0), requests=self.requests.get(endpoint, 0), errors=0, rate=1.5
            )
            for endpoint in _all(self.accepted.routes.get(name))
        }
        total = Load(
            in_flight=sum(load.in_flight for load in endpoints.values()),
            requests=sum(load.requests for load in endpoints.values()),
            errors=0,
        )
        return RouteLoad(total=total, endpoints=endpoints)


_NOWHERE = Route(deployment="", port=0, destinations=())


def _all(route: Route | None) -> frozenset[Endpoint]:
    return frozenset(one.endpoint for one in route.destinations) if route is not None else frozenset()


def _listed(route: Route | None) -> frozenset[Endpoint]:
    destinations = route.destinations if route is not None else ()
    return frozenset(one.endpoint for one in destinations if not one.draining)


class TinyGateway:
    """Drives a :class:`TinyProcess`."""

    def __init__(self, process: TinyProcess) -> None:
        self.process = process
        self.closed = False

    def route(self, table: RouteTable) -> None:
        """Start the process, and offer it the table."""
        self.process.arrive()
        self.process.running = True
        self.process.offered = table
        self.process.offers.append(table)

    def view(self) -> GatewayView:
        """Return what it shows."""
        self.process.arrive()
        return self.process.seen()

    def ports(self) -> Mapping[str, int]:
        """Return the ports of what it was offered last."""
        self.process.arrive()
        return {name: route.port for name, route in self.process.offered.routes.items()}

    def stop(self) -> None:
        """End the process."""
        self.process.arrive()
        self.process.running = False
        self.process.offered = self.process.accepted = EMPTY

    def close(self) -> None:
        """Note it."""
        self.closed = True


@attrs.define(eq=False)
class TinyPlugin:
    """Brings the kinds of gateway ``tiny`` and ``small``; ``fails`` is raised instead of opening one."""

    processes: dict[str, TinyProcess] = attrs.field(factory=dict)
    opened: list[GatewayContext] = attrs.field(factory=list)
    fails: Exception | None = None

    def process(self, name: str = "edge") -> TinyProcess:
        """Return the process of the gateway of that name."""
        return self.processes.setdefault(name, TinyProcess())

    @hookimpl
    def roadstead_gateways(self) -> Iterator[GatewayPlugin]:
        """Bring it."""
        for name in ("tiny", "small"):
            yield GatewayPlugin(name=name, factory=self._connect, options=TinyOptions, summary="for tests")

    def _connect(self, context: GatewayContext) -> Gateway:
        if self.fails is not None:
            raise self.fails
        options = context.options
        assert isinstance(options, TinyOptions)
        if options.colour == "impossible":
            raise Rejected("there is no such colour", cluster=context.name)
        assert context.root.is_dir()
        self.opened.append(context)
        return TinyGateway(self.process(context.name))


def spec(
    name: str = "edge", *, kind: str = "tiny", first: int = 18000, last: int = 18009, colour: str = "grey"
) -> GatewaySpec:
    """Return a gateway as a fleet file declares it."""
    return GatewaySpec(
        name=name,
        kind=kind,
        address="127.0.0.1",
        first_port=first,
        last_port=last,
        options=TinyOptions(colour),
    )


def host_with(plugin: TinyPlugin) -> PluginHost:
    """Return every installed plugin, and this one."""
    host = PluginHost.installed()
    host.register(plugin, Provenance(distribution="tests", version="0", module=__name__))
    return host
