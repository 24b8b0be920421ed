"""Migrations by command: what a daemon takes on, keeps over a restart, refuses, and tells."""

from __future__ import annotations

from collections import Counter

import pytest

from roadstead.act.events import EventKind
from roadstead.cli.errors import Refused
from roadstead.decide.report import Action, RolloutState
from tests.daemon.conftest import Daemon, until
from tests.daemon.fleets import LOCAL, SIMULATED

pytestmark = pytest.mark.slow

SPEEDY = "  here: {backend: simulated, options: {speed: 100}}\n"
TWO = SIMULATED.replace(SPEEDY, SPEEDY + SPEEDY.replace("here", "there")).replace(
    "    replicas: 2", "    clusters: here\n    replicas: 2"
)
HALF = "  here: {backend: local, options: {cpu: 2, memory: 1Gi}}\n"
TWO_LOCAL = LOCAL.replace(
    HALF, HALF.replace("cpu: 2", "cpu: 1") + HALF.replace("cpu: 2", "cpu: 1").replace("here", "there")
).replace("    replicas: 2", "    clusters: here\n    replicas: 2")


def on(daemon: Daemon) -> Counter[str]:
    """Return how many replicas there are on which cluster."""
    return Counter(one.cluster for one in daemon.deployment().replicas)


def until_on(daemon: Daemon, **counts: int) -> None:
    """Wait until the replicas are there, all of them, and get requests."""
    until(lambda: daemon.deployment().state is RolloutState.SETTLED and on(daemon) == counts)


@pytest.fixture
def two(daemon: Daemon) -> Daemon:
    """A daemon with two simulated clusters, and two replicas on the first."""
    daemon.write(TWO)
    daemon.start()
    daemon.until_listed(2)
    return daemon


def test_a_migration_holds_over_a_restart_and_is_told_everywhere(two: Daemon) -> None:
    """Status, plan and the events know it; a killed daemon goes on with it; undoing it ends it."""
    two.client.migrate("minilm", "there")
    two.kill()
    two.start()
    until_on(two, there=2)
    assert ["migrate minilm to cluster there"] == [str(one) for one in two.status().intents]
    assert [("there", 2, 2)] == [(one.cluster, one.wanted, one.listed) for one in two.deployment().places]
    assert "minilm was sent to cluster there by command" in {event.text for event in two.events(EventKind.INTENT)}

    two.client.migrate("minilm", None)
    until_on(two, here=2)
    assert () == two.status().intents


def test_a_change_of_the_clusters_in_the_file_supersedes_a_migration(two: Daemon) -> None:
    """The file's word on where it runs is newer then; a change of anything else leaves the command in force."""
    two.client.migrate("minilm", "there")
    until_on(two, there=2)
    two.write(TWO.replace("    replicas: 2", "    replicas: 3"))
    until_on(two, there=3)
    two.write(TWO.replace("    clusters: here", "    clusters: [here, there]"))
    until_on(two, here=2)
    assert () == two.status().intents


def test_a_plan_says_what_would_move(two: Daemon) -> None:
    """Before it is applied, with the number for each cluster."""
    staged = TWO.replace("turn: 500ms", "turn: 500ms, on_change: stage")
    two.write(staged)
    two.client.apply(confirm_removals=False)
    two.write(staged.replace("clusters: here", "clusters: there"))
    until(lambda: two.status().service.staged)
    (one,) = two.client.plan().deployments
    assert Action.MOVE is one.action
    assert {"here": (2, 0), "there": (0, 2)} == {moved.cluster: (moved.was, moved.wanted) for moved in one.moved}


@pytest.mark.parametrize(
    ("to", "code"),
    [("nowhere", "RS070"), ("drained", "RS071"), ("there", "RS072"), ("here", "RS073"), (None, "RS073")],
)
def test_what_cannot_be_is_refused_with_a_code_of_its_own(daemon: Daemon, to: str | None, code: str) -> None:
    """No such cluster, not active, not known there, already there, and nothing to undo; nothing is changed by it."""
    more = SPEEDY.replace("here", "drained").replace("backend: simulated", "backend: simulated, state: draining")
    known = "{source: {here: models/minilm, drained: models/minilm}}"
    daemon.write(TWO.replace(SPEEDY, SPEEDY + more, 1).replace("{source: models/minilm}", known))
    daemon.start()
    daemon.until_listed(2)
    with pytest.raises(Refused) as refused:
        daemon.client.migrate("minilm", to)
    assert code == refused.value.told
    assert () == daemon.status().intents


def test_two_local_clusters_share_a_machine_and_a_deployment_moves_between_them(daemon: Daemon) -> None:
    """Each has processes, control groups and addresses of its own; nothing of the first is left when all is there."""
    daemon.write(TWO_LOCAL)
    daemon.start()
    daemon.until_listed(2)
    before = {one.host for one in daemon.deployment().replicas}
    daemon.client.migrate("minilm", "there")
    until_on(daemon, there=2)
    assert before.isdisjoint({one.host for one in daemon.deployment().replicas})
    until(lambda: not list((daemon.state.cluster("here") / "replicas").iterdir()))
    daemon.client.migrate("minilm", None)
    until_on(daemon, here=2)
