"""The loop that sends, with callers that do exactly what a test needs: the protocol is all that the loop knows."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable

import attrs
import pytest

from roadstead.load.course import Arrivals, Closed, Course, Open
from roadstead.load.engine import Measured, Watch, measure
from roadstead.load.record import Record
from roadstead.spi.load import OK, Judgement, NotConnected, Reply

FINE = Reply(code=OK)


@attrs.define
class Scripted:
    """A caller whose answers are a function of how many calls there were before."""

    answer: Callable[[int], Awaitable[Reply]]
    calls: int = 0
    flying: int = 0
    most: int = 0
    requests: list[int] = attrs.field(factory=list)
    closed: bool = False
    refusal: NotConnected | None = None

    async def connect(self, *, within: float) -> None:  # noqa: ARG002
        """Connect, or not."""
        if self.refusal is not None:
            raise self.refusal

    async def call(self, request: int, *, within: float) -> Reply:  # noqa: ARG002
        """Count and answer."""
        number, self.calls = self.calls, self.calls + 1
        self.requests.append(request)
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            return await self.answer(number)
        finally:
            self.flying -= 1

    def judge(self, request: int, reply: Reply) -> Judgement:  # noqa: ARG002
        """Believe everything."""
        return Judgement(wrong=reply.detail)

    async def close(self) -> None:
        """Note that it was done."""
        self.closed = True


async def soon(number: int) -> Reply:
    """Answer after a millisecond."""
    await asyncio.sleep(0.001)
    return FINE


async def never(number: int) -> Reply:
    """Answer when the test is long over."""
    await asyncio.sleep(3600)
    return FINE


def run(caller: Scripted, course: Course, watch: Watch | None = None) -> Measured:
    """Measure with three requests and rows of 100 ms."""
    measured = measure(caller, course, requests=3, every=0.1, watch=watch)
    account = measured.record.account
    assert account.sent == account.ok + account.failed + account.in_flight
    return measured


def test_an_open_loop_sends_what_is_due_whatever_was_answered() -> None:
    """Fifty a second are sent although no answer ever comes; each is accounted for as missing in the end."""
    caller = Scripted(never)
    course = Course(pace=Open(rate=50, arrivals=Arrivals.CONSTANT), duration=0.4, warm_up=0.0, deadline=0.01)
    account = run(caller, course).record.account
    assert (20, 20, 0) == (account.sent, account.failures["MISSING"], account.in_flight)
    assert "nothing was heard of it within 1.01s" == account.detail("MISSING")
    assert 20 == caller.most
    assert caller.closed


def test_a_stall_makes_every_request_slow_that_waits_behind_it() -> None:
    """The program stops for 300 ms: what was due meanwhile is sent late, and its time is counted from when it was due.

    A client that waits for its answers would have sent one request in that time, and reported one slow answer.
    """

    async def stall_once(number: int) -> Reply:
        if number == 5:
            threading.Event().wait(0.3)  # blocks the loop, as a stopped process or a full CPU does
        return FINE

    course = Course(pace=Open(rate=100, arrivals=Arrivals.CONSTANT), duration=0.8, warm_up=0.0, deadline=5.0)
    record = run(Scripted(stall_once), course).record
    slow = [row for row in record.timeline.rows() if row.p50 is not None and row.p50 > 50]
    summary, late = record.latency.summary(), record.lateness.summary()
    assert 80 == record.account.ok
    assert len(slow) >= 2
    assert summary is not None
    assert late is not None
    assert summary.p90 > 100
    assert late.max >= 280


def test_a_closed_loop_has_so_many_on_their_way_and_never_more() -> None:
    """The next is sent when one is answered; at the end all of them are waited for."""
    caller = Scripted(soon)
    measured = run(caller, Course(pace=Closed(4), duration=0.3, warm_up=0.0, deadline=1.0))
    assert 4 == caller.most
    assert measured.record.account.ok == caller.calls > 8
    assert 0 == measured.record.account.in_flight


def test_a_client_of_a_closed_loop_does_not_run_against_a_closed_door() -> None:
    """Where nothing answers it rests after each failure: else it would take the CPU that a server needs to start."""

    async def refused(number: int) -> Reply:
        return Reply(code="UNAVAILABLE")

    measured = run(Scripted(refused), Course(pace=Closed(2), duration=0.3, warm_up=0.0, deadline=1.0))
    assert 2 < measured.record.account.failed <= 2 * 31


def test_requests_are_sent_in_turn() -> None:
    """Each as often as the others."""
    caller = Scripted(soon)
    run(caller, Course(pace=Open(rate=100, arrivals=Arrivals.CONSTANT), duration=0.09, warm_up=0.0, deadline=1.0))
    assert [0, 1, 2] * 3 == caller.requests


def test_the_warm_up_comes_before_the_measurement() -> None:
    """It is sent at the same pace and counted apart."""
    caller = Scripted(soon)
    course = Course(pace=Open(rate=128, arrivals=Arrivals.CONSTANT), duration=0.25, warm_up=0.125, deadline=1.0)
    record = run(caller, course).record
    assert (16, 32, 48) == (record.warm_up.ok, record.account.ok, caller.calls)


def test_a_rate_that_is_too_high_still_lets_answers_in() -> None:
    """A loop that only sends would report that nobody answers."""
    course = Course(pace=Open(rate=1e6, arrivals=Arrivals.CONSTANT), duration=0.001, warm_up=0.0, deadline=5.0)
    caller = Scripted(soon)
    record = run(caller, course).record
    assert 1000 == record.account.ok
    assert caller.most < 1000


@pytest.mark.parametrize("pace", [Open(rate=200), Closed(3)])
def test_an_interruption_ends_it_at_once(pace: Open | Closed) -> None:
    """What is on its way is neither waited for nor called a failure: it stays in flight in the accounts."""

    async def interrupt(number: int) -> Reply:
        if number == 10:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
        return await (soon(number) if number < 10 else never(number))

    measured = run(Scripted(interrupt), Course(pace=pace, duration=60.0, warm_up=0.0, deadline=60.0))
    assert measured.interrupted
    assert measured.seconds < 30
    assert (10, 0) == (measured.record.account.ok, measured.record.account.failed)
    assert measured.record.account.in_flight > 0


def test_an_interruption_also_ends_the_wait_for_the_last_answers() -> None:
    """Who presses Ctrl-C does not want to wait for a deadline of a minute."""

    async def hang(number: int) -> Reply:
        asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
        return await never(number)

    measured = run(Scripted(hang), Course(pace=Closed(1), duration=0.05, warm_up=0.0, deadline=60.0))
    assert measured.interrupted
    assert (1, 0) == (measured.record.account.in_flight, measured.record.account.failed)


def test_ctrl_c_means_what_it_meant_before_when_it_is_over() -> None:
    """The handler goes with the measurement."""
    before = signal.getsignal(signal.SIGINT)
    run(Scripted(soon), Course(pace=Closed(1), duration=0.01, warm_up=0.0, deadline=1.0))
    assert before == signal.getsignal(signal.SIGINT)


def test_a_caller_that_raises_ends_the_measurement_with_its_error() -> None:
    """It is wrong, and so would be every number; a failure of the server is a reply."""

    async def broken(number: int) -> Reply:
        if number == 3:
            raise LookupError("a fault of the plugin")
        return await soon(number)

    caller = Scripted(broken)
    with pytest.raises(LookupError, match="a fault of the plugin"):
        run(caller, Course(pace=Closed(2), duration=60.0, warm_up=0.0, deadline=1.0))
    assert caller.closed


def test_where_nothing_answers_nothing_is_sent() -> None:
    """The refusal is the caller's own, and the caller is closed."""
    caller = Scripted(soon, refusal=NotConnected("nobody is there"))
    with pytest.raises(NotConnected, match="nobody is there"):
        run(caller, Course(pace=Closed(2), duration=1.0, warm_up=0.0, deadline=1.0))
    assert 0 == caller.calls
    assert caller.closed


