"""One gateway in our hands: what it shows is known soon, and whatever it does holds nobody up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.clock import SystemClock
from roadstead.act.gateway import AGAIN, HANGS, DrivenGateway, is_news, steadied
from roadstead.act.gateways import Gateways
from roadstead.errors import Rejected, RoadsteadError, Unreachable
from roadstead.model import GatewaySpec
from roadstead.spi.gateway import Destination, Gateway, Route, RouteTable
from roadstead.traffic import DataPath, GatewayState, GatewayView, Passage, RouteView, Seen, Unseen
from roadstead.units import Duration
from roadstead.world import Endpoint
from tests.act.tiny_gateway import TinyGateway, TinyProcess, spec

WITHIN = 10.0
HERE, THERE = (Endpoint(host=f"127.0.1.{number}", grpc=8500, rest=8501) for number in (1, 2))


class Ahead(SystemClock):
    """A clock that can be put forward."""

    by = 0.0

    def monotonic(self) -> float:
        """Return the seconds since some moment, and those that were skipped."""
        return super().monotonic() + self.by


@attrs.define
class Told:
    """Hears that something changed."""

    times: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))
    gateway: DrivenGateway | None = None

    def wake(self) -> None:
        """Hear it."""
        self.times.release()

    def until(self, holds: Callable[[GatewayState], bool]) -> GatewayState:
        """Return the first state that ``holds``, looking only when told to."""
        assert self.gateway is not None
        while not holds(state := self.gateway.state()):
            assert self.times.acquire(timeout=WITHIN), f"nobody said that it is no longer {state}"
        return state

    def forget(self) -> None:
        """Forget what was told so far."""
        while self.times.acquire(blocking=False):
            pass


@pytest.fixture
def process() -> TinyProcess:
    """The gateway's process."""
    return TinyProcess()


@pytest.fixture
def clock() -> Ahead:
    """The clock."""
    return Ahead()


@pytest.fixture
def told(process: TinyProcess, clock: Ahead) -> Iterator[Told]:
    """Who is told of what the gateway does."""
    told = Told()
    told.gateway = DrivenGateway(spec(), TinyGateway(process), told.wake, clock)
    yield told
    process.gate.set()
    told.gateway.close()


@pytest.fixture
def driven(told: Told) -> DrivenGateway:
    """The gateway in our hands."""
    assert told.gateway is not None
    return told.gateway


def table(*endpoints: Endpoint, draining: tuple[Endpoint, ...] = ()) -> RouteTable:
    """Return a table with one route."""
    destinations = tuple(
        Destination(endpoint=one, draining=one in draining) for one in sorted((*endpoints, *draining), key=str)
    )
    return RouteTable({"minilm": Route(deployment="minilm", port=18000, destinations=destinations)})


def settled(state: GatewayState) -> bool:
    """Whether the newest table is in force."""
    return isinstance(state, Seen) and state.view.settled


def listed(state: GatewayState) -> set[Endpoint]:
    """Return who gets requests."""
    assert isinstance(state, Seen)
    return {one for one, passage in state.view.routes["minilm"].passages.items() if passage.listed}


# ---- what is seen ----


def test_a_table_in_the_place_of_which_another_is_in_force_is_offered_again(
    told: Told, driven: DrivenGateway, process: TinyProcess, clock: Ahead
) -> None:
    """A gateway that settled on what somebody else offered it is told again what is to be."""
    ours = table(HERE)
    driven.offer(ours)
    told.until(settled)
    process.offered = table(THERE)
    told.until(lambda state: settled(state) and listed(state) == {THERE})
    clock.by += AGAIN.seconds

    driven.offer(ours)

    assert {HERE} == listed(told.until(lambda state: settled(state) and THERE not in listed(state)))


def test_a_table_is_seen_to_be_in_force_without_anybody_asking(told: Told, driven: DrivenGateway) -> None:
    """Whoever offers it is woken when it was accepted."""
    driven.wait(WITHIN)
    before = driven.state()

    driven.offer(table(HERE))
    state = told.until(settled)

    assert isinstance(before, Unseen)
    assert "it does not run" == before.error
    assert isinstance(state, Seen)
    assert Passage(listed=True, serving=True, idle=False) == state.view.routes["minilm"].passages[HERE]


