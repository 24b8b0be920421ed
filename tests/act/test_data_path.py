"""Whole turns with a gateway in front: requests get to who is ready, and nobody is stopped who may get one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from roadstead.act.events import Event, EventKind
from roadstead.act.intents import removed, scaled
from roadstead.act.journal import Selection
from roadstead.act.pacing import Bell
from roadstead.act.session import Session
from roadstead.errors import Rejected, RoadsteadError, Unreachable
from roadstead.model import DaemonSpec, Deployment, Fleet, Intents, OnChange, Via
from roadstead.spi.gateway import Destination
from roadstead.spi.host import PluginHost
from roadstead.traffic import Seen, Unseen
from roadstead.units import Duration
from roadstead.world import Endpoint
from tests.act.scene import deployment, fleet, ready, simulated, template, turn_until
from tests.act.tiny_gateway import TinyPlugin, TinyProcess, host_with, spec


@pytest.fixture
def plugin() -> TinyPlugin:
    """The gateways, which outlive the sessions that drive them."""
    return TinyPlugin()


@pytest.fixture
def host(plugin: TinyPlugin) -> PluginHost:
    """Every plugin, with a gateway for tests."""
    return host_with(plugin)


@pytest.fixture
def bell() -> Bell:
    """What a session rings when something changed."""
    return Bell()


@pytest.fixture
def process(plugin: TinyPlugin) -> TinyProcess:
    """The gateway `edge`."""
    return plugin.process()


def routed(name: str = "minilm", *, replicas: int = 2, drain: int = 10_000, port: int | None = None) -> Deployment:
    """Return a deployment behind the gateway."""
    made = deployment(name, replicas=replicas, made_from=template(drain=drain))
    return attrs.evolve(made, via=Via(gateway="edge", port=port))


def shop(*deployments: Deployment, colour: str = "grey", daemon: DaemonSpec | None = None) -> Fleet:
    """Return a fleet with the gateway `edge`."""
    return attrs.evolve(fleet(*deployments, daemon=daemon), gateways={"edge": spec(colour=colour)})


@pytest.fixture
def opened(tmp_path: Path, host: PluginHost, bell: Bell) -> Iterator[Callable[[Fleet], Session]]:
    """Opens sessions on one state directory, each after the one before is closed."""
    sessions: list[Session] = []

    def open_(declared: Fleet) -> Session:
        for one in sessions:
            one.close()
        sessions.append(Session.open(declared, host, tmp_path / "state", "tests", wake=bell.ring))
        return sessions[-1]

    yield open_
    for one in sessions:
        one.close()


@pytest.fixture
def session(opened: Callable[[Fleet], Session], bell: Bell, process: TinyProcess) -> Session:
    """A session for two replicas to which requests get."""
    made = opened(shop(routed()))
    turn_until(made, bell, lambda: serving(made) == 2)
    assert 2 == len(process.reached("minilm"))
    return made


def serving(session: Session, name: str = "minilm") -> int:
    """Return to how many replicas requests got in the last turn."""
    last = session.reconciler.last
    shard = last.world.shards.get(name) if last is not None else None
    return len(shard.serving) if shard is not None else 0


def replicas(session: Session, name: str = "minilm") -> dict[Endpoint | None, str]:
    """Return the replicas of a deployment by where they answer, as the last turn saw them."""
    last = session.reconciler.last
    assert last is not None
    shard = last.world.shards.get(name)
    return {one.replica.endpoint: one.replica.id for one in shard.members} if shard is not None else {}


def told(session: Session, *kinds: EventKind) -> list[Event]:
    """Return what happened of these kinds."""
    return [event for event in session.journal.events(Selection()) if event.kind in kinds]


def scale(session: Session, count: int) -> None:
    """Ask for another number of replicas."""
    declared = session.fleet.deployments["minilm"]
    session.intend(scaled(session.fleet.intents, declared, count))


def turns(session: Session, bell: Bell, seconds: float) -> None:
    """Run turns for a while, in which nothing is to happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        session.turn()
        bell.wait(0.05)


