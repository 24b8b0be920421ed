"""Every key of a scenario file, in the vocabulary of :mod:`roadstead.config.shapes`.

What a simulated cluster is like is said with the options of the plugin that pretends it.
"""

from __future__ import annotations

from typing import Final

import attrs

from roadstead.bench.scenario import (
    Action,
    ChangeFile,
    ChangeQuota,
    CrashServers,
    DaemonAway,
    Foreign,
    LimitCluster,
    LoseNode,
    Partition,
    Rate,
    Scale,
    SilenceNode,
    Trouble,
)
from roadstead.config.amounts import CPU, GPUS, MEMORY, duration
from roadstead.config.options import options_table
from roadstead.config.shapes import (
    Amount,
    Choice,
    Flag,
    Form,
    Forms,
    Key,
    ListOf,
    Maybe,
    Named,
    Shape,
    Table,
    Text,
    Value,
    Whole,
    table,
)
from roadstead.config.texts import CLUSTER_NAME, DEPLOYMENT_NAME, FILE_PATH, OWNER_NAME
from roadstead.model import MAX_REPLICAS
from roadstead.spi.records import BackendPlugin
from roadstead.spi.simulation import ModelFault
from roadstead.units import Cpus, Duration, UnitError

__all__ = ["ScenarioEntry", "TrafficEntry", "scenario_table"]

_AT: Final = Key(name="at", shape=duration("0s"), doc="when, counted from the beginning")
_FOR: Final = Key(
    name="for", field="lasts", shape=Maybe(duration("1ms")), doc="for how long", default_doc="for good", default=None
)
_ON: Final = Key(name="cluster", shape=CLUSTER_NAME, doc="the cluster that the node is of")
_NODE: Final = Text(noun="a node's name")
_ANY_CPU: Final = attrs.evolve(CPU, least=Cpus(0), low_hint="")
_REPLICAS: Final = Whole(noun="a number of replicas", least=0, most=MAX_REPLICAS)
_VERSION: Final = Whole(noun="a version", least=1, most=2**31 - 1)

_TROUBLE: Final = Choice(
    (
        Value(word="never-loads", value=ModelFault.NEVER_LOADS, doc="its servers go on loading it"),
        Value(word="fails", value=ModelFault.FAILS, doc="its servers say that it cannot be loaded"),
        Value(word="crashes", value=ModelFault.CRASHES, doc="its servers end, over and over"),
        Value(word="eats-memory", value=ModelFault.EATS_MEMORY, doc="its servers run out of memory, over and over"),
        Value(word="flaps", value=ModelFault.FLAPS, doc="its servers are well and unwell by turns"),
    )
)


def _rate(text: str | int) -> int:
    """Return a number of requests per second in thousandths."""
    try:
        return Cpus.parse(text).milli
    except UnitError as error:
        raise UnitError(f"{text!r} is no rate", "write requests per second, like 40 or 0.5") from error


RATE: Final = Amount(
    noun="a rate",
    examples="40 or 0.5",
    unit="requests per second",
    pattern="[0-9]+(\\.[0-9]+)?",
    parse=_rate,
    least=0,
    most=1_000_000_000,
)

_STEP: Final = table(
    Rate,
    "a step",
    Key(name="at", shape=duration("0s"), doc="from when on"),
    Key(name="rate", field="milli", shape=RATE, doc="requests per second"),
)


@attrs.frozen(kw_only=True)
class TrafficEntry:
    """The load of a deployment as it is written: exactly one of ``rate``, ``steps`` and ``trace`` is given."""

    service_time: Duration
    parallel: int = 1
    patience: Duration = Duration(5_000)
    rate: int | None = None
    steps: tuple[Rate, ...] = ()
    trace: str | None = None


@attrs.frozen(kw_only=True)
class ScenarioEntry:
    """A scenario as it is written."""

    version: int
    lasts: Duration
    clusters: dict[str, object]
    seed: int = 0
    load: dict[str, TrafficEntry] = attrs.field(factory=dict)
    events: tuple[Action, ...] = ()


def _traffic(marker: str, shape: Shape, doc: str) -> Form:
    """Return one way to say how much is sent."""
    keys = (
        Key(name=marker, shape=shape, doc=doc, required=True),
        Key(
            name="service_time",
            shape=duration("1ms", "1h"),
            doc="what one request takes on a replica that does nothing else",
            required=True,
        ),
        Key(
            name="parallel",
            shape=Whole(noun="a number of requests", least=1, most=100_000),
            doc="how many requests one replica works on at a time",
            default=1,
        ),
        Key(
            name="patience",
            shape=duration("1ms", "1h"),
            doc="how long a request waits before it fails",
            default=Duration(5_000),
        ),
    )
    return Form(marker=marker, table=Table(noun="the load of a deployment", keys=keys, builds=TrafficEntry))


_LOAD: Final = Forms(
    noun="the load of a deployment",
    forms=(
        _traffic("rate", RATE, "requests per second, all the time"),
        _traffic("steps", ListOf(item=_STEP, noun="steps", least=1, most=100_000), "requests per second, by turns"),
        _traffic("trace", FILE_PATH, "a CSV file with the columns `seconds` and `rate`, relative to the scenario"),
    ),
)


