"""The calls that a story makes of a cluster's API, and what can go wrong with each: pure."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import attrs

from roadstead.testing.http_faults import Reply

__all__ = ["EFFECTS", "Call", "Dialect", "Kind", "Plan", "Point", "Sort", "plans", "points"]


@enum.unique
class Sort(enum.Enum):
    """What a call is, as far as that matters to what can go wrong with it.

    ``WATCHED`` is no call but a watch that is open already when something goes wrong, ``LEADER`` the server itself.
    """

    READ = "read"
    LIST = "list"
    WRITE = "write"
    WATCH = "watch"
    WATCHED = "open watch"
    LEADER = "leader"


@enum.unique
class Kind(enum.Enum):
    """What goes wrong; the words are those of :class:`roadstead.testing.faults.calls.Kind` where the meaning is.

    Before: the server never hears of the call. After: it does what it is asked, and its answer is not heard. What
    breaks an open watch is named after what the client meets when it comes back.
    """

    DELAYED = "delayed"
    LOST_BEFORE = "lost before"
    LOST_AFTER = "lost after"
    FAILS = "500"
    FAILS_AFTER = "500, and done"
    THROTTLED = "429 with Retry-After"
    CONFLICT = "409"
    EXPIRED = "410"
    TRUNCATED = "truncated"
    CUT = "cut in the middle"
    STALE = "older list"
    SILENT = "silent, and done"
    DEPOSED = "lost, and another elected"


_ANY = (Kind.DELAYED, Kind.LOST_BEFORE, Kind.FAILS, Kind.THROTTLED, Kind.TRUNCATED)
EFFECTS: Mapping[Sort, tuple[Kind, ...]] = MappingProxyType(
    {
        Sort.READ: (*_ANY, Kind.CUT),
        Sort.LIST: (*_ANY, Kind.CUT, Kind.EXPIRED, Kind.SILENT),
        Sort.WRITE: (*_ANY, Kind.LOST_AFTER, Kind.FAILS_AFTER, Kind.CONFLICT, Kind.SILENT),
        Sort.WATCH: (Kind.DELAYED, Kind.LOST_BEFORE, Kind.FAILS, Kind.THROTTLED, Kind.EXPIRED),
        Sort.WATCHED: (Kind.CUT, Kind.DELAYED, Kind.THROTTLED, Kind.EXPIRED, Kind.STALE),
        Sort.LEADER: (Kind.DEPOSED,),
    }
)
"""What is tried as a rule; what is not listed means nothing there, or takes longer to be noticed than a story lasts."""


@attrs.frozen
class Call:
    """A request by its meaning, such as ``PATCH replicasets``: whatever the objects are called in one telling."""

    name: str
    sort: Sort


class Dialect(Protocol):
    """How one kind of cluster speaks."""

    @property
    def watches(self) -> tuple[str, ...]:
        """The names of the calls by which clients follow what is ours; each write may show there."""

    @property
    def other_watches(self) -> tuple[str, ...]:
        """The names of those by which clients follow all the rest, which a story moves little."""

    def list_of(self, watch: str) -> str:
        """Return the name of the call by which a client begins anew that lost what it follows."""

    def call(self, method: str, target: str) -> Call | None:
        """Return what a request means, ``None`` for one that no fault is tried on."""

    def refusal(self, status: int, *, after_s: int | None = None) -> Reply:
        """Return how the server refuses, asking to be left alone for ``after_s`` seconds where that is given."""


@attrs.frozen(order=True)
class Point:
    """Where a fault strikes: the ``nth`` call of that name in a story, counted from 0.

    Of a watch that is open, and of the one that leads: when so many writes of the story were answered.
    """

    name: str
    nth: int
    sort: Sort = attrs.field(eq=True, order=False)

    def __str__(self) -> str:
        if self.sort is Sort.WATCHED:
            return f"open {self.name} after {self.nth} writes"
        if self.sort is Sort.LEADER:
            return f"{self.name} after {self.nth} writes"
        return f"{self.name} #{self.nth}"


@attrs.frozen
class Plan:
    """One fault of one story."""

    point: Point
    kind: Kind

    def __str__(self) -> str:
        return f"{self.kind.value} at {self.point}"


def points(dialect: Dialect, tellings: Sequence[Sequence[Call]], *, elects: bool = False) -> tuple[Point, ...]:
    """Return the points of a story by the calls of several tellings without faults: those that all of them have.

    How often a cluster is looked at differs from one telling to the next, so the fewest count. Watches that are open
    are struck before the first write and after each, those of the rest at the beginning only. Where who
    answers is elected (``elects``), that one is lost as often.
    """
    made = [Counter(calls) for calls in tellings]
    common = {call: min(one[call] for one in made) for call in made[0]}
    writes = sum(count for call, count in common.items() if call.sort is Sort.WRITE)
    found = [Point(call.name, nth, call.sort) for call, count in common.items() for nth in range(count)]
    found += [Point(name, nth, Sort.WATCHED) for name in dialect.watches for nth in range(writes + 1)]
    found += [Point(name, 0, Sort.WATCHED) for name in dialect.other_watches]
    found += [Point("leader", nth, Sort.LEADER) for nth in range(writes + 1) if elects]
    return tuple(sorted(found, key=lambda one: (one.sort.value, one.name, one.nth)))


def plans(found: Iterable[Point], effects: Mapping[Sort, tuple[Kind, ...]] = EFFECTS) -> Iterator[Plan]:
    """Yield every fault of every point; ``effects`` are those that have a meaning where calls are of such a sort."""
    for point in found:
        for kind in effects[point.sort]:
            yield Plan(point, kind)
