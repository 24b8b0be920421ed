"""Gateways that are there and cannot be driven as the fleet file says: it no longer names them, or they do not open.

What one serves that vanished from the file is left as it is until somebody confirms that it goes; also over a restart,
so what it takes to drive a gateway is kept with the fleet's identity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import attrs

from roadstead.act.identity import KeptGateway
from roadstead.errors import RoadsteadError, Unreachable
from roadstead.model import GatewaySpec
from roadstead.spi.gateway import Gateway, RouteTable
from roadstead.spi.host import PluginError, PluginHost
from roadstead.spi.records import GatewayPlugin
from roadstead.traffic import GatewayView
from roadstead.wire import from_wire, to_wire

__all__ = ["LateGateway", "Strange", "as_kept", "as_spec"]


@attrs.frozen
class Strange:
    """The options of a gateway whose plugin is not here, or knows them no more: as they were kept, and why."""

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
        options=options.kept if isinstance(options, Strange) else json.dumps(to_wire(options), sort_keys=True),
    )


def as_spec(name: str, kept: KeptGateway, host: PluginHost) -> GatewaySpec:
    """Return what was kept, with the options that its plugin makes of them."""
    return GatewaySpec(
        name=name,
        kind=kept.kind,
        address=kept.address,
        first_port=kept.first_port,
        last_port=kept.last_port,
        tls=kept.tls,
        options=_options(kept, host),
    )


def _options(kept: KeptGateway, host: PluginHost) -> object:
    try:
        plugin = host.get(GatewayPlugin, kept.kind)
        options: object = from_wire(json.loads(kept.options), plugin.options)
    except (PluginError, ValueError) as error:
        return Strange(kept.options, str(error))
    return options


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
