"""What others changed of our groups: put back, at most three times an hour each, or only said.

Measured against what a group was made with, never against what would be rendered today. Once it is put back, replicas
that were made meanwhile give way, one at a time above the floor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from roadstead.decide.case import Case
from roadstead.decide.offenders import Offender
from roadstead.decide.rows import Row
from roadstead.memory import DeploymentMemory, Reverted, place
from roadstead.model import ExcessAction, OnDrift
from roadstead.plans import Held, Revert
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.world import Group, OutcomeKind, Reachable

__all__ = ["MOST_REVERTS", "held", "learnt", "reverts", "strays"]

MOST_REVERTS = 3
"""So often one group is put back within :data:`_HOUR_MS`; then it is contested."""

_HOUR_MS = 3_600_000
_NOTHING: Mapping[str, tuple[Reverted, ...]] = MappingProxyType({})


def learnt(case: Case, known: DeploymentMemory, elapsed: int) -> Mapping[str, tuple[Reverted, ...]]:
    """Return when each group was put back within the last hour, what is to be put back now included.

    The same change counts once, however often putting it back is asked for: also one that a cluster carries out for a
    while, whose group is another one each time that it is asked to put it back.
    """
    if not known.reverts and not any(group.drift for _, group in case.shard.groups):
        return _NOTHING
    found: dict[str, tuple[Reverted, ...]] = {}
    for cluster, group in case.shard.groups:
        key = place(cluster, group.key)
        past = tuple(
            Reverted(one.version, one.ago_ms + elapsed)
            for one in known.reverts.get(key, ())
            if one.ago_ms + elapsed < _HOUR_MS
        )
        if _is_to_be_put_back(case, cluster, group):
            if past and past[-1].ago_ms == elapsed and not _was_put_back(case, key):
                past = past[:-1]
            if _may_be_put_back(group, past):
                past = (*(one for one in past if one.version != group.version), Reverted(group.version, 0))
        if past:
            found[key] = past
    return MappingProxyType(found) if found else _NOTHING


def reverts(case: Case, rows: Sequence[Row], times: Mapping[str, tuple[Reverted, ...]]) -> Iterator[Revert]:
    """Yield the steps that put groups back; ``times`` is what :func:`learnt` returned."""
    for row in rows:
        group = row.group
        if group is None or not row.writable or not _is_to_be_put_back(case, row.key.cluster, group):
            continue
        if _may_be_put_back(group, times.get(place(row.key.cluster, group.key), ())):
            yield Revert(
                cluster=row.key.cluster, group=group.key, version=group.version, because=_changed(group, "changed")
            )


def held(case: Case, times: Mapping[str, tuple[Reverted, ...]]) -> Iterator[Held]:
    """Yield what others changed and stays as it is: as its owner wants, or because they change it again and again."""
    if case.declared is None or case.going:
        return
    for cluster, group in case.shard.groups:
        if not group.drift or not isinstance(case.world.clusters.get(cluster), Reachable):
            continue
        if case.declared.on_drift is OnDrift.REPORT:
            reason = Reason(code=ReasonCode.DRIFT, detail=_changed(group, "changed"), change=_REPORTED)
        elif not _can_be_put_back(case, cluster):
            detail = f"{_changed(group, 'changed')}, and {cluster} has no way to put that back"
            reason = Reason(code=ReasonCode.DRIFT, detail=detail, change=_BY_HAND)
        elif _may_be_put_back(group, times.get(place(cluster, group.key), ())):
            continue
        else:
            detail = f"{_changed(group, 'changed again')}; it was put back {MOST_REVERTS} times within an hour"
            reason = Reason(code=ReasonCode.CONTESTED, detail=detail, change=_contested(group))
        yield Held(deployment=case.name, cluster=cluster, reason=reason)


def strays(case: Case) -> Iterator[Offender]:
    """Yield the replicas that were made from what somebody else wrote, of groups that are as they should be again."""
    if case.declared is None or case.going or case.declared.on_drift is OnDrift.REPORT:
        return
    drifted = any(group.has_drifted for _, group in case.shard.groups)
    for member in case.shard.members if drifted else ():
        if member.replica.drifted and not member.group.drift:
            yield Offender(
                member=member,
                action=ExcessAction.EVICT,
                code=ReasonCode.DRIFT,
                detail=f"{member.replica.id} was made from what somebody else wrote into {member.group.key}",
                because="it was made from what somebody else wrote",
                remedy=_REPORTED,
            )


def _is_to_be_put_back(case: Case, cluster: str, group: Group) -> bool:
    wanted = case.declared is not None and not case.going and case.declared.on_drift is OnDrift.REVERT
    return wanted and bool(group.drift) and _can_be_put_back(case, cluster)


def _was_put_back(case: Case, key: str) -> bool:
    """Return whether that came of the last turn; where it says nothing, it was not even asked for."""
    return any(one.kind is OutcomeKind.DONE and place(one.cluster, one.subject) == key for one in case.world.outcomes)


def _can_be_put_back(case: Case, cluster: str) -> bool:
    snapshot = case.world.clusters[cluster].snapshot
    return snapshot is not None and snapshot.capabilities.reverts


def _may_be_put_back(group: Group, past: Sequence[Reverted]) -> bool:
    return sum(one.version != group.version for one in past) < MOST_REVERTS


def _changed(group: Group, verb: str) -> str:
    """Return who changed what of a group from what to what."""
    fields = ", ".join(f"{one.field} from {one.ours} to {one.theirs}" for one in group.drift)
    return f"{_managers(group)} {verb} {fields} of {group.key}"


def _managers(group: Group) -> str:
    names = sorted({one.manager for one in group.drift if one.manager})
    return " and ".join(names) or "somebody else"


def _contested(group: Group) -> Change:
    text = f"have {_managers(group)} leave it alone, or write drift: report"
    return Change(ChangeKind.FIX_INPUT, text)


_BY_HAND = Change(ChangeKind.FIX_INPUT, "change it back, or write drift: report")
_REPORTED = Change(ChangeKind.FIX_INPUT, "write drift: revert to have it put back, or change it back")
