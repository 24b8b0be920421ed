"""Where a simulated cluster gets the time from: one that only moves when told, or the machine's, at any speed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Clock", "GivenClock", "PassingClock", "VirtualClock"]


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> int:
        """Return the milliseconds since the epoch; never less than it returned before."""


class VirtualClock:
    """A clock that stands still until somebody advances it."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self._now = now

    def now(self) -> int:
        """Return the milliseconds since the epoch."""
        return self._now

    def advance(self, ms: int) -> None:
        """Move the time on; clusters carry out what fell due when they are next called."""
        if ms < 0:
            raise ValueError(f"time does not go back: {ms} ms")
        self._now += ms


class PassingClock:
    """The machine's own time, run ``speed`` times as fast: for a simulated cluster under a real daemon."""

    def __init__(self, speed: int = 1) -> None:
        self._speed = speed
        self._began = time.monotonic_ns()
        self._origin = time.time_ns() // 1_000_000

    def now(self) -> int:
        """Return the milliseconds since the epoch, as far as they have run here."""
        return self._origin + (time.monotonic_ns() - self._began) * self._speed // 1_000_000


class GivenClock:
    """Somebody else's time."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now

    def now(self) -> int:
        """Return the milliseconds since the epoch."""
        return self._now()