def _event(builds: type[Action], noun: str, *keys: Key) -> Form:
    return Form(marker=builds.marker, table=table(builds, noun, _AT, *keys))


_EVENTS: Final = Forms(
    noun="an event",
    forms=(
        _event(
            LoseNode, "a node's loss", Key(name="lose_node", shape=_NODE, doc="the node that is gone for good"), _ON
        ),
        _event(
            SilenceNode,
            "a node's silence",
            Key(name="silence_node", shape=_NODE, doc="the node that loses its power"),
            _ON,
            _FOR,
        ),
        _event(
            Partition,
            "a partition",
            Key(name="partition", shape=CLUSTER_NAME, doc="the cluster that answers nobody; its servers go on"),
            _FOR,
        ),
        _event(
            Foreign,
            "foreign use",
            Key(name="foreign_use", shape=_NODE, doc="the node of which others hold something"),
            _ON,
            Key(name="cpu", shape=_ANY_CPU, doc="how much CPU"),
            Key(name="memory", shape=MEMORY, doc="how much memory"),
            Key(name="gpu_memory", shape=MEMORY, doc="how much memory of each of its devices"),
            _FOR,
        ),
        _event(
            LimitCluster,
            "a cluster's quota",
            Key(name="limit_cluster", shape=CLUSTER_NAME, doc="the cluster whose own quota for us changes"),
            Key(name="cpu", shape=Maybe(_ANY_CPU), doc="null: without limit"),
            Key(name="memory", shape=Maybe(MEMORY), doc="null: without limit"),
            Key(name="gpu", shape=Maybe(GPUS), doc="null: without limit"),
        ),
        _event(
            CrashServers,
            "a crash",
            Key(name="crash", shape=DEPLOYMENT_NAME, doc="the deployment whose servers end"),
            Key(name="count", shape=Whole(noun="a number of servers", least=1, most=MAX_REPLICAS), doc="how many"),
            Key(name="out_of_memory", shape=Flag(), doc="whether the kernel ends them for want of memory"),
        ),
        _event(
            Trouble,
            "trouble",
            Key(name="trouble", shape=DEPLOYMENT_NAME, doc="the deployment whose model does something to its servers"),
            Key(name="how", shape=_TROUBLE, doc="what it does"),
            Key(name="version", shape=Maybe(_VERSION), doc="in which version", default_doc="in all of them"),
            _FOR,
        ),
        _event(
            ChangeFile,
            "a change of the file",
            Key(name="change", shape=DEPLOYMENT_NAME, doc="the deployment that is changed in the fleet file"),
            Key(name="replicas", shape=Maybe(_REPLICAS), doc="another number of replicas", default_doc="as it is"),
            Key(name="version", shape=Maybe(_VERSION), doc="another version of its model", default_doc="as it is"),
            Key(name="source", shape=Maybe(Text()), doc="another source of its model", default_doc="as it is"),
        ),
        _event(
            ChangeQuota,
            "a change of a quota",
            Key(name="quota", shape=OWNER_NAME, doc="the owner whose quota is changed in the fleet file"),
            Key(name="cpu", shape=Maybe(_ANY_CPU), doc="null: without limit"),
            Key(name="memory", shape=Maybe(MEMORY), doc="null: without limit"),
            Key(name="gpu", shape=Maybe(GPUS), doc="null: without limit"),
        ),
        _event(
            Scale,
            "a scaling by command",
            Key(name="scale", shape=DEPLOYMENT_NAME, doc="the deployment that `roadstead scale` is said of"),
            Key(name="replicas", shape=_REPLICAS, doc="how many it is to have"),
        ),
        _event(
            DaemonAway,
            "a daemon's death",
            Key(name="kill_daemon", shape=Flag(only=True), doc="the daemon is killed"),
            Key(name="for", field="lasts", shape=duration("1ms"), doc="how long until it starts again"),
            Key(name="forgets", shape=Flag(), doc="whether its memory is lost too"),
        ),
    ),
)


def scenario_table(plugin: BackendPlugin) -> Table:
    """Return the keys of a whole scenario file, for clusters that ``plugin`` pretends."""
    cluster = attrs.evolve(options_table(plugin.options, plugin.name), noun="a simulated cluster")
    return table(
        ScenarioEntry,
        "a scenario",
        Key(
            name="version",
            shape=Whole(noun="the version of the format", least=1, most=1),
            doc="the version of this format, which is 1",
        ),
        Key(name="for", field="lasts", shape=duration("1s", "168h"), doc="how long it is simulated"),
        Key(
            name="seed",
            shape=Whole(noun="a seed", least=0, most=2**63 - 1),
            doc="what is left to chance follows from this number; `--seed` wins",
        ),
        Key(
            name="clusters",
            shape=Named(item=cluster, names=CLUSTER_NAME, label="CLUSTER", least=1, most=100),
            doc="what stands in for each cluster of the fleet file",
        ),
        Key(
            name="load",
            shape=Named(item=_LOAD, names=DEPLOYMENT_NAME, label="DEPLOYMENT", most=20_000),
            doc="what clients send",
        ),
        Key(
            name="events",
            shape=ListOf(item=_EVENTS, noun="events", most=100_000),
            doc="what happens, each at its time; events of one time happen in this order",
        ),
    )
