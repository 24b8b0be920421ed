"""Disks that are full or read-only: what serves goes on, everything is said, and it goes on where it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roadstead.act.events import EventKind
from tests.daemon.conftest import WAIT_S, Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import first, mounted, needs_mounts, pid_of, run_cli, shim_of

ONE = LOCAL.replace("replicas: 2", "replicas: 1")
TWO = LOCAL


def _fill(folder: Path) -> Path:
    """Take all the room that is left on a disk, and return what takes it."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


@pytest.fixture
def small(daemon: Daemon) -> Iterator[Daemon]:
    """A daemon whose state is on a disk of 4 MiB; it is taken down before the disk is."""
    with mounted(daemon.state.path, "4m"):
        yield daemon
        if daemon.process is not None:
            (daemon.state.path / "filler").unlink(missing_ok=True)
            if daemon.process.poll() is not None:
                daemon.start()
            daemon.client.stop(stop_replicas=True)
            daemon.process.wait(WAIT_S)


@needs_mounts
def test_a_first_start_on_a_full_disk_says_what_cannot_be_written(small: Daemon) -> None:
    """`daemon start`, `status` and `check` name the file and the way out; nothing is a traceback."""
    small.write(ONE)
    _fill(small.state.path)

    started = run_cli(small, "daemon", "start", "--background")
    looked = run_cli(small, "status")
    checked = run_cli(small, "check")

    words = f"{small.state.identity} cannot be written: No space left on device"
    hint = "hint: make room on its disk, or make it writable for this user code: RS010"
    assert [(1, True, True)] * 2 == [(said.code, words in said.all, hint in said.all) for said in (started, looked)]
    assert (1, True) == (checked.code, "wrong state" in checked.all)


@needs_mounts
def test_a_state_that_cannot_be_written_to_at_all_is_said_at_the_start(daemon: Daemon) -> None:
    """Its disk is mounted read-only: there is no daemon, and `daemon start` has the folder and the way out."""
    mount = shutil.which("mount") or "mount"
    daemon.write(ONE)
    with mounted(daemon.state.path, "4m"):
        subprocess.run([mount, "-o", "remount,ro", daemon.state.path], check=True)
        started = run_cli(daemon, "daemon", "start", "--background")

    words = f"{daemon.state.path} is read-only for this user hint: set daemon.state to a directory of yours code: RS010"
    assert (1, True) == (started.code, words in started.all)


@needs_mounts
def test_a_disk_that_fills_up_stops_nothing_that_serves_and_what_was_asked_is_done_later(small: Daemon) -> None:
    """Nothing new is begun, which `status`, `why`, `/healthz` and the log say; with room again, it is made up for."""
    small.write(ONE)
    small.start()
    serving = pid_of(first(small.until_listed(1)))
    until(lambda: any(group.proven for group in small.deployment().groups))
    filler = _fill(small.state.path)

    scaled = run_cli(small, "scale", "minilm", "2")
    small.write(TWO)
    until(lambda: small.status().service.problems)
    until(lambda: small.deployment().wanted == 2)
    told = [run_cli(small, "status"), run_cli(small, "why", "minilm")]

    words = f"nothing is started, moved or stopped since 2.*{small.state.memory} cannot be written"
    assert (1, True) == (scaled.code, "identity.json cannot be written: No space left on device" in scaled.all)
    assert [(0, True)] * 2 == [(said.code, _says(words, said.all)) for said in told]
    assert "failing" == small.health()["status"]
    assert b"roadstead_turns_failing 1.0" in small.http("/metrics")
    assert 1 == len(small.deployment().replicas)
    assert serving == pid_of(first(small.deployment()))
    filler.unlink()
    small.until_listed(2)
    assert "ok" == small.health()["status"]
    assert serving in {pid_of(replica) for replica in small.deployment().replicas}
    assert [EventKind.TURNS_WORK] == [event.kind for event in small.events(EventKind.TURNS_WORK)]


def _says(words: str, text: str) -> bool:
    before, _, after = words.partition(".*")
    return before in text and after in text.partition(before)[2]


