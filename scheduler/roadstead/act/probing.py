"""When which server is asked for its model, and what its answers come to. No clock and no thread: time is an argument."""

from __future__ import annotations

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


@attrs.define
class _Entry:
    """What is known of one server, in seconds of the caller's clock."""

    server: Server
    since: float
    due: float
    state: ModelState
    unknown: int = 0
    in_flight: bool = False


class ProbeBook:
    """Keeps for every running server when it is due, and the word that counts about its model.

    An answer counts for the incarnation that was asked, and one server is asked one thing at a time. A definite
    answer counts at once. No answer changes the word about an available model only after ``health.failures`` of them
    in a row: a server that is slow for a moment goes on serving.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
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
            if entry is None or entry.server.incarnation != asked.server.incarnation:
                unknown = ModelState(status=ModelStatus.UNKNOWN, incarnation=asked.server.incarnation)
                entry = _Entry(asked.server, now, now, unknown, in_flight=entry is not None and entry.in_flight)
            elif entry.server is not asked.server:
                entry.server = asked.server
            self._entries[asked.replica] = entry
        self._publish()

    def due(self, now: float) -> tuple[Asked, ...]:
        """Return the servers to be asked now, the longest due first; each must be given back with :meth:`answered`."""
        ready = sorted(
            (entry.due, replica) for replica, entry in self._entries.items() if entry.due <= now and not entry.in_flight
        )
        for _, replica in ready:
            self._entries[replica].in_flight = True
        return tuple(Asked(replica, self._entries[replica].server) for _, replica in ready)

    def next_due(self) -> float | None:
        """Return when the next server is due, or ``None`` while there is none that could be asked."""
        return min((entry.due for entry in self._entries.values() if not entry.in_flight), default=None)

    def answered(self, asked: Asked, state: ModelState, now: float) -> bool:
        """Take in an answer, and return whether the word about that replica changed."""
        entry = self._entries.get(asked.replica)
        if entry is None:
            return False
        entry.in_flight = False
        if entry.server.incarnation != state.incarnation or asked.server.incarnation != state.incarnation:
            entry.due = now
            return False
        entry.unknown = entry.unknown + 1 if state.status is ModelStatus.UNKNOWN else 0
        believed = (
            entry.state.status is ModelStatus.AVAILABLE and 0 < entry.unknown < entry.server.template.health.failures
        )
        changed = not believed and state != entry.state
        if changed:
            entry.state = state
            self._publish()
        entry.due = now + _pause(entry, now).seconds
        return changed

    def _publish(self) -> None:
        states = {replica: entry.state for replica, entry in self._entries.items()}
        before = self._states
        if states.keys() != before.keys() or any(before[replica] is not state for replica, state in states.items()):
            self._states = MappingProxyType(states)


def _pause(entry: _Entry, now: float) -> Duration:
    """Return how long until a server is asked again: quickly while it starts, then as its owner says."""
    health = entry.server.template.health
    starting = entry.state.status in {ModelStatus.UNKNOWN, ModelStatus.LOADING}
    if starting and now - entry.since < health.start_within.seconds:
        return min(QUICK, health.every)
    return health.every
