"""When which server is read for its own count of requests, and what two readings of it come to.

No clock and no thread in here: time is an argument, in seconds of whatever clock the caller uses throughout.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.act.probing import Asked
from roadstead.traffic import ServerLoad, ServerReading, mean_load
from roadstead.units import Duration

__all__ = ["APART", "EVERY", "LoadBook"]

EVERY = Duration(5_000)
"""How long after it was read a server is read again, at the earliest."""

APART = Duration(100)
"""How long after any server was read the next one is, at the earliest.

A page of metrics takes five milliseconds to read: this is a twentieth of one core at most, however many servers there
are. With more than fifty of them each is read less often than :data:`EVERY`.
"""


@attrs.define(eq=False)
class _Entry:
    """One server; ``last`` is its last reading, taken at ``read_at``, also where it could not be read since.

    ``due`` is ``None`` while it is being read.
    """

    asked: Asked
    due: float | None = None
    last: ServerReading | None = None
    read_at: float = 0.0
    told: bool = False


class LoadBook:
    """Keeps for every running server when it is due, and what it last said of its load.

    What is not known is not there: a server that could not be read the last time, that was not read yet, or whose
    process is another one than that which was read. Its rates come back with the next reading, over the time that is
    between the two.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._order: list[tuple[float, int, _Entry]] = []
        self._tie = itertools.count()
        self._free = 0.0
        self._readings: Mapping[str, ServerReading] = MappingProxyType({})

    @property
    def readings(self) -> Mapping[str, ServerReading]:
        """What servers say of their own load, by replica id; the same object as long as none was read."""
        return self._readings

    def follow(self, servers: Iterable[Asked], now: float) -> None:
        """Read exactly these servers from now on; one that is new, or a new process, is due at once."""
        old, self._entries = self._entries, {}
        for asked in servers:
            entry = old.get(asked.replica)
            if entry is None or entry.asked.server.incarnation != asked.server.incarnation:
                entry = _Entry(asked)
                self._schedule(entry, now)
            entry.asked = asked
            self._entries[asked.replica] = entry
        self._publish()

    def due(self, now: float) -> Asked | None:
        """Return the server that is due the longest, if any; it must be given back with :meth:`answered`."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, _, entry = heapq.heappop(self._order)
        entry.due = None
        self._free = now + APART.seconds
        return entry.asked

    def next_due(self) -> float | None:
        """Return when the next server may be read, or ``None`` while there is none that could be."""
        while self._order:
            due, _, entry = self._order[0]
            # What is at the head may be followed no longer, or have been scheduled anew.
            if entry.due == due and self._entries.get(entry.asked.replica) is entry:
                return max(due, self._free)
            heapq.heappop(self._order)
        return None

    def answered(self, asked: Asked, load: ServerLoad | None, now: float, at: int) -> None:
        """Take in what was read of a server at ``now``, which is ``at`` in milliseconds since the epoch."""
        entry = self._entries.get(asked.replica)
        if entry is None or entry.asked.server.incarnation != asked.server.incarnation:
            return
        self._schedule(entry, now + EVERY.seconds)
        entry.told = load is not None
        if load is not None:
            entry.last, entry.read_at = _reading(entry, load, now, at), now
        self._publish()

    def _schedule(self, entry: _Entry, due: float) -> None:
        entry.due = due
        heapq.heappush(self._order, (due, next(self._tie), entry))

    def _publish(self) -> None:
        told = {name: entry.last for name, entry in self._entries.items() if entry.told and entry.last is not None}
        if told != self._readings:
            self._readings = MappingProxyType(told)


def _reading(entry: _Entry, load: ServerLoad, now: float, at: int) -> ServerReading:
    """Return what a server said now, with its mean since it was last read; counters that fell begin anew."""
    incarnation = entry.asked.server.incarnation
    seconds = now - entry.read_at
    mean = mean_load(entry.last.counted, load, seconds=seconds) if entry.last is not None else None
    if mean is None:
        return ServerReading(incarnation=incarnation, at=at, counted=load)
    return ServerReading(incarnation=incarnation, at=at, counted=load, seconds=seconds, mean=mean)
