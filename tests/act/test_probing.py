"""What the answers of servers come to, and when they are asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.clock import SystemClock
from roadstead.act.prober import Prober
from roadstead.act.probing import QUICK, Asked, ProbeBook
from roadstead.errors import Rejected
from roadstead.model import Template
from roadstead.spi.runtime import Launch, Program, Server
from roadstead.units import Duration
from roadstead.world import Endpoint, ModelState, ModelStatus
from tests.act.scene import template

EVERY = 2.0


def _asked(replica: str = "r1", incarnation: str = "i1", made_from: Template | None = None) -> Asked:
    made = made_from or template(every=int(EVERY * 1000))
    endpoint = Endpoint(host="127.0.0.2", grpc=8500, rest=None)
    return Asked(replica, Server(endpoint=endpoint, template=made, incarnation=incarnation))


def _says(status: ModelStatus, incarnation: str = "i1") -> ModelState:
    return ModelState(status=status, incarnation=incarnation, versions=(1,) if status is ModelStatus.AVAILABLE else ())


def _answer(book: ProbeBook, status: ModelStatus, now: float, incarnation: str = "i1") -> bool:
    asked = book.due(now)
    assert asked is not None
    return book.answered(asked, _says(status, incarnation), now)


def test_a_new_server_is_due_at_once_and_unknown() -> None:
    """Nothing is believed of a server that nobody has asked."""
    book = ProbeBook()
    book.follow([_asked()], 10.0)

    assert ModelStatus.UNKNOWN == book.states["r1"].status
    assert 10.0 == book.next_due()
    assert not book.is_complete


def test_a_server_that_starts_is_asked_quickly_and_one_that_serves_as_declared() -> None:
    """Until the model is available the pace is ours, then its owner's."""
    book = ProbeBook()
    book.follow([_asked()], 0.0)

    _answer(book, ModelStatus.LOADING, 0.0)
    assert QUICK.seconds == book.next_due()
    _answer(book, ModelStatus.AVAILABLE, QUICK.seconds)
    assert QUICK.seconds + EVERY == book.next_due()


def test_a_server_that_does_not_start_in_time_is_asked_at_the_declared_pace() -> None:
    """Quick questions end with `start_within`."""
    book = ProbeBook()
    book.follow([_asked()], 0.0)

    _answer(book, ModelStatus.LOADING, 11.0)

    assert 11.0 + EVERY == book.next_due()


def test_an_available_model_is_believed_until_it_failed_to_answer_often_enough() -> None:
    """With two failures allowed, the first missing answer changes nothing and the second does."""
    book = ProbeBook()
    book.follow([_asked()], 0.0)
    _answer(book, ModelStatus.AVAILABLE, 0.0)

    changed, words = [], []
    for now in (2.0, 4.0):
        changed.append(_answer(book, ModelStatus.UNKNOWN, now))
        words.append(book.states["r1"].status)

    assert [False, True] == changed
    assert [ModelStatus.AVAILABLE, ModelStatus.UNKNOWN] == words


def _loads_another(incarnation: str = "i1") -> ModelState:
    return ModelState(status=ModelStatus.LOADING, incarnation=incarnation, versions=(1,))


def _loading_beside(book: ProbeBook) -> None:
    """Have a server that serves version 1 say that it loads another one beside it."""
    book.follow([_asked()], 0.0)
    _answer(book, ModelStatus.AVAILABLE, 0.0)
    asked = book.due(EVERY)
    assert asked is not None
    book.answered(asked, _loads_another(), EVERY)


def test_a_server_that_loads_another_version_is_believed_to_serve_the_one_it_has_for_as_many_failures() -> None:
    """What it serves until then is no less available for an answer that was lost: the second one missing tells."""
    book = ProbeBook()
    _loading_beside(book)

    words = []
    for _ in range(2):
        due = book.next_due()
        assert due is not None
        _answer(book, ModelStatus.UNKNOWN, due)
        words.append(book.states["r1"].versions)

    assert [(1,), ()] == words


def test_a_server_that_loads_another_version_and_does_not_answer_is_asked_again_as_declared() -> None:
    """It may have much to do with loading: its failures are counted at its owner's pace, as those of any other."""
    book = ProbeBook()
    _loading_beside(book)
    assert EVERY + QUICK.seconds == book.next_due()

    _answer(book, ModelStatus.UNKNOWN, EVERY + QUICK.seconds)
    assert EVERY + QUICK.seconds + EVERY == book.next_due()


def test_an_answer_in_between_starts_the_count_again() -> None:
    """Only failures in a row count."""
    book = ProbeBook()
    book.follow([_asked()], 0.0)
    for now, status in enumerate([ModelStatus.AVAILABLE, ModelStatus.UNKNOWN] * 3):
        _answer(book, status, 2.0 * now)

    assert ModelStatus.AVAILABLE == book.states["r1"].status


def test_a_definite_word_counts_at_once() -> None:
    """A server that says that its model is gone is believed the first time."""
    book = ProbeBook()
    book.follow([_asked()], 0.0)
    _answer(book, ModelStatus.AVAILABLE, 0.0)

    assert _answer(book, ModelStatus.LOADING, 2.0)


def test_what_was_learnt_of_an_earlier_process_does_not_count() -> None:
    """A restart makes the model unknown, and an answer that was on its way from the old process is dropped."""
    book = ProbeBook()
    book.follow([_asked()], 0.0)
    _answer(book, ModelStatus.AVAILABLE, 0.0)
    on_its_way = book.due(2.0)
    assert on_its_way is not None

    book.follow([_asked(incarnation="i2")], 2.1)
    assert ModelStatus.UNKNOWN == book.states["r1"].status
    assert book.due(2.1) is None  # one question at a time
    assert not book.answered(on_its_way, _says(ModelStatus.AVAILABLE), 2.2)
    assert ModelStatus.UNKNOWN == book.states["r1"].status
    assert 2.2 == book.next_due()


