"""Whether and where something fits, and if not, why not and what would be enough.

One pure function, used by spread, rollout, ``why`` and ``plan``. A native cluster's own scheduler decides there, so the
answer for it is :class:`Unknown`; on a directed cluster it is exact, because our placement is the one that decides.
What a cluster's own quota forbids shows when it is tried (:mod:`roadstead.decide.outstanding`).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from roadstead.decide.capacity import room
from roadstead.decide.enough import refusal
from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.rooms import Demand, is_directed
from roadstead.decide.rows import Row
from roadstead.reasons import Reason
from roadstead.world import Member, Snapshot

__all__ = ["Fit", "No", "Question", "Room", "Unknown", "Yes", "fit"]


@attrs.frozen
class Yes:
    """``count`` of the replicas asked for fit, at least one; ``by_quota``: there is room for more, and no quota."""

    count: int
    by_quota: bool = False


@attrs.frozen
class No:
    """Not one fits, and why."""

    reason: Reason


@attrs.frozen
class Unknown:
    """The cluster's own scheduler decides, and does not say beforehand."""


Fit = Yes | No | Unknown


@attrs.frozen(kw_only=True)
class Question:
    """Whether ``count`` more replicas of this row would fit, quota included, after ``granted`` others of it.

    With ``without``: if that replica were gone.
    """

    row: Row
    count: int
    granted: int = 0
    without: Member | None = None


Room = Callable[[Question], Fit]


def fit(snapshot: Snapshot, ledger: Ledger, demand: Demand, count: int, freed: Freed | None = None) -> Fit:
    """Return how many of ``count`` replicas fit now; with ``freed``, if that replica were gone."""
    if not is_directed(snapshot):
        return Unknown()
    total = room(snapshot, ledger, demand, freed, enough=count + demand.ahead) - demand.ahead
    if total > 0:
        return Yes(min(total, count))
    return No(refusal(snapshot, ledger, demand, freed=freed))