def draining(process: TinyProcess) -> frozenset[Endpoint]:
    """Return what the table in force no longer sends requests to."""
    route = process.accepted.routes["minilm"]
    return frozenset(one.endpoint for one in route.destinations if one.draining)


# ---- requests get there ----


def test_requests_get_to_what_is_ready_at_an_address_of_its_own(
    opened: Callable[[Fleet], Session], bell: Bell, process: TinyProcess
) -> None:
    """The address is durable before the gateway knows it, and there before the first replica is."""
    session = opened(shop(routed()))
    kept = json.loads(session.state.identity.read_text())["identity"]["addresses"]
    assert {"minilm": {"gateway": "edge", "host": "127.0.0.1", "port": 18000}} == kept
    session.turn()
    session.gateways.data_path(anew=True)
    assert (18000, ()) == (process.offered.routes["minilm"].port, process.offered.routes["minilm"].destinations)

    turn_until(session, bell, lambda: serving(session) == 2)

    assert replicas(session).keys() == process.reached("minilm")
    assert session.fleet.addresses["minilm"].port == process.accepted.routes["minilm"].port


def test_a_fleet_at_rest_offers_nothing(session: Session, bell: Bell, process: TinyProcess) -> None:
    """Turns alone, however many, write nothing to a gateway that follows."""
    turns(session, bell, 0.3)
    offers = len(process.offers)

    turns(session, bell, 0.5)

    assert offers == len(process.offers)


def test_a_load_that_changes_wakes_nobody(session: Session, bell: Bell, process: TinyProcess) -> None:
    """A busy gateway is no reason for turns."""
    turn_until(session, bell, lambda: not bell.wait(0.3))

    for requests in range(20):
        process.requests = dict.fromkeys(process.reached("minilm"), requests)
        session.gateways.data_path(anew=True)

    assert not bell.wait(0.1)


# ---- nobody is stopped who may get a request ----


def test_a_replica_is_stopped_once_nothing_is_in_flight_to_it(
    session: Session, bell: Bell, process: TinyProcess
) -> None:
    """It gets nothing new from the moment on that it is to go, and goes when its last request is answered."""
    process.in_flight = dict.fromkeys(process.reached("minilm"), 1)
    scale(session, 1)
    turn_until(session, bell, lambda: len(draining(process)) == 1)
    (leaving,) = draining(process)
    turns(session, bell, 0.5)
    assert leaving in replicas(session)
    assert leaving not in process.reached("minilm")

    process.in_flight[leaving] = 0
    turn_until(session, bell, lambda: leaving not in replicas(session))

    assert 1 == serving(session)
    assert [] == told(session, EventKind.OVERDUE)


def test_a_request_that_never_ends_holds_its_replica_no_longer_than_its_grace(
    opened: Callable[[Fleet], Session], bell: Bell, process: TinyProcess
) -> None:
    """The grace begins when the gateway has followed; that requests were cut off is written down with how many."""
    session = opened(shop(routed(drain=400)))
    turn_until(session, bell, lambda: serving(session) == 2)
    process.in_flight = dict.fromkeys(process.reached("minilm"), 3)
    process.hesitates = True
    scale(session, 1)
    turns(session, bell, 1.0)
    assert 2 == len(replicas(session))

    began = time.monotonic()
    process.hesitates = False
    turn_until(session, bell, lambda: len(draining(process)) == 1)
    (leaving,) = draining(process)
    name = replicas(session)[leaving]
    turn_until(session, bell, lambda: bool(told(session, EventKind.OVERDUE)))

    assert time.monotonic() - began > 0.3
    (event,) = told(session, EventKind.OVERDUE)
    assert f"{name} was stopped with 3 requests in flight: its 400ms to drain were over" == event.text


@pytest.mark.parametrize("fault", ["unseen", "refusing", "hanging"])
def test_while_a_gateway_does_not_follow_only_growth_goes_on(
    session: Session, bell: Bell, process: TinyProcess, fault: str
) -> None:
    """What it may list is not stopped, however long that takes; when it follows again, all comes to what is wanted."""
    before = replicas(session)
    if fault == "unseen":
        process.fails = Unreachable("connection refused", cluster="edge")
    elif fault == "refusing":
        process.refuses = "no such field"
    else:
        process.gate.clear()
    scale(session, 1)
    turns(session, bell, 0.8)
    shrunk = replicas(session)
    scale(session, 3)
    turn_until(session, bell, lambda: ready(session) == 3)

    process.fails, process.refuses = None, ""
    process.gate.set()
    scale(session, 1)
    turn_until(session, bell, lambda: len(replicas(session)) == serving(session) == 1)

    assert before == shrunk
    assert replicas(session).keys() == process.reached("minilm")


