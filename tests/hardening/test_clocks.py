"""A wall clock that is set forth and back: nothing expires, nothing is done again, and what is shown makes sense.

The daemon's own clock is set, by the argument that every part of it gets; shims and servers keep the true time, as when
the clock was set after they had been started.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from roadstead.act.events import EventKind
from roadstead.decide.report import RolloutState
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import HERE, pid_of, run_cli

pytestmark = pytest.mark.slow

YEAR_MS = 365 * 24 * 3_600_000
QUICK = LOCAL.replace("turn: 500ms", "turn: 100ms")
ODD = QUICK.replace("replicas: 2", "replicas: 1\n    runtime: {name: odd, args: [FLAGS]}")


@pytest.fixture
def shifted(daemon: Daemon) -> Daemon:
    """A daemon whose clock :func:`_set` sets."""
    daemon.program = (str(HERE / "shifted_daemon.py"), str(_offset(daemon)))
    _set(daemon, 0)
    return daemon


def _offset(daemon: Daemon) -> Path:
    return daemon.folder / "offset"


def _set(daemon: Daemon, offset_ms: int) -> None:
    beside = daemon.folder / "offset.new"
    beside.write_text(str(offset_ms))
    beside.replace(_offset(daemon))


def _let_turns_pass(daemon: Daemon, count: int = 4) -> None:
    turn = daemon.status().service.turn
    until(lambda: daemon.status().service.turn >= turn + count)


@pytest.mark.parametrize(
    "jumps", [(YEAR_MS, -YEAR_MS), pytest.param((-YEAR_MS, -3_600_000, 0), marks=pytest.mark.nightly)]
)
def test_a_clock_that_is_set_touches_nothing_that_serves(shifted: Daemon, jumps: tuple[int, ...]) -> None:
    """The same servers serve, nothing is told of them, no turn fails, and no age is below zero."""
    shifted.write(QUICK)
    shifted.start()
    serving = {pid_of(replica) for replica in shifted.until_listed(2).replicas}
    kinds = (EventKind.STOPPING, EventKind.STOPPED, EventKind.RESTARTED, EventKind.LOST, EventKind.UNREADY)

    for jump in jumps:
        _set(shifted, jump)
        _let_turns_pass(shifted)
        assert serving == {pid_of(replica) for replica in shifted.until_listed(2).replicas}
        status = run_cli(shifted, "status")
        assert (0, False) == (status.code, "daemon -" in status.out)
        assert all(replica.age is None or replica.age.ms >= 0 for replica in shifted.deployment().replicas)

    assert [0, 0] == [run_cli(shifted, *words).code for words in (("why", "minilm"), ("events",))]
    assert [] == shifted.events(*kinds, EventKind.TURN_FAILED)
    assert "ok" == shifted.health()["status"]


@pytest.mark.nightly
def test_a_leap_of_a_year_expires_no_deadline(shifted: Daemon) -> None:
    """A model that is being loaded is given all of its `start_within` and `progress_deadline`: only turns count."""
    shifted.write(ODD.replace("FLAGS", "--loading"))
    shifted.start()
    loading = "starting: the server is loading the model"
    until(lambda: [loading] == [str(cause) for cause in shifted.deployment().causes])

    _set(shifted, YEAR_MS)
    _let_turns_pass(shifted)

    found = shifted.deployment()
    assert [loading] == [str(cause) for cause in found.causes]
    assert (RolloutState.PROGRESSING, [0]) == (found.state, [replica.restarts for replica in found.replicas])
    assert [] == shifted.events(EventKind.STEP_FAILED, EventKind.RESTARTED)


@pytest.mark.nightly
def test_a_clock_that_is_set_back_lengthens_no_wait(shifted: Daemon) -> None:
    """What failed is tried again within its back-off, although that began in the future by the clock."""
    programs = shifted.folder / "programs"
    programs.mkdir()
    server = shutil.which("tiny-server", path=shifted.environment["PATH"])
    assert server is not None
    shifted.environment = {**shifted.environment, "PATH": str(programs)}
    shifted.write(QUICK)
    shifted.start()
    until(lambda: len(shifted.events(EventKind.STEP_FAILED)) > 2)

    _set(shifted, -YEAR_MS)
    (programs / "tiny-server").symlink_to(server)

    shifted.until_listed(2)


@pytest.mark.nightly
def test_a_daemon_that_starts_before_what_it_remembers_goes_on(shifted: Daemon) -> None:
    """The clock was set back while no daemon ran: what is remembered lies in the future, and harms nobody."""
    _set(shifted, YEAR_MS)
    shifted.write(QUICK)
    shifted.start()
    serving = {pid_of(replica) for replica in shifted.until_listed(2).replicas}
    until(lambda: any(group.proven for group in shifted.deployment().groups))
    shifted.terminate()

    _set(shifted, 0)
    shifted.start()

    assert serving == {pid_of(replica) for replica in shifted.until_listed(2).replicas}
    shifted.client.scale("minilm", 3)
    shifted.until_listed(3)
    status = json.loads(run_cli(shifted, "status", "-o", "json").out)
    assert 3 == status["deployments"][0]["listed"]
