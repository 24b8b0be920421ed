"""Reading a replica's log: the end of it, and what comes after, across rotations."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from roadstead.shim.log import log_files
from roadstead.shim.spec import LogBounds

__all__ = ["read_log", "tail_of"]

_CHUNK = 64 << 10
_LOOK_EVERY_S = 0.2


def read_log(folder: Path, *, tail: int | None, follow: bool) -> Iterator[bytes]:
    """Yield a replica's log, oldest first, in chunks of whole lines; ``tail`` limits the lines from before now.

    With ``follow`` it goes on, and ends when the replica's folder is gone. A last line without its newline is held back
    while it may still grow.
    """
    reader = _Newest(folder)
    try:
        before = _before(folder, reader.position)
        whole, rest = _whole_lines(before if tail is None else _last_lines(before, tail))
        if whole:
            yield whole
        while follow and (data := reader.next_data()) is not None:
            whole, rest = _whole_lines(rest + data)
            if whole:
                yield whole
        if rest:
            yield rest
    finally:
        reader.close()


class _Newest:
    """The newest file of a log, from its present end on, and the one that replaces it when the log is rotated."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = log_files(str(folder), LogBounds())[0]
        self._file = _open(self._path)
        self._leaving = False
        self.position = 0 if self._file is None else os.fstat(self._file).st_size

    def next_data(self) -> bytes | None:
        """Wait for more bytes and return them, or ``None`` when the replica is gone."""
        while True:
            data = b"" if self._file is None else os.pread(self._file, _CHUNK, self.position)
            self.position += len(data)
            if data:
                return data
            if self._leaving:
                self.close()
                self._file, self.position, self._leaving = _open(self._path), 0, False
            elif self._was_rotated():
                self._leaving = True  # read once more: the last lines may have come just before the rotation
            elif not self._folder.exists():
                return None
            else:
                time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _was_rotated(self) -> bool:
        try:
            status = Path(self._path).stat()
        except FileNotFoundError:
            return False
        return self._file is None or os.fstat(self._file).st_ino != status.st_ino


def tail_of(folder: Path, lines: int) -> str:
    """Return the last lines of a replica's log as text, for a reason's raw words."""
    newest = Path(log_files(str(folder), LogBounds())[0])
    try:
        with newest.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _CHUNK))
            data = file.read()
    except FileNotFoundError:
        return ""
    return _last_lines(data, lines).decode(errors="replace")


def _before(folder: Path, newest_size: int) -> bytes:
    """Return what the files held when reading began; the log is bounded, so this is too."""
    bounds = LogBounds()
    parts = []
    for path in reversed(log_files(str(folder), bounds)[1:]):
        with contextlib.suppress(FileNotFoundError):
            parts.append(Path(path).read_bytes())
    with contextlib.suppress(FileNotFoundError):
        parts.append(Path(log_files(str(folder), bounds)[0]).read_bytes()[:newest_size])
    return b"".join(parts)


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _whole_lines(data: bytes) -> tuple[bytes, bytes]:
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]


def _last_lines(data: bytes, count: int) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(lines[len(lines) - count :] if count < len(lines) else lines) if count > 0 else b""
