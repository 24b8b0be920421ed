"""Reading a replica's log: the end of it, and what comes after, across rotations; never much of it at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs

from roadstead.shim.log import log_files
from roadstead.shim.spec import LogBounds
from roadstead.spi.lines import WholeLines

__all__ = ["read_log", "tail_of"]

_CHUNK = 64 << 10
_LOOK_EVERY_S = 0.2
_PASSED_OVER = b"[roadstead] lines are left out here: they came faster than they were read\n"


def read_log(folder: Path, *, tail: int | None, follow: bool) -> Iterator[bytes]:
    """Yield a replica's log, oldest first, in chunks of whole lines; ``tail`` limits the lines from before now.

    With ``follow`` it goes on, and ends when the replica's folder is gone. A last line without its newline is held back
    while it may still grow, unless it is longer than a chunk.
    """
    reader = _Newest(folder)
    lines = WholeLines()
    try:
        with ExitStack() as closing:
            before = _Before.opened(folder, reader, closing)
            for data in before.chunks(0 if tail is None else before.start_of_last(tail)):
                yield from lines.ended_by(data)
        while follow and (more := reader.next_data()) is not None:
            yield from lines.ended_by(more)
        if lines.rest:
            yield lines.rest
    finally:
        reader.close()


@attrs.frozen
class _Part:
    """One file of a log, of which the first ``size`` bytes are read."""

    descriptor: int
    size: int


@attrs.frozen
class _Before:
    """What a log held at one moment: its files, oldest first, which a rotation does not take from under us."""

    parts: tuple[_Part, ...]

    @classmethod
    def opened(cls, folder: Path, newest: _Newest, closing: ExitStack) -> _Before:
        """Open all files but the newest, which ``newest`` has open."""
        parts = [] if newest.descriptor is None else [_Part(newest.descriptor, newest.position)]
        for path in log_files(str(folder), LogBounds())[1:]:
            descriptor = _open(path)
            if descriptor is not None:
                closing.callback(os.close, descriptor)
                parts.append(_Part(descriptor, os.fstat(descriptor).st_size))
        return cls(tuple(reversed(parts)))

    def chunks(self, start: int) -> Iterator[bytes]:
        """Yield everything from the byte ``start`` on."""
        for part in self.parts:
            position = min(start, part.size)
            start -= position
            while position < part.size and (data := os.pread(part.descriptor, _chunk(part.size - position), position)):
                position += len(data)
                yield data

    def start_of_last(self, lines: int) -> int:
        """Return the byte with which the last ``lines`` lines begin; what has no newline at the end is a line too."""
        end = sum(part.size for part in self.parts)
        wanted, is_last = lines, True
        for part in reversed(self.parts):
            position = part.size
            while position > 0:
                count = _chunk(position)
                data = os.pread(part.descriptor, count, position - count)
                position -= count
                end -= count
                found = len(data)
                if is_last and data.endswith(b"\n"):
                    found -= 1
                is_last = False
                while wanted > 0 and (found := data.rfind(b"\n", 0, found)) >= 0:
                    wanted -= 1
                    if wanted == 0:
                        return end + found + 1
        return 0 if lines > 0 else sum(part.size for part in self.parts)


class _Newest:
    """The newest file of a log, from its present end on, and the one that replaces it when the log is rotated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = log_files(str(folder), LogBounds())[0]
        self._leaving = False
        self.descriptor = _open(self._path)
        self.position = 0 if self.descriptor is None else os.fstat(self.descriptor).st_size

    def next_data(self) -> bytes | None:
        """Wait for more bytes and return them, or ``None`` when the replica is gone."""
        while True:
            data = b"" if self.descriptor is None else os.pread(self.descriptor, _CHUNK, self.position)
            self.position += len(data)
            if data:
                return data
            if self._leaving:
                passed_over = self._is_far_behind()
                self.close()
                self.descriptor, self.position, self._leaving = _open(self._path), 0, False
                if passed_over:
                    return _PASSED_OVER
            elif self._was_rotated():
                self._leaving = True  # read once more: the last lines may have come just before the rotation
            elif not self._folder.exists():
                return None
            else:
                time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Close the file."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _is_far_behind(self) -> bool:
        """Return whether a whole file has come and gone since the one that is open was the newest."""
        if self.descriptor is None:
            return False
        before = Path(log_files(str(self._folder), LogBounds())[1])
        try:
            return before.stat().st_ino != os.fstat(self.descriptor).st_ino
        except FileNotFoundError:
            return False

    def _was_rotated(self) -> bool:
        try:
            status = Path(self._path).stat()
        except FileNotFoundError:
            return False
        return self.descriptor is None or os.fstat(self.descriptor).st_ino != status.st_ino


def tail_of(folder: Path, lines: int) -> str:
    """Return the last lines of a replica's log as text, for a reason's raw words."""
    newest = Path(log_files(str(folder), LogBounds())[0])
    try:
        with newest.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _CHUNK))
            data = file.read(_CHUNK)
    except FileNotFoundError:
        return ""
    return b"".join(data.splitlines(keepends=True)[-lines:]).decode(errors="replace")


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _chunk(left: int) -> int:
    return min(_CHUNK, left)
