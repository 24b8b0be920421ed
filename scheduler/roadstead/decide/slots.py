"""Slots that a cluster's own scheduler has to find a place for: for how long it has not, and what to conclude.

Such a cluster cannot be asked beforehand whether something fits, so it is tried: one more than is wanted is asked for.
Where that one is not placed in time, there is no room for it, until more is free there than was then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import attrs

from roadstead.decide.capacity import free_in_all
from roadstead.decide.case import Case
from roadstead.decide.fit import Fit, No, Unknown
from roadstead.decide.ledger import Ledger
from roadstead.decide.rooms import is_directed
from roadstead.decide.rows import Row
from roadstead.holdings import Use, sum_of, use_of
from roadstead.memory import SlotMemory, place
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.world import Phase, Reachable, Snapshot

__all__ = ["answered", "learnt", "unplaced"]

_NOTHING = SlotMemory()


def learnt(
    case: Case,
    rows: Sequence[Row],
    before: Mapping[str, SlotMemory],
    ledger: Ledger,
    elapsed: int,
    *,
    relieved: bool = False,
) -> Mapping[str, SlotMemory]:
    """Return what is known of the slots of every group that waits, or waited in vain while revisions change.

    Or while one of its replicas is to be ``relieved`` by another.
    """
    found = {}
    for row in rows:
        view = case.world.clusters.get(row.key.cluster)
        if isinstance(view, Reachable) and is_directed(view.snapshot):
            continue
        key = place(row.key.cluster, row.group_key)
        if not isinstance(view, Reachable):
            known = before.get(key, _NOTHING)
        else:
            free = partial(_free, case, row.key.cluster, view.snapshot, ledger)
            known = _learnt(row, before.get(key, _NOTHING), free if relieved or _rolls(row, rows) else None, elapsed)
        if known != _NOTHING:
            found[key] = known
    return MappingProxyType(found)


def _rolls(row: Row, rows: Sequence[Row]) -> bool:
    return any(other.surplus for other in rows if other.key != row.key)


def _learnt(row: Row, known: SlotMemory, free: Callable[[], Use] | None, elapsed: int) -> SlotMemory:
    """Return what is known of one group's slots; ``free`` counts what others leave there, while revisions change."""
    if known.free is not None:
        return known if free is not None and not _is_more(free(), known.free) else _NOTHING
    if not row.waiting:
        return _NOTHING
    placed = row.crew.placed
    if known.waiting_ms is None or placed > known.placed:
        return SlotMemory(waiting_ms=0, placed=placed)
    limit = row.template.health.start_within.ms
    waited = min(limit, known.waiting_ms + elapsed)
    in_vain = free() if waited >= limit and free is not None else None
    return SlotMemory(waiting_ms=waited, placed=placed, free=in_vain)


def _is_more(now: Use, then: Use) -> bool:
    return now.cpu > then.cpu or now.memory > then.memory or now.gpu > then.gpu


def _free(case: Case, cluster: str, snapshot: Snapshot, ledger: Ledger) -> Use:
    """Return all that others leave: what is free, and what the deployment itself holds.

    So that to give up one of its own, which makes room for one, does not look like room for one more.
    """
    held = [use_of(placed.resources) for placed in case.placed_on(cluster)]
    return free_in_all(snapshot, ledger, cluster, case.name) + sum_of(held)


def answered(known: Mapping[str, SlotMemory], row: Row, answer: Fit) -> Fit:
    """Return ``answer``, or No where nobody can tell and a slot of this group was not placed in time."""
    learnt_of_row = known.get(place(row.key.cluster, row.group_key))
    if not isinstance(answer, Unknown) or learnt_of_row is None or learnt_of_row.free is None:
        return answer
    return No(_no_place(row))


def unplaced(known: Mapping[str, SlotMemory], rows: Sequence[Row]) -> Iterator[Held]:
    """Yield what a cluster says of replicas that it does not make, and that some wait for too long without a word."""
    for row in rows:
        if not row.waiting:
            continue
        learnt_of_row = known.get(place(row.key.cluster, row.group_key), _NOTHING)
        waiting = [member.replica for member in row.standing if member.replica.phase is Phase.SLOT]
        late = (learnt_of_row.waiting_ms or 0) >= row.template.health.start_within.ms
        unmade = row.group.reason if row.promised and row.group is not None else None
        if unmade is not None:
            reason = attrs.evolve(unmade, count=row.promised, total=row.alive)
            yield Held(deployment=row.deployment, cluster=row.key.cluster, reason=reason)
        elif late and all(replica.reason is None for replica in waiting):
            reason = attrs.evolve(_no_place(row), count=row.waiting, total=row.alive)
            yield Held(deployment=row.deployment, cluster=row.key.cluster, reason=reason)


def _no_place(row: Row) -> Reason:
    cluster, within = row.key.cluster, row.template.health.start_within
    return Reason(
        code=ReasonCode.NO_CAPACITY,
        detail=f"the scheduler of {cluster} found no place for one more within {within}",
        change=Change(ChangeKind.ADD_NODE, f"make room on {cluster}"),
    )
