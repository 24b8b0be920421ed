"""The stream of events: who listens, what each is sent, and the bytes of it, as Jetty's servlet writes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from roadstead_backends.marathon.emulator.http.messages import text_of
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.events import EventBus

__all__ = ["HEARTBEAT", "HEARTBEAT_SECONDS", "EventStream", "EventStreams", "frame", "head"]

HEARTBEAT: Final = b"\r\n"
HEARTBEAT_SECONDS: Final = 10.0


def head(common: Mapping[str, str], date: str) -> bytes:
    """Status line and headers of the stream: no length and no chunks, it ends with the connection."""
    lines = ["HTTP/1.1 200 OK", f"Date: {date}", *(f"{name}: {value}" for name, value in common.items())]
    lines += ["Content-Type: text/event-stream;charset=utf-8", "Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame(kind: str, event: Document) -> bytes:
    """One event as it is sent."""
    return f"event: {kind}\r\ndata: {text_of(event)}\r\n\r\n".encode()


class EventStream:
    """One listener: what waits to be sent to it."""

    def __init__(self, kinds: Sequence[str], client: str, buffer: int) -> None:
        self.client = client
        self._buffer = buffer
        self.overrun = False
        self.woken: Callable[[], None] | None = None
        self._kinds = frozenset(kinds)
        self._waiting: deque[bytes] = deque()

    def tell(self, kind: str, event: Document) -> None:
        """Keep an event for the listener if it wants such; one who reads too slowly is to be cut off."""
        if self._kinds and kind not in self._kinds:
            return
        if len(self._waiting) >= self._buffer:
            self.overrun = True
        else:
            self._waiting.append(frame(kind, event))
        if self.woken is not None:
            self.woken()

    def taken(self) -> bytes:
        """Everything that waits."""
        found = b"".join(self._waiting)
        self._waiting.clear()
        return found


class EventStreams:
    """All who listen, who are also told of each other."""

    def __init__(self, bus: EventBus, *, buffer: int = 1024) -> None:
        self._bus = bus
        self._buffer = buffer
        self._ends: dict[EventStream, Callable[[], None]] = {}

    def attach(self, client: str, kinds: Sequence[str] = ()) -> EventStream:
        """Let someone listen, to these kinds of events or to all."""
        stream = EventStream(kinds, client, self._buffer)
        self._ends[stream] = self._bus.subscribe(stream.tell)
        self._bus.publish("event_stream_attached", remoteAddress=client)
        return stream

    def detach(self, stream: EventStream) -> None:
        """Let someone go."""
        end = self._ends.pop(stream, None)
        if end is not None:
            end()
            self._bus.publish("event_stream_detached", remoteAddress=stream.client)

    def close(self) -> None:
        """Let everyone go, because this instance leads no more."""
        for stream in tuple(self._ends):
            stream.overrun = True
            self.detach(stream)
            if stream.woken is not None:
                stream.woken()
