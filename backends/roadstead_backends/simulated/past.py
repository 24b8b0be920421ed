"""What a simulated cluster may still answer: looks of it, none older than what it answered or acknowledged before."""

from __future__ import annotations

from collections import deque

from roadstead.world import Snapshot

__all__ = ["Past"]

_REMEMBERED = 32


class Past:
    """The last different looks of one cluster, oldest first."""

    def __init__(self) -> None:
        self._looks: deque[Snapshot] = deque(maxlen=_REMEMBERED)

    def add(self, snapshot: Snapshot) -> None:
        """Note what it looks like now."""
        if not self._looks or self._looks[-1] != snapshot:
            self._looks.append(snapshot)

    def answer(self, age: int) -> Snapshot:
        """Return the look of ``age`` looks ago, or the oldest that may be shown; from now on none before it may be."""
        for _ in range(len(self._looks) - 1 - age):
            self._looks.popleft()
        return self._looks[0]

    def forget_older(self) -> None:
        """Show nothing any more that was before the newest look: a change was acknowledged."""
        while len(self._looks) > 1:
            self._looks.popleft()
