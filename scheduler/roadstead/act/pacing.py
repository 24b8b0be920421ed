"""When the next turn begins: at once after news, a little later each time while news does not end, and without any."""

from __future__ import annotations

import threading

from roadstead.units import Duration

__all__ = ["Bell", "Pacing"]

_FIRST_GAP = 0.01
_LONGEST_GAP = 1.0
_QUIET = 1.0
_REST = 20
_SHORTEST_REST = 0.05


class Bell:
    """Wakes a waiting loop from any thread; ringing twice before it is heard is ringing once."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Wake whoever waits, or the next one who does."""
        self._rung.set()

    def wait(self, seconds: float) -> bool:
        """Return whether the bell was rung, at once if it was, else after ``seconds``."""
        rung = self._rung.wait(max(0.0, seconds))
        self._rung.clear()
        return rung


class Pacing:
    """Says how long after a turn the next one may begin.

    The first turn after a quiet second begins at once. Each that follows closely waits a little longer, up to twenty
    times as long as a turn takes, and a second at most: news that do not end cost a twentieth of the time, and a chain
    of steps still goes through quickly. Times are seconds of one monotonic clock.
    """

    def __init__(self, interval: Duration) -> None:
        self.interval = interval
        self._gap = 0.0
        self._began: float | None = None
        self._ended = 0.0

    def began(self, now: float) -> None:
        """Note that a turn begins."""
        quiet = self._began is None or now - self.earliest() >= _QUIET
        self._gap = 0.0 if quiet else min(_LONGEST_GAP, self.interval.seconds, max(_FIRST_GAP, 2 * self._gap))
        self._began = now

    def ended(self, now: float) -> None:
        """Note that the turn has ended."""
        self._ended = now
        took = now - self._began if self._began is not None else 0.0
        self._gap = min(self._gap, max(_SHORTEST_REST, _REST * took))

    def earliest(self) -> float:
        """Return when the next turn may begin if there is a reason for one."""
        return self._ended + self._gap

    def latest(self) -> float:
        """Return when the next turn begins without any reason."""
        return self._began + self.interval.seconds if self._began is not None else 0.0
