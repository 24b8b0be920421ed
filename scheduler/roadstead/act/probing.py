"""When which server is asked for its model, and what its answers come to.

No clock and no thread in here: time is an argument, in seconds of whatever clock the caller uses throughout.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.spi.runtime import Server
from roadstead.units import Duration
from roadstead.world import ModelState, ModelStatus

__all__ = ["QUICK", "Asked", "ProbeBook"]

QUICK = Duration(300)
"""How often a server is asked while its model is not available yet, within ``health.start_within``."""


@attrs.frozen
class Asked:
    """One running server to be asked, under the replica's id."""

    replica: str
    server: Server


@attrs.define(eq=False)
class _Entry:
    """What is known of one server; ``due`` is ``None`` while its answer is awaited."""

    asked: Asked
    since: float
    due: float | None
    state: ModelState
    unknown: int = 0
    heard: bool = False


class ProbeBook:
    """Keeps for every running server when it is due, and the word that counts about its model.

    An answer counts for the incarnation that was asked, and one server is asked one thing at a time. A definite answer
    counts at once. No answer changes the word about a server that serves any version, or about one that was never
    heard of, only after ``health.failures`` of them in a row: one that is slow for a moment goes on serving, and one
    that loads another version beside it has more to do than any other.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._order: list[tuple[float, int, _Entry]] = []
        self._tie = itertools.count()
        self._in_flight: set[str] = set()
        self._states: Mapping[str, ModelState] = MappingProxyType({})

    @property
    def states(self) -> Mapping[str, ModelState]:
        """The word about each replica's model, by replica id; the same object as long as no word changed."""
        return self._states

    def follow(self, servers: Iterable[Asked], now: float) -> None:
        """Ask exactly these servers from now on; one that is new, or a new incarnation, is due at once and unknown."""
        old, self._entries = self._entries, {}
        for asked in servers:
            entry = old.get(asked.replica)
            if entry is None:
                entry = _Entry(asked, now, None, _unknown(asked))
                if asked.replica not in self._in_flight:
                    self._schedule(entry, now)
            elif entry.asked.server.incarnation != asked.server.incarnation:
                entry.since, entry.state, entry.unknown, entry.heard = now, _unknown(asked), 0, False
                if entry.due is not None:
                    self._schedule(entry, now)
            entry.asked = asked
            self._entries[asked.replica] = entry
        self._publish()

    def due(self, now: float) -> Asked | None:
        """Return the server that is due the longest, if any; it must be given back with :meth:`answered`."""
        self._drop_stale()
        if not self._order or self._order[0][0] > now:
            return None
        _, _, entry = heapq.heappop(self._order)
        entry.due = None
        self._in_flight.add(entry.asked.replica)
        return entry.asked

    @property
    def is_complete(self) -> bool:
        """Whether every server has been asked at least once, whatever it said."""
        return all(entry.heard for entry in self._entries.values())

    def next_due(self) -> float | None:
        """Return when the next server is due, or ``None`` while there is none that could be asked."""
        self._drop_stale()
        return self._order[0][0] if self._order else None

    def answered(self, asked: Asked, state: ModelState, now: float) -> bool:
        """Take in an answer, and return whether the word about that replica changed."""
        self._in_flight.discard(asked.replica)
        entry = self._entries.get(asked.replica)
        if entry is None:
            return False
        if entry.asked.server.incarnation != state.incarnation:
            self._schedule(entry, now)
            return False
        entry.heard = True
        entry.unknown = entry.unknown + 1 if state.status is ModelStatus.UNKNOWN else 0
        health = entry.asked.server.template.health
        patient = 0 < entry.unknown < health.failures
        believed = bool(entry.state.versions) and patient
        if patient and not entry.state.heard:
            state = attrs.evolve(state, heard=False)
        changed = not believed and state != entry.state
        if changed:
            entry.state = state
            self._publish()
        self._schedule(entry, now + _pause(entry, now).seconds)
        return changed

    def _schedule(self, entry: _Entry, due: float) -> None:
        entry.due = due
        heapq.heappush(self._order, (due, next(self._tie), entry))

    def _drop_stale(self) -> None:
        """Remove from the head what is no longer followed or was scheduled anew since."""
        while self._order:
            due, _, entry = self._order[0]
            if entry.due == due and self._entries.get(entry.asked.replica) is entry:
                return
            heapq.heappop(self._order)

    def _publish(self) -> None:
        states = {replica: entry.state for replica, entry in self._entries.items()}
        before = self._states
        if states.keys() != before.keys() or any(before[replica] is not state for replica, state in states.items()):
            self._states = MappingProxyType(states)


def _unknown(asked: Asked) -> ModelState:
    return ModelState(status=ModelStatus.UNKNOWN, incarnation=asked.server.incarnation, heard=False)


def _pause(entry: _Entry, now: float) -> Duration:
    """Return how long until a server is asked again: quickly while it starts, then as its owner says.

    One that serves and did not answer is given its owner's time, too, before that counts as a second failure.
    """
    health = entry.asked.server.template.health
    is_missed = bool(entry.unknown and entry.state.versions)
    starting = entry.state.status in {ModelStatus.UNKNOWN, ModelStatus.LOADING} and not is_missed
    if starting and now - entry.since < health.start_within.seconds:
        return min(QUICK, health.every)
    return health.every
