"""Which replicas are given up now: whoever serves nobody, and of the others as many as may."""

from __future__ import annotations

from collections.abc import Mapping

from roadstead.decide.claims import claim_on
from roadstead.decide.fit import No, Question, Unknown
from roadstead.decide.growth import Growth
from roadstead.decide.rows import Row, RowKey
from roadstead.memory import Claim, place
from roadstead.model import RolloutSpec, Strategy
from roadstead.reasons import Reason
from roadstead.world import Member, Phase

__all__ = ["Retirement"]


class Retirement:
    """Which replicas are given up now.

    ``victims`` are taken out of the table, to be taken down once they are drained. ``forgone`` is how many each row was
    asked for that are not there, and are waited for no more.
    """

    def __init__(self, growth: Growth, *, floor: int, leaving: Mapping[str, int | None]) -> None:
        self.growth = growth
        self.rows = rows = growth.rows
        self.wanted = growth.wanted
        self.room = growth.room
        self.floor = floor
        self.leaving = leaving
        self.victims: dict[RowKey, tuple[Member, ...]] = {}
        self.forgone: dict[RowKey, int] = {}
        self.claims: list[Claim] = []
        self.blocked: list[Reason] = []
        self._yielding = {row.yields for row in rows}
        self._needy = [row for row in rows if row.need - growth.grow.get(row.key, 0) > 0]
        serving = sum(len(row.serving) for row in rows)
        capable = sum(len(row.standing) - len(row.out) if row.proven else len(row.serving) for row in rows)
        lowest = self._lowest(growth.spec)
        self._serving = serving
        self._dips = 0
        self._lowest_serving = lowest
        self._has_enough = capable >= lowest
        self._capable_budget = max(0, capable - lowest)
        self._recreates = growth.spec.strategy is Strategy.RECREATE

    def _lowest(self, spec: RolloutSpec) -> int:
        """Return the floor, or all that is wanted as long as surging gets on without going below it."""
        surging = self.growth.surged or self.growth.total - self._unplaced() > self.wanted
        if spec.strategy in {Strategy.AUTO, Strategy.RELOAD} and surging:
            return self.wanted
        return self.floor

    def _unplaced(self) -> int:
        """Return how many wait and have no room anywhere: a surge that nothing came of.

        The question is about a slot that stands already, so one less than all of them comes before it.
        """
        return sum(
            row.waiting
            for row in self.rows
            if row.waiting and isinstance(self.room(Question(row=row, count=1, granted=-1)), No)
        )

    def decide(self) -> None:
        """Choose who is given up, as the class says."""
        order = sorted(
            (row for row in self.rows if row.surplus),
            key=lambda row: (not row.failed, row.proven, row.generation, row.key),
        )
        for row in order:
            surplus = row.surplus - self._forgo(row)
            if row.proven and not row.aim and self._capable_budget <= 0:
                continue  # each of them counts, whether it serves now or not
            chosen: list[Member] = []
            for member in sorted(row.standing, key=self._preference):
                if len(chosen) == surplus:
                    break
                if row.writable and self._may_go(row, member):
                    chosen.append(member)
            if chosen:
                self.victims[row.key] = tuple(chosen)
        if order and not self.victims and not self.forgone and not self.growth.grow:
            self._take_back()

    def _forgo(self, row: Row) -> int:
        """Return how many too many are given up of those that are not there: nobody is missed less.

        What is made anew of a revision that is known to work and on its way out is waited for, while too few stand.
        """
        is_needed = row.proven and not row.aim and not self._has_enough
        if not row.promised or is_needed or row.key in self.growth.grow:
            return 0
        self.forgone[row.key] = min(row.promised, row.surplus)
        return self.forgone[row.key]

    def _take_back(self) -> None:
        """Give up what was asked for in excess and finds no room, where nothing else can be done: it waits in vain."""
        if any(row.count > row.alive for row in self.rows):
            return
        excess = sum(row.alive for row in self.rows) - self.wanted
        for row in self.rows:
            if excess <= 0 or not row.waiting or row.surplus or not row.writable:
                continue
            if isinstance(self.room(Question(row=row, count=1, granted=-1)), No):
                unmade = min(row.promised, excess)
                chosen = tuple(sorted(row.crew.slots, key=self._preference)[: excess - unmade])
                if unmade:
                    self.forgone[row.key] = unmade
                if chosen:
                    self.victims[row.key] = chosen
                excess -= unmade + len(chosen)

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
