"""Envoy's process under a shim of its own: started, found again, asked to go."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from roadstead.errors import Rejected, Retryable
from roadstead.shim import requests
from roadstead.shim import state as phases
from roadstead.shim.backoff import Backoff
from roadstead.shim.files import make_private_folder, read_json, write_json
from roadstead.shim.identity import ProcessIdentity, is_stopped
from roadstead.shim.log import log_files
from roadstead.shim.spec import SPEC_FILE, LogBounds, ShimSpec, spec_to_json
from roadstead.shim.state import ShimState
from roadstead.spi.shims import Shims
from roadstead_plugins.gateways.envoy.watches import LEFT_OUT

__all__ = ["Process", "count_workers", "find_envoy", "most_open_files"]

_FOLDER = "process"
_PROGRAM = "envoy"
_STOP_GRACE_S = 5.0
_MOST_WORKERS = 4
_LOG = LogBounds()
_LOG_END = 64 << 10
# All deployments wait for it: it is started again sooner than a server that crashes.
_BACKOFF = Backoff(initial=0.5, maximum=10.0)
_OUT_OF_WATCHES = b"fs.inotify.max_user_instances"
_REFUSAL = re.compile(rb"Filesystem config update (?:rejected|failure): (.*)")


def find_envoy(gateway: str) -> Path:
    """Return the Envoy that the extra ``gateway`` installs; raises ``Rejected`` where it is not there or cannot run."""
    found = find_spec("envoy")
    folders = found.submodule_search_locations if found is not None else None
    program = Path(folders[0], "_bin", "envoy") if folders else None
    if program is None or not program.is_file():
        raise Rejected("there is no Envoy in this environment", cluster=gateway, hint="install roadstead[gateway]")
    if not os.access(program, os.X_OK):
        raise Rejected(f"{program} cannot be executed", cluster=gateway, hint="install roadstead[gateway] again")
    return program


def count_workers() -> int:
    """Return how many threads shall serve: a quarter of our processors, because the models need the others."""
    return max(1, min(_MOST_WORKERS, len(os.sched_getaffinity(0)) // 4))


def most_open_files() -> int:
    """Return how many files Envoy may have open: it goes up to the hard limit, which it has from the daemon."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


class Process:
    """One Envoy. It runs in ``root``, so that its admin socket has a short path there."""

    def __init__(self, gateway: str, root: Path) -> None:
        self._gateway = gateway
        self._root = root
        # The shim knows Envoy's processes by this name: it has to differ from that of any other gateway on the machine.
        self._name = f"gateway-{gateway}-{hashlib.sha256(str(root).encode()).hexdigest()[:12]}"
        self._folder = root / _FOLDER
        self._shims = Shims(root)
        self.program = self._folder / _PROGRAM
        """A link to Envoy. The shim starts what it was first told; so it finds the Envoy of the current environment."""
        self.log = Path(log_files(str(self._folder), _LOG)[0])
        """The newest file of what Envoy prints."""

    # ---- what it is ----

    def state(self) -> ShimState | None:
        """Return what its shim last wrote, or ``None`` where there never was one."""
        return self._shims.state(self._name, self._folder)

    def incarnation(self) -> ProcessIdentity | None:
        """Return which process Envoy is now, if it runs."""
        state = self.state()
        return state.server if state is not None else None

    def trouble(self) -> str:
        """Return why Envoy does not run or cannot answer, or nothing."""
        state = self.state()
        if state is None:
            return "envoy was not started yet"
        if state.server is not None and is_stopped(state.server.pid):
            pid = state.server.pid
            return f"envoy (process {pid}) is stopped and answers nobody; `kill -CONT {pid}` lets it go on"
        if state.phase == phases.RUNNING or not state.exits:
            return ""
        why = f"; {LEFT_OUT}" if _OUT_OF_WATCHES in self._end_of_log() else ""
        return f"envoy {state.exits[-1].detail}, it is started again by itself; see {self.log}{why}"

    def last_refusal(self) -> str:
        """Return why Envoy last refused a file, in its own words, or nothing."""
        found = _REFUSAL.findall(self._end_of_log())
        return found[-1].decode(errors="replace") if found else ""

    # ---- what is done ----

    def tend(self) -> None:
        """Give Envoy back its shim where it lost it; one that was never started is left alone."""
        self._shims.reap()
        if (self._folder / SPEC_FILE).exists() and not self._shims.is_running(self._name, self.state()):
            self._shims.start(self._name, self._folder, {})

    def start(self, command: tuple[str, ...]) -> None:
        """Start Envoy by this command, unless it runs; what runs is left as it is.

        Raises ``Rejected`` where there is none to be started, and ``Retryable`` while an earlier one is still going.
        """
        if requests.stop_request(str(self._folder)) is not None:
            self.tend()
            if not self.is_gone():
                raise Retryable("the envoy before this one has not ended yet", cluster=self._gateway)
            self.forget()
        make_private_folder(str(self._folder))
        self._link()
        spec = ShimSpec(
            replica=self._name,
            argv=command,
            cwd=str(self._root),
            log=_LOG,
            backoff=_BACKOFF,
            kill_after=_STOP_GRACE_S,
            wake=str(self._shims.wake_pipe),
        )
        if read_json(str(self._folder / SPEC_FILE)) != spec_to_json(spec):
            write_json(str(self._folder / SPEC_FILE), spec_to_json(spec), durable=True)
        self.tend()

    def stop(self) -> None:
        """Ask Envoy and its shim to go."""
        if (self._folder / SPEC_FILE).exists():
            requests.ask_to_stop(str(self._folder), requests.StopRequest(_STOP_GRACE_S, "the gateway is taken down"))
            self.tend()
            self._shims.wake(self._name)

    def is_gone(self) -> bool:
        """Tell whether a stopped Envoy has ended, and its shim with it."""
        self._shims.reap()
        if not (self._folder / SPEC_FILE).exists():
            return True
        state = self.state()
        return state is not None and state.phase == phases.STOPPED and not self._shims.is_running(self._name, state)

    def forget(self) -> None:
        """Remove what is left of one that is gone."""
        self._shims.forget(self._name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` as soon as Envoy was started or has ended."""
        self._shims.watch(wake)

    def close(self) -> None:
        """Let go of it; it serves on."""
        self._shims.close()

    def _end_of_log(self) -> bytes:
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_END))
                return file.read()
        except FileNotFoundError:
            return b""

    def _link(self) -> None:
        try:
            program = find_envoy(self._gateway)
        except Rejected:
            if self.incarnation() is not None:
                return  # an environment that lost its Envoy is no reason to leave a running one without guidance
            raise
        if not self.program.is_symlink() or self.program.readlink() != program:
            fresh = self._folder / f"{_PROGRAM}.new"
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            fresh.symlink_to(program)
            fresh.rename(self.program)
