"""Plans become calls: in order, on the word of what was seen just before, and with an honest outcome for each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import attrs
import pytest

from roadstead.act.clock import SystemClock
from roadstead.act.cluster import Cluster
from roadstead.act.executor import Allowance, Executor
from roadstead.act.observer import Observer
from roadstead.act.prober import Prober
from roadstead.capabilities import Capabilities
from roadstead.errors import (
    BackendError,
    Conflict,
    Forbidden,
    OutcomeUnknown,
    OutOfCapacity,
    Rejected,
    Retryable,
    Unreachable,
)
from roadstead.memory import PlanMemory
from roadstead.model import ClusterSpec
from roadstead.plans import Bind, Delete, Evict, Grow, Plan, Restart, Settle, Shrink, Standing, Step, Table
from roadstead.spi.backend import Expect, GroupOrder
from roadstead.spi.records import NoOptions
from roadstead.template import revision
from roadstead.units import Duration
from roadstead.world import Group, GroupKey, Outcome, OutcomeKind, Phase, Reachable, Replica, Snapshot, World
from roadstead.world import Unreachable as Away
from roadstead_backends.simulated.network import SimulatedRuntime
from tests.act.scene import ABLE, fleet, template

KEY = GroupKey("minilm", revision(template()))
QUICK = Allowance(first=Duration(1), total=Duration(50), deadline=Duration(10_000))


EMPTY = Snapshot(capabilities=ABLE)


@attrs.define
class Cell:
    """A cluster that writes down what it is asked, and answers what the test says: one error or action per call."""

    calls: list[str] = attrs.field(factory=list)
    answers: list[BaseException | Callable[[], None]] = attrs.field(factory=list)
    snapshot: Snapshot = EMPTY
    observing: BaseException | Callable[[], None] | None = None
    observed: int = 0
    capabilities: Capabilities = ABLE

    def observe(self) -> Snapshot:
        """Return the snapshot, or fail as told."""
        self.observed += 1
        _act(self.observing)
        return self.snapshot

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Note the call."""
        self._note(f"apply {order.key} {target} {','.join(retire)} {expect.version} {order.launch.program.executable}")

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Note the call."""
        self._note(f"delete {key} {grace} {expect.version}")

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Note the call."""
        self._note(f"bind {replica} {node} {','.join(devices)}")

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Note the call."""
        self._note(f"restart {replica} {grace} {reason}")

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Note the call."""
        self._note(f"evict {replica} {grace} {reason}")

    def settle(self, deployment: str, floor: int | None) -> None:
        """Note the call."""
        self._note(f"settle {deployment} {floor}")

    def close(self) -> None:
        """Note the end."""
        self.calls.append("close")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        _act(self.answers.pop(0) if self.answers else None)


def _act(answer: BaseException | Callable[[], None] | None) -> None:
    if isinstance(answer, BaseException):
        raise answer
    if answer is not None:
        answer()


