"""Which address each deployment has: a port by hand, the one that it was given before, or the next free one. Pure.

An address that clients know is not taken from them: whoever has it keeps it as long as the fleet file does not say
another one, and longer than the file names the deployment, until nothing of it is left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.model import Address, Fleet, GatewaySpec, Via
from roadstead.world import Unreachable, World

__all__ = ["Assigned", "assigned", "spent"]


@attrs.frozen
class Assigned:
    """The address of each deployment that has one, and for those that should and do not, a sentence that says why."""

    addresses: Mapping[str, Address]
    missing: Mapping[str, str] = MappingProxyType({})


def assigned(fleet: Fleet, kept: Mapping[str, Address], held: Collection[str] = ()) -> Assigned:
    """Return who has which address; ``kept`` is who had one before, or who may still be served at one.

    ``held`` are those of the fleet's gateways that its file no longer names: what they serve stays there. A deployment
    that was deleted by command keeps what it has, and is given nothing new.
    """
    making = _Making(fleet)
    given: dict[str, tuple[str, int]] = {}
    asked: dict[str, Via] = {}
    removed = {intent.deployment for intent in fleet.intents.remove}
    for name in sorted(fleet.deployments.keys() | kept.keys()):
        declared, had = fleet.deployments.get(name), kept.get(name)
        via = declared.via if declared is not None else None
        if had is not None and had.gateway in fleet.gateways and _stays(had, via, held, orphaned=declared is None):
            given[name] = (had.gateway, had.port)
        elif via is not None and name not in removed:
            asked[name] = via
    for name, (gateway, port) in given.items():
        making.give(name, gateway, port)
    by_hand = {name: (via.gateway, via.port) for name, via in asked.items() if via.port is not None}
    for name, (gateway, port) in by_hand.items():
        making.give(name, gateway, port)
    for name, via in asked.items():
        if name not in by_hand:
            making.give_next(name, via.gateway)
    return making.made()


def _stays(had: Address, via: Via | None, held: Collection[str], *, orphaned: bool) -> bool:
    if orphaned or had.gateway in held:
        return True
    return via is not None and via.gateway == had.gateway and via.port in {None, had.port}


class _Making:
    """Addresses being given, in the order in which they are to be."""

    def __init__(self, fleet: Fleet) -> None:
        self._gateways = fleet.gateways
        self._addresses: dict[str, Address] = {}
        self._missing: dict[str, str] = {}
        self._holders: dict[tuple[str, int], str] = {}
        # A port that somebody names is no free one, even where he cannot have it yet.
        self._reserved = {
            (fleet.gateways[one.via.gateway].address, one.via.port)
            for one in fleet.deployments.values()
            if one.via is not None and one.via.port is not None and one.via.gateway in fleet.gateways
        }
        self._next: dict[str, Iterable[int]] = {}

    def give(self, name: str, gateway: str, port: int) -> None:
        """Give this very port, unless somebody has it."""
        spec = self._gateways[gateway]
        holder = self._holders.get((spec.address, port))
        if holder is None:
            self._enter(name, spec, port)
        else:
            self._missing[name] = (
                f"deployment {name} has no address: port {port} of gateway {gateway} is kept for {holder}; "
                f"name another with gateway.port, or give {holder} another one first"
            )

    def give_next(self, name: str, gateway: str) -> None:
        """Give the lowest free port of the gateway's range."""
        spec = self._gateways[gateway]
        free = self._next.setdefault(gateway, iter(range(spec.first_port, spec.last_port + 1)))
        for port in free:
            place = (spec.address, port)
            if place not in self._reserved and place not in self._holders:
                self._enter(name, spec, port)
                return
        self._missing[name] = (
            f"deployment {name} has no address: gateway {gateway} has no free port left in "
            f"{spec.first_port}-{spec.last_port}; widen its ports, or name one with gateway.port"
        )

    def made(self) -> Assigned:
        """Return all that was given, ordered by deployment."""
        return Assigned(MappingProxyType(dict(sorted(self._addresses.items()))), MappingProxyType(self._missing))

    def _enter(self, name: str, spec: GatewaySpec, port: int) -> None:
        self._addresses[name] = Address(gateway=spec.name, host=spec.address, port=port)
        self._holders[spec.address, port] = name


def spent(fleet: Fleet, world: World) -> frozenset[str]:
    """Return the deployments whose address can be given back: nobody wants them, and nothing is left anywhere."""
    removed = {intent.deployment for intent in fleet.intents.remove}
    unwanted = {name for name in fleet.addresses if name not in fleet.deployments or name in removed}
    if not unwanted or any(isinstance(view, Unreachable) for view in world.clusters.values()):
        return frozenset()
    return frozenset(name for name in unwanted if name not in world.shards)
