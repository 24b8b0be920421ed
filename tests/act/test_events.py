"""Events are told from two turns: each story that a person may have to read at night."""

from __future__ import annotations

import attrs
import pytest

from roadstead.act.events import Event, EventKind, Turn
from roadstead.act.turn_events import happened
from roadstead.assembly import assemble
from roadstead.capabilities import Capabilities
from roadstead.memory import PlanMemory
from roadstead.model import Scheduling
from roadstead.plans import Bind, Evict, Grow, Held, Plan, Restart, Settle, Shrink, Step, Table
from roadstead.reasons import Reason, ReasonCode
from roadstead.template import revision
from roadstead.units import Duration
from roadstead.world import (
    ClusterView,
    Endpoint,
    Exit,
    Group,
    GroupKey,
    ModelState,
    ModelStatus,
    Outcome,
    OutcomeKind,
    Phase,
    Reachable,
    Replica,
    Snapshot,
    Unreachable,
    World,
)
from tests.act.scene import fleet, template

KEY = GroupKey("minilm", revision(template()))
ABLE = Capabilities(scheduling=frozenset({Scheduling.DIRECTED}), exact_retire=True, heals_alone=False)
RUNNING = Replica(
    id="r1",
    phase=Phase.RUNNING,
    node="n1",
    endpoint=Endpoint(host="127.0.0.2", grpc=8500, rest=8501),
    incarnation="i1",
    started_at=1,
)
AVAILABLE = ModelState(status=ModelStatus.AVAILABLE, incarnation="i1", versions=(1,))


def _group(*replicas: Replica) -> Group:
    return Group(
        key=KEY,
        owner="search",
        owner_id="us",
        generation=1,
        target=len(replicas),
        template=template(),
        version="v1",
        replicas=replicas,
    )


def _seen(*replicas: Replica) -> ClusterView:
    return Reachable(Snapshot(capabilities=ABLE, groups=(_group(*replicas),)))


def _turn(
    view: ClusterView,
    *models: ModelState,
    before: Turn | None = None,
    steps: tuple[Step, ...] = (),
    held: tuple[Held, ...] = (),
    outcomes: tuple[Outcome, ...] = (),
) -> Turn:
    states = {"r1": models[0]} if models else {}
    world = assemble(before.world if before is not None else None, {"here": view}, states)
    plan = Plan(steps=steps, held=held, table=Table(), memory=PlanMemory(turn=5), wanted={}, floor={})
    return Turn(number=5, at=1_000, fleet=fleet(), world=world, plan=plan, outcomes=outcomes)


def _told(before: Turn | None, after: Turn) -> list[tuple[EventKind, str]]:
    return [(event.kind, event.text) for event in happened(before, after)]


def test_nothing_new_is_no_event() -> None:
    """A turn that saw what the one before saw has nothing to tell."""
    before = _turn(_seen(RUNNING), AVAILABLE)

    assert [] == _told(before, _turn(_seen(RUNNING), AVAILABLE, before=before))


def test_a_start_adopts_what_runs_and_tells_how_servers_ended_meanwhile() -> None:
    """A first look says what was found, and that a server ran out of memory while nobody looked, at that moment."""
    replica = attrs.evolve(RUNNING, restarts=1, last_exit=Exit(at=77, signal=9, out_of_memory=True))

    events = happened(None, _turn(_seen(replica), AVAILABLE))

    assert [EventKind.OUT_OF_MEMORY, EventKind.ADOPTED, EventKind.READY] == [event.kind for event in events]
    assert (77, "r1 ran out of memory: its limit is 1Gi") == (events[0].at, events[0].text)


def test_a_crash_is_told_with_its_signal_and_the_restart() -> None:
    """Between two looks a server was killed and started again: both are told, in that order."""
    before = _turn(_seen(RUNNING), AVAILABLE)
    again = attrs.evolve(RUNNING, incarnation="i2", restarts=1, started_at=900, last_exit=Exit(at=800, signal=9))
    after = _turn(_seen(again), before=before)

    assert [
        (EventKind.CRASHED, "r1 was ended by signal 9"),
        (EventKind.RESTARTED, "r1 was restarted, 1 in all"),
    ] == _told(before, after)
    assert [800, 900] == [event.at for event in happened(before, after)]


def test_every_death_between_two_looks_is_told_once() -> None:
    """A server that died three times meanwhile died three times in the log, and none of them is told again."""
    ends = tuple(Exit(at=at, code=at) for at in (1, 2, 3))
    known = attrs.evolve(RUNNING, restarts=1, last_exit=ends[0])
    before = _turn(_seen(known), AVAILABLE)
    again = attrs.evolve(RUNNING, incarnation="i2", restarts=3, earlier_exits=ends[:2], last_exit=ends[2])
    after = _turn(_seen(again), before=before)

    assert [(EventKind.CRASHED, f"r1 ended with exit status {code}") for code in (2, 3)] == _told(before, after)[:2]
    assert [1, 2, 3] == [event.at for event in happened(None, after)[:3]]


