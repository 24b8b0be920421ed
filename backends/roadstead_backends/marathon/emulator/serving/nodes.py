"""One instance of Marathon behind a socket, with its stream of events."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.http.messages import Answer, Request
from roadstead_backends.marathon.emulator.http.streaming import HEARTBEAT, HEARTBEAT_SECONDS, EventStream, head
from roadstead_backends.marathon.emulator.serving.clock import Clock
from roadstead_backends.marathon.emulator.serving.server import Handler

__all__ = ["Node"]


class Node(Handler):
    """The instance of an ensemble at one address (``host:port``)."""

    def __init__(self, ensemble: Ensemble, address: str, clock: Clock) -> None:
        self._ensemble = ensemble
        self._address = address
        self._clock = clock

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        with self._clock.moment():
            return self._ensemble.answer(self._address, request)

    async def stream(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send events for as long as the listener reads and this instance leads."""
        if not self._ensemble.is_stream(self._address, request):
            return False
        writer.write(head(self._ensemble.skin(self._address).common(), formatdate(usegmt=True)))
        with self._clock.moment():
            stream = self._ensemble.streams.attach(request.client, request.values("event_type"))
        try:
            await _pour(stream, reader, writer)
        finally:
            with self._clock.moment():
                self._ensemble.streams.detach(stream)
        return True


async def _pour(stream: EventStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    more = asyncio.Event()
    stream.woken = more.set
    gone = asyncio.ensure_future(reader.read(1))
    try:
        more.set()
        while not gone.done():
            woken = asyncio.ensure_future(more.wait())
            await asyncio.wait((woken, gone), timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            data = stream.taken() if more.is_set() else HEARTBEAT
            more.clear()
            writer.write(data)
            await _drained(stream, writer)
            if stream.overrun:
                writer.transport.abort()
                return
    finally:
        gone.cancel()


async def _drained(stream: EventStream, writer: asyncio.StreamWriter) -> None:
    """Wait until the listener has read, or too much waits for it."""
    draining = asyncio.ensure_future(writer.drain())
    while not draining.done() and not stream.overrun:
        await asyncio.wait((draining,), timeout=0.5)
    if not draining.done():
        draining.cancel()
