"""Which table each gateway should follow: every deployment's port, and where its requests may go. Pure.

Made from the last ones, touching only what changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

import attrs

from roadstead.model import Address, Fleet, Template
from roadstead.plans import Table
from roadstead.spi.gateway import Destination, Route, RouteTable
from roadstead.spi.runtime import Check, Runtime
from roadstead.traffic import Endpoint
from roadstead.world import Listed, Member, World

__all__ = ["Checks", "Routing", "routing"]

_LOG = logging.getLogger(__name__)

Entries = tuple[Listed, ...]


class Checks:
    """What gateways ask a replica by themselves: the runtime's word for its template, asked for once."""

    def __init__(self, runtimes: Mapping[str, Runtime]) -> None:
        self._runtimes = runtimes
        self._known: dict[Template, Check | None] = {}

    def __call__(self, template: Template) -> Check | None:
        """Return the check of a template; ``None`` where its runtime has none, or is not here."""
        if template not in self._known:
            self._known[template] = self._asked(template)
        return self._known[template]

    def _asked(self, template: Template) -> Check | None:
        runtime = self._runtimes.get(template.runtime.name)
        if runtime is None:
            return None
        try:
            return runtime.launch(template).check
        except Exception:  # noqa: BLE001  # a stranger's code: a route without a check is better than no route
            _LOG.warning("runtime %s says no check for %s", template.runtime.name, template.model.name, exc_info=True)
            return None


@attrs.frozen
class _Made:
    """A route and what it was made from; not ``whole``: something is in it only because its gateway shows it."""

    address: Address
    listed: Entries
    draining: Entries
    route: Route
    whole: bool


_NO_ADDRESSES: Mapping[str, Address] = MappingProxyType({})
_NO_TABLE = Table()


@attrs.frozen(kw_only=True)
class Routing:
    """The table of each gateway; the rest is what the next ones are made from.

    ``whole``: nothing in them is there only because of what a gateway shows.
    """

    tables: Mapping[str, RouteTable] = MappingProxyType({})
    whole: bool = True
    addresses: Mapping[str, Address] = _NO_ADDRESSES
    table: Table = _NO_TABLE
    made: Mapping[str, _Made] = MappingProxyType({})

    def is_still(self, fleet: Fleet, table: Table) -> bool:
        """Return whether these were made from the very same things."""
        return (
            self.whole
            and self.addresses is fleet.addresses
            and self.table.endpoints is table.endpoints
            and self.table.draining is table.draining
            and self.tables.keys() == fleet.gateways.keys()
        )


def routing(
    before: Routing,
    fleet: Fleet,
    world: World,
    table: Table,
    check: Callable[[Template], Check | None],
    *,
    inherited: Collection[str] = (),
) -> Routing:
    """Return the tables for ``table``; every route that is as ``before`` is the same object, and every table too.

    Each deployment with an address has a route, also one without endpoints: its clients are told that nobody is there,
    and are not refused.

    ``inherited`` are gateways that may serve what was put there before this process began. As long as some cluster has
    never been seen, what they list and nobody knows may be there, and stays; one that has shown nothing so far gets no
    table.

    A gateway that a deployment has left keeps its route as long as it shows requests in flight, all of it draining:
    only there can they be seen. So does an endpoint at which no known replica is, such as one on a cluster that was
    disabled: if it comes back to be stopped, what it still has to answer is known.
    """
    unsure = any(view.snapshot is None for view in world.clusters.values())
    keeping = frozenset(inherited) if unsure else frozenset()
    left = tuple(_left(fleet, world, check))
    if not keeping and not left and before.is_still(fleet, table):
        return before
    made: dict[str, _Made] = {}
    for name, address in fleet.addresses.items():
        listed, draining = table.endpoints.get(name, ()), table.draining.get(name, ())
        known = before.made.get(name)
        keeps = address.gateway in keeping
        if known is not None and known.whole and not keeps and _is_same(known, address, listed, draining):
            made[name] = known
        else:
            parts = _Parts(name, address, listed, draining, keeps=keeps)
            unknown = dict(parts.unknown(world))
            route = parts.route(fleet, world, check, unknown)
            kept = known.route if known is not None and known.route == route else route
            made[name] = _Made(address, listed, draining, kept, whole=not unknown)
    dumb = {name for name in keeping if not _has_shown(world, name)}
    routes: dict[str, dict[str, Route]] = {name: {} for name in fleet.gateways}
    for name, one in made.items():
        routes[one.address.gateway][name] = one.route
    for gateway, route in left:
        routes[gateway][route.deployment] = route
    return Routing(
        tables=MappingProxyType(
            {name: _table(before.tables.get(name), own) for name, own in routes.items() if name not in dumb}
        ),
        whole=not keeping and not left and all(one.whole for one in made.values()),
        addresses=fleet.addresses,
        table=table,
        made=MappingProxyType(made),
    )


