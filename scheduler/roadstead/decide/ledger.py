"""What is still free while one plan is being made: on nodes, on devices, and in owners' quotas.

The ledger starts from the world's running sums and remembers what the plan at hand has already given away, so that two
deployments planned in one turn cannot both be promised the same room. It lives as long as one call of ``plan``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol, TypeVar

import attrs

from roadstead.decide.claims import Claimed
from roadstead.holdings import DeviceUse, Holdings, Use, device_use, more, sum_of, use_of
from roadstead.memory import PlanMemory, cluster_of, place
from roadstead.model import ClusterState, Fleet, Quota, Resources
from roadstead.world import Device, Node, Unreachable, World

__all__ = ["DeviceRoom", "Follower", "Freed", "Ledger", "quota_limits"]

_NO_USE = Use()
_NO_DEVICE_USE = DeviceUse()
_WITHOUT_LIMIT = 2**63


@attrs.frozen
class DeviceRoom:
    """What is free on one device: thousandths, bytes, and partitions by profile."""

    milli: int
    memory: int
    partitions: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Freed:
    """A replica that would be gone: what it holds counts as free, for a question that begins with "if"."""

    cluster: str
    node: str
    devices: tuple[str, ...]
    resources: Resources


class Follower(Protocol):
    """Something made from a ledger, about one cluster, that follows what it gives away."""

    def follow(self, node: str) -> None:
        """Follow: what is free on this node is another amount now."""


F = TypeVar("F", bound=Follower)


class Ledger:
    """The room left, as of the steps planned so far."""

    def __init__(self, fleet: Fleet, world: World, memory: PlanMemory) -> None:
        self._fleet = fleet
        self._world = world
        self._nodes: dict[tuple[str, str], Use] = {}
        self._devices: dict[tuple[str, str, str], DeviceUse] = {}
        self._grown: dict[str, Use] = defaultdict(Use)
        self._owned: dict[str, Use] = {}
        self._asked_unseen = tuple(_asked_of_silent(fleet, world, memory))
        self._followers: dict[tuple[str, type[Follower]], Follower] = {}
        self.unseen = _unseen(fleet, world)
        self._unknown_owners = frozenset(_owners_on(self.unseen, fleet, memory) if self.unseen else ())
        self._claimed = Claimed(fleet, world, memory)

    def follower(self, cluster: str, kind: type[F], make: Callable[[], F]) -> F:
        """Return the follower of this kind for a cluster, made where there is none yet; it lives as long as this."""
        found = self._followers.get((cluster, kind))
        if not isinstance(found, kind):
            found = self._followers[cluster, kind] = make()
        return found

    # ---- nodes and devices ----

    def free(self, cluster: str, node: Node, deployment: str, freed: Freed | None = None) -> Use:
        """Return what ``deployment`` may still use of ``node``; ``""`` is one without claims.

        Never below zero. Its own claims are free to it, others' are not.
        """
        held = self.held(cluster, node.name)
        for claimant, claim in self._claimed.on(cluster, node.name):
            if claimant != deployment:
                held += use_of(claim.resources)
        if freed is not None and (freed.cluster, freed.node) == (cluster, node.name):
            held -= use_of(freed.resources)
        return Use(
            cpu=max(0, node.cpu.milli - node.foreign_cpu.milli - held.cpu),
            memory=max(0, node.memory.bytes - node.foreign_memory.bytes - held.memory),
            disk=max(0, node.disk.bytes - held.disk),
        )

    def device_room(
        self, cluster: str, node: Node, device: Device, deployment: str, freed: Freed | None = None
    ) -> DeviceRoom:
        """Return what ``deployment`` may still use of one device of ``node``; as in :meth:`free`."""
        held = self.device_held(cluster, node.name, device.id)
        for claimant, claim in self._claimed.on(cluster, node.name):
            if claimant != deployment and device.id in claim.devices:
                held = more(held, device_use(claim.resources))
        partitions = list(device.partitions)
        for profile in held.partitions:
            if profile in partitions:
                partitions.remove(profile)
        milli, memory = 1000 - held.milli, device.memory.bytes - device.foreign.bytes - held.memory
        if freed is not None and (freed.cluster, freed.node) == (cluster, node.name) and device.id in freed.devices:
            back = device_use(freed.resources)
            milli, memory = milli + back.milli, memory + back.memory
            partitions.extend(back.partitions)
        return DeviceRoom(milli=max(0, milli), memory=max(0, memory), partitions=tuple(partitions))

    def held(self, cluster: str, node: str) -> Use:
        """Return what replicas hold of a node, claims aside."""
        held, given = self._holdings(cluster).nodes.get(node, _NO_USE), self._nodes.get((cluster, node))
        return held if given is None else held + given

    def device_held(self, cluster: str, node: str, device: str) -> DeviceUse:
        """Return what replicas hold of a device, claims aside."""
        return more(
            self._holdings(cluster).devices.get((node, device), _NO_DEVICE_USE),
            self._devices.get((cluster, node, device), _NO_DEVICE_USE),
        )

    def nodes_with_devices_in_use(self, cluster: str) -> frozenset[str]:
        """Return the nodes of which replicas hold devices, or claims are on some."""
        held = {node for node, _ in self._holdings(cluster).devices}
        given = {node for where, node, _ in self._devices if where == cluster}
        return frozenset(held | given | self._claimed.nodes_with_devices(cluster))

    def claimed_by(self, deployment: str, cluster: str) -> frozenset[str]:
        """Return the nodes on which a deployment has claims."""
        return self._claimed.nodes_of(deployment, cluster)

    def place(self, cluster: str, node: str, devices: tuple[str, ...], resources: Resources) -> None:
        """Write down that a replica goes there."""
        self._nodes[cluster, node] = self._nodes.get((cluster, node), _NO_USE) + use_of(resources)
        for device in devices:
            held = self._devices.get((cluster, node, device), _NO_DEVICE_USE)
            self._devices[cluster, node, device] = more(held, device_use(resources))
        self._tell(cluster, node)

    def release_claim(self, deployment: str, cluster: str, node: str) -> None:
        """Forget one claim of ``deployment`` there: what it was kept for has come."""
        if self._claimed.release(deployment, cluster, node):
            self._tell(cluster, node)

    def _tell(self, cluster: str, node: str) -> None:
        for (where, _), follower in self._followers.items():
            if where == cluster:
                follower.follow(node)

    def _holdings(self, cluster: str) -> Holdings:
        return self._world.holdings.get(cluster, _NO_HOLDINGS)

    # ---- quotas ----

    def quota(self, owner: str) -> Quota | None:
        """Return the owner's quota, or ``None`` where there is none, or one that limits nothing."""
        return self._fleet.limits.get(owner)

    def owned(self, owner: str) -> Use:
        """Return what the owner holds over all clusters, growth planned so far included."""
        if owner not in self._owned:
            self._owned[owner] = self._held_by(owner)
        grown = self._grown.get(owner)
        return self._owned[owner] if grown is None else self._owned[owner] + grown

    def is_unknown(self, owner: str) -> bool:
        """Return whether the owner may hold something on a cluster that never answered: nothing grows."""
        return owner in self._unknown_owners

    def quota_room(self, owner: str, resources: Resources, deployment: str) -> int:
        """Return how many more replicas with these resources the owner's quota allows ``deployment``."""
        quota = self.quota(owner)
        if quota is None:
            return _WITHOUT_LIMIT
        if owner in self._unknown_owners:
            return 0
        held = self.owned(owner)
        claimed = self._claimed.of(owner, but=deployment)
        if claimed is not None:
            held += claimed
        each = use_of(resources)
        limits = quota_limits(quota, held, each)
        rooms = [max(0, limit - used) // one for _, limit, used, one in limits if limit is not None and one > 0]
        return min(rooms, default=_WITHOUT_LIMIT)

    def quota_allows_swap(self, owner: str, old: Resources, new: Resources) -> bool:
        """Return whether a replica may replace one that goes first.

        Nothing grows, or what grows stays within the quota.
        """
        quota = self.quota(owner)
        if quota is None:
            return True
        before, difference = self.owned(owner), use_of(new) - use_of(old)
        return all(
            grown <= 0 or limit is None or (used + grown <= limit and not self.is_unknown(owner))
            for _, limit, used, grown in quota_limits(quota, before, difference)
        )

    def grow(self, owner: str, resources: Resources, count: int) -> None:
        """Write down that the owner gets ``count`` more replicas."""
        self._grown[owner] += use_of(resources) * count

    def _held_by(self, owner: str) -> Use:
        """Sum over the owner's deployments, whoever their groups name, and over what nobody declares any more."""
        shards = self._world.shards
        names = self._fleet.by_owner.get(owner, ())
        held = [shard.held for name in names if (shard := shards.get(name)) is not None]
        held += self._held_by_others.get(owner, ())
        return sum_of(held)

    @cached_property
    def _held_by_others(self) -> Mapping[str, Sequence[Use]]:
        """What else counts for each owner than shards of what is declared: of what nobody declares, or nobody sees."""
        found: defaultdict[str, list[Use]] = defaultdict(list)
        shards = self._world.shards
        for name in shards.keys() - self._fleet.deployments.keys():
            found[shards[name].owner].append(shards[name].held)
        for owner, use in self._asked_unseen:
            found[owner].append(use)
        return found


def _asked_of_silent(fleet: Fleet, world: World, memory: PlanMemory) -> Iterator[tuple[str, Use]]:
    """Yield by owner what clusters that do not answer were asked for after they were last seen, and may hold."""
    silent = {name for name, view in world.clusters.items() if isinstance(view, Unreachable)}
    for name, known in memory.deployments.items() if silent else ():
        declared, shard = fleet.deployments.get(name), world.shards.get(name)
        holder = declared or shard
        if not known.asked or holder is None:
            continue
        groups = shard.groups if shard is not None else ()
        counted = {place(cluster, group.key): group.pledged for cluster, group in groups}
        for key, asked in known.asked.items():
            more = asked.count - counted.get(key, 0)
            if cluster_of(key) in silent and more > 0:
                yield holder.owner, asked.each * more


def quota_limits(quota: Quota, held: Use, each: Use) -> tuple[tuple[str, int | None, int, int], ...]:
    """Return, for each thing that a quota limits: its name, the limit, what is held, and what would come on top."""
    return (
        ("cpu", None if quota.cpu is None else quota.cpu.milli, held.cpu, each.cpu),
        ("memory", None if quota.memory is None else quota.memory.bytes, held.memory, each.memory),
        ("gpu", quota.gpu, held.gpu, each.gpu),
    )


def _owners_on(clusters: frozenset[str], fleet: Fleet, memory: PlanMemory) -> Iterator[str]:
    """Yield the owners of which something may be on ``clusters``: it is to run there, or it did."""
    for name, declared in fleet.deployments.items():
        known = memory.deployments.get(name)
        places = {target.cluster for target in declared.targets}
        places |= {cluster_of(key) for key in known.groups} if known is not None else set()
        if places & clusters:
            yield declared.owner


def _unseen(fleet: Fleet, world: World) -> frozenset[str]:
    """Return the clusters in use that never answered since the daemon started."""
    return frozenset(
        name
        for name, spec in fleet.clusters.items()
        if spec.state is not ClusterState.DISABLED
        and ((view := world.clusters.get(name)) is None or view.snapshot is None)
    )


_NO_HOLDINGS = Holdings()
