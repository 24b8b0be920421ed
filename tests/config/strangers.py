"""A host with plugins that somebody else brought, beside those of this distribution."""

from __future__ import annotations

from types import SimpleNamespace

from roadstead.spi.hookspecs import hookimpl
from roadstead.spi.host import PluginHost, Provenance
from roadstead.spi.records import BackendPlugin, GatewayPlugin, RuntimePlugin
from tests.config.corpus import built_in


def host_with(
    *backends: BackendPlugin, runtimes: tuple[RuntimePlugin, ...] = (), gateways: tuple[GatewayPlugin, ...] = ()
) -> PluginHost:
    """Return a host with the built-in plugins and these."""
    host = built_in()
    plugin = SimpleNamespace(
        roadstead_backends=hookimpl(specname="roadstead_backends")(lambda: backends),
        roadstead_runtimes=hookimpl(specname="roadstead_runtimes")(lambda: runtimes),
        roadstead_gateways=hookimpl(specname="roadstead_gateways")(lambda: gateways),
    )
    host.register(plugin, Provenance(distribution="acme", version="1.0", module="acme.plugin"))
    return host