def _left(fleet: Fleet, world: World, check: Callable[[Template], Check | None]) -> Iterator[tuple[str, Route]]:
    """Yield, each with its gateway, what is left of the routes of deployments that are not led through it any more."""
    for gateway in fleet.gateways:
        for name, view in world.data_path.routes(gateway).items():
            address = fleet.addresses.get(name)
            if address is not None and address.gateway == gateway:
                continue
            shard = world.shards.get(name)
            template = _any_template(fleet, name, shard.members if shard is not None else ())
            its = check(template) if template is not None else None
            destinations = tuple(
                Destination(endpoint=endpoint, draining=True, check=its)
                for endpoint in sorted(view.passages, key=_order)
                if view.passages[endpoint].listed or not view.passages[endpoint].idle
            )
            if destinations:
                yield gateway, Route(deployment=name, port=view.port, destinations=destinations)


def _has_shown(world: World, gateway: str) -> bool:
    state = world.data_path.gateways.get(gateway)
    return state is not None and state.view is not None


def _is_same(known: _Made, address: Address, listed: Entries, draining: Entries) -> bool:
    return (
        known.address == address
        and (known.listed is listed or known.listed == listed)
        and (known.draining is draining or known.draining == draining)
    )


def _table(before: RouteTable | None, routes: Mapping[str, Route]) -> RouteTable:
    made = RouteTable(MappingProxyType(routes))
    return before if before == made else made


@attrs.frozen
class _Parts:
    """What the route of one deployment is put together from."""

    name: str
    address: Address
    listed: Entries
    draining: Entries
    keeps: bool = attrs.field(kw_only=True)

    def route(
        self,
        fleet: Fleet,
        world: World,
        check: Callable[[Template], Check | None],
        unknown: Mapping[Endpoint, bool],
    ) -> Route:
        """Return the route; an endpoint that two entries name is listed if one of them is."""
        shard = world.shards.get(self.name)
        members = shard.members if shard is not None else ()
        templates = {(one.cluster, one.replica.id): one.group.template for one in members}
        found: dict[Endpoint, Destination] = {}
        for endpoint, draining in unknown.items():
            template = _any_template(fleet, self.name, members)
            its = check(template) if template is not None else None
            found[endpoint] = Destination(endpoint=endpoint, draining=draining, check=its)
        for entries, draining in ((self.draining, True), (self.listed, False)):
            for entry in entries:
                template = templates.get((entry.cluster, entry.replica))
                its = check(template) if template is not None else None
                found[entry.endpoint] = Destination(endpoint=entry.endpoint, draining=draining, check=its)
        destinations = tuple(found[endpoint] for endpoint in sorted(found, key=_order))
        return Route(deployment=self.name, port=self.address.port, destinations=destinations)

    def unknown(self, world: World) -> Iterator[tuple[Endpoint, bool]]:
        """Yield the endpoints that the gateway has and no known replica is at, and whether they drain."""
        route = world.data_path.routes(self.address.gateway).get(self.name)
        if route is None:
            return
        shard = world.shards.get(self.name)
        known = {one.replica.endpoint for one in shard.members} if shard is not None else set()
        for endpoint, passage in route.passages.items():
            if endpoint not in known and (passage.listed or not passage.idle):
                yield endpoint, not (self.keeps and passage.listed)


def _any_template(fleet: Fleet, name: str, members: Iterable[Member]) -> Template | None:
    """Return a template of the deployment: what a gateway checks is the same for all versions of one model."""
    declared = fleet.deployments.get(name)
    if declared is not None:
        return declared.targets[0].template
    return next((one.group.template for one in members), None)


def _order(endpoint: Endpoint) -> tuple[str, int, int]:
    return endpoint.host, endpoint.grpc or 0, endpoint.rest or 0
