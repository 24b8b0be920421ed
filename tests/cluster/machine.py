"""A machine: mount, process and network namespaces that live and die together, and the processes on it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import psutil

from tests.cluster.waiting import PATIENCE_S, until

__all__ = ["Machine", "MachineError", "Part", "left_behind"]

_INIT: Final = Path(__file__).with_name("init.py")
_NSENTER: Final = shutil.which("nsenter") or "nsenter"
_UNSHARE: Final = shutil.which("unshare") or "unshare"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MachineError(Exception):
    """A command on a machine failed, or the machine is off."""


@attrs.define(eq=False)
class Machine:
    """A machine that is on, or was.

    Everything that runs on it, what it started itself included, is killed by the kernel when it is switched off, when
    this process ends for whatever reason, or when this object's pipe to it is closed.
    """

    name: str
    _process: subprocess.Popen[bytes]
    _init: int
    _turn: threading.Lock = attrs.field(factory=threading.Lock)

    @classmethod
    def switch_on(cls, name: str, *, owner: str) -> Machine:
        """Make new namespaces with nothing in them but their PID 1; its network has a loopback, which is up.

        The owner and the name stand in the command line of PID 1, where ``ps`` and :func:`left_behind` find them.
        """
        process = subprocess.Popen(
            [
                *(_UNSHARE, "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"),
                *("--propagation", "private", "--", sys.executable, "-I", "-S", str(_INIT)),
                *(owner, name),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C at the terminal is for us, who then take it down in order
        )
        try:
            init = until(lambda: _only_child(process), what=f"the first process of machine {name}")
            machine = cls(name, process, init)
            machine.network("link set lo up")
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return machine

    @property
    def is_on(self) -> bool:
        """Whether its PID 1 runs."""
        return self._process.poll() is None

    @property
    def init_pid(self) -> int:
        """The id of its PID 1, as seen from here: what its namespaces are called by."""
        return self._init

    def switch_off(self) -> None:
        """Kill everything on it, at once, and wait until all of it is gone."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        # `unshare` returns when PID 1 was collected, which the kernel allows only after all others of its namespace.
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._init, signal.SIGKILL)
            self._process.wait(timeout=PATIENCE_S)

    def start(self, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> Part:
        """Start a process that goes on running; ``log`` is appended to."""
        part = Part(name=name, machine=self, argv=tuple(argv), env={"PATH": _PATH, **(env or {})}, log=log)
        part.start()
        return part

    def run(self, *argv: str, stdin: str = "", within: float = PATIENCE_S, env: Mapping[str, str] | None = None) -> str:
        """Run a command in all its namespaces and return what it printed; raise :class:`MachineError` if it fails."""
        return self._enter(("--mount", "--pid", "--net"), argv, stdin, within, env or {})

    def network(self, *commands: str) -> None:
        """Run commands of ``ip`` in its network, where process ids are those of this side."""
        self._enter(("--net",), ("ip", "-batch", "-"), "\n".join(commands) + "\n", PATIENCE_S, {})

    def _enter(
        self, namespaces: Sequence[str], argv: Sequence[str], stdin: str, within: float, env: Mapping[str, str]
    ) -> str:
        if not self.is_on:
            raise MachineError(f"machine {self.name} is off; switch it on before {' '.join(argv)}")
        done = subprocess.run(
            [_NSENTER, "--target", str(self._init), *namespaces, "--", *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within,
            env={"PATH": _PATH, **env},
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise MachineError(f"on machine {self.name}: {' '.join(argv)} ended with {done.returncode}: {said}")
        return done.stdout

    def ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        """Send a request of :mod:`tests.cluster.init` and return the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._turn:
            try:
                stdin.write(json.dumps(request).encode() + b"\n")
                stdin.flush()
                line = stdout.readline()
            except (ValueError, OSError) as error:  # ValueError: closed by switch_off
                raise MachineError(f"machine {self.name} is off; switch it on first") from error
        if not line:
            raise MachineError(f"machine {self.name} is off; switch it on first")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MachineError(f"machine {self.name}: {answer['error']}")
        return answer

    def pid_outside(self, pid: int) -> int:
        """Return what a process that its PID 1 started is called on this side."""
        for child in psutil.Process(self._init).children():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
                    if line.startswith("NSpid:") and int(line.split()[-1]) == pid:
                        return child.pid
        raise MachineError(f"machine {self.name} has no process {pid} any more")


def left_behind(owner: str) -> list[psutil.Process]:
    """Return the first processes of an owner's machines that run, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if len(line) > 2 and line[-3:-1] == [str(_INIT), owner] and "--fork" not in line:
                found.append(process)
    return found


def _only_child(process: subprocess.Popen[bytes]) -> int | None:
    if process.poll() is not None:
        raise MachineError("unshare made no namespaces; it needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN")
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children():
            if "--fork" not in child.cmdline():  # before that it is still a copy of `unshare`
                return child.pid
    return None


@attrs.define(eq=False, kw_only=True)
class Part:
    """One process on a machine, to be stopped, killed, frozen and started again by name."""

    name: str
    machine: Machine
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    _pid: int = 0

    def start(self) -> None:
        """Start it, or start it again after it has ended."""
        answer = self.machine.ask({"start": {"argv": self.argv, "env": dict(self.env), "log": str(self.log)}})
        self._pid = answer["pid"]

    @property
    def pid(self) -> int:
        """Its process id as seen from here."""
        return self.machine.pid_outside(self._pid)

    @property
    def exit_code(self) -> int | None:
        """What it ended with, a signal as a negative number; ``None`` while it runs."""
        code: int | None = self.machine.ask({"exit": {"pid": self._pid}})["code"]
        return code

    @property
    def is_running(self) -> bool:
        """Whether it runs; a frozen one does."""
        return self.machine.is_on and self.exit_code is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended."""
        self.machine.ask({"signal": {"pid": self._pid, "number": int(number)}})

    def kill(self) -> None:
        """End it at once, and wait until it has."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self, within: float = PATIENCE_S) -> None:
        """Ask it to end, and wait until it has."""
        self.signal(signal.SIGTERM)
        self.wait(within=within)

    def freeze(self) -> None:
        """Let it hang: its connections stay open, and nothing is answered."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        """Kill it, if it runs, and start it again."""
        if self.is_running:
            self.kill()
        self.start()

    def wait(self, *, within: float = PATIENCE_S) -> int:
        """Return its exit code once it has ended."""
        until(lambda: self.exit_code is not None, within=within, what=f"the end of {self.name}")
        code = self.exit_code
        assert code is not None
        return code

    def must_run(self) -> None:
        """Raise :class:`MachineError` with the end of its log when it has ended."""
        if not self.is_running:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:]) if self.log.exists() else ""
            raise MachineError(f"{self.name} on {self.machine.name} ended; the end of {self.log}:\n{tail}")
