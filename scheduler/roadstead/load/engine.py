"""The loop that sends: one thread, one asyncio loop, a task for each request on its way."""

from __future__ import annotations

import asyncio
import gc
import itertools
import selectors
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import attrs

from roadstead.load.course import Closed, Course, Open, due_times
from roadstead.load.record import MISSING, WRONG, Outcome, Record
from roadstead.spi.load import OK, Caller

__all__ = ["MOST_CONNECTIONS", "Measured", "Watch", "measure"]

MOST_CONNECTIONS: Final = 500
"""More cannot be waited for: select(2) takes file descriptors below 1024 only."""

_CONNECT_WITHIN: Final = 10.0
_SLACK: Final = 1.0
"""Seconds after its deadline in which a request must have ended; a caller that breaks its word is not waited for."""
_LOOK_EVERY: Final = 1.0
_REST: Final = 0.01
"""Seconds that a client of a closed loop waits after a failure: a dead server can be asked as fast as a CPU goes."""

T = TypeVar("T")
Watch = Callable[[Record, float], None]


@attrs.frozen(kw_only=True)
class Measured:
    """A measurement that is over.

    It began ``started_at`` seconds after the epoch and lasted for ``seconds``; the warm-up came before. ``cpu`` is how
    much of a core this process used, from the first request of the warm-up to the last answer.
    """

    record: Record
    started_at: float
    seconds: float
    cpu: float
    interrupted: bool


def measure(
    caller: Caller,
    course: Course,
    *,
    requests: int,
    every: float,
    begins: Callable[[], None] = lambda: None,
    watch: Watch | None = None,
) -> Measured:
    """Connect, send requests 0 to ``requests - 1`` in turn as ``course`` says, and return what became of them.

    SIGINT ends it early: what is on its way then stays in flight in the accounts. ``begins`` is called when it is
    connected, just before the first request; ``watch`` is called every second with what there is so far and with the
    seconds since the measurement began, which are negative in the warm-up. Raises what
    :meth:`~roadstead.spi.load.Caller.connect` raises. For the main thread only.
    """
    work = _measure(caller, course, requests=requests, every=every, begins=begins, watch=watch)
    # The default selector rounds every wait up to a whole millisecond; select(2) has microseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(work)


async def _measure(
    caller: Caller,
    course: Course,
    *,
    requests: int,
    every: float,
    begins: Callable[[], None],
    watch: Watch | None,
) -> Measured:
    record = Record(every=every)  # before anything else: it may be that its library is missing
    try:
        await caller.connect(within=_CONNECT_WITHIN)
        begins()
        # What is there by now would be looked through by every full collection, and that halts us for milliseconds.
        gc.collect()
        gc.freeze()
        sender = _Sender(caller, course, record, requests)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, sender.interrupt)
        try:
            return await sender.run(watch)
        finally:
            gc.unfreeze()
            loop.remove_signal_handler(signal.SIGINT)
    finally:
        await caller.close()


class _Sender:
    """Sends each request when it is due and writes into the record what becomes of it."""

    def __init__(self, caller: Caller, course: Course, record: Record, requests: int) -> None:
        self._caller = caller
        self._course = course
        self._record = record
        self._numbers = itertools.cycle(range(requests))
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time() + course.warm_up
        self._flying: dict[asyncio.Task[bool], float] = {}
        self._working: asyncio.Task[None] | None = None
        self._sending = True
        self._interrupted = False
        self._broken: BaseException | None = None

    async def run(self, watch: Watch | None) -> Measured:
        """Send until the time is over, wait for what is on its way, and return what was measured."""
        began, cpu = time.time(), time.process_time()
        looking = self._guarded(self._look(watch)) if watch is not None else None
        self._working = self._guarded(self._work())
        await asyncio.wait([self._working])
        seconds = self._now()
        await self._abandon()
        if looking is not None:
            looking.cancel()
        if self._broken is not None:
            raise self._broken
        return Measured(
            record=self._record,
            started_at=began + self._course.warm_up,
            seconds=max(0.0, min(seconds, self._course.duration)),
            cpu=(time.process_time() - cpu) / (self._now() + self._course.warm_up),
            interrupted=self._interrupted,
        )

    def interrupt(self) -> None:
        """Send nothing more, and wait for nothing."""
        self._interrupted = True
        self._stop()

    def _stop(self) -> None:
        self._sending = False
        if self._working is not None:
            self._working.cancel()

    def _now(self) -> float:
        return self._loop.time() - self._began

    async def _work(self) -> None:
        if isinstance(self._course.pace, Open):
            await self._send_when_due(self._course.pace)
        else:
            for _ in range(self._course.pace.concurrency):
                self._send(self._now())
        await self._sleep_until(self._course.duration)
        self._sending = False
        if self._flying:
            await asyncio.wait(list(self._flying), timeout=self._course.deadline + _SLACK)

    async def _send_when_due(self, pace: Open) -> None:
        for after in due_times(pace):
            due = after - self._course.warm_up
            if due >= self._course.duration:
                return
            await self._sleep_until(due)
            self._send(due)

    async def _sleep_until(self, due: float) -> None:
        """Return at that moment; where it is over, let everybody else have a turn first."""
        await asyncio.sleep(max(0.0, due - self._now()))

    def _send(self, due: float) -> None:
        self._record.sent(due)
        task = self._guarded(self._exchange(next(self._numbers), due))
        self._flying[task] = due
        task.add_done_callback(self._landed)

    async def _exchange(self, request: int, due: float) -> bool:
        """Send one request, write down what becomes of it, and return whether it was answered at all."""
        self._record.handed_over(due, self._now())
        reply = await self._caller.call(request, within=self._course.deadline)
        at = self._now()
        if reply.code != OK:
            self._record.ended(due, at, Outcome(code=reply.code, detail=reply.detail))
            return False
        judged = self._caller.judge(request, reply)
        code = WRONG if judged.wrong else OK
        self._record.ended(due, at, Outcome(code=code, detail=judged.wrong, version=judged.version))
        return True

    def _landed(self, task: asyncio.Task[bool]) -> None:
        del self._flying[task]
        if not isinstance(self._course.pace, Closed) or task.cancelled() or task.exception() is not None:
            return
        if task.result():
            self._send_next()
        else:
            self._loop.call_later(_REST, self._send_next)

    def _send_next(self) -> None:
        now = self._now()
        if self._sending and now < self._course.duration:
            self._send(now)

    async def _abandon(self) -> None:
        """Let go of what is on its way: it is missing, unless it was us who did not wait."""
        left = dict(self._flying)
        for task, due in left.items():
            # One that has just ended is in the accounts already.
            if task.cancel() and not self._interrupted and self._broken is None:
                detail = f"nothing was heard of it within {self._course.deadline + _SLACK:g}s"
                self._record.ended(due, self._now(), Outcome(code=MISSING, detail=detail))
        if left:
            await asyncio.wait(left)

    async def _look(self, watch: Watch) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            watch(self._record, self._now())

    def _guarded(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return a task whose error ends the measurement: a caller that raises is wrong, and so are the numbers."""
        task = self._loop.create_task(work)
        task.add_done_callback(self._failed)
        return task

    def _failed(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken = error
            self._stop()
