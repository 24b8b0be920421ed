"""Which process is which: a process id alone is reused, one with its start time is not."""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import fcntl
import os
import struct
import time
from typing import NamedTuple

_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO_SIZE = 64
_PIDFD_INFO_EXIT_STATUS_AT = 60


class ProcessIdentity(NamedTuple):
    """A process that no other one can be taken for.

    ``started`` is in clock ticks since boot (field 22 of ``/proc/PID/stat``); ``boot`` is the kernel's boot id.
    """

    pid: int
    started: int
    boot: str


def boot_id() -> str:
    """Return the kernel's id of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def identity_of(pid: int) -> ProcessIdentity | None:
    """Return the identity of a process, or None when it is gone (a zombie still has one)."""
    started = _start_time(pid)
    return None if started is None else ProcessIdentity(pid, started, boot_id())


def open_process(identity: ProcessIdentity) -> int | None:
    """Return a pidfd of exactly this process, or None when it no longer runs. The caller closes it.

    The start time is read after the pidfd was opened: what the pidfd names then is what was asked for, for good.
    """
    if identity.boot != boot_id():
        return None
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    if _start_time(identity.pid) != identity.started or is_zombie(identity.pid):
        os.close(descriptor)
        return None
    return descriptor


def is_running(identity: ProcessIdentity) -> bool:
    """Tell whether exactly this process still runs."""
    descriptor = open_process(identity)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def is_zombie(pid: int) -> bool:
    """Tell whether a process has ended and only waits for its parent to notice."""
    fields = _stat_fields(pid)
    return fields is not None and fields[0] == "Z"


def is_stopped(pid: int) -> bool:
    """Tell whether a process is stopped, by a signal or by a debugger."""
    fields = _stat_fields(pid)
    return fields is not None and fields[0] in ("T", "t")


def wait_status_of(pidfd: int) -> int | None:
    """Return how an ended process that is not our child ended, as ``os.wait`` encodes it, or None if that is not known.

    Linux 6.15 and later tell it of a pidfd that was opened while the process lived (``PIDFD_GET_INFO``, struct
    pidfd_info in linux/pidfd.h), once its parent has collected it; earlier ones tell nobody but the parent. Waits for
    the parent for at most 10 milliseconds.
    """
    for _ in range(10):
        request = bytearray(_PIDFD_INFO_SIZE)
        struct.pack_into("<Q", request, 0, _PIDFD_INFO_EXIT)
        try:
            fcntl.ioctl(pidfd, _PIDFD_GET_INFO, request)
        except OSError:
            return None
        (known,) = struct.unpack_from("<Q", request, 0)
        if known & _PIDFD_INFO_EXIT:
            (status,) = struct.unpack_from("<i", request, _PIDFD_INFO_EXIT_STATUS_AT)
            return int(status)
        time.sleep(0.001)
    return None


def _start_time(pid: int) -> int | None:
    fields = _stat_fields(pid)
    return None if fields is None else int(fields[19])


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/PID/stat`` from the third (state) on; the second may hold blanks and brackets."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()
