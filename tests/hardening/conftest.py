"""Real daemons on this machine, with the means to hurt them: small disks, lost folders, stopped processes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from roadstead.decide.report import DeploymentStatus, ReplicaStatus
from roadstead.shim.state import STATE_FILE, ShimState, state_from_json
from tests.daemon.conftest import Daemon, daemon, installed, until

__all__ = ["Said", "daemon", "folder_of", "installed", "mounted", "needs_mounts", "pid_of", "run_cli", "shim_of"]

HERE = Path(__file__).parent
_MOUNT, _UNMOUNT = shutil.which("mount"), shutil.which("umount")
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or _MOUNT is None or _UNMOUNT is None, reason="mounting a small disk needs root"
)


@pytest.fixture(scope="session", autouse=True)
def _odd(installed: dict[str, str]) -> None:
    """Install the runtime `odd` beside `tiny`."""
    folder = Path(installed["PYTHONPATH"])
    (folder / "odd_runtime.py").write_text((HERE / "odd_runtime.py").read_text())
    info = folder / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[roadstead]\nodd = odd_runtime\n")
    server = folder / "odd-server"
    server.write_text(f'#!/bin/sh\nexec {sys.executable} -I -u {HERE / "odd_server.py"} "$@"\n')
    server.chmod(0o755)


@attrs.frozen(kw_only=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams, with the line breaks of a narrow screen undone."""
        return " ".join(f"{self.out}\n{self.err}".split())


def run_cli(daemon: Daemon, *arguments: str, within: float = 180.0) -> Said:
    """Run ``roadstead`` as a person would, for the fleet file of ``daemon``."""
    command = [sys.executable, "-m", "roadstead", *arguments]
    environment = {**daemon.environment, "ROADSTEAD_FILE": str(daemon.file), "COLUMNS": "400"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=within, check=False)
    return Said(code=done.returncode, out=done.stdout, err=done.stderr)


def pid_of(replica: ReplicaStatus) -> int:
    """Return the process of a tiny server, by its own word."""
    assert replica.host is not None
    assert replica.rest is not None
    connection = http.client.HTTPConnection(replica.host, replica.rest, timeout=60)
    try:
        connection.request("GET", "/")
        return int(json.loads(connection.getresponse().read())["pid"])
    finally:
        connection.close()


def folder_of(daemon: Daemon, replica: str, cluster: str = "here") -> Path:
    """Return the folder of a replica on the local cluster."""
    return daemon.state.path / "clusters" / cluster / "replicas" / replica


def shim_of(daemon: Daemon, replica: str) -> ShimState:
    """Return what the shim of a replica wrote last."""

    def read() -> ShimState | None:
        try:
            return state_from_json(json.loads((folder_of(daemon, replica) / STATE_FILE).read_text()))
        except (OSError, ValueError):
            return None

    return until(read)


@contextmanager
def mounted(path: Path, size: str) -> Iterator[None]:
    """Keep a disk of its own, of that size, at ``path`` until the block ends."""
    assert _MOUNT is not None
    assert _UNMOUNT is not None
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run([_MOUNT, "-t", "tmpfs", "-o", f"size={size},mode=700", "roadstead-test", path], check=True)
    try:
        yield
    finally:
        # Lazily: what a test left open there must not keep the mount for ever.
        subprocess.run([_UNMOUNT, "-l", path], check=True)


def first(found: DeploymentStatus) -> ReplicaStatus:
    """Return the replica whose id comes first."""
    return min(found.replicas, key=lambda replica: replica.id)
