"""What a command about one deployment comes to as things stand. Pure."""

from __future__ import annotations

import attrs

from roadstead.act.intents import removed, scaled
from roadstead.daemon.changes import nearest
from roadstead.daemon.errors import BadRequest, Unknown
from roadstead.model import MAX_REPLICAS, Deployment, Fleet, Intents
from roadstead.world import World

__all__ = ["Ordered", "declared_to_stay", "delete", "scale"]


@attrs.frozen
class Ordered:
    """The intents as they are to be, and one sentence about what was changed, for people."""

    intents: Intents
    text: str


def declared_to_stay(fleet: Fleet, name: str) -> Deployment:
    """Return what the file says of a deployment; raises where it says nothing, or a command has deleted it."""
    declared = fleet.deployments.get(name)
    if declared is None:
        raise Unknown(f"there is no deployment {name!r} in the fleet file", hint=nearest(name, fleet.deployments))
    if any(intent.deployment == name for intent in fleet.intents.remove):
        raise BadRequest(f"deployment {name!r} is being deleted", hint="change it in the fleet file to keep it")
    return declared


def scale(fleet: Fleet, declared: Deployment, replicas: int) -> Ordered:
    """Return that a deployment has so many replicas; raises :class:`BadRequest` where that is not for commands."""
    if not 0 <= replicas <= MAX_REPLICAS:
        raise BadRequest(f"{replicas} is no number of replicas", hint=f"0 to {MAX_REPLICAS}")
    if (spec := declared.autoscaling) is not None:
        raise BadRequest(
            f"load decides how many replicas {declared.name!r} has, from {spec.min} to {spec.max}",
            hint="change autoscaling.min and autoscaling.max in the fleet file, or replace it by replicas",
        )
    return Ordered(scaled(fleet.intents, declared, replicas), f"{declared.name} was scaled to {replicas} by command")


def delete(fleet: Fleet, world: World, name: str) -> Ordered:
    """Return that a deployment goes; raises :class:`Unknown` where the file has none of that name, nor any cluster."""
    if name not in fleet.deployments and name not in world.shards:
        raise Unknown(f"there is no deployment {name!r}", hint=nearest(name, fleet.deployments))
    return Ordered(removed(fleet.intents, fleet, [name]), f"{name} was deleted by command")