def test_only_what_a_decision_depends_on_wakes(told: Told, driven: DrivenGateway, process: TinyProcess) -> None:
    """More load is there for whoever asks, in the same routes; an endpoint that gets unhealthy is told."""
    driven.offer(table(HERE))
    before = told.until(settled)
    told.forget()
    process.in_flight[HERE] = 5
    views = process.views
    while process.views < views + 2:
        driven.look().result(WITHIN)
    newest = driven.newest

    assert not told.times.acquire(blocking=False)
    assert isinstance(before, Seen)
    assert isinstance(newest, Seen)
    assert before.view.routes is newest.view.routes
    assert 5 == newest.view.loads["minilm"].total.in_flight
    process.unhealthy.add(HERE)
    told.until(lambda state: isinstance(state, Seen) and not state.view.routes["minilm"].passages[HERE].serving)


def test_a_drained_endpoint_is_told_of(told: Told, driven: DrivenGateway, process: TinyProcess) -> None:
    """Busy as long as a request is in flight to it, and then idle."""
    process.in_flight[HERE] = 1
    driven.offer(table(THERE, draining=(HERE,)))
    state = told.until(settled)
    assert isinstance(state, Seen)
    assert Passage(listed=False, serving=False, idle=False) == state.view.routes["minilm"].passages[HERE]

    process.in_flight[HERE] = 0

    told.until(lambda state: isinstance(state, Seen) and state.view.routes["minilm"].passages[HERE].idle)


# ---- what goes wrong ----


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("it is gone", cluster="edge"), "it is gone"),
        (Rejected("no such thing", cluster="edge", hint="write another"), "no such thing (write another)"),
        (KeyError("cluster_statuses"), "its plugin failed: KeyError: 'cluster_statuses'"),
    ],
)
def test_a_gateway_that_does_not_answer_is_unseen_with_what_it_showed_last(
    told: Told, driven: DrivenGateway, process: TinyProcess, error: Exception, said: str
) -> None:
    """Whatever its plugin raises; since the first time, until it answers again."""
    driven.offer(table(HERE))
    told.until(settled)

    process.fails = error
    lost = told.until(lambda state: isinstance(state, Unseen))
    again = driven.look().result(WITHIN)
    process.fails = None
    told.until(settled)

    assert isinstance(lost, Unseen)
    assert said == lost.error
    assert lost.view is not None
    assert {"minilm"} == lost.view.routes.keys()
    assert lost == again


def test_a_call_that_does_not_come_back_makes_it_unseen_and_holds_nobody_up(
    told: Told, driven: DrivenGateway, process: TinyProcess, clock: Ahead
) -> None:
    """What is offered meanwhile is offered once it comes back: the newest only."""
    driven.offer(table(HERE))
    told.until(settled)
    process.gate.clear()
    asked = driven.look()

    late = driven.state_of(asked, 0.05)
    clock.by += HANGS.seconds
    hangs = driven.state()
    for one in (table(THERE), table(HERE, THERE), table()):
        driven.offer(one)
    process.gate.set()
    told.until(settled)

    assert isinstance(late, Unseen)
    assert isinstance(hangs, Unseen)
    assert ("no answer within 0.1 s", "a call to it does not come back") == (late.error, hangs.error)
    assert [table(HERE), table()] == process.offers


def test_a_table_that_cannot_be_offered_is_not_in_force(
    told: Told, driven: DrivenGateway, process: TinyProcess, clock: Ahead
) -> None:
    """What the old one lists is still seen, the plugin's words say why, and the table is offered again later."""
    driven.offer(table(HERE))
    told.until(settled)
    gateway = Refusing(process)
    driven._gateway = gateway

    driven.offer(table(THERE))
    state = told.until(lambda state: isinstance(state, Seen) and bool(state.view.problem))
    driven.offer(table(THERE))
    driven.look().result(WITHIN)
    tries = gateway.tries
    clock.by += AGAIN.seconds
    driven.offer(table(THERE))
    driven.look().result(WITHIN)

    assert isinstance(state, Seen)
    assert (False, "the disk is full") == (state.view.settled, state.view.problem)
    assert {HERE} == state.view.routes["minilm"].passages.keys()
    assert (1, 2) == (tries, gateway.tries)


