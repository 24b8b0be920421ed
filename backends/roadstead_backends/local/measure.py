"""What replicas use: observed, and unknown (``None``) rather than 0 where it cannot be seen."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import attrs

from roadstead.shim.cgroup import ReplicaCgroup, cpu_seconds, memory_bytes
from roadstead.shim.tree import Tree, resident_bytes
from roadstead.units import Cpus, Memory
from roadstead.world import Usage
from roadstead_backends.local.devices import DeviceProvider, GpuDevice

__all__ = ["Measurable", "Meter", "rate"]

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@attrs.frozen(kw_only=True)
class Measurable:
    """One replica's processes: by control group where there is one, else by its mark; and its devices."""

    group: ReplicaCgroup | None
    tree: Tree
    devices: tuple[str, ...] = ()


@attrs.frozen
class _Sample:
    at: float
    cpu_seconds: float


class Meter:
    """Measures replicas, and remembers the last measurement: the use of a processor is a difference of two."""

    def __init__(self, devices: DeviceProvider) -> None:
        self._devices = devices
        self._last: dict[str, _Sample] = {}

    def measure(self, replicas: Mapping[str, Measurable]) -> Mapping[str, Usage]:
        """Return what each replica uses now; the processor over the time since the last call, unknown at the first."""
        devices = self._devices.devices() if any(one.devices for one in replicas.values()) else ()
        self._last = {name: sample for name, sample in self._last.items() if name in replicas}
        return {name: self._measure(name, one, devices) for name, one in replicas.items()}

    def _measure(self, name: str, one: Measurable, devices: tuple[GpuDevice, ...]) -> Usage:
        used = cpu_seconds(one.group) if one.group is not None else None
        now = _Sample(time.monotonic(), _cpu_of(one.tree) if used is None else used)
        before, self._last[name] = self._last.get(name), now
        memory = memory_bytes(one.group) if one.group is not None else None
        return Usage(
            cpu=None if before is None else rate(before.cpu_seconds, now.cpu_seconds, now.at - before.at),
            memory=Memory(resident_bytes(one.tree) if memory is None else memory),
            gpu_memory=_gpu_memory(one, devices),
        )


def rate(before: float, after: float, elapsed: float) -> Cpus | None:
    """Return processor seconds per second, or ``None`` when the counter was reset or no time has passed.

    >>> rate(10.0, 10.5, 1.0), rate(10.0, 3.0, 1.0)
    (Cpus(milli=500), None)
    """
    if elapsed <= 0 or after < before:
        return None
    return Cpus(round(1000 * (after - before) / elapsed))


def _cpu_of(tree: Tree) -> float:
    """Return the processor seconds of the processes that live now, from ``/proc/PID/stat`` (utime and stime)."""
    ticks = 0
    for pid in tree.members():
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        fields = text[text.rindex(")") + 2 :].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_SECOND


def _gpu_memory(one: Measurable, devices: tuple[GpuDevice, ...]) -> Memory | None:
    """Return the memory that a replica's processes hold on its devices; unknown where the driver does not tell."""
    if not one.devices:
        return None
    members = set(one.tree.members())
    held = [
        memory
        for device in devices
        if device.id in one.devices
        for pid, memory in device.processes.items()
        if pid in members
    ]
    if not held or None in held:
        return None
    return Memory(sum(memory for memory in held if memory is not None))
