"""Real shims, servers and control groups, and a way to wait for them."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
import pytest

from roadstead.errors import Conflict
from roadstead.model import Scheduling
from roadstead.shim import requests
from roadstead.shim.cgroup import ReplicaCgroup, enter
from roadstead.shim.cgroup_place import CgroupPlace, find_place, make_group, replica_group
from roadstead.shim.files import make_private_folder, read_json, write_json
from roadstead.shim.identity import is_running
from roadstead.shim.spec import SPEC_FILE, Address, Limits, ShimSpec, spec_to_json
from roadstead.shim.state import STATE_FILE, ShimState, state_from_json
from roadstead.shim.tree import MARK
from roadstead.spi.backend import BackendContext, Expect
from roadstead.spi.shims import start_shim
from roadstead.testing.subject import OWNER_ID
from roadstead.units import Duration
from roadstead.world import Snapshot
from roadstead_backends.local.backend import LocalBackend
from roadstead_backends.local.connect import open_backend
from roadstead_backends.local.devices import DeviceProvider, NoDevices
from roadstead_backends.local.options import LocalOptions

T = TypeVar("T")
SERVER = Path(__file__).with_name("server.py")
PORT = 8501
WAIT_S = 60.0
"""Seconds that pass only on a machine with very much else to do, or in vain."""
NO_PLACE = CgroupPlace(version=2, notes=("this test does without control groups",))


def until(question: Callable[[], T | bool | None], within: float = WAIT_S) -> T:
    """Return the first answer that is neither ``None`` nor ``False``."""
    pause = threading.Event()
    deadline = time.monotonic() + within
    while True:
        found = question()
        if found is not None and found is not False:
            return found  # type: ignore[return-value]  # what is left is a T
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {question}")
        pause.wait(0.002)


def ask(host: str, path: str, port: int = PORT, timeout: float = WAIT_S) -> str:
    """Return a server's answer to one request."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def answers(host: str, port: int = PORT) -> str | None:
    """Return the process id of the server at an address, or ``None`` while nobody answers."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        return ask(host, "pid", port)
    return None


@attrs.define(kw_only=True)
class ShimmedServer:
    """One server under a shim, without a daemon."""

    folder: Path
    spec: ShimSpec
    shim: int = 0

    @property
    def host(self) -> str:
        """The server's address."""
        return self.spec.addresses[0].host

    def start(self, **environment: str) -> None:
        """Start a shim, the first or a next one."""
        write_json(str(self.folder / SPEC_FILE), spec_to_json(self.spec), durable=False)
        self.shim = start_shim(self.folder, environment)

    def state(self) -> ShimState:
        """Return what the shim wrote last."""
        value = read_json(str(self.folder / STATE_FILE))
        return ShimState(self.spec.replica) if value is None else state_from_json(value)

    def until(self, holds: Callable[[ShimState], bool], within: float = WAIT_S) -> ShimState:
        """Return the first state of which ``holds`` is true."""

        def question() -> ShimState | None:
            state = self.state()
            return state if holds(state) else None

        return until(question, within)

    def serving(self, other_than: int | None = None) -> int:
        """Return the id of the server's process once it answers."""
        return int(until(lambda: (pid := answers(self.host)) and pid != str(other_than) and pid))

    def kill_shim(self) -> None:
        """Kill the shim as nobody should."""
        os.kill(self.shim, signal.SIGKILL)
        os.waitpid(self.shim, 0)

    def wake(self) -> None:
        """Tell the shim to look for requests."""
        os.kill(self.shim, requests.WAKE)

    def stop(self, grace: float = 0.0) -> ShimState:
        """Stop the server and wait for the shim to end."""
        requests.ask_to_stop(str(self.folder), requests.StopRequest(grace, "the test is over"))
        with contextlib.suppress(ProcessLookupError):
            self.wake()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.shim, 0)
        return self.state()


Shimmed = Callable[..., ShimmedServer]


@pytest.fixture
def shimmed(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shimmed]:
    """Makes servers under shims; afterwards nothing of them is left running, or the test has failed."""
    made: list[ShimmedServer] = []

    def make(**changes: object) -> ShimmedServer:
        name = f"r{len(made)}-{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**6}"
        folder = tmp_path / name
        make_private_folder(str(folder))
        number = int.from_bytes(os.urandom(2))
        host = f"127.99.{number >> 8}.{number & 0xFF or 1}"
        environment = {"PATH": os.environ["PATH"]}
        environment.update(changes.pop("env", {}))  # type: ignore[call-overload]  # a mapping
        spec = ShimSpec(
            replica=name,
            argv=(sys.executable, "-I", "-S", str(SERVER), host, str(PORT)),
            env=tuple(sorted(environment.items())),
            addresses=(Address(host, PORT),),
            cwd=str(folder),
        )
        server = ShimmedServer(folder=folder, spec=spec._replace(**changes))  # type: ignore[arg-type]  # fields of it
        made.append(server)
        return server

    yield make
    for server in made:
        _end(server)