class Refusing(TinyGateway):
    """Takes no table."""

    tries = 0

    def route(self, table: RouteTable) -> None:  # noqa: ARG002  # whatever it is
        """Refuse."""
        self.tries += 1
        raise Rejected("the disk is full", cluster="edge")


def test_what_is_in_force_is_offered_once(told: Told, driven: DrivenGateway, process: TinyProcess) -> None:
    """However often the loop offers it."""
    for _ in range(3):
        driven.offer(table(HERE))
        told.until(settled)

    assert [table(HERE)] == process.offers


def test_a_table_that_is_not_accepted_is_offered_again_after_a_while(
    told: Told, driven: DrivenGateway, process: TinyProcess, clock: Ahead
) -> None:
    """Not at once, and its refusal is seen in the gateway's own words."""
    process.refuses = "no such cluster"
    driven.offer(table(HERE))
    state = told.until(lambda state: isinstance(state, Seen))
    driven.offer(table(HERE))
    driven.look().result(WITHIN)
    soon = len(process.offers)
    clock.by += AGAIN.seconds
    driven.offer(table(HERE))
    driven.look().result(WITHIN)

    assert isinstance(state, Seen)
    assert (False, "no such cluster") == (state.view.settled, state.view.problem)
    assert (1, [table(HERE), table(HERE)]) == (soon, process.offers)


def test_a_plugin_that_says_that_something_happened_is_looked_at_at_once() -> None:
    """As it is told when the process died: nobody waits for the next look."""
    process, told = TinyProcess(), Told()
    watching = Watching(process)
    told.gateway = DrivenGateway(spec(), watching, told.wake, Ahead())
    told.gateway.offer(table(HERE))
    told.until(settled)

    process.running = False
    for _ in range(100):
        watching.wake()
    told.until(lambda state: isinstance(state, Unseen))

    told.gateway.close()
    assert watching.closed


class Watching(TinyGateway):
    """Says when something happens."""

    def __init__(self, process: TinyProcess) -> None:
        super().__init__(process)
        self.wake: Callable[[], None] = lambda: None

    def watch(self, wake: Callable[[], None]) -> None:
        """Remember whom to tell."""
        self.wake = wake


# ---- all of them ----


@attrs.define
class Harbour:
    """Gateways by name, with the processes behind them."""

    processes: dict[str, TinyProcess] = attrs.field(factory=dict)
    opened: list[str] = attrs.field(factory=list)

    def connect(self, made: GatewaySpec) -> Gateway:
        """Drive one of them."""
        if getattr(made.options, "colour", "") == "impossible":
            raise Rejected("there is no such colour", cluster=made.name)
        self.opened.append(made.name)
        return TinyGateway(self.processes.setdefault(made.name, TinyProcess()))


@pytest.fixture
def harbour() -> Harbour:
    """Where the gateways are."""
    return Harbour()


@pytest.fixture
def gateways(harbour: Harbour, clock: Ahead) -> Iterator[Gateways]:
    """All of them in our hands."""
    made = Gateways(harbour.connect, lambda: None, clock, Duration(1_500))
    yield made
    for process in harbour.processes.values():
        process.gate.set()
    made.close()


def specs(*names: str, **options: str) -> Mapping[str, GatewaySpec]:
    """Return gateways of these names."""
    return {name: spec(name, colour=options.get(name, "grey")) for name in names}


def test_only_a_gateway_that_is_driven_otherwise_is_opened_again(gateways: Gateways, harbour: Harbour) -> None:
    """Another range of ports is our own business; other options are the plugin's, and its process goes on."""
    gateways.drive(specs("edge", "front"))
    gateways.offer({"edge": table(HERE), "front": table(THERE)})
    changed = {"edge": spec("edge", last=18500), "front": spec("front", colour="red")}

    read = gateways.drive(changed)

    assert ["edge", "front", "front"] == harbour.opened
    assert {"front": {"minilm": 18000}} == read
    assert harbour.processes["front"].running


