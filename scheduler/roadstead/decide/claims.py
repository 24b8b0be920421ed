"""Claims: room that taking a replica down first frees, kept for the one that comes in its place.

Which claims are in force is settled for all deployments before anything is decided about any of them, from the world
and from how many replicas each should have. Whoever is decided about first must not be refused the room of a claim that
lapses later in the same turn: planning again, without it, would come to other steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import MappingProxyType

import attrs

from roadstead.memory import Claim, PlanMemory
from roadstead.world import Member, Phase, Shard, World

__all__ = ["claim_on", "in_force", "kept", "with_those_in_force"]


def claim_on(member: Member) -> Claim | None:
    """Return the claim on the room that ``member`` would free; ``None`` where it holds none."""
    replica = member.replica
    if replica.node is None:
        return None
    return Claim(
        replica=replica.id,
        cluster=member.cluster,
        node=replica.node,
        devices=replica.devices,
        resources=member.group.template.resources,
    )


def with_those_in_force(memory: PlanMemory, world: World, wanted: Callable[[str], int]) -> PlanMemory:
    """Return ``memory`` with the claims that are in force; ``wanted`` tells how many replicas a deployment should have.

    0 where it is not to be decided about.
    """
    if not memory.claims:
        return memory
    left = {
        name: those
        for name, claims in memory.claims.items()
        if (those := in_force(claims, world.shards.get(name), wanted(name)))
    }
    return memory if left == memory.claims else attrs.evolve(memory, claims=MappingProxyType(left))


def in_force(claims: tuple[Claim, ...], shard: Shard | None, wanted: int) -> tuple[Claim, ...]:
    """Return those of ``claims`` whose room is still waited for.

    One whose replica is still there is kept, though nothing is free yet. Of the others, as many as there are replicas
    wanted that have no place, whether their slots stand already or not. That a bind is planned ends no claim: its
    request may be lost.
    """
    members = shard.members if shard is not None else ()
    there = {_key(member) for member in members if member.replica.phase is not Phase.LOST}
    lacking = max(0, wanted - sum(map(_has_a_place, members)))
    gone = [claim for claim in claims if (claim.cluster, claim.replica) not in there]
    over = set(gone[lacking:])
    return tuple(claim for claim in claims if claim not in over)


def kept(
    before: tuple[Claim, ...], new: Iterable[Claim], members: Iterable[Member], victims: Iterable[Member]
) -> tuple[Claim, ...]:
    """Return the claims to remember: what is in force ``before``, less that on replicas that stay after all."""
    going = {_key(member) for member in victims}
    stay = {
        _key(member)
        for member in members
        if member.replica.phase not in {Phase.STOPPING, Phase.LOST} and _key(member) not in going
    }
    return tuple(claim for claim in (*before, *new) if (claim.cluster, claim.replica) not in stay)


def _key(member: Member) -> tuple[str, str]:
    return member.cluster, member.replica.id


def _has_a_place(member: Member) -> bool:
    replica = member.replica
    return replica.node is not None and replica.phase not in {Phase.STOPPING, Phase.LOST}
