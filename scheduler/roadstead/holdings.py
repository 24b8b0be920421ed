"""What replicas hold on nodes and devices, kept as running sums so that one changed replica costs one addition.

A :class:`Use` is what one replica holds; :class:`Holdings` are the sums for every node and device of one cluster.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.mappings import with_changes
from roadstead.model import GpuPart, GpuPartition, Resources, WholeGpus

__all__ = [
    "DeviceUse",
    "Holdings",
    "Limited",
    "Placed",
    "Use",
    "device_use",
    "is_nearly_all",
    "limit_of",
    "more",
    "sum_of",
    "use_of",
]

MILLI = 1000


@attrs.frozen
class Use:
    """Amounts as plain integers, for sums.

    CPU in milli-cores, memory and disk in bytes, GPU in thousandths of a device.
    """

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    gpu: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(self.cpu + other.cpu, self.memory + other.memory, self.disk + other.disk, self.gpu + other.gpu)

    def __sub__(self, other: Use) -> Use:
        return Use(self.cpu - other.cpu, self.memory - other.memory, self.disk - other.disk, self.gpu - other.gpu)

    def __mul__(self, count: int) -> Use:
        return Use(self.cpu * count, self.memory * count, self.disk * count, self.gpu * count)


@attrs.frozen
class DeviceUse:
    """What is held of one device: thousandths of it, bytes of its memory, and the partitions given away."""

    milli: int = 0
    memory: int = 0
    partitions: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Placed:
    """One replica on its node with its devices."""

    node: str
    devices: tuple[str, ...]
    resources: Resources


def sum_of(uses: Iterable[Use]) -> Use:
    """Return all of them together, in one go where there are many."""
    cpu = memory = disk = gpu = 0
    for use in uses:
        cpu += use.cpu
        memory += use.memory
        disk += use.disk
        gpu += use.gpu
    return Use(cpu, memory, disk, gpu)


def use_of(resources: Resources) -> Use:
    """Return what one replica with these resources holds.

    A partition counts as a whole device for quotas: its true size is the vendor's and not ours to guess.
    """
    return Use(resources.cpu.milli, resources.memory.bytes, resources.disk.bytes, _gpu_milli(resources))


def _gpu_milli(resources: Resources) -> int:
    match resources.gpu:
        case None:
            return 0
        case WholeGpus(count=count):
            return count * MILLI
        case GpuPart(share=share):
            return share.milli
        case GpuPartition():
            return MILLI


def device_use(resources: Resources) -> DeviceUse:
    """Return what a replica with these resources holds of each of its devices."""
    match resources.gpu:
        case WholeGpus(memory=memory):
            return DeviceUse(MILLI, memory.bytes)
        case GpuPart(share=share, memory=memory):
            return DeviceUse(share.milli, memory.bytes)
        case GpuPartition(profile=profile):
            return DeviceUse(0, 0, (profile,))
        case None:
            return DeviceUse()


@enum.unique
class Limited(enum.Enum):
    """What a replica has a limit of; the value is what people read."""

    CPU = "cpu"
    MEMORY = "memory"
    GPU_MEMORY = "gpu memory"


def limit_of(resources: Resources, what: Limited) -> int | None:
    """Return how much of it one replica may use, in thousandths of a core or bytes; ``None`` is without limit.

    Whoever has whole devices, or a partition, has all of their memory, which the hardware sees to. Whoever asked for
    none may use none.
    """
    if what is Limited.CPU:
        return resources.cpu.milli
    if what is Limited.MEMORY:
        return resources.memory.bytes
    if resources.gpu is None:
        return 0
    return resources.gpu.memory.bytes or None if isinstance(resources.gpu, GpuPart) else None


def is_nearly_all(milli: int, limit: int) -> bool:
    """Return whether so much CPU is all that a limit lets through, or more: measuring is a few per cent wrong.

    >>> is_nearly_all(379, 400), is_nearly_all(380, 400)
    (False, True)
    """
    return milli > 0 and milli * 20 >= limit * 19


@attrs.frozen
class Holdings:
    """Sums by node name, and by (node, device id)."""

    nodes: Mapping[str, Use] = MappingProxyType({})
    devices: Mapping[tuple[str, str], DeviceUse] = MappingProxyType({})

    def moved(self, gone: Iterable[Placed], come: Iterable[Placed]) -> Holdings:
        """Return the sums without ``gone`` and with ``come``."""
        nodes: dict[str, Use] = {}
        devices: dict[tuple[str, str], DeviceUse] = {}
        for placed in gone:
            node, use = placed.node, use_of(placed.resources)
            nodes[node] = (nodes.get(node) or self.nodes[node]) - use
            for device in placed.devices:
                held = devices.get((node, device)) or self.devices[node, device]
                devices[node, device] = _less(held, device_use(placed.resources))
        for placed in come:
            node, use = placed.node, use_of(placed.resources)
            nodes[node] = (nodes.get(node) or self.nodes.get(node, Use())) + use
            for device in placed.devices:
                so_far = devices.get((node, device)) or self.devices.get((node, device), DeviceUse())
                devices[node, device] = more(so_far, device_use(placed.resources))
        return Holdings(with_changes(self.nodes, nodes), with_changes(self.devices, devices))


def more(held: DeviceUse, use: DeviceUse) -> DeviceUse:
    """Return ``held`` with ``use`` on top."""
    return DeviceUse(held.milli + use.milli, held.memory + use.memory, tuple(sorted(held.partitions + use.partitions)))


def _less(held: DeviceUse, use: DeviceUse) -> DeviceUse:
    left = list(held.partitions)
    for partition in use.partitions:
        left.remove(partition)
    return DeviceUse(held.milli - use.milli, held.memory - use.memory, tuple(left))
