"""What goes on until the caller leaves or the daemon ends: news from another thread, and iterators that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, asynccontextmanager

from roadstead.errors import RoadsteadError

__all__ = ["News", "Streams"]

_CHUNKS_AHEAD = 16
_CHECK_EVERY = 1.0


class News:
    """Waits for something that another thread tells."""

    def __init__(self) -> None:
        self._told = asyncio.Event()
        self.ended = False

    def tell(self) -> None:
        """Wake whoever waits; on the event loop's thread."""
        self._told.set()

    async def wait(self) -> bool:
        """Return once something was told since the last time; whether to go on."""
        await self._told.wait()
        self._told.clear()
        return not self.ended


class Streams:
    """The streams that are open, so that the daemon's end can end them; used on one event loop."""

    def __init__(self) -> None:
        self._open: set[News] = set()
        self._ended = False

    def end(self) -> None:
        """End every stream, and those still to come, where they next wait."""
        self._ended = True
        for news in self._open:
            news.ended = True
            news.tell()

    @asynccontextmanager
    async def news(
        self, listening: Callable[[Callable[[], None]], AbstractContextManager[None]]
    ) -> AsyncIterator[News]:
        """Yield news that are told whenever ``listening`` calls back, from any thread."""
        loop = asyncio.get_running_loop()
        news = News()
        news.ended = self._ended
        if self._ended:
            news.tell()
        self._open.add(news)
        try:
            with listening(lambda: _call_soon(loop, news.tell)):
                yield news
        finally:
            self._open.discard(news)

    async def pumped(self, begin: Callable[[], Iterator[bytes]]) -> AsyncIterator[bytes]:
        """Yield what a blocking iterator yields, read by a thread of its own.

        When nobody reads any more, the thread ends with the iterator's next chunk, an empty one included. An error of
        ours in the middle is the last line.
        """
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_AHEAD)
        left = threading.Event()
        threading.Thread(target=_pump, args=(begin, chunks, loop, left), name="logs", daemon=True).start()
        async with self.news(lambda _: contextlib.nullcontext()) as news:
            end = asyncio.ensure_future(news.wait())
            try:
                while True:
                    get = asyncio.ensure_future(chunks.get())
                    await asyncio.wait({get, end}, return_when=asyncio.FIRST_COMPLETED)
                    chunk = get.result() if get.done() else None
                    get.cancel()
                    if chunk is None:
                        return
                    yield chunk
            finally:
                left.set()
                end.cancel()


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Have ``call`` made on the loop, unless that has ended: then nobody waits for it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def _pump(
    begin: Callable[[], Iterator[bytes]],
    chunks: asyncio.Queue[bytes | None],
    loop: asyncio.AbstractEventLoop,
    left: threading.Event,
) -> None:
    try:
        for chunk in begin():
            if left.is_set() or (chunk and not _put(chunk, chunks, loop, left)):
                return
    except RoadsteadError as error:
        hint = f"; hint: {error.hint}" if error.hint else ""
        _put(f"roadstead: {error}{hint}\n".encode(), chunks, loop, left)
    finally:
        _put(None, chunks, loop, left)


def _put(
    chunk: bytes | None,
    chunks: asyncio.Queue[bytes | None],
    loop: asyncio.AbstractEventLoop,
    left: threading.Event,
) -> bool:
    """Hand one chunk over, waiting for room; return whether somebody still wants more."""
    if left.is_set() or loop.is_closed():
        return False
    handed: Future[None] = asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop)
    while not left.is_set():
        try:
            handed.result(_CHECK_EVERY)
        except TimeoutError:
            continue
        except CancelledError:
            return False  # the loop has ended
        return True
    handed.cancel()
    return False
