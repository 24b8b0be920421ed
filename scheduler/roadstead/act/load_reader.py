"""A thread that reads what servers count of their own requests, as :mod:`roadstead.act.load_book` says when."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from roadstead.act.clock import Clock
from roadstead.act.load_book import LoadBook
from roadstead.act.probing import Asked
from roadstead.spi.runtime import MeasuresLoad, Runtime
from roadstead.traffic import ServerLoad, ServerReading
from roadstead.units import Duration
from roadstead.world import NO_SERVER_LOADS

__all__ = ["NO_LOADS", "LoadReader", "Loads"]

_LOG = logging.getLogger(__name__)

TIMEOUT = Duration(1_000)
"""How long a server that says nothing holds up the others."""


class Loads(Protocol):
    """What an observer needs of whoever reads the load of servers."""

    @property
    def readings(self) -> Mapping[str, ServerReading]:
        """What servers say of their own load, by replica id."""

    def follow(self, servers: Callable[[], Iterable[Asked]]) -> None:
        """Read exactly these servers from now on."""

    def close(self) -> None:
        """Read no more."""


class _NoLoads:
    """For whoever looks only once: a counter says nothing until it was read twice."""

    readings = NO_SERVER_LOADS

    def follow(self, servers: Callable[[], Iterable[Asked]]) -> None:
        """Read none of them."""

    def close(self) -> None:
        """Nothing is open."""


NO_LOADS: Loads = _NoLoads()


class LoadReader:
    """Reads servers one after the other on a thread of its own, slowly, and tells nobody: who looks finds the newest.

    It is a second source, and no turn waits for it or is made because of it: :meth:`follow` and :attr:`readings` take
    no longer for many servers than for one. The thread is started when there is something that may be read.
    """

    def __init__(self, runtimes: Mapping[str, Runtime], clock: Clock) -> None:
        self._measuring = MappingProxyType(
            {name: runtime for name, runtime in runtimes.items() if isinstance(runtime, MeasuresLoad)}
        )
        self._clock = clock
        self._readings: Mapping[str, ServerReading] = NO_SERVER_LOADS
        self._wanted: Callable[[], Iterable[Asked]] | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._said: set[str] = set()
        self._closed = False

    @property
    def readings(self) -> Mapping[str, ServerReading]:
        """What servers say of their own load, by replica id; the same object as long as none was read."""
        return self._readings

    def follow(self, servers: Callable[[], Iterable[Asked]]) -> None:
        """Read exactly these servers from now on; ``servers`` is called on the reader's thread."""
        if not self._measuring:
            return
        with self._changed:
            self._wanted = servers
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._work, name="load", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Read no more; an answer that is still awaited is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(TIMEOUT.seconds + 1.0)

    def _work(self) -> None:
        book = LoadBook()
        while self._wait(book):
            asked = book.due(self._clock.monotonic())
            if asked is not None:
                load = self._read(asked)
                book.answered(asked, load, self._clock.monotonic(), self._clock.now())
            self._readings = book.readings

    def _wait(self, book: LoadBook) -> bool:
        """Wait until a server is due or others are to be read; false at the end."""
        with self._changed:
            while not self._closed and self._wanted is None:
                due = book.next_due()
                left = due - self._clock.monotonic() if due is not None else None
                if left is not None and left <= 0:
                    return True
                self._changed.wait(left)
            wanted, self._wanted = self._wanted, None
            if self._closed or wanted is None:
                return False
        measured = (asked for asked in wanted() if asked.server.template.runtime.name in self._measuring)
        book.follow(measured, self._clock.monotonic())
        return True

    def _read(self, asked: Asked) -> ServerLoad | None:
        name = asked.server.template.runtime.name
        try:
            return self._measuring[name].load(asked.server, timeout=TIMEOUT)
        except Exception as error:  # noqa: BLE001  # a stranger's code: what it raises is no answer
            text = f"the load cannot be read: {type(error).__name__}: {error}"
            if text not in self._said:
                self._said.add(text)
                _LOG.warning("the load of %s cannot be read", asked.replica, exc_info=True)
            return None
