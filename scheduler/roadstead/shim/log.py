"""The bounded log of one replica: a named pipe that the server writes into, and rotating files behind it.

The server holds the pipe open for reading too, so a lost shim never means a broken pipe: what the server writes
meanwhile stays in the pipe until the next shim reads it. A full disk loses lines, counted and said in the log itself
once there is room again; the server never waits for it.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import contextlib
import errno
import fcntl
import os

from roadstead.shim.files import PRIVATE_FILE, remove_if_there
from roadstead.shim.spec import LogBounds

LOG_FILE = "server.log"
PIPE_FILE = "log.pipe"
_PIPE_SIZE = 256 << 10
_CHUNK = 64 << 10
_CHUNKS_AT_ONCE = 16


def log_files(directory: str, bounds: LogBounds) -> tuple[str, ...]:
    """Return the paths that a replica's log may have, newest first."""
    newest = os.path.join(directory, LOG_FILE)
    return (newest, *(f"{newest}.{number}" for number in range(1, bounds.files)))


class BoundedLog:
    """Reads the pipe and writes the files. One per shim; not for threads."""

    def __init__(self, directory: str, bounds: LogBounds) -> None:
        self._paths = log_files(directory, bounds)
        self._size = bounds.size
        self._file: int | None = None
        self._written = 0
        self._lost = 0
        self.lost = 0
        """Bytes that could not be written, ever."""
        self.trouble: str | None = None
        """Why writing fails at this moment, or None."""
        self._pipe_path = os.path.join(directory, PIPE_FILE)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._pipe_path, PRIVATE_FILE)
        # Held for reading and writing, so that the pipe never reports its end.
        self.pipe = os.open(self._pipe_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        _enlarge(self.pipe)

    def open_for_server(self) -> int:
        """Open the pipe once more, as a server's output; the caller closes it.

        A description of its own, because it has to block, and open for reading too, so that it never breaks.
        """
        return os.open(self._pipe_path, os.O_RDWR | os.O_CLOEXEC)

    def pump(self) -> None:
        """Move what the pipe holds into the files, but only so much at once that other events get their turn."""
        for _ in range(_CHUNKS_AT_ONCE):
            try:
                data = os.read(self.pipe, _CHUNK)
            except BlockingIOError:
                return
            self.write(data)

    def write(self, data: bytes) -> None:
        """Append bytes, rotating as needed. Never raises for a disk that is full or failing."""
        try:
            while data:
                if self._file is not None and self._written >= self._size:
                    self._rotate()
                if self._file is None:
                    self._open()
                self._say_what_was_lost()
                # Cut where the file is full, not where a line ends: readers join the files, and the bound is exact.
                room = max(1, self._size - self._written)
                self._append(data[:room])
                data = data[room:]
        except OSError as error:
            self._lose(len(data), error)
        else:
            self.trouble = None

    def close(self) -> None:
        """Close the files and remove the pipe."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        os.close(self.pipe)
        remove_if_there(self._pipe_path)

    def _open(self) -> None:
        self._file = os.open(
            self._paths[0], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE
        )
        self._written = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        for newer, older in reversed(list(zip(self._paths, self._paths[1:], strict=False))):
            if os.path.exists(newer):
                os.rename(newer, older)
        if len(self._paths) == 1:
            remove_if_there(self._paths[0])

    def _append(self, data: bytes) -> None:
        assert self._file is not None
        while data:
            count = os.write(self._file, data)
            self._written += count
            data = data[count:]

    def _say_what_was_lost(self) -> None:
        if self._lost:
            self._append(f"[shim] {self._lost} bytes of log lost here: {self.trouble}\n".encode())
            self._lost = 0

    def _lose(self, count: int, error: OSError) -> None:
        self.lost += count
        self._lost += count
        what = "disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else os.strerror(error.errno or 0).lower()
        self.trouble = f"log cannot be written: {what}"
        if self._file is not None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            os.close(self._file)
            self._file = None


def _enlarge(pipe: int) -> None:
    with contextlib.suppress(PermissionError):  # the user's share of pipe memory is used up; the usual 64 KiB do
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
