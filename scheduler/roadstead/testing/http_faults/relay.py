"""What goes through the proxy: requests to the server, the answers back, and the faults in between."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import attrs
import h11

from roadstead.testing.http_faults.client import Answer, Client, HangUp, Headers
from roadstead.testing.http_faults.rules import (
    Delay,
    Exchange,
    Fault,
    LoseReply,
    LoseRequest,
    Reply,
    Rule,
    Script,
    Stale,
)
from roadstead.testing.http_faults.shaping import Next, Shaping

__all__ = ["Live", "Relay", "Upstream"]

_PIECE: Final = 1 << 16
_GOODBYE_S: Final = 1.0
_REMEMBERED: Final = 64
_REMEMBERED_BYTES: Final = 64 << 20
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)


@attrs.frozen(kw_only=True)
class Upstream:
    """Where the server is; ``tls`` is what it is trusted by, ``None`` for plain HTTP."""

    host: str
    port: int
    tls: ssl.SSLContext | None


@attrs.define(eq=False)
class Live:
    """A request on its way; ``ordered`` is what is to become of its connection, once somebody said so."""

    method: str
    target: str
    task: asyncio.Task[None]
    ordered: Next = Next.MORE
    status: int | None = None


@attrs.define
class Relay:
    """What all connections share: the server, the script, what is under way, and earlier answers for stale ones.

    ``lock`` guards the script, which tests read from their own thread; ``moved`` is called when something happened.
    """

    upstream: Upstream
    script: Script
    lock: threading.RLock
    moved: Callable[[], None]
    live: set[Live] = attrs.field(factory=set, init=False)
    _serving: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)
    _earlier: OrderedDict[str, deque[Reply]] = attrs.field(factory=OrderedDict, init=False)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the requests of a new client from now on."""
        serving = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def end(self) -> None:
        """End all connections."""
        serving = tuple(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one client's requests, one after the other, until one of the three of us ends it."""
        # What was passed on has left us, also when we hang up next. (0 is no limit that asyncio's TLS can do.)
        writer.transport.set_write_buffer_limits(high=1, low=0)
        client = Client(reader, writer)
        try:
            while (request := await client.next_request()) is not None:
                await self._carry(client, request)
                if not client.goes_on():
                    break
        except (HangUp, h11.ProtocolError, OSError, EOFError):
            writer.transport.abort()
        finally:
            client.close()
            await _closed(writer)

    async def _carry(self, client: Client, request: h11.Request) -> None:
        """Carry one request; ends early where the client goes away, or a test says so."""
        body = await client.body()
        task = asyncio.current_task()
        assert task is not None
        method, target = request.method.decode(), request.target.decode()
        with self.lock:
            rule = self.script.meets(method, target)
        work = asyncio.create_task(self._answer(client, request, body, rule))
        live = Live(method, target, work)
        self.live.add(live)
        try:
            await client.while_there(work)
        except asyncio.CancelledError:
            if live.ordered is Next.MORE:
                raise
            if live.ordered is Next.SILENCE:
                await client.gone()
            raise HangUp from None
        finally:
            self.live.discard(live)
            with self.lock:
                fault = rule.fault if rule is not None else None
                self.script.note_exchange(Exchange(method=method, target=target, status=client.told, fault=fault))
            self.moved()

    async def _answer(self, client: Client, request: h11.Request, body: bytes, rule: Rule | None) -> None:
        """Have the client answered as the fault that the request meets wants it."""
        target = request.target.decode()
        applied = _Applied(self, rule, request.method.decode(), target)
        match applied.fault:
            case Delay(by=by):
                await asyncio.sleep(by.seconds)
                applied()
            case LoseRequest():
                applied()
                raise HangUp
            case Reply() as reply:
                await client.send(reply)
                applied()
                return
            case Stale(back=back) if (earlier := self._before(target, back)) is not None:
                await client.send(earlier)
                applied()
                return
        async with self._asked(request, body) as answer:
            if isinstance(applied.fault, LoseReply):
                async for _ in answer.pieces:
                    pass
                applied()
                if applied.fault.instead is None:
                    raise HangUp
                await client.send(applied.fault.instead)
                return
            await self._pass_on(client, request, answer, applied)

    async def _pass_on(self, client: Client, request: h11.Request, answer: Answer, applied: _Applied) -> None:
        """Pass an answer on piece by piece, as its fault shapes it."""
        shaping = Shaping(applied.fault)
        memory = bytearray()
        await client.begin(answer, keeps_length=not shaping.changes_length())
        begun = shaping.begin()
        await client.pass_on(begun.data)
        then = begun.next
        if then is Next.MORE:
            async for piece in answer.pieces:
                shaped = shaping.pass_on(piece)
                await client.pass_on(shaped.data)
                then = shaped.next
                if then is not Next.MORE:
                    break
                if len(memory) <= _REMEMBERED_BYTES:
                    memory += piece
        if then is not Next.MORE:
            applied()
        if then is Next.CUT:
            raise HangUp
        if then is Next.SILENCE:
            await client.gone()
            raise HangUp
        await client.end()
        if then is Next.MORE and request.method == b"GET" and answer.status == 200:
            self._remember(request.target.decode(), answer, bytes(memory))

    # ---- earlier answers ----

    def _before(self, target: str, back: int) -> Reply | None:
        earlier = self._earlier.get(target, ())
        return earlier[-back] if len(earlier) >= back else None

    def _remember(self, target: str, answer: Answer, body: bytes) -> None:
        if len(body) > _REMEMBERED_BYTES:
            return
        kept = {name.decode(): value.decode() for name, value in answer.headers if name != b"content-length"}
        self._earlier.setdefault(target, deque(maxlen=4)).append(Reply(answer.status, body, kept))
        self._earlier.move_to_end(target)
        if len(self._earlier) > _REMEMBERED:
            self._earlier.popitem(last=False)

    # ---- the server ----

    @contextlib.asynccontextmanager
    async def _asked(self, request: h11.Request, body: bytes) -> AsyncIterator[Answer]:
        """Ask the server, on a connection of its own, and give back what it says."""
        reader, writer = await asyncio.open_connection(self.upstream.host, self.upstream.port, ssl=self.upstream.tls)
        try:
            http = h11.Connection(h11.CLIENT)
            headers = [*_passed_on(request.headers), (b"connection", b"close")]
            writer.write(http.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b"")
            if body:
                writer.write(http.send(h11.Data(data=body)) or b"")
            writer.write(http.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            head = await _next_event(http, reader)
            while isinstance(head, h11.InformationalResponse):
                head = await _next_event(http, reader)
            if not isinstance(head, h11.Response):
                raise HangUp
            yield Answer(head.status_code, _passed_on(head.headers), _pieces(http, reader))
        finally:
            writer.transport.abort()
            await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Wait until a connection is closed; one that its other side keeps from that is ended."""
    try:
        await asyncio.wait_for(writer.wait_closed(), _GOODBYE_S)
    except TimeoutError:
        writer.transport.abort()
    except (OSError, EOFError):
        pass  # it is closed, and not well


async def _pieces(http: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while isinstance(event := await _next_event(http, reader), h11.Data):
        yield bytes(event.data)
    if not isinstance(event, h11.EndOfMessage):
        raise HangUp


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(_PIECE))
    return event


def _passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    return [(bytes(name), bytes(value)) for name, value in headers if bytes(name) not in _HOP_BY_HOP]


@attrs.define
class _Applied:
    """Says that a rule's fault happened to a request."""

    relay: Relay
    rule: Rule | None
    method: str
    target: str

    @property
    def fault(self) -> Fault | None:
        """The fault that it meets."""
        return self.rule.fault if self.rule is not None else None

    def __call__(self) -> None:
        if self.rule is not None:
            with self.relay.lock:
                self.relay.script.note_applied(self.rule, self.method, self.target)
            self.relay.moved()
