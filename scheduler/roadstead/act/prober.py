"""Threads that ask running servers for their model, as :mod:`roadstead.act.probing` says when."""

from __future__ import annotations

import logging
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
        self._waiting: list[Asked] = []
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
                changed = self._book.answered(asked, state, self._clock.monotonic())
            if changed:
                self._wake()

    def _next(self) -> Asked | None:
        """Wait for a server to be due and return it; ``None`` at the end."""
        with self._changed:
            while not self._closed:
                self._waiting.extend(self._book.due(self._clock.monotonic()))
                if self._waiting:
                    return self._waiting.pop(0)
                due = self._book.next_due()
                self._changed.wait(None if due is None else max(0.0, due - self._clock.monotonic()))
            return None

    def _ask(self, asked: Asked) -> ModelState:
        server = asked.server
        runtime = self._runtimes.get(server.template.runtime.name)
        if runtime is None:
            error = f"runtime {server.template.runtime.name!r} is not installed here"
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=error)
        try:
            return runtime.probe(server, timeout=min(TIMEOUT, server.template.health.every))
        except Exception as error:  # a stranger's code: what it raises is no answer
            _LOG.exception("the probe of %s failed", asked.replica)
            text = f"the probe failed: {type(error).__name__}: {error}"
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=text)
