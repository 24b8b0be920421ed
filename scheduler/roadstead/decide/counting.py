"""Groups whose counts somebody else decides: no count is sent, and nothing rolls, until one of the two gives way.

Two that decide about one number undo each other's decisions for ever. So the deployment stays as the other one has it,
all of it: a new revision beside a group that somebody else makes larger or smaller would be neither's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from roadstead.decide.case import Case
from roadstead.decide.rows import Row
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode

__all__ = ["held", "left_to_others"]


def left_to_others(case: Case, rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return ``rows`` as what nothing is written to, if somebody else counts any of them; what goes, goes all the same.

    Groups that are not there yet are not made. A server that hangs is restarted all the same: that is no count.
    """
    if case.going or not any(group.scaled_by for _, group in case.shard.groups):
        return tuple(rows)
    return tuple(attrs.evolve(row, writable=False) for row in rows if row.group is not None)


def held(case: Case) -> Iterator[Held]:
    """Yield who else decides how many replicas there are, and the two ways out."""
    if case.going or case.declared is None:
        return
    for cluster, group in case.shard.groups:
        if group.scaled_by:
            detail = f"{group.scaled_by} scales {group.key}, so we send no count and roll nothing"
            reason = Reason(code=ReasonCode.CONTESTED, detail=detail, change=_ways_out(case.name, group.scaled_by))
            yield Held(deployment=case.name, cluster=cluster, reason=reason)


def _ways_out(name: str, other: str) -> Change:
    text = (
        f"remove {other} and say in the fleet file what it decides, or take {name} out of the fleet file and leave it "
        f"to {other}"
    )
    return Change(ChangeKind.FIX_INPUT, text)