@attrs.frozen
class Stage:
    """An executor on one cluster or two, `here` and `there`."""

    here: Cell
    there: Cell
    executor: Executor
    published: list[Table]

    def carry_out(self, *steps: Step) -> tuple[Outcome, ...]:
        """Carry out these steps as turn 4."""
        return self.executor.carry_out(fleet(), World(clusters={}), _plan(*steps))


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Two clusters and an executor that does not wait long."""
    clock = SystemClock()
    prober = Prober({}, lambda: None, clock)
    observer = Observer(prober, clock, Duration(1_500))
    cells = {"here": Cell(), "there": Cell()}
    clusters = {
        name: Cluster(ClusterSpec(name=name, backend="cell", options=NoOptions()), cell, clock)
        for name, cell in cells.items()
    }
    observer.attend(clusters)
    published: list[Table] = []
    allowance = getattr(request, "param", QUICK)
    executor = Executor(
        observer,
        {"simulated": SimulatedRuntime()},
        clock,
        publish=lambda _fleet, _world, table: published.append(table),
        chance=lambda: 1.0,
        allowance=allowance,
    )
    yield Stage(cells["here"], cells["there"], executor, published)
    for cluster in clusters.values():
        cluster.close()
    observer.close()


def _plan(*steps: Step) -> Plan:
    return Plan(steps=steps, held=(), table=Table(), memory=PlanMemory(turn=4), wanted={}, floor={})


def _grow(cluster: str = "here") -> Grow:
    return Grow(
        cluster=cluster,
        group=KEY,
        owner="search",
        generation=1,
        template=template(),
        target=2,
        was=0,
        version=None,
        because="wanted",
    )


def _bind(replica: str = "r2") -> Bind:
    return Bind(cluster="here", replica=replica, group=KEY, node="n1", devices=("g0",), because="room")


def _shrink(*standing: Standing, version: str = "v1") -> Shrink:
    return Shrink(
        cluster="here",
        group=KEY,
        owner="search",
        generation=1,
        template=template(),
        target=1,
        was=2,
        retire=("r2",),
        version=version,
        standing=standing,
        because="too many",
    )


def _delete(*standing: Standing) -> Delete:
    return Delete(cluster="here", group=KEY, grace=Duration(5_000), version="v1", standing=standing, because="old")


def _restart(incarnation: str = "i1") -> Restart:
    return Restart(
        cluster="here",
        deployment="minilm",
        replica="r1",
        incarnation=incarnation,
        grace=Duration(5_000),
        standing=(),
        because="over its limit",
    )


def _evict() -> Evict:
    return Evict(
        cluster="here",
        deployment="minilm",
        replica="r1",
        incarnation="i1",
        grace=Duration(5_000),
        standing=(),
        because="over its limit",
    )


def _settle() -> Settle:
    return Settle(cluster="here", deployment="minilm", floor=1, was=None, because="it begins to run here")


def _seen(*, ready: bool = True, incarnation: str = "i1", version: str = "v1") -> Snapshot:
    replica = Replica(id="r1", phase=Phase.RUNNING, incarnation=incarnation, ready=ready)
    group = Group(
        key=KEY,
        owner="search",
        owner_id="us",
        generation=1,
        target=2,
        template=template(),
        version=version,
        replicas=(replica,),
    )
    return Snapshot(capabilities=ABLE, groups=(group,))


STANDING = Standing(cluster="here", replica="r1", incarnation="i1")
THERE = Standing(cluster="there", replica="r1", incarnation="i1")


# ---- calls ----


def test_each_step_is_one_call_with_its_precondition(stage: Stage) -> None:
    """Every field of a step that the backend needs arrives there, with the runtime's rendering."""
    stage.here.snapshot = _seen()

    outcomes = stage.carry_out(_settle(), _grow(), _bind(), _shrink(), _delete(), _restart(), _evict())

    assert [
        "settle minilm 1",
        f"apply {KEY} 2  None simulated",
        "bind r2 n1 g0",
        f"apply {KEY} 1 r2 v1 simulated",
        f"delete {KEY} 5s v1",
        "restart r1 5s over its limit",
        "evict r1 5s over its limit",
    ] == stage.here.calls
    assert [OutcomeKind.DONE] * 7 == [outcome.kind for outcome in outcomes]
    assert {4} == {outcome.turn for outcome in outcomes}
    subjects = ["objects of minilm", str(KEY), "r2", str(KEY), str(KEY), "r1", "r1"]
    assert subjects == [outcome.subject for outcome in outcomes]


def test_what_adds_comes_first_on_every_cluster_then_the_table_then_what_takes_away(stage: Stage) -> None:
    """A replica is given up here only after its successor was asked for there and the table is out."""
    stage.here.snapshot = _seen()
    order: list[str] = []
    stage.there.answers = [lambda: order.append("grow there")]
    stage.here.answers = [lambda: order.append("shrink here")]
    stage.executor.publish = lambda *_: order.append("table")

    stage.carry_out(_shrink(), _grow("there"))

    assert ["grow there", "table", "shrink here"] == order


def test_the_table_is_published_even_when_nothing_is_to_be_done(stage: Stage) -> None:
    """Endpoints come and go without any step of ours."""
    stage.carry_out()

    assert [Table()] == stage.published


# ---- preconditions ----


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (_seen(ready=False), "r1 is counted on and does not serve"),
        (_seen(incarnation="i2"), "r1 is counted on and was restarted"),
        (_seen(version="v2"), "was changed since the plan was made"),
        (Snapshot(capabilities=ABLE), "r1 is counted on and gone"),
    ],
)
def test_nothing_is_given_up_when_what_the_plan_counts_on_is_not_there(
    stage: Stage, snapshot: Snapshot, text: str
) -> None:
    """The world changed between the plan and the step: the step is not taken, and the next plan sees why."""
    stage.here.snapshot = snapshot

    (outcome,) = stage.carry_out(_shrink(STANDING))

    assert [] == stage.here.calls
    assert (OutcomeKind.CONFLICT, Conflict.code) == (outcome.kind, outcome.code)
    assert text in outcome.text


def test_a_standing_replica_on_another_cluster_is_looked_at_there(stage: Stage) -> None:
    """A migration gives up here only while the successor there still serves."""
    stage.here.snapshot, stage.there.snapshot = _seen(), _seen(ready=False)
    (refused,) = stage.carry_out(_shrink(THERE))
    stage.there.snapshot = _seen()
    (done,) = stage.carry_out(_shrink(THERE))

    assert (OutcomeKind.CONFLICT, OutcomeKind.DONE) == (refused.kind, done.kind)


