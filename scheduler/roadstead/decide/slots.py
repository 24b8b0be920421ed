"""Replicas that a cluster was asked for and has yet to place: for how long it has not, and what to conclude.

Whether something fits cannot always be told beforehand: a cluster's own scheduler decides, or its own quota does. So it
is tried: one more than is wanted is asked for. Where that one is not placed in time, there is no room for it, until
more is free there, or allowed, than was then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import attrs

from roadstead.decide.capacity import free_in_all
from roadstead.decide.case import Case
from roadstead.decide.fit import Fit, No
from roadstead.decide.ledger import Ledger
from roadstead.decide.outstanding import NOTHING, Left, Outstanding, no_place, outstanding
from roadstead.decide.rows import Row
from roadstead.holdings import sum_of, use_of
from roadstead.memory import SlotMemory, place
from roadstead.plans import Held
from roadstead.world import Reachable, Snapshot

__all__ = ["answered", "learnt", "unplaced"]

_NOTHING = SlotMemory()
_NOT_ANY: Mapping[str, SlotMemory] = MappingProxyType({})


def learnt(
    case: Case,
    rows: Sequence[Row],
    before: Mapping[str, SlotMemory],
    ledger: Ledger,
    elapsed: int,
    *,
    relieved: bool = False,
) -> Mapping[str, SlotMemory]:
    """Return what is known of every group that waits, or waited in vain while revisions change.

    Or while one of its replicas is to be ``relieved`` by another.
    """
    if not before and not any(row.waiting for row in rows):
        return _NOT_ANY
    found = {}
    for row in rows:
        view = case.world.clusters.get(row.key.cluster)
        key = place(row.key.cluster, row.group_key)
        known = before.get(key, _NOTHING)
        if isinstance(view, Reachable) and (row.waiting or known != _NOTHING):
            left = partial(_left, case, row.key.cluster, view.snapshot, ledger)
            asked = outstanding(case, row.key.cluster, row.key.revision)
            known = _learnt(row, asked, known, left if relieved or _rolls(row, rows) else None, elapsed)
        if known != _NOTHING:
            found[key] = known
    return MappingProxyType(found)


def _rolls(row: Row, rows: Sequence[Row]) -> bool:
    return any(other.surplus for other in rows if other.key != row.key)


def _learnt(
    row: Row, asked: Outstanding, known: SlotMemory, left: Callable[[], Left] | None, elapsed: int
) -> SlotMemory:
    """Return what is known of one group; ``left`` tells what there is for it, while revisions change."""
    if known.free is not None:
        return known if left is not None and not left().is_more_than(known.free, known.quota) else _NOTHING
    if not asked.count:
        return _NOTHING
    placed = row.crew.placed
    if known.waiting_ms is None or placed > known.placed:
        return SlotMemory(waiting_ms=0, placed=placed)
    limit = row.template.health.start_within.ms
    waited = min(limit, known.waiting_ms + elapsed)
    if waited < limit or left is None:
        return SlotMemory(waiting_ms=waited, placed=placed)
    found = left()
    return SlotMemory(waiting_ms=waited, placed=placed, free=found.free, quota=found.quota, why=asked.why)


def _left(case: Case, cluster: str, snapshot: Snapshot, ledger: Ledger) -> Left:
    """Return all that others leave: what is free, and what the deployment itself holds.

    So that to give up one of its own, which makes room for one, does not look like room for one more.
    """
    held = [use_of(placed.resources) for placed in case.placed_on(cluster)]
    free = free_in_all(snapshot, ledger, cluster, case.name) + sum_of(held)
    return Left(free, snapshot.quota)


def answered(known: Mapping[str, SlotMemory], row: Row, answer: Fit) -> Fit:
    """Return ``answer``, or No where one of this group was not placed in time, whatever should be free."""
    learnt_of_row = known.get(place(row.key.cluster, row.group_key))
    if isinstance(answer, No) or learnt_of_row is None or learnt_of_row.free is None:
        return answer
    return No(no_place(row.key.cluster, row.template, learnt_of_row.why))


def unplaced(case: Case, known: Mapping[str, SlotMemory], rows: Sequence[Row]) -> Iterator[Held]:
    """Yield what a cluster says of replicas that it does not make, and that some wait for too long without a word."""
    for row in rows:
        asked = outstanding(case, row.key.cluster, row.key.revision) if row.waiting else NOTHING
        if not asked.count:
            continue
        learnt_of_row = known.get(place(row.key.cluster, row.group_key), _NOTHING)
        late = (learnt_of_row.waiting_ms or 0) >= row.template.health.start_within.ms
        unmade = row.group.reason if row.promised and row.group is not None else None
        if unmade is not None:
            reason = attrs.evolve(unmade, count=row.promised, total=row.alive)
            yield Held(deployment=row.deployment, cluster=row.key.cluster, reason=reason)
        elif late and not asked.why:
            reason = attrs.evolve(no_place(row.key.cluster, row.template), count=row.waiting, total=row.alive)
            yield Held(deployment=row.deployment, cluster=row.key.cluster, reason=reason)
