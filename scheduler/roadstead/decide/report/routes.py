"""The data path in a status: where clients connect, how requests get to each replica, and how much there is to do.

All of it is read off the gateways' own words in the world; ``None`` is what they do not say.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from roadstead.decide.passing import wrong_with
from roadstead.model import Fleet
from roadstead.reasons import Reason, ReasonCode
from roadstead.traffic import GatewayState, Latency, Load, RouteLoad, RouteView, Seen, Unseen
from roadstead.world import Member, World

__all__ = [
    "AddressStatus",
    "GatewayStatus",
    "LoadStatus",
    "Way",
    "address_of",
    "authority",
    "gateways_of",
    "load_of",
    "replica_load",
    "shunned",
    "way_of",
]


@enum.unique
class Way(enum.Enum):
    """How a gateway treats a replica.

    ``LISTED``: it sends it new requests. ``UNHEALTHY``: it would, and sees that the replica does not answer well.
    ``OFFERED``: it may do so as soon as it accepts the newest table. ``DRAINING``: it sends nothing new, and there are
    requests in flight. ``OUT``: it has nothing to do with it. ``UNKNOWN``: it does not answer.
    """

    LISTED = "listed"
    UNHEALTHY = "unhealthy"
    OFFERED = "offered"
    DRAINING = "draining"
    OUT = "out"
    UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class LoadStatus:
    """How much there is to do: requests and errors per second, and requests in flight.

    Each is ``None`` where it is not known, which is not the same as 0. ``latency`` is of the last interval, in
    milliseconds.
    """

    rate: float | None
    error_rate: float | None
    in_flight: int | None
    latency: Latency | None


_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # it is compared with, and nothing listens there
"""What stands for all addresses of a machine, and where a client on it connects instead."""

_UNKNOWN = LoadStatus(rate=None, error_rate=None, in_flight=None, latency=None)


@attrs.frozen(kw_only=True)
class AddressStatus:
    """Where the clients of one deployment connect, for gRPC and REST alike.

    ``served`` says that the gateway was seen to serve it; ``problem`` is why it is not, and is empty while it is only
    being set up.
    """

    gateway: str
    host: str
    port: int
    tls: bool
    served: bool
    problem: str

    @property
    def authority(self) -> str:
        """It as ``host:port``."""
        return authority(self.host, self.port)

    @property
    def url(self) -> str:
        """Its URL for REST."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"

    @property
    def from_here(self) -> AddressStatus:
        """It as a client on the gateway's own machine connects to it: to an address that a certificate can name."""
        return attrs.evolve(self, host=_EVERYWHERE.get(self.host, self.host))


@attrs.frozen(kw_only=True)
class GatewayStatus:
    """One gateway: what the fleet file says of it, and how it is.

    ``vanished`` says that the file names it no more: it is left as it is until that is confirmed. ``kind``, ``host``
    and ``tls`` are ``None`` once it is confirmed, while it is taken down. It has not answered since ``unseen_since``
    (ms since the epoch), with ``error``; ``None`` is while it does. ``settled``: the newest table is in force, ``None``
    where that is not known. ``problem`` is in its own words. ``deployments`` are those that it serves, as far as was
    seen last.
    """

    name: str
    kind: str | None
    host: str | None
    tls: bool | None
    vanished: bool
    unseen_since: int | None
    error: str
    settled: bool | None
    problem: str
    deployments: tuple[str, ...]


def authority(host: str, port: int) -> str:
    """Return ``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# ---- gateways ----


def gateways_of(fleet: Fleet, world: World) -> Iterator[GatewayStatus]:
    """Yield every gateway that the file names, or that still serves, by name."""
    for name in sorted({*fleet.gateways, *world.data_path.gateways}):
        spec, state = fleet.gateways.get(name), world.data_path.gateways.get(name)
        unseen = state if isinstance(state, Unseen) else None
        view = state.view if isinstance(state, Seen) else None
        yield GatewayStatus(
            name=name,
            kind=spec.kind if spec is not None else None,
            host=spec.address if spec is not None else None,
            tls=spec.tls is not None if spec is not None else None,
            vanished=name in fleet.vanished,
            unseen_since=unseen.since if unseen is not None else None,
            error=unseen.error if unseen is not None else "" if view is not None else "not observed yet",
            settled=view.settled if view is not None else None,
            problem=view.problem if view is not None else "",
            deployments=tuple(sorted(world.data_path.routes(name))),
        )


# ---- addresses ----


def address_of(fleet: Fleet, world: World, deployment: str) -> AddressStatus | None:
    """Return where clients of a deployment connect, or ``None`` where it has no gateway."""
    given = fleet.addresses.get(deployment)
    if given is None:
        return None
    spec = fleet.gateways.get(given.gateway)
    state = world.data_path.gateways.get(given.gateway)
    route = world.data_path.routes(given.gateway).get(deployment)
    there = isinstance(state, Seen) and route is not None and route.port == given.port
    return AddressStatus(
        gateway=given.gateway,
        host=given.host,
        port=given.port,
        tls=spec is not None and spec.tls is not None,
        served=there and not (route is not None and route.problem),
        problem=_problem(given.gateway, state, route),
    )


def _problem(gateway: str, state: GatewayState | None, route: RouteView | None) -> str:
    if state is None:
        return ""
    if route is not None and isinstance(state, Seen):
        return route.problem
    wrong = wrong_with(gateway, state)
    if wrong is None:
        return ""
    return f"{wrong.detail}: {wrong.raw}" if wrong.raw else wrong.detail


# ---- replicas ----


def way_of(world: World, member: Member) -> Way | None:
    """Return how the gateways treat a replica, or ``None`` where none has to do with it."""
    passage = member.passage
    if passage is None:
        return None
    if not passage.known:
        return Way.UNKNOWN
    if passage.serving:
        return Way.LISTED
    if passage.listed:
        return Way.UNHEALTHY if _settled(world, member.group.key.deployment) else Way.OFFERED
    return Way.OUT if passage.idle else Way.DRAINING


def _settled(world: World, deployment: str) -> bool:
    state = world.data_path.gateways.get(world.data_path.via.get(deployment, ""))
    return isinstance(state, Seen) and state.view.settled


def shunned(way: Way | None) -> Reason | None:
    """Return why requests do not get to a ready replica, as far as its gateway is the cause."""
    if way is Way.UNHEALTHY:
        return Reason(code=ReasonCode.GATEWAY, detail="the gateway sees it unhealthy and sends it nothing")
    return None


# ---- load ----


def load_of(world: World, deployment: str) -> LoadStatus:
    """Return the load of a deployment as its gateway measures it."""
    measured = _measured(world, deployment)
    return _shown(measured.total) if measured is not None else _UNKNOWN


def replica_load(world: World, member: Member) -> LoadStatus:
    """Return the load of one replica as the gateway of its deployment measures it."""
    measured = _measured(world, member.group.key.deployment)
    endpoint = member.replica.endpoint
    found = measured.endpoints.get(endpoint) if measured is not None and endpoint is not None else None
    return _shown(found) if found is not None else _UNKNOWN


def _measured(world: World, deployment: str) -> RouteLoad | None:
    """Return what the gateway measures now: what it measured before it fell silent says nothing about now."""
    state = world.data_path.gateways.get(world.data_path.via.get(deployment, ""))
    return state.view.loads.get(deployment) if isinstance(state, Seen) else None


def _shown(load: Load) -> LoadStatus:
    return LoadStatus(rate=load.rate, error_rate=load.error_rate, in_flight=load.in_flight, latency=load.latency)
