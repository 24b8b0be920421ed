"""One HTTP/1.1 connection in an asyncio loop that sends a request and waits for its answer, one at a time.

The bytes are h11's to read: it knows chunks, interim answers and connections that the server wants to close. No other
client in the environment costs as little for each request, but for one that believes everything a server says.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

import attrs
import h11

__all__ = ["Answer", "Broken", "Connection", "Peer"]

_READY: Final = (h11.IDLE, h11.IDLE)


class Broken(Exception):
    """The connection ended, or what came over it is no HTTP, before the answer was complete."""


@attrs.frozen
class Answer:
    """A complete answer."""

    status: int
    body: bytes


@attrs.frozen(kw_only=True)
class Peer:
    """Where to connect, and with TLS the name that must be in its certificate."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str


class Connection(asyncio.Protocol):
    """A connection; after an answer it takes the next request if :attr:`is_open`."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._status = 0
        self._parts: list[bytes] = []

    @classmethod
    async def to(cls, peer: Peer) -> Connection:
        """Return an open connection; raises ``OSError``."""
        loop = asyncio.get_running_loop()
        name = peer.server_name if peer.tls is not None else None
        _, made = await loop.create_connection(cls, peer.host, peer.port, ssl=peer.tls, server_hostname=name)
        return made

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent over it."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: h11.Request, body: bytes) -> Answer:
        """Send a request and return its answer; raises :class:`Broken`. When cancelled, the connection is closed."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._parts = []
        sent = [self._http.send(request), self._http.send(h11.Data(data=body)), self._http.send(h11.EndOfMessage())]
        self._transport.write(b"".join(part for part in sent if part))
        try:
            return await self._answer
        finally:
            self._answer = None
            if (self._http.our_state, self._http.their_state) != _READY:
                self.close()

    def close(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    # ---- what asyncio calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._read(data)

    def eof_received(self) -> None:
        """Read the end: some answers are complete only then."""
        self._read(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        self._end(Broken(str(exc) if exc is not None else "the server closed the connection"))

    def _read(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while self._take(self._http.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            self._end(Broken(str(error)))
            self.close()

    def _take(self, event: object) -> bool:
        """Do what an event asks for, and return whether there may be another one."""
        if isinstance(event, h11.Response):
            self._status = event.status_code
        elif isinstance(event, h11.Data):
            self._parts.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
                self._http.start_next_cycle()
            self._end(Answer(self._status, b"".join(self._parts)))
        else:  # more data is needed, more than was asked for came, or the server has closed the connection
            if isinstance(event, h11.ConnectionClosed):
                self.close()
            return False
        return True

    def _end(self, how: Answer | Broken) -> None:
        if self._answer is None or self._answer.done():
            return
        if isinstance(how, Broken):
            self._answer.set_exception(how)
        else:
            self._answer.set_result(how)
