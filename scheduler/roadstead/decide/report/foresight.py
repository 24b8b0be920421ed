"""What the turn after the next would see, so that a plan can say where replicas will go that do not exist yet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from roadstead.assembly import assemble
from roadstead.plans import Grow, Plan
from roadstead.world import ClusterView, Group, Phase, Reachable, Replica, World

__all__ = ["FORESEEN", "grown"]

FORESEEN = "new-"
"""How the id of a replica begins that exists in foresight only; no cluster gives such an id."""


def grown(world: World, plan: Plan, owner_id: str) -> World:
    """Return ``world`` as it will look when every group that ``plan`` lets grow has its slots.

    Nothing else has moved. Planning for it with the memory of ``plan`` says on which nodes the new slots go, and what
    holds those that get none.
    """
    growing: dict[str, list[Grow]] = {}
    for step in plan.steps:
        if isinstance(step, Grow):
            growing.setdefault(step.cluster, []).append(step)
    if not growing:
        return world
    views = {name: _with_slots(view, growing.get(name, []), owner_id) for name, view in world.clusters.items()}
    later = assemble(world, _frozen(views), world.models, data_path=world.data_path, usage=world.usage)
    return attrs.evolve(later, server_loads=world.server_loads)


def _frozen(views: dict[str, ClusterView]) -> Mapping[str, ClusterView]:
    return MappingProxyType(views)


def _with_slots(view: ClusterView, growing: list[Grow], owner_id: str) -> ClusterView:
    if not growing or not isinstance(view, Reachable):
        return view
    groups = {group.key: group for group in view.snapshot.groups}
    for step in growing:
        groups[step.group] = _grown(groups.get(step.group), step, owner_id)
    return Reachable(attrs.evolve(view.snapshot, groups=tuple(groups.values())))


def _grown(group: Group | None, step: Grow, owner_id: str) -> Group:
    there = group.replicas if group is not None else ()
    living = sum(1 for one in there if one.phase is not Phase.LOST)
    slots = tuple(
        Replica(id=f"{FORESEEN}{step.group}-{number + 1}", phase=Phase.SLOT) for number in range(step.target - living)
    )
    if group is not None:
        return attrs.evolve(group, target=step.target, replicas=(*there, *slots))
    return Group(
        key=step.group,
        owner=step.owner,
        owner_id=owner_id,
        generation=step.generation,
        target=step.target,
        template=step.template,
        replicas=slots,
    )
