"""What the next turn changes in gateways: where clients connect, and which replicas get new requests."""

from __future__ import annotations

import attrs

from roadstead.decide.report.routes import authority
from roadstead.model import Fleet
from roadstead.plans import Plan
from roadstead.world import Shard, World

__all__ = ["AddressChange", "Rerouting", "address_change", "rerouting"]


@attrs.frozen(kw_only=True)
class AddressChange:
    """Another address for the clients of a deployment.

    ``old`` is ``None`` where no gateway serves it now, ``new`` where none will. ``gateway`` is the one of the new
    address, and of the old one where there is no new.
    """

    gateway: str
    old: str | None
    new: str | None


@attrs.frozen(kw_only=True)
class Rerouting:
    """Which replicas a gateway begins and ceases to send new requests to, and to how many it sends them now."""

    gateway: str
    was: int
    begins: tuple[str, ...]
    ceases: tuple[str, ...]

    @property
    def target(self) -> int:
        """To how many it sends them then."""
        return self.was + len(self.begins) - len(self.ceases)

    def __str__(self) -> str:
        parts = [f"begins with {', '.join(self.begins)}"] if self.begins else []
        parts += [f"nothing new to {', '.join(self.ceases)}"] if self.ceases else []
        return "; ".join(parts)


def address_change(fleet: Fleet, world: World, deployment: str) -> AddressChange | None:
    """Return how the address of a declared deployment changes, or ``None`` where it does not.

    What a gateway serves that vanished from the file changes only when that is confirmed.
    """
    serving, old = _now(fleet, world, deployment)
    if serving in fleet.vanished:
        return None
    via = fleet.deployments[deployment].via
    if via is None:
        return AddressChange(gateway=serving, old=old, new=None) if old is not None else None
    new = _then(fleet, deployment)
    return AddressChange(gateway=via.gateway, old=old, new=new) if old != new else None


def _now(fleet: Fleet, world: World, deployment: str) -> tuple[str, str | None]:
    """Return the gateway that serves a deployment as last seen, its own one first, and where it does so."""
    own = world.data_path.via.get(deployment)
    for name in sorted(world.data_path.gateways, key=lambda one: (one != own, one)):
        route = world.data_path.routes(name).get(deployment)
        spec = fleet.gateways.get(name)
        if route is not None and spec is not None:
            return name, authority(spec.address, route.port)
    return "", None


def _then(fleet: Fleet, deployment: str) -> str | None:
    via, given = fleet.deployments[deployment].via, fleet.addresses.get(deployment)
    if via is None:
        return None
    spec = fleet.gateways[via.gateway]
    if given is not None and given.gateway == via.gateway:
        return authority(given.host, given.port)
    if via.port is not None:
        return authority(spec.address, via.port)
    return f"{spec.address}, a port of {spec.first_port}-{spec.last_port}"


def rerouting(world: World, plan: Plan, deployment: str) -> Rerouting | None:
    """Return what changes about who gets requests, as far as the gateway shows what it does now."""
    shard = world.shards.get(deployment, Shard(deployment=deployment))
    there = [one for one in shard.members if one.passage is not None and one.passage.known]
    table = {(one.cluster, one.replica) for one in plan.table.endpoints.get(deployment, ())}
    wanted = {one for one in there if (one.cluster, one.replica.id) in table}
    listed = {one for one in there if one.passage is not None and one.passage.listed}
    if wanted == listed:
        return None
    return Rerouting(
        gateway=world.data_path.via.get(deployment, ""),
        was=len(listed),
        begins=tuple(one.replica.id for one in there if one in wanted - listed),
        ceases=tuple(one.replica.id for one in there if one in listed - wanted),
    )
