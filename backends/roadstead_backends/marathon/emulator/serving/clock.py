"""What moves the timeline: the real clock, or somebody by hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

from roadstead_backends.marathon.emulator.cluster.timeline import Timeline

__all__ = ["ByHand", "Clock", "RealTime"]


class Clock(Protocol):
    """Moves a timeline."""

    timeline: Timeline

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """Do something at the present moment, and then what follows from it at once."""
        yield

    def close(self) -> None:
        """Move no more."""


class RealTime:
    """Moves a timeline along with the real clock, while the event loop runs.

    Time goes by the monotonic clock: it neither jumps nor goes backwards when the machine's clock is set.
    """

    def __init__(self, timeline: Timeline | None = None) -> None:
        self._origin = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000
        self.timeline = timeline or Timeline(self._now())
        self._timer: asyncio.TimerHandle | None = None

    def _now(self) -> int:
        return self._origin + time.monotonic_ns() // 1_000_000

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """Do something at the present moment, and then what follows from it at once."""
        self.timeline.advance_to(self._now())
        try:
            yield
        finally:
            self.timeline.settle()
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self.timeline.next_due()
        if due is not None:
            delay = max(0.0, (due - self._now()) / 1000)
            self._timer = asyncio.get_running_loop().call_later(delay, self._due)

    def _due(self) -> None:
        with self.moment():
            pass

    def close(self) -> None:
        """Move no more."""
        if self._timer is not None:
            self._timer.cancel()


class ByHand:
    """Moves a timeline only when it is told to."""

    def __init__(self, timeline: Timeline | None = None) -> None:
        self.timeline = timeline or Timeline(time.time_ns() // 1_000_000)

    @contextlib.contextmanager
    def moment(self) -> Iterator[None]:
        """Do something, and then what follows from it at once. A millisecond passes, so that versions differ."""
        self.timeline.advance(1)
        yield
        self.timeline.settle()

    def advance(self, milliseconds: int) -> None:
        """Let so much time pass."""
        self.timeline.advance(milliseconds)

    def close(self) -> None:
        """There is nothing to stop."""