def test_unchanged_words_are_the_same_object() -> None:
    """Whoever compares by identity sees that nothing changed."""
    book = ProbeBook()
    asked = _asked()
    book.follow([asked], 0.0)
    _answer(book, ModelStatus.AVAILABLE, 0.0)
    states = book.states

    book.follow([asked], 1.0)
    _answer(book, ModelStatus.AVAILABLE, 2.0)

    assert states is book.states


_EVENTS: st.SearchStrategy[list[tuple[str, frozenset[tuple[str, str]], int]]] = st.lists(
    st.one_of(
        st.tuples(
            st.just("follow"), st.frozensets(st.tuples(st.sampled_from("ab"), st.sampled_from("12"))), st.just(0)
        ),
        st.tuples(st.just("ask"), st.just(frozenset()), st.integers(0, 0)),
        st.tuples(st.just("answer"), st.just(frozenset()), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.just(frozenset()), st.integers(1, 4)),
    ),
    max_size=40,
)


@given(_EVENTS, st.lists(st.sampled_from(ModelStatus), min_size=1))
def test_whatever_happens_each_server_is_asked_one_thing_at_a_time_and_never_forgotten(
    events: list[tuple[str, frozenset[tuple[str, str]], int]], answers: list[ModelStatus]
) -> None:
    """In any order of events every followed server is asked now or will be, and never twice at once."""
    book, now, given_out, followed = ProbeBook(), 0.0, list[Asked](), dict[str, str]()
    for number, (event, servers, argument) in enumerate(events):
        if event == "follow":
            followed = dict(sorted(servers))
            book.follow([_asked(replica, incarnation) for replica, incarnation in followed.items()], now)
        elif event == "ask" and (asked := book.due(now)) is not None:
            assert asked.replica not in {one.replica for one in given_out}
            given_out.append(asked)
        elif event == "answer" and given_out:
            asked = given_out.pop(argument % len(given_out))
            book.answered(asked, _says(answers[number % len(answers)], asked.server.incarnation), now)
        elif event == "wait":
            now += argument
        assert followed == {replica: state.incarnation for replica, state in book.states.items()}
        waiting = followed.keys() - {one.replica for one in given_out}
        assert not waiting or book.next_due() is not None


# ---- the threads ----


@attrs.define
class Engine:
    """A runtime whose servers answer what the test says, and only when it lets them."""

    status: ModelStatus = ModelStatus.AVAILABLE
    gate: threading.Event = attrs.field(factory=threading.Event)
    begun: threading.Event = attrs.field(factory=threading.Event)
    breaks: bool = False

    def check(self, template: Template) -> tuple[str, ...]:  # noqa: ARG002
        """Find nothing wrong."""
        return ()

    def launch(self, template: Template) -> Launch:  # noqa: ARG002
        """Return some launch."""
        return Launch(program=Program(executable="server"), args=())

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:  # noqa: ARG002
        """Answer when the gate is open."""
        self.begun.set()
        self.gate.wait(60.0)
        if self.breaks:
            raise RuntimeError("this engine is broken")
        return _says(self.status, server.incarnation)

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:  # noqa: ARG002
        """Refuse."""
        raise Rejected("cannot", cluster="here")

    def close(self) -> None:
        """Release nothing."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine whose gate is opened at the end, so that no thread is left waiting."""
    made = Engine()
    yield made
    made.gate.set()


def _until(book: Prober, status: ModelStatus) -> ModelState:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        state = book.states.get("r1")
        if state is not None and state.status is status:
            return state
        threading.Event().wait(0.005)
    raise AssertionError(f"never {status}")


def test_a_changed_word_wakes_the_loop(engine: Engine) -> None:
    """When a model becomes available, whoever waits is woken."""
    woken = threading.Event()
    prober = Prober({"simulated": engine}, woken.set, SystemClock())
    prober.follow([_asked()])
    engine.gate.set()

    assert woken.wait(60.0)
    assert ModelStatus.AVAILABLE == prober.states["r1"].status
    prober.close()


def test_settling_waits_for_the_first_answers_and_not_for_ever(engine: Engine) -> None:
    """A first look has an answer of every server that gives one, and goes on without a silent one."""
    prober = Prober({"simulated": engine}, lambda: None, SystemClock())
    prober.follow([_asked()])
    assert engine.begun.wait(60.0)
    opener = threading.Timer(0.05, engine.gate.set)
    opener.start()

    prober.settle()

    assert ModelStatus.AVAILABLE == prober.states["r1"].status
    prober.close()


def test_a_broken_runtime_is_no_answer_with_its_words(engine: Engine) -> None:
    """What a stranger's probe raises is told as the reason and ends no thread."""
    engine.breaks = True
    engine.gate.set()
    prober = Prober({"simulated": engine}, lambda: None, SystemClock())
    prober.follow([_asked()])
    prober.settle()

    engine.breaks = False
    assert ModelStatus.AVAILABLE == _until(prober, ModelStatus.AVAILABLE).status
    prober.close()


def test_a_runtime_that_is_not_installed_is_said(engine: Engine) -> None:
    """A server of an unknown engine is never ready, and the reason names the engine."""
    prober = Prober({}, lambda: None, SystemClock())
    prober.follow([_asked()])
    prober.settle()

    assert "runtime 'simulated' is not installed here" == prober.states["r1"].error
    prober.close()