def test_what_cannot_be_driven_leaves_all_as_before(gateways: Gateways, harbour: Harbour) -> None:
    """The refusal is the caller's to say; what was there is driven on."""
    gateways.drive(specs("edge", "front"))

    with pytest.raises(RoadsteadError, match="no such colour"):
        gateways.drive(specs("edge", "back", front="impossible", back="impossible"))

    gateways.offer({"edge": table(HERE), "front": table(THERE)})
    assert {"edge", "front"} == gateways.data_path().gateways.keys()
    assert all(isinstance(one, Seen) for one in gateways.data_path(anew=True).gateways.values())


def test_a_gateway_of_another_kind_takes_the_place_of_the_old_one(gateways: Gateways, harbour: Harbour) -> None:
    """The old process would keep the ports."""
    gateways.drive(specs("edge"))
    gateways.offer({"edge": table(HERE)})
    gateways.data_path(anew=True)

    gateways.drive({"edge": spec(kind="small")})

    assert not harbour.processes["edge"].running


def test_one_that_hangs_holds_up_neither_the_others_nor_a_second_look(
    gateways: Gateways, harbour: Harbour, clock: Ahead
) -> None:
    """The first look waits a while for each; a look for a destructive step says that it does not answer."""
    harbour.processes["edge"] = TinyProcess()
    harbour.processes["edge"].gate.clear()
    gateways.drive({"edge": spec("edge"), "front": spec("front")})
    gateways.offer({"front": table(HERE)})

    began = clock.monotonic()
    first = gateways.data_path()
    took = clock.monotonic() - began
    began = clock.monotonic()
    second = gateways.data_path()
    again = clock.monotonic() - began
    anew = gateways.data_path(anew=True)

    assert (1.2 < took < 30.0, again < 1.0) == (True, True)
    assert isinstance(first.gateways["edge"], Unseen)
    assert isinstance(second.gateways["edge"], Unseen)
    assert isinstance(anew.gateways["edge"], Unseen)
    assert isinstance(anew.gateways["front"], Seen)


def test_taking_down_says_what_is_still_there(gateways: Gateways, harbour: Harbour) -> None:
    """What cannot be stopped is named with its plugin's words; the others are down."""
    gateways.drive(specs("edge", "front"))
    gateways.offer({"edge": table(HERE), "front": table(THERE)})
    gateways.data_path(anew=True)
    harbour.processes["front"].fails = RuntimeError("no")

    wrong = gateways.take_down(["edge", "front", "nowhere"])

    assert {"front": "its plugin failed: RuntimeError: no"} == wrong
    assert not harbour.processes["edge"].running


# ---- what is news ----

passages = st.builds(Passage, listed=st.booleans(), serving=st.booleans(), idle=st.booleans())
routes = st.builds(
    RouteView,
    port=st.integers(1, 3),
    passages=st.dictionaries(st.sampled_from([HERE, THERE]), passages),
    problem=st.sampled_from(["", "taken"]),
)
views = st.builds(
    GatewayView,
    settled=st.booleans(),
    routes=st.dictionaries(st.sampled_from("ab"), routes),
    problem=st.sampled_from(["", "no"]),
)
states = st.one_of(views.map(Seen), st.builds(Unseen, since=st.integers(0, 3), error=st.text(max_size=2)))


@given(views, views)
def test_a_steadied_view_is_the_same_view_in_the_old_objects(before: GatewayView, view: GatewayView) -> None:
    """Whoever compares by identity sees exactly what changed."""
    steady = steadied(before, view)

    assert view == steady
    assert (before.routes == view.routes) == (before.routes is steady.routes)
    for name, route in steady.routes.items():
        known = before.routes.get(name)
        assert (known == route) == (known is route)


@given(states, views)
def test_news_is_whatever_a_decision_could_see(known: GatewayState, view: GatewayView) -> None:
    """Nothing that differs goes untold, and a view with other loads only is not told."""
    state = Seen(steadied(known.view, view))

    differs = not isinstance(known, Seen) or attrs.evolve(view, loads={}) != attrs.evolve(known.view, loads={})
    assert differs == is_news(known, state)
    assert is_news(None, state)
    assert isinstance(known, Unseen) != is_news(known, Unseen(since=9, error="other"))


def test_the_data_path_of_no_gateways_is_empty(gateways: Gateways) -> None:
    """A fleet without gateways costs no thread and no call."""
    assert DataPath() == gateways.data_path() == gateways.newest()
