"""One replica's control groups, version 1 and 2: enter, measure, count kills, end everything, remove.

The kernel's own files are the interface: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst. Creating the groups and
setting their limits is the daemon's part (`roadstead.shim.cgroup_place`).
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import contextlib
import errno
import os
import signal
from typing import NamedTuple

from roadstead.shim.files import read_text
from roadstead.shim.identity import is_zombie

UNLIMITED = "max"


class ReplicaCgroup(NamedTuple):
    """The folders that hold one replica's processes, one per controller; None where a controller is not to be had.

    In version 2 all controllers that there are share one folder, in version 1 each has its own.
    """

    version: int = 2
    cpu: str | None = None
    cpuacct: str | None = None
    memory: str | None = None
    pids: str | None = None
    pids_limit: int | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder once."""
        return tuple(sorted({path for path in (self.cpu, self.cpuacct, self.memory, self.pids) if path is not None}))


def enter(group: ReplicaCgroup, pid: int = 0) -> None:
    """Move a process into the group, the calling one unless another is named; it must not be a zombie."""
    for folder in group.folders:
        write_control(f"{folder}/cgroup.procs", str(pid))


def missing(group: ReplicaCgroup) -> str | None:
    """Return a folder of the group that is not there, or None where all are.

    The kernel lets nobody remove a group with processes in it, but they may be moved out first, and a group whose
    server has just ended is empty.
    """
    return next((folder for folder in group.folders if not os.path.isdir(folder)), None)


def processes(group: ReplicaCgroup) -> list[int]:
    """Return the ids of the processes in the group, those of groups below it included."""
    found: set[int] = set()
    for folder in group.folders:
        for path, _, _ in os.walk(folder):
            found.update(int(line) for line in (read_text(f"{path}/cgroup.procs") or "").split())
    return sorted(found)


def kill_everything(group: ReplicaCgroup) -> None:
    """Send SIGKILL to every process in the group, without waiting for the deaths.

    Version 2 does this in one step. In version 1 new processes are forbidden first, where the ``pids`` controller is
    there, so that one that forks without end cannot outrun us.
    """
    if group.version == 2:
        for folder in group.folders:
            if os.path.exists(f"{folder}/cgroup.kill"):
                write_control(f"{folder}/cgroup.kill", "1")
                return
    if group.pids is not None:
        with contextlib.suppress(FileNotFoundError):  # somebody removed the group meanwhile
            write_control(f"{group.pids}/pids.max", "0")
    for pid in processes(group):
        with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
            os.kill(pid, signal.SIGKILL)


def allow_processes(group: ReplicaCgroup) -> None:
    """Take back what `kill_everything` forbids, before a server is started again."""
    if group.version == 1 and group.pids is not None:
        write_control(f"{group.pids}/pids.max", UNLIMITED if group.pids_limit is None else str(group.pids_limit))


def oom_kills(group: ReplicaCgroup) -> int | None:
    """Return how many of the group's processes the kernel has ever killed for want of memory, or None if unknown."""
    if group.memory is None:
        return None
    name = "memory.events" if group.version == 2 else "memory.oom_control"
    counted = _field(read_text(f"{group.memory}/{name}"), "oom_kill")
    if counted is None and group.version == 1:
        # Before Linux 4.13 there is no counter of kills; the group's failures to get memory are the next best.
        text = read_text(f"{group.memory}/memory.failcnt")
        return None if text is None else int(text)
    return counted


def cpu_seconds(group: ReplicaCgroup) -> float | None:
    """Return the processor time that the group has used since it exists, or None if unknown."""
    if group.version == 2:
        used = _field(read_text(f"{group.cpu}/cpu.stat"), "usage_usec") if group.cpu is not None else None
        return None if used is None else used / 1e6
    if group.cpuacct is None:
        return None
    text = read_text(f"{group.cpuacct}/cpuacct.usage")
    return None if text is None else int(text) / 1e9


def throttled_seconds(group: ReplicaCgroup) -> float | None:
    """Return for how long the group's processes were held back by their processor quota, or None if unknown."""
    if group.cpu is None:
        return None
    text = read_text(f"{group.cpu}/cpu.stat")
    nanoseconds = _field(text, "throttled_time") if group.version == 1 else None
    microseconds = _field(text, "throttled_usec") if group.version == 2 else None
    if nanoseconds is not None:
        return nanoseconds / 1e9
    return None if microseconds is None else microseconds / 1e6


def memory_bytes(group: ReplicaCgroup) -> int | None:
    """Return the memory in use, without the page cache that the kernel can drop at once, or None if unknown.

    The same figure as the kubelet's working set: use less ``inactive_file``.
    """
    if group.memory is None:
        return None
    current = read_text(f"{group.memory}/{'memory.current' if group.version == 2 else 'memory.usage_in_bytes'}")
    if current is None:
        return None
    droppable = _field(
        read_text(f"{group.memory}/memory.stat"), "inactive_file" if group.version == 2 else "total_inactive_file"
    )
    return max(0, int(current) - (droppable or 0))


def peak_memory_bytes(group: ReplicaCgroup) -> int | None:
    """Return the most memory that the group ever held, page cache included, or None if unknown."""
    if group.memory is None:
        return None
    text = read_text(f"{group.memory}/{'memory.peak' if group.version == 2 else 'memory.max_usage_in_bytes'}")
    return None if text is None else int(text)


def remove(group: ReplicaCgroup) -> bool:
    """Remove the group's folders and those below, and tell whether they are gone.

    A process in any of them keeps them all: half a group would limit half of what it should.
    """
    if any(not is_zombie(pid) for pid in processes(group)):
        return False
    gone = True
    for folder in group.folders:
        for path, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                gone = False
    return gone


def _field(text: str | None, name: str) -> int | None:
    """Return one number of a file of ``NAME NUMBER`` lines."""
    for line in (text or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None


def write_control(path: str, text: str) -> None:
    """Write to a control file; the error of one that is refused names the file."""
    # One write call and no truncation: each write to a control file is a command of its own.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
