"""All processes of one replica, however they were forked: found, signalled, measured.

With a control group the kernel keeps the list. Without one, every process of the replica is known by a mark in its
environment, which children inherit, whoever their parent is by now.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import os
import signal
from typing import Protocol

from roadstead.shim.cgroup import ReplicaCgroup, kill_everything, missing, processes
from roadstead.shim.identity import is_zombie

MARK = "ROADSTEAD_REPLICA"
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Tree(Protocol):
    """The processes of one replica."""

    def members(self) -> list[int]:
        """Return the ids of all that run (no zombies)."""

    def contains(self, pid: int) -> bool:
        """Tell whether a process belongs to the replica."""

    def kill(self) -> None:
        """Send SIGKILL to all, without waiting for the deaths."""


class MarkedTree:
    """The processes that carry a replica's mark in their environment."""

    def __init__(self, replica: str) -> None:
        self._mark = f"{MARK}={replica}".encode()

    def members(self) -> list[int]:
        """Return the ids of all that run (no zombies)."""
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and self.contains(int(name))]

    def contains(self, pid: int) -> bool:
        """Tell whether a process belongs to the replica."""
        if pid == os.getpid():
            return False
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return self._mark in file.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False  # ended, or somebody else's

    def kill(self) -> None:
        """Send SIGKILL to all, without waiting for the deaths."""
        signal_all(self, signal.SIGKILL)


class GroupTree:
    """The processes in a control group; while the group is gone, those that carry the replica's mark."""

    def __init__(self, group: ReplicaCgroup, replica: str) -> None:
        self._group = group
        self._marked = MarkedTree(replica)

    def members(self) -> list[int]:
        """Return the ids of all that run (no zombies)."""
        found = [pid for pid in processes(self._group) if not is_zombie(pid)]
        return self._marked.members() if not found and missing(self._group) is not None else found

    def contains(self, pid: int) -> bool:
        """Tell whether a process belongs to the replica."""
        return pid in processes(self._group) or (missing(self._group) is not None and self._marked.contains(pid))

    def kill(self) -> None:
        """Send SIGKILL to all, without waiting for the deaths."""
        kill_everything(self._group)
        if missing(self._group) is not None:
            self._marked.kill()


def tree_of(replica: str, group: ReplicaCgroup | None) -> Tree:
    """Return the tree of a replica by the best means there is."""
    return MarkedTree(replica) if group is None or not group.folders else GroupTree(group, replica)


def signal_all(tree: Tree, number: signal.Signals) -> None:
    """Send a signal to every process of the replica.

    Each is held by a pidfd before it is looked at again, so that a reused process id cannot be hit.
    """
    for pid in tree.members():
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if tree.contains(pid):
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass  # it ended meanwhile
        finally:
            os.close(descriptor)


def resident_bytes(tree: Tree) -> int:
    """Return the memory that the processes hold now, from ``/proc/PID/statm``; what they share counts once for each."""
    total = 0
    for pid in tree.members():
        try:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                total += int(file.read().split()[1]) * _PAGE
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended meanwhile
    return total