def test_an_end_that_we_asked_for_is_no_crash() -> None:
    """A restart by us is told as one; that the old server had to be killed for it is no news."""
    before = _turn(_seen(RUNNING), AVAILABLE)
    again = attrs.evolve(RUNNING, incarnation="i2", restarts=1, last_exit=Exit(at=800, signal=9, asked=True))

    assert [(EventKind.RESTARTED, "r1 was restarted, 1 in all")] == _told(before, _turn(_seen(again), before=before))


def test_why_a_server_could_not_be_started_is_told_in_the_words_of_its_cluster() -> None:
    """There was no process that could have ended, so there is nothing to say of an exit status."""
    before = _turn(_seen(attrs.evolve(RUNNING, phase=Phase.STARTING)))
    failed = Exit(at=800, detail="could not be started: address 127.16.0.1:8501 is in use by process 7 (nc)")
    after = _turn(_seen(attrs.evolve(RUNNING, phase=Phase.STARTING, last_exit=failed)), before=before)

    text = "r1 could not be started: address 127.16.0.1:8501 is in use by process 7 (nc)"
    assert [(EventKind.CRASHED, text)] == _told(before, after)


def test_a_crash_that_is_seen_before_its_restart_is_told_once() -> None:
    """The back-off in between makes it two turns; the restart is still a restart, and the crash is not repeated."""
    before = _turn(_seen(RUNNING), AVAILABLE)
    down = attrs.evolve(RUNNING, phase=Phase.STARTING, restarts=1, last_exit=Exit(at=800, code=1))
    between = _turn(_seen(down), before=before)
    up = attrs.evolve(down, phase=Phase.RUNNING, incarnation="i2")
    after = _turn(_seen(up), before=between)

    assert [(EventKind.CRASHED, "r1 ended with exit status 1")] == _told(before, between)
    assert [EventKind.RESTARTED] == [kind for kind, _ in _told(between, after)]


def test_readiness_is_told_when_it_comes_and_goes() -> None:
    """Ready, no longer ready, and the server's own words for why."""
    started = _turn(_seen(RUNNING))
    is_ready = _turn(_seen(RUNNING), AVAILABLE, before=started)
    unready = ModelState(status=ModelStatus.UNKNOWN, incarnation="i1", error="deadline exceeded")
    is_unready = _turn(_seen(RUNNING), unready, before=is_ready)

    assert [(EventKind.READY, "r1 is ready")] == _told(started, is_ready)
    assert [(EventKind.UNREADY, "r1 is no longer ready: deadline exceeded")] == _told(is_ready, is_unready)


def test_a_model_that_cannot_be_served_is_told_once() -> None:
    """The server's error text is in the event, and the next turn does not repeat it."""
    failed = ModelState(status=ModelStatus.FAILED, incarnation="i1", error="no such version")
    before = _turn(_seen(RUNNING))
    after = _turn(_seen(RUNNING), failed, before=before)

    assert [(EventKind.MODEL_FAILED, "r1 cannot serve its model: no such version")] == _told(before, after)
    assert [] == _told(after, _turn(_seen(RUNNING), failed, before=after))


def test_a_replica_that_we_gave_up_has_stopped_and_one_that_vanished_is_lost() -> None:
    """Gone after our own shrink is an end; gone without it is a loss."""
    shrink = Shrink(
        cluster="here",
        group=KEY,
        owner="search",
        generation=1,
        template=template(),
        target=0,
        was=1,
        retire=("r1",),
        version="v1",
        standing=(),
        because="too many",
    )
    asked = _turn(_seen(RUNNING), AVAILABLE, steps=(shrink,))
    not_asked = _turn(_seen(RUNNING), AVAILABLE)

    assert [EventKind.STOPPED] == [kind for kind, _ in _told(asked, _turn(_seen(), before=asked))]
    assert [EventKind.LOST] == [kind for kind, _ in _told(not_asked, _turn(_seen(), before=not_asked))]


def test_a_cluster_is_lost_once_and_back_once() -> None:
    """An outage is two events, however many turns it lasts."""
    seen = _seen(RUNNING)
    before = _turn(seen, AVAILABLE)
    away = Unreachable(since=990, error="connection refused", snapshot=seen.snapshot)
    lost = _turn(away, AVAILABLE, before=before)
    still = _turn(away, AVAILABLE, before=lost)
    back = _turn(seen, AVAILABLE, before=still)

    assert [(EventKind.CLUSTER_LOST, "cluster here does not answer: connection refused")] == _told(before, lost)
    assert [] == _told(lost, still)
    assert [(EventKind.CLUSTER_BACK, "cluster here answers again")] == _told(still, back)