def test_a_wrong_answer_is_a_failure_with_a_name() -> None:
    """What the caller says of it is kept."""

    async def wrong(number: int) -> Reply:
        await asyncio.sleep(0.001)
        return Reply(code=OK, detail="not this")

    account = run(Scripted(wrong), Course(pace=Closed(1), duration=0.05, warm_up=0.0, deadline=1.0)).record.account
    assert {"WRONG": account.sent} == dict(account.failures)
    assert "not this" == account.detail("WRONG")


def test_whoever_watches_sees_it_every_second() -> None:
    """With what there is so far; in the warm-up the time is negative."""
    seen: list[tuple[float, int]] = []

    def watch(record: Record, now: float) -> None:
        seen.append((now, record.account.sent))

    course = Course(pace=Open(rate=50), duration=1.2, warm_up=1.1, deadline=1.0)
    run(Scripted(soon), course, watch=watch)
    assert [True, False] == [now < 0 for now, _ in seen]
    assert 0 == seen[0][1] < seen[1][1]


def test_what_raises_while_it_watches_is_not_lost() -> None:
    """A fault on the screen is told like any other."""

    def watch(record: Record, now: float) -> None:
        raise OSError("the screen is gone")

    with pytest.raises(OSError, match="the screen is gone"):
        run(Scripted(soon), Course(pace=Closed(1), duration=30.0, warm_up=0.0, deadline=1.0), watch=watch)


def test_an_answer_in_the_last_moment_is_counted_once() -> None:
    """Six requests are answered in the turns of the loop in which it gives up waiting: none is also called missing."""

    async def in_the_last_moment(number: int) -> Reply:
        work = next(one for one in asyncio.all_tasks() if "_Sender._work" in repr(one.get_coro()))
        await asyncio.sleep(0.9)
        while not work.done():  # noqa: ASYNC110  # it is turns of the loop that count here
            await asyncio.sleep(0)
        for _ in range(number):
            await asyncio.sleep(0)
        return FINE

    course = Course(pace=Open(rate=200, arrivals=Arrivals.CONSTANT), duration=0.03, warm_up=0.0, deadline=0.01)
    account = run(Scripted(in_the_last_moment), course).record.account
    assert (6, 0) == (account.sent, account.in_flight)
    assert 6 == account.ok + account.failures["MISSING"]
