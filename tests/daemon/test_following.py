"""The daemon and its fleet file: good edits, bad edits, staged edits, and what vanishes."""

from __future__ import annotations

import signal

import pytest

from roadstead.act.events import EventKind
from roadstead.cli.errors import Refused
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import SIMULATED

pytestmark = pytest.mark.slow

STAGED = SIMULATED.replace("state: state", "state: state, on_change: stage")
OTHER = SIMULATED.replace("minilm:\n", "other:\n")


def _started(daemon: Daemon, text: str) -> Daemon:
    daemon.write(text)
    daemon.start()
    daemon.until_listed(2)
    return daemon


def _orphans(daemon: Daemon) -> list[str]:
    return [one.deployment for one in daemon.status().orphans]


def test_saving_the_file_is_applying_it(daemon: Daemon) -> None:
    """A changed number is in force a moment after the file was saved, and the event log says what changed."""
    _started(daemon, SIMULATED)

    daemon.write(SIMULATED.replace("replicas: 2", "replicas: 3"))

    daemon.until_listed(3)
    (event,) = daemon.events(EventKind.FLEET_CHANGED)
    assert event.text.endswith("is in force: changed: minilm")


def test_a_bad_edit_keeps_the_last_good_fleet_and_is_said_everywhere(daemon: Daemon) -> None:
    """Status, metrics, health, log and events have the problem with its line; the next good edit ends it."""
    _started(daemon, SIMULATED)

    daemon.write(SIMULATED.replace("replicas: 2", "replicas: many"))
    (problem,) = until(lambda: daemon.status().service.bad_file)

    assert "fleet.yaml:16:15" in problem
    assert b"roadstead_fleet_file_good 0.0" in daemon.http("/metrics")
    assert b"roadstead_problems 1.0" in daemon.http("/metrics")
    health = daemon.health()
    assert ("degraded", [f"the fleet file as saved is not used: {problem}"]) == (health["status"], health["problems"])
    until(lambda: "the last good fleet stays in force" in daemon.said())
    assert 1 == len(daemon.events(EventKind.FLEET_REFUSED))
    assert 2 == daemon.deployment().wanted
    daemon.write(SIMULATED.replace("replicas: 2", "replicas: 1"))
    daemon.until_listed(1)
    assert () == daemon.status().service.bad_file


def test_a_file_that_is_removed_and_written_again_changes_nothing(daemon: Daemon) -> None:
    """Between the two there is no fleet file; nobody is taken down for that."""
    _started(daemon, SIMULATED)
    daemon.file.unlink()
    turn = daemon.status().service.turn
    until(lambda: daemon.status().service.turn > turn + 3)

    assert 2 == daemon.deployment().listed
    assert () == daemon.status().service.bad_file


def test_a_renamed_cluster_is_moved_away_from_before_it_is_let_go(daemon: Daemon) -> None:
    """What runs on a cluster that the file no longer names serves until its replacement does, and still counts."""
    _started(daemon, SIMULATED)

    daemon.write(SIMULATED.replace("here:", "there:"))
    until(lambda: {"there"} == {one.cluster for one in daemon.deployment().replicas})

    daemon.until_listed(2)
    until(lambda: ["there"] == [one.name for one in daemon.status().clusters])
    ends = daemon.events(EventKind.STOPPING, EventKind.STOPPED, EventKind.LOST)
    ready = [event.seq for event in daemon.events(EventKind.READY) if event.cluster == "there"]
    assert min(ready) < min(event.seq for event in ends)


def test_a_deployment_that_vanishes_is_left_alone_until_apply_confirms(daemon: Daemon) -> None:
    """Its replicas serve on as an orphan; `apply` with the confirmation takes them down."""
    _started(daemon, SIMULATED)

    daemon.write(OTHER)
    daemon.until_listed(2, "other")

    assert ["minilm"] == _orphans(daemon)
    daemon.client.apply(confirm_removals=False)
    assert ["minilm"] == _orphans(daemon)
    daemon.client.apply(confirm_removals=True)
    until(lambda: not _orphans(daemon))
    assert 2 == daemon.deployment("other").listed


def test_on_removal_apply_takes_down_what_vanishes(daemon: Daemon) -> None:
    """Where the file says so, removing the lines is enough."""
    text = "state: state, on_removal: apply"
    _started(daemon, SIMULATED.replace("state: state", text))

    daemon.write(OTHER.replace("state: state", text))

    daemon.until_listed(2, "other")
    until(lambda: not _orphans(daemon))


def test_a_staged_change_waits_for_apply_and_can_be_looked_at(daemon: Daemon) -> None:
    """Saving does nothing but show up in `status` and `plan`; `apply` puts it into force."""
    _started(daemon, STAGED)

    daemon.write(STAGED.replace("replicas: 2", "replicas: 3"))
    until(lambda: daemon.status().service.staged)

    assert 2 == daemon.deployment().wanted
    assert [(2, 3)] == [(one.was, one.wanted) for one in daemon.client.plan().deployments]
    daemon.client.apply(confirm_removals=False)
    daemon.until_listed(3)
    assert not daemon.status().service.staged


def test_apply_does_not_wait_for_the_file_to_stand_still(daemon: Daemon) -> None:
    """Whoever says apply means the file as it is; the turn that it answers with knows the new number."""
    _started(daemon, SIMULATED)
    daemon.write(SIMULATED.replace("replicas: 2", "replicas: 1"))

    turn = daemon.client.apply(confirm_removals=False)
    until(lambda: daemon.status().service.turn >= turn)

    assert 1 == daemon.deployment().wanted


def test_apply_refuses_a_bad_file_with_all_its_problems(daemon: Daemon) -> None:
    """The command gets the problems, and the fleet stays as it is."""
    _started(daemon, SIMULATED)
    daemon.write(SIMULATED.replace("replicas: 2", "replicas: many").replace("cpu: 500m", "cpu: lots"))

    with pytest.raises(Refused, match=r"(?s)lots.*many") as refused:
        daemon.client.apply(confirm_removals=False)

    assert (65, "RS200") == (refused.value.exits, refused.value.told)
    assert 2 == daemon.deployment().wanted


def test_sighup_reads_the_file_at_once(daemon: Daemon) -> None:
    """A reload by signal, as daemons have it."""
    _started(daemon, SIMULATED)
    daemon.write(SIMULATED.replace("replicas: 2", "replicas: 3"))

    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)

    daemon.until_listed(3)


def test_a_running_daemon_does_not_become_another_fleet(daemon: Daemon) -> None:
    """A changed name is refused: the replicas of this fleet would be nobody's."""
    _started(daemon, SIMULATED)

    daemon.write(SIMULATED.replace("fleet: shop", "fleet: depot"))

    (problem,) = until(lambda: daemon.status().service.bad_file)
    assert "names fleet 'depot', this daemon runs 'shop'" in problem
