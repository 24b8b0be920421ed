"""The gateway protocol: the data path, with one stable address per deployment.

A gateway is a process of its own that serves on when we are dead. We offer it route tables; what it has accepted is
*observed*, never assumed. Calls are synchronous and come from one thread per gateway; each may be repeated at any time.

A gateway raises only :class:`roadstead.errors.BackendError` and its subclasses: ``Unreachable`` where it does not
answer (now: it is starting, or gone), ``Rejected`` where it cannot be run at all as the fleet file says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import attrs

from roadstead.model import Tls
from roadstead.spi.runtime import Check
from roadstead.traffic import Endpoint, GatewayView

__all__ = ["Destination", "Gateway", "GatewayContext", "Route", "RouteTable", "WatchesTraffic"]


@attrs.frozen(kw_only=True)
class Destination:
    """One replica behind a route.

    ``draining``: it gets no new request, and stays in the table so that those in flight to it can be seen. ``check`` is
    what the gateway asks the replica by itself, so that nothing else that answers at a reused address gets requests.
    """

    endpoint: Endpoint
    draining: bool = False
    check: Check | None = None


@attrs.frozen(kw_only=True)
class Route:
    """One deployment: the port that clients know, and where its requests may go, ordered by endpoint."""

    deployment: str
    port: int
    destinations: tuple[Destination, ...]


@attrs.frozen
class RouteTable:
    """All that one gateway serves, by deployment; what is not in it has no address there."""

    routes: Mapping[str, Route] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class GatewayContext:
    """What a gateway is made from.

    ``address`` is the IP address to listen on. ``root`` is a directory of its own, kept between starts: what runs there
    is found again and taken over.
    """

    name: str
    fleet: str
    owner_id: str
    address: str
    tls: Tls | None
    options: object
    root: Path


class Gateway(Protocol):
    """Drives one gateway."""

    def route(self, table: RouteTable) -> None:
        """Offer ``table``, starting the gateway where it does not run; returns without waiting for it to be accepted.

        The same table again costs nothing where it has been accepted, and is offered again where it has not.
        """

    def view(self) -> GatewayView:
        """Return what the gateway does now, never behind what this object has returned or offered before.

        An endpoint counts as ``listed`` while the gateway may send it new requests: it does so now, or a table offered
        and not yet accepted (by this object or one before it) says that it may. Raises ``Unreachable``.
        """

    def ports(self) -> Mapping[str, int]:
        """Return the ports of the last table offered, by deployment, from what the gateway itself keeps."""

    def stop(self) -> None:
        """Take the gateway down and forget its tables."""

    def close(self) -> None:
        """Let go of it; it serves on."""


@runtime_checkable
class WatchesTraffic(Protocol):
    """A gateway that can tell that something changed, such as its own death, without being asked."""

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` from any thread soon after the gateway's process started or ended, until ``close``."""
