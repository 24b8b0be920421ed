"""The commands with a real daemon in a process of its own, on a simulated cluster."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import psutil
import pytest

from roadstead.act.lock import StateLock
from roadstead.act.state import StateDirectory
from roadstead.cli.client import Client
from roadstead.cli.exits import Exit
from tests.ports import free_port

pytestmark = pytest.mark.timeout(600)

TERMINAL = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
FILE = """\
version: 1
fleet: shop
clusters:
  here:
    backend: simulated
    options: {{nodes: 2, cpu: 2, memory: 4Gi, speed: 20, load: {load}}}
quotas: {{me: {{cpu: 2}}}}
deployments:
  minilm:
    owner: me
    model: {{source: models/minilm}}
    runtime: {{name: simulated}}
    resources: {{cpu: 500m, memory: 1Gi}}
    stop: {{drain_within: 100ms, kill_after: 100ms}}
    replicas: 2
daemon: {{state: state, turn: 1s, http: "127.0.0.1:{port}"}}
"""


def until(question: Callable[[], bool]) -> None:
    """Wait until the answer is yes."""
    pause, deadline = threading.Event(), time.monotonic() + 90
    while not question():
        assert time.monotonic() < deadline
        pause.wait(0.05)


@attrs.define
class Place:
    """A folder with a fleet file, and the command run in it."""

    folder: Path
    load: str = "1s"

    def __attrs_post_init__(self) -> None:
        self.write()

    def write(self, **changes: str) -> None:
        """Write the fleet file, with parts of its text replaced."""
        text = FILE.format(load=self.load, port=free_port())
        for old, new in changes.items():
            text = text.replace(old, new)
        (self.folder / "fleet.yaml").write_text(text)

    def edit(self, old: str, new: str) -> None:
        """Change a text in the fleet file."""
        path = self.folder / "fleet.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "roadstead", *arguments]

    def run(self, *arguments: str, expect: Exit = Exit.DONE) -> subprocess.CompletedProcess[str]:
        """Run a command with no terminal, and hold it to its exit code."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run a command and return what it says to programs."""
        found = json.loads(self.run(*arguments, "--json").stdout)
        assert isinstance(found, dict)
        assert 1 == found["format_version"]
        return found


