"""A scenario as frozen values: the world in which a fleet is simulated, and what happens to it and when.

Times are counted from the beginning. Rates are in thousandths of a request per second, so that everything is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import attrs

from roadstead.spi.simulation import ModelFault
from roadstead.units import Cpus, Duration, Memory

__all__ = [
    "Action",
    "ChangeFile",
    "ChangeQuota",
    "CrashServers",
    "DaemonAway",
    "Foreign",
    "LimitCluster",
    "LoseNode",
    "Partition",
    "Rate",
    "Scale",
    "Scenario",
    "SilenceNode",
    "Traffic",
    "Trouble",
]


# ---- load ----


@attrs.frozen
class Rate:
    """So many requests from a moment on: ``milli`` thousandths of one per second."""

    at: Duration
    milli: int


@attrs.frozen(kw_only=True)
class Traffic:
    """What the clients of one deployment send, and what a request costs.

    ``service_time`` is what one request takes on a replica that has nothing else to do, and ``parallel`` how many one
    replica works on at a time. A request that would wait longer than ``patience`` fails. ``rates`` are in the order of
    time, the first at 0.
    """

    service_time: Duration
    parallel: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    patience: Duration = Duration(5_000)
    rates: tuple[Rate, ...] = attrs.field(default=(), validator=attrs.validators.min_len(1))


# ---- what happens ----


@attrs.frozen(kw_only=True)
class LoseNode:
    """A node is gone for good, with all that runs there."""

    marker: ClassVar[str] = "lose_node"
    at: Duration
    lose_node: str
    cluster: str


@attrs.frozen(kw_only=True)
class SilenceNode:
    """A node loses its power; where it ``lasts`` so long only, it starts again after that."""

    marker: ClassVar[str] = "silence_node"
    at: Duration
    silence_node: str
    cluster: str
    lasts: Duration | None = None


@attrs.frozen(kw_only=True)
class Partition:
    """A cluster answers nobody, and its servers go on."""

    marker: ClassVar[str] = "partition"
    at: Duration
    partition: str
    lasts: Duration | None = None


@attrs.frozen(kw_only=True)
class Foreign:
    """Others than we hold so much of a node."""

    marker: ClassVar[str] = "foreign_use"
    at: Duration
    foreign_use: str
    cluster: str
    cpu: Cpus = Cpus(0)
    memory: Memory = Memory(0)
    gpu_memory: Memory = Memory(0)
    lasts: Duration | None = None


@attrs.frozen(kw_only=True)
class LimitCluster:
    """A cluster's own quota for us is another one from then on; what is left out is without limit."""

    marker: ClassVar[str] = "limit_cluster"
    at: Duration
    limit_cluster: str
    cpu: Cpus | None = None
    memory: Memory | None = None
    gpu: int | None = None


@attrs.frozen(kw_only=True)
class CrashServers:
    """So many servers of a deployment end, those that are ready first, in the order of their names."""

    marker: ClassVar[str] = "crash"
    at: Duration
    crash: str
    count: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    out_of_memory: bool = False


@attrs.frozen(kw_only=True)
class Trouble:
    """The model of a deployment does something to its servers, in all its versions or in one."""

    marker: ClassVar[str] = "trouble"
    at: Duration
    trouble: str
    how: ModelFault
    version: int | None = None
    lasts: Duration | None = None


@attrs.frozen(kw_only=True)
class ChangeFile:
    """Somebody saves the fleet file with another number of replicas, version or source of a deployment."""

    marker: ClassVar[str] = "change"
    at: Duration
    change: str
    replicas: int | None = None
    version: int | None = None
    source: str | None = None


@attrs.frozen(kw_only=True)
class ChangeQuota:
    """Somebody saves the fleet file with another quota of an owner; what is left out is without limit."""

    marker: ClassVar[str] = "quota"
    at: Duration
    quota: str
    cpu: Cpus | None = None
    memory: Memory | None = None
    gpu: int | None = None


@attrs.frozen(kw_only=True)
class Scale:
    """Somebody says ``roadstead scale``."""

    marker: ClassVar[str] = "scale"
    at: Duration
    scale: str
    replicas: int = attrs.field(validator=attrs.validators.ge(0))


@attrs.frozen(kw_only=True)
class DaemonAway:
    """The daemon is killed and starts again after ``lasts``, without its memory where it ``forgets``."""

    marker: ClassVar[str] = "kill_daemon"
    at: Duration
    kill_daemon: bool
    lasts: Duration
    forgets: bool = False


Action = (
    LoseNode
    | SilenceNode
    | Partition
    | Foreign
    | LimitCluster
    | CrashServers
    | Trouble
    | ChangeFile
    | ChangeQuota
    | Scale
    | DaemonAway
)


# ---- all of it ----


_NO_TRAFFIC: Mapping[str, Traffic] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Scenario:
    """A world and what happens in it.

    ``clusters`` are the options of the simulated backend, by the name that the fleet file gives the cluster; ``load``
    is by deployment.
    """

    lasts: Duration
    clusters: Mapping[str, object]
    seed: int = 0
    load: Mapping[str, Traffic] = _NO_TRAFFIC
    events: tuple[Action, ...] = ()
