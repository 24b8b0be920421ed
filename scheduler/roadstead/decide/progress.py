"""What is learnt of groups from turn to turn.

Which are proven, which failed, and what to believe when the memory was lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

import attrs

from roadstead.memory import GroupMemory, place
from roadstead.model import RolloutSpec
from roadstead.reasons import ReasonCode
from roadstead.world import Group, Member, ModelStatus, Phase, Shard

__all__ = ["is_stuck", "learnt", "out_of_table", "recalled"]


_VERSIONS_KEPT = 10


def recalled(shard: Shard, wanted: Collection[tuple[str, str]] = ()) -> Mapping[str, GroupMemory]:
    """Return what to believe of a deployment that the memory does not know although it exists.

    Every group with a ready replica except the newest counts as proven; if there is only one, that one does. Where none
    has any, as when a node was lost as well, the oldest one counts that is asked for replicas although its cluster and
    revision are not ``wanted`` any more: it was kept because it works, which is presumed until it shows or does not.
    """
    alive = sorted({(member.group.generation, member.cluster, member.group.key) for member in shard.ready})
    believed = alive if len(alive) == 1 else alive[:-1]
    if not alive:
        kept = ((group.generation, cluster, group.key) for cluster, group in shard.groups if group.target)
        believed = sorted(one for one in kept if (one[1], one[2].revision) not in wanted)[:1]
    versions = {
        (cluster, group.key): group.template.model.version
        for cluster, group in shard.groups
        if group.reloading is not None
    }
    return MappingProxyType(
        {
            place(cluster, key): GroupMemory(proven=True, version=versions.get((cluster, key)), presumed=not alive)
            for _, cluster, key in believed
        }
    )


def learnt(
    known: GroupMemory, group: Group, members: tuple[Member, ...], *, current: bool, elapsed_ms: int, spec: RolloutSpec
) -> GroupMemory:
    """Return what is known of ``group`` after ``elapsed_ms`` more of being as it is.

    Proven: all the replicas that it was asked for, at least one, stayed ready without a restart for ``health.every *
    failures``. Failed: it is the ``current`` one and, with replicas that started and are not ready, made no progress
    for ``progress_deadline``. Where replicas reload, ready is who serves the wanted version, and the verdict is about
    that. A group that waits for room only is neither. Why it is not ready is kept from when it
    was last said: at the deadline a server may just have been started again, with nothing to say.
    """
    if group.reloading is not None:
        known = known.about(group.template.model.version)
    if known.presumed:
        return _presumed(known, group, members, elapsed_ms, spec)
    if known.proven:
        return _proven(known, group)
    ready = sum(member.is_current for member in members)
    restarts = sum(member.replica.restarts for member in members)
    steady = 0 < group.target == ready == len(members) and restarts == known.restarts
    ready_ms = _advanced(known.ready_ms, elapsed_ms) if steady else None
    if ready_ms is not None and ready_ms >= group.template.health.proven_after.ms:
        return _proven(known, group)
    trying = current and _is_trying(members)
    progressed = ready > known.best
    trying_ms = 0 if progressed else known.trying_ms + (elapsed_ms if trying and not known.failed else 0)
    why = "" if progressed and not known.failed else known.why
    if trying and not known.failed:
        why = _said(members) or why
    return attrs.evolve(
        known,
        ready_ms=ready_ms,
        restarts=restarts,
        best=max(ready, known.best),
        trying_ms=trying_ms,
        failed=known.failed or (trying and trying_ms >= spec.progress_deadline.ms),
        why=why,
    )


def _is_trying(members: tuple[Member, ...]) -> bool:
    return any(not one.is_current and one.replica.phase in {Phase.STARTING, Phase.RUNNING} for one in members)


def _presumed(
    known: GroupMemory, group: Group, members: tuple[Member, ...], elapsed_ms: int, spec: RolloutSpec
) -> GroupMemory:
    """Return what is known of a group that counts as proven though nobody saw it work.

    It has as long as any revision to get ready: one that never worked is not kept for ever in the place of another.
    """
    if any(member.is_current for member in members):
        return _proven(known, group)
    trying_ms = known.trying_ms + (elapsed_ms if _is_trying(members) else 0)
    return attrs.evolve(known, trying_ms=trying_ms) if trying_ms < spec.progress_deadline.ms else GroupMemory()


def _proven(known: GroupMemory, group: Group) -> GroupMemory:
    """Return that it is proven; where it reloads, the version is one to go back to."""
    version = group.template.model.wanted
    if group.reloading is not None and version not in known.served:
        known = attrs.evolve(known, served=(*known.served, version)[-_VERSIONS_KEPT:])
    return known.as_proven()


def _said(members: tuple[Member, ...]) -> str:
    """Return why the first of ``members`` that has a cause to tell is not ready, or nothing; to start is no cause."""
    return next((text for member in members if not member.is_current and (text := _cause(member))), "")


def _cause(member: Member) -> str:
    replica, model = member.replica, member.model
    if model is not None and model.incarnation == replica.incarnation and model.status is ModelStatus.FAILED:
        return model.error
    if replica.reason is None or replica.reason.code is ReasonCode.STARTING:
        return ""
    return f"{replica.reason}\n{replica.reason.raw}".strip()


def _advanced(known_ms: int | None, elapsed_ms: int) -> int:
    """Start at nothing: what began since the last turn began at an unknown moment of it."""
    return 0 if known_ms is None else known_ms + elapsed_ms


def is_stuck(member: Member) -> bool:
    """Return whether a server runs, is not ready, and a restart may help.

    A model that failed to load is not helped by one; what loads or does not answer may be.
    """
    if member.replica.phase is not Phase.RUNNING or member.ready or not member.reachable or member.model is None:
        return False
    return member.model.status is not ModelStatus.FAILED


def out_of_table(member: Member, known_ms: int | None, elapsed_ms: int) -> int | None:
    """Return for how long a replica has been out of the table, ``None`` as long as it never was.

    The time begins when the gateway is seen to have followed, not when it was asked to.
    """
    return _advanced(known_ms, elapsed_ms) if member.is_out else known_ms
