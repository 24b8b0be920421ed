"""One thread that makes calls to something slow, one after the other, so that nobody else has to wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

__all__ = ["Calls", "Hire", "Worker", "hire"]

R = TypeVar("R")


class Calls(Protocol):
    """Whoever makes calls to something slow, one after the other; :class:`Worker` is one."""

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Have ``call`` made after those before it."""

    def end(self) -> None:
        """Make no more calls once those so far are made."""


class Hire(Protocol):
    """Gives somebody to make calls; where time is simulated, that is nobody with a thread."""

    def __call__(self, name: str, *, chore: Callable[[], None] | None, pause: Callable[[], float]) -> Calls:
        """Return who makes the calls, and ``chore`` besides, as :class:`Worker` says."""


class Worker:
    """Makes the calls that it is given in their order, on a thread of its own.

    With a ``chore``, that is called besides, whenever no call came for as many seconds as ``pause`` said after the last
    one; neither may raise. A call that does not come back keeps the thread, and all that was to follow waits.
    """

    def __init__(
        self, name: str, *, chore: Callable[[], None] | None = None, pause: Callable[[], float] = lambda: 1.0
    ) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._chore = chore
        self._pause = pause
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Have ``call`` made after those before it."""
        future: Future[R] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001  # whoever asked gets it, whatever it is
                future.set_exception(error)

        self._calls.put(run)
        return future

    def end(self) -> None:
        """End the thread once the calls so far are done; does not wait for that."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call()

    def _next(self) -> Callable[[], None] | None:
        """Return what is to be done next, or ``None`` at the end."""
        if self._chore is None:
            return self._calls.get()
        try:
            return self._calls.get(timeout=self._pause())
        except queue.Empty:
            return self._chore


def hire(name: str, *, chore: Callable[[], None] | None, pause: Callable[[], float]) -> Calls:
    """Return a worker with a thread of its own."""
    return Worker(name, chore=chore, pause=pause)
