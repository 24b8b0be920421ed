"""The bounded log of one replica: a named pipe that the server writes into, and rotating files behind it.

The server holds the pipe open for reading too, so a lost shim never means a broken pipe: what the server writes
meanwhile stays in the pipe until the next shim reads it. A full disk loses lines, and so does a flood that would wear
the disk out; what was lost is counted and said in the log itself, and the server is not held up for either.
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import contextlib
import errno
import fcntl
import os
import time

from roadstead.shim.files import PRIVATE_FILE, remove_if_there
from roadstead.shim.spec import LogBounds

LOG_FILE = "server.log"
PIPE_FILE = "log.pipe"
_PIPE_SIZE = 256 << 10
_CHUNK = 64 << 10
_CHUNKS_AT_ONCE = 16
_FLOOD_IS_TOLD_FOR = 10.0
_REST = 0.002


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
        self._failing: str | None = None
        self._flooded_at: float | None = None
        self._second_ends = 0.0
        self._left = bounds.rate
        self._rate = bounds.rate
        self.lost = 0
        """Bytes that were not written, ever."""
        self._pipe_path = os.path.join(directory, PIPE_FILE)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(self._pipe_path, PRIVATE_FILE)
        # Held for reading and writing, so that the pipe never reports its end.
        self.pipe = os.open(self._pipe_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        _enlarge(self.pipe)
        self._nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def open_for_server(self) -> int:
        """Open the pipe once more, as a server's output; the caller closes it.

        A description of its own, because it has to block, and open for reading too, so that it never breaks. It is not
        opened by its name, which may be gone.
        """
        return os.open(f"/proc/self/fd/{self.pipe}", os.O_RDWR | os.O_CLOEXEC)

    def find_files_again(self) -> None:
        """Begin a new file where somebody removed the one that is written to."""
        if self._file is not None and not os.path.exists(self._paths[0]):
            os.close(self._file)
            self._file = None

    @property
    def trouble(self) -> str | None:
        """Why lines are lost at this moment, or None.

        A flood is told for a while after its last lost byte: it comes and goes with every second.
        """
        if self._failing is not None:
            return self._failing
        if self._flooded_at is None or time.monotonic() - self._flooded_at > _FLOOD_IS_TOLD_FOR:
            return None
        return f"{self._flood()}, and the rest of it is not kept"

    def pump(self) -> None:
        """Move what the pipe holds into the files, but only so much at once that other events get their turn."""
        now = time.monotonic()
        if now >= self._second_ends:
            self._second_ends, self._left = now + 1.0, self._rate
        for _ in range(_CHUNKS_AT_ONCE):
            try:
                if self._left <= 0:
                    self._drop(now)
                    return
                data = os.read(self.pipe, _CHUNK)
            except BlockingIOError:
                return
            self._left -= len(data)
            self.write(data)

    def look_again(self) -> None:
        """Find out whether a disk that failed takes lines again, although the server prints none now."""
        if self._failing is not None:
            self.write(b"")

    def write(self, data: bytes) -> None:
        """Append bytes, rotating as needed. Never raises for a disk that is full or failing."""
        try:
            self._make_room()
            self._say_what_was_lost()
            while data:
                self._make_room()
                # Cut where the file is full, not where a line ends: readers join the files, and the bound is exact.
                room = max(1, self._size - self._written)
                self._append(data[:room])
                data = data[room:]
        except OSError as error:
            self._fail(len(data), error)
        else:
            self._failing = None

    def close(self) -> None:
        """Close the files and remove the pipe."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        os.close(self._nowhere)
        os.close(self.pipe)
        remove_if_there(self._pipe_path)

    def _make_room(self) -> None:
        if self._file is not None and self._written >= self._size:
            self._rotate()
        if self._file is None:
            self._open()

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
            why = self._failing or self._flood()
            self._append(f"[shim] {self._lost} bytes of log lost here: {why}\n".encode())
            self._lost = 0

    def _flood(self) -> str:
        return f"the server prints more than {self._rate >> 20} MiB a second"

    def _drop(self, now: float) -> None:
        """Drop what the pipe holds without copying it, and rest: our processor time is not the replica's.

        So a server that prints more than a pipe full in that time, which is a hundred megabytes a second, does wait.
        """
        count = os.splice(self.pipe, self._nowhere, _PIPE_SIZE, flags=os.SPLICE_F_NONBLOCK)
        self.lost += count
        self._lost += count
        self._flooded_at = now
        time.sleep(_REST)

    def _fail(self, count: int, error: OSError) -> None:
        self.lost += count
        self._lost += count
        what = "disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else os.strerror(error.errno or 0).lower()
        self._failing = f"log cannot be written: {what}"
        if self._file is not None and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            os.close(self._file)
            self._file = None


def _enlarge(pipe: int) -> None:
    with contextlib.suppress(PermissionError):  # the user's share of pipe memory is used up; the usual 64 KiB do
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
