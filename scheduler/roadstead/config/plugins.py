"""The plugins that a fleet file can name, as shapes: what is installed, and what is broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs

from roadstead.config.options import options_table
from roadstead.config.shapes import PluginName, Table
from roadstead.spi.host import PluginError, PluginHost
from roadstead.spi.records import BackendPlugin, GatewayPlugin, PluginRecord, PolicyKind, PolicyPlugin, RuntimePlugin

__all__ = [
    "Backends",
    "Gateways",
    "backends",
    "gateways",
    "placement_policies",
    "runtimes",
    "scaling_policies",
]

D = TypeVar("D")
P = TypeVar("P", bound=PluginRecord)


@attrs.frozen(kw_only=True)
class Backends:
    """The backends: their name as a shape, and by name what a cluster and what a deployment can say to each."""

    name: PluginName
    options: Mapping[str, Table]
    deployment_options: Mapping[str, Table]


@attrs.frozen(kw_only=True)
class Gateways:
    """The kinds of gateway: their name as a shape, and by name what a gateway can say to each."""

    kind: PluginName
    options: Mapping[str, Table]


def backends(host: PluginHost) -> Backends:
    """Return what the host knows of backends; one whose options cannot be described is as good as missing."""

    def tables(record: BackendPlugin) -> tuple[Table, Table]:
        plugin = f"backend {record.name}"
        return options_table(record.options, plugin), options_table(record.deployment_options, plugin)

    known, find = _described(host, BackendPlugin, tables)
    return Backends(
        name=PluginName(kind="backend", names=tuple(known), find=find),
        options={name: cluster for name, (cluster, _) in known.items()},
        deployment_options={name: deployment for name, (_, deployment) in known.items()},
    )


def gateways(host: PluginHost) -> Gateways:
    """Return what the host knows of gateways; one whose options cannot be described is as good as missing."""
    known, find = _described(host, GatewayPlugin, lambda one: options_table(one.options, f"gateway {one.name}"))
    return Gateways(kind=PluginName(kind="kind of gateway", names=tuple(known), find=find), options=known)


def _described(
    host: PluginHost, kind: type[P], describe: Callable[[P], D]
) -> tuple[Mapping[str, D], Callable[[str], P]]:
    """Return by name what ``describe`` makes of each plugin, and how one is looked up."""
    known: dict[str, D] = {}
    broken: dict[str, str] = {}
    for registered in host.all(kind):
        name = registered.record.name
        try:
            known[name] = describe(registered.record)
        except (TypeError, NameError, AttributeError) as error:
            broken[name] = f"{registered.provenance}: its options cannot be read: {error}"

    def find(name: str) -> P:
        if name in broken:
            hint = f"this is an error of the plugin: {broken[name]}"
            raise PluginError(f"{kind.kind} {name!r} is broken", hint=hint)
        return host.get(kind, name)

    return known, find


def runtimes(host: PluginHost) -> PluginName:
    """Return the name of a runtime."""
    return PluginName(
        kind="runtime",
        names=tuple(one.record.name for one in host.all(RuntimePlugin)),
        find=lambda name: host.get(RuntimePlugin, name),
    )


def placement_policies(host: PluginHost) -> PluginName:
    """Return the name of a placement policy; a policy that decides something else is none."""
    return _policies(host, PolicyKind.PLACEMENT)


def scaling_policies(host: PluginHost) -> PluginName:
    """Return the name of a scaling policy; a policy that decides something else is none."""
    return _policies(host, PolicyKind.SCALING)


def _policies(host: PluginHost, kind: PolicyKind) -> PluginName:
    names = tuple(one.record.name for one in host.all(PolicyPlugin) if one.record.decides is kind)

    def find(name: str) -> PolicyPlugin:
        record = host.get(PolicyPlugin, name)
        if record.decides is not kind:
            raise PluginError(
                f"policy {name!r} does not decide {kind.value}", hint=f"installed: {', '.join(names) or 'none'}"
            )
        return record

    return PluginName(kind=f"{kind.value} policy", names=names, find=find)
