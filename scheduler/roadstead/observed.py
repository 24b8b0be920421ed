"""What was observed: one cluster's answer at one moment, a server's word about its model, what a replica uses.

Part of :mod:`roadstead.world`, where all of it is imported from.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

import attrs

from roadstead.capabilities import Capabilities
from roadstead.holdings import Placed, Use, use_of
from roadstead.model import Quota, Reloading, Template
from roadstead.reasons import Reason
from roadstead.traffic import Endpoint
from roadstead.units import Cpus, Memory

__all__ = [
    "ClusterView",
    "Device",
    "Drift",
    "Exit",
    "Group",
    "GroupKey",
    "ModelState",
    "ModelStatus",
    "Node",
    "Phase",
    "Reachable",
    "Replica",
    "Snapshot",
    "Unreachable",
    "Usage",
    "frozen_mapping",
]


def frozen_mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    """Return ``value`` as a mapping that nobody can change, without copying one that already is.

    Not generic: as the converter of a field, mypy would not solve its type variables.
    """
    return value if isinstance(value, MappingProxyType) else MappingProxyType(dict(value))


@attrs.frozen(kw_only=True)
class Device:
    """One GPU of a node; ``foreign`` is memory that processes other than our replicas hold on it now."""

    id: str
    model: str
    memory: Memory
    foreign: Memory = Memory(0)
    partitions: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Node:
    """A machine that can hold replicas: what it can give away, and what others than we already hold there."""

    name: str
    cpu: Cpus
    memory: Memory
    disk: Memory = Memory(0)
    devices: tuple[Device, ...] = ()
    attributes: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    foreign_cpu: Cpus = Cpus(0)
    foreign_memory: Memory = Memory(0)
    schedulable: bool = True


@enum.unique
class Phase(enum.Enum):
    """Where a replica is in its life, as its cluster sees it; readiness is the runtime's word and not in here.

    ``SLOT`` has no node yet. ``STARTING`` has one, and no server process that runs: being prepared, or waiting to be
    started again. ``RUNNING`` has a server process. ``STOPPING`` was told to stop. ``LOST`` is
    gone for good, or its cluster has given up its node for as long as ``health.node_lost_after``: it counts for
    nothing, and another one comes in its place. Should it be back after all, it is shown as what it is then, and one of
    them is too many.
    """

    SLOT = "slot"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    LOST = "lost"


@attrs.frozen(kw_only=True)
class Exit:
    """How one server process ended, or why none was begun.

    At most one of ``code`` and ``signal`` is known, neither when nobody could see it or when there was no process.
    ``detail`` is what the cluster says about it besides, a sentence without a subject, and empty where it says no more.
    ``asked`` says that it was we who had it ended.
    """

    at: int
    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False
    detail: str = ""
    asked: bool = False


@attrs.frozen(kw_only=True)
class Replica:
    """One running model server, or the slot for one.

    ``incarnation`` changes whenever the server process does: what was learnt of an earlier one does not count.
    ``ready`` is the orchestrator's own readiness, ``None`` where it has none. ``started_at`` is in milliseconds since
    the epoch. ``earlier_exits`` are those before the last that the cluster still knows, oldest first. ``drifted``: it
    was made from what somebody else wrote into its group.
    """

    id: str
    phase: Phase
    node: str | None = None
    devices: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    incarnation: str = ""
    ready: bool | None = None
    restarts: int = 0
    started_at: int | None = None
    reason: Reason | None = None
    last_exit: Exit | None = None
    earlier_exits: tuple[Exit, ...] = ()
    drifted: bool = False

    @property
    def exits(self) -> tuple[Exit, ...]:
        """Every end that the cluster still knows, oldest first."""
        return self.earlier_exits if self.last_exit is None else (*self.earlier_exits, self.last_exit)


@attrs.frozen(order=True)
class GroupKey:
    """A group's identity on its cluster: the fleet is the same for all that we see."""

    deployment: str
    revision: str

    def __str__(self) -> str:
        return f"{self.deployment}-{self.revision}"


@attrs.frozen(kw_only=True)
class Drift:
    """One field of a group's objects that somebody else changed: what we wrote, what stands there, and who wrote it.

    ``ours`` is of the rendering that the group carries since it was created, never of today's. ``manager`` is empty
    where the cluster does not tell.
    """

    field: str
    ours: str
    theirs: str
    manager: str = ""


