"""Gateways that vanished from the fleet file: what they serve is left as it is until somebody confirms that it goes.

Also over a restart: what it takes to drive a gateway is kept with the fleet's identity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn

import attrs

from roadstead.act.identity import KeptGateway
from roadstead.errors import Unreachable
from roadstead.model import GatewaySpec
from roadstead.spi.gateway import RouteTable
from roadstead.spi.host import PluginError, PluginHost
from roadstead.spi.records import GatewayPlugin
from roadstead.traffic import GatewayView
from roadstead.wire import from_wire, to_wire

__all__ = ["AwayGateway", "Strange", "as_kept", "as_spec"]


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


class AwayGateway:
    """Stands for a gateway that cannot be driven: nobody knows what it does, so nothing that it may use is stopped."""

    def __init__(self, name: str, why: str) -> None:
        self._name = name
        self._why = why

    def route(self, table: RouteTable) -> NoReturn:  # noqa: ARG002  # whatever it is offered
        """Refuse."""
        raise self._unreachable()

    def view(self) -> GatewayView:
        """Refuse."""
        raise self._unreachable()

    def ports(self) -> Mapping[str, int]:
        """Know of none."""
        return {}

    def stop(self) -> NoReturn:
        """Refuse."""
        raise self._unreachable()

    def close(self) -> None:
        """Hold nothing."""

    def _unreachable(self) -> Unreachable:
        return Unreachable(f"it cannot be driven: {self._why}", cluster=self._name)
