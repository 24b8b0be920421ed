"""Version changes in place: which version a group is to load, and which of its replicas loads it next.

The revision stays, so there is nothing to roll between groups. The new version is loaded beside the old one, which goes
on serving until then, one replica after the other; a version that cannot be loaded takes nothing down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from roadstead.decide.rows import Row
from roadstead.memory import GroupMemory
from roadstead.model import Deployment, ModelVersion, Reloading, Target, Template
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.units import Memory
from roadstead.world import Group, Member, ModelStatus, Phase, Usage

__all__ = ["VersionToLoad", "is_stored", "next_to_reload", "obstacle", "version_to_load"]


@attrs.frozen(kw_only=True)
class VersionToLoad:
    """What a group of a deployment that reloads is to be like; ``refused`` says why not as the file says."""

    template: Template
    reloading: Reloading
    refused: Reason | None = None


def version_to_load(
    declared: Deployment,
    target: Target,
    group: Group | None,
    members: Iterable[Member],
    known: GroupMemory,
    *,
    paused: bool = False,
) -> VersionToLoad:
    """Return the version that the replicas of ``group`` should load, and which others they may serve until then.

    That is the file's, or where it failed the last proven one; while the rollout is ``paused``, what the group was told
    last. Others may be served until every replica that serves has the wanted one and that is proven: nobody loses what
    it serves before.
    """
    wanted = target.template.model.wanted
    if group is None or group.reloading is None:
        return VersionToLoad(template=target.template, reloading=Reloading())
    if paused:
        return VersionToLoad(template=group.template, reloading=group.reloading)
    there = tuple(dict.fromkeys((group.template.model.wanted, *group.reloading.beside)))
    refused = None
    if known.has_failed(wanted.version):
        back = next((one for one in there if one != wanted and known.has_proven(one.version)), None)
        refused = _refused(declared, wanted, back, known.why)
        wanted = back if back is not None and declared.rollout.auto_rollback else wanted
    others = tuple(one for one in there if one != wanted)
    stored = group.template.model.wanted == wanted
    if stored and known.has_proven(wanted.version) and all(one.is_current or not one.ready for one in members):
        others = ()
    model = attrs.evolve(target.template.model, version=wanted.version, digest=wanted.digest)
    return VersionToLoad(
        template=attrs.evolve(target.template, model=model), reloading=Reloading(others), refused=refused
    )


def is_stored(row: Row) -> bool:
    """Return whether the cluster knows already which version the replicas of ``row`` are to load."""
    group = row.group
    return group is None or (group.reloading, group.template.model.wanted) == (
        row.reloading,
        row.template.model.wanted,
    )


def next_to_reload(row: Row) -> tuple[Member, ...]:
    """Return the replicas that are to load the wanted version now.

    Of those that serve another one, the first alone, and none where it failed somewhere; of those that serve nothing,
    because they came up with a version that is not wanted any more, all.
    """
    if row.group is None or row.reloading is None or not is_stored(row):
        return ()
    behind = [member for member in row.standing if _can_be_asked(member) and not member.is_current]
    failed = any(member.model is not None and member.model.status is ModelStatus.FAILED for member in behind)
    serving = [member for member in behind if member.ready and not failed]
    stray = [member for member in behind if not member.ready and member.model is not None and member.model.versions]
    return (*stray, *(() if row.paused else serving[:1]))


def _can_be_asked(member: Member) -> bool:
    return (
        member.replica.phase is Phase.RUNNING
        and member.reachable
        and member.replica.endpoint is not None
        and member.model is not None
        and member.model.incarnation == member.replica.incarnation
        and member.model.status is not ModelStatus.UNKNOWN
    )


def obstacle(row: Row, member: Member, usage: Mapping[str, Usage]) -> Reason | None:
    """Return why a serving replica should not load a version beside the one that it has: the memory may not allow both.

    A second version may need as much again as all that the replica uses now.
    """
    version = row.template.model.version
    if not member.ready or (member.model is not None and version in member.model.versions):
        return None
    used = usage.get(member.replica.id, Usage()).memory
    limit = row.template.resources.memory
    if used is None:
        detail = f"version {version} waits: what {member.replica.id} uses now is not known"
        change = Change(ChangeKind.WAIT, "wait until its use was measured")
        return Reason(code=ReasonCode.ROLLOUT_HELD, detail=detail, change=change)
    needed = Memory(2 * used.bytes)
    if needed <= limit:
        return None
    detail = f"version {version} beside the one that it serves may need {needed}, and {member.replica.id} has {limit}"
    change = Change(ChangeKind.FIX_INPUT, f"raise resources.memory to {needed}, or set rollout.strategy: auto")
    return Reason(code=ReasonCode.ROLLOUT_HELD, detail=detail, change=change)


def _refused(declared: Deployment, wanted: ModelVersion, back: ModelVersion | None, why: str) -> Reason:
    said = f"version {wanted.version} was not served within {declared.rollout.progress_deadline}"
    if back is None:
        consequence = "there is no proven version to go back to, so it is tried on"
    elif declared.rollout.auto_rollback:
        consequence = f"version {back.version} serves instead"
    else:
        consequence = "rollout.auto_rollback is off, so it is tried on"
    change = Change(ChangeKind.FIX_INPUT, "name another version; a failed one is not tried again as it is")
    return Reason(code=ReasonCode.ROLLOUT_FAILED, detail=f"{said}; {consequence}", raw=why, change=change)
