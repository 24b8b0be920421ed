"""What stands on a cluster for a deployment as a whole: that it does, and how many replicas nobody may disturb there.

That number follows what the deployment was asked for, and not which replicas are ready just now: one that is being
replaced must not lower it, or an administrator who takes nodes away one after the other would take the deployment away.
It is always less than the replicas that are there, so that each of them can be disturbed once all are ready, and it is
lowered before we ask for fewer and raised after more were asked for. Where that fails, or somebody raises it again, we
do not ask for fewer yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from roadstead.decide.back_off import waiting
from roadstead.decide.case import Case
from roadstead.decide.rollout import floor_of
from roadstead.memory import GroupMemory, PlanMemory, place
from roadstead.model import RolloutSpec
from roadstead.plans import Delete, Grow, Held, Settle, Shrink, Step, settled_subject
from roadstead.world import GroupKey, Reachable, Shard, World

__all__ = ["Settled", "Settlers", "heeded", "is_at_rest", "left_over", "settles"]

_REFUSALS = 3
"""So often a cluster may refuse to lower it before we ask for fewer all the same: that a deployment follows what is
wanted of it matters more than who may be disturbed."""

Settlers = Mapping[str, Mapping[str, int]]
"""What stands now, by deployment, on each cluster that has such things: :attr:`roadstead.world.World.settled`."""


@attrs.frozen
class Settled:
    """What is to be changed now, and what waits because the cluster refused it before."""

    steps: tuple[Settle, ...] = ()
    held: tuple[Held, ...] = ()


def settles(case: Case, groups: Mapping[str, GroupMemory], steps: Sequence[Step]) -> Settled:
    """Return what is to be changed for a deployment, given all other ``steps`` for it and what is known of ``groups``.

    How many replicas can be counted on is different from how many are wanted, as when revisions change: a proven group
    counts with what it was asked for, any other one with as many as were ready at once. A cluster that does not answer
    cannot be counted on.
    """
    standing = case.world.settled
    return _not_waiting(_changed(case, standing, _counted(case, groups, steps)), case.memory) if standing else Settled()


def left_over(name: str, world: World, memory: PlanMemory) -> Settled:
    """Return the removal of what stands for a deployment of which nothing is left."""
    return _not_waiting(_left_over(name, world.settled), memory)


def heeded(case: Case, shrink: Sequence[Step], grow: Sequence[Step]) -> tuple[Step, ...]:
    """Return the steps of ``shrink`` that may be taken, given what stands for the deployment and its other steps.

    Each is told how much may stand by then, so that it is not taken where lowering that failed.
    """
    standing = case.world.settled if any(isinstance(step, Shrink) for step in shrink) else {}
    if not standing:
        return tuple(shrink)
    left: Counter[str] = Counter()
    for cluster, _, target in _targets(case, (*grow, *shrink)):
        left[cluster] += target
    return tuple(_heeding(case, shrink, standing, left))


def _heeding(case: Case, steps: Sequence[Step], standing: Settlers, left: Mapping[str, int]) -> Iterator[Step]:
    for step in steps:
        most = left[step.cluster] - 1
        if not isinstance(step, Shrink) or step.cluster not in standing or most < 0:
            yield step
            continue
        refused = case.memory.back_off.get(place(step.cluster, settled_subject(case.name)))
        is_low = standing[step.cluster].get(case.name, 0) <= most
        if refused is not None and refused.failures >= _REFUSALS and not is_low:
            yield step
        elif refused is None or refused.wait_ms <= 0 or is_low:
            yield attrs.evolve(step, most_settled=most)


def _targets(case: Case, steps: Sequence[Step]) -> Iterator[tuple[str, GroupKey, int]]:
    """Yield every group that there is, or will be, with what it is asked for after ``steps``."""
    asked = {(cluster, group.key): group.target for cluster, group in case.shard.groups}
    for step in steps:
        if isinstance(step, Grow | Shrink):
            asked[step.cluster, step.group] = step.target
        elif isinstance(step, Delete):
            asked[step.cluster, step.group] = 0
    yield from ((cluster, key, target) for (cluster, key), target in asked.items())


def _changed(case: Case, standing: Settlers, counted: Mapping[str, int]) -> Iterator[Settle]:
    for cluster, settled in sorted(standing.items()):
        was = settled.get(case.name)
        if cluster not in counted:
            yield from _left_over(case.name, {cluster: settled})
            continue
        elsewhere = sum(count for other, count in counted.items() if other != cluster)
        floor = _floor_here(counted[cluster], elsewhere, case.wanted, case.floor)
        if floor != was:
            because = _because(floor, counted[cluster], was)
            yield Settle(cluster=cluster, deployment=case.name, floor=floor, was=was, because=because)


def _left_over(name: str, standing: Settlers) -> Iterator[Settle]:
    for cluster, settled in sorted(standing.items()):
        if name in settled:
            because = f"no group of it is left on {cluster}"
            yield Settle(cluster=cluster, deployment=name, floor=None, was=settled[name], because=because)


def _not_waiting(changes: Iterable[Settle], memory: PlanMemory) -> Settled:
    steps, held = [], []
    for step in changes:
        reason = waiting(memory, step.cluster, step.subject)
        if reason is None:
            steps.append(step)
        else:
            held.append(Held(deployment=step.deployment, cluster=step.cluster, reason=reason))
    return Settled(tuple(steps), tuple(held))


def is_at_rest(standing: Settlers, shard: Shard, wanted: int, spec: RolloutSpec) -> bool:
    """Return whether nothing is to be changed for a deployment of which one proven group has all that is wanted."""
    for cluster, settled in standing.items():
        asked = [group.target for where, group in shard.groups if where == cluster]
        right = _floor_here(sum(asked), 0, wanted, floor_of(wanted, spec)) if asked else None
        if settled.get(shard.deployment) != right:
            return False
    return True


def _floor_here(counted: int, elsewhere: int, wanted: int, floor: int) -> int:
    """Return how many nobody may disturb on a cluster, where ``counted`` are and as many as ``elsewhere`` besides."""
    return max(0, min(min(counted, wanted) - 1, floor - elsewhere))


def _counted(case: Case, groups: Mapping[str, GroupMemory], steps: Sequence[Step]) -> Mapping[str, int]:
    """Return on how many replicas each cluster can be counted that has a group, or gets one: now, and after ``steps``.

    Less than both where the two differ, so that nobody finds a moment in which it is too many.
    """
    targets = {(cluster, key): target for cluster, key, target in _targets(case, steps)}
    counted = {step.cluster: 0 for step in steps if isinstance(step, Grow)}
    alone = len(case.shard.groups) == 1
    for cluster, group in case.shard.groups:
        least = min(group.target, targets[cluster, group.key])
        sure = _sure(groups.get(place(cluster, group.key), GroupMemory()), least, alone=alone)
        answers = isinstance(case.world.clusters.get(cluster), Reachable)
        counted[cluster] = counted.get(cluster, 0) + (min(least, sure) if answers else 0)
    return counted


def _sure(known: GroupMemory, wanted: int, *, alone: bool) -> int:
    """Return how many replicas of a group were seen to get ready, without a limit where it is known to work.

    That never falls while it tries: a server that gets ready and loses it again is no reason to write. Where a group is
    ``alone``, it grows in powers of two on the way to all that are ``wanted``, or a group of hundreds would be written
    about hundreds of times.
    """
    if known.proven or known.served:
        return _WITHOUT_LIMIT
    if not alone or not known.best or known.best >= wanted:
        return known.best
    return 1 << (known.best.bit_length() - 1)


_WITHOUT_LIMIT = 2**31


def _because(floor: int, counted: int, was: int | None) -> str:
    if was is None:
        return "it begins to run here"
    return f"{counted} of it can be counted on here" if floor else "anybody may disturb any of it here"
