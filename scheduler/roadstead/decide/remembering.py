"""What a deployment's memory says when a turn begins, what is learnt by then, and what is kept when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from types import MappingProxyType

import attrs

from roadstead.decide import excess, progress, steering
from roadstead.decide.case import Case
from roadstead.holdings import use_of
from roadstead.memory import Asked, DeploymentMemory, GroupMemory, cluster_of, place, process_place
from roadstead.plans import Grow, Step
from roadstead.world import NOBODY, Reachable, Shard

__all__ = ["asked", "kept", "learnt", "remembered", "unready"]

_NEW = GroupMemory()


def remembered(case: Case) -> tuple[DeploymentMemory, int]:
    """Return what the memory knows, or what to believe where it knows nothing, and the time passed, clamped."""
    known = case.memory.deployments.get(case.name)
    if known is None:
        wanted = {(target.cluster, target.revision) for target in case.destinations.all}
        return DeploymentMemory(at=case.now, groups=progress.recalled(case.shard, wanted)), 0
    longest = 2 * case.fleet.daemon.turn.ms
    return known, min(max(0, case.now - known.at), longest)


def learnt(case: Case, known: DeploymentMemory, elapsed: int, unseen: frozenset[str]) -> Mapping[str, GroupMemory]:
    """Return the memory of every group that exists, may exist on a cluster never seen, or that the file asks for."""
    aimed = (
        {(target.cluster, target.revision) for target in case.destinations.all} if case.declared is not None else set()
    )
    groups = {key: before for key, before in known.groups.items() if cluster_of(key) in unseen} if unseen else {}
    for cluster, group in case.shard.groups:
        key = place(cluster, group.key)
        before = known.groups.get(key, _NEW)
        if not isinstance(case.world.clusters.get(cluster), Reachable):
            groups[key] = before
            continue
        groups[key] = progress.learnt(
            before,
            group,
            case.shard.crews.get((cluster, group.key.revision), NOBODY).all,
            current=not case.paused and (cluster, group.key.revision) in aimed,
            elapsed_ms=elapsed,
            spec=case.spec,
        )
        if case.declared is not None:
            groups[key] = steering.vouched(case.fleet, case.declared, cluster, group.key.revision, groups[key])
    for cluster, revision in aimed:
        key = place(cluster, f"{case.name}-{revision}")
        if key in known.groups and key not in groups:
            groups[key] = known.groups[key]
    return MappingProxyType(groups)


def asked(case: Case, known: DeploymentMemory, steps: tuple[Step, ...]) -> Mapping[str, Asked]:
    """Return what clusters are asked for now, and were asked for since they were last seen."""
    silent = {
        key: before
        for key, before in known.asked.items()
        if not isinstance(case.world.clusters.get(cluster_of(key)), Reachable)
    }
    now = {
        place(step.cluster, step.group): Asked(step.target, use_of(step.template.resources))
        for step in steps
        if isinstance(step, Grow)
    }
    return MappingProxyType({**silent, **now})


def unready(shard: Shard, known: DeploymentMemory, elapsed: int, victims: frozenset[str]) -> Mapping[str, int | None]:
    """Return for how long every server that is stuck has been out of the table; so it has had all of its grace."""
    times: dict[str, int | None] = {}
    for member in shard.members if len(shard.ready) < len(shard.members) else ():
        if progress.is_stuck(member) and place(member.cluster, member.replica.id) not in victims:
            key = process_place(member.cluster, member.replica.id, member.replica.incarnation)
            times[key] = progress.out_of_table(member, known.unready.get(key), elapsed)
    return MappingProxyType(times)


def kept(case: Case, known: DeploymentMemory, made: DeploymentMemory) -> DeploymentMemory:
    """Return the memory to keep: the same object when only time has passed and nothing measures it.

    Where the clock was set back, ``at`` must follow it: nothing would be measured until it is as late again.
    """
    still = known.at <= case.now and not excess.is_counting(case, made.excess)
    if still and case.memory.deployments.get(case.name) is known and _content(made) == _content(known):
        return known
    return made


_content = attrgetter(*(field.name for field in attrs.fields(DeploymentMemory) if field.name != "at"))