def _end(server: ShimmedServer) -> None:
    state = server.state()
    running = state.shim is not None and is_running(state.shim)
    if server.shim and not running and state.phase != "stopped":
        server.start()
    if server.shim:
        server.stop()
    assert [] == marked(server.spec.replica), "processes of the replica are left"


def marked(replica: str) -> list[int]:
    """Return the processes that carry a replica's mark and run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if f"{MARK}={replica}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


# ---- control groups ----


@pytest.fixture(scope="session")
def place() -> Iterator[CgroupPlace]:
    """A place for control groups; where processor or memory cannot be limited, its tests are skipped and say why."""
    found = find_place(f"roadstead-test-{os.getpid()}")
    try:
        if found.cpu is None or found.memory is None:
            pytest.skip("NO WRITABLE CONTROL GROUPS HERE, limits by them are not tested: " + "; ".join(found.notes))
        yield found
    finally:
        for folder in found.folders:
            until(partial(_removed, Path(folder)))


def _removed(folder: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        for below in folder.iterdir():
            if below.is_dir():
                with contextlib.suppress(OSError):
                    below.rmdir()
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not folder.exists()


def in_group(group: ReplicaCgroup) -> int:
    """Return the id of a child that sits in a control group and waits to be killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            enter(group)
            os.write(writing, b"in")
            signal.pause()
        finally:
            os._exit(1)  # whatever happens, there must not be a second pytest
    os.close(writing)
    assert b"in" == os.read(reading, 2)
    os.close(reading)
    return pid


@pytest.fixture
def limited(place: CgroupPlace) -> Callable[[int, int], Limits]:
    """Makes control groups of so many milli-cores and bytes; they are removed with their place."""

    def make(cpu_milli: int, memory: int) -> Limits:
        group = replica_group(place, f"group-{os.urandom(4).hex()}")
        assert group is not None
        make_group(group, cpu_milli=cpu_milli, memory=memory)
        return Limits(cgroup=group)

    return make


# ---- the whole backend ----


@attrs.define(kw_only=True)
class LocalSubject:
    """A local cluster as the contract's tests see it, and as ours do."""

    backend: LocalBackend
    open: Callable[[], LocalBackend]
    root: Path
    runtime: str = "tf_serving"
    patience_s: float = WAIT_S

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true."""

        def question() -> Snapshot | None:
            seen = self.backend.observe()
            return seen if holds(seen) else None

        return until(question, within=self.patience_s)

    def reopen(self) -> None:
        """Let go of the cluster as a daemon that ends does, and take it again as the next one."""
        self.backend.close()
        self.backend = self.open()


OpenCluster = Callable[..., LocalSubject]


@pytest.fixture
def open_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenCluster]:
    """Opens clusters on this machine; afterwards their replicas are stopped."""
    opened: list[LocalSubject] = []
    programs = tmp_path / "programs"
    programs.mkdir()
    server = programs / "server"
    server.write_text(f'#!/bin/sh\nexport SLOW_STOP="${{SLOW_STOP-0.3}}"\nexec {sys.executable} -I -S {SERVER} "$@"\n')
    server.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def make(
        *,
        place: CgroupPlace | None = NO_PLACE,
        devices: DeviceProvider | None = None,
        options: LocalOptions | None = None,
        owner_id: str = OWNER_ID,
        name: str = "here",
        root: Path | None = None,
    ) -> LocalSubject:
        for folder in place.folders if place is not None else ():
            Path(folder).mkdir(exist_ok=True)  # the last cluster there removed it when nothing was left in it
        context = BackendContext(
            cluster=name,
            fleet="tests",
            owner_id=owner_id,
            options=options or LocalOptions(model_roots=(Path("/models"), tmp_path)),
            scheduling=Scheduling.DIRECTED,
            root=root or tmp_path / f"cluster-{name}",
        )

        def connect() -> LocalBackend:
            return open_backend(context, devices=devices or NoDevices("no devices in this test"), place=place)

        subject = LocalSubject(backend=connect(), open=connect, root=context.root)
        opened.append(subject)
        return subject

    yield make
    for backend in {id(subject.backend): subject.backend for subject in opened}.values():
        take_down(backend)


def take_down(backend: LocalBackend) -> None:
    """Stop everything of a cluster, and close it."""

    def is_cleared() -> bool:
        groups = backend.observe().groups
        for group in groups:
            with contextlib.suppress(Conflict):  # a replica of it has just ended
                backend.delete(group.key, grace=Duration(0), expect=Expect(group.version))
        return not groups

    until(is_cleared)
    backend.close()
