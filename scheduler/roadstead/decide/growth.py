"""Which revisions get more replicas now: what was lost first, then what is new, as far as it fits."""

from __future__ import annotations

from collections.abc import Sequence

from roadstead.decide.fit import No, Question, Room, Unknown, Yes
from roadstead.decide.rows import Row, RowKey
from roadstead.model import RolloutSpec, Strategy
from roadstead.reasons import Reason, ReasonCode

__all__ = ["Growth"]


class Growth:
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
        """Say how many more each row gets, and what stands against more."""
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
                return 0 if row.waiting else 1
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
