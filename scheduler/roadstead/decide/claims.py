"""Claims: room that taking a replica down first frees, kept for the one that comes in its place.

Which claims are in force is settled for all deployments before anything is decided about any of them, from the world
and from how many replicas each should have. Whoever is decided about first must not be refused the room of a claim that
lapses later in the same turn: planning again, without it, would come to other steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType

import attrs

from roadstead.holdings import Use, sum_of, use_of
from roadstead.memory import Claim, PlanMemory
from roadstead.model import Fleet
from roadstead.world import Member, Phase, Shard, World

__all__ = ["Claimed", "claim_on", "kept", "with_those_in_force"]


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
        if (those := _in_force(claims, world.shards.get(name), wanted(name)))
    }
    return memory if left == memory.claims else attrs.evolve(memory, claims=MappingProxyType(left))


def _in_force(claims: tuple[Claim, ...], shard: Shard | None, wanted: int) -> tuple[Claim, ...]:
    """Return those of ``claims`` whose room is still waited for.

    One whose replica is still there is kept, though nothing is free yet. Of the others, as many as there are replicas
    wanted that have no place, whether their slots stand already or not. That a bind is planned ends no claim: its
    request may be lost.
    """
    there = _there(shard)
    lacking = max(0, wanted - sum(crew.placed for crew in shard.on.values())) if shard is not None else wanted
    gone = [claim for claim in claims if (claim.cluster, claim.replica) not in there]
    over = set(gone[lacking:])
    return tuple(claim for claim in claims if claim not in over)


def kept(
    before: tuple[Claim, ...], new: Iterable[Claim], standing: Iterable[Member], victims: Iterable[Member]
) -> tuple[Claim, ...]:
    """Return the claims to remember: what is in force ``before``, less that on replicas that stay after all."""
    claims = (*before, *new)
    if not claims:
        return claims
    going = {_key(member) for member in victims}
    stay = {_key(member) for member in standing} - going
    return tuple(claim for claim in claims if (claim.cluster, claim.replica) not in stay)


class Claimed:
    """The room of claims that is free already: by node, and by the owner whose quota it counts against.

    What the replica of a claim still holds is not in here: it counts already.
    """

    def __init__(self, fleet: Fleet, world: World, memory: PlanMemory) -> None:
        self._fleet = fleet
        self._on: defaultdict[tuple[str, str], list[tuple[str, Claim]]] = defaultdict(list)
        self._of: defaultdict[str, Use] = defaultdict(Use)
        self._by: dict[str, list[Claim]] = {}
        for deployment, claims in memory.claims.items():
            there = _there(world.shards.get(deployment))
            for claim in claims:
                if (claim.cluster, claim.replica) not in there:
                    self._by.setdefault(deployment, []).append(claim)
                    self._on[claim.cluster, claim.node].append((deployment, claim))
                    self._count(deployment, use_of(claim.resources))

    def on(self, cluster: str, node: str) -> Sequence[tuple[str, Claim]]:
        """Return the claims on one node, each with whose it is."""
        return self._on.get((cluster, node), ())

    def nodes_of(self, deployment: str, cluster: str) -> frozenset[str]:
        """Return the nodes of a cluster on which a deployment has claims."""
        return frozenset(claim.node for claim in self._by.get(deployment, ()) if claim.cluster == cluster)

    def nodes_with_devices(self, cluster: str) -> set[str]:
        """Return the nodes of a cluster where there are claims on devices."""
        return {
            node
            for (where, node), claims in self._on.items()
            if where == cluster and any(one.devices for _, one in claims)
        }

    def of(self, owner: str, *, but: str) -> Use | None:
        """Return what the claims of an owner's deployments come to, those of one left out; ``None``: there are none."""
        total = self._of.get(owner)
        if total is None or self._owner(but) != owner:
            return total
        return total - sum_of([use_of(claim.resources) for claim in self._by.get(but, ())])

    def release(self, deployment: str, cluster: str, node: str) -> bool:
        """Forget one claim of a deployment on a node, and return whether there was one."""
        for claim in self._by.get(deployment, ()):
            if (claim.cluster, claim.node) == (cluster, node):
                self._by[deployment].remove(claim)
                self._on[cluster, node].remove((deployment, claim))
                self._count(deployment, _NOTHING - use_of(claim.resources))
                return True
        return False

    def _count(self, deployment: str, use: Use) -> None:
        owner = self._owner(deployment)
        if owner is not None:
            self._of[owner] += use

    def _owner(self, deployment: str) -> str | None:
        declared = self._fleet.deployments.get(deployment)
        return declared.owner if declared is not None else None


_NOTHING = Use()


def _there(shard: Shard | None) -> set[tuple[str, str]]:
    """Return the replicas that still hold what they have."""
    members = shard.members if shard is not None else ()
    return {_key(member) for member in members if member.replica.phase is not Phase.LOST}


def _key(member: Member) -> tuple[str, str]:
    return member.cluster, member.replica.id
