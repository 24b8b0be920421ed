"""The passage from one revision to another, on one cluster or across several.

Who grows, who is retired, and what is held.

Three numbers rule. *Wanted* replicas should serve; at most ``wanted + max_surge`` may exist while revisions change; and
our own action leaves at least ``floor = wanted - max_unavailable`` of them serving. ``auto`` makes the new replica
first where it fits (surge); takes an old one first only where the floor allows it and the new one then fits (dip);
otherwise it holds, and says what would be enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from roadstead.decide.fit import Room
from roadstead.decide.growth import Growth
from roadstead.decide.retirement import Retirement
from roadstead.decide.rows import Row, RowKey
from roadstead.decide.standstill import standstill
from roadstead.memory import Claim
from roadstead.model import RolloutSpec, Strategy
from roadstead.reasons import Reason
from roadstead.world import Member, Phase

__all__ = ["Moves", "advance", "floor_of", "may_stop_at_once"]


@attrs.frozen(kw_only=True)
class Moves:
    """What a turn may do for one deployment.

    ``grow`` are the replicas to add to each row. ``victims`` are the replicas to take out of the table and, once
    drained, down; ``forgone`` is how many each row was asked for that are not there and are waited for no more.
    ``claims`` is the room that victims of a dip will free. ``held`` says why nothing can be done although something
    should.
    """

    grow: Mapping[RowKey, int]
    victims: Mapping[RowKey, tuple[Member, ...]]
    forgone: Mapping[RowKey, int]
    claims: tuple[Claim, ...] = ()
    held: tuple[Reason, ...] = ()

    @property
    def every_victim(self) -> tuple[Member, ...]:
        """The victims of all rows."""
        return tuple(member for chosen in self.victims.values() for member in chosen)


def floor_of(wanted: int, spec: RolloutSpec) -> int:
    """Return how many serving replicas our own action never goes below."""
    return 0 if spec.strategy is Strategy.RECREATE else max(0, wanted - spec.max_unavailable)


def advance(
    rows: Sequence[Row],
    *,
    wanted: int,
    spec: RolloutSpec,
    leaving: Mapping[str, int | None],
    claims: tuple[Claim, ...],
    room: Room,
) -> Moves:
    """Return the next moves towards every row's aim; ``leaving`` are the replicas that are draining already."""
    growth = Growth(rows=rows, wanted=wanted, spec=spec, freed=_freed(rows, claims), room=room)
    growth.decide()
    retirement = Retirement(growth, floor=floor_of(wanted, spec), leaving=leaving)
    retirement.decide()
    held = standstill(rows, growth, retirement, room)
    new_claims = tuple(claim for claim in retirement.claims if claim not in claims)
    return Moves(grow=growth.grow, victims=retirement.victims, forgone=retirement.forgone, claims=new_claims, held=held)


def _freed(rows: Sequence[Row], claims: tuple[Claim, ...]) -> int:
    """Return how many of those stand no more whose room is claimed."""
    standing = {member.replica.id for row in rows for member in row.standing} if claims else set()
    return sum(claim.replica not in standing for claim in claims)


def may_stop_at_once(member: Member) -> bool:
    """Return whether a replica can hold no request: it has no server, or one whose model was never available.

    A server that does not answer may still work on requests, so it is drained like one that does.
    """
    if member.replica.phase in {Phase.SLOT, Phase.STARTING}:
        return True
    return member.unserved
