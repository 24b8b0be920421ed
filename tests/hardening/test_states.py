"""State that is newer, damaged, removed or replaced, also while the daemon runs."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roadstead.act.events import EventKind
from roadstead.act.journal import JOURNAL_VERSION
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL, SIMULATED
from tests.hardening.conftest import pid_of, run_cli

pytestmark = pytest.mark.slow

ONE = LOCAL.replace("replicas: 2", "replicas: 1")


def _ran_once(daemon: Daemon, text: str = SIMULATED) -> None:
    daemon.write(text)
    daemon.start()
    daemon.until_listed(2)
    daemon.terminate()


def _set_version(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={version}")


def test_memory_of_a_newer_version_is_refused_and_left_as_it_is(daemon: Daemon) -> None:
    """Both versions are in the message, of the daemon and of a command that looks."""
    _ran_once(daemon)
    _set_version(daemon.state.memory, 99)
    before = daemon.state.memory.read_bytes()

    said = [run_cli(daemon, "daemon", "start", "--background"), run_cli(daemon, "status")]

    words = f"{daemon.state.memory} has format version 99, this program knows 1 hint: use the newer roadstead"
    assert [(1, True)] * 2 == [(one.code, words in one.all) for one in said]
    assert before == daemon.state.memory.read_bytes()
    _set_version(daemon.state.memory, 1)
    daemon.start()


@pytest.mark.nightly
def test_an_identity_of_a_newer_version_is_refused_and_left_as_it_is(daemon: Daemon) -> None:
    """A new one would disown every replica."""
    _ran_once(daemon)
    good = daemon.state.identity.read_text()
    newer = json.dumps({**json.loads(good), "format_version": 99})
    daemon.state.identity.write_text(newer)

    said = run_cli(daemon, "daemon", "start", "--background")

    assert (1, True) == (said.code, f"{daemon.state.identity} has format version 99, this program knows" in said.all)
    assert newer == daemon.state.identity.read_text()
    daemon.state.identity.write_text(good)
    daemon.start()


@pytest.mark.nightly
def test_a_journal_of_a_newer_version_is_left_alone_and_the_daemon_does_without(daemon: Daemon) -> None:
    """Nothing depends on it: the fleet is driven, and `status` says why events are not kept."""
    _ran_once(daemon)
    _set_version(daemon.state.journal, JOURNAL_VERSION + 1)

    daemon.start()
    daemon.until_listed(2)

    assert f"it has format version {JOURNAL_VERSION + 1}, this program knows {JOURNAL_VERSION}" in (
        run_cli(daemon, "status").all
    )
    assert not daemon.state.journal.with_name("journal.sqlite.damaged").exists()
    daemon.terminate()
    _set_version(daemon.state.journal, JOURNAL_VERSION)
    daemon.start()


@pytest.mark.nightly
def test_events_of_kinds_that_are_not_known_are_shown_in_their_words(daemon: Daemon) -> None:
    """A newer program told them, before somebody went back to this one."""
    _ran_once(daemon)
    with closing(sqlite3.connect(daemon.state.journal)) as connection, connection:
        connection.execute(
            "INSERT INTO event (at, kind, text, cluster, deployment, subject, reason)"
            " VALUES (1, 'replica-teleported', 'it was somewhere else', '', '', 's', '')"
        )

    without = run_cli(daemon, "events")
    daemon.start()
    told = run_cli(daemon, "events")

    assert [(0, True)] * 2 == [(one.code, "other it was somewhere else" in one.all) for one in (without, told)]


@pytest.mark.nightly
def test_a_journal_with_other_tables_is_set_aside_and_begun_anew(daemon: Daemon) -> None:
    """It says that it is of this version and is not: the next daemon keeps it for whoever wants to look."""
    _ran_once(daemon)
    with closing(sqlite3.connect(daemon.state.journal)) as connection, connection:
        connection.execute("ALTER TABLE event RENAME COLUMN reason TO cause")

    daemon.start()

    assert 1 == len(until(lambda: daemon.events(EventKind.DAEMON_STARTED)))
    assert daemon.state.journal.with_name("journal.sqlite.damaged").exists()


def test_a_state_directory_that_is_removed_is_written_again_and_nothing_is_lost(daemon: Daemon) -> None:
    """Commands find the daemon again, the same servers serve, and the next daemon adopts them under the same identity.

    Also an intent that only the identity held is there again.
    """
    daemon.write(ONE)
    daemon.start()
    daemon.until_listed(1)
    daemon.client.scale("minilm", 2)
    serving = {pid_of(replica) for replica in daemon.until_listed(2).replicas}
    owner = json.loads(daemon.state.identity.read_text())["identity"]["owner_id"]

    shutil.rmtree(daemon.state.path.rename(daemon.folder / "removed"))  # all at once, whatever is written meanwhile
    until(lambda: daemon.client.alive() and daemon.events(EventKind.STATE_RESTORED))

    assert serving == {pid_of(replica) for replica in daemon.until_listed(2).replicas}
    assert "ok" == daemon.health()["status"]
    assert 0 == daemon.terminate()
    daemon.start()
    assert serving == {pid_of(replica) for replica in daemon.until_listed(2).replicas}
    assert owner == json.loads(daemon.state.identity.read_text())["identity"]["owner_id"]
    assert "by command: scale minilm 2" in run_cli(daemon, "status").all


@pytest.mark.parametrize(
    "name",
    [
        "identity.json",
        pytest.param("control.sock", marks=pytest.mark.nightly),
        pytest.param("daemon.lock", marks=pytest.mark.nightly),
        pytest.param("memory.sqlite", marks=pytest.mark.nightly),
        pytest.param("journal.sqlite", marks=pytest.mark.nightly),
    ],
)
def test_a_file_that_is_removed_from_the_state_comes_back(daemon: Daemon, name: str) -> None:
    """As by whoever cleans up files that are old: each is there again a moment later, and works."""
    daemon.write(SIMULATED)
    daemon.start()
    daemon.until_listed(2)
    path = daemon.state.path / name
    inode = path.stat().st_ino

    aside = path.with_name("aside")
    path.rename(aside)
    until(daemon.client.alive)
    daemon.client.scale("minilm", 3)
    daemon.until_listed(3)

    until(lambda: path.exists() and path.stat().st_ino != inode)
    refused = run_cli(daemon, "daemon", "start", "--background")
    assert "runs already" in refused.all


def test_a_state_directory_with_another_identity_in_its_place_is_not_written_into(daemon: Daemon) -> None:
    """Somebody put another fleet's state there: nothing is done any more, and that is said; the former one ends it."""
    daemon.write(SIMULATED)
    daemon.start()
    daemon.until_listed(2)
    aside = daemon.folder / "aside"
    identity = json.loads(daemon.state.identity.read_text())
    identity["identity"]["owner_id"] = "0" * 16
    daemon.state.path.rename(aside)
    daemon.state.path.mkdir(mode=0o700)
    daemon.state.identity.write_text(json.dumps(identity))

    until(lambda: "failing" == daemon.health()["status"])
    (problem,) = [one for one in daemon.health()["problems"] if "identity" in one]
    assert f"{daemon.state.identity} was replaced by another identity while the daemon ran" in problem
    assert identity == json.loads(daemon.state.identity.read_text())

    shutil.rmtree(daemon.state.path)
    aside.rename(daemon.state.path)
    until(lambda: "ok" == daemon.health()["status"])
