"""Real daemons in processes of their own, for simulated clusters and for this machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

from roadstead.act.events import Event, EventKind
from roadstead.act.state import StateDirectory
from roadstead.cli.client import Client
from roadstead.decide.report import DeploymentStatus, FleetStatus
from tests.ports import free_port

T = TypeVar("T")
WAIT_S = 90.0
"""Seconds that pass only on a machine with very much else to do, or in vain."""
HERE = Path(__file__).parent


def until(question: Callable[[], T | bool | None], within: float = WAIT_S) -> T:
    """Return the first answer that is true, or not empty."""
    pause, deadline = threading.Event(), time.monotonic() + within
    while True:
        found = question()
        if found:
            return found  # type: ignore[return-value]  # what is left is a T
        assert time.monotonic() < deadline, f"not within {within:g} s"
        pause.wait(0.02)


@attrs.define
class Daemon:
    """One fleet file in a folder of its own, and the daemon that runs it."""

    folder: Path
    environment: dict[str, str]
    port: int = attrs.field(factory=free_port)
    program: tuple[str, ...] = ("-m", "roadstead.daemon")
    process: subprocess.Popen[bytes] | None = None

    @property
    def file(self) -> Path:
        """The fleet file."""
        return self.folder / "fleet.yaml"

    @property
    def state(self) -> StateDirectory:
        """Its state."""
        return StateDirectory(self.folder / "state")

    @property
    def client(self) -> Client:
        """The control API, as commands use it."""
        return Client(self.state.socket)

    def write(self, text: str) -> None:
        """Save the fleet file in one go, with the daemon's own settings added."""
        beside = self.folder / ".fleet.yaml.new"
        beside.write_text(text.replace("PORT", str(self.port)))
        beside.replace(self.file)

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        reading, writing = os.pipe()
        with (self.folder / "out").open("ab") as out:
            command = [sys.executable, *self.program, str(self.file), "--ready-fd", str(writing)]
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, env=self.environment, pass_fds=(writing,), start_new_session=True
            )
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            answer = said.read()
        assert answer == b"ready\n", f"{answer!r}\n{self.said()}"

    def kill(self) -> None:
        """End the daemon as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(WAIT_S)

    def terminate(self) -> int:
        """Ask the daemon to end, and return its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def said(self) -> str:
        """Return what the daemon printed."""
        return (self.folder / "out").read_text()

    def status(self) -> FleetStatus:
        """Return what `status` says."""
        return self.client.status()

    def deployment(self, name: str = "minilm") -> DeploymentStatus:
        """Return what `status` says of one deployment."""
        found = self.status().deployment(name)
        assert found is not None
        return found

    def until_listed(self, count: int, name: str = "minilm") -> DeploymentStatus:
        """Wait until exactly that many replicas are there and clients may use all of them."""

        def listed() -> DeploymentStatus | None:
            found = self.status().deployment(name)
            return found if found is not None and found.listed == len(found.replicas) == count else None

        return until(listed)

    def events(self, *kinds: EventKind) -> list[Event]:
        """Return the events of these kinds so far."""
        return [event for event in self.client.events(since=0, follow=False, deployment=None) if event.kind in kinds]

    def health(self) -> dict[str, Any]:
        """Return what `/healthz` says over TCP."""
        return json.loads(self.http("/healthz"))  # type: ignore[no-any-return]

    def http(self, path: str) -> bytes:
        """Return the body of one monitoring page."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        return answer.partition(b"\r\n\r\n")[2]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the runtime `tiny` is installed."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny_runtime.py").write_text((HERE / "tiny_runtime.py").read_text())
    info = folder / "tiny-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[roadstead]\ntiny = tiny_runtime\n")
    server = folder / "tiny-server"
    server.write_text(f'#!/bin/sh\nexec {sys.executable} -I -u {HERE / "tiny_server.py"} "$@"\n')
    server.chmod(server.stat().st_mode | stat.S_IXUSR)
    path = f"{folder}:{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(folder), "PATH": path}


@pytest.fixture
def daemon(tmp_path: Path, installed: dict[str, str]) -> Iterator[Daemon]:
    """A daemon that has not been started; its replicas are taken down at the end."""
    (tmp_path / "models" / "minilm" / "1").mkdir(parents=True)
    made = Daemon(tmp_path, installed)
    yield made
    if made.process is None:
        return
    if made.process.poll() is None:
        made.client.stop(stop_replicas=True)
        made.process.wait(WAIT_S)
    assert "Traceback" not in made.said()