@pytest.mark.parametrize(
    ("outcome", "kind", "text"),
    [
        (OutcomeKind.DONE, EventKind.STEP_DONE, "put r1 on n1: it has room"),
        (OutcomeKind.NO_CAPACITY, EventKind.STEP_FAILED, "put r1 on n1, no room: full"),
        (OutcomeKind.UNKNOWN, EventKind.STEP_FAILED, "put r1 on n1, and it is not known whether it was done: full"),
    ],
)
def test_a_step_is_told_with_its_reason_or_with_what_was_wrong(
    outcome: OutcomeKind, kind: EventKind, text: str
) -> None:
    """What we did says why; what did not work says what the cluster said."""
    bind = Bind(cluster="here", replica="r1", group=KEY, node="n1", devices=(), because="it has room")
    before = _turn(_seen(RUNNING), AVAILABLE)
    came_of_it = Outcome(turn=5, cluster="here", subject="r1", kind=outcome, code="", text="full")
    after = _turn(_seen(RUNNING), AVAILABLE, before=before, steps=(bind,), outcomes=(came_of_it,))

    assert [(kind, text)] == _told(before, after)


def test_what_is_held_is_told_when_it_begins_and_ends() -> None:
    """The same reason with other numbers is no news."""

    def held(detail: str) -> tuple[Held, ...]:
        return (Held(deployment="minilm", cluster="", reason=Reason(code=ReasonCode.QUOTA, detail=detail)),)

    before = _turn(_seen(RUNNING), AVAILABLE)
    begins = _turn(_seen(RUNNING), AVAILABLE, before=before, held=held("1 over"))
    goes_on = _turn(_seen(RUNNING), AVAILABLE, before=begins, held=held("2 over"))
    ends = _turn(_seen(RUNNING), AVAILABLE, before=goes_on)

    assert [(EventKind.HELD, "quota: 1 over")] == _told(before, begins)
    assert [] == _told(begins, goes_on)
    assert [(EventKind.RELEASED, "no longer held: quota")] == _told(goes_on, ends)


def test_every_step_names_its_deployment() -> None:
    """Also a restart, which is about a replica."""
    steps: tuple[Step, ...] = (
        Grow(
            cluster="here",
            group=KEY,
            owner="search",
            generation=1,
            template=template(),
            target=1,
            was=0,
            version=None,
            because="wanted",
        ),
        Restart(
            cluster="here",
            deployment="minilm",
            replica="r1",
            incarnation="i1",
            grace=Duration(1),
            standing=(),
            because="over its limit",
        ),
        Settle(cluster="here", deployment="minilm", floor=0, was=None, because="it begins to run here"),
    )
    done = tuple(Outcome(turn=5, cluster="here", subject=step.subject, kind=OutcomeKind.DONE) for step in steps)
    before = _turn(_seen(RUNNING), AVAILABLE)
    events = happened(before, _turn(_seen(RUNNING), AVAILABLE, before=before, steps=steps, outcomes=done))

    assert ["minilm"] * 3 == [event.deployment for event in events]
    assert [str(KEY), "r1", "objects of minilm"] == [event.subject for event in events]


@pytest.mark.parametrize(
    ("was", "floor", "told"),
    [
        (None, 0, "let minilm stand on here, with 0 that nobody may disturb"),
        (0, 2, "let nobody disturb 2 of minilm on here, 0 before"),
        (2, None, "remove what stands for minilm on here"),
    ],
)
def test_what_stands_for_a_deployment_is_told_with_its_floor(was: int | None, floor: int | None, told: str) -> None:
    """That it stands now, that it is another number, that it is gone."""
    step = Settle(cluster="here", deployment="minilm", floor=floor, was=was, because="why")
    done = (Outcome(turn=5, cluster="here", subject=step.subject, kind=OutcomeKind.DONE),)
    before = _turn(_seen(RUNNING), AVAILABLE)
    assert [(EventKind.STEP_DONE, f"{told}: why")] == _told(
        before, _turn(_seen(RUNNING), AVAILABLE, before=before, steps=(step,), outcomes=done)
    )


def test_who_is_evicted_is_named() -> None:
    """With why."""
    step = Evict(
        cluster="here",
        deployment="minilm",
        replica="r1",
        incarnation="i1",
        grace=Duration(1),
        standing=(),
        because="it uses more than it may",
    )
    done = (Outcome(turn=5, cluster="here", subject="r1", kind=OutcomeKind.DONE),)
    before = _turn(_seen(RUNNING), AVAILABLE)
    assert [(EventKind.STEP_DONE, "evict r1: it uses more than it may")] == _told(
        before, _turn(_seen(RUNNING), AVAILABLE, before=before, steps=(step,), outcomes=done)
    )


def test_a_world_without_anything_has_no_story() -> None:
    """A first look at nothing tells nothing."""
    empty = attrs.evolve(_turn(_seen()), world=World(clusters={}))

    assert () == happened(None, empty)
    assert Event(at=1, kind=EventKind.READY, text="").seq == 0
