"""What is done about a replica that is not as it may be: it gives way, one at a time, never below the floor.

Where enough others serve, its server is restarted in place, or it is given up first and made anew. Where that would
leave too few, another one is made first, and then it is the one that is given up. A cluster that picks by itself who is
given up is asked to evict it instead: that one and no other. Nothing is remembered but who gives way: the rest follows
from what stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from roadstead.decide.case import Case
from roadstead.decide.claims import claim_on
from roadstead.decide.fit import No, Question, Room
from roadstead.decide.offenders import Offender
from roadstead.decide.rollout import Moves
from roadstead.decide.rows import Row, RowKey
from roadstead.memory import Claim, DeploymentMemory, Ousting, place
from roadstead.model import ExcessAction
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, ReasonCode
from roadstead.world import Member

__all__ = ["Relief", "relief", "with_claim"]


@attrs.frozen(kw_only=True)
class Relief:
    """The rows with what is changed about them for one that gives way.

    ``restart`` is taken out of the table, and restarted once it is drained; so is ``evict``, and evicted.
    ``given_up`` is given up before there is another one in its place: the room that it frees is for that one.
    """

    rows: tuple[Row, ...]
    ousted: Ousting | None = None
    restart: Member | None = None
    evict: Member | None = None
    given_up: Member | None = None
    held: tuple[Held, ...] = ()


def relief(
    case: Case, rows: Sequence[Row], offenders: Iterable[Offender], known: DeploymentMemory, room: Room
) -> Relief:
    """Return who of ``offenders`` gives way now, and how; ``known`` is who did before."""
    rows = tuple(rows)
    found = sorted(offenders, key=lambda one: (one.member.ready, one.process))
    warned = tuple(one.held() for one in found if one.action is ExcessAction.WARN)
    acting = [one for one in found if one.action is not ExcessAction.WARN and _row_of(rows, one.member) is not None]
    if not acting:
        return Relief(rows=rows, held=warned)
    before = known.ousted
    chosen = next((one for one in acting if before is not None and one.process == before.process), acting[0])
    begun = before is not None and before.begun and before.process == chosen.process
    made = _Relieving(case, rows, chosen, known.leaving, room, begun=begun).decide()
    waiting = tuple(
        one.held(f"its turn comes after {chosen.member.replica.id}", _WAIT) for one in acting if one is not chosen
    )
    return attrs.evolve(made, held=(*warned, *made.held, *waiting))


def with_claim(moves: Moves, given_up: Member | None, before: tuple[Claim, ...]) -> Moves:
    """Return ``moves`` with the room of who is given up first kept for who comes in its place."""
    claim = claim_on(given_up) if given_up is not None and given_up in moves.every_victim else None
    return moves if claim is None or claim in before else attrs.evolve(moves, claims=(*moves.claims, claim))


class _Relieving:
    """The case of one replica that is to give way."""

    def __init__(
        self,
        case: Case,
        rows: tuple[Row, ...],
        chosen: Offender,
        leaving: Mapping[str, int | None],
        room: Room,
        *,
        begun: bool,
    ) -> None:
        row = _row_of(rows, chosen.member)
        assert row is not None
        self.case = case
        self.rows = rows
        self.row = row
        self.chosen = chosen
        self.member = chosen.member
        self.room = room
        self.begun = begun
        self.others_leave = any(
            place(member.cluster, member.replica.id) in leaving and member != self.member
            for each in rows
            for member in each.standing
        )
        self.others = [
            member
            for each in rows
            for member in each.serving
            if member.replica.id != self.member.replica.id and place(member.cluster, member.replica.id) not in leaving
        ]

    def decide(self) -> Relief:
        in_place = self.chosen.action is ExcessAction.RESTART and self.row.restarts
        if self.row.evicts and not in_place and self.row.aim and self.begun and self.row.surplus == 1:
            return self._after_it_came()
        if self.row.surplus and (self.row.aim or not in_place):
            return self._as_one_too_many()
        if self.others_leave and not self.begun:
            return self._wait("others are on their way out")
        if self._may_go_first():
            return self._first()
        if len(self.others) < self.case.wanted - 1:
            return self._wait(f"only {len(self.others)} others serve")
        return self._after_another()

    def _may_go_first(self) -> bool:
        """Return whether enough others serve; whoever serves nobody costs nothing."""
        enough = max(self.case.floor, self.case.wanted - 1)
        return len(self.others) >= enough or not self._could_serve()

    def _could_serve(self) -> bool:
        if self.row.evicts:
            return self.member.ready or self.member.is_unheard
        return self.row.could_serve(self.member)

    # ---- first it goes ----

    def _first(self) -> Relief:
        if self.chosen.action is ExcessAction.RESTART and self.row.restarts:
            rows = self._with(
                attrs.evolve(self.row, out=frozenset({self.member.replica.id}), because=self.chosen.because)
            )
            return Relief(rows=rows, ousted=self._ousting(begun=True), restart=self.member)
        if self.row.evicts and self.row.aim:
            return self._evicted(self.row.aim)
        if not self.row.exact or not self.row.aim:
            return self._cannot_choose()
        rows = self._with(
            attrs.evolve(self.row, aim=self.row.aim - 1, yields=self.member.replica.id, because=self.chosen.because)
        )
        return Relief(rows=rows, ousted=self._ousting(begun=True), given_up=self.member)

    def _evicted(self, aim: int) -> Relief:
        """Have it out of the table, and evicted once it is drained; another one comes while it still ends."""
        answer = self._more_in_quota()
        if answer is not None:
            return self._hold(self._no_room(answer))
        out = frozenset({self.member.replica.id})
        rows = self._with(attrs.evolve(self.row, aim=aim, out=out, because=self.chosen.because))
        return Relief(rows=rows, ousted=self._ousting(begun=True), evict=self.member)

    def _more_in_quota(self) -> No | None:
        """Return why its owner may hold no more, if so: for a while there is one that ends, and another one besides."""
        answer = self.room(Question(row=self.row, count=1))
        return answer if isinstance(answer, No) and answer.reason.code in _NOT_ALLOWED else None

    # ---- first another one comes ----

    def _after_it_came(self) -> Relief:
        """Evict it, now that there is one more than should be, as soon as that serves; the one more stays till then."""
        if self._may_go_first():
            return self._evicted(self.row.aim + 1)
        answer = self._no_room_for_the_new()
        if answer is not None:
            return Relief(rows=self.rows, ousted=self._ousting(begun=False), held=(self._no_room(answer),))
        rows = self._with(attrs.evolve(self.row, aim=self.row.aim + 1))
        return Relief(rows=rows, ousted=self._ousting(begun=True))

    def _as_one_too_many(self) -> Relief:
        """Go on where more stand than should: if another one was asked for in its place, that must serve first."""
        yields = self._with(attrs.evolve(self.row, yields=self.member.replica.id, because=self.chosen.because))
        done = Relief(rows=yields, ousted=self._ousting(begun=self.begun))
        if not self.begun or not self.row.aim or self.row.surplus > 1 or self._is_made_up_for():
            return done
        answer = self._no_room_for_the_new()
        if answer is not None:
            return attrs.evolve(done, ousted=self._ousting(begun=False), held=(self._no_room(answer),))
        rows = self._with(
            attrs.evolve(self.row, aim=self.row.aim + 1, yields=self.member.replica.id, because=self.chosen.because)
        )
        return Relief(rows=rows, ousted=self._ousting(begun=True))

    def _no_room_for_the_new(self) -> No | None:
        """Return why what was asked for in its place waits for a node in vain, or is never made, if so."""
        answer = self.room(Question(row=self.row, count=1, granted=-1)) if self.row.waiting else None
        return answer if isinstance(answer, No) else None

    def _is_made_up_for(self) -> bool:
        there = {member.replica.id for member in self.row.standing}
        return sum(member.replica.id in there for member in self.others) >= self.row.aim

    def _after_another(self) -> Relief:
        if not (self.row.exact or self.row.evicts) or not self.row.aim:
            return self._cannot_choose()
        if self.others_leave or any(row.need or row.surplus for row in self.rows):
            return self._wait("replicas are on their way in or out")
        answer = self.room(Question(row=self.row, count=1))
        if isinstance(answer, No):
            return self._hold(self._no_room(answer))
        rows = self._with(
            attrs.evolve(self.row, aim=self.row.aim + 1, yields=self.member.replica.id, because=self.chosen.because)
        )
        return Relief(rows=rows, ousted=self._ousting(begun=True))

    # ---- nothing goes ----

    def _no_room(self, answer: No) -> Held:
        besides = (
            f"taking it down first would leave less than the {self.case.floor} that must serve, and one more does not "
            f"fit ({answer.reason.detail})"
        )
        changes = (_FEWER_SERVE, answer.reason.change)
        return self.chosen.held(besides, min((one for one in changes if one is not None), key=lambda one: one.kind))

    def _cannot_choose(self) -> Relief:
        cluster = self.member.cluster
        besides = f"{cluster} neither restarts nor evicts one replica, nor lets us choose which one goes"
        return self._hold(self.chosen.held(besides))

    def _wait(self, why: str) -> Relief:
        return self._hold(self.chosen.held(f"it stays while {why}", _WAIT))

    def _hold(self, held: Held) -> Relief:
        return Relief(rows=self.rows, ousted=self._ousting(begun=False), held=(held,))

    def _ousting(self, *, begun: bool) -> Ousting:
        return Ousting(self.chosen.process, begun)

    def _with(self, changed: Row) -> tuple[Row, ...]:
        return tuple(changed if row.key == changed.key else row for row in self.rows)


def _row_of(rows: Sequence[Row], member: Member) -> Row | None:
    """Return the row of a replica, if somebody can write to it now."""
    key = RowKey(member.cluster, member.group.key.revision)
    row = next((row for row in rows if row.key == key), None)
    return row if row is not None and row.writable and member in row.standing else None


_NOT_ALLOWED = frozenset({ReasonCode.QUOTA, ReasonCode.UNREACHABLE})
_WAIT = Change(ChangeKind.WAIT, "wait: one gives way at a time, while enough others serve")
_FEWER_SERVE = Change(ChangeKind.RAISE_MAX_UNAVAILABLE, "raise rollout.max_unavailable by 1", "rollout.max_unavailable")
