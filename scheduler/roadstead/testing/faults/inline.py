"""What stands for threads where time is simulated: whoever is asked does it here and now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

from roadstead.act.prober import Prober
from roadstead.act.probing import Asked
from roadstead.act.worker import Calls

__all__ = ["InlineProber", "InlineWorkers"]

R = TypeVar("R")


class _InlineWorker:
    """Makes each call when it is asked to; whatever is no :class:`Exception` goes straight to whoever asked."""

    def submit(self, call: Callable[[], R]) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001  # whoever asked gets it, whatever it is
            future.set_exception(error)
        return future

    def end(self) -> None:
        pass


class InlineWorkers:
    """Gives workers without threads; :meth:`idle` is when they would do their chores."""

    def __init__(self) -> None:
        self._chores: list[Callable[[], None]] = []

    def hire(self, name: str, *, chore: Callable[[], None] | None, pause: Callable[[], float]) -> Calls:  # noqa: ARG002
        """Return a worker that makes calls at once; nobody sees its name, and it pauses as long as nobody is idle."""
        if chore is not None:
            self._chores.append(chore)
        return _InlineWorker()

    def idle(self) -> None:
        """Have every chore done once."""
        for chore in self._chores:
            chore()


class InlineProber(Prober):
    """The prober without its threads: servers that are due are asked by :meth:`idle`."""

    def follow(self, servers: Iterable[Asked]) -> None:
        """Ask exactly these servers from now on."""
        self._book.follow(tuple(servers), self._clock.monotonic())

    def settle(self) -> None:
        """Ask every server that was not asked yet."""
        self.idle()

    def idle(self) -> None:
        """Ask every server that is due."""
        while (asked := self._book.due(self._clock.monotonic())) is not None:
            if self._book.answered(asked, self._ask(asked), self._clock.monotonic()):
                self._wake()
