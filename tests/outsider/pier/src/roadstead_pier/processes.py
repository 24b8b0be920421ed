"""Starting and ending processes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import attrs

from roadstead.spi.expansion import expand, own_ports
from roadstead.spi.processes import identity_of
from roadstead.spi.runtime import Program
from roadstead.spi.values import Duration
from roadstead_pier.records import Berth, Record


def now() -> int:
    """Return the milliseconds since boot: a clock that nobody sets."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def start(record: Record, folder: Path) -> Berth:
    """Start one more server of a group, and return it; raises ``FileNotFoundError`` for a program that is not there."""
    name = f"{record.key}-{secrets.token_hex(4)}"
    home = folder / name
    home.mkdir()
    host = "127." + ".".join(str(part % 253 + 1) for part in secrets.token_bytes(3))
    folders = {"MODEL_DIR": record.template.model.source, "CONFIG_DIR": str(home)}
    meanings = {"HOST": host, **folders, **own_ports(record.launch)}
    for file in record.launch.files:
        (home / file.name).write_text(expand(file.content, meanings))
    argv = [*_program(record.launch.program), *(expand(word, meanings) for word in record.launch.args)]
    variables = {name: expand(value, meanings) for name, value in record.launch.env}
    log = (os.POSIX_SPAWN_OPEN, 1, str(home / "log"), os.O_WRONLY | os.O_CREAT, 0o600)
    pid = os.posix_spawn(
        argv[0],
        argv,
        {**os.environ, **variables, **{one.name: one.value for one in record.template.env}},
        file_actions=[log, (os.POSIX_SPAWN_DUP2, 1, 2)],
        setsid=True,
    )
    identity = identity_of(pid)
    assert identity is not None, "nobody else waits for our child"
    return Berth(
        id=name,
        host=host,
        pid=pid,
        started=identity.started,
        boot=identity.boot,
        began=time.time_ns() // 1_000_000,
    )


def stop(berth: Berth, grace: Duration) -> Berth:
    """Ask a process to stop, and return it with the time when it is to be killed."""
    if berth.alive:
        os.killpg(berth.pid, signal.SIGTERM)
    return attrs.evolve(berth, kill_at=now() + grace.ms)


def kill(berth: Berth) -> None:
    """End a process and what it started."""
    if berth.alive:
        os.killpg(berth.pid, signal.SIGKILL)


def reap(berths: Iterable[Berth]) -> None:
    """Collect those that ended and are our children; others' children are theirs to collect."""
    for berth in berths:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(berth.pid, os.WNOHANG)


def _program(program: Program) -> list[str]:
    if program.module is not None:
        return [sys.executable, "-m", program.module]
    found = shutil.which(str(program.executable))
    if found is None:
        raise FileNotFoundError(f"there is no program {program.executable!r} on the PATH")
    return [found]
