"""Marathon's stream of events, followed for as long as anybody wants to know.

It comes un-chunked, over a connection of its own, with a heartbeat every ten seconds and without replay: what happened
while nobody listened is never told. So an event says only *that* something changed, whatever it is about, and so does
every new connection. Events of kinds that nobody knows, and plans in either format, are therefore all alike.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

import attrs

__all__ = ["Event", "EventReader", "pause_s"]

_BREAK: Final = re.compile(r"\r\n|\n|\r")
_LONGEST: Final = 64 << 20
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0


@attrs.frozen
class Event:
    """One event: its kind, and its data as text."""

    kind: str
    data: str


class EventReader:
    """Makes events of the bytes of a stream, however they are cut; heartbeats are none."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._kind = ""
        self._data: list[str] = []
        self._after_cr = False

    def fed(self, piece: bytes) -> Iterator[Event]:
        """Yield the events that are complete with these bytes; raises :class:`ValueError` for a line without end."""
        text = self._decoder.decode(piece)
        if self._after_cr and text:
            # The CR at the end of the piece before has ended its line already.
            text = text.removeprefix("\n")
            self._after_cr = False
        self._after_cr = self._after_cr or text.endswith("\r")
        *lines, self._rest = _BREAK.split(self._rest + text)
        if len(self._rest) > _LONGEST:
            raise ValueError(f"a line of the stream is longer than {_LONGEST} characters")
        for line in lines:
            event = self._line(line)
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        if not line:
            found = Event(self._kind or "message", "\n".join(self._data)) if self._data else None
            self._kind, self._data = "", []
            return found
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data.append(value)
        return None


def pause_s(failures: int, chance: float) -> float:
    """Return how long to wait before connecting again, after so many failures in a row; ``chance`` is from 0 to 1.

    It doubles, and half of it is left to chance, so that not everybody comes back to a new leader at once.

    >>> pause_s(1, 1.0), pause_s(3, 0.0), pause_s(100, 1.0)
    (0.5, 1.0, 30.0)
    """
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * (1 << min(failures - 1, 16)))
    return longest * (0.5 + chance / 2)
