"""How many replicas of a deployment are on which cluster, and how many should be."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs

from roadstead.decide.destinations import destinations
from roadstead.model import Deployment, Fleet
from roadstead.plans import Plan
from roadstead.world import Member, Phase, Shard

__all__ = ["PlaceStatus", "places_for", "should_be_on"]


@attrs.frozen(kw_only=True)
class PlaceStatus:
    """One cluster of a deployment: how many of its replicas should be there, are there, are ready, and get requests.

    ``there`` leaves out those that were told to stop.
    """

    cluster: str
    wanted: int
    there: int
    ready: int
    listed: int


def should_be_on(fleet: Fleet, plan: Plan, declared: Deployment) -> Mapping[str, int]:
    """Return how many replicas each cluster that may be used now should end with, in order."""
    found = plan.spread.get(declared.name)
    if found is not None:
        return found
    targets = destinations(fleet, declared).targets
    wanted = plan.wanted.get(declared.name, declared.replicas)
    return {target.cluster: wanted if target is targets[0] else 0 for target in targets}


def places_for(should: Mapping[str, int], shard: Shard, listed: Collection[tuple[str, str]]) -> tuple[PlaceStatus, ...]:
    """Return every cluster where replicas are or should be; ``listed`` are those that get requests."""
    there: dict[str, list[Member]] = {cluster: [] for cluster, count in should.items() if count}
    for member in shard.members:
        if member.replica.phase not in {Phase.STOPPING, Phase.LOST}:
            there.setdefault(member.cluster, []).append(member)
    return tuple(
        PlaceStatus(
            cluster=cluster,
            wanted=should.get(cluster, 0),
            there=len(members),
            ready=sum(member.ready for member in members),
            listed=sum((cluster, member.replica.id) in listed for member in members),
        )
        for cluster, members in there.items()
    )
