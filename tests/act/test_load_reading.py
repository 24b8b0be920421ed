"""When servers are read for their own load, what two readings come to, and the thread that does it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.clock import SystemClock
from roadstead.act.load_book import APART, EVERY, LoadBook
from roadstead.act.load_reader import LoadReader
from roadstead.act.probing import Asked
from roadstead.spi.runtime import Server
from roadstead.traffic import ServerLoad
from roadstead.units import Duration
from roadstead.world import Endpoint
from roadstead_backends.simulated.network import SimulatedRuntime
from tests.act.scene import template

IDLE = ServerLoad(ok=0, failed=0, latency=0.0)


def _asked(replica: str = "r1", incarnation: str = "i1") -> Asked:
    endpoint = Endpoint(host="127.0.0.2", grpc=8500, rest=8501)
    return Asked(replica, Server(endpoint=endpoint, template=template(), incarnation=incarnation))


def _answer(book: LoadBook, load: ServerLoad | None, now: float) -> None:
    asked = book.due(now)
    assert asked is not None
    book.answered(asked, load, now, at=int(now * 1000))


# ---- what is known ----


def test_one_reading_says_what_was_counted_and_no_rate() -> None:
    """A rate takes two; until then it is unknown, and not 0."""
    book = LoadBook()
    book.follow([_asked()], 0.0)
    _answer(book, IDLE, 0.0)
    assert None is book.readings["r1"].mean
    assert IDLE == book.readings["r1"].counted


def test_a_second_reading_gives_the_mean_over_the_time_between() -> None:
    """It says how long that was, and when it was."""
    book = LoadBook()
    book.follow([_asked()], 0.0)
    _answer(book, IDLE, 0.0)
    _answer(book, ServerLoad(ok=50, failed=10, latency=1_000.0), EVERY.seconds)
    reading = book.readings["r1"]
    assert reading.mean is not None
    assert (12.0, 2.0, 20.0) == (reading.mean.rate, reading.mean.error_rate, reading.mean.latency)
    assert (EVERY.seconds, EVERY.ms) == (reading.seconds, reading.at)


def test_a_server_that_cannot_be_read_is_unknown_until_it_is_read_again() -> None:
    """What it said last is not shown as if it were so now; then its mean is over all the time that nobody knew."""
    book = LoadBook()
    book.follow([_asked()], 0.0)
    _answer(book, IDLE, 0.0)
    _answer(book, None, 5.0)
    assert {} == book.readings
    _answer(book, ServerLoad(ok=20, failed=0, latency=20.0), 10.0)
    reading = book.readings["r1"]
    assert reading.mean is not None
    assert (10.0, 2.0) == (reading.seconds, reading.mean.rate)


def test_another_process_of_the_same_replica_begins_anew() -> None:
    """Its counters are its own, also where they are higher, and it is read at once."""
    book = LoadBook()
    book.follow([_asked()], 0.0)
    _answer(book, ServerLoad(ok=5, failed=0, latency=5.0), 0.0)
    book.follow([_asked(incarnation="i2")], 1.0)
    assert {} == book.readings
    _answer(book, ServerLoad(ok=500, failed=0, latency=500.0), 1.0)
    assert "i2" == book.readings["r1"].incarnation
    assert None is book.readings["r1"].mean


def test_an_answer_of_a_process_that_is_gone_is_dropped() -> None:
    """It was on its way when the replica was restarted, or went."""
    for after in ([_asked(incarnation="i2")], []):
        book = LoadBook()
        book.follow([_asked()], 0.0)
        asked = book.due(0.0)
        assert asked is not None
        book.follow(after, 0.1)
        book.answered(asked, IDLE, 0.2, at=200)
        assert {} == book.readings


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.floats(0, 1e4), st.booleans()), max_size=20))
def test_no_rate_is_ever_negative(readings: list[tuple[int, int, float, bool]]) -> None:
    """Whatever a server says, also one whose counters fall although it is the same process, or that is silent."""
    book = LoadBook()
    book.follow([_asked()], 0.0)
    for number, (ok, failed, latency, silent) in enumerate(readings):
        _answer(book, None if silent else ServerLoad(ok=ok, failed=failed, latency=latency), EVERY.seconds * number)
        assert silent == ("r1" not in book.readings)
        for reading in book.readings.values():
            if reading.mean is not None:
                mean = reading.mean
                assert all(one is None or one >= 0 for one in attrs.astuple(mean))
                assert mean.rate >= mean.error_rate
                assert reading.seconds >= EVERY.seconds


# ---- when ----


_STEPS = st.lists(
    st.one_of(
        st.floats(0, 3),
        st.sets(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 2)), max_size=8),
        st.just(None),
    ),
    max_size=60,
)


@given(_STEPS)
def test_reads_keep_their_distance_and_nobody_else_is_read(steps: list[float | set[tuple[str, int]] | None]) -> None:
    """Any two reads are apart, two of one process as far as was promised, and only what is followed is ever read."""
    book, now = LoadBook(), 0.0
    followed: set[tuple[str, str]] = set()
    reads: list[tuple[float, tuple[str, str]]] = []
    for step in steps:
        if isinstance(step, float | int):
            now += step
        elif step is not None:
            wanted = {name: f"i{number}" for name, number in sorted(step)}
            followed = set(wanted.items())
            book.follow([_asked(*one) for one in sorted(followed)], now)
        elif (asked := book.due(now)) is not None:
            reads.append((now, (asked.replica, asked.server.incarnation)))
            assert reads[-1][1] in followed
            book.answered(asked, IDLE, now, at=int(now * 1000))
        assert {(name, one.incarnation) for name, one in book.readings.items()} <= followed
    times = [at for at, _ in reads]
    assert all(after - before >= APART.seconds - 1e-9 for before, after in itertools.pairwise(times))


@given(st.integers(1, 80))
def test_every_server_is_read_in_turn(count: int) -> None:
    """Up to fifty as often as was promised; of more each waits until all the others were read."""
    book, now = LoadBook(), 0.0
    names = [f"r{number:02}" for number in range(count)]
    book.follow([_asked(name) for name in names], now)
    reads: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(3 * count):
        due = book.next_due()
        assert due is not None
        now = max(now, due)
        asked = book.due(now)
        assert asked is not None
        reads[asked.replica].append(now)
        book.answered(asked, IDLE, now, at=int(now * 1000))
    expected = max(EVERY.seconds, count * APART.seconds)
    assert [3] * count == [len(times) for times in reads.values()]
    gaps = [after - before for times in reads.values() for before, after in itertools.pairwise(times)]
    assert all(expected - 1e-6 <= gap <= expected + 1e-6 for gap in gaps)


def test_without_servers_nothing_is_due() -> None:
    """A fleet without a replica costs nothing."""
    book = LoadBook()
    assert None is book.next_due()
    book.follow([_asked()], 0.0)
    book.follow([], 1.0)
    assert (None, None) == (book.next_due(), book.due(2.0))


# ---- the thread ----


class Counting(SimulatedRuntime):
    """A runtime whose servers count one more request each time they are read, or do not answer until they may."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []
        self.read = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.raises: Exception | None = None

    def load(self, server: Server, *, timeout: Duration) -> ServerLoad | None:  # noqa: ARG002  # it waits as it is told
        """Return how often it was read."""
        error = self.raises  # as it is when the reading is seen to begin
        self.reads.append(server.incarnation)
        self.read.set()
        self.may_answer.wait(60)
        if error is not None:
            raise error
        return ServerLoad(ok=len(self.reads), failed=0, latency=float(len(self.reads)))


