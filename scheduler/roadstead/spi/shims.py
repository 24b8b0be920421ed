"""The daemon's end of the shims: started, held by pidfd, heard, read, and asked for things.

A shim is started with ``posix_spawn``: no code of ours runs between fork and exec, so threads and gRPC in the daemon do
not matter. The kernel, not a signal, tells of a shim's death.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from roadstead.shim import launch
from roadstead.shim.files import PRIVATE_FILE
from roadstead.shim.identity import open_process
from roadstead.shim.main import ALREADY_RUNNING
from roadstead.shim.requests import WAKE
from roadstead.shim.state import STATE_FILE, ShimState, read_state

__all__ = ["ERRORS_FILE", "Shims", "secrets_environment", "start_shim"]

ERRORS_FILE = "shim.log"
_WAKE_PIPE = "wake"
_START_AGAIN_AFTER_S = 1.0
_ERRORS_KEPT = 64 << 10


def start_shim(folder: Path, environment: dict[str, str]) -> int:
    """Start the shim of the replica in ``folder`` and return its process id; it must be waited for once it ended."""
    errors = folder / ERRORS_FILE
    with contextlib.suppress(FileNotFoundError):
        if errors.stat().st_size > _ERRORS_KEPT:
            errors.unlink()
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", launch.__file__, str(folder)],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(errors), append, PRIVATE_FILE),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(WAKE,),  # a request that comes before the shim can listen must wait, not kill it
    )


@attrs.define
class _Read:
    """A state file as it was last read; ``stamp`` tells whether it was replaced since."""

    stamp: tuple[int, int, int]
    state: ShimState | None


class Shims:
    """The shims of one cluster, by replica id.

    Only the watching thread runs beside the caller's; it touches nothing but the descriptors in the epoll set.
    """

    def __init__(self, root: Path) -> None:
        self._pidfds: dict[str, int] = {}
        self._children: dict[int, str] = {}
        self._started: dict[str, float] = {}
        self._read: dict[str, _Read] = {}
        self._ended: dict[str, int] = {}
        self.wake_pipe = root / _WAKE_PIPE
        self._pipe = _named_pipe(self.wake_pipe)
        self._closing = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._pipe, select.EPOLLIN)
        self._epoll.register(self._closing, select.EPOLLIN)
        self._watcher: threading.Thread | None = None

    # ---- what they say ----

    def state(self, replica: str, folder: Path) -> ShimState | None:
        """Return what the shim of a replica last wrote; the file is read only when it was replaced."""
        try:
            status = (folder / STATE_FILE).stat()
        except FileNotFoundError:
            return None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._read.get(replica)
        if known is None or known.stamp != stamp:
            known = _Read(stamp, read_state(str(folder)))
            self._read[replica] = known
        return known.state

    def is_running(self, replica: str, state: ShimState | None) -> bool:
        """Tell whether a replica's shim runs; one that an earlier daemon started is taken over by its identity."""
        pidfd = self._pidfds.get(replica)
        if pidfd is not None:
            if not _has_ended(pidfd):
                return True
            self._let_go(replica)
        if state is None or state.shim is None:
            return False
        pidfd = open_process(state.shim)
        if pidfd is None:
            return False
        self._hold(replica, pidfd)
        return True

    # ---- what they are asked ----

    def start(self, replica: str, folder: Path, environment: dict[str, str]) -> None:
        """Start a replica's shim, unless one was started within the last second: a shim that cannot run is no loop."""
        now = time.monotonic()
        if now - self._started.get(replica, -_START_AGAIN_AFTER_S) < _START_AGAIN_AFTER_S:
            return
        self._started[replica] = now
        pid = start_shim(folder, environment)
        self._children[pid] = replica
        self._hold(replica, os.pidfd_open(pid))

    def complaint(self, replica: str, folder: Path) -> str | None:
        """Return why the last shim of a replica could not run, or ``None`` where it could, or was not needed."""
        status = self._ended.get(replica, 0)
        if status <= 0 or status == ALREADY_RUNNING:  # a signal says nothing about whether the next one can run
            return None
        said = _last_line(folder / ERRORS_FILE)
        return f"its shim ended with status {status}" + (f": {said}" if said else "")

    def make_pipe_again(self) -> None:
        """Be there for shims that look for us by name, where somebody removed the name; whoever watches hears of it."""
        pipe = _named_pipe(self.wake_pipe)
        # What is registered is the open file and not its number.
        self._epoll.unregister(self._pipe)
        os.dup2(pipe, self._pipe, inheritable=False)
        os.close(pipe)
        self._epoll.register(self._pipe, select.EPOLLIN)

    def wake(self, replica: str) -> None:
        """Tell a shim that there is a request in its folder; one that does not run finds it when it starts."""
        pidfd = self._pidfds.get(replica)
        if pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, WAKE)

    def forget(self, replica: str) -> None:
        """Let go of a replica that is no more."""
        self._let_go(replica)
        self._read.pop(replica, None)
        self._started.pop(replica, None)
        self._ended.pop(replica, None)

    def reap(self) -> None:
        """Collect the shims of ours that ended, so that they do not stay as zombies."""
        for pid in tuple(self._children):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = pid, 0  # somebody else in this process collected it
            if ended:
                self._ended[self._children.pop(pid)] = os.waitstatus_to_exitcode(status)

    # ---- who listens ----

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` from a thread whenever a shim writes its state or ends, until `close`."""
        if self._watcher is not None:
            raise RuntimeError("the shims are being watched already")
        self._watcher = threading.Thread(target=self._listen, args=(wake,), name="local-shims", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Let go of everything; shims and servers go on."""
        os.eventfd_write(self._closing, 1)
        if self._watcher is not None:
            self._watcher.join()
        for replica in tuple(self._pidfds):
            self._let_go(replica)
        self.reap()
        self._epoll.close()
        os.close(self._pipe)
        os.close(self._closing)

    def _listen(self, wake: Callable[[], None]) -> None:
        while True:
            ready = {descriptor for descriptor, _ in self._epoll.poll()}
            if self._closing in ready:
                return
            if self._pipe in ready:
                _drain(self._pipe)
            wake()

    def _hold(self, replica: str, pidfd: int) -> None:
        self._let_go(replica)
        self._pidfds[replica] = pidfd
        # Once: the pidfd of an ended process stays readable, and would wake us for ever.
        self._epoll.register(pidfd, select.EPOLLIN | select.EPOLLONESHOT)

    def _let_go(self, replica: str) -> None:
        pidfd = self._pidfds.pop(replica, None)
        if pidfd is not None:
            self._epoll.unregister(pidfd)
            os.close(pidfd)


def _named_pipe(path: Path) -> int:
    """Make the pipe where it is missing, and open it; for writing too, so that the last writer's leaving is no end."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, PRIVATE_FILE)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _drain(pipe: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 65536):
            pass


def secrets_environment(references: Iterable[str]) -> dict[str, str]:
    """Return the variables of this process that ``env:NAME`` references name: a shim gets these and no others."""
    names = (reference.removeprefix("env:") for reference in references if reference.startswith("env:"))
    return {name: os.environ[name] for name in names if name in os.environ}
