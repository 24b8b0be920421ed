"""Where calls come in: how many are inside, and how the server takes leave of those who are still on their way."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

BACKLOG: Final = 0.1
"""Seconds in which calls that have arrived are taken in, however busy we were: the period of a CPU quota."""

LOOK: Final = 0.01
"""Seconds without a new call that count as silence, once the backlog is in."""

LIMIT: Final = 0.5
"""Seconds after which we do not wait for silence any more: who keeps calling would keep us for ever."""


class Door:
    """The calls of one protocol; used from the event loop's thread only."""

    def __init__(self) -> None:
        self._came = 0
        self._inside = 0
        self._nobody = asyncio.Event()
        self._nobody.set()
        self._open = asyncio.Event()
        self._open.set()
        self._closing = False

    @property
    def closing(self) -> bool:
        """Whether the server is about to end: who calls now should call somebody else next time."""
        return self._closing

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call while the block runs."""
        self._came += 1
        self._inside += 1
        self._nobody.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if self._inside == 0:
                self._nobody.set()

    async def admitted(self) -> None:
        """Return once calls that are inside may go on."""
        await self._open.wait()

    def close(self, *, hold: bool = False) -> None:
        """Say that the server is about to end; with ``hold``, let calls that come now wait inside until ``release``."""
        self._closing = True
        if hold:
            self._open.clear()

    def release(self) -> None:
        """Let the calls that wait go on."""
        self._open.set()

    async def silence(self) -> None:
        """Return when those who were on their way are inside and nobody new comes, or when that takes too long."""
        await asyncio.sleep(BACKLOG)
        try:
            async with asyncio.timeout(LIMIT - BACKLOG):
                came = -1
                while came != self._came:
                    came = self._came
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            return

    async def empty(self) -> None:
        """Return once no call is inside."""
        await self._nobody.wait()
