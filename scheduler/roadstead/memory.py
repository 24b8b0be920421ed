"""What the world cannot say and a decision needs: the planner's memory, as one frozen value.

It goes into ``plan`` and a new one comes out; :mod:`roadstead.act.memory` keeps it on disk. Losing it costs at most one
repeated attempt and one stable window. Times are accumulators in milliseconds, fed with clamped intervals, never
instants: a clock that jumps, or a weekend without a daemon, expires nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType

import attrs

from roadstead.autoscaling import AutoscalingSpec, Metric, Peak
from roadstead.holdings import Use
from roadstead.model import ModelVersion, Quota, Resources

__all__ = [
    "AGE_MS",
    "Asked",
    "BackOff",
    "Bucket",
    "Claim",
    "ClusterMemory",
    "DeploymentMemory",
    "ExcessMemory",
    "GroupMemory",
    "Measured",
    "Ousting",
    "PlanMemory",
    "Reverted",
    "ScalingMemory",
    "Series",
    "SlotMemory",
    "cluster_of",
    "place",
    "process_place",
]


def place(cluster: str, name: object) -> str:
    """Return the key under which memory keeps something of one cluster: ``cluster/name``."""
    return f"{cluster}/{name}"


def cluster_of(key: str) -> str:
    """Return the cluster of a :func:`place`."""
    return key.partition("/")[0]


def process_place(cluster: str, replica: str, incarnation: str) -> str:
    """Return the key under which memory keeps something of one server process: ``cluster/replica@incarnation``."""
    return place(cluster, f"{replica}@{incarnation}")


@attrs.frozen(kw_only=True)
class GroupMemory:
    """What was learnt of a group.

    How long it has been ready without a restart, how long it has tried, and the verdicts.

    ``ready_ms`` is ``None`` while it is not. ``restarts`` is the sum of its replicas' restart counts when it began.
    ``best`` is the largest number of them that were ready at once: reaching a new best is progress, and starts
    ``trying_ms`` again. ``why`` is what was last said of a replica of it that did not get ready, and outlives them.
    ``presumed``: the memory was lost, and it counts as proven until it has tried in vain for long.

    Where replicas reload, all of this is about one ``version``, and the verdicts about others are kept beside it;
    ``served`` are the last of the versions that were proven, in the order in which they first were, to go back to.
    """

    ready_ms: int | None = None
    trying_ms: int = 0
    restarts: int = 0
    best: int = 0
    proven: bool = False
    failed: bool = False
    why: str = ""
    version: int | None = None
    proven_versions: tuple[int, ...] = ()
    failed_versions: tuple[int, ...] = ()
    served: tuple[ModelVersion, ...] = ()
    presumed: bool = False

    def has_proven(self, version: int) -> bool:
        """Return whether the replicas were seen to serve ``version`` well."""
        return version in self.proven_versions or (self.proven and self.version == version)

    def has_failed(self, version: int) -> bool:
        """Return whether ``version`` was tried in vain."""
        return version in self.failed_versions or (self.failed and self.version == version)

    def about(self, version: int) -> GroupMemory:
        """Return what to go on from when the replicas are to load ``version``: the verdicts, and else nothing."""
        if version == self.version:
            return self
        versions = {self.version} if self.version is not None else set()
        proven = {*self.proven_versions, *(versions if self.proven else ())}
        failed = {*self.failed_versions, *(versions if self.failed else ())}
        return GroupMemory(
            version=version,
            proven=version in proven,
            failed=version in failed,
            proven_versions=tuple(sorted(proven - {version})),
            failed_versions=tuple(sorted(failed - {version})),
            served=self.served,
        )

    def as_proven(self) -> GroupMemory:
        """Return that it is proven, with the verdicts on other versions and nothing else.

        That is the same object where it says no more already.
        """
        counted = self.trying_ms or self.restarts or self.best or self.ready_ms is not None
        if self.proven and not (self.failed or self.why or counted):
            return self
        return GroupMemory(
            proven=True,
            version=self.version,
            proven_versions=self.proven_versions,
            failed_versions=self.failed_versions,
            served=self.served,
        )


@attrs.frozen(kw_only=True)
class Claim:
    """Room that taking down ``replica`` frees, kept for its deployment until that one's next replica is bound."""

    replica: str
    cluster: str
    node: str
    devices: tuple[str, ...]
    resources: Resources