def test_a_destructive_step_is_taken_on_what_the_gateway_says_then(
    session: Session, bell: Bell, process: TinyProcess
) -> None:
    """A plan made on what it said before stops nothing: one that does not answer just then may list everybody."""
    process.in_flight = dict.fromkeys(process.reached("minilm"), 1)
    scale(session, 1)
    turn_until(session, bell, lambda: len(draining(process)) == 1)
    (leaving,) = draining(process)
    name = replicas(session)[leaving]
    process.in_flight.clear()
    session.gateways.data_path(anew=True)
    process.gate.clear()

    turn = session.turn()

    assert [f"the gateway may send requests to {name}"] == [one.text.partition(": ")[2] for one in turn.outcomes]
    assert 2 == len(replicas(session))
    process.gate.set()
    turn_until(session, bell, lambda: len(replicas(session)) == 1)


def test_what_is_wrong_is_in_the_event_log_in_the_gateways_words(
    session: Session, bell: Bell, process: TinyProcess
) -> None:
    """That it does not answer, and does again; why it refuses a table; why a port cannot be used."""
    process.taken = {18000: "process 7 has it"}
    turn_until(session, bell, lambda: bool(told(session, EventKind.ROUTE_PROBLEM)))
    process.refuses = "no such field"
    scale(session, 3)
    turn_until(session, bell, lambda: bool(told(session, EventKind.TABLE_REJECTED)))
    process.fails = Unreachable("connection refused", cluster="edge")
    turn_until(session, bell, lambda: bool(told(session, EventKind.GATEWAY_LOST)))
    process.fails = None
    turn_until(session, bell, lambda: told(session, EventKind.GATEWAY_BACK)[-1].seq > _seq(session))

    texts = [event.text for event in told(session, *_TROUBLE)]
    assert [
        "clients cannot use port 18000 of gateway edge for minilm: process 7 has it",
        "gateway edge does not use the newest table: no such field",
        "gateway edge does not answer: connection refused",
        "gateway edge answers",
    ] == texts[-4:]


_TROUBLE = (EventKind.ROUTE_PROBLEM, EventKind.TABLE_REJECTED, EventKind.GATEWAY_LOST, EventKind.GATEWAY_BACK)


def _seq(session: Session) -> int:
    return told(session, EventKind.GATEWAY_LOST)[-1].seq


# ---- addresses ----


def test_the_next_session_takes_over_without_taking_anything_away(
    session: Session, opened: Callable[[Fleet], Session], bell: Bell, process: TinyProcess
) -> None:
    """The gateway serves on meanwhile, keeps its port, and is at no moment offered less than it has."""
    reached, offers = process.reached("minilm"), len(process.offers)

    # Simulated clusters end with their process, so what the next session sees of them is silence.
    clusters = simulated(session)
    again = opened(session.fleet)
    again.clusters["here"].backend = clusters
    turn_until(again, bell, lambda: serving(again) == 2)

    assert 18000 == again.fleet.addresses["minilm"].port
    for table in process.offers[offers:]:
        listed = {one.endpoint for one in table.routes["minilm"].destinations if not one.draining}
        assert reached == listed


def test_ports_are_read_back_from_the_gateway_when_identity_is_lost(
    opened: Callable[[Fleet], Session], process: TinyProcess
) -> None:
    """Clients that know an address find their deployment there, and no other."""
    session = opened(shop(routed("anchor"), routed("minilm")))
    session.turn()
    session.gateways.data_path(anew=True)
    assert {"anchor": 18000, "minilm": 18001} == {name: one.port for name, one in process.offered.routes.items()}
    session.close()
    session.state.identity.unlink()

    again = opened(shop(routed("minilm"), routed("zebra")))

    assert {"anchor": 18000, "minilm": 18001, "zebra": 18002} == {
        name: one.port for name, one in again.fleet.addresses.items()
    }
    assert "127.0.0.1" == again.fleet.addresses["minilm"].host


