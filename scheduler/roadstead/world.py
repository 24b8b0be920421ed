"""What is: clusters as observed, models as the runtime tells, and what became of our own steps, as frozen values.

A :class:`Snapshot` is one backend's answer about one cluster. The :class:`World` is all of them, cut into one
:class:`Shard` for each deployment. A shard whose content did not change between two observations is the *same object*,
so whoever reads the world can keep what it derived from a shard and recompute nothing for the others: this is how a
fleet of 100,000 replicas is planned in milliseconds.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType

import attrs

from roadstead.holdings import Holdings, Use, sum_of
from roadstead.observed import (
    ClusterView,
    Device,
    Drift,
    Exit,
    Group,
    GroupKey,
    ModelState,
    ModelStatus,
    Node,
    Phase,
    Reachable,
    Replica,
    Snapshot,
    Unreachable,
    Usage,
    frozen_mapping,
)
from roadstead.traffic import NO_DATA_PATH, DataPath, Endpoint, Passage, ServerReading

__all__ = [
    "NOBODY",
    "NO_SERVER_LOADS",
    "NO_USAGE",
    "ClusterView",
    "Crew",
    "Device",
    "Drift",
    "Endpoint",
    "Exit",
    "Group",
    "GroupKey",
    "Listed",
    "Member",
    "ModelState",
    "ModelStatus",
    "Node",
    "Outcome",
    "OutcomeKind",
    "Phase",
    "Reachable",
    "Replica",
    "Shard",
    "Snapshot",
    "Unreachable",
    "Usage",
    "World",
    "frozen_mapping",
    "listed",
]


# ---- outcomes ----


@enum.unique
class OutcomeKind(enum.Enum):
    """What became of a step."""

    DONE = "done"
    FAILED = "failed"
    CONFLICT = "conflict"
    UNKNOWN = "unknown"
    NO_CAPACITY = "no-capacity"
    REJECTED = "rejected"


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of one step of turn ``turn``.

    ``retry_after`` in milliseconds is what the cluster asked for, if it did.
    """

    turn: int
    cluster: str
    subject: str
    kind: OutcomeKind
    code: str = ""
    text: str = ""
    retry_after: int | None = None


# ---- the world ----


@attrs.frozen(kw_only=True)
class Member:
    """One replica of a deployment, with its group, its cluster, and the words of the runtime and the gateway about it.

    ``passage`` is ``None`` where the deployment has no gateway: the endpoint list is the table there.
    """

    cluster: str
    reachable: bool
    group: Group
    replica: Replica
    model: ModelState | None
    passage: Passage | None = None

    @cached_property
    def ready(self) -> bool:
        """Whether its model is available now, as far as this observation goes."""
        if self.replica.phase is not Phase.RUNNING:
            return False
        if self.replica.ready is not None:
            return self.replica.ready
        model, reloading = self.model, self.group.reloading
        if model is None or model.incarnation != self.replica.incarnation:
            return False
        if reloading is not None and any(other.version in model.versions for other in reloading.beside):
            return True
        return model.status is ModelStatus.AVAILABLE and self.group.template.model.version in model.versions

    @property
    def is_unheard(self) -> bool:
        """Whether its gateway sends it requests and finds it well, and nobody has a word from its server.

        So it is when a daemon starts beside servers that have much to do: they stay listed until they are heard of. And
        so it is when a cluster does not answer: its servers may be well, and out of the daemon's reach alone.
        """
        replica, model = self.replica, self.model
        unheard = model is None or model.incarnation != replica.incarnation or not model.heard
        if model is not None and not self.reachable:
            unheard = unheard or model.status is ModelStatus.UNKNOWN
        return (
            unheard
            and replica.phase is Phase.RUNNING
            and replica.ready is None
            and self.passage is not None
            and self.passage.known
            and self.passage.serving
        )

    @property
    def is_current(self) -> bool:
        """Whether it is ready with the very version that is wanted, and with no other.

        One that still has another beside it may answer with that: whoever told it to load was killed in between.
        """
        if not self.ready or self.group.reloading is None or self.model is None:
            return self.ready
        return (self.group.template.model.version,) == self.model.versions

    @property
    def serving(self) -> bool:
        """Whether it is ready and requests get to it: where there is a gateway, listed and not seen unhealthy by it."""
        return self.ready and (self.passage is None or self.passage.serving)

    @property
    def is_out(self) -> bool:
        """Whether nobody is sent to it any more: the gateway was seen to have taken it out, or there is none."""
        return self.passage is None or (self.passage.known and not self.passage.listed)

    @property
    def is_idle(self) -> bool:
        """Whether the gateway was seen to have taken it out, and to have nothing in flight to it."""
        return self.passage is not None and self.is_out and self.passage.idle

    @cached_property
    def listed(self) -> Listed | None:
        """Where it answers; ``None`` where it has no address that we can reach."""
        endpoint = self.replica.endpoint
        return None if endpoint is None else Listed(cluster=self.cluster, replica=self.replica.id, endpoint=endpoint)

    @property
    def unserved(self) -> bool:
        """Whether the runtime says that this server process has no model to serve with: it loads it, or failed to."""
        return (
            self.replica.ready is None
            and self.model is not None
            and self.model.incarnation == self.replica.incarnation
            and self.model.status in {ModelStatus.LOADING, ModelStatus.FAILED}
            and not self.model.versions
        )


