"""Start a process in two steps, so that it never runs before its identity is on disk.

The shim has one thread and no library that minds a fork, so the child is set up by plain system calls between ``fork``
and ``exec``. (The daemon never forks: it starts shims with ``subprocess``, without ``preexec_fn``.)
"""

# Paths are strings here: pathlib would cost every shim another megabyte.
# ruff: noqa: PTH1, PTH2

import ctypes
import os
import signal
from typing import NamedTuple, NoReturn

from roadstead.shim.cgroup import enter
from roadstead.shim.identity import ProcessIdentity, identity_of
from roadstead.shim.spec import Limits

_PR_SET_CHILD_SUBREAPER = 36
_FAILED = 127


class Held(NamedTuple):
    """A child that waits to be let go before it runs its program."""

    identity: ProcessIdentity
    go: int
    error: int

    def release(self) -> str | None:
        """Let the child run its program. Returns what went wrong, or None when the program was entered.

        Waits for the child to reach ``exec``, which takes about a millisecond. With a child that was killed before,
        nothing goes wrong here: how it ended is for whoever collects it.
        """
        try:
            os.write(self.go, b"g")
        except BrokenPipeError:
            pass
        os.close(self.go)
        message = b""
        while chunk := os.read(self.error, 4096):
            message += chunk
        os.close(self.error)
        return message.decode(errors="replace") or None


def become_subreaper() -> None:
    """Become the parent of every orphan among our descendants, so that none escapes (prctl(2)).

    Raises ``OSError`` when the kernel refuses.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Program(NamedTuple):
    """What to run: ``output`` is the descriptor for what it prints, ``env`` its whole environment."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    output: int


def fork_held(program: Program, limits: Limits) -> Held:
    """Fork a child in a session of its own, inside its limits, that waits for `Held.release`.

    If the caller dies before that, the child ends without having run anything.
    """
    wait_for_go, go = os.pipe()
    error, report = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.close(error)
        _become(program, limits, wait_for_go, report)
    os.close(wait_for_go)
    os.close(report)
    identity = identity_of(pid)
    assert identity is not None, "an unreaped child has an identity"
    return Held(identity, go, error)


def _become(program: Program, limits: Limits, wait_for_go: int, report: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)  # the pipe behind it is the shim's
        if os.read(wait_for_go, 1) != b"g":
            os._exit(_FAILED)
        _prepare(program, limits)
        os.execve(program.argv[0], list(program.argv), program.env)
    except BaseException as error:  # noqa: BLE001 (nothing at all may return into the parent's code)
        os.write(report, _explain(error, program.argv[0]).encode())
    os._exit(_FAILED)


def _prepare(program: Program, limits: Limits) -> None:
    os.setsid()
    if limits.cgroup is not None:
        enter(limits.cgroup)
    if limits.affinity:
        os.sched_setaffinity(0, limits.affinity)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(program.output, 1)
    os.dup2(program.output, 2)
    os.umask(0o077)
    os.chdir(program.cwd)
    # Python ignores these two, and what is ignored stays so across exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _explain(error: BaseException, program: str) -> str:
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"cannot start {program}: {os.strerror(error.errno or 0).lower()}{where}"
    return f"cannot start {program}: {error!r}"
