"""How long to wait before trying again: longer each time, never in step with others, and never shorter than asked."""

from __future__ import annotations

import random

import attrs

from roadstead.units import Duration

__all__ = ["BackOff", "Pace"]


@attrs.frozen(kw_only=True)
class Pace:
    """The bounds of waiting: at least ``first``, at most ``longest``, unless the server asks for more."""

    first: Duration = Duration(200)
    longest: Duration = Duration(30_000)


class BackOff:
    """Waits that grow by decorrelated jitter: each is drawn between ``first`` and three times the one before.

    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. ``chance`` is all its randomness.
    """

    def __init__(self, pace: Pace, chance: random.Random) -> None:
        self._pace = pace
        self._chance = chance
        self._last = pace.first.ms

    def next(self, *, asked_ms: int | None = None) -> Duration:
        """Return how long to wait now; ``asked_ms`` is what the server asked for at least."""
        self._last = min(self._pace.longest.ms, self._chance.randint(self._pace.first.ms, 3 * self._last))
        return Duration(max(self._last, asked_ms or 0))

    def reset(self) -> None:
        """Begin anew, as something went well."""
        self._last = self._pace.first.ms