def test_an_unreachable_cluster_vouches_for_nothing(stage: Stage) -> None:
    """While the other cluster does not answer, what is counted on there cannot be counted on."""
    stage.here.snapshot = _seen()
    stage.there.observing = Unreachable("connection refused", cluster="there")

    (outcome,) = stage.carry_out(_shrink(THERE))

    assert [] == stage.here.calls
    assert "there does not answer" in outcome.text


def test_a_restarted_replica_is_not_restarted_again(stage: Stage) -> None:
    """A restart is for the process that the plan saw, not for its successor."""
    stage.here.snapshot = _seen(incarnation="i2")

    (outcome,) = stage.carry_out(_restart("i1"))

    assert (OutcomeKind.CONFLICT, []) == (outcome.kind, stage.here.calls)


def test_deleting_what_is_gone_is_fine(stage: Stage) -> None:
    """Somebody was faster: the wish is fulfilled."""
    (outcome,) = stage.carry_out(_delete())

    assert OutcomeKind.DONE == outcome.kind


def test_an_old_observation_is_renewed_between_destructive_steps(stage: Stage) -> None:
    """A step that took long leaves the next one to a new look, which sees what changed meanwhile."""
    stage.here.snapshot = _seen()

    def take_long() -> None:
        threading.Event().wait(0.6)
        stage.here.snapshot = _seen(version="v2")

    stage.here.answers = [take_long]
    outcomes = stage.carry_out(_shrink(), _delete())

    assert [OutcomeKind.DONE, OutcomeKind.CONFLICT] == [outcome.kind for outcome in outcomes]
    assert 2 <= stage.here.observed


def test_a_look_that_came_too_late_vouches_for_nothing(stage: Stage) -> None:
    """What a cluster said after the turn had gone on may be old: it is asked again before anything is given up."""
    gate = threading.Event()
    stage.here.snapshot = stage.there.snapshot = _seen()
    stage.there.observing = lambda: (gate.wait(60.0), None)[1]
    stage.executor.observer.look()
    (hangs,) = stage.carry_out(_shrink(THERE))
    stage.there.observing = None
    gate.set()
    stage.executor.observer.clusters["there"].submit(lambda: None).result(60.0)
    stage.there.snapshot = _seen(ready=False)

    (outcome,) = stage.carry_out(_shrink(THERE))

    assert [] == stage.here.calls
    assert "there does not answer" in hangs.text
    assert "r1 is counted on and does not serve" in outcome.text


# ---- errors ----


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Conflict("changed", cluster="here"), OutcomeKind.CONFLICT),
        (OutOfCapacity("full", cluster="here"), OutcomeKind.NO_CAPACITY),
        (Rejected("never", cluster="here"), OutcomeKind.REJECTED),
        (OutcomeUnknown("reply lost", cluster="here"), OutcomeKind.UNKNOWN),
        (Unreachable("connection refused", cluster="here"), OutcomeKind.FAILED),
        (Forbidden("no permission", cluster="here"), OutcomeKind.FAILED),
        (BackendError("something", cluster="here"), OutcomeKind.FAILED),
        (KeyError("a fault of the plugin"), OutcomeKind.UNKNOWN),
    ],
)
def test_every_error_is_an_outcome(stage: Stage, error: Exception, kind: OutcomeKind) -> None:
    """What a backend raises says whether it happened; what it may not raise says nothing."""
    stage.here.answers = [error]

    (outcome,) = stage.carry_out(_grow())

    assert kind == outcome.kind
    assert str(error) in outcome.text
    assert 1 == len(stage.here.calls)


def test_what_may_succeed_a_moment_later_is_tried_again(stage: Stage) -> None:
    """Twice refused for the moment, then accepted: one outcome, and it is done."""
    stage.here.answers = [Retryable("busy", cluster="here"), Retryable("busy", cluster="here")]

    (outcome,) = stage.carry_out(_grow())

    assert (OutcomeKind.DONE, 3) == (outcome.kind, len(stage.here.calls))


def test_a_step_is_tried_three_times_at_most(stage: Stage) -> None:
    """After that the next turn decides, and knows what the cluster asked for."""
    stage.here.answers = [Retryable("busy", cluster="here", after_ms=2) for _ in range(9)]

    (outcome,) = stage.carry_out(_grow())

    assert (OutcomeKind.FAILED, 3, 2) == (outcome.kind, len(stage.here.calls), outcome.retry_after)