@pytest.fixture
def alone(tmp_path: Path) -> Place:
    """A fleet without a daemon."""
    return Place(tmp_path)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A fleet with a daemon in the background."""
    made = Place(tmp_path)
    made.run("daemon", "start", "--background")
    yield made
    made.run("daemon", "stop")


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Place]:
    """A fleet whose models take an hour to load."""
    made = Place(tmp_path, load="1h")
    made.run("daemon", "start", "--background")
    yield made
    made.run("daemon", "stop")


def interrupted(place: Place, *arguments: str, stream: str) -> tuple[int, str]:
    """Run a command until its first line on ``stream``, press Ctrl-C, and return how it ended and what it said."""
    # A shell has what it starts in the background ignore Ctrl-C, and whoever runs these tests may be such a thing.
    command = ["env", "--default-signal=INT", *place.command(*arguments)]
    process = subprocess.Popen(command, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = process.stdout if stream == "stdout" else process.stderr
    assert first is not None
    line = first.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=90)
    assert line
    return process.returncode, err


def test_a_fleet_is_applied_looked_at_scaled_and_deleted(place: Place) -> None:
    """The way of a person through the commands, each with a true exit code."""
    applied = place.run("apply", "--yes")
    assert "2/2" in applied.stdout

    status = place.json("status")
    assert [("minilm", "settled", 2)] == [(one["name"], one["state"], one["ready"]) for one in status["deployments"]]
    assert 2 == len(place.json("endpoints")["endpoints"])
    assert [] == place.json("drift", "minilm")["groups"]
    assert 2 == len(place.json("limits", "minilm")["deployments"][0]["replicas"])
    assert "as asked: 2 of 2 serving" == place.json("why", "minilm")["summary"]
    place.run("plan", "--detailed-exitcode")
    assert "nothing to do" in place.run("plan").stdout

    place.run("scale", "minilm", "3")
    assert 3 == place.json("status")["deployments"][0]["ready"]

    events = [json.loads(line)["kind"] for line in place.run("events", "minilm", "--json").stdout.splitlines()]
    assert {"replica-created", "replica-placed", "replica-started", "replica-ready", "intent"} <= set(events)

    assert "--yes" in place.run("delete", "minilm", expect=Exit.USAGE).stderr
    assert 3 == place.json("status")["deployments"][0]["ready"]
    place.run("delete", "minilm", "--yes")
    assert [] == place.json("status")["deployments"][0]["replicas"]

    assert "create 2" in place.run("plan").stdout
    assert "2/2" in place.run("apply", "--yes").stdout


def test_what_is_over_the_quota_is_refused_with_the_numbers_and_touches_nothing(place: Place) -> None:
    """3, the smallest change, and the same replicas as before."""
    place.run("apply", "-y")
    before = {one["id"] for one in place.json("status")["deployments"][0]["replicas"]}
    refused = place.run("scale", "minilm", "9", expect=Exit.UNPLACEABLE)
    assert "lower replicas by 5" in refused.stderr
    assert before <= {one["id"] for one in place.json("status")["deployments"][0]["replicas"]}
    place.run("plan", "--detailed-exitcode", expect=Exit.UNPLACEABLE)
    assert "quota: 5 more would be over the quota of me" in place.run("why", "minilm").stdout


@pytest.mark.slow
def test_a_bad_file_is_told_by_every_command_and_changes_nothing(place: Place) -> None:
    """65 and the place of the problem; the daemon keeps the last good fleet and says so."""
    place.run("apply", "-y")
    place.edit("replicas: 2", "replicsa: 2")
    assert "did you mean replicas?" in place.run("validate", expect=Exit.INVALID).stdout
    assert "did you mean replicas?" in place.run("apply", "-y", expect=Exit.INVALID).stderr
    # It waits until the daemon has read the file, and tells its problems: the daemon plans for the last good one.
    assert "did you mean replicas?" in place.run("plan", expect=Exit.INVALID).stderr
    status = place.json("status")
    assert any("replicsa" in line for line in status["service"]["bad_file"])
    assert 2 == status["deployments"][0]["ready"]
    assert "changed, and wrong" in place.run("daemon", "status").stdout


@pytest.mark.slow
def test_that_nothing_is_done_is_told_by_every_command_that_looks(place: Place) -> None:
    """With the moment and the cause, while the memory cannot be written; once it can be, nobody speaks of it."""
    place.run("apply", "-y")
    state = StateDirectory(place.folder / "state")
    with contextlib.closing(sqlite3.connect(state.memory, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        Client(state.socket).scale("minilm", 1)
        until(lambda: bool(Client(state.socket).status().service.problems))
        told = [place.run("status").stdout, place.run("why", "minilm").stderr, place.run("plan").stderr]
        other.execute("ROLLBACK")
    flat = [" ".join(text.split()) for text in told]
    words = ("nothing is started, moved or stopped since 2", "cannot be written")
    assert [] == [text for text in flat if any(word not in text for word in words)]
    until(lambda: not Client(state.socket).status().service.problems)
    assert "nothing is started" not in place.run("status").stdout + place.run("why", "minilm").stderr


@pytest.mark.slow
def test_what_vanished_from_the_file_is_asked_for_and_then_removed(place: Place) -> None:
    """A half-saved file takes nothing down; `apply` and a yes do."""
    place.run("apply", "-y")
    place.edit("  minilm:\n    owner", "  other:\n    owner")
    place.run("apply", expect=Exit.USAGE)
    assert ["minilm"] == [one["deployment"] for one in place.json("status")["orphans"]]
    place.run("apply", "--yes")
    status = place.json("status")
    assert [] == status["orphans"]
    assert ["other"] == [one["name"] for one in status["deployments"]]


@pytest.mark.slow
def test_a_deployment_that_is_not_there_is_told_with_those_that_are(place: Place) -> None:
    """Whatever the command."""
    for arguments in (
        ("status", "nope"),
        ("why", "nope"),
        ("logs", "nope"),
        ("scale", "nope", "2"),
        ("endpoints", "nope"),
        ("limits", "nope"),
        ("drift", "nope"),
    ):
        assert "minilm" in place.run(*arguments, expect=Exit.ERROR).stderr


@pytest.mark.slow
def test_waiting_ends_when_the_time_is_over(slow: Place) -> None:
    """4, and the change goes on; --detach does not wait at all."""
    assert "RS041" in slow.run("apply", "-y", "--timeout", "1s", expect=Exit.TIMED_OUT).stderr
    slow.run("apply", "-y", "--detach")
    assert "progressing" == slow.json("status")["deployments"][0]["state"]


def test_ctrl_c_says_what_goes_on_without_the_command(slow: Place) -> None:
    """130, no traceback, and the daemon still works on it."""
    code, err = interrupted(slow, "apply", "-y", stream="stderr")
    assert Exit.INTERRUPTED == code
    assert "interrupted: the daemon goes on" in err
    assert "Traceback" not in err
    code, _ = interrupted(slow, "status", "--watch", stream="stdout")
    assert Exit.INTERRUPTED == code
    slow.run("daemon", "status")


def answered(place: Place, answer: bytes) -> tuple[int, str]:
    """Run `apply` on a terminal, answer its question, and return how it ended and what stood on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        place.command("apply"), cwd=place.folder, stdin=theirs, stdout=theirs, stderr=theirs, env=TERMINAL
    )
    os.close(theirs)
    shown = b""
    asked = False
    with contextlib.suppress(OSError):  # what a terminal says when its other end is gone
        while chunk := os.read(ours, 65536):
            shown += chunk
            if b"do this?" in shown and not asked:
                asked = True
                os.write(ours, answer)
    os.close(ours)
    return process.wait(timeout=90), shown.decode()


