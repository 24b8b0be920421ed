"""Limits of real tasks: a control group each, as a Mesos agent isolates with ``cgroups/cpu`` (CFS) and ``cgroups/mem``.

They are made below the one that the emulator itself is in, so that nothing leaves what it was given, and by what holds
the servers of the local backend, too (`roadstead.shim.cgroup`, `roadstead.shim.cgroup_place`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from roadstead.shim.cgroup import ReplicaCgroup, kill_everything, oom_kills, peak_memory_bytes, remove
from roadstead.shim.cgroup_place import CgroupError, find_place, make_group, remove_place, replica_group
from roadstead_backends.marathon.emulator.cluster.agents import Resources

__all__ = ["EXECUTOR", "Isolation", "IsolationError", "TaskGroup"]

EXECUTOR: Final = Resources(cpus=0.1, mem=32.0)
"""What Mesos adds to each command for the executor that runs it."""
_LEAST_MEMORY: Final = 32 << 20
_UNITS: Final = (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10))


class IsolationError(Exception):
    """No control groups can be made here; the text says why."""


class TaskGroup:
    """The control group of one task, with its limits set."""

    def __init__(self, group: ReplicaCgroup, memory: int | None) -> None:
        self._group = group
        self._memory = memory

    @property
    def entrances(self) -> tuple[str, ...]:
        """The files that a process writes its id to, to be in the group."""
        return tuple(f"{folder}/cgroup.procs" for folder in self._group.folders)

    def out_of_memory(self) -> str | None:
        """Return what Mesos says when the kernel has ended a process of the group for want of memory."""
        if not oom_kills(self._group):
            return None
        asked = f"Requested: {_bytes(self._memory)} " if self._memory is not None else ""
        peak = peak_memory_bytes(self._group)
        used = f"Maximum Used: {_bytes(peak)}\n" if peak is not None else ""
        statistics = Path(f"{self._group.memory}/memory.stat").read_text()
        return f"Memory limit exceeded: {asked}{used}\nMEMORY STATISTICS: \n{statistics}\n"

    def clear(self) -> bool:
        """End what is left in the group and remove it; say whether it is gone, which takes a moment after a kill."""
        kill_everything(self._group)
        return remove(self._group)


class Isolation:
    """Where the groups of an emulator's tasks are, in a folder of that name. Close it when nothing runs any more."""

    def __init__(self, name: str) -> None:
        self._place = find_place(name)
        if self._place.cpu is None or self._place.memory is None:
            remove_place(self._place)
            raise IsolationError(f"no control groups can be made: {'; '.join(self._place.notes)}; run without limits")

    def group(self, task_id: str, resources: Resources, limits: dict[str, object]) -> TaskGroup:
        """Make the group of a task; ``limits`` may allow it more than its resources, or ``unlimited``."""
        cpus = _limit(limits.get("cpus"), resources.cpus, EXECUTOR.cpus)
        megabytes = _limit(limits.get("mem"), resources.mem, EXECUTOR.mem)
        memory = None if megabytes is None else max(_LEAST_MEMORY, int(megabytes * (1 << 20)))
        group = replica_group(self._place, task_id)
        assert group is not None, "a place with folders has groups"
        try:
            make_group(group, cpu_milli=None if cpus is None else round(cpus * 1000), memory=memory)
        except CgroupError as error:
            raise IsolationError(f"the limits of {task_id} cannot be set: {error}") from error
        return TaskGroup(group, memory)

    def close(self) -> None:
        """Remove the folder, if nothing is in it any more."""
        remove_place(self._place)


def _limit(stated: object, asked: float, more: float) -> float | None:
    if stated == "unlimited":
        return None
    return (float(stated) if isinstance(stated, int | float) else asked) + more


def _bytes(count: int) -> str:
    """An amount as Mesos prints it: in the largest unit that divides it."""
    for unit, size in _UNITS:
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"
