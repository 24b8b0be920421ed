"""Probers: one that asks over the network as Marathon's HTTP client does, and one that believes what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Final

from roadstead_backends.marathon.emulator.scheduling.probing import (
    HttpAnswer,
    Outcome,
    Target,
    connection_refused,
    idle_timeout,
)
from roadstead_backends.marathon.emulator.serving.clock import Clock

__all__ = ["Believing", "OverTheNetwork", "ask"]

_AGENT: Final = "akka-http/10.1.11"
_LONGEST: Final = 1 << 20


class Believing:
    """Finds every task well, but those that it is told are not."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, int], Outcome] = {}

    def probe(self, target: Target, done: Callable[[Outcome], None]) -> None:
        """Answer at once."""
        well = Outcome(connected=True, answer=HttpAnswer(status=200, reason="OK"))
        done(self.outcomes.get((target.host, target.port), well))


class OverTheNetwork:
    """Asks for real."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asking: set[asyncio.Task[None]] = set()

    def probe(self, target: Target, done: Callable[[Outcome], None]) -> None:
        """Ask, and tell when it is known."""
        asking = asyncio.get_running_loop().create_task(self._probe(target, done))
        self._asking.add(asking)
        asking.add_done_callback(self._asking.discard)

    async def _probe(self, target: Target, done: Callable[[Outcome], None]) -> None:
        outcome = await ask(target)
        with self._clock.moment():
            done(outcome)

    def close(self) -> None:
        """Ask no more."""
        for asking in tuple(self._asking):
            asking.cancel()


async def ask(target: Target) -> Outcome:
    """What comes of asking once."""
    try:
        async with asyncio.timeout(target.timeout):
            reader, writer = await asyncio.open_connection(target.host, target.port, ssl=_tls(target))
            try:
                if target.scheme == "tcp":
                    return Outcome(connected=True)
                return Outcome(connected=True, answer=await _get(target, reader, writer))
            finally:
                writer.close()
    except TimeoutError:
        return Outcome(failure=idle_timeout(target))
    except (OSError, ValueError, asyncio.IncompleteReadError):
        return Outcome(failure=connection_refused(target))


async def _get(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> HttpAnswer:
    request = f"GET {target.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nUser-Agent: {_AGENT}\r\n"
    writer.write(f"{request}Connection: close\r\n\r\n".encode())
    await writer.drain()
    status = (await reader.readuntil(b"\r\n")).decode("latin-1").rstrip().split(" ", 2)
    headers: dict[str, str] = {}
    while line := (await reader.readuntil(b"\r\n")).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    length = headers.get("content-length", "")
    body = b""
    with contextlib.suppress(asyncio.IncompleteReadError):
        body = await (reader.readexactly(int(length)) if length.isdigit() else reader.read(_LONGEST))
    return HttpAnswer(
        status=int(status[1]),
        reason=status[2] if len(status) > 2 else "",  # version, number, words
        content_type=headers.get("content-type", ""),
        body=body.decode(errors="replace"),
    )


def _tls(target: Target) -> ssl.SSLContext | None:
    if target.scheme != "https":
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
