"""From measured load to a number of replicas: windows, several targets, bounds, and what is not measured."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.assembly import assemble
from roadstead.autoscaling import (
    AutoscalingSpec,
    Metric,
    MetricTarget,
    Peak,
    ScalingAnswer,
    ScalingQuestion,
    Windows,
)
from roadstead.decide.demand import Demand
from roadstead.decide.planner import plan
from roadstead.decide.scaling import due, replayed
from roadstead.decide.windows import averages, fed, highest, peaked
from roadstead.memory import Bucket, PlanMemory
from roadstead.model import Fleet
from roadstead.plans import Plan
from roadstead.reasons import ReasonCode
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.traffic import (
    DataPath,
    Endpoint,
    GatewayState,
    GatewayView,
    Latency,
    Load,
    MeanLoad,
    Passage,
    RouteLoad,
    RouteView,
    Seen,
    ServerLoad,
    ServerReading,
    Unseen,
)
from roadstead.units import Cpus, Duration
from roadstead.world import (
    Group,
    GroupKey,
    ModelState,
    ModelStatus,
    Phase,
    Reachable,
    Replica,
    Snapshot,
    Unreachable,
    Usage,
    World,
)
from roadstead_plugins.placement.plugin import BinPack, Spread
from roadstead_plugins.scaling.concurrency import Concurrency
from tests.decide.scene import NATIVE, deployment, fleet, nodes

POLICIES: Mapping[str, PlacementPolicy] = {"spread": Spread(), "binpack": BinPack()}
SCALERS: Mapping[str, ScalingPolicy] = {"concurrency": Concurrency()}
TURN_MS = 2_000
START = 1_700_000_000_000
CONCURRENCY = MetricTarget(Metric.CONCURRENCY, 4_000)
RATE = MetricTarget(Metric.REQUESTS_PER_SECOND, 10_000)
LATENCY = MetricTarget(Metric.LATENCY_P99, 200)
CPU = MetricTarget(Metric.CPU, 500)
QUICK = Windows(stable=Duration(20_000), panic=Duration(4_000), scale_down_after=Duration(30_000))


def spec(*metrics: MetricTarget, least: int = 1, most: int = 8, windows: Windows = QUICK) -> AutoscalingSpec:
    """Return bounds and targets."""
    return AutoscalingSpec(min=least, max=most, metrics=metrics or (CONCURRENCY,), windows=windows)


def load(in_flight: int = 0, *, requests: int = 0, rate: float | None = None, p99: float | None = None) -> RouteLoad:
    """Return the load of a route."""
    latency = Latency(p50=p99, p90=p99, p99=p99) if p99 is not None else None
    return RouteLoad(total=Load(in_flight=in_flight, requests=requests, errors=0, rate=rate, latency=latency))


_SERVING = Passage(listed=True, serving=True, idle=False)


def _replica(number: int) -> Replica:
    return Replica(
        id=f"anchor-{number}",
        phase=Phase.RUNNING,
        node="n0",
        endpoint=Endpoint(host="10.0.0.1", grpc=9_000 + number, rest=None),
        incarnation="#1",
        started_at=START,
    )


@attrs.define
class Story:
    """A deployment that always has as many ready replicas as were wanted, and a gateway that measures what it is told.

    ``memory`` is what was decided so far, ``count`` how many replicas there are.
    """

    by: AutoscalingSpec
    count: int = 1
    now: int = START
    memory: PlanMemory = attrs.field(factory=PlanMemory)
    usage: Mapping[str, Usage] = MappingProxyType({})
    crashed: bool = False

    @property
    def fleet(self) -> Fleet:
        """The fleet of that deployment."""
        declared = attrs.evolve(deployment(replicas=self.by.min, via="edge"), autoscaling=self.by)
        return fleet(declared)

    def world(self, measured: RouteLoad | None) -> World:
        """Return what there is, with that word of the gateway; ``None``: it does not answer."""
        aimed = deployment().targets[0]
        phase = Phase.STARTING if self.crashed else Phase.RUNNING
        replicas = tuple(attrs.evolve(_replica(number), phase=phase) for number in range(self.count))
        group = Group(
            key=GroupKey("anchor", aimed.revision),
            owner="search",
            owner_id="owner",
            generation=1,
            target=self.count,
            template=aimed.template,
            version="1",
            replicas=replicas,
        )
        models = {one.id: ModelState(status=ModelStatus.AVAILABLE, incarnation="#1", versions=(1,)) for one in replicas}
        state: GatewayState = Unseen(since=self.now, error="silent")
        if measured is not None:
            passages = {one.endpoint: _SERVING for one in replicas if one.endpoint is not None}
            route = RouteView(port=20_000, passages=passages)
            state = Seen(GatewayView(settled=True, routes={"anchor": route}, loads={"anchor": measured}))
        snapshot = Snapshot(capabilities=NATIVE, nodes=nodes(4), groups=(group,))
        path = DataPath(gateways={"edge": state}, via={"anchor": "edge"})
        return assemble(None, {"here": Reachable(snapshot)}, models, data_path=path, usage=self.usage)

    def turn(self, measured: RouteLoad | None, *, after_ms: int = TURN_MS) -> Plan:
        """Plan once, ``after_ms`` later, with this load, and let the cluster follow."""
        self.now += after_ms
        decided = plan(self.fleet, self.world(measured), self.memory, self.now, POLICIES, scalers=SCALERS)
        self.memory, self.count = decided.memory, decided.wanted["anchor"]
        return decided

    def turns(self, count: int, measured: RouteLoad | None) -> int:
        """Plan so many times with the same load and return what is wanted then."""
        for _ in range(count):
            self.turn(measured)
        return self.count


# ---- windows ----

_WINDOWS = st.builds(
    Windows,
    stable=st.integers(1, 120_000).map(Duration),
    panic=st.integers(1, 12_000).map(Duration),
    scale_down_after=st.integers(0, 600_000).map(Duration),
)
_FEEDS = st.lists(st.tuples(st.none() | st.integers(0, 10**6), st.integers(1, 10_000)), max_size=80)


@given(feeds=_FEEDS, windows=_WINDOWS)
def test_a_window_never_grows_beyond_its_pieces_and_never_forgets_too_soon(
    feeds: list[tuple[int | None, int]], windows: Windows
) -> None:
    """It holds at most two pieces for each of the finest length, and all of the stable window once that has passed."""
    buckets: tuple[Bucket, ...] = ()
    for value, elapsed in feeds:
        buckets = fed(buckets, value, elapsed, windows)
    length, passed = sum(bucket.ms for bucket in buckets), sum(elapsed for _, elapsed in feeds)
    finest = max(1, windows.panic.ms // 3, windows.stable.ms // 30)
    assert len(buckets) <= 2 * windows.stable.ms // finest + 3
    assert length >= min(passed, windows.stable.ms)
    assert all(0 <= bucket.known_ms <= bucket.ms for bucket in buckets)


@given(feeds=_FEEDS, windows=_WINDOWS)
def test_an_average_lies_between_what_was_measured_and_is_unknown_where_nothing_was(
    feeds: list[tuple[int | None, int]], windows: Windows
) -> None:
    """Of any feed, the averages are within its smallest and largest number, and None exactly where there is none."""
    buckets: tuple[Bucket, ...] = ()
    for value, elapsed in feeds:
        buckets = fed(buckets, value, elapsed, windows)
    known = [value for value, _ in feeds if value is not None]
    found = averages(buckets, windows)
    assert found.complete == (found.known_ms >= windows.stable.ms)
    assert (found.stable is None) == (found.known_ms == 0)
    for average in (found.stable, found.panic):
        assert average is None or min(known) <= average <= max(known)


@given(value=st.integers(0, 10**6), elapsed=st.lists(st.integers(1, 10_000), min_size=1, max_size=60), windows=_WINDOWS)
def test_a_load_that_does_not_change_is_its_own_average(value: int, elapsed: list[int], windows: Windows) -> None:
    """Whatever the intervals, both averages of a constant load are that load."""
    buckets: tuple[Bucket, ...] = ()
    for one in elapsed:
        buckets = fed(buckets, value, one, windows)
    found = averages(buckets, windows)
    assert (value, value) == (found.stable, found.panic)


@given(
    counts=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10_000)), min_size=1, max_size=80), windows=_WINDOWS
)
def test_the_highest_need_of_the_time_to_wait_is_never_missed(counts: list[tuple[int, int]], windows: Windows) -> None:
    """Once the time has passed, what was needed within it is remembered; before, nothing is said."""
    peaks: tuple[Peak, ...] = ()
    for count, elapsed in counts:
        peaks = peaked(peaks, count, elapsed, windows)
    found, passed, needed = highest(peaks, windows), 0, 0
    for count, elapsed in reversed(counts):
        if passed >= windows.scale_down_after.ms and passed:
            break
        needed, passed = max(needed, count), passed + elapsed
    assert (found is None) == (sum(elapsed for _, elapsed in counts) < windows.scale_down_after.ms)
    assert found is None or found >= needed
    assert len(peaks) <= 23


# ---- the policy ----


def question(
    stable: int | None,
    panic: int | None,
    *,
    ready: int = 1,
    wanted: int = 1,
    elapsed_ms: int = 2_000,
    memory: tuple[int, ...] = (),
) -> ScalingQuestion:
    """Return a question about concurrency, 4 for each."""
    return ScalingQuestion(
        spec=spec(),
        target=CONCURRENCY,
        stable=stable,
        panic=panic,
        ready=ready,
        wanted=wanted,
        elapsed_ms=elapsed_ms,
        memory=memory,
    )


@pytest.mark.parametrize(
    ("stable", "ready", "wanted"),
    [(0, 1, 0), (1, 1, 1), (4_000, 1, 1), (8_001, 2, 3), (20_000, 4, 5), (0, 8, 4), (4_000, 5, 2)],
)
def test_the_stable_window_divided_by_the_target_is_wanted(stable: int, ready: int, wanted: int) -> None:
    """As many as the load makes, rounded up, and at most half as many as are ready at once."""
    answer = Concurrency().answer(question(stable, stable, ready=ready))
    assert (wanted, ()) == (answer.wanted, answer.memory)


def test_a_surge_counts_at_once_and_holds_for_a_stable_window() -> None:
    """Twice what is ready by the panic window is a surge: its peak stays wanted until a window without one is over."""
    policy = Concurrency()
    surge = policy.answer(question(5_000, 30_000, ready=2))
    after = policy.answer(question(5_000, 5_000, ready=8, memory=surge.memory, elapsed_ms=19_999))
    over = policy.answer(question(5_000, 5_000, ready=8, memory=after.memory, elapsed_ms=2_000))
    assert (8, 8, 4) == (surge.wanted, after.wanted, over.wanted)
    assert "a surge for 2 ready, 8" in surge.because


@given(
    stable=st.none() | st.integers(0, 10**7),
    panic=st.none() | st.integers(0, 10**7),
    ready=st.integers(0, 50),
    before=st.integers(1, 50),
    memory=st.just(()) | st.tuples(st.integers(0, 20_000), st.integers(0, 5_000)),
)
def test_the_policy_answers_whatever_it_is_asked_and_never_less_than_the_load_makes(
    stable: int | None, panic: int | None, ready: int, before: int, memory: tuple[int, ...]
) -> None:
    """Any question has an answer that covers the stable window, and the same one when it is asked again."""
    asked = question(stable, panic, ready=ready, wanted=before, memory=memory)
    answer = Concurrency().answer(asked)
    assert answer == Concurrency().answer(asked)
    assert answer.wanted * CONCURRENCY.target >= (stable or 0)


# ---- the decision ----


def test_load_raises_what_is_wanted_and_the_decision_keeps_its_numbers() -> None:
    """Twelve in flight at four for each are three replicas, with a record of what was asked and answered."""
    story = Story(spec())
    (decision,) = story.turn(load(12)).scaled
    assert ("anchor", 1, 3) == (decision.deployment, decision.was, decision.wanted)
    assert 12_000 == decision.asked[0].question.stable
    assert "concurrency 12 over 20s" in decision.because


def test_the_metric_that_needs_most_decides() -> None:
    """Four in flight are one replica; forty requests each second, at ten for each, are four."""
    story = Story(spec(CONCURRENCY, RATE))
    story.turn(load(4, requests=1_000))
    assert 4 == story.turn(load(4, requests=1_080)).wanted["anchor"]


def test_latency_is_shared_by_the_replicas_that_give_it() -> None:
    """A 99th percentile of three times the target is worth three times the replicas."""
    story = Story(spec(LATENCY))
    assert 3 == story.turn(load(1, requests=50, rate=5, p99=600)).wanted["anchor"]


def test_cpu_in_use_is_measured_where_the_cluster_measures_it() -> None:
    """One and a half cores in use, at half a core for each, are three replicas."""
    story = Story(spec(CPU))
    story.usage = {"anchor-0": Usage(cpu=Cpus(1_500))}
    assert 3 == story.turn(load()).wanted["anchor"]


def test_cpu_that_is_not_known_of_every_replica_lowers_nothing() -> None:
    """One replica whose cluster says nothing of it keeps the number, and so does one on a cluster that fell silent."""
    story = Story(spec(CPU), count=2)
    story.usage = {"anchor-0": Usage(cpu=Cpus(10)), "anchor-1": Usage()}
    assert 2 == story.turns(60, load())
    story.usage = {"anchor-0": Usage(cpu=Cpus(10)), "anchor-1": Usage(cpu=Cpus(10))}
    assert 1 == story.turns(60, load())


def test_cpu_of_a_cluster_that_fell_silent_is_not_known() -> None:
    """What was measured before says nothing of now."""
    story = Story(spec(CPU), count=2)
    story.usage = {"anchor-0": Usage(cpu=Cpus(10)), "anchor-1": Usage(cpu=Cpus(10))}
    seen = story.world(load())
    views = {"here": Unreachable(since=START, error="silent", snapshot=seen.clusters["here"].snapshot)}
    silent = assemble(seen, views, seen.models, data_path=seen.data_path, usage=story.usage)
    shard = silent.shards["anchor"]
    assert (20, None) == (
        Demand(seen.shards["anchor"], seen, START, 2_000, None).of(Metric.CPU),
        Demand(shard, silent, START, 2_000, None).of(Metric.CPU),
    )


def test_nothing_in_flight_while_nobody_serves_says_nothing() -> None:
    """All replicas of a busy deployment crash for a long time: it comes back with as many as it had."""
    story = Story(spec(CONCURRENCY, LATENCY), count=4)
    story.crashed = True
    assert {4} == {story.turn(load(0, rate=0)).wanted["anchor"] for _ in range(60)}
    story.crashed = False
    assert 1 == story.turns(60, load(0, rate=0))


def test_servers_that_count_are_asked_where_there_is_no_gateway() -> None:
    """Their rates and requests in flight add up; one that was not read lately makes the sum unknown."""
    story = Story(spec(), count=2)
    world = attrs.evolve(story.world(load()), data_path=DataPath())
    mean = MeanLoad(rate=4.0, error_rate=0.0, latency=50.0, in_flight=0.25)
    read = ServerReading(
        incarnation="#1", at=START - 5_000, counted=ServerLoad(ok=1, failed=0, latency=1.0), seconds=5.0, mean=mean
    )

    def amounts(*readings: ServerReading) -> tuple[int | None, int | None]:
        known = {f"anchor-{number}": one for number, one in enumerate(readings)}
        one = Demand(world.shards["anchor"], attrs.evolve(world, server_loads=known), START, 2_000, None)
        return one.of(Metric.REQUESTS_PER_SECOND), one.of(Metric.CONCURRENCY)

    assert (8_000, 500) == amounts(read, read)
    assert (None, None) == amounts(read)
    assert (None, None) == amounts(read, attrs.evolve(read, at=START - 60_000))


def test_the_bounds_hold_and_say_so() -> None:
    """However much load there is, not more than max; however little, not less than min."""
    story = Story(spec(most=5))
    (decision,) = story.turn(load(1_000)).scaled
    assert (5, True) == (decision.wanted, decision.because.endswith("max is 5"))
    idle = Story(spec(least=2))
    assert 2 == idle.turns(40, load(0))


def test_fewer_are_wanted_only_after_fewer_were_enough_for_all_of_the_time_to_wait() -> None:
    """The number stays for ``scale_down_after`` (30 s, 15 turns), and then follows the load down."""
    story = Story(spec())
    story.turn(load(12))
    waited = [story.turn(load(0)).wanted["anchor"] for _ in range(60)]
    lowered = waited.index(1)
    assert {3} == set(waited[:lowered])
    assert lowered * TURN_MS >= QUICK.scale_down_after.ms
    assert {1} == set(waited[lowered:])


def test_what_is_not_measured_lowers_nothing_and_is_said() -> None:
    """A gateway that does not answer leaves the number as it is, with the reason, for as long as that lasts."""
    story = Story(spec())
    story.turn(load(12))
    decided = [story.turn(None) for _ in range(100)]
    assert {3} == {one.wanted["anchor"] for one in decided}
    assert ReasonCode.UNMEASURED in {held.reason.code for held in decided[-1].held}


def test_a_metric_that_is_not_measured_does_not_keep_another_from_raising_the_number() -> None:
    """Latency is unknown while nothing is answered; concurrency raises the number all the same, and cannot lower it."""
    story = Story(spec(LATENCY, CONCURRENCY))
    assert 3 == story.turn(load(12, requests=10)).wanted["anchor"]
    assert {3} == {story.turn(load(1, requests=10 + number)).wanted["anchor"] for number in range(1, 60)}


def test_a_gap_between_turns_is_no_measurement() -> None:
    """After a weekend without a daemon nothing is lowered before all windows have been measured again."""
    story = Story(spec())
    story.turn(load(12))
    story.turns(12, load(0))
    assert 3 == story.turn(load(0), after_ms=3 * 24 * 3_600_000).wanted["anchor"]
    assert 3 == story.turns(14, load(0))
    assert 1 == story.turns(40, load(0))


def test_a_clock_that_is_set_back_lowers_nothing() -> None:
    """A negative interval is a gap like any other."""
    story = Story(spec())
    story.turn(load(12))
    story.turns(12, load(0))
    assert 3 == story.turn(load(0), after_ms=-3_600_000).wanted["anchor"]
    assert 1 == story.turns(60, load(0))


def test_lost_memory_goes_on_with_as_many_as_there_are() -> None:
    """Nothing is taken down because nobody remembers why it was there, not before all windows are full again."""
    story = Story(spec(), count=5)
    assert 5 == story.turn(load(0)).wanted["anchor"]
    assert 5 == story.turns(9, load(0))


def test_a_cluster_that_was_never_seen_makes_no_number_to_remember() -> None:
    """What may run there is not known: what is remembered waits for it."""
    story = Story(spec(), count=5)
    silent = attrs.evolve(story.world(load(0)), clusters={"here": Unreachable(since=0, error="silent")}, shards={})
    decided = plan(story.fleet, silent, PlanMemory(), START, POLICIES, scalers=SCALERS)
    assert {} == dict(decided.memory.scaling)
    assert 5 == story.turn(load(0)).wanted["anchor"]


def test_bounds_that_change_in_the_file_hold_at_once() -> None:
    """A lower max is a word of the owner and waits for nothing."""
    story = Story(spec())
    story.turn(load(24))
    story.by = spec(most=2)
    assert 2 == story.turn(load(24)).wanted["anchor"]


def test_planning_again_in_the_same_moment_measures_nothing_again() -> None:
    """The same number comes out, and the memory is the same object."""
    story = Story(spec())
    story.turn(load(12))
    world = story.world(load(40))
    again = plan(story.fleet, world, story.memory, story.now, POLICIES, scalers=SCALERS)
    assert (3, True) == (again.wanted["anchor"], again.memory.scaling is story.memory.scaling)
    assert frozenset() == due(story.memory, story.fleet.daemon.turn, story.now)
    assert {"anchor"} == due(story.memory, story.fleet.daemon.turn, story.now + TURN_MS)


def test_nothing_to_do_costs_nothing_to_remember() -> None:
    """A deployment at rest at its least number has a memory that equals the last one: nothing is written for it."""
    story = Story(spec())
    story.turns(40, load(0))
    before = story.memory
    story.turn(load(0))
    assert story.memory.scaling["anchor"].measured is before.scaling["anchor"].measured
    assert before.scaling == story.memory.scaling


# ---- replay ----


class Twice:
    """A policy that wants twice as many as another one."""

    def answer(self, asked: ScalingQuestion) -> ScalingAnswer:
        """Return twice the answer."""
        once = Concurrency().answer(asked)
        return attrs.evolve(once, wanted=2 * once.wanted)


def test_a_decision_is_replayed_from_its_record_alone() -> None:
    """The same policy gives the same answer; another one is told apart, with both numbers."""
    story = Story(spec(CONCURRENCY, RATE))
    (decision,) = story.turn(load(12)).scaled
    assert () == replayed(decision, SCALERS)

    other = replayed(decision, {"concurrency": Twice()})
    assert any(one.startswith("6 would be wanted (concurrency 12 over 20s") for one in other)
    assert ("there is no policy 'concurrency' any more",) == replayed(decision, {})


# ---- whatever happens ----

_LOADS = st.none() | st.builds(
    load, st.integers(0, 60), rate=st.none() | st.floats(0, 100), p99=st.none() | st.floats(0, 2_000)
)


@given(
    metrics=st.lists(st.sampled_from([CONCURRENCY, RATE, LATENCY, CPU]), min_size=1, max_size=3, unique=True),
    loads=st.lists(st.tuples(_LOADS, st.sampled_from([1, 500, 2_000, 2_000, 3_999, 60_000, -5_000])), max_size=30),
    least=st.integers(1, 3),
)
def test_the_number_stays_within_its_bounds_and_falls_only_on_what_was_measured(
    metrics: list[MetricTarget], loads: list[tuple[RouteLoad | None, int]], least: int
) -> None:
    """Whatever is measured and however the clock runs: min <= wanted <= max, no fall while blind, and each replays."""
    by = spec(*metrics, least=least, windows=attrs.evolve(QUICK, scale_down_after=Duration(0)))
    story, before = Story(by, count=least), least
    for measured, elapsed in loads:
        decided = story.turn(measured, after_ms=elapsed)
        number = decided.wanted["anchor"]
        assert by.min <= number <= by.max
        assert measured is not None or number >= before
        assert all(() == replayed(one, SCALERS) for one in decided.scaled)
        assert (number != before) == bool(decided.scaled)
        before = number
