"""Who is to be out of the table, for how long each has been, and who of them may be taken down now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from roadstead.decide import progress
from roadstead.decide.relief import Relief
from roadstead.decide.rollout import Moves, may_stop_at_once
from roadstead.decide.rows import Row, RowKey
from roadstead.decide.stepping import Drained
from roadstead.memory import place
from roadstead.world import Member

__all__ = ["Leaving", "leaving"]

_Times = Mapping[str, int | None]


@attrs.frozen(kw_only=True)
class Leaving:
    """Everybody who is to be out of the table, by row (``going``) and by place, and for how long each has been.

    ``drained`` are those that are given up and may be taken down now; ``restart`` and ``evict`` are who may be that
    now. ``overdue`` are those whose grace is over although requests may be in flight.
    """

    going: Drained
    places: frozenset[str]
    times: _Times
    drained: Drained
    restart: Member | None
    evict: Member | None
    overdue: frozenset[str]


def leaving(rows: Sequence[Row], moves: Moves, relieved: Relief, before: _Times, elapsed: int) -> Leaving:
    """Return who leaves by ``moves`` and by what is ``relieved``, ``elapsed`` ms after what was known ``before``."""
    going = _going(moves, relieved)
    times = _times(going, before, elapsed)
    inside = frozenset(row.key for row in rows if row.drains_inside)
    return Leaving(
        going=going,
        places=frozenset(place(member.cluster, member.replica.id) for chosen in going.values() for member in chosen),
        times=times,
        drained=_drained(moves.victims, times, inside),
        restart=_drained_out(relieved.restart, moves, times, inside),
        evict=_drained_out(relieved.evict, moves, times, inside),
        overdue=_overdue(_drained(going, times, inside)),
    )


def _going(moves: Moves, relieved: Relief) -> Drained:
    """Return everybody who is to be out of the table: the victims, and who is to be restarted or evicted."""
    member = relieved.restart or relieved.evict
    if member is None:
        return moves.victims
    key = RowKey(member.cluster, member.group.key.revision)
    victims = moves.victims.get(key, ())
    return moves.victims if member in victims else {**moves.victims, key: (*victims, member)}


def _times(going: Drained, before: _Times, elapsed: int) -> _Times:
    """Return for how long everybody has been out of the table who should be; whoever should not is back in it.

    Without a gateway the endpoint list is the table. It is given out at the end of the turn that decided so, which may
    have taken long; so the time begins with the next one.
    """
    times: dict[str, int | None] = {}
    for chosen in going.values():
        for member in chosen:
            key = place(member.cluster, member.replica.id)
            given_out = member.passage is not None or key in before
            times[key] = progress.out_of_table(member, before.get(key), elapsed) if given_out else None
    return MappingProxyType(times)


def _drained_out(member: Member | None, moves: Moves, times: _Times, inside: frozenset[RowKey]) -> Member | None:
    """Return who may be restarted or evicted now: one that is drained, and is not given up anyway."""
    if member is None or member in moves.every_victim:
        return None
    return member if _is_drained(member, times, inside) else None


def _drained(going: Drained, times: _Times, inside: frozenset[RowKey]) -> Drained:
    """Return those that may be taken down now: nothing in flight, or all of ``drain_within`` waited.

    Those of the rows ``inside`` drain after they were told to stop.
    """
    return {
        key: tuple(member for member in chosen if _is_drained(member, times, inside)) for key, chosen in going.items()
    }


def _is_drained(member: Member, times: _Times, inside: frozenset[RowKey]) -> bool:
    if not member.is_out:
        return False
    if RowKey(member.cluster, member.group.key.revision) in inside:
        return True
    out = times[place(member.cluster, member.replica.id)] or 0
    return may_stop_at_once(member) or member.is_idle or out >= member.group.template.stop.drain_within.ms


def _overdue(drained: Drained) -> frozenset[str]:
    """Return those that a gateway does not show to be idle: their grace is over."""
    return frozenset(
        place(member.cluster, member.replica.id)
        for chosen in drained.values()
        for member in chosen
        if member.passage is not None and not member.is_idle and not may_stop_at_once(member)
    )
