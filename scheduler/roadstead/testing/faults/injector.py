"""Where every call of a daemon passes through: it is counted, and goes wrong where the plan says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol, TypeVar

import attrs

from roadstead.testing.faults.calls import Call, Fault, Kind, What

__all__ = ["Chooser", "Injector", "Killed", "Powers", "planned"]

R = TypeVar("R")


class Killed(BaseException):
    """The daemon's process ended here; nothing of it may catch this."""


class Powers(Protocol):
    """What a fault may do to the world besides failing the call."""

    def strike(self, kind: Kind, call: Call) -> None:
        """Do to stores, clusters, gateways, the clock or other daemons what ``kind`` says."""


Failure = Callable[[Kind], Exception]
"""Gives what a call raises when its request or reply is lost, or the other side refuses it."""

_AFTER = frozenset({Kind.CRASH_AFTER, Kind.LOST_AFTER, Kind.MEMORY_CORRUPTED, Kind.JOURNAL_CORRUPTED})
_CRASHES = frozenset(
    {
        Kind.CRASH_BEFORE,
        Kind.CRASH_AFTER,
        Kind.MEMORY_LOST,
        Kind.MEMORY_CORRUPTED,
        Kind.JOURNAL_LOST,
        Kind.JOURNAL_CORRUPTED,
    }
)
_FAILURES = frozenset(
    {
        Kind.LOST_BEFORE,
        Kind.LOST_AFTER,
        Kind.FAILS,
        Kind.THROTTLED,
        Kind.THROTTLED_LONG,
        Kind.CONFLICT,
        Kind.DISK_FULL,
    }
)


Chooser = Callable[[Call], Kind | None]
"""Says what goes wrong with a call."""


@attrs.define(kw_only=True)
class Injector:
    """Counts the calls of one run and applies the faults that ``choose`` says.

    ``active``: calls are counted and may fail. ``calls`` is all that was counted, ``applied`` what went wrong of it,
    the last of it in turn ``struck``. ``between`` is called with the number of each call before it is made.
    """

    choose: Chooser = lambda _: None
    active: bool = False
    calls: list[Call] = attrs.field(factory=list)
    applied: list[Fault] = attrs.field(factory=list)
    between: Callable[[int], None] = lambda _: None
    turn: int = 0
    struck: int = 0

    def event(self, where: str) -> Kind | None:
        """Count a watch event, and return what is wrong with how it gets here."""
        return self._count(What.WATCH, where, 0)[1] if self.active else None

    def reading(self, powers: Powers) -> None:
        """Count a look at the clock, which may have jumped just before."""
        if self.active:
            call, kind = self._count(What.CLOCK, "", 0)
            if kind is not None:
                powers.strike(kind, call)

    def through(
        self, what: What, where: str, work: Callable[[], R], failure: Failure, powers: Powers, *, older: int = 0
    ) -> R:
        """Make a call by ``work``, unless it is to go wrong; raises :class:`Killed` where the daemon is to end here."""
        if not self.active:
            return work()
        call, kind = self._count(what, where, older)
        if kind is None:
            return work()
        if kind in _CRASHES or kind in _FAILURES:
            if kind in _AFTER:
                with suppress(Exception):  # whatever the answer is, nobody hears it
                    work()
            if kind in _FAILURES:
                raise failure(kind)
            powers.strike(kind, call)
            raise Killed(f"{kind.value}: {call}")
        powers.strike(kind, call)
        return work()

    def _count(self, what: What, where: str, older: int) -> tuple[Call, Kind | None]:
        call = Call(number=len(self.calls), what=what, where=where, older=older)
        self.calls.append(call)
        self.between(call.number)
        kind = self.choose(call)
        if kind is not None:
            self.applied.append(Fault(call.number, kind))
            self.struck = self.turn
        return call, kind


def planned(faults: Iterable[Fault]) -> Chooser:
    """Return what applies exactly these faults."""
    kinds = {fault.number: fault.kind for fault in faults}
    return lambda call: kinds.get(call.number)
