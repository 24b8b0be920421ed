"""What happened when: requests by the moment at which they were due, in rows of equal length."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

__all__ = ["Row", "Timeline", "nearest_rank"]


@attrs.frozen(kw_only=True)
class Row:
    """The requests that were due in one stretch of time, beginning ``at`` seconds after the measurement's beginning.

    ``sent`` is what was answered, failed, or is still on its way. Times are those of the answers, in milliseconds, and
    ``None`` where there are none.
    """

    at: float
    sent: int
    ok: int
    failures: Mapping[str, int]
    p50: float | None
    p99: float | None
    max: float | None

    @property
    def failed(self) -> int:
        """Requests that got no right answer."""
        return sum(self.failures.values())


def nearest_rank(ordered: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that so many percent are not above; ``None`` of nothing.

    >>> nearest_rank([1.0, 2.0, 3.0, 4.0], 50), nearest_rank([1.0], 99), nearest_rank([], 50)
    (2.0, 1.0, None)
    """
    if not ordered:
        return None
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]


class _Stretch:
    """A row that may still change; every answer's seconds are kept until it does not."""

    def __init__(self) -> None:
        self.sent = 0
        self.seconds = array("d")
        self.failures: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        return self.sent == len(self.seconds) + self.failures.total()

    def row(self, at: float) -> Row:
        times = [second * 1000 for second in sorted(self.seconds)]
        return Row(
            at=at,
            sent=self.sent,
            ok=len(times),
            failures=dict(self.failures),
            p50=nearest_rank(times, 50),
            p99=nearest_rank(times, 99),
            max=nearest_rank(times, 100),
        )


class Timeline:
    """Rows of ``every`` seconds. Requests are noted in the order in which they are due.

    A row is reduced to its numbers when it is over and all its requests are answered, so that a long measurement keeps
    no more single times than are on their way.
    """

    def __init__(self, every: float) -> None:
        self.every = every
        self._done: dict[int, Row] = {}
        self._open: dict[int, _Stretch] = {}
        self._newest = -1

    def sent(self, due: float) -> None:
        """Note a request; raises ``ValueError`` where a later row has begun before."""
        index = self._index(due)
        if index < self._newest:
            raise ValueError(f"a request due at {due} comes after one of a later row")
        if index > self._newest:
            self._newest = index
            for other in list(self._open):
                self._reduce(other)
        self._open.setdefault(index, _Stretch()).sent += 1

    def answered(self, due: float, seconds: float) -> None:
        """Note a right answer to the request that was due then."""
        self._open[self._index(due)].seconds.append(seconds)
        self._reduce(self._index(due))

    def failed(self, due: float, code: str) -> None:
        """Note that the request that was due then got no right answer."""
        self._open[self._index(due)].failures[code] += 1
        self._reduce(self._index(due))

    def rows(self) -> tuple[Row, ...]:
        """Return every row up to the newest one that has a request, those without any in between included."""
        return tuple(self._row(index) for index in range(self._newest + 1))

    def last(self, count: int) -> tuple[Row, ...]:
        """Return the newest rows."""
        return tuple(self._row(index) for index in range(max(0, self._newest + 1 - count), self._newest + 1))

    def _index(self, due: float) -> int:
        return math.floor(due / self.every)

    def _reduce(self, index: int) -> None:
        if index < self._newest and self._open[index].finished:
            self._done[index] = self._open.pop(index).row(index * self.every)

    def _row(self, index: int) -> Row:
        if index in self._done:
            return self._done[index]
        return self._open.get(index, _Stretch()).row(index * self.every)
