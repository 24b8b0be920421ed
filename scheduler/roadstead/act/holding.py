"""Gateways and clusters that cannot be driven as the fleet file says: it no longer names them, or they do not open.

What a gateway serves that vanished from the file is left as it is until somebody confirms that it goes; a cluster that
vanished is moved away from before it is let go of. Both also over a restart, so what it takes to drive them is kept
with the fleet's identity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NoReturn

import attrs

from roadstead.act.identity import KeptCluster, KeptGateway
from roadstead.capabilities import Capabilities
from roadstead.errors import RoadsteadError, Unreachable
from roadstead.model import ClusterSpec, ClusterState, GatewaySpec, Scheduling
from roadstead.spi.gateway import Gateway, RouteTable
from roadstead.spi.host import PluginError, PluginHost
from roadstead.spi.records import BackendPlugin, GatewayPlugin
from roadstead.traffic import GatewayView
from roadstead.wire import from_wire, to_wire

__all__ = ["AwayBackend", "LateGateway", "Strange", "as_draining", "as_kept", "as_kept_cluster", "as_spec"]


@attrs.frozen
class Strange:
    """The options of something whose plugin is not here, or knows them no more: as they were kept, and why."""

    kept: str
    why: str


def as_kept(spec: GatewaySpec) -> KeptGateway:
    """Return what is kept of ``spec``."""
    options = spec.options
    return KeptGateway(
        kind=spec.kind,
        address=spec.address,
        first_port=spec.first_port,
        last_port=spec.last_port,
        tls=spec.tls,
        options=_text(options),
    )


def as_kept_cluster(spec: ClusterSpec) -> KeptCluster:
    """Return what is kept of ``spec``."""
    return KeptCluster(backend=spec.backend, scheduling=spec.scheduling, reach=spec.reach, options=_text(spec.options))


def _text(options: object) -> str:
    return options.kept if isinstance(options, Strange) else json.dumps(to_wire(options), sort_keys=True)


def as_spec(name: str, kept: KeptGateway, host: PluginHost) -> GatewaySpec:
    """Return what was kept, with the options that its plugin makes of them."""
    return GatewaySpec(
        name=name,
        kind=kept.kind,
        address=kept.address,
        first_port=kept.first_port,
        last_port=kept.last_port,
        tls=kept.tls,
        options=_options(GatewayPlugin, kept.kind, kept.options, host),
    )


def as_draining(name: str, kept: KeptCluster, host: PluginHost) -> ClusterSpec:
    """Return what was kept as a cluster that is moved away from, with the options that its plugin makes of them."""
    return ClusterSpec(
        name=name,
        backend=kept.backend,
        options=_options(BackendPlugin, kept.backend, kept.options, host),
        scheduling=kept.scheduling,
        state=ClusterState.DRAINING,
        reach=kept.reach,
    )


def _options(kind: type[BackendPlugin | GatewayPlugin], name: str, kept: str, host: PluginHost) -> object:
    try:
        options: object = from_wire(json.loads(kept), host.get(kind, name).options)
    except (PluginError, ValueError) as error:
        return Strange(kept, str(error))
    return options


class AwayBackend:
    """Stands for a cluster that the file no longer names and that cannot be driven: nobody knows what runs there."""

    def __init__(self, name: str, why: str) -> None:
        self._name = name
        self._why = why

    @property
    def capabilities(self) -> Capabilities:
        """Nothing that anybody would ask for."""
        return Capabilities(scheduling=frozenset({Scheduling.DIRECTED}), exact_retire=False, heals_alone=False)

    def observe(self) -> NoReturn:
        """Refuse."""
        raise self._unreachable()

    def apply(self, *_: object, **__: object) -> NoReturn:
        """Refuse."""
        raise self._unreachable()

    def delete(self, *_: object, **__: object) -> NoReturn:
        """Refuse."""
        raise self._unreachable()

    def close(self) -> None:
        """Hold nothing."""

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"it cannot be driven: {self._why}", cluster=self._name)


class LateGateway:
    """Stands for a gateway that could not be opened, and opens it as soon as that can be done.

    Until then nobody knows what it does, and nothing that it may use is stopped. ``make`` raises
    :class:`RoadsteadError` as long as it cannot.
    """

    def __init__(self, name: str, make: Callable[[], Gateway]) -> None:
        self._name = name
        self._make = make
        self._made: Gateway | None = None

    def route(self, table: RouteTable) -> None:
        """Offer the table."""
        self._opened().route(table)

    def view(self) -> GatewayView:
        """Return what the gateway does."""
        return self._opened().view()

    def ports(self) -> Mapping[str, int]:
        """Return the ports that the gateway keeps."""
        return self._opened().ports()

    def stop(self) -> None:
        """Take the gateway down."""
        self._opened().stop()

    def close(self) -> None:
        """Let go of it."""
        if self._made is not None:
            self._made.close()

    def _opened(self) -> Gateway:
        if self._made is None:
            try:
                self._made = self._make()
            except RoadsteadError as error:
                text = f"it cannot be driven: {error}"
                raise Unreachable(text, cluster=self._name, hint=error.hint) from error
        return self._made