@pytest.mark.slow
def test_on_a_terminal_apply_asks_and_shows_a_live_table(alone: Place) -> None:
    """A no changes nothing; a yes is followed to the end, and the next steps are told."""
    code, shown = answered(alone, b"n\n")
    assert Exit.ERROR == code
    assert "nothing was changed" in shown
    assert [] == alone.json("status")["deployments"][0]["replicas"]
    code, shown = answered(alone, b"y\n")
    assert Exit.DONE == code
    assert "\x1b[2K" in shown  # the table was drawn over itself
    assert "it answers: curl http://" in shown


@pytest.mark.slow
def test_a_daemon_is_started_once_and_stopped_for_good(alone: Place) -> None:
    """Starting a second time, and stopping what is gone, are no errors; asking for it is."""
    assert "no daemon runs" in alone.run("daemon", "status", expect=Exit.UNREACHABLE).stderr
    alone.run("daemon", "start", "--background")
    assert "runs already" in alone.run("daemon", "start", "--background").stderr
    found = alone.json("daemon", "status")
    assert Path(f"/proc/{found['pid']}").exists()
    alone.run("daemon", "stop")
    assert "no daemon runs" in alone.run("daemon", "stop").stderr
    assert not (alone.folder / "state" / "control.sock").exists()
    assert "daemon-stopped" in alone.run("events").stdout


@pytest.mark.slow
def test_plan_and_apply_of_another_file_than_the_daemons_are_refused(place: Place) -> None:
    """The daemon would go on with its own file; through a link to that file everything is as ever."""
    text = (place.folder / "fleet.yaml").read_text()
    (place.folder / "v2.yaml").write_text(text.replace("replicas: 2", "replicas: 3"))
    (place.folder / "link.yaml").symlink_to("fleet.yaml")
    for arguments in (("plan",), ("apply", "--yes")):
        refused = place.run(*arguments, "--file", "v2.yaml", expect=Exit.INVALID).stderr
        assert f"the daemon follows {place.folder / 'fleet.yaml'}, not {place.folder / 'v2.yaml'}" in refused
        assert "code: RS036" in refused
    place.run("plan", "--file", "link.yaml")
    place.run("status", "--file", "v2.yaml")


