"""Whole turns on simulated clusters: what a fleet comes to, and what survives the end of the process that drove it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from roadstead.act.events import EventKind
from roadstead.act.journal import Selection
from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.errors import StateError
from roadstead.model import ClusterState
from roadstead.plans import Grow
from roadstead.spi.host import PluginHost
from tests.act.scene import deployment, fleet, ready, simulated, turn_until


@pytest.fixture(scope="module")
def host() -> PluginHost:
    """Every installed plugin."""
    return PluginHost.installed()


@pytest.fixture
def bell() -> Bell:
    """What a session rings when something changed."""
    return Bell()


@pytest.fixture
def session(tmp_path: Path, host: PluginHost, bell: Bell) -> Iterator[Session]:
    """A session for two replicas of one deployment."""
    with Session.open(fleet(deployment()), host, tmp_path / "state", "tests", wake=bell.ring) as opened:
        yield opened


def test_a_declared_deployment_is_brought_up(session: Session, bell: Bell) -> None:
    """Turns alone bring a new deployment to its declared number of ready replicas."""
    turn_until(session, bell, lambda: ready(session) == 2)

    listed = session.table.endpoints["minilm"]
    assert 2 == len(listed)


def test_a_fleet_at_rest_writes_nothing(session: Session, bell: Bell) -> None:
    """When all is as wanted, turns make no calls that change the cluster and leave the memory file alone."""
    memory = session.state.memory
    turn_until(session, bell, lambda: ready(session) == 2 and _settled(session))
    calls, written = len(simulated(session).calls), memory.stat().st_mtime_ns

    outcomes = [session.turn().outcomes for _ in range(5)]

    assert [()] * 5 == outcomes
    assert calls == len(simulated(session).calls)
    assert written == memory.stat().st_mtime_ns


def test_news_of_one_deployment_leave_the_rest_of_the_plan_as_it_was(
    tmp_path: Path, host: PluginHost, bell: Bell
) -> None:
    """A turn for news repairs what broke, and still shows the whole plan: what is wanted, listed and held elsewhere."""
    names = ("anchor", "buoy", "cable")
    declared = fleet(*(deployment(name) for name in names), deployment("whale", replicas=500))
    with Session.open(declared, host, tmp_path / "state", "tests", wake=bell.ring) as session:
        turn_until(session, bell, lambda: all(ready(session, name) == 2 for name in names) and _settled(session, names))
        before = session.turn()
        victim = session.table.endpoints["buoy"][0].replica
        simulated(session).lose(victim)

        after = session.turn(news=True)

        assert "buoy" not in before.plan.unsettled
        assert {"buoy"} == {step.group.deployment for step in after.plan.steps if isinstance(step, Grow)} - {"whale"}
        assert before.plan.wanted == after.plan.wanted
        assert [1, 2, 2] == sorted(len(session.table.endpoints[name]) for name in names)
        assert {"whale"} == {held.deployment for held in after.plan.held}


def test_a_look_changes_nothing(session: Session) -> None:
    """A look shows the steps of the next turn, and neither the cluster nor the memory knows of it."""
    look = session.reconciler.look(session.fleet)

    assert 1 == len(look.plan.steps)
    assert () == simulated(session).truth().groups
    assert not session.state.memory.exists()


def test_a_crashed_server_is_told_of_and_counted_on_again(session: Session, bell: Bell) -> None:
    """A crash shows up in the event log with its restart and its readiness, in that order."""
    turn_until(session, bell, lambda: ready(session) == 2)
    victim = simulated(session).truth().groups[0].replicas[0].id
    simulated(session).crash(victim, out_of_memory=True)

    def kinds() -> list[EventKind]:
        return [event.kind for event in session.journal.events(Selection()) if event.subject == victim]

    turn_until(session, bell, lambda: EventKind.READY in kinds()[kinds().index(EventKind.READY) + 1 :])

    story = kinds()[kinds().index(EventKind.READY) + 1 :]
    assert EventKind.OUT_OF_MEMORY == story[0]
    assert story.index(EventKind.RESTARTED) < story.index(EventKind.READY)


def test_a_second_session_on_the_same_state_is_refused(session: Session, host: PluginHost) -> None:
    """Nobody else gets the state directory, and the refusal names who has it."""
    with pytest.raises(StateError, match=r"in use by `roadstead tests` \(process \d+\)"):
        Session.open(fleet(deployment()), host, session.state.path, "intruder")


def test_identity_survives_and_the_next_session_goes_on(tmp_path: Path, host: PluginHost) -> None:
    """A second session has the owner id and the turn number of the first."""
    with Session.open(fleet(deployment()), host, tmp_path, "first") as first:
        first.turn()
        owner, turn = first.fleet.owner_id, first.reconciler.memory.turn
    with Session.open(fleet(deployment()), host, tmp_path, "second") as second:
        assert owner == second.fleet.owner_id
        assert turn == second.reconciler.memory.turn


def test_a_cluster_that_the_file_drops_is_driven_until_it_is_let_go_of(
    session: Session, host: PluginHost, bell: Bell
) -> None:
    """It is drained until then, also for the next session; after that nothing on it is looked at or stopped."""
    turn_until(session, bell, lambda: ready(session) == 2)
    cluster = simulated(session)

    session.adopt(fleet(deployment(cluster="there"), clusters=("there",)))
    assert {"here": ClusterState.DRAINING, "there": ClusterState.ACTIVE} == {
        name: spec.state for name, spec in session.fleet.clusters.items()
    }
    assert {"here", "there"} == set(session.identity.current.clusters) == set(session.clusters)

    session.let_go(["here"])
    session.turn()
    assert {"there"} == set(session.identity.current.clusters) == set(session.clusters)
    assert 2 == len(cluster.truth().groups[0].replicas)


def test_a_full_disk_stops_every_step_and_is_said(session: Session) -> None:
    """Where memory cannot be made durable, nothing of the plan is done."""
    session.state.memory.mkdir()

    with pytest.raises(StateError, match="cannot be written"):
        session.turn()

    assert () == simulated(session).truth().groups
    assert session.reconciler.last is not None
    assert "cannot be written" in session.reconciler.last.undone


def _settled(session: Session, names: Iterable[str] = ("minilm",)) -> bool:
    """Whether every group of these is proven, so that no accumulator runs any more."""
    known = [session.reconciler.memory.deployments.get(name) for name in names]
    groups = [group for one in known if one is not None for group in one.groups.values()]
    return bool(groups) and all(group.proven for group in groups)