@attrs.frozen(kw_only=True)
class Group:
    """The replicas of one revision on one cluster, with all that is needed to make it again.

    ``version`` is the backend's opaque token for compare-and-set: it changes with every change of what is stored about
    the group or of the set of its replicas. ``target`` is how many replicas it was last asked for. Where the group is
    ``reloading``, the template's model version is one too: what its replicas are to load. ``drift`` is what others
    changed of it, by field. ``scaled_by`` names whoever else decides how many replicas it has, or how much each of them
    has, such as an autoscaler of the cluster's own; empty where nobody does. ``serves_on``: whoever of it is told to
    stop goes on serving for the template's ``drain_within``, so that nobody else needs to wait for that before.
    """

    key: GroupKey
    owner: str
    owner_id: str
    generation: int
    target: int
    template: Template
    reloading: Reloading | None = None
    version: str = ""
    replicas: tuple[Replica, ...] = ()
    reason: Reason | None = None
    drift: tuple[Drift, ...] = ()
    scaled_by: str = ""
    serves_on: bool = False

    @cached_property
    def has_drifted(self) -> bool:
        """Whether others changed what is stored of it, or a replica was made while it was so."""
        return bool(self.drift) or any(replica.drifted for replica in self.replicas)

    @cached_property
    def living(self) -> tuple[Replica, ...]:
        """The replicas that are not lost."""
        return tuple(replica for replica in self.replicas if replica.phase is not Phase.LOST)

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """What its replicas hold on nodes now; a stopping one still holds it."""
        return tuple(
            Placed(node=replica.node, devices=replica.devices, resources=self.template.resources)
            for replica in self.living
            if replica.node is not None
        )

    @cached_property
    def standing(self) -> int:
        """How many replicas it has that are not lost and were not told to stop."""
        return sum(replica.phase is not Phase.STOPPING for replica in self.living)

    @property
    def pledged(self) -> int:
        """How many replicas it was asked for, or has that were not told to stop."""
        return max(self.target, self.standing)

    @property
    def counted(self) -> int:
        """How many replicas it counts for: those that it was asked for or has, and those that still stop."""
        return self.pledged + len(self.living) - self.standing

    @property
    def held(self) -> Use:
        """What it counts for against its owner's quota: every replica it was asked for or still has."""
        return use_of(self.template.resources) * self.counted


_NOTHING_SETTLED: Mapping[str, int] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Snapshot:
    """What one cluster looked like at one moment.

    ``foreign_owners`` are owner ids other than ours found on objects with our names. ``quota`` is the cluster's own
    limit for us. ``settled`` is what stands there for whole deployments, by name: how many replicas of it nobody may
    disturb at once; the same object while it did not change.
    """

    capabilities: Capabilities
    nodes: tuple[Node, ...] = ()
    groups: tuple[Group, ...] = ()
    foreign_owners: frozenset[str] = frozenset()
    quota: Quota | None = None
    settled: Mapping[str, int] = _NOTHING_SETTLED

    @cached_property
    def by_node(self) -> Mapping[str, Node]:
        """The nodes by name."""
        return MappingProxyType({node.name: node for node in self.nodes})

    @cached_property
    def by_deployment(self) -> Mapping[str, tuple[Group, ...]]:
        """The groups of each deployment that has any, in their order."""
        found: dict[str, tuple[Group, ...]] = {}
        for group in self.groups:
            found[group.key.deployment] = (*found.get(group.key.deployment, ()), group)
        return MappingProxyType(found)


@attrs.frozen
class Reachable:
    """The cluster answered this turn."""

    snapshot: Snapshot


@attrs.frozen(kw_only=True)
class Unreachable:
    """The cluster did not answer.

    ``since`` (ms since the epoch), with what it last looked like, if it ever answered.
    """

    since: int
    error: str
    snapshot: Snapshot | None = None


ClusterView = Reachable | Unreachable


@enum.unique
class ModelStatus(enum.Enum):
    """The runtime's word about the model in one server process."""

    UNKNOWN = "unknown"
    LOADING = "loading"
    AVAILABLE = "available"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class ModelState:
    """What a replica's server says of its model; it counts for that ``incarnation`` only.

    ``versions`` are the versions that are available. ``error`` is the server's own text. ``heard``: this process has
    answered before, or was asked in vain for so often that this says something.
    """

    status: ModelStatus
    incarnation: str
    versions: tuple[int, ...] = ()
    error: str = ""
    heard: bool = True


@attrs.frozen(kw_only=True)
class Usage:
    """What a replica uses now: CPU over the last interval, resident memory, GPU memory.

    ``None`` is unknown and never 0.
    """

    cpu: Cpus | None = None
    memory: Memory | None = None
    gpu_memory: Memory | None = None
