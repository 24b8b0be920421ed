"""What room there is for replicas of one template, on one node or many at once, and what stands against more."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

from roadstead.decide.ledger import DeviceRoom, Freed, Ledger
from roadstead.holdings import Placed
from roadstead.model import Gpu, GpuPart, GpuPartition, Template, WholeGpus
from roadstead.world import Device, Node, Snapshot

__all__ = [
    "Demand",
    "Obstacle",
    "ObstacleKind",
    "demand",
    "devices_for",
    "gpu_room",
    "gpu_text",
    "is_directed",
    "is_wanted",
    "node_room",
    "obstacles",
    "spread_room",
]

_WITHOUT_LIMIT = 2**63
_NOBODY: Mapping[str, int] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Demand:
    """What is to be placed: replicas of one template of one deployment on one cluster.

    ``siblings`` counts the deployment's replicas on each node there, over all revisions; ``crowd`` the same for each
    value of the attribute that the template spreads by. ``ahead`` replicas of the deployment wait for a node there and
    come first. ``own`` tells what the deployment holds there already, for whoever must know. Made by :func:`demand`.
    """

    cluster: str
    deployment: str
    template: Template
    siblings: Mapping[str, int]
    crowd: Mapping[str, int]
    ahead: int = 0
    own: Callable[[], tuple[Placed, ...]] = attrs.field(default=tuple, eq=False)

    def domain(self, node: Node) -> str:
        """Return the value of the spread attribute on ``node``; every node is in one domain where nothing is spread."""
        spread = self.template.placement.spread
        if spread is None:
            return ""
        return node.name if spread.by == "hostname" else node.attributes.get(spread.by, "")


@enum.unique
class ObstacleKind(enum.Enum):
    """What can stand against a replica on a node.

    The first three are of the node itself, the others pass when it empties.
    """

    UNSCHEDULABLE = "not schedulable"
    CONSTRAINT = "constraint"
    GPU_KIND = "no such GPU"
    SPREAD = "spread"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    GPU = "gpu"


@attrs.frozen(kw_only=True)
class Obstacle:
    """One thing that stands against one replica on one node.

    ``asked``, ``free`` and ``whole`` are what the template asks for, what is free and what the node has in all, in the
    units of :class:`roadstead.holdings.Use`; 0 where the kind has no amounts. ``subject`` names the constraint or the
    device wanted.
    """

    kind: ObstacleKind
    subject: str = ""
    asked: int = 0
    free: int = 0
    whole: int = 0


def demand(  # noqa: PLR0913  # the place, who asks, and for what
    cluster: str,
    snapshot: Snapshot,
    deployment: str,
    template: Template,
    siblings: Mapping[str, int],
    *,
    ahead: int = 0,
    own: Callable[[], tuple[Placed, ...]] = tuple,
) -> Demand:
    """Return the demand for replicas of ``template``; the rest is as in :class:`Demand`."""
    made = Demand(
        cluster=cluster,
        deployment=deployment,
        template=template,
        siblings=siblings,
        crowd=_NOBODY,
        ahead=ahead,
        own=own,
    )
    if template.placement.spread is None:
        return made
    crowd: Counter[str] = Counter()
    for name, count in siblings.items():
        node = snapshot.by_node.get(name)
        if node is not None:
            crowd[made.domain(node)] += count
    return attrs.evolve(made, crowd=crowd)


def is_directed(snapshot: Snapshot) -> bool:
    """Return whether our placement picks the nodes there."""
    return snapshot.capabilities.is_directed


def obstacles(node: Node, ledger: Ledger, demand: Demand, freed: Freed | None = None) -> tuple[Obstacle, ...]:
    """Return all that stands against one more replica on ``node``; empty where it fits."""
    return tuple(_obstacles(node, ledger, demand, freed))


def _obstacles(node: Node, ledger: Ledger, demand: Demand, freed: Freed | None) -> Iterator[Obstacle]:
    if not node.schedulable:
        yield Obstacle(kind=ObstacleKind.UNSCHEDULABLE)
    placement = demand.template.placement
    for constraint in placement.constraints:
        if not constraint.holds(node.attributes):
            yield Obstacle(kind=ObstacleKind.CONSTRAINT, subject=constraint.attribute)
    if placement.spread is not None and spread_room(node, demand, freed) <= 0:
        yield Obstacle(kind=ObstacleKind.SPREAD, subject=placement.spread.by)
    resources = demand.template.resources
    free = ledger.free(demand.cluster, node, demand.deployment, freed)
    for kind, asked, left, whole in (
        (ObstacleKind.CPU, resources.cpu.milli, free.cpu, node.cpu.milli),
        (ObstacleKind.MEMORY, resources.memory.bytes, free.memory, node.memory.bytes),
        (ObstacleKind.DISK, resources.disk.bytes, free.disk, node.disk.bytes),
    ):
        if asked > left:
            yield Obstacle(kind=kind, asked=asked, free=left, whole=whole)
    if resources.gpu is not None and devices_for(node, ledger, demand, freed) is None:
        possible = any(is_wanted(device, resources.gpu) for device in node.devices)
        kind = ObstacleKind.GPU if possible else ObstacleKind.GPU_KIND
        yield Obstacle(kind=kind, subject=gpu_text(resources.gpu))


# ---- devices ----


def devices_for(node: Node, ledger: Ledger, demand: Demand, freed: Freed | None = None) -> tuple[str, ...] | None:
    """Return the ids of the devices that a replica would get on ``node``, or ``None`` where there are not enough.

    Whole devices are taken in the node's order. A share goes to the device where the least would be left, so that whole
    devices stay whole (best fit).
    """
    gpu = demand.template.resources.gpu
    if gpu is None:
        return ()
    rooms = [
        (device, ledger.device_room(demand.cluster, node, device, demand.deployment, freed))
        for device in node.devices
        if is_wanted(device, gpu)
    ]
    match gpu:
        case WholeGpus(count=count, memory=memory):
            whole = [device.id for device, room in rooms if room.milli == 1000 and room.memory >= memory.bytes]
            return tuple(whole[:count]) if len(whole) >= count else None
        case GpuPart(share=share, memory=memory):
            able = [(room.milli, device.id) for device, room in rooms if _has_share(room, share.milli, memory.bytes)]
            return (min(able)[1],) if able else None
        case GpuPartition(profile=profile):
            return next(((device.id,) for device, room in rooms if profile in room.partitions), None)


def is_wanted(device: Device, gpu: Gpu) -> bool:
    """Return whether a device is of the kind that is asked for, whoever uses it.

    One that is cut into partitions is given away in those alone.
    """
    if isinstance(gpu, GpuPartition):
        return gpu.profile in device.partitions
    return not device.partitions and (not gpu.models or device.model in gpu.models) and device.memory >= gpu.memory


def _has_share(room: DeviceRoom, milli: int, memory: int) -> bool:
    return room.milli >= milli and room.memory >= memory


def gpu_text(gpu: Gpu) -> str:
    """Return what is asked for of GPUs, in words."""
    match gpu:
        case WholeGpus(count=count, models=models):
            return f"{count} GPU{'s' if count > 1 else ''}" + (f" of {' or '.join(models)}" if models else "")
        case GpuPart(share=share, models=models):
            return f"{share} of a GPU" + (f" of {' or '.join(models)}" if models else "")
        case GpuPartition(profile=profile):
            return f"a partition {profile}"


# ---- how many ----


def node_room(node: Node, ledger: Ledger, demand: Demand, freed: Freed | None) -> int:
    """Return for how many replicas a node has the resources."""
    resources = demand.template.resources
    free = ledger.free(demand.cluster, node, demand.deployment, freed)
    pairs = ((free.cpu, resources.cpu.milli), (free.memory, resources.memory.bytes), (free.disk, resources.disk.bytes))
    rooms = [left // asked for left, asked in pairs if asked]
    if resources.gpu is not None:
        rooms.append(_gpu_room(node, ledger, demand, resources.gpu, freed))
    return min(rooms, default=1)


def _gpu_room(node: Node, ledger: Ledger, demand: Demand, gpu: Gpu, freed: Freed | None) -> int:
    rooms = [
        ledger.device_room(demand.cluster, node, device, demand.deployment, freed)
        for device in node.devices
        if is_wanted(device, gpu)
    ]
    return gpu_room(rooms, gpu)


def gpu_room(rooms: Sequence[DeviceRoom], gpu: Gpu) -> int:
    """Return for how many replicas there is room on devices that are such as is wanted, with so much room each."""
    match gpu:
        case WholeGpus(count=count, memory=memory):
            return sum(room.milli == 1000 and room.memory >= memory.bytes for room in rooms) // count
        case GpuPart(share=share, memory=memory):
            return sum(
                min(
                    room.milli // share.milli,
                    room.memory // memory.bytes if memory.bytes else room.milli // share.milli,
                )
                for room in rooms
            )
        case GpuPartition(profile=profile):
            return sum(room.partitions.count(profile) for room in rooms)


def spread_room(node: Node, demand: Demand, freed: Freed | None) -> int:
    """Return how many more replicas the spread's hard cap allows in this node's domain."""
    spread = demand.template.placement.spread
    if spread is None or spread.max_per is None:
        return _WITHOUT_LIMIT
    domain = demand.domain(node)
    leaves = freed is not None and freed.cluster == demand.cluster and freed.node == node.name
    return spread.max_per - demand.crowd.get(domain, 0) + (1 if leaves else 0)
