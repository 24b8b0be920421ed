"""The three numbers side by side: requested, allocated and used, and what owners may hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from roadstead.decide.ledger import Ledger
from roadstead.holdings import Use, use_of
from roadstead.model import Deployment, Fleet, GpuPart, Quota, Resources, WholeGpus
from roadstead.plans import Plan
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Device, Member, Node, Phase, Shard, Snapshot, Unreachable, Usage, World

__all__ = [
    "DeploymentLimits",
    "DeviceLimits",
    "ExcessStatus",
    "FleetLimits",
    "Measure",
    "NodeLimits",
    "OwnerLimits",
    "ReplicaLimits",
    "fleet_limits",
]


@attrs.frozen(kw_only=True)
class Measure:
    """Amounts of what can be limited; ``gpu`` counts thousandths of a device.

    ``None`` is what nobody knows, or where it is about what is asked for or allowed, what nothing is said of.
    """

    cpu: Cpus | None
    memory: Memory | None
    gpu: int | None
    gpu_memory: Memory | None


@attrs.frozen(kw_only=True)
class ReplicaLimits:
    """One replica: what it asks for, what it has on its node, and what it was seen to use.

    Nothing is allocated to one without a node. ``stale``: its cluster does not answer, and this is what it last said.
    """

    id: str
    cluster: str
    node: str | None
    devices: tuple[str, ...]
    phase: str
    stale: bool
    requested: Measure
    allocated: Measure
    observed: Measure


@attrs.frozen(kw_only=True)
class ExcessStatus:
    """What happens to a replica that was seen over a limit for ``after``: ``warn``, ``restart`` or ``evict``."""

    cpu: str
    memory: str
    gpu_memory: str
    after: Duration


@attrs.frozen(kw_only=True)
class DeploymentLimits:
    """The replicas of one deployment; ``on_excess`` is ``None`` for one that the file names no more."""

    name: str
    owner: str
    on_excess: ExcessStatus | None
    replicas: tuple[ReplicaLimits, ...]


@attrs.frozen(kw_only=True)
class DeviceLimits:
    """One GPU: how much of it replicas have, and what of its memory processes hold that are none of ours.

    ``foreign`` counts against it: nobody is given what others use.
    """

    id: str
    model: str
    memory: Memory
    allocated: int
    memory_allocated: Memory
    foreign: Memory


@attrs.frozen(kw_only=True)
class NodeLimits:
    """One machine: what it has, what others than we hold, and the three numbers of the replicas there, added up.

    A replica that stops asks for nothing more and still holds what it has. ``observed`` is of all replicas there that
    run, and ``None`` where one of them is not measured.
    """

    cluster: str
    name: str
    stale: bool
    schedulable: bool
    has: Measure
    foreign: Measure
    requested: Measure
    allocated: Measure
    observed: Measure
    devices: tuple[DeviceLimits, ...]


@attrs.frozen(kw_only=True)
class OwnerLimits:
    """What one owner may hold over all clusters, holds, and has left; ``None`` in ``quota`` is without limit.

    All replicas that were asked for count. ``surge`` are those of them that are more than wanted, ``stopping`` those
    that go, ``unreachable`` those on clusters that do not answer. ``complete``: there is no cluster that never answered
    and on which the owner may hold something; else more may be held, and nothing under the quota grows.
    """

    owner: str
    quota: Measure
    held: Measure
    left: Measure
    replicas: int
    surge: int
    stopping: int
    unreachable: int
    complete: bool


@attrs.frozen(kw_only=True)
class FleetLimits:
    """All replicas, nodes and owners; ``at`` is in milliseconds since the epoch."""

    fleet: str
    at: int
    deployments: tuple[DeploymentLimits, ...]
    nodes: tuple[NodeLimits, ...]
    owners: tuple[OwnerLimits, ...]


def fleet_limits(fleet: Fleet, world: World, plan: Plan, now: int) -> FleetLimits:
    """Return what everything may use, has and uses, as ``plan`` was made from ``fleet`` and ``world`` at ``now``."""
    names = sorted({*fleet.deployments, *(name for name, shard in world.shards.items() if shard.groups)})
    return FleetLimits(
        fleet=fleet.name,
        at=now,
        deployments=tuple(_deployment(fleet, world, name) for name in names),
        nodes=tuple(_nodes(world)),
        owners=tuple(_owners(fleet, world, plan)),
    )


# ---- replicas ----


def _deployment(fleet: Fleet, world: World, name: str) -> DeploymentLimits:
    declared, shard = fleet.deployments.get(name), world.shards.get(name, Shard(deployment=name))
    return DeploymentLimits(
        name=name,
        owner=declared.owner if declared is not None else shard.owner,
        on_excess=_on_excess(declared) if declared is not None else None,
        replicas=tuple(_replica(world, one) for one in shard.members if one.replica.phase is not Phase.LOST),
    )


def _on_excess(declared: Deployment) -> ExcessStatus:
    spec = declared.on_excess
    return ExcessStatus(
        cpu=spec.cpu.value, memory=spec.memory.value, gpu_memory=spec.gpu_memory.value, after=spec.after
    )


def _replica(world: World, member: Member) -> ReplicaLimits:
    replica, resources = member.replica, member.group.template.resources
    return ReplicaLimits(
        id=replica.id,
        cluster=member.cluster,
        node=replica.node,
        devices=replica.devices,
        phase=replica.phase.value,
        stale=not member.reachable,
        requested=_requested(resources),
        allocated=_allocated(world, member),
        observed=_observed(world.usage.get(replica.id) if member.reachable else None),
    )


def _requested(resources: Resources) -> Measure:
    gpu = resources.gpu
    memory = gpu.memory if isinstance(gpu, WholeGpus | GpuPart) and gpu.memory.bytes else None
    if isinstance(gpu, WholeGpus) and memory is not None:
        memory = Memory(memory.bytes * gpu.count)
    use = use_of(resources)
    none = Memory(0) if gpu is None else memory
    return Measure(cpu=resources.cpu, memory=resources.memory, gpu=use.gpu, gpu_memory=none)


def _allocated(world: World, member: Member) -> Measure:
    """Return what it has on its node: whole devices come with all of their memory."""
    replica, resources = member.replica, member.group.template.resources
    if replica.node is None:
        return Measure(cpu=Cpus(0), memory=Memory(0), gpu=0, gpu_memory=Memory(0))
    requested = _requested(resources)
    view = world.clusters[member.cluster]
    node = view.snapshot.by_node.get(replica.node) if view.snapshot is not None else None
    if not isinstance(resources.gpu, WholeGpus) or node is None:
        return requested
    devices = [device for device in node.devices if device.id in replica.devices]
    whole = Memory(sum(device.memory.bytes for device in devices)) if len(devices) == resources.gpu.count else None
    return attrs.evolve(requested, gpu_memory=whole)


def _observed(usage: Usage | None) -> Measure:
    found = usage or Usage()
    return Measure(cpu=found.cpu, memory=found.memory, gpu=None, gpu_memory=found.gpu_memory)


# ---- nodes ----


def _nodes(world: World) -> Iterator[NodeLimits]:
    there: dict[tuple[str, str], list[Member]] = {}
    for shard in world.shards.values():
        for member in shard.members:
            if member.replica.node is not None and member.replica.phase is not Phase.LOST:
                there.setdefault((member.cluster, member.replica.node), []).append(member)
    for cluster, snapshot in sorted(world.snapshots(), key=lambda one: one[0]):
        yield from _nodes_of(world, cluster, snapshot, there)


def _nodes_of(
    world: World, cluster: str, snapshot: Snapshot, there: Mapping[tuple[str, str], list[Member]]
) -> Iterator[NodeLimits]:
    stale = isinstance(world.clusters[cluster], Unreachable)
    for node in sorted(snapshot.nodes, key=lambda one: one.name):
        members = there.get((cluster, node.name), [])
        asking = [member for member in members if member.replica.phase is not Phase.STOPPING]
        running = [member for member in members if member.replica.phase is Phase.RUNNING]
        yield NodeLimits(
            cluster=cluster,
            name=node.name,
            stale=stale,
            schedulable=node.schedulable,
            has=_has(node),
            foreign=_foreign(node),
            requested=_sum(_requested(member.group.template.resources) for member in asking),
            allocated=_sum(_allocated(world, member) for member in members),
            observed=_sum(_observed(None if stale else world.usage.get(one.replica.id)) for one in running),
            devices=tuple(_device(device, members) for device in node.devices),
        )


def _has(node: Node) -> Measure:
    memory = Memory(sum(device.memory.bytes for device in node.devices))
    return Measure(cpu=node.cpu, memory=node.memory, gpu=1000 * len(node.devices), gpu_memory=memory)


def _foreign(node: Node) -> Measure:
    memory = Memory(sum(device.foreign.bytes for device in node.devices))
    return Measure(cpu=node.foreign_cpu, memory=node.foreign_memory, gpu=None, gpu_memory=memory)


def _device(device: Device, members: Iterable[Member]) -> DeviceLimits:
    given, memory = 0, 0
    for member in members:
        gpu = member.group.template.resources.gpu
        if device.id in member.replica.devices and gpu is not None:
            given += gpu.share.milli if isinstance(gpu, GpuPart) else 1000
            memory += gpu.memory.bytes if isinstance(gpu, GpuPart) else device.memory.bytes
    return DeviceLimits(
        id=device.id,
        model=device.model,
        memory=device.memory,
        allocated=given,
        memory_allocated=Memory(memory),
        foreign=device.foreign,
    )


def _sum(measures: Iterable[Measure]) -> Measure:
    """Return all of them together; what is not known of one is not known of all, and of nobody it is nothing."""
    found = tuple(measures)
    cpu = _total(one.cpu.milli if one.cpu is not None else None for one in found)
    memory = _total(one.memory.bytes if one.memory is not None else None for one in found)
    gpu_memory = _total(one.gpu_memory.bytes if one.gpu_memory is not None else None for one in found)
    return Measure(
        cpu=Cpus(cpu) if cpu is not None else None,
        memory=Memory(memory) if memory is not None else None,
        gpu=_total(one.gpu for one in found),
        gpu_memory=Memory(gpu_memory) if gpu_memory is not None else None,
    )


def _total(amounts: Iterable[int | None]) -> int | None:
    total = 0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


# ---- owners ----


def _owners(fleet: Fleet, world: World, plan: Plan) -> Iterator[OwnerLimits]:
    ledger = Ledger(fleet, world, plan.memory)
    by_owner: dict[str, list[Shard]] = {owner: [] for owner in {*fleet.quotas, *fleet.by_owner}}
    for name, shard in world.shards.items():
        declared = fleet.deployments.get(name)
        if shard.groups:
            by_owner.setdefault(declared.owner if declared is not None else shard.owner, []).append(shard)
    for owner, shards in sorted(by_owner.items()):
        members = [one for shard in shards for one in shard.members if one.replica.phase is not Phase.LOST]
        held, quota = ledger.owned(owner), ledger.quota(owner) or Quota()
        yield OwnerLimits(
            owner=owner,
            quota=Measure(cpu=quota.cpu, memory=quota.memory, gpu=quota.gpu, gpu_memory=None),
            held=Measure(cpu=Cpus(held.cpu), memory=Memory(held.memory), gpu=held.gpu, gpu_memory=None),
            left=_left(quota, held),
            replicas=sum(group.counted for shard in shards for _, group in shard.groups),
            surge=sum(_surge(plan, shard) for shard in shards),
            stopping=sum(one.replica.phase is Phase.STOPPING for one in members),
            unreachable=sum(not one.reachable for one in members),
            complete=not ledger.is_unknown(owner),
        )


def _left(quota: Quota, held: Use) -> Measure:
    return Measure(
        cpu=quota.cpu - Cpus(held.cpu) if quota.cpu is not None else None,
        memory=quota.memory - Memory(held.memory) if quota.memory is not None else None,
        gpu=max(0, quota.gpu - held.gpu) if quota.gpu is not None else None,
        gpu_memory=None,
    )


def _surge(plan: Plan, shard: Shard) -> int:
    """Return how many replicas stand, or were asked for, besides those that are wanted."""
    wanted = plan.wanted.get(shard.deployment)
    if wanted is None:
        return 0
    return max(0, sum(group.pledged for _, group in shard.groups) - wanted)