@pytest.fixture
def runtime() -> Iterator[Counting]:
    """A runtime whose servers are let go at the end."""
    made = Counting()
    yield made
    made.may_answer.set()


@pytest.fixture
def reader(runtime: Counting) -> Iterator[LoadReader]:
    """A reader of servers of that runtime."""
    made = LoadReader({"simulated": runtime}, SystemClock())
    yield made
    made.close()


def _until_read(reader: LoadReader) -> None:
    pause = threading.Event()
    for _ in range(6000):
        if reader.readings:
            return
        pause.wait(0.01)
    pytest.fail("nothing was read within a minute")


def test_a_reader_publishes_what_servers_say(reader: LoadReader, runtime: Counting) -> None:
    """Under the replica's id, as the process that said it."""
    reader.follow(lambda: [_asked("r1", "i7")])
    _until_read(reader)
    assert ["i7"] == [one.incarnation for one in reader.readings.values()]


def test_nobody_waits_for_a_reader(reader: LoadReader, runtime: Counting) -> None:
    """While a server does not answer, what is to be read is changed and what is known is had, at once."""
    runtime.may_answer.clear()
    reader.follow(lambda: [_asked()])
    assert runtime.read.wait(60)
    asked_on: list[str] = []

    def others() -> Iterable[Asked]:
        asked_on.append(threading.current_thread().name)
        return [_asked("r2")]

    reader.follow(others)
    assert {} == reader.readings
    assert [] == asked_on
    runtime.may_answer.set()
    _until_read(reader)
    assert ["load"] == asked_on
    assert ["r2"] == list(reader.readings)


def test_a_runtime_that_fails_is_said_once_and_known_nothing_of(
    reader: LoadReader, runtime: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger's mistake ends no thread."""
    runtime.raises = ValueError("no page")
    reader.follow(lambda: [_asked("r1"), _asked("r2")])
    pause = threading.Event()
    while len(runtime.reads) < 2:
        pause.wait(0.01)
    runtime.raises = None
    reader.follow(lambda: [_asked("r3")])
    _until_read(reader)
    assert ["r3"] == list(reader.readings)
    assert 1 == sum("cannot be read" in record.getMessage() for record in caplog.records)


def test_a_runtime_that_does_not_measure_starts_no_thread() -> None:
    """Nothing to read, nothing that runs."""
    before = threading.active_count()
    reader = LoadReader({}, SystemClock())
    reader.follow(lambda: [_asked()])
    assert before == threading.active_count()
    reader.close()
