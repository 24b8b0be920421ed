"""Clusters, nodes and quotas in a status: what each can do, has, and has given away."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.capabilities import Capabilities
from roadstead.decide.ledger import Ledger
from roadstead.decide.report.status import Abilities, ClusterStatus, DeviceStatus, NodeStatus, QuotaStatus
from roadstead.holdings import Use, use_of
from roadstead.memory import PlanMemory
from roadstead.model import Fleet, GpuPart
from roadstead.units import Cpus, Memory
from roadstead.world import Device, Member, Node, Phase, Reachable, Snapshot, Unreachable, World

__all__ = ["clusters_of", "quotas_of"]


def clusters_of(fleet: Fleet, world: World) -> Iterator[ClusterStatus]:
    """Yield every cluster of the fleet, by name."""
    members = list(_holders(world))
    for name, spec in sorted(fleet.clusters.items()):
        view = world.clusters.get(name)
        snapshot = view.snapshot if view is not None else None
        gone = view if isinstance(view, Unreachable) else None
        yield ClusterStatus(
            name=name,
            backend=spec.backend,
            state=spec.state,
            unreachable_since=gone.since if gone else None,
            error=gone.error if gone else "" if isinstance(view, Reachable) else "not observed yet",
            abilities=_abilities(snapshot.capabilities) if snapshot else None,
            nodes=tuple(_nodes(snapshot, [one for one in members if one.cluster == name])) if snapshot else (),
            foreign_owners=tuple(sorted(snapshot.foreign_owners)) if snapshot else (),
        )


def quotas_of(fleet: Fleet, world: World, memory: PlanMemory) -> Iterator[QuotaStatus]:
    """Yield what every owner with a quota holds, over all clusters: as it counts when more is asked for."""
    ledger = Ledger(fleet, world, memory)
    for owner, quota in sorted(fleet.quotas.items()):
        use = ledger.owned(owner)
        yield QuotaStatus(
            owner=owner,
            cpu=Cpus(use.cpu),
            cpu_limit=quota.cpu,
            memory=Memory(use.memory),
            memory_limit=quota.memory,
            gpu=use.gpu,
            gpu_limit=quota.gpu,
        )


def _holders(world: World) -> Iterator[Member]:
    """Yield every replica that holds something."""
    for shard in world.shards.values():
        for member in shard.members:
            if member.replica.phase is not Phase.LOST:
                yield member


def _nodes(snapshot: Snapshot, members: list[Member]) -> Iterator[NodeStatus]:
    there: dict[str, list[Member]] = {}
    for member in members:
        if member.replica.node is not None:
            there.setdefault(member.replica.node, []).append(member)
    for node in sorted(snapshot.nodes, key=lambda one: one.name):
        yield _node(node, there.get(node.name, []))


def _node(node: Node, members: list[Member]) -> NodeStatus:
    given = sum((use_of(member.group.template.resources) for member in members), Use())
    return NodeStatus(
        name=node.name,
        schedulable=node.schedulable,
        replicas=len(members),
        cpu=node.cpu,
        cpu_given=Cpus(given.cpu),
        cpu_foreign=node.foreign_cpu,
        memory=node.memory,
        memory_given=Memory(given.memory),
        memory_foreign=node.foreign_memory,
        devices=tuple(_device(device, members) for device in node.devices),
    )


def _device(device: Device, members: list[Member]) -> DeviceStatus:
    given = 0
    for member in members:
        if device.id in member.replica.devices:
            gpu = member.group.template.resources.gpu
            given += gpu.share.milli if isinstance(gpu, GpuPart) else 1000
    return DeviceStatus(id=device.id, model=device.model, memory=device.memory, given=given, foreign=device.foreign)


def _abilities(capabilities: Capabilities) -> Abilities:
    return Abilities(
        scheduling=tuple(sorted(one.value for one in capabilities.scheduling)),
        gpu=tuple(sorted(one.value for one in capabilities.gpu)),
        cpu_limit=capabilities.cpu_limit.value,
        memory_limit=capabilities.memory_limit.value,
        gpu_limit=capabilities.gpu_limit.value,
        engine=capabilities.engine.value,
        heals_alone=capabilities.heals_alone,
        exact_retire=capabilities.exact_retire,
        version=capabilities.version,
        notes=capabilities.notes,
    )
