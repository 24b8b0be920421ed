"""HTTP/1.1 on a socket, as Jetty speaks it.

uvicorn and starlette cannot do it: they have their own words in the status line, and send chunks where Jetty's servlet
of events sends none and ends with the connection. So this stands on h11 itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from email.utils import formatdate
from typing import Final
from urllib.parse import parse_qsl, unquote

import h11

from roadstead_backends.marathon.emulator.http.messages import Answer, Request, html_error, reason_of, wired

__all__ = ["Handler", "Serving"]

_LOG: Final = logging.getLogger(__name__)
_CHUNK: Final = 65_536
_LONGEST_BODY: Final = 64 << 20
_IDLE: Final = 30.0
"""Seconds after which Jetty closes a connection on which nothing is asked."""


class Handler:
    """What is behind a socket."""

    def answer(self, request: Request) -> Answer:
        """Answer one request."""
        raise NotImplementedError

    async def stream(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:  # noqa: ARG002
        """Take over the connection if the request is for a stream; say whether it was."""
        return False


class Serving:
    """One handler on one address."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return where, which for port 0 the system chose."""
        self._server = await asyncio.start_server(self._converse, host, port, backlog=512)
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address

    async def close(self) -> None:
        """Listen no more, and hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        if self._server is not None:
            await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                await _Conversation(self._handler, reader, writer).go_on()
        finally:
            self._open.discard(writer)
            writer.close()


class _Conversation:
    """Requests and answers on one connection."""

    def __init__(self, handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handler = handler
        self._reader = reader
        self._writer = writer
        self._connection = h11.Connection(h11.SERVER)
        peer = writer.get_extra_info("peername")
        self._client = peer[0] if peer else "127.0.0.1"

    async def go_on(self) -> None:
        """Answer until either side has enough."""
        while True:
            try:
                request = await self._asked()
            except h11.RemoteProtocolError as error:
                await self._send(html_error(error.error_status_hint, "/", "Bad Request"), "GET", last=True)
                return
            if request is None:
                return
            if await self._handler.stream(request, self._reader, self._writer):
                return
            await self._send(self._answered(request), request.method)
            if self._connection.our_state is not h11.DONE or self._connection.their_state is not h11.DONE:
                return
            self._connection.start_next_cycle()

    def _answered(self, request: Request) -> Answer:
        try:
            return self._handler.answer(request)
        except Exception:  # noqa: BLE001  # the last frame: whoever asked gets an answer in every case
            _LOG.exception("no answer to %s %s", request.method, request.uri)
            return html_error(500, request.uri, "Server Error")

    async def _asked(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                if self._connection.they_are_waiting_for_100_continue:
                    await self._write(h11.InformationalResponse(status_code=100, headers=[]))
                data = await asyncio.wait_for(self._reader.read(_CHUNK), _IDLE)
                self._connection.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _LONGEST_BODY:
                    raise h11.RemoteProtocolError("too long", 413)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _read(head, bytes(body), self._client)
            else:
                return None

    async def _send(self, answer: Answer, method: str, *, last: bool = False) -> None:
        headers = [("Date", formatdate(usegmt=True)), *wired(answer)]
        if last:
            headers.append(("Connection", "close"))
        reason = answer.reason if answer.reason is not None else reason_of(answer.status)
        head = h11.Response(
            status_code=answer.status,
            headers=[(name.encode(), value.encode("latin-1", "replace")) for name, value in headers],
            reason=reason.encode(),
        )
        data = self._connection.send(head) or b""
        if answer.body and method != "HEAD":
            data += self._connection.send(h11.Data(data=answer.body)) or b""
        data += self._connection.send(h11.EndOfMessage()) or b""
        self._writer.write(data)
        await self._writer.drain()

    async def _write(self, event: h11.InformationalResponse) -> None:
        self._writer.write(self._connection.send(event) or b"")
        await self._writer.drain()


def _read(head: h11.Request, body: bytes, client: str) -> Request:
    target = head.target.decode("latin-1")
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text
    return Request(
        method=head.method.decode("latin-1"),
        path=unquote(path),
        uri=path,
        query=parse_qsl(query, keep_blank_values=True),
        headers=headers,
        body=body,
        client=client,
    )
