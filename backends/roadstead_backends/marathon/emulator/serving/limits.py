"""Limits of real tasks: a control group each, as a Mesos agent isolates with ``cgroups/cpu`` (CFS) and ``cgroups/mem``.

Groups are made below the one that the emulator itself is in, so that nothing leaves what it was given. What they are
read and cleared with is the shim's (`roadstead.shim.cgroup`), which holds the servers of the local backend.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from roadstead.shim.cgroup import ReplicaCgroup, kill_everything, oom_kills, peak_memory_bytes, remove, write_control
from roadstead_backends.marathon.emulator.cluster.agents import Resources

__all__ = ["EXECUTOR", "Isolation", "IsolationError", "TaskGroup"]

EXECUTOR: Final = Resources(cpus=0.1, mem=32.0)
"""What Mesos adds to each command for the executor that runs it."""
_PERIOD_US: Final = 100_000
_LEAST_QUOTA_US: Final = 1_000
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
        statistics = _read(f"{self._group.memory}/memory.stat")
        return f"Memory limit exceeded: {asked}{used}\nMEMORY STATISTICS: \n{statistics}\n"

    def clear(self) -> bool:
        """End what is left in the group and remove it; say whether it is gone, which takes a moment after a kill."""
        kill_everything(self._group)
        return remove(self._group)


class Isolation:
    """Where the groups of an emulator's tasks are, in a folder of that name. Close it when nothing runs any more."""

    def __init__(self, name: str) -> None:
        self._place = _place(name)

    def group(self, task_id: str, resources: Resources, limits: dict[str, object]) -> TaskGroup:
        """Make the group of a task; ``limits`` may allow it more than its resources, or ``unlimited``."""
        place = self._place
        group = ReplicaCgroup(
            version=place.version,
            cpu=f"{place.cpu}/{task_id}",
            cpuacct=place.cpuacct and f"{place.cpuacct}/{task_id}",
            memory=f"{place.memory}/{task_id}",
        )
        cpus = _limit(limits.get("cpus"), resources.cpus, EXECUTOR.cpus)
        megabytes = _limit(limits.get("mem"), resources.mem, EXECUTOR.mem)
        memory = None if megabytes is None else max(_LEAST_MEMORY, int(megabytes * (1 << 20)))
        try:
            for folder in group.folders:
                Path(folder).mkdir(exist_ok=True)
            _hold_cpu(group, cpus)
            _hold_memory(group, memory)
        except OSError as error:
            raise IsolationError(f"the limits of {task_id} cannot be set: {error}") from error
        return TaskGroup(group, memory)

    def close(self) -> None:
        """Remove the folder, if nothing is in it any more."""
        for folder in self._place.folders:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _limit(stated: object, asked: float, more: float) -> float | None:
    if stated == "unlimited":
        return None
    return (float(stated) if isinstance(stated, int | float) else asked) + more


def _hold_cpu(group: ReplicaCgroup, cpus: float | None) -> None:
    quota = None if cpus is None else max(_LEAST_QUOTA_US, int(cpus * _PERIOD_US))
    if group.version == 2:
        write_control(f"{group.cpu}/cpu.max", f"{'max' if quota is None else quota} {_PERIOD_US}")
    else:
        write_control(f"{group.cpu}/cpu.cfs_period_us", str(_PERIOD_US))
        write_control(f"{group.cpu}/cpu.cfs_quota_us", str(-1 if quota is None else quota))


def _hold_memory(group: ReplicaCgroup, memory: int | None) -> None:
    if group.version == 2:
        write_control(f"{group.memory}/memory.max", "max" if memory is None else str(memory))
    else:
        write_control(f"{group.memory}/memory.limit_in_bytes", str(-1 if memory is None else memory))


# Where we are -----------------------------------------------------------------------------------------------------


def _place(name: str) -> ReplicaCgroup:
    """Make the folder of an emulator per controller; raises :class:`IsolationError`."""
    mounts = _mounts(_read("/proc/self/mountinfo"))
    own = dict[str, str]()
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    try:
        legacy = {
            controller: _made(mounts[controller], own[controller], name)
            for controller in ("cpu", "cpuacct", "memory")
            if controller in mounts and controller in own
        }
        if {"cpu", "memory"} <= legacy.keys():
            accounting = legacy.get("cpuacct")
            return ReplicaCgroup(version=1, cpu=legacy["cpu"], cpuacct=accounting, memory=legacy["memory"])
        if "" in mounts and "" in own:
            folder = _made(mounts[""], own[""], name)
            for parent in (str(Path(folder).parent), folder):
                write_control(f"{parent}/cgroup.subtree_control", "+cpu +memory")
            return ReplicaCgroup(version=2, cpu=folder, cpuacct=folder, memory=folder)
    except OSError as error:
        raise IsolationError(f"no control groups can be made: {error}; run without limits") from error
    raise IsolationError("the controllers cpu and memory are not mounted; run without limits")


def _mounts(mountinfo: str) -> dict[str, tuple[str, str]]:
    """Root and mount point by controller, of version 2 under an empty name (proc(5))."""
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if kind[0] == "cgroup2":
            found[""] = (fields[3], fields[4])
        elif kind[0] == "cgroup":
            found.update(dict.fromkeys(kind[2].split(","), (fields[3], fields[4])))
    return found


def _made(mount: tuple[str, str], own: str, name: str) -> str:
    root, point = mount
    inside = own.removeprefix(root if root != "/" else "").strip("/")
    folder = Path(point) / inside / name
    folder.mkdir(exist_ok=True)
    return str(folder)


def _bytes(count: int) -> str:
    """An amount as Mesos prints it: in the largest unit that divides it."""
    for unit, size in _UNITS:
        if count and count % size == 0:
            return f"{count // size}{unit}"
    return f"{count}B"


def _read(path: str) -> str:
    return Path(path).read_text()