def test_a_deployment_without_a_free_port_is_said_and_hinders_nobody(
    opened: Callable[[Fleet], Session], bell: Bell, process: TinyProcess
) -> None:
    """Its replicas run all the same, and the others have their addresses."""
    declared = shop(routed("anchor", replicas=1), routed("minilm", replicas=1))
    session = opened(attrs.evolve(declared, gateways={"edge": spec(last=18000)}))

    turn_until(session, bell, lambda: serving(session, "anchor") == 1 and ready(session) == 1)

    assert {"anchor"} == process.accepted.routes.keys()
    (problem,) = session.problems
    assert "deployment minilm has no address: gateway edge has no free port left in 18000-18000" in problem


def test_an_address_is_given_back_when_its_deployment_is_gone(
    session: Session, bell: Bell, process: TinyProcess
) -> None:
    """Not while anything of it is left; then the gateway forgets it too."""
    session.adopt(shop(routed("other")))
    session.intend(removed(session.fleet.intents, session.fleet, ["minilm"]))
    last = session.turn()
    session.give_back(last.world)
    assert {"minilm": 18000, "other": 18001} == {name: one.port for name, one in session.fleet.addresses.items()}

    def is_given_back() -> bool:
        assert session.reconciler.last is not None
        session.give_back(session.reconciler.last.world)
        return process.accepted.routes.keys() == {"other"}

    turn_until(session, bell, is_given_back)

    assert {"other"} == session.fleet.addresses.keys()
    assert {"other"} == session.identity.current.addresses.keys()


def test_a_deployment_that_vanished_from_the_file_serves_on_at_its_address(
    session: Session, bell: Bell, process: TinyProcess
) -> None:
    """Nobody confirmed that it is to go; an endpoint of it that comes back is listed again."""
    session.adopt(shop(routed("other", replicas=1)))
    turn_until(session, bell, lambda: serving(session, "other") == 1)

    assert replicas(session).keys() == process.reached("minilm")
    assert 18000 == process.accepted.routes["minilm"].port


# ---- gateways in the fleet file ----


def test_a_gateway_that_vanished_from_the_file_serves_on_until_that_is_confirmed(
    session: Session, opened: Callable[[Fleet], Session], bell: Bell, process: TinyProcess
) -> None:
    """With all that it routes, and over a restart: what comes and goes behind it, it follows."""
    without = fleet(attrs.evolve(routed(), via=None))
    session.adopt(without)
    scale(session, 3)
    turn_until(session, bell, lambda: len(process.reached("minilm")) == 3)
    assert {"edge"} == session.fleet.gateways.keys()
    assert {"minilm"} == session.fleet.addresses.keys()
    backend = simulated(session)
    again = opened(without)
    again.clusters["here"].backend = backend
    turn_until(again, bell, lambda: serving(again) == 3)
    assert not process.is_down()

    again.adopt(without, confirm_removals=True)
    again.turn()

    assert process.is_down()
    assert ({}, {}) == (again.fleet.gateways, again.fleet.addresses)
    assert {} == again.identity.current.gateways
    assert {} == again.gateways.newest().gateways


def test_a_gateway_that_cannot_be_taken_down_is_still_held_and_said(session: Session, process: TinyProcess) -> None:
    """Nothing that it may send requests to is forgotten."""
    process.fails = Unreachable("connection refused", cluster="edge")

    session.adopt(fleet(attrs.evolve(routed(), via=None)), confirm_removals=True)

    assert {"edge"} == session.fleet.gateways.keys()
    assert ("gateway edge cannot be taken down: connection refused",) == session.problems


def test_taking_a_gateway_out_of_the_file_can_be_all_that_is_needed(session: Session, process: TinyProcess) -> None:
    """Where `on_removal` says that vanishing is already the order to go."""
    daemon = DaemonSpec(turn=Duration(200), on_removal=OnChange.APPLY)

    session.adopt(fleet(attrs.evolve(routed(), via=None), daemon=daemon))

    assert process.is_down()


