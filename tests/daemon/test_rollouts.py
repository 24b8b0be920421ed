"""Rollouts by command: what a daemon takes on, keeps over a restart, refuses, and tells."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from roadstead.act.events import EventKind
from roadstead.cli.errors import Refused
from roadstead.decide.report import RolloutState
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import SIMULATED

pytestmark = pytest.mark.slow

TOO_LARGE = SIMULATED.replace("cpu: 500m", "cpu: 4000")


@pytest.fixture
def held(daemon: Daemon) -> Daemon:
    """A daemon whose file asks for a revision that has no room, beside two proven replicas of the one before."""
    daemon.write(SIMULATED)
    daemon.start()
    daemon.until_listed(2)
    until(lambda: all(group.proven for group in daemon.deployment().groups))
    daemon.write(TOO_LARGE)
    until_in(daemon, RolloutState.HELD)
    return daemon


def until_in(daemon: Daemon, state: RolloutState) -> None:
    """Wait until the deployment is in that state."""
    until(lambda: daemon.deployment().state is state)


def run(daemon: Daemon, *arguments: str, expect: int = 0) -> str:
    """Run `roadstead rollout`, hold it to its exit code, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "roadstead", "rollout", *arguments],
        cwd=daemon.folder,
        env=daemon.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert expect == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_pause_holds_over_a_restart_and_is_told_everywhere(held: Daemon) -> None:
    """Status, why, plan and the events know it; a killed daemon knows it again; resuming ends it."""
    held.client.rollout("minilm", "pause")
    until_in(held, RolloutState.PAUSED)
    held.kill()
    held.start()
    until_in(held, RolloutState.PAUSED)

    assert ["rollout pause minilm"] == [str(one) for one in held.status().intents]
    assert ["rollout pause minilm"] == [str(one) for one in held.client.why("minilm").orders]
    assert ["rollout pause minilm"] == [str(one) for one in held.client.plan().intents]
    assert "the rollout of minilm was paused by command" in {event.text for event in held.events(EventKind.INTENT)}

    held.client.rollout("minilm", "resume")
    until_in(held, RolloutState.HELD)
    assert () == held.status().intents


def test_undo_holds_until_it_is_cleared(held: Daemon) -> None:
    """What ran before is what is asked for, so that all is as it should be."""
    held.client.rollout("minilm", "undo")
    until_in(held, RolloutState.SETTLED)
    assert 2 == held.until_listed(2).wanted

    held.client.rollout("minilm", "clear")
    until_in(held, RolloutState.HELD)


@pytest.mark.parametrize(
    ("asked", "to", "code", "exits"),
    [
        ("resume", None, "RS061", 1),
        ("clear", None, "RS062", 1),
        ("undo", "nothing", "RS063", 1),
        ("promote", None, "RS060", 1),
    ],
)
def test_what_is_not_possible_is_refused_with_its_code(
    settled: Daemon, asked: str, to: str | None, code: str, exits: int
) -> None:
    """Nothing is asked for, and the code can be looked up."""
    with pytest.raises(Refused) as refused:
        settled.client.rollout("minilm", asked, to)
    assert (code, exits) == (refused.value.told, refused.value.exits)
    assert () == settled.status().intents


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, installed: dict[str, str]) -> Any:
    """One daemon with one proven revision, for questions that change nothing."""
    folder = tmp_path_factory.mktemp("settled")
    (folder / "models" / "minilm" / "1").mkdir(parents=True)
    made = Daemon(folder, installed)
    made.write(SIMULATED)
    made.start()
    made.until_listed(2)
    until(lambda: all(group.proven for group in made.deployment().groups))
    yield made
    assert 0 == made.terminate()


def test_the_commands_do_it_and_end_as_it_ended(held: Daemon) -> None:
    """Pausing what is paused is an error, to wait for a paused rollout too, and undoing waits until it is done."""
    run(held, "pause", "minilm")
    assert "code: RS060 " in run(held, "pause", "minilm", expect=1)
    assert "code: RS064 " in run(held, "status", "minilm", "--watch", expect=1)
    assert "rollout pause minilm" in run(held, "status", "minilm")
    assert "minilm: settled, 2/2 serving" in run(held, "undo", "minilm")
    told = json.loads(run(held, "status", "minilm", "--json"))
    assert ("settled", ["rollout undo"]) == (told["rollout"]["state"], [one["verb"] for one in told["intents"]])
    assert "code: RS030 " in run(held, "undo", "minilm", "--to", "x", "--clear", expect=64)
