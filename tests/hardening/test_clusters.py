"""Clusters that the fleet file no longer names, also where the file changed while no daemon ran."""

from __future__ import annotations

import json

import pytest

from roadstead.act.events import EventKind
from tests.daemon.conftest import WAIT_S, Daemon, until
from tests.daemon.fleets import LOCAL
from tests.hardening.conftest import pid_of, run_cli

THERE = LOCAL.replace("here:", "there:")


def _clusters(daemon: Daemon) -> list[str]:
    return sorted(one.name for one in daemon.status().clusters)


@pytest.mark.nightly
def test_a_cluster_that_was_renamed_while_no_daemon_ran_is_moved_away_from_and_counts(daemon: Daemon) -> None:
    """What runs there serves until its replacement does, and no server is left over that nobody knows of."""
    daemon.write(LOCAL)
    daemon.start()
    before = {pid_of(replica) for replica in daemon.until_listed(2).replicas}
    daemon.terminate()

    daemon.write(THERE)
    daemon.start()
    until(lambda: _clusters(daemon) == ["there"])

    after = {pid_of(replica) for replica in daemon.until_listed(2).replicas}
    assert {"there"} == {replica.cluster for replica in daemon.deployment().replicas}
    assert set() == before & after
    ready = [event.seq for event in daemon.events(EventKind.READY) if event.cluster == "there"]
    gone = [event.seq for event in daemon.events(EventKind.STOPPED) if event.cluster == "here"]
    assert (2, True) == (len(gone), ready[0] < gone[0])
    told = [event.text for event in daemon.events(EventKind.HELD, EventKind.RELEASED) if event.subject == "here"]
    assert [
        "cluster here is no longer in the fleet file: what runs there is replaced elsewhere first",
        "cluster here is driven no more, as the fleet file no longer names it",
    ] == told


@pytest.mark.nightly
def test_a_vanished_cluster_that_cannot_be_driven_counts_until_somebody_confirms_its_end(daemon: Daemon) -> None:
    """Its plugin is gone too: the daemon starts and says why, and `apply` asks before what may run there is let go."""
    daemon.write(LOCAL)
    daemon.start()
    daemon.until_listed(2)
    daemon.client.stop(stop_replicas=True)
    assert daemon.process is not None
    daemon.process.wait(WAIT_S)
    identity = json.loads(daemon.state.identity.read_text())
    identity["identity"]["clusters"]["here"]["backend"] = "unheard-of"
    daemon.state.identity.write_text(json.dumps(identity))

    daemon.write(THERE)
    daemon.start()
    until(lambda: _clusters(daemon) == ["here", "there"])
    (problem,) = daemon.health()["problems"]
    assert "cluster here does not answer: here: it cannot be driven:" in problem
    assert "unheard-of" in problem

    applied = run_cli(daemon, "apply", "--yes")
    until(lambda: _clusters(daemon) == ["there"])
    words = (
        "no longer in the fleet file, and removed: cluster here (it does not answer: what may run there is left there)"
    )
    assert (0, True) == (applied.code, words in applied.all)
    assert {"there"} == {replica.cluster for replica in daemon.until_listed(2).replicas}
