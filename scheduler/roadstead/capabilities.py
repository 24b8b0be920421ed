"""What one cluster can do, as data: the planner knows what cannot be honoured without asking."""

from __future__ import annotations

import enum
from functools import cached_property

import attrs

from roadstead.model import Scheduling
from roadstead.units import Cpus, Memory

__all__ = ["Bounds", "Capabilities", "Engine", "GpuKind", "Limit"]


@enum.unique
class GpuKind(enum.Enum):
    """The ways in which a cluster can give GPUs to a replica."""

    WHOLE = "whole"
    SHARE = "share"
    PARTITION = "partition"


@enum.unique
class Limit(enum.Enum):
    """How a limit is enforced there; ``NONE`` means that it is accounted for and not enforced."""

    CFS = "cfs"
    SHARES = "shares"
    AFFINITY = "affinity"
    CGROUP = "cgroup"
    WATCHDOG = "watchdog"
    MIG = "mig"
    MPS = "mps"
    FRACTION = "fraction"
    NONE = "none"


@enum.unique
class Engine(enum.Enum):
    """What a cluster starts replicas from."""

    PROCESS = "process"
    IMAGE = "image"


@attrs.frozen(kw_only=True)
class Bounds:
    """What one replica must and may have by the cluster's own rules; ``None`` is without bound."""

    least_cpu: Cpus | None = None
    most_cpu: Cpus | None = None
    least_memory: Memory | None = None
    most_memory: Memory | None = None


_BOUNDLESS = Bounds()


@attrs.frozen(kw_only=True)
class Capabilities:
    """What one cluster can do, as data: the planner knows what cannot be honoured without asking.

    ``exact_retire``: the replicas named in ``retire`` are the ones that go. ``heals_alone``: lost replicas are replaced
    while our daemon is dead. ``restarts``: one replica can be restarted in place. ``reloads``: a replica can be given
    another model version to load, and is started with that one the next time. ``metadata_restarts``: writing metadata
    to a group restarts replicas, so that none is written to one that exists. ``locks``: a group that is still becoming
    what it was asked for cannot be asked for more, which is a ``Conflict`` until then. ``evicts``: one replica can be
    taken away, so that another comes in its place. ``reverts``: what others change is shown and can be put back.
    ``settles``: something stands there for each deployment as a whole, and is made, changed and removed by us.
    ``reports_ready``: it can say by itself which replicas are ready. ``schemes``: the model sources it can read,
    ``file`` for a path, which must then lie under one of ``roots`` where there are any; ``undigested`` are those whose
    files nobody can check. ``caps_at_one``: its own scheduler can keep a hard cap of spread only where that is 1.
    ``matches``: it can hold attributes of nodes to a pattern. ``gpu_models``, ``gpu_memory``: it knows which models its
    GPUs are, and how much memory they have.
    ``secrets``: the kinds of secret references it can resolve. ``bounds``: what each replica may have there.
    ``late_claims``: the claims (``pvc://CLAIM``) whose storage gets its place only when the cluster's own scheduler has
    picked a node, where that does not pick. ``emulated``: it stands in for what it answers as, so
    that no time that is taken there is one of the real thing. ``notes`` are sentences for a person.
    """

    scheduling: frozenset[Scheduling]
    exact_retire: bool
    heals_alone: bool
    binds_devices: bool = False
    restarts: bool = False
    reloads: bool = False
    metadata_restarts: bool = False
    locks: bool = False
    evicts: bool = False
    reverts: bool = False
    reports_ready: bool = False
    settles: bool = False
    gpu: frozenset[GpuKind] = frozenset()
    gpu_models: bool = True
    gpu_memory: bool = True
    cpu_limit: Limit = Limit.NONE
    memory_limit: Limit = Limit.NONE
    gpu_limit: Limit = Limit.NONE
    engine: Engine = Engine.PROCESS
    schemes: frozenset[str] = frozenset({"file"})
    roots: tuple[str, ...] = ()
    undigested: frozenset[str] = frozenset()
    caps_at_one: bool = False
    matches: bool = False
    secrets: frozenset[str] = frozenset()
    bounds: Bounds = _BOUNDLESS
    late_claims: frozenset[str] = frozenset()
    version: str = ""
    emulated: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def is_directed(self) -> bool:
        """Whether our placement picks the nodes."""
        return Scheduling.DIRECTED in self.scheduling
