"""Starting a daemon: in the background, twice, and where it cannot."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from roadstead.act.state import StateDirectory
from roadstead.daemon import process
from roadstead.daemon.errors import CannotListen, DidNotStart, StartFailed
from roadstead.daemon.serving import bind_monitoring
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import SIMULATED


@pytest.fixture
def background(daemon: Daemon) -> Iterator[Daemon]:
    """A daemon to be started in the background; it is stopped at the end."""
    yield daemon
    if daemon.client.alive():
        pid = daemon.status().service.daemon
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_background_daemon_answers_when_start_returns(background: Daemon) -> None:
    """It is detached, says its pid, and logs to a file that only its owner reads."""
    background.write(SIMULATED)

    pid = process.start(background.file, background.state)

    assert pid == background.status().service.daemon
    assert os.getsid(pid) == pid
    assert "fleet shop" in background.state.log.read_text()
    assert 0o600 == background.state.log.stat().st_mode & 0o777


def test_a_second_daemon_is_refused_with_the_first_ones_pid(background: Daemon) -> None:
    """The message says who has the state, with the code and exit code of the refusal."""
    background.write(SIMULATED)
    pid = process.start(background.file, background.state)

    with pytest.raises(StartFailed, match=rf"in use by `roadstead daemon` \(process {pid}\)") as refused:
        process.start(background.file, background.state)
    assert ("RS010", 1) == (refused.value.told, refused.value.exits)


def test_a_taken_port_is_said_before_anything_is_touched(background: Daemon) -> None:
    """No replica is started by a daemon that cannot be watched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        background.port = taken.getsockname()[1]
        background.write(SIMULATED)
        with pytest.raises(StartFailed, match=f"daemon.http 127.0.0.1:{background.port} cannot be listened on"):
            process.start(background.file, background.state)

    assert not background.state.memory.exists()


def test_a_bad_fleet_file_is_said_with_its_problems(background: Daemon) -> None:
    """The words of the reader arrive at whoever started the daemon, with exit code 65."""
    background.write(SIMULATED.replace("replicas: 2", "replicas: many"))

    with pytest.raises(StartFailed, match=r"fleet\.yaml:16:15") as refused:
        process.start(background.file, background.state)
    assert ("RS200", 65) == (refused.value.told, refused.value.exits)


def test_a_socket_path_that_is_too_long_is_said(background: Daemon) -> None:
    """The system's limit is explained, not met as a strange error."""
    long = "x" * 100
    background.write(SIMULATED.replace("state: state", f"state: {long}"))

    with pytest.raises(StartFailed, match="the system allows 107"):
        process.start(background.file, StateDirectory(background.folder / long))


def test_a_damaged_identity_is_not_made_anew(background: Daemon) -> None:
    """The daemon refuses to start rather than to disown what runs."""
    background.write(SIMULATED)
    StateDirectory.open(background.state.path)
    background.state.identity.write_text("{")

    with pytest.raises(StartFailed, match="identity of fleet 'shop' cannot be read"):
        process.start(background.file, background.state)


def test_a_daemon_that_dies_without_a_word_is_said_with_its_log(
    background: Daemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An interpreter that ends at once: the status and the last lines of the log are in the message."""
    dying = tmp_path / "python"
    dying.write_text("#!/bin/sh\necho this is the end >&2\nexit 3\n")
    dying.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dying))
    background.write(SIMULATED)

    with pytest.raises(DidNotStart, match=r"(?s)before it answered.*this is the end"):
        process.start(background.file, background.state)


@pytest.mark.parametrize(
    "address", ["0.0.0.0:7070", "192.0.2.1:7070", "example.org:7070", "127.0.0.1", ":7070", "[::]:1"]
)
def test_only_loopback_is_listened_on(address: str) -> None:
    """Anything else would need tls and a token."""
    with pytest.raises(CannotListen, match="is no loopback address with a port"):
        bind_monitoring(address)
