"""One client's connection to the proxy: its requests as they come, and what it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import attrs
import h11

from roadstead.testing.http_faults.rules import Reply

__all__ = ["Answer", "Client", "HangUp", "Headers"]

_PIECE: Final = 1 << 16

Headers = list[tuple[bytes, bytes]]


class HangUp(Exception):
    """The connection to the client ends here and now."""


@attrs.define
class Answer:
    """What the server said: its head, and the pieces of its body as they come."""

    status: int
    headers: Headers
    pieces: AsyncIterator[bytes]


class Client:
    """The client's side of a connection; ``told`` is the status that it was told for the request under way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._reading: asyncio.Task[bytes] | None = None
        self.told: int | None = None

    async def next_request(self) -> h11.Request | None:
        """Return the next request's head, ``None`` where the client has no more."""
        self.told = None
        event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def body(self) -> bytes:
        """Return all of the request's body."""
        pieces = []
        while isinstance(event := await self._event(), h11.Data):
            pieces.append(bytes(event.data))
        return b"".join(pieces)

    async def while_there(self, work: asyncio.Task[None]) -> None:
        """Do ``work``, but not for a client that goes away."""
        reading = self._read()
        work.add_done_callback(_retrieve)
        try:
            await asyncio.wait({work, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and reading.result() == b"":
                raise HangUp
            await work
        finally:
            work.cancel()

    async def gone(self) -> None:
        """Wait until the client goes away, and let nothing through in the meantime."""
        while await self._read():
            self._reading = None

    async def send(self, reply: Reply) -> None:
        """Send an answer that the server did not give."""
        length = {"content-length": str(len(reply.body))}
        headers = [(name.encode(), value.encode()) for name, value in ({**reply.headers, **length}).items()]
        await self._send(h11.Response(status_code=reply.status, headers=headers))
        self.told = reply.status
        await self._send(h11.Data(data=reply.body))
        await self.end()

    async def begin(self, answer: Answer, *, keeps_length: bool) -> None:
        """Send the head of the server's answer; without its length, the body is sent in chunks."""
        headers = [one for one in answer.headers if keeps_length or one[0] != b"content-length"]
        await self._send(h11.Response(status_code=answer.status, headers=headers))
        self.told = answer.status

    async def pass_on(self, data: bytes) -> None:
        """Send a piece of a body at once."""
        if data:
            await self._send(h11.Data(data=data))

    async def end(self) -> None:
        """End an answer well."""
        await self._send(h11.EndOfMessage())

    def goes_on(self) -> bool:
        """Return whether the client may send another request, and be ready for it."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def close(self) -> None:
        """End the connection."""
        if self._reading is not None:
            self._reading.cancel()
        self._writer.close()

    async def _send(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            data = await self._read()
            self._reading = None
            self._http.receive_data(data)
        return event

    def _read(self) -> asyncio.Task[bytes]:
        """Return the one read that is under way: what comes during an answer belongs to the next request."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._reader.read(_PIECE))
        return self._reading


def _retrieve(done: asyncio.Task[None]) -> None:
    """Look at how work ended that nobody waits for any more."""
    if not done.cancelled():
        done.exception()
