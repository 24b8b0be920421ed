"""Which deployments have their address, and who has it where Envoy could not get it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from roadstead.shim.listeners import explain_taken, listener_at
from roadstead.shim.spec import Address
from roadstead.spi.gateway import Route
from roadstead_plugins.gateways.envoy.downstream import listener_name
from roadstead_plugins.gateways.envoy.readings import ListenerState
from roadstead_plugins.gateways.envoy.translate import File, listener_digests

__all__ = ["Obstacles", "obstacles"]


class Obstacles(NamedTuple):
    """Why deployments cannot be reached, and whether what was in the way of one of them has gone."""

    problems: Mapping[str, str]
    gone: bool


def obstacles(
    routes: Mapping[str, Route], address: str, offered: File, listeners: Mapping[str, ListenerState]
) -> Obstacles:
    """Return what keeps the listeners in the file ``offered`` from being in force; looks at ports that are in use."""
    digests = listener_digests(offered)
    problems: dict[str, str] = {}
    gone = False
    for deployment, route in sorted(routes.items()):
        name = listener_name(route, address)
        state = listeners.get(name)
        if state is None:
            problems[deployment] = f"envoy has not opened port {route.port} yet"
        elif state.digest != digests.get(name):
            taken = _taken(Address(address, route.port)) if not state.digest else None
            gone = gone or taken == ""
            problems[deployment] = taken or state.error or f"envoy has not opened port {route.port} yet"
    return Obstacles(problems, gone)


def _taken(address: Address) -> str | None:
    """Return who holds an address, nothing where it is free, and ``None`` where that cannot be told."""
    try:
        listener = listener_at(address)
    except OSError:  # no address of this machine, or not one of version 4: Envoy's own words have to do
        return None
    return "" if listener is None else explain_taken(address, listener)
