"""Time that is told what o'clock it is: callbacks at moments, run when time is moved past them.

A test moves it by hand; a server moves it along with the real clock. Milliseconds since the epoch.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import attrs

__all__ = ["Timeline", "Timer"]


@attrs.define(eq=False)
class Timer:
    """A callback that waits for its moment; cancelled, it is never called."""

    due: int
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Do not call it."""
        self.cancelled = True


class Timeline:
    """The time of one emulated cluster."""

    def __init__(self, now: int = 0) -> None:
        self._now = now
        self._order = itertools.count()
        self._timers: list[tuple[int, int, Timer]] = []

    @property
    def now(self) -> int:
        """The present moment."""
        return self._now

    def at(self, due: int, call: Callable[[], None]) -> Timer:
        """Call at a moment; one that has passed already is due at once."""
        timer = Timer(due, call)
        heapq.heappush(self._timers, (due, next(self._order), timer))
        return timer

    def after(self, milliseconds: float, call: Callable[[], None]) -> Timer:
        """Call so much later."""
        return self.at(self._now + int(milliseconds), call)

    def soon(self, call: Callable[[], None]) -> Timer:
        """Call as soon as whatever is being done now is done."""
        return self.at(self._now, call)

    def next_due(self) -> int | None:
        """When the next callback is due."""
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance_to(self, moment: int) -> None:
        """Move on to a moment, and call on the way what is due, each at its own moment; never backwards."""
        while (due := self.next_due()) is not None and due <= moment:
            timer = heapq.heappop(self._timers)[2]
            self._now = max(self._now, due)
            timer.call()
        self._now = max(self._now, moment)

    def advance(self, milliseconds: int) -> None:
        """Move on by so much."""
        self.advance_to(self._now + milliseconds)

    def settle(self) -> None:
        """Call what is due at this very moment."""
        self.advance_to(self._now)
