"""Threads that ask running servers for their model, as :mod:`roadstead.act.probing` says when."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from roadstead.act.clock import Clock
from roadstead.act.probing import Asked, ProbeBook
from roadstead.spi.runtime import Runtime
from roadstead.units import Duration
from roadstead.world import ModelState, ModelStatus

__all__ = ["Prober", "Probes"]

_LOG = logging.getLogger(__name__)

TIMEOUT = Duration(3_000)
THREADS = 4


class Probes(Protocol):
    """What an observer needs of whoever asks servers for their model."""

    @property
    def states(self) -> Mapping[str, ModelState]:
        """The word about each replica's model, by replica id; the same object as long as no word changed."""

    def follow(self, servers: Iterable[Asked]) -> None:
        """Ask exactly these servers from now on."""

    def settle(self) -> None:
        """Wait until every server has been asked once, and no longer than one of them may take to answer."""

    def close(self) -> None:
        """Ask no more."""


class Prober:
    """Asks servers from a few threads, and calls ``wake`` when the word about one changed.

    A thread that waits for a silent server is held up for :data:`TIMEOUT` at most. Threads are made when the first
    server is to be asked: a look at an empty fleet starts none.
    """

    def __init__(self, runtimes: Mapping[str, Runtime], wake: Callable[[], None], clock: Clock) -> None:
        self._runtimes = runtimes
        self._wake = wake
        self._clock = clock
        self._book = ProbeBook()
        self._watched = math.inf
        self._said: set[str] = set()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._closed = False

    @property
    def states(self) -> Mapping[str, ModelState]:
        """The word about each replica's model, by replica id."""
        return self._book.states

    def follow(self, servers: Iterable[Asked]) -> None:
        """Ask exactly these servers from now on."""
        with self._changed:
            wanted = tuple(servers)
            self._book.follow(wanted, self._clock.monotonic())
            while len(self._threads) < min(THREADS, len(wanted)):
                thread = threading.Thread(target=self._work, name=f"probe-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify_all()

    def settle(self) -> None:
        """Wait until every server has been asked once, and no longer than one of them may take to answer."""
        with self._changed:
            self._changed.wait_for(lambda: self._book.is_complete or self._closed, TIMEOUT.seconds)

    def close(self) -> None:
        """Ask no more; an answer that is still awaited is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(TIMEOUT.seconds + 1.0)

    def _work(self) -> None:
        while (asked := self._next()) is not None:
            state = self._ask(asked)
            with self._changed:
                was_complete = self._book.is_complete
                changed = self._book.answered(asked, state, self._clock.monotonic())
                if not was_complete and self._book.is_complete:
                    self._changed.notify_all()
            if changed:
                self._wake()

    def _next(self) -> Asked | None:
        """Wait for a server to be due and return it; ``None`` at the end.

        One thread at a time watches the clock, for what is due first; the others sleep until there is something for
        them.
        """
        with self._changed:
            while not self._closed:
                asked = self._book.due(self._clock.monotonic())
                if asked is not None:
                    self._changed.notify()
                    return asked
                due = self._book.next_due()
                if due is None or due >= self._watched:
                    self._changed.wait()
                    continue
                self._watched = due
                self._changed.wait(max(0.0, due - self._clock.monotonic()))
                if self._watched == due:
                    self._watched = math.inf
            return None

    def _ask(self, asked: Asked) -> ModelState:
        server = asked.server
        runtime = self._runtimes.get(server.template.runtime.name)
        if runtime is None:
            error = f"runtime {server.template.runtime.name!r} is not installed here"
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=error)
        try:
            return runtime.probe(server, timeout=min(TIMEOUT, server.template.health.every))
        except Exception as error:  # noqa: BLE001  # a stranger's code: what it raises is no answer
            text = f"the probe failed: {type(error).__name__}: {error}"
            if text not in self._said:
                self._said.add(text)
                _LOG.warning("the probe of %s failed", asked.replica, exc_info=True)
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=text)