def test_a_held_gateway_whose_plugin_is_gone_is_unseen(session: Session, tmp_path: Path, process: TinyProcess) -> None:
    """Nobody can drive it; it may send requests to whom it did, so nothing behind it is stopped."""
    without = fleet(attrs.evolve(routed(), via=None))
    backend = simulated(session)
    session.close()
    bell = Bell()
    with Session.open(without, PluginHost.installed(), tmp_path / "state", "tests", wake=bell.ring) as bare:
        bare.clusters["here"].backend = backend
        scale(bare, 1)
        turns(bare, bell, 1.0)

        (state,) = bare.gateways.newest().gateways.values()
        assert isinstance(state, Unseen)
        assert state.error.startswith("it cannot be driven: there is no gateway 'tiny'")
        assert not bare.identity.current.gateways["edge"].options.startswith("Strange")
        assert 2 == len(replicas(bare))
    assert not process.is_down()


def test_a_change_that_only_the_plugin_understands_keeps_the_process(
    session: Session, bell: Bell, plugin: TinyPlugin, process: TinyProcess
) -> None:
    """The object that drives it is a new one; requests get through as before."""
    session.adopt(shop(routed(), colour="red"))
    turn_until(session, bell, lambda: serving(session) == 2)

    assert ["grey", "red"] == [getattr(one.options, "colour", None) for one in plugin.opened]
    assert not process.is_down()
    assert 2 == len(process.reached("minilm"))


def test_a_gateway_that_cannot_be_made_leaves_the_fleet_as_it_was(session: Session, bell: Bell) -> None:
    """The refusal is said; what was there is driven on."""
    before = session.fleet

    with pytest.raises(RoadsteadError, match="no such colour") as refused:
        session.adopt(shop(routed(replicas=1), colour="impossible"))

    assert isinstance(refused.value, Rejected)
    assert before == session.fleet
    turn_until(session, bell, lambda: serving(session) == 2)


def test_a_gateway_that_cannot_be_opened_at_the_start_keeps_nobody_from_healing(
    opened: Callable[[Fleet], Session], bell: Bell, plugin: TinyPlugin, process: TinyProcess
) -> None:
    """Replicas come up; requests get to them as soon as the plugin can do its work."""
    plugin.fails = OSError("no space left on device")
    session = opened(shop(routed()))
    turn_until(session, bell, lambda: ready(session) == 2)
    (state,) = session.gateways.newest().gateways.values()

    plugin.fails = None
    turn_until(session, bell, lambda: serving(session) == 2)

    assert isinstance(state, Unseen)
    assert state.error.startswith(
        "it cannot be driven: gateway edge cannot be opened: OSError: no space left on device"
    )
    assert 2 == len(process.reached("minilm"))


def test_gateways_go_down_last_and_come_back_at_the_same_ports(
    session: Session, opened: Callable[[Fleet], Session], bell: Bell, process: TinyProcess
) -> None:
    """Not while a replica is behind one; what they were is not forgotten."""
    assert {} == session.take_down_gateways()
    assert not process.is_down()
    scale(session, 0)
    turn_until(session, bell, lambda: not replicas(session))

    assert {} == session.take_down_gateways()

    assert process.is_down()
    again = opened(shop(routed("another"), routed()))
    assert 18000 == again.fleet.addresses["minilm"].port


def test_a_session_that_ends_leaves_the_gateway_serving(session: Session, process: TinyProcess) -> None:
    """It is let go of, and nothing else."""
    reached = process.reached("minilm")

    session.close()

    assert not process.is_down()
    assert reached == process.reached("minilm")


def test_every_endpoint_is_checked_as_its_runtime_says(session: Session, process: TinyProcess) -> None:
    """What a gateway asks by itself comes with each destination; a runtime may have nothing to ask."""
    destinations = process.accepted.routes["minilm"].destinations

    assert tuple(Destination(endpoint=one.endpoint) for one in destinations) == destinations
    assert isinstance(session.gateways.newest().gateways["edge"], Seen)
    assert Intents() == session.fleet.intents