@pytest.mark.nightly
@needs_mounts
def test_a_server_that_dies_on_a_full_disk_is_started_again_and_one_that_does_not_answer_leaves_the_list(
    small: Daemon,
) -> None:
    """The shim needs no disk to heal; what is shown is what is seen now, and not what was when there was room."""
    small.write(ONE.replace("every: 500ms", "every: 200ms"))
    small.start()
    replica = first(small.until_listed(1))
    killed = pid_of(replica)
    until(lambda: any(group.proven for group in small.deployment().groups))
    filler = _fill(small.state.path)

    os.kill(killed, signal.SIGKILL)
    again = until(lambda: _pid_or_none(small, other_than=killed))
    os.kill(again, signal.SIGSTOP)
    until(lambda: small.deployment().listed == 0)
    os.kill(again, signal.SIGCONT)
    small.until_listed(1)

    filler.unlink()
    until(lambda: 1 == len(shim_of(small, replica.id).exits))


def _pid_or_none(daemon: Daemon, other_than: int) -> int | None:
    try:
        pid = pid_of(first(daemon.deployment()))
    except OSError:
        return None
    return pid if pid != other_than else None


@pytest.mark.nightly
@needs_mounts
def test_a_daemon_that_starts_on_a_full_disk_adopts_what_runs_and_shows_it(small: Daemon) -> None:
    """It answers with the fleet as it is, and with what it cannot do; nobody is restarted."""
    small.write(ONE)
    small.start()
    serving = pid_of(first(small.until_listed(1)))
    until(lambda: any(group.proven for group in small.deployment().groups))
    small.kill()
    _fill(small.state.path)

    small.start()

    assert serving == pid_of(first(small.until_listed(1)))
    assert any("cannot be" in problem for problem in small.status().service.problems)


@contextmanager
def _disk_that_fails(path: Path) -> Iterator[None]:
    """Keep an ext4 file system at ``path``, which the block may make fail as the kernel does for a broken disk."""
    image = path.with_name("disk.img")
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    mkfs, mount, unmount = (shutil.which(name) or name for name in ("mkfs.ext4", "mount", "umount"))
    subprocess.run([mkfs, "-q", image], check=True)
    path.mkdir(mode=0o700)
    mounting = subprocess.run([mount, "-o", "loop", image, path], check=False)
    if mounting.returncode != 0:
        pytest.skip("no loop device can be had here")
    try:
        path.chmod(0o700)
        yield
    finally:
        subprocess.run([unmount, "-l", path], check=True)


@pytest.mark.nightly
@needs_mounts
@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="there is no mkfs.ext4")
def test_a_disk_that_turns_read_only_is_said_and_what_serves_goes_on(daemon: Daemon) -> None:
    """As the kernel makes it after an error: commands that change are refused, no new daemon starts, nothing stops."""
    mount = shutil.which("mount") or "mount"
    with _disk_that_fails(daemon.state.path):
        daemon.write(ONE)
        daemon.start()
        replica = first(daemon.until_listed(1))
        serving, shim = pid_of(replica), shim_of(daemon, replica.id).shim
        assert shim is not None
        until(lambda: any(group.proven for group in daemon.deployment().groups))

        subprocess.run([mount, "-o", "remount,abort", daemon.state.path], check=False)
        scaled = run_cli(daemon, "scale", "minilm", "2")
        daemon.write(TWO)
        until(lambda: daemon.status().service.problems)
        status = run_cli(daemon, "status")
        daemon.kill()
        started = run_cli(daemon, "daemon", "start", "--background")
        daemon.process = None

        assert (1, True) == (scaled.code, "identity.json cannot be written: Read-only file system" in scaled.all)
        assert f"{daemon.state.memory} cannot be written: Read-only file system" in status.all
        assert (1, True) == (started.code, "Read-only file system" in started.all)
        assert serving == pid_of(replica)
        os.kill(shim.pid, signal.SIGTERM)  # nobody could be told to stop it: its folder takes no request
        until(lambda: not os.path.exists(f"/proc/{shim.pid}"))  # noqa: PTH110