@pytest.mark.slow
def test_events_of_a_name_that_never_was_are_an_error(place: Place) -> None:
    """With the names that there are; a deployment without news is none."""
    assert "there is no deployment 'nope'" in place.run("events", "nope", expect=Exit.ERROR).stderr
    assert "" == place.run("events", "minilm", "--since", "1000000").stdout


@pytest.mark.slow
def test_events_of_a_name_that_never_was_are_an_error_without_a_daemon_too(alone: Place) -> None:
    """Then the fleet file says which names there are."""
    assert "there is no deployment 'nope'" in alone.run("events", "nope", expect=Exit.ERROR).stderr
    assert "" == alone.run("events", "minilm").stdout


@pytest.mark.slow
def test_a_negative_number_of_replicas_is_told_with_the_limits(alone: Place) -> None:
    """It is a number and no option; what is an option and misspelt is still told as that."""
    assert "0<=x<=100000" in alone.run("scale", "minilm", "-1", expect=Exit.USAGE).stderr
    assert "--detach" in alone.run("scale", "minilm", "--detahc", "1", expect=Exit.USAGE).stderr


@pytest.mark.slow
def test_a_state_that_a_silent_daemon_holds_is_not_said_to_have_none(alone: Place) -> None:
    """Whoever holds the state is named, and nothing is said that contradicts it."""
    (alone.folder / "state").mkdir(mode=0o700)
    with StateLock.acquire(alone.folder / "state" / "daemon.lock", "daemon"):
        said = alone.run("status", expect=Exit.ERROR).stderr
    assert "in use by" in said
    assert "no daemon runs" not in said