def test_waiting_stays_within_the_turn_s_budget(stage: Stage) -> None:
    """A cluster that asks for a minute gets it from the planner, not from this turn."""
    stage.here.answers = [Retryable("busy", cluster="here", after_ms=60_000)]

    (outcome,) = stage.carry_out(_grow())

    assert (OutcomeKind.FAILED, 1, 60_000) == (outcome.kind, len(stage.here.calls), outcome.retry_after)


def test_a_destructive_step_is_not_tried_again(stage: Stage) -> None:
    """What it stood on may be gone a moment later: only a new look may take it."""
    stage.here.snapshot = _seen()
    stage.here.answers = [Retryable("busy", cluster="here")]

    (outcome,) = stage.carry_out(_shrink(STANDING))

    assert (OutcomeKind.FAILED, 1) == (outcome.kind, len(stage.here.calls))


def test_a_cluster_that_stops_answering_is_asked_no_more(stage: Stage) -> None:
    """The steps after it have no outcome, and the other cluster's steps are done."""
    stage.here.answers = [Unreachable("connection refused", cluster="here")]

    outcomes = stage.carry_out(_grow(), _bind(), _grow("there"))

    assert 1 == len(stage.here.calls)
    assert [("here", OutcomeKind.FAILED), ("there", OutcomeKind.DONE)] == [
        (outcome.cluster, outcome.kind) for outcome in outcomes
    ]


def test_a_runtime_that_is_not_installed_refuses_its_steps(stage: Stage) -> None:
    """The outcome names the runtime and what there is instead."""
    other = attrs.evolve(template(), runtime=attrs.evolve(template().runtime, name="triton"))

    (outcome,) = stage.carry_out(attrs.evolve(_grow(), template=other))

    assert OutcomeKind.REJECTED == outcome.kind
    assert "runtime 'triton' is not installed" in outcome.text


@pytest.mark.parametrize("stage", [Allowance(deadline=Duration(1_000))], indirect=True)
def test_a_call_that_hangs_is_unknown_and_nothing_queued_behind_it_is_done_later(stage: Stage) -> None:
    """The turn goes on without the cluster; when the call returns at last, steps of the old plan stay undone."""
    gate, returned = threading.Event(), threading.Event()

    def hang() -> None:
        gate.wait(60.0)
        returned.set()

    stage.here.answers = [hang]
    outcomes = stage.carry_out(_grow(), _bind(), _grow("there"))
    gate.set()
    assert returned.wait(60.0)
    done_after = stage.executor.observer.clusters["here"].submit(lambda: list(stage.here.calls)).result(60.0)

    assert [("here", OutcomeKind.UNKNOWN), ("there", OutcomeKind.DONE)] == [
        (outcome.cluster, outcome.kind) for outcome in outcomes
    ]
    assert 1 == len(done_after)


# ---- observing ----


def test_a_silent_cluster_keeps_a_turn_waiting_once(stage: Stage) -> None:
    """The first silence costs a turn its patience; until that call returns nobody waits or asks again."""
    gate = threading.Event()
    stage.here.observing = lambda: (gate.wait(60.0), None)[1]
    observer, clock = stage.executor.observer, SystemClock()

    first = observer.look().clusters["here"]
    began = clock.monotonic()
    second = observer.look().clusters["here"]
    waited = clock.monotonic() - began

    assert isinstance(first, Away)
    assert isinstance(second, Away)
    assert "a call to it does not come back" == first.error
    assert first.since == second.since
    assert waited < 1.0
    assert 1 == stage.here.observed
    stage.here.observing = None
    gate.set()
    stage.executor.observer.clusters["here"].submit(lambda: None).result(60.0)
    assert isinstance(observer.look().clusters["here"], Reachable)


def test_an_unreachable_cluster_keeps_its_last_snapshot(stage: Stage) -> None:
    """What was there is still counted, with the moment since when nobody answers."""
    stage.here.snapshot = _seen()
    observer = stage.executor.observer
    observer.look()
    stage.here.observing = Unreachable("connection refused", cluster="here")

    first, second = observer.look().clusters["here"], observer.look().clusters["here"]

    assert isinstance(first, Away)
    assert isinstance(second, Away)
    assert stage.here.snapshot == first.snapshot
    assert first.since == second.since
    assert isinstance(observer.look().clusters["there"], Reachable)


def test_a_fault_in_a_backend_is_its_cluster_s_alone(stage: Stage) -> None:
    """A plugin that raises anything makes its own cluster unreachable and no other."""
    stage.here.observing = ZeroDivisionError("oops")

    clusters = stage.executor.observer.look().clusters

    here = clusters["here"]
    assert isinstance(here, Away)
    assert "its backend failed: ZeroDivisionError: oops" == here.error
    assert isinstance(clusters["there"], Reachable)
