"""Whether one more replica fits on this machine, beside those that are bound. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from roadstead.model import Gpu, GpuPart, GpuPartition, Resources, WholeGpus
from roadstead.world import Device, Node

__all__ = ["Bound", "lacks"]

_WHOLE = 1000


@attrs.frozen
class Bound:
    """What a bound replica holds: its resources, and the ids of its devices."""

    resources: Resources
    devices: tuple[str, ...]


def lacks(node: Node, bound: Iterable[Bound], wanted: Bound) -> str | None:
    """Return what is missing for ``wanted``, with the numbers, or ``None`` when it fits.

    Foreign use counts here as it does for the planner: what others hold is not ours to give.
    """
    held = tuple(bound)
    cpu = node.cpu.milli - node.foreign_cpu.milli - sum(one.resources.cpu.milli for one in held)
    if wanted.resources.cpu.milli > cpu:
        return f"cpu: {wanted.resources.cpu.milli}m wanted, {max(0, cpu)}m free of {node.cpu}"
    memory = node.memory.bytes - node.foreign_memory.bytes - sum(one.resources.memory.bytes for one in held)
    if wanted.resources.memory.bytes > memory:
        return f"memory: {wanted.resources.memory} wanted, {max(0, memory)} bytes free of {node.memory}"
    known = {device.id: device for device in node.devices}
    for name in wanted.devices:
        if name not in known:
            return f"device {name}: not on this machine"
        missing = _lacks_device(known[name], held, wanted.resources.gpu)
        if missing is not None:
            return missing
    return None


def _lacks_device(device: Device, held: tuple[Bound, ...], wanted: Gpu | None) -> str | None:
    others = [one.resources.gpu for one in held if device.id in one.devices]
    milli = _WHOLE - sum(_milli(gpu) for gpu in others)
    memory = device.memory.bytes - device.foreign.bytes - sum(_memory(gpu, device) for gpu in others)
    if _milli(wanted) > milli:
        return f"device {device.id}: {_milli(wanted)}m wanted, {milli}m free"
    asked = wanted.memory.bytes if isinstance(wanted, (WholeGpus, GpuPart)) else 0
    if asked > memory:
        return f"device {device.id}: {asked} bytes wanted, {max(0, memory)} bytes free"
    return None


def _milli(gpu: Gpu | None) -> int:
    if isinstance(gpu, GpuPart):
        return gpu.share.milli
    return 0 if gpu is None or isinstance(gpu, GpuPartition) else _WHOLE


def _memory(gpu: Gpu | None, device: Device) -> int:
    if isinstance(gpu, WholeGpus):
        return device.memory.bytes
    return gpu.memory.bytes if isinstance(gpu, GpuPart) else 0
