"""The plugins that a fleet file can name, as shapes: what is installed, what is broken, and what comes later."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from roadstead.config.options import options_table
from roadstead.config.shapes import PluginName, Table
from roadstead.spi.host import PluginError, PluginHost
from roadstead.spi.records import BackendPlugin, PolicyKind, PolicyPlugin, RuntimePlugin

__all__ = ["PLANNED_BACKENDS", "Backends", "backends", "placement_policies", "runtimes"]

PLANNED_BACKENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "kubernetes": "the Kubernetes backend is planned and not in this version",
        "marathon": "the Marathon backend is planned and not in this version",
    }
)


@attrs.frozen(kw_only=True)
class Backends:
    """The backends: their name as a shape, and by name what a cluster and what a deployment can say to each."""

    name: PluginName
    options: Mapping[str, Table]
    deployment_options: Mapping[str, Table]


def backends(host: PluginHost) -> Backends:
    """Return what the host knows of backends; one whose options cannot be described is as good as missing."""
    options: dict[str, Table] = {}
    deployment_options: dict[str, Table] = {}
    broken: dict[str, str] = {}
    for registered in host.all(BackendPlugin):
        record = registered.record
        try:
            cluster, deployment = (
                options_table(kind, f"backend {record.name}") for kind in (record.options, record.deployment_options)
            )
        except (TypeError, NameError, AttributeError) as error:
            broken[record.name] = f"{registered.provenance}: its options cannot be read: {error}"
            continue
        options[record.name], deployment_options[record.name] = cluster, deployment

    def find(name: str) -> BackendPlugin:
        if name in broken:
            raise PluginError(f"backend {name!r} is broken", hint=f"this is an error of the plugin: {broken[name]}")
        return host.get(BackendPlugin, name)

    name = PluginName(kind="backend", names=tuple(options), find=find, planned=PLANNED_BACKENDS)
    return Backends(name=name, options=options, deployment_options=deployment_options)


def runtimes(host: PluginHost) -> PluginName:
    """Return the name of a runtime."""
    return PluginName(
        kind="runtime",
        names=tuple(one.record.name for one in host.all(RuntimePlugin)),
        find=lambda name: host.get(RuntimePlugin, name),
    )


def placement_policies(host: PluginHost) -> PluginName:
    """Return the name of a placement policy; a policy that decides something else is none."""
    names = tuple(one.record.name for one in host.all(PolicyPlugin) if one.record.decides is PolicyKind.PLACEMENT)

    def find(name: str) -> PolicyPlugin:
        record = host.get(PolicyPlugin, name)
        if record.decides is not PolicyKind.PLACEMENT:
            raise PluginError(
                f"policy {name!r} does not decide placement", hint=f"installed: {', '.join(names) or 'none'}"
            )
        return record

    return PluginName(kind="placement policy", names=names, find=find)