@attrs.frozen(kw_only=True)
class BackOff:
    """A step that failed ``failures`` times in a row and waits ``wait_ms`` more before it is tried again.

    ``at`` is when ``wait_ms`` was last brought forward (ms since the epoch); ``code`` and ``text`` are the last error.
    """

    failures: int
    wait_ms: int
    at: int
    code: str
    text: str


@attrs.frozen(kw_only=True)
class ClusterMemory:
    """What was learnt of one cluster as a place for one deployment; all ``None`` and 0 is the same as nothing.

    ``room_ms``: it was found full, and has had room again for so long. ``free`` is what was free there in all, and
    ``quota`` what it allowed us, when it found no place for what it was asked for; ``why`` are its own words for that.
    ``waiting_ms`` is for how long it has found one for none of the replicas that wait, since it had placed ``placed``
    of them. ``silent_ms`` is for how long it has not answered, and ``lost`` so many of its replicas count as lost since
    then, and are made up elsewhere, until it answers.
    """

    room_ms: int | None = None
    free: Use | None = None
    waiting_ms: int | None = None
    placed: int = 0
    silent_ms: int | None = None
    lost: int = 0
    quota: Quota | None = None
    why: str = ""


@attrs.frozen(kw_only=True)
class SlotMemory:
    """What was learnt of replicas that a cluster was asked for: to make them, to find nodes, or to put them on one.

    ``waiting_ms`` is for how long it has done that for none of them, since it had placed ``placed`` of the group.
    ``free`` is what others left free there, and ``quota`` what the cluster itself allowed us, when that had lasted for
    too long while revisions change: as long as neither is more, no replica is asked for in excess of those that are
    wanted. ``why`` are the cluster's own words for it.
    """

    waiting_ms: int | None = None
    placed: int = 0
    free: Use | None = None
    quota: Quota | None = None
    why: str = ""


@attrs.frozen(kw_only=True)
class ExcessMemory:
    """For how many milliseconds a server process was seen to use more than it may; ``None`` while it does not.

    ``full_ms``: to use all the CPU that its limit lets through.
    """

    cpu_ms: int | None = None
    memory_ms: int | None = None
    gpu_memory_ms: int | None = None
    full_ms: int | None = None


@attrs.frozen
class Ousting:
    """The server process that gives way because of what it uses, by its :func:`process_place`.

    ``begun``: it was taken out of the table, or another replica was asked for in its place.
    """

    process: str
    begun: bool = False


@attrs.frozen
class Reverted:
    """That a group was put back ``ago_ms`` ago, when its version was ``version``.

    That it is longer ago by less than :data:`AGE_MS` is no reason by itself to write anything down: whoever loses so
    much waits for as much longer.
    """

    version: str
    ago_ms: int


AGE_MS = 300_000


@attrs.frozen
class Asked:
    """That a group was asked for ``count`` replicas, each of which holds ``each``."""

    count: int
    each: Use


_NO_ASKED: Mapping[str, Asked] = MappingProxyType({})
_NO_REVERTS: Mapping[str, tuple[Reverted, ...]] = MappingProxyType({})
_NO_EXCESS: Mapping[str, ExcessMemory] = MappingProxyType({})
_NO_SLOTS: Mapping[str, SlotMemory] = MappingProxyType({})
_NO_CLUSTERS: Mapping[str, ClusterMemory] = MappingProxyType({})
_NO_TIMES: Mapping[str, int | None] = MappingProxyType({})
_NO_GROUPS: Mapping[str, GroupMemory] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class DeploymentMemory:
    """What is remembered of one deployment; the mappings are keyed by :func:`place`.

    ``at`` is when the accumulators were last brought forward (ms since the epoch), and stands still while there are
    none. ``leaving`` holds, for every replica that was taken out of the table, for how many milliseconds it has been
    out, and ``None`` as long as the gateway has not been seen to follow. ``unready`` holds the same for every server
    process that runs and is not ready, keyed by :func:`process_place`. ``clusters``, by name, are places that are not
    as good as they should be, and ``slots`` are of groups whose slots wait for a cluster's own scheduler. ``excess``,
    by :func:`process_place`, is of server processes that use more than they may; ``ousted`` is the one that gives way.
    ``reverts`` are of groups that others changed, within the last hour. ``asked`` is what groups were asked for since
    their cluster was last seen: it may hold that, whatever it last showed.
    """

    at: int
    groups: Mapping[str, GroupMemory] = _NO_GROUPS
    leaving: Mapping[str, int | None] = _NO_TIMES
    unready: Mapping[str, int | None] = _NO_TIMES
    clusters: Mapping[str, ClusterMemory] = _NO_CLUSTERS
    slots: Mapping[str, SlotMemory] = _NO_SLOTS
    excess: Mapping[str, ExcessMemory] = _NO_EXCESS
    ousted: Ousting | None = None
    reverts: Mapping[str, tuple[Reverted, ...]] = _NO_REVERTS
    asked: Mapping[str, Asked] = _NO_ASKED

    @cached_property
    def is_underway(self) -> bool:
        """Whether time is counted for something, or something has begun and is not over."""
        counted = self.leaving or self.unready or self.clusters or self.excess
        return bool(counted or self.ousted or self.reverts or self.asked)

    def has_only_aged(self, since: DeploymentMemory) -> bool:
        """Return whether it is ``since`` but for how long ago groups were put back, and that by little."""
        if not self.reverts or _versions(self) != _versions(since):
            return False
        if attrs.evolve(self, at=0, reverts=_NO_REVERTS) != attrs.evolve(since, at=0, reverts=_NO_REVERTS):
            return False
        ages = ((now.ago_ms, then.ago_ms) for key in self.reverts for now, then in self._beside(since, key))
        return all(0 <= now - then < AGE_MS for now, then in ages)

    def _beside(self, other: DeploymentMemory, key: str) -> Iterator[tuple[Reverted, Reverted]]:
        return zip(self.reverts[key], other.reverts[key], strict=True)


