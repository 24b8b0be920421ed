"""Commands that meet a daemon which hangs, and fleet files that are saved in two halves."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from roadstead.act.events import EventKind
from roadstead.cli.client import Client
from roadstead.cli.errors import Silent
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL, SIMULATED
from tests.hardening.conftest import first, pid_of, run_cli

pytestmark = pytest.mark.slow

TWO = SIMULATED.replace("deployments:\n", "deployments:\n  other: {model: {source: models/minilm}, replicas: 1}\n")


def test_a_stopped_daemon_is_told_from_one_that_is_gone(daemon: Daemon) -> None:
    """Whoever asks it is told which process that is and what lets it go on; then it answers as if nothing had been."""
    daemon.write(SIMULATED)
    daemon.start()
    daemon.until_listed(2)
    assert daemon.process is not None
    pid = daemon.process.pid

    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Silent) as raised:
            Client(daemon.state.socket, timeout=0.2).status()
    finally:
        os.kill(pid, signal.SIGCONT)

    assert f"the daemon (process {pid}) does not answer within 0.2 seconds" == str(raised.value)
    assert f"its process is stopped: `kill -CONT {pid}` lets it go on" == raised.value.hint
    daemon.until_listed(2)
    assert [] == daemon.events(EventKind.TURN_FAILED, EventKind.LOST, EventKind.RESTARTED)


@pytest.mark.nightly
def test_a_stopped_daemon_is_said_to_be_stopped_by_every_command(daemon: Daemon) -> None:
    """Within seconds, with its process and what lets it go on; no command takes it for gone. Then it goes on."""
    daemon.write(SIMULATED)
    daemon.start()
    daemon.until_listed(2)
    assert daemon.process is not None
    pid = daemon.process.pid

    os.kill(pid, signal.SIGSTOP)
    try:
        commands = (
            ("status",),
            ("why", "minilm"),
            ("apply", "--yes"),
            ("daemon", "stop"),
            ("daemon", "start", "--background"),
            ("check",),
        )
        with ThreadPoolExecutor(len(commands)) as pool:
            said = list(pool.map(lambda words: run_cli(daemon, *words), commands))
    finally:
        os.kill(pid, signal.SIGCONT)

    words = f"the daemon (process {pid}) does not answer within 10 seconds"
    hint = f"its process is stopped: `kill -CONT {pid}` lets it go on"
    assert [True] * 6 == [words in one.all and hint in one.all for one in said]
    assert [69, 69, 69, 69, 69, 1] == [one.code for one in said]
    turn = daemon.status().service.turn
    until(lambda: daemon.status().service.turn > turn)
    assert [] == daemon.events(EventKind.TURN_FAILED, EventKind.LOST, EventKind.RESTARTED)
    assert "ok" == daemon.health()["status"]


def test_a_file_that_is_saved_in_two_halves_is_taken_in_when_it_is_whole(daemon: Daemon) -> None:
    """Half of it is no fleet: `plan` and `validate` say so with 65, and what runs is left alone."""
    daemon.write(SIMULATED)
    daemon.start()
    daemon.until_listed(2)
    whole = TWO.replace("PORT", str(daemon.port))
    half = whole[: whole.index("    replicas: 2")]

    with daemon.file.open("w") as file:
        file.write(half[:-30])
        file.flush()
        until(lambda: daemon.status().service.bad_file)
        said = [run_cli(daemon, "plan"), run_cli(daemon, "validate")]
        assert 2 == daemon.deployment().wanted
        file.write(whole[len(half) - 30 :])
    daemon.until_listed(1, "other")

    assert [65, 65] == [one.code for one in said]
    assert () == daemon.status().service.bad_file
    assert 2 == daemon.until_listed(2).wanted
    assert [] == daemon.events(EventKind.STOPPING, EventKind.STOPPED)


@pytest.mark.nightly
def test_a_file_whose_first_half_is_a_fleet_of_its_own_takes_nothing_down(daemon: Daemon) -> None:
    """A deployment that is in the second half is missing for a while: it serves on, and is no orphan afterwards."""
    daemon.write(TWO)
    daemon.start()
    daemon.until_listed(2)
    whole = TWO.replace("PORT", str(daemon.port))
    end = whole.index("  minilm:")
    settings = whole[whole.index("daemon:") :]

    daemon.file.write_text(settings + whole[:end])
    until(lambda: ["minilm"] == [one.deployment for one in daemon.status().orphans])
    with daemon.file.open("a") as file:
        file.write(whole[end : whole.index("daemon:")])
    until(lambda: not daemon.status().orphans)

    assert 2 == daemon.until_listed(2).listed
    assert [] == daemon.events(EventKind.STOPPING, EventKind.STOPPED)


def test_a_log_is_one_object_a_line_for_programs(daemon: Daemon) -> None:
    """Each has the replica's name and one line of what its server printed."""
    daemon.write(LOCAL.replace("replicas: 2", "replicas: 1"))
    daemon.start()
    replica = first(daemon.until_listed(1)).id

    until(lambda: b"".join(daemon.client.logs(replica, tail=None, follow=False)).endswith(b"asked /\n"))

    said = run_cli(daemon, "logs", replica, "--tail", "2", "-o", "json")

    lines = [json.loads(line) for line in said.out.splitlines()]
    assert (0, 2, {replica}) == (said.code, len(lines), {line["replica"] for line in lines})
    assert "asked /" == lines[-1]["text"]


def test_a_prediction_that_cannot_be_asked_for_and_one_that_is_not_answered_end_differently(daemon: Daemon) -> None:
    """65 for an input that is none, 69 for a server that does not answer: scripts retry the one and not the other."""
    daemon.write(LOCAL.replace("replicas: 2", "replicas: 1"))
    daemon.start()
    replica = first(daemon.until_listed(1))
    body = daemon.folder / "body.json"
    body.write_text("{")
    bad = run_cli(daemon, "predict", "minilm", str(body))

    body.write_text("[1]")
    server = pid_of(replica)
    os.kill(server, signal.SIGSTOP)
    silent = run_cli(daemon, "predict", "minilm", str(body), "--replica", replica.id, "--within", "0.5")
    os.kill(server, signal.SIGCONT)

    assert (65, True) == (bad.code, "code: RS038" in bad.all)
    assert (69, True) == (silent.code, "code: RS039" in silent.all)
