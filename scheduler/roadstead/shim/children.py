"""The one process that a shim runs at a time: its own child, or one that it adopted from a shim that was lost."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import os
import select
import time
from typing import NamedTuple

from roadstead.shim.identity import ProcessIdentity, open_process, wait_status_of

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Child(NamedTuple):
    """A running process, held by its pidfd. ``ours`` is false for an adopted one."""

    identity: ProcessIdentity
    pidfd: int
    ours: bool


class Ended(NamedTuple):
    """How a child ended: the status as ``os.wait`` encodes it (None: nobody knows), and how long it ran, in seconds."""

    status: int | None
    ran_for: float


def hold(identity: ProcessIdentity, *, ours: bool) -> Child | None:
    """Take hold of a running process, or return None when it is gone (of our own child a zombie still counts)."""
    pidfd = os.pidfd_open(identity.pid) if ours else open_process(identity)
    return None if pidfd is None else Child(identity, pidfd, ours)


def let_go(child: Child) -> None:
    """Close what `hold` opened."""
    os.close(child.pidfd)


def age(child: Child) -> float:
    """Return the seconds since a child was started; the kernel's start times count from boot."""
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - child.identity.started / _TICKS_PER_SECOND)


def reap(child: Child | None) -> Ended | None:
    """Collect every child and orphan of ours that has ended; return how ``child`` ended, if it was among them.

    Orphans come to us because the shim is a subreaper; collecting them here is what keeps zombies away.
    """
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        if child is not None and child.ours and pid == child.identity.pid:
            ended = Ended(status, age(child))
    if ended is None and child is not None and not child.ours and _has_ended(child.pidfd):
        ended = Ended(wait_status_of(child.pidfd), age(child))
    return ended


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
