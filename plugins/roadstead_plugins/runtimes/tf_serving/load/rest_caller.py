"""Calling ``:predict`` over REST: connections that are kept, each with one request at a time."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

import attrs
import h11

from roadstead.spi.load import OK, Destination, Encryption, Judgement, NotConnected, Reply, Unfit, Work
from roadstead_plugins.runtimes.tf_serving.load.http1 import Answer, Broken, Connection, Peer
from roadstead_plugins.runtimes.tf_serving.load.outputs import outputs_of
from roadstead_plugins.runtimes.tf_serving.load.references import References
from roadstead_plugins.runtimes.tf_serving.load.refusals import hint_for

__all__ = ["RestCaller"]

_TEXT: Final = 300


@attrs.define
class _Line:
    """A place for one connection to an address; it is opened again for the next request after it was lost."""

    address: str
    peer: Peer
    connection: Connection | None = None

    async def open(self) -> Connection:
        if self.connection is None or not self.connection.is_open:
            self.connection = await Connection.to(self.peer)
        return self.connection

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


@attrs.frozen
class _Request:
    """A request, ready to be sent: its head for each address, and its body."""

    heads: Mapping[str, h11.Request]
    body: bytes


class RestCaller:
    """Connections to addresses that are used in turn, and never more because they fail faster.

    A request that finds no connection to its address free waits for one, within its deadline.
    """

    def __init__(self, destination: Destination, work: Work) -> None:
        self._model = work.model
        self._references = References.of(work)
        peers = {address: _peer(address, destination.encryption) for address in destination.addresses}
        addresses = itertools.islice(itertools.cycle(destination.addresses), destination.connections)
        self._lines = [_Line(address, peers[address]) for address in addresses]
        self._free: dict[str, asyncio.Queue[_Line]] = {line.address: asyncio.Queue() for line in self._lines}
        self._turns = itertools.cycle(self._free.values())
        path = f"/v1/models/{quote(work.model, safe='')}"
        self._state = _request(destination.addresses, "GET", path, b"")
        bodies = (json.dumps(request).encode() for request in work.requests)
        self._requests = [_request(destination.addresses, "POST", f"{path}:predict", body) for body in bodies]

    async def connect(self, *, within: float) -> None:
        """Open the connections, and make sure that there is a server and that it knows the model."""
        opening = [asyncio.create_task(line.open()) for line in self._lines]
        await asyncio.wait(opening, timeout=within)
        refusals = []
        for line, task in zip(self._lines, opening, strict=True):
            task.cancel()
            if not task.done():
                refusals.append(f"{line.address}: not connected within {within:g}s")
            elif (error := task.exception()) is not None:
                refusals.append(f"{line.address}: {_why(error)}")
            self._free[line.address].put_nowait(line)
        if len(refusals) == len(self._lines):
            told = "; ".join(dict.fromkeys(refusals))
            raise NotConnected(told, hint=hint_for(told, "`roadstead endpoints` lists the addresses"))
        await self._make_sure(within)

    async def call(self, request: int, *, within: float) -> Reply:
        """Send one request."""
        return await self._answer(within, self._requests[request])

    def judge(self, request: int, reply: Reply) -> Judgement:
        """Return what an answer is: it does not say which version gave it, so any version's is right."""
        try:
            outputs = outputs_of(json.loads(reply.body))
        except ValueError as error:
            return Judgement(wrong=f"not an answer to :predict: {error}")
        return self._references.judgement(request, outputs, None)

    async def close(self) -> None:
        """Close every connection."""
        for line in self._lines:
            line.close()
        await asyncio.sleep(0)  # what is closed is told so in the next round of the loop

    async def _make_sure(self, within: float) -> None:
        """Return when one of the addresses has the model."""
        refusals = []
        for _ in self._free:
            found = await self._answer(within, self._state)
            if found.code == OK:
                return
            if found.code == "HTTP 404":
                raise Unfit(f"no model {self._model!r}: {found.detail}", hint="--model names one that the server has")
            refusals.append(f"{found.code}: {found.detail}")
        told = f"asked for the state of model {self._model!r}, no server answered: {'; '.join(refusals)}"
        raise NotConnected(told, hint=hint_for(told))

    async def _answer(self, within: float, request: _Request) -> Reply:
        free = next(self._turns)
        try:
            async with asyncio.timeout(within):
                line = await free.get()
                try:
                    connection = await line.open()
                    return _reply(await connection.ask(request.heads[line.address], request.body))
                except (OSError, Broken) as error:
                    return Reply(code="UNAVAILABLE", detail=f"{line.address}: {_why(error)}")
                finally:
                    free.put_nowait(line)
        except TimeoutError:
            return Reply(code="DEADLINE_EXCEEDED", detail=f"no complete answer within {within:g}s")


def _peer(address: str, encryption: Encryption | None) -> Peer:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if encryption is None:
        return Peer(host=host, port=int(port), tls=None, server_name=host)
    authority = encryption.authority.decode() if encryption.authority is not None else None
    tls = ssl.create_default_context(cadata=authority)
    return Peer(host=host, port=int(port), tls=tls, server_name=encryption.server_name or host)


def _request(addresses: Iterable[str], method: str, path: str, body: bytes) -> _Request:
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    heads = {
        address: h11.Request(method=method, target=path, headers=[("host", address), *headers]) for address in addresses
    }
    return _Request(heads, body)


def _reply(answer: Answer) -> Reply:
    if answer.status == 200:
        return Reply(code=OK, body=answer.body)
    return Reply(code=f"HTTP {answer.status}", detail=answer.body[:_TEXT].decode(errors="replace"))


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
