"""Registers the ``envoy`` gateway."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.records import GatewayPlugin
from roadstead_plugins.gateways.envoy.options import EnvoyOptions

__all__ = ["roadstead_gateways"]


@hookimpl
def roadstead_gateways() -> Iterator[GatewayPlugin]:
    """Bring Envoy, the real server from its wheel."""
    yield GatewayPlugin(
        name="envoy",
        factory="roadstead_plugins.gateways.envoy.gateway:connect",
        options=EnvoyOptions,
        missing="roadstead_plugins.gateways.envoy.missing:missing",
        summary="Envoy: gRPC and REST on one port, balanced per request, configured by files",
    )
