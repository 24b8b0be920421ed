"""Metrics in the format of Prometheus; the reference page ``metrics`` documents every name, and names do not change."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from roadstead import __version__
from roadstead.act.events import EventKind, Turn
from roadstead.act.traffic_events import overdue
from roadstead.act.turn_events import reverted
from roadstead.daemon.drift_metrics import of_drift
from roadstead.daemon.limit_metrics import of_limits
from roadstead.daemon.traffic_metrics import of_gateways, of_servers, of_traffic
from roadstead.daemon.view import View
from roadstead.decide.report import scaling_of
from roadstead.traffic import DataPath
from roadstead.world import Reachable, World

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The daemon's metrics: what happens is counted when it does, how things are is read when somebody asks."""

    def __init__(
        self, view: Callable[[], View], events: Mapping[EventKind, int], data_path: Callable[[], DataPath]
    ) -> None:
        # When a counter began says nothing that process_start_time_seconds does not.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one out
        self._registry = CollectorRegistry()
        self._turns = Counter("roadstead_turns", "Turns that were completed.", registry=self._registry)
        self._seconds = Histogram(
            "roadstead_turn_seconds",
            "How long the parts of a turn took: observe, plan, act.",
            ("part",),
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._steps = Counter(
            "roadstead_steps",
            "Steps that were tried, by what became of them.",
            ("cluster", "outcome"),
            registry=self._registry,
        )
        self._reverts = Counter(
            "roadstead_reverts",
            "Groups that were put back as they were made, after others had changed them.",
            ("cluster", "deployment"),
            registry=self._registry,
        )
        self._overdue = Counter(
            "roadstead_overdue_stops",
            "Replicas that were stopped although requests may have been in flight: their grace was over.",
            ("cluster", "deployment"),
            registry=self._registry,
        )
        self._registry.register(_Now(view, events, data_path))
        ProcessCollector(registry=self._registry)

    def turned(self, turn: Turn) -> None:
        """Count one completed turn."""
        self._turns.inc()
        for part, seconds in (("observe", turn.timing.observe), ("plan", turn.timing.plan), ("act", turn.timing.act)):
            self._seconds.labels(part).observe(seconds)
        for outcome in turn.outcomes:
            self._steps.labels(outcome.cluster, outcome.kind.value).inc()
        for step in reverted(turn):
            self._reverts.labels(step.cluster, step.group.deployment).inc()
        for one in overdue(turn):
            self._overdue.labels(one.member.cluster, one.member.group.key.deployment).inc()

    def text(self) -> bytes:
        """Return all metrics in the text format 0.0.4."""
        return generate_latest(self._registry)


class _Now(Collector):
    """How things are, made from one view at the moment of a scrape."""

    def __init__(
        self, view: Callable[[], View], events: Mapping[EventKind, int], data_path: Callable[[], DataPath]
    ) -> None:
        self._view = view
        self._events = events
        self._data_path = data_path

    def collect(self) -> Iterator[Metric]:
        """Yield every family that describes the present."""
        view = self._view()
        yield InfoMetricFamily(
            "roadstead_build", "The version that runs.", {"version": __version__, "fleet": view.fleet.name}
        )
        yield _flag(
            "roadstead_fleet_file_good", "Whether the fleet file as saved is in force or staged.", not view.bad_file
        )
        yield _flag("roadstead_fleet_staged", "Whether a changed file waits for apply.", view.staged is not None)
        yield _flag("roadstead_turns_failing", "Whether turns fail, and nothing is healed.", not view.acts)
        yield _flag("roadstead_problems", "Whether anything is reported as not working.", bool(view.wrong))
        counted = CounterMetricFamily("roadstead_events", "What happened, by kind of event.", labels=["kind"])
        for kind in EventKind:
            counted.add_metric([kind.value], self._events.get(kind, 0))
        yield counted
        if view.turn is not None:
            yield from _of_turn(view.turn)
            data_path = self._data_path()
            yield from of_gateways(data_path)
            yield from of_traffic(view.turn.world, data_path)
            yield from of_servers(view.turn.world)


def _of_turn(turn: Turn) -> Iterator[Metric]:
    at = GaugeMetricFamily("roadstead_last_turn_timestamp_seconds", "When the last turn was made, in Unix time.")
    at.add_metric([], turn.at / 1000)
    yield at
    yield from _of_deployments(turn)
    yield from _of_replicas(turn.world)
    yield from of_limits(turn)
    yield from of_drift(turn)
    up = GaugeMetricFamily("roadstead_cluster_reachable", "Whether the cluster answers.", labels=["cluster"])
    for name, view in sorted(turn.world.clusters.items()):
        up.add_metric([name], float(isinstance(view, Reachable)))
    yield up


def _of_deployments(turn: Turn) -> Iterator[Metric]:
    wanted = GaugeMetricFamily("roadstead_replicas_wanted", "Replicas that are wanted.", labels=["deployment"])
    floor = GaugeMetricFamily(
        "roadstead_replicas_floor", "Serving replicas that our own actions never go below.", labels=["deployment"]
    )
    for family, numbers in ((wanted, turn.plan.wanted), (floor, turn.plan.floor)):
        for name, number in sorted(numbers.items()):
            family.add_metric([name], number)
        yield family
    yield from _of_scaling(turn)
    listed = GaugeMetricFamily("roadstead_endpoints", "Endpoints that clients may use.", labels=["deployment"])
    for name, endpoints in sorted(turn.plan.table.endpoints.items()):
        listed.add_metric([name], len(endpoints))
    yield listed
    held = GaugeMetricFamily(
        "roadstead_held", "Wants that are not met now, by reason.", labels=["deployment", "cluster", "reason"]
    )
    tally = Tally((one.deployment, one.cluster, one.reason.code.value) for one in turn.plan.held)
    for labels, number in sorted(tally.items()):
        held.add_metric(list(labels), number)
    yield held


def _of_scaling(turn: Turn) -> Iterator[Metric]:
    """Yield what is measured of the deployments whose load decides, in whole requests, seconds and cores."""
    average = GaugeMetricFamily(
        "roadstead_scaling_average",
        "What all replicas together had to do on average; absent where it is not known.",
        labels=["deployment", "metric", "window"],
    )
    target = GaugeMetricFamily(
        "roadstead_scaling_target", "What one replica should have to do.", labels=["deployment", "metric"]
    )
    bound = GaugeMetricFamily(
        "roadstead_scaling_bound", "Between how many replicas load decides.", labels=["deployment", "bound"]
    )
    for name, declared in sorted(turn.fleet.deployments.items()):
        scaling = scaling_of(declared, turn.plan)
        if scaling is None:
            continue
        bound.add_metric([name, "min"], scaling.min)
        bound.add_metric([name, "max"], scaling.max)
        for one in scaling.metrics:
            target.add_metric([name, one.metric], one.target / 1000)
            for window, amount in (("stable", one.stable), ("panic", one.panic)):
                if amount is not None:
                    average.add_metric([name, one.metric, window], amount / 1000)
    yield bound
    yield target
    yield average


def _of_replicas(world: World) -> Iterator[Metric]:
    phases: Tally[tuple[str, ...]] = Tally()
    ready: Tally[tuple[str, ...]] = Tally()
    restarts: Tally[tuple[str, ...]] = Tally()
    of_replica = ["cluster", "deployment", "replica"]
    cpu = GaugeMetricFamily("roadstead_replica_cpu_cores", "CPU in use; absent where unknown.", labels=of_replica)
    memory = GaugeMetricFamily(
        "roadstead_replica_memory_bytes", "Resident memory; absent where unknown.", labels=of_replica
    )
    for name, shard in sorted(world.shards.items()):
        for member in shard.members:
            phases[member.cluster, name, member.replica.phase.value] += 1
            ready[member.cluster, name] += member.ready
            restarts[member.cluster, name] += member.replica.restarts
            usage = world.usage.get(member.replica.id)
            if usage is not None and usage.cpu is not None:
                cpu.add_metric([member.cluster, name, member.replica.id], usage.cpu.milli / 1000)
            if usage is not None and usage.memory is not None:
                memory.add_metric([member.cluster, name, member.replica.id], usage.memory.bytes)
    yield _tallied("roadstead_replicas", "Replicas by phase.", ("cluster", "deployment", "phase"), phases)
    yield _tallied("roadstead_replicas_ready", "Replicas whose model is available.", ("cluster", "deployment"), ready)
    yield _tallied(
        "roadstead_replica_restarts", "Restarts of the replicas that are there.", ("cluster", "deployment"), restarts
    )
    yield cpu
    yield memory


def _tallied(name: str, text: str, labels: tuple[str, ...], tally: Mapping[tuple[str, ...], int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    for values, number in sorted(tally.items()):
        family.add_metric(list(values), number)
    return family


def _flag(name: str, text: str, value: bool) -> Metric:  # noqa: FBT001  # the value, and not a mode
    family = GaugeMetricFamily(name, text)
    family.add_metric([], float(value))
    return family
