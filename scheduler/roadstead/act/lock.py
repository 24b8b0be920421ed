"""One writer at a time on one state directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from roadstead.errors import StateError

__all__ = ["StateLock"]


class StateLock:
    """An advisory lock on a file, held until :meth:`release` or the end of the process, however that ends.

    The file says who holds it, for the message to whoever does not get it; what it says is never trusted for anything
    else.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path, purpose: str) -> Self:
        """Take the lock for ``purpose`` ("daemon", "apply").

        Raises :class:`StateError` that names the holder when it is taken.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(
                f"{path} cannot be opened: {error.strerror or error}",
                hint="make the state directory writable for this user",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise StateError(
                f"{path.parent} is in use by {holder}",
                hint="stop it with `roadstead daemon stop`, or use another daemon.state",
            ) from error
        # Who holds it is told where there is room to write that down; held it is in any case.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "purpose": purpose}).encode("ascii"), 0)
        return cls(path, descriptor)

    def is_in_place(self) -> bool:
        """Return whether whoever looks for the lock by name finds this one: its file may be removed, or replaced."""
        if self._descriptor is None:
            return False
        try:
            found = self._path.stat()
        except OSError:
            return False
        ours = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Let go of the lock.

        A second time does nothing. The file stays: removing it would let two processes hold two locks.
        """
        if self._descriptor is not None:
            # Closing is not enough: a program that was just started may not have closed what it inherits.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _holder(descriptor: int) -> str:
    """Return who says that it holds the lock, in words, or that nobody does."""
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return f"`roadstead {said['purpose']}` (process {said['pid']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
