"""One shim for each replica, whatever happens to the files in its folder: the lock is on the folder itself."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import fcntl
import os

from roadstead.shim.files import read_text
from roadstead.shim.requests import WAKE


class Hold:
    """The lock on a replica's folder. It ends with this process, however that ends; a server does not inherit it."""

    def __init__(self, directory: str, descriptor: int) -> None:
        self._directory = directory
        self._descriptor = descriptor

    def renew(self) -> None:
        """Lock the folder that was made anew in the place of the one that we hold, if it was.

        Nobody else can have got hold of it: a second shim is started only where the first one's state says nothing.
        """
        try:
            there = os.stat(self._directory)
        except FileNotFoundError:
            return
        if there.st_ino == os.fstat(self._descriptor).st_ino:
            return
        descriptor = _locked(self._directory)
        if descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = descriptor


def take_hold(directory: str) -> Hold | None:
    """Return the lock on a replica's folder, or None when another shim has it."""
    descriptor = _locked(directory)
    return None if descriptor is None else Hold(directory, descriptor)


def wake_holder(directory: str) -> None:
    """Have the shim that holds a folder write its state anew: whoever started another one cannot have read it."""
    for pid in _holders(directory):
        words = (read_text(f"/proc/{pid}/cmdline") or "").split("\0")
        # It is looked at before it is signalled: the signal would end any other program.
        if directory in words:
            os.kill(pid, WAKE)


def _locked(directory: str) -> int | None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _holders(directory: str) -> list[int]:
    """Return who has the lock on a folder, from the kernel's table of locks (proc(5))."""
    status = os.stat(directory)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    rows = [line.split() for line in (read_text("/proc/locks") or "").splitlines()]
    return [int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == place]
