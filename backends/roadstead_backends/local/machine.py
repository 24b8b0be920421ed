"""What this machine has to give: processors and memory, less what is kept back and what others hold."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

import attrs

__all__ = ["Machine", "foreign_memory", "grantable_memory", "read_machine"]

_RESERVE_FRACTION = 10
_LEAST_RESERVE = 512 << 20
_GRAIN = 256 << 20


@attrs.frozen(kw_only=True)
class Machine:
    """This machine's size and use: ``cpus`` are the processors that we may run on, memory is in bytes."""

    name: str
    architecture: str
    kernel: str
    cpus: tuple[int, ...]
    memory_total: int
    memory_available: int


def read_machine(proc: Path = Path("/proc")) -> Machine:
    """Return what the kernel says now."""
    amounts = {}
    for line in (proc / "meminfo").read_text().splitlines():
        name, _, amount = line.partition(":")
        amounts[name] = int(amount.split()[0]) * 1024
    return Machine(
        name=platform.node(),
        architecture=platform.machine(),
        kernel=platform.release(),
        cpus=tuple(sorted(os.sched_getaffinity(0))),
        memory_total=amounts["MemTotal"],
        memory_available=amounts["MemAvailable"],
    )


def grantable_memory(total: int) -> int:
    """Return how much of the machine's memory replicas get when nobody says: all but a tenth, at least 512 MiB.

    Processors have no such reserve: a busy machine slows everybody down a little, an exhausted one kills.

    >>> grantable_memory(20 << 30) >> 20, grantable_memory(2 << 30) >> 20
    (18432, 1536)
    """
    return max(0, total - max(_LEAST_RESERVE, total // _RESERVE_FRACTION))


def foreign_memory(machine: Machine, granted: int, ours: int) -> int:
    """Return how many of the ``granted`` bytes others hold: what they use beyond that which is not granted anyway.

    Rounded up to 256 MiB, so that the answer does not change with every page.

    >>> small = Machine(name="", architecture="", kernel="", cpus=(), memory_total=8 << 30, memory_available=3 << 30)
    >>> foreign_memory(small, granted=6 << 30, ours=1 << 30) >> 30
    2
    """
    others = machine.memory_total - machine.memory_available - ours
    beyond = others - (machine.memory_total - granted)
    return min(granted, max(0, math.ceil(beyond / _GRAIN) * _GRAIN))