def _versions(memory: DeploymentMemory) -> Mapping[str, tuple[str, ...]]:
    return {key: tuple(one.version for one in all_) for key, all_ in memory.reverts.items()}


@attrs.frozen
class Bucket:
    """A short time of a window: how long it was, for how much of it something was measured, and that, added up.

    ``total`` is the amount times the milliseconds for which it held.
    """

    ms: int
    known_ms: int
    total: int


@attrs.frozen
class Series:
    """How much there was of one metric lately, oldest first, and what the policy keeps between its answers."""

    buckets: tuple[Bucket, ...] = ()
    memory: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class Measured:
    """What was measured of a deployment's load lately, a series for each metric of ``spec``, in its order.

    ``peaks`` are the most replicas that were needed lately, oldest first. ``requests`` is how many its gateway had
    counted, ``None`` where none counts. ``because`` is how it came to what is wanted now. ``blind`` are the metrics of
    which nothing is known although replicas are ready. ``idle``: nothing has been to do for all of its windows, and as
    few as may be are wanted.
    """

    spec: AutoscalingSpec
    series: tuple[Series, ...]
    peaks: tuple[Peak, ...] = ()
    requests: int | None = None
    because: str = ""
    blind: tuple[Metric, ...] = ()
    idle: bool = False


@attrs.frozen(kw_only=True)
class ScalingMemory:
    """How many replicas load made of a deployment, and what was measured of it until ``at`` (ms since the epoch).

    Only the number counts when two memories are compared. What was measured is different every time, and is no reason
    by itself to write anything down. It is written with the next number, and believed only if it is no older than two
    turns then; whoever loses it loses one window, and lowers nothing until that is full again.
    """

    wanted: int
    at: int = attrs.field(eq=False)
    measured: Measured = attrs.field(eq=False)


_NO_SCALING: Mapping[str, ScalingMemory] = MappingProxyType({})
_NO_BACK_OFF: Mapping[str, BackOff] = MappingProxyType({})
_NO_CLAIMS: Mapping[str, tuple[Claim, ...]] = MappingProxyType({})
_NO_DEPLOYMENTS: Mapping[str, DeploymentMemory] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class PlanMemory:
    """The planner's memory: by deployment, with the claims of each, and the steps that failed, by :func:`place`.

    ``scaling`` is by deployment, of those whose load decides how many replicas they have.

    ``turn`` numbers the plan that this memory came out of, ``counted`` is the newest turn whose outcomes are in here. A
    deployment that is not in here although something of it exists was forgotten: see
    :func:`roadstead.decide.progress.recalled`.
    """

    turn: int = 0
    counted: int = 0
    deployments: Mapping[str, DeploymentMemory] = _NO_DEPLOYMENTS
    claims: Mapping[str, tuple[Claim, ...]] = _NO_CLAIMS
    back_off: Mapping[str, BackOff] = _NO_BACK_OFF
    scaling: Mapping[str, ScalingMemory] = _NO_SCALING
