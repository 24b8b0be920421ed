"""The passage from one revision to another, on one cluster or across several.

Who grows, who is retired, and what is held.

Three numbers rule. *Wanted* replicas should serve; at most ``wanted + max_surge`` may exist while revisions change; and
our own action leaves at least ``floor = wanted - max_unavailable`` of them serving. ``auto`` makes the new replica
first where it fits (surge); takes an old one first only where the floor allows it and the new one then fits (dip);
otherwise it holds, and says what would be enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from roadstead.decide.claims import claim_on
from roadstead.decide.fit import Fit, No, Unknown, Yes
from roadstead.decide.rows import Row, RowKey
from roadstead.holdings import use_of
from roadstead.memory import Claim, place
from roadstead.model import RolloutSpec, Strategy
from roadstead.reasons import Amount, Change, ChangeKind, Reason, ReasonCode
from roadstead.world import Member, Phase

__all__ = ["Moves", "Question", "Room", "advance", "floor_of", "may_stop_at_once"]


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


@attrs.frozen(kw_only=True)
class Moves:
    """What a turn may do for one deployment.

    ``grow`` are the replicas to add to each row. ``victims`` are the replicas to take out of the table and, once
    drained, down. ``claims`` is the room that victims of a dip will free. ``held`` says why nothing can be done
    although something should.
    """

    grow: Mapping[RowKey, int]
    victims: Mapping[RowKey, tuple[Member, ...]]
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
    growth = _Growth(rows=rows, wanted=wanted, spec=spec, freed=_freed(rows, claims), room=room)
    growth.decide()
    retirement = _Retirement(rows=rows, wanted=wanted, spec=spec, leaving=leaving, room=room, growth=growth)
    retirement.decide()
    held = _held(rows, growth, retirement, room)
    new_claims = tuple(claim for claim in retirement.claims if claim not in claims)
    return Moves(grow=growth.grow, victims=retirement.victims, claims=new_claims, held=held)


def _freed(rows: Sequence[Row], claims: tuple[Claim, ...]) -> int:
    """Return how many of those stand no more whose room is claimed."""
    standing = {member.replica.id for row in rows for member in row.standing} if claims else set()
    return sum(claim.replica not in standing for claim in claims)


class _Growth:
    """Which rows get more replicas now."""

    def __init__(self, *, rows: Sequence[Row], wanted: int, spec: RolloutSpec, freed: int, room: Room) -> None:
        self.rows = rows
        self.wanted = wanted
        self.spec = spec
        self.freed = freed
        self.room = room
        self.total = sum(row.count for row in rows)
        self.grow: dict[RowKey, int] = {}
        self.blocked: list[Reason] = []
        self.surged = False
        self.heir = self._heir()

    def _heir(self) -> Row | None:
        """Return the row that gets back what is lost: the last proven revision, while what should run is unproven."""
        if all(row.proven for row in self.rows if row.need):
            return None
        return max(
            (row for row in self.rows if row.can_inherit and row.aim == 0 and row.alive),
            key=lambda row: row.generation,
            default=None,
        )

    def decide(self) -> None:
        needy = [row for row in self.rows if row.need]
        if self.spec.strategy is Strategy.RECREATE and any(row.aim == 0 and row.count for row in self.rows):
            return
        if not any(row.surplus for row in self.rows):
            self.grow = {row.key: count for row in needy if (count := self._with_one_waiting(row))}
            return
        base = self._restored(max(0, self.wanted - self.total))
        surge = min(self.spec.max_surge, max(0, self.wanted + self.spec.max_surge - self.total))
        for row in needy:
            given = min(row.need, base)
            base -= given
            extra = self._surge(row, min(row.need - given, surge), given)
            surge -= extra
            if given + extra:
                self.grow[row.key] = given + extra

    def _with_one_waiting(self, row: Row) -> int:
        """Return what fits of the row's need, and one more that waits, on behalf of all others, and tells why.

        Where the quota is what stands against it, all of the need is asked for: the gate lets through what it may, and
        says how much is missing.
        """
        answer = self.room(Question(row=row, count=row.need))
        match answer:
            case Yes(by_quota=True) | No(reason=Reason(code=ReasonCode.QUOTA)):
                return row.need
            case Yes(count=fitting):
                return min(row.need, fitting + 1)
            case No():
                return 0 if any(member.replica.phase is Phase.SLOT for member in row.standing) else 1
            case Unknown():
                return row.need

    def _restored(self, base: int) -> int:
        """Give what was lost back to the last proven revision while the new one is unproven.

        Return what is left for the new one.

        Room that a dip of ours made is no loss: it is the new revision's, by its claim.
        """
        lost = base - self.freed
        if self.heir is None or lost <= 0:
            return base
        answer = self.room(Question(row=self.heir, count=lost))
        restored = 0
        match answer:
            case Yes(count=fitting):
                restored = min(lost, fitting)
            case Unknown():
                restored = lost
            case No(reason=reason):
                self.blocked.append(reason)
        if restored:
            self.grow[self.heir.key] = restored
        return base - lost

    def _surge(self, row: Row, count: int, granted: int) -> int:
        if count <= 0:
            return 0
        answer = self.room(Question(row=row, count=count, granted=granted))
        match answer:
            case Yes(count=fitting):
                self.surged = True
                return min(fitting, count)
            case Unknown():
                self.surged = True
                return 1
            case No(reason=reason):
                self.blocked.append(reason)
                return 0


class _Retirement:
    """Which replicas are taken out of the table now, to be taken down once they are drained."""

    def __init__(
        self,
        *,
        rows: Sequence[Row],
        wanted: int,
        spec: RolloutSpec,
        leaving: Mapping[str, int | None],
        room: Room,
        growth: _Growth,
    ) -> None:
        self.rows = rows
        self.wanted = wanted
        self.leaving = leaving
        self.room = room
        self.growth = growth
        self.victims: dict[RowKey, tuple[Member, ...]] = {}
        self.claims: list[Claim] = []
        self.blocked: list[Reason] = []
        self._yielding = {row.yields for row in rows}
        self._needy = [row for row in rows if row.need - growth.grow.get(row.key, 0) > 0]
        serving = sum(len(row.serving) for row in rows)
        capable = sum(len(row.standing) - len(row.out) if row.proven else len(row.serving) for row in rows)
        lowest = self._lowest(spec)
        self._serving = serving
        self._dips = 0
        self._lowest_serving = lowest
        self._capable_budget = max(0, capable - lowest)
        self._recreates = spec.strategy is Strategy.RECREATE

    def _lowest(self, spec: RolloutSpec) -> int:
        """Return the floor, or all that is wanted as long as surging gets on without going below it."""
        surging = self.growth.surged or self.growth.total - self._unplaced() > self.wanted
        if spec.strategy in {Strategy.AUTO, Strategy.RELOAD} and surging:
            return self.wanted
        return floor_of(self.wanted, spec)

    def _unplaced(self) -> int:
        """Return how many slots have no room anywhere: a surge that nothing came of.

        The question is about a slot that stands already, so one less than all of them comes before it.
        """
        return sum(
            row.crew.slots
            for row in self.rows
            if row.crew.slots and isinstance(self.room(Question(row=row, count=1, granted=-1)), No)
        )

    def decide(self) -> None:
        order = sorted(
            (row for row in self.rows if row.surplus),
            key=lambda row: (not row.failed, row.proven, row.generation, row.key),
        )
        for row in order:
            if row.proven and not row.aim and self._capable_budget <= 0:
                continue  # each of them counts, whether it serves now or not
            chosen: list[Member] = []
            for member in sorted(row.standing, key=self._preference):
                if len(chosen) == row.surplus:
                    break
                if row.writable and self._may_go(row, member):
                    chosen.append(member)
            if chosen:
                self.victims[row.key] = tuple(chosen)
        if order and not self.victims and not self.growth.grow:
            self._take_back()

    def _take_back(self) -> None:
        """Give up what was asked for in excess and finds no room, where nothing else can be done: it waits in vain."""
        if any(row.count > row.alive for row in self.rows):
            return
        excess = sum(row.alive for row in self.rows) - self.wanted
        for row in self.rows:
            slots = [member for member in row.standing if member.replica.phase is Phase.SLOT]
            if excess <= 0 or not slots or row.surplus or not row.writable:
                continue
            if isinstance(self.room(Question(row=row, count=1, granted=-1)), No):
                self.victims[row.key] = tuple(sorted(slots, key=self._preference)[:excess])
                excess -= len(self.victims[row.key])

    def _preference(self, member: Member) -> tuple[bool, int, bool, bool, bool, int, str]:
        """Order victims: those leaving already, longest first, what does not serve, who is to yield, the youngest.

        Whoever has not begun to run is younger than all who have.
        """
        key = place(member.cluster, member.replica.id)
        started = member.replica.started_at
        return (
            key not in self.leaving,
            -(self.leaving.get(key) or 0),
            member.serving,
            member.replica.id not in self._yielding,
            started is not None,
            -(started or 0),
            member.replica.id,
        )

    def _may_go(self, row: Row, member: Member) -> bool:
        """Return whether one more may go: others serve, as many as must, for as long as it could serve itself.

        Whether it is listed now makes no difference to that, so that none is taken out and put back over and over.
        """
        serves = row.serves(member)
        could = row.could_serve(member)
        if not could and (row.aim > 0 or not row.proven):
            return True
        left = self._serving - serves
        counts = serves or row.proven
        if (counts and self._capable_budget <= 0) or (could and left < self._lowest_serving):
            return False
        if not self._recreates and self._needy and left < self.wanted and not self._dip(member):
            return False
        self._capable_budget -= counts
        self._serving = left
        return True

    def _dip(self, member: Member) -> bool:
        """Return whether taking this one first lets a new one in, and claim the room that it frees."""
        if self._dips >= sum(row.need - self.growth.grow.get(row.key, 0) for row in self._needy):
            return False
        for row in self._needy:
            answer = self.room(Question(row=row, count=1, without=member))
            if isinstance(answer, No):
                self.blocked.append(answer.reason)
                continue
            if member.replica.phase is Phase.SLOT and (isinstance(answer, Unknown) or self.growth.heir is not None):
                continue  # it holds nothing: giving it up makes nobody's room, and it would be asked for again
            self._dips += 1
            claim = claim_on(member)
            if claim is not None:
                self.claims.append(claim)
            return True
        return False


def _held(rows: Sequence[Row], growth: _Growth, retirement: _Retirement, room: Room) -> tuple[Reason, ...]:
    """Return why the rollout stands still, if it does.

    Something is needed, nothing moves, and nothing is on its way.
    """
    needy = [row for row in rows if row.need]
    coming = any(row.count > len(row.serving) for row in rows if row.aim)
    going = any(row.count > row.alive for row in rows)
    if not needy or growth.grow or retirement.victims or coming or going:
        return ()
    obstacle = _obstacle(needy[0], growth, retirement, room)
    first = f"one more does not fit ({obstacle.detail})" if obstacle is not None else "max_surge allows no more"
    floor = floor_of(growth.wanted, growth.spec)
    second = f"taking one down first would leave less than the {floor} that must serve"
    if retirement.blocked:
        second = "would not fit with one taken down first either"
    choices = [
        _enough(rows, needy[0], growth, room),
        *(reason.change for reason in retirement.blocked),
        *_room_for_a_surge(needy[0], obstacle, growth, room),
    ]
    change = min((one for one in choices if one is not None), key=lambda one: one.kind, default=None)
    return (
        Reason(
            code=ReasonCode.ROLLOUT_HELD,
            detail=f"{first}, and {second}",
            count=obstacle.count if obstacle is not None else 0,
            total=obstacle.total if obstacle is not None else 0,
            raw=obstacle.raw if obstacle is not None else "",
            change=change,
        ),
    )


def _obstacle(needy: Row, growth: _Growth, retirement: _Retirement, room: Room) -> Reason | None:
    """Return what stands against one more replica, as far as somebody asked, or by asking now."""
    asked = [*growth.blocked, *retirement.blocked]
    if asked:
        return asked[0]
    if growth.total >= growth.wanted + growth.spec.max_surge:
        return None
    answer = room(Question(row=needy, count=1))
    return answer.reason if isinstance(answer, No) else None


def _room_for_a_surge(needy: Row, obstacle: Reason | None, growth: _Growth, room: Room) -> Iterator[Change | None]:
    """Yield what would let one more come first: room for it, or leave to have it, or both."""
    may_surge = growth.total < growth.wanted + growth.spec.max_surge
    if may_surge:
        yield obstacle.change if obstacle is not None else None
        return
    answer = room(Question(row=needy, count=1))
    if not isinstance(answer, No):
        yield _MORE_SURGE
    elif answer.reason.change is not None:
        yield Change(ChangeKind.FIX_INPUT, f"raise rollout.max_surge by 1, and {answer.reason.change.text}")


_MORE_SURGE = Change(
    ChangeKind.RAISE_MAX_UNAVAILABLE,
    "raise rollout.max_surge or rollout.max_unavailable by 1",
    "rollout.max_surge",
    (Amount("more", 1),),
)


def _enough(rows: Sequence[Row], needy: Row, growth: _Growth, room: Room) -> Change | None:
    """Return by how much fewer would have to serve so that one could be taken down first, where that would help."""
    serving = sum(len(row.serving) for row in rows)
    more = max(1, floor_of(growth.wanted, growth.spec) - serving + 1)
    if growth.spec.max_unavailable + more > growth.wanted:
        return None
    for row in rows:
        for member in row.serving if row.surplus else ():
            answer = room(Question(row=needy, count=1, without=member))
            if isinstance(answer, Yes) or (isinstance(answer, Unknown) and _fits_instead(needy, member)):
                text = f"raise rollout.max_unavailable by {more}"
                amounts = (Amount("more", more),)
                return Change(ChangeKind.RAISE_MAX_UNAVAILABLE, text, "rollout.max_unavailable", amounts)
    return None


def _fits_instead(needy: Row, member: Member) -> bool:
    """Return whether a replica of ``needy`` fits wherever ``member`` does: it asks for no more, in the same places."""
    new, old = needy.template, member.group.template
    asked, held = use_of(new.resources), use_of(old.resources)
    return (
        needy.key.cluster == member.cluster
        and new.placement == old.placement
        and new.resources.gpu == old.resources.gpu
        and (asked.cpu, asked.memory, asked.disk)
        == (min(asked.cpu, held.cpu), min(asked.memory, held.memory), min(asked.disk, held.disk))
    )


def may_stop_at_once(member: Member) -> bool:
    """Return whether a replica can hold no request: it has no server, or one whose model was never available.

    A server that does not answer may still work on requests, so it is drained like one that does.
    """
    if member.replica.phase in {Phase.SLOT, Phase.STARTING}:
        return True
    return member.unserved