@attrs.frozen(kw_only=True)
class Listed:
    """One endpoint that clients may use."""

    cluster: str
    replica: str
    endpoint: Endpoint


@attrs.frozen
class Crew:
    """Members of one deployment that have a group or a cluster in common: ``all`` of them, and those that matter."""

    all: tuple[Member, ...] = ()

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Those that are not lost."""
        return tuple(member for member in self.all if member.replica.phase is not Phase.LOST)

    @cached_property
    def standing(self) -> tuple[Member, ...]:
        """Those that were not told to stop either."""
        return tuple(member for member in self.members if member.replica.phase is not Phase.STOPPING)

    @cached_property
    def serving(self) -> tuple[Member, ...]:
        """The standing ones that serve."""
        return tuple(member for member in self.standing if member.serving)

    @cached_property
    def slots(self) -> tuple[Member, ...]:
        """The standing ones that wait for a node."""
        return tuple(member for member in self.standing if member.replica.phase is Phase.SLOT)

    @property
    def placed(self) -> int:
        """How many standing ones have a place."""
        return len(self.standing) - len(self.slots)

    @cached_property
    def nodes(self) -> Mapping[str, int]:
        """How many of all have each node."""
        return MappingProxyType(Counter(one.replica.node for one in self.all if one.replica.node is not None))


NOBODY = Crew()


@attrs.frozen(kw_only=True)
class Shard:
    """All that exists of one deployment, over all clusters; ``groups`` are ordered by cluster, then generation.

    ``held`` is what it counts for against its owner's quota. A question about a quota asks that of every deployment of
    an owner, so it is there from the beginning, and not found out for a thousand shards when one replica was lost.
    """

    deployment: str
    groups: tuple[tuple[str, Group], ...] = ()
    members: tuple[Member, ...] = ()
    held: Use = attrs.field(init=False, eq=False, repr=False)

    @held.default
    def _held(self) -> Use:
        return sum_of(group.held for _, group in self.groups)

    def group(self, cluster: str, revision: str) -> Group | None:
        """Return its group of this revision on ``cluster``, if there is one."""
        for where, group in self.groups:
            if where == cluster and group.key.revision == revision:
                return group
        return None

    @property
    def owner(self) -> str:
        """Whose the newest group is, for a deployment that nobody declares any more."""
        return max((group for _, group in self.groups), key=lambda group: group.generation).owner

    @cached_property
    def crews(self) -> Mapping[tuple[str, str], Crew]:
        """The members of each group that has any, by cluster and revision."""
        found: dict[tuple[str, str], list[Member]] = {}
        for member in self.members:
            found.setdefault((member.cluster, member.group.key.revision), []).append(member)
        return MappingProxyType({key: Crew(tuple(members)) for key, members in found.items()})

    @cached_property
    def on(self) -> Mapping[str, Crew]:
        """The members on each cluster that has any."""
        found: dict[str, list[Member]] = {}
        for member in self.members:
            found.setdefault(member.cluster, []).append(member)
        return MappingProxyType({cluster: Crew(tuple(members)) for cluster, members in found.items()})

    @cached_property
    def ready(self) -> tuple[Member, ...]:
        """The members whose model is available; ``members`` itself where all are."""
        ready = tuple(member for member in self.members if member.ready)
        return ready if len(ready) < len(self.members) else self.members

    @cached_property
    def serving(self) -> tuple[Member, ...]:
        """The members that are ready and to which requests get."""
        return tuple(member for member in self.members if member.serving)

    @cached_property
    def is_calm(self) -> bool:
        """Whether all its members serve, and its groups have one owner, and nobody else changes or counts any."""
        owners = {group.owner for _, group in self.groups}
        meddled_with = any(group.has_drifted or group.scaled_by for _, group in self.groups)
        return len(owners) == 1 and not meddled_with and len(self.serving) == len(self.members)

    @cached_property
    def target(self) -> int:
        """How many replicas its groups were last asked for."""
        return sum(group.target for _, group in self.groups)

    @cached_property
    def listed(self) -> tuple[Listed, ...]:
        """Where all its ready members answer, by cluster and replica."""
        return listed(self.ready)


def listed(members: Iterable[Member]) -> tuple[Listed, ...]:
    """Return the endpoints of these members, by cluster and replica.

    One without an address that we can reach has none.
    """
    found = [entry for member in members if (entry := member.listed) is not None]
    return tuple(sorted(found, key=lambda entry: (entry.cluster, entry.replica)))


_NOTHING: Mapping[str, Shard] = MappingProxyType({})
_NO_MODELS: Mapping[str, ModelState] = MappingProxyType({})
_NO_HOLDINGS: Mapping[str, Holdings] = MappingProxyType({})
NO_USAGE: Mapping[str, Usage] = MappingProxyType({})
NO_SERVER_LOADS: Mapping[str, ServerReading] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class World:
    """Everything a decision may depend on besides the fleet, the memory and the time.

    Built by :func:`roadstead.assembly.assemble`, which keeps the identity of shards that did not change. ``models`` and
    ``usage`` are keyed by replica id, ``holdings`` by cluster. ``over`` are the deployments of which a replica uses
    more than it may, or nearly all of its CPU. ``outcomes`` are those not yet counted.

    There are two words about load. ``data_path`` has the gateways', which is the better one. ``server_loads``, by
    replica id, has what servers count of their own requests; each is as fresh as its ``at`` says, some seconds old, and
    a server that could not be read the last time has none, which is not the same as no load.
    """

    clusters: Mapping[str, ClusterView]
    shards: Mapping[str, Shard] = _NOTHING
    models: Mapping[str, ModelState] = _NO_MODELS
    holdings: Mapping[str, Holdings] = _NO_HOLDINGS
    data_path: DataPath = NO_DATA_PATH
    server_loads: Mapping[str, ServerReading] = NO_SERVER_LOADS
    usage: Mapping[str, Usage] = NO_USAGE
    over: frozenset[str] = frozenset()
    outcomes: tuple[Outcome, ...] = ()

    @cached_property
    def settled(self) -> Mapping[str, Mapping[str, int]]:
        """What stands for whole deployments, by name, on each cluster that has such things and takes our word now."""
        return MappingProxyType(
            {
                name: view.snapshot.settled
                for name, view in self.clusters.items()
                if isinstance(view, Reachable)
                and view.snapshot.capabilities.settles
                and not view.snapshot.foreign_owners
            }
        )

    def server_load(self, replica: Replica) -> ServerReading | None:
        """Return what the server process that this replica has now said of its own load, if that is known."""
        found = self.server_loads.get(replica.id)
        return found if found is not None and found.incarnation == replica.incarnation else None

    def snapshots(self) -> Iterator[tuple[str, Snapshot]]:
        """Yield the newest snapshot of every cluster that ever answered, reachable now or not."""
        for name, view in self.clusters.items():
            if view.snapshot is not None:
                yield name, view.snapshot