def _has_ended(pid: int) -> bool:
    """Return whether a process has ended, noticed by its parent or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("became", ["without its state", "empty", "another fleet", "gone"])
def test_a_daemon_is_found_and_stopped_whatever_became_of_its_file(place: Place, became: str) -> None:
    """It wrote down where it is, so that a bad edit does not hide it; once it ended only the file counts again."""
    file = place.folder / "fleet.yaml"
    good = file.read_text()
    pid = place.json("daemon", "status")["pid"]
    if became == "gone":
        file.unlink()
    else:
        named = good.replace("fleet: shop", "fleet: mart")
        file.write_text({"without its state": good.partition("daemon:")[0], "empty": ""}.get(became, named))

    assert pid == place.json("status")["service"]["daemon"]
    place.run("daemon", "stop")

    assert _has_ended(pid)
    if became in ("gone", "empty"):
        assert "RS032" in place.run("status", expect=Exit.INVALID).stderr
    file.write_text(good)


@pytest.mark.slow
def test_a_daemon_that_cannot_start_says_why(alone: Place) -> None:
    """With the code and the exit code of the cause, also from the background."""
    alone.edit("replicas: 2", "replicsa: 2")
    refused = alone.run("daemon", "start", "--background", expect=Exit.INVALID)
    assert "code: RS200" in refused.stderr


@pytest.mark.slow
def test_without_a_daemon_commands_look_for_themselves_and_say_so(alone: Place) -> None:
    """Nothing is changed by looking; what needs a daemon ends with 69."""
    for command in (("status",), ("why", "minilm")):
        assert "nobody heals" in alone.run(*command).stderr
    planned = alone.run("plan", "--detailed-exitcode", expect=Exit.CHANGES)
    assert "nobody heals" in planned.stderr
    assert "+ minilm  here  create 2" in planned.stdout
    alone.run("scale", "minilm", "3", expect=Exit.UNREACHABLE)
    alone.run("apply", "--detach", expect=Exit.USAGE)
    assert "" == alone.run("events").stdout


def test_without_a_daemon_apply_does_the_work_itself(alone: Place) -> None:
    """Until it is done, and then says that nobody heals."""
    assert "--yes" in alone.run("apply", expect=Exit.USAGE).stderr
    applied = alone.run("apply", "-y")
    assert "minilm: settled, 2/2 serving" in applied.stderr
    assert "nobody heals now" in applied.stderr
    assert "replica-ready" in alone.run("events").stdout


@pytest.mark.slow
def test_a_new_fleet_file_is_valid_and_is_not_written_over(tmp_path: Path) -> None:
    """`init` finds the model that is there, and what it writes is accepted."""
    version = tmp_path / "models" / "My_Model" / "3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"")
    place = Place(tmp_path)
    (tmp_path / "fleet.yaml").unlink()
    place.run("init")
    assert "is valid: fleet" in place.run("validate").stdout
    text = (tmp_path / "fleet.yaml").read_text()
    assert textwrap.indent("source: models/My_Model\nversion: 3\n", "      ") in text
    assert "--force" in place.run("init", expect=Exit.USAGE).stderr
    place.run("init", "--force")


@pytest.mark.slow
def test_a_new_fleet_file_without_a_model_says_how_one_is_added(tmp_path: Path) -> None:
    """It is valid as it is, and no deployment stands in it that could never serve; a named model must be there."""
    place = Place(tmp_path)
    (tmp_path / "fleet.yaml").unlink()
    assert "there is no version of a model in models/nope" in (
        place.run("init", "--model", "models/nope", expect=Exit.INVALID).stderr
    )
    assert not (tmp_path / "fleet.yaml").exists()
    assert "without a deployment" in place.run("init").stderr
    assert "0 deployments" in place.run("validate").stdout
    text = (tmp_path / "fleet.yaml").read_text()
    example = text.partition("deployments: {}")[2]
    (tmp_path / "fleet.yaml").write_text(
        text.partition("deployments: {}")[0]
        + "deployments:\n"
        + example.replace("\n# ", "\n").partition("deployments:\n")[2]
    )
    assert "1 deployment" in place.run("validate").stdout


@pytest.mark.slow
def test_commands_that_act_tell_programs_what_they_did(place: Place) -> None:
    """With -o json each prints one object: who runs, what was asked for, what goes."""
    again = place.json("daemon", "start", "--background")
    assert ("shop", True) == (again["fleet"], again["already"])
    scaled = place.json("scale", "minilm", "1")
    assert ("minilm", 2, 1) == (scaled["deployment"], scaled["was"], scaled["replicas"])
    deleted = place.json("delete", "minilm", "--yes")
    assert ("minilm", 1) == (deleted["deployment"], deleted["replicas"])


@pytest.mark.slow
def test_no_fleet_file_is_told_with_the_next_step(tmp_path: Path) -> None:
    """`init` writes one."""
    place = Place(tmp_path)
    (tmp_path / "fleet.yaml").unlink()
    assert "roadstead init" in place.run("status", expect=Exit.INVALID).stderr


@pytest.mark.slow
def test_check_finds_a_machine_and_a_fleet_in_order(place: Place) -> None:
    """Everything it looks at is listed, and nothing is in the way."""
    found = place.json("check")["findings"]
    assert {"python", "cgroups", "ports", "gpus", "engine", "plugins", "state", "fleet", "daemon", "clusters"} == {
        one["about"] for one in found
    }
    assert [] == [one for one in found if one["level"] == "wrong"]


@pytest.mark.slow
def test_check_ends_with_1_where_something_is_in_the_way(alone: Place) -> None:
    """A wrong fleet file, for one."""
    alone.edit("replicas: 2", "replicsa: 2")
    assert "`roadstead validate` lists them" in alone.run("check", expect=Exit.ERROR).stdout
