"""What others changed of our groups, as people and programs are told it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from roadstead.decide.drift import MOST_REVERTS
from roadstead.memory import DeploymentMemory, place
from roadstead.model import Fleet
from roadstead.plans import Plan
from roadstead.world import Group, World

__all__ = ["FieldDrift", "FleetDrift", "GroupDrift", "fleet_drift"]


@attrs.frozen(kw_only=True)
class FieldDrift:
    """One field: what the group was made with, what stands there now, and who wrote that, empty where nobody says."""

    field: str
    ours: str
    theirs: str
    manager: str


@attrs.frozen(kw_only=True)
class GroupDrift:
    """One group that others changed, or with replicas that were made while it was so (``strays``).

    ``on_drift`` is what happens, ``None`` for a deployment that the file names no more. ``reverted`` is how often it
    was put back within the last hour, what is put back now included; ``contested``: it is put back no more for now, or
    ``scaled_by`` names who else decides how many replicas it has, empty where nobody does.
    """

    deployment: str
    cluster: str
    revision: str
    on_drift: str | None
    fields: tuple[FieldDrift, ...]
    strays: tuple[str, ...]
    reverted: int
    contested: bool
    scaled_by: str = ""


@attrs.frozen(kw_only=True)
class FleetDrift:
    """All that others changed; ``at`` is in milliseconds since the epoch.

    ``names`` are the deployments that there are, changed by others or not.
    """

    fleet: str
    at: int
    names: tuple[str, ...]
    groups: tuple[GroupDrift, ...]


def fleet_drift(fleet: Fleet, world: World, plan: Plan, now: int) -> FleetDrift:
    """Return what others changed, as ``plan`` was made from ``fleet`` and ``world`` at ``now``."""
    return FleetDrift(
        fleet=fleet.name,
        at=now,
        names=tuple(sorted({*fleet.deployments, *world.shards})),
        groups=tuple(_groups(fleet, world, plan, now)),
    )


def _groups(fleet: Fleet, world: World, plan: Plan, now: int) -> Iterator[GroupDrift]:
    for name, shard in sorted(world.shards.items()):
        known = plan.memory.deployments.get(name, DeploymentMemory(at=now))
        for cluster, group in shard.groups:
            if group.has_drifted or group.scaled_by:
                yield _group(fleet, name, cluster, group, known)


def _group(fleet: Fleet, name: str, cluster: str, group: Group, known: DeploymentMemory) -> GroupDrift:
    declared = fleet.deployments.get(name)
    past = known.reverts.get(place(cluster, group.key), ())
    others = sum(one.version != group.version for one in past)
    return GroupDrift(
        deployment=name,
        cluster=cluster,
        revision=group.key.revision,
        on_drift=declared.on_drift.value if declared is not None else None,
        fields=tuple(
            FieldDrift(field=one.field, ours=one.ours, theirs=one.theirs, manager=one.manager) for one in group.drift
        ),
        strays=tuple(replica.id for replica in group.replicas if replica.drifted),
        reverted=len(past),
        contested=bool(group.scaled_by) or (bool(group.drift) and others >= MOST_REVERTS),
        scaled_by=group.scaled_by,
    )
