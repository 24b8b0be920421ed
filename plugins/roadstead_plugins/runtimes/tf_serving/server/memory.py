"""The memory of the process: whether there is room for one more model, and giving back what a gone one had."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError

FACTOR: Final = 1.2
"""Bytes of memory for each byte of a model's files, as TensorFlow Serving estimates it (``util.cc``)."""

_MEGA: Final = 1_000_000


def size_of(version: Path) -> int:
    """Return the bytes of all files of a version that can be seen: what is wrong with the others, loading will say."""
    size = 0
    for folder, _, names in os.walk(version):
        for name in names:
            with suppress(OSError):
                size += Path(folder, name).stat().st_size
    return size


def held() -> int:
    """Return the bytes that the process holds and that nothing but itself can give back.

    The pages of libraries and files are not among them: the kernel drops those when memory gets scarce.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))


def give_back() -> None:
    """Return to the system what was freed; without this the C library keeps it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc's own
        trim(0)


class Room:
    """Whether one more model fits under a limit in bytes; a limit of 0 is none.

    A model needs more than its files say: its graph, the buffers of its first run. How much more is learnt from one
    that was loaded while nothing else happened.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._extra = 0

    def learn(self, *, size: int, grown: int) -> None:
        """Remember by how much the process grew for a model of that size."""
        self._extra = max(self._extra, round(grown - FACTOR * size))

    def check(self, *, size: int, holding: int) -> None:
        """Raise ``ServingError`` unless a model of that size fits beside what the process holds."""
        needed = round(FACTOR * size) + self._extra
        if self._limit and holding + needed > self._limit:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED,
                f"not enough memory to load it beside what is served: it needs about {needed // _MEGA} MB, and the "
                f"process holds {holding // _MEGA} MB of its limit of {self._limit // _MEGA} MB",
            )
