"""The journal is for people: bounded, whole after a kill, and nothing depends on it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import given

from roadstead.act import journal as journal_module
from roadstead.act.decisions import Decision, decision, packed, unpacked
from roadstead.act.events import Event, EventKind, Turn
from roadstead.act.journal import EVENTS_KEPT, Journal, Selection
from roadstead.assembly import assemble
from roadstead.capabilities import Capabilities
from roadstead.decide.planner import plan
from roadstead.memory import PlanMemory
from roadstead.model import Fleet, Scheduling
from roadstead.plans import Plan, Table
from roadstead.testing.strategies import fleets
from roadstead.traffic import (
    DataPath,
    GatewayState,
    GatewayView,
    Load,
    Passage,
    RouteLoad,
    RouteView,
    Seen,
    Unseen,
)
from roadstead.world import Endpoint, Reachable, Snapshot, Unreachable, World
from roadstead_plugins.placement.plugin import Spread
from tests.act import scene

ABLE = Capabilities(
    scheduling=frozenset({Scheduling.DIRECTED, Scheduling.NATIVE}), exact_retire=True, heals_alone=False
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A new journal."""
    opened = Journal.open(tmp_path / "journal.sqlite")
    yield opened
    opened.close()


def _event(at: int, text: str = "", *, deployment: str = "minilm", kind: EventKind = EventKind.READY) -> Event:
    return Event(at=at, kind=kind, text=text, deployment=deployment, subject="r1", cluster="here")


def test_events_come_back_in_order_with_their_numbers(journal: Journal) -> None:
    """What is recorded is selected again, oldest first, and numbered upwards."""
    journal.record((_event(1, "a"), _event(2, "b")))
    journal.record((_event(3, "c"),))

    found = journal.events(Selection())

    assert ["a", "b", "c"] == [event.text for event in found]
    assert sorted(event.seq for event in found) == [event.seq for event in found]
    assert ["c"] == [event.text for event in journal.events(Selection(since=found[1].seq))]


def test_the_newest_are_kept_when_there_are_more_than_asked_for(journal: Journal) -> None:
    """A limit cuts off the past, not the present."""
    journal.record(tuple(_event(at, str(at)) for at in range(10)))

    assert ["8", "9"] == [event.text for event in journal.events(Selection(limit=2))]


def test_events_of_one_deployment_are_selected(journal: Journal) -> None:
    """The others are left out."""
    journal.record((_event(1, "a"), _event(2, "b", deployment="other")))

    assert ["b"] == [event.text for event in journal.events(Selection(deployment="other"))]


def test_the_same_end_of_a_server_is_kept_once(journal: Journal) -> None:
    """A daemon that starts again tells how servers ended before; the journal knows it already."""
    crash = _event(1, "ended", kind=EventKind.CRASHED)
    journal.record((crash,))
    journal.record((crash, _event(2, "ended again", kind=EventKind.CRASHED)))

    assert ["ended", "ended again"] == [event.text for event in journal.events(Selection())]


def test_old_events_make_room_for_new_ones(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of events is bounded."""
    monkeypatch.setattr(journal_module, "EVENTS_KEPT", 5)
    for at in range(12):
        journal.record((_event(at, str(at)),))

    assert [str(at) for at in range(7, 12)] == [event.text for event in journal.events(Selection())]


def test_old_decisions_make_room_for_new_ones(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of decisions is bounded, and the newest is always there."""
    monkeypatch.setattr(journal_module, "DECISIONS_KEPT", 3)
    for turn in range(6):
        journal.record((), Decision(turn=turn, at=turn, steps=(), held=()))

    assert journal.decision(2) is None
    assert 5 == _turn_of(journal.decision(5))


def _turn_of(found: Decision | None) -> int | None:
    return found.turn if found is not None else None


_WRITER = """
import sys
from pathlib import Path
from roadstead.act.events import Event, EventKind
from roadstead.act.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
at = 0
while True:
    at += 1
    journal.record((Event(at=at, kind=EventKind.READY, text=str(at), subject="r"),))
    print(at, flush=True)
"""


def test_what_was_recorded_survives_a_killed_process(tmp_path: Path) -> None:
    """Every event that was recorded before kill -9 is there afterwards."""
    path = tmp_path / "journal.sqlite"
    with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        reported = int([writer.stdout.readline() for _ in range(50)][-1])
        writer.send_signal(signal.SIGKILL)
    journal = Journal.open(path)

    texts = [event.text for event in journal.events(Selection(limit=100_000))]
    journal.close()

    assert [str(at) for at in range(1, reported + 1)] == texts[:reported]


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    """Damage at start costs the past and nothing else."""
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"this was a journal once" * 100)

    journal = Journal.open(path)

    assert journal.record((_event(1, "after"),))
    assert ["after"] == [event.text for event in journal.events(Selection())]
    assert (tmp_path / "journal.sqlite.damaged").exists()
    journal.close()


def test_damage_in_the_middle_of_work_is_survived(journal: Journal, tmp_path: Path) -> None:
    """A file that breaks while it is open is replaced; no call raises."""
    journal.record(tuple(_event(at, "x" * 500) for at in range(2000)))
    journal.close()
    path = tmp_path / "journal.sqlite"
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(os.urandom(4096))

    for at in range(5000, 5020):
        journal.record((_event(at, "later"),))

    assert "later" in {event.text for event in journal.events(Selection())}


def test_a_full_disk_is_said_and_forgotten_when_there_is_room(journal: Journal) -> None:
    """While nothing can be written the problem is there; the first success clears it."""
    journal.record((_event(1, "before"),))
    connection = journal._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")

    refused = [journal.record(tuple(_event(at, "x" * 900) for at in range(start, start + 100))) for start in (10, 200)]

    assert False in refused
    assert journal.problem is not None
    assert "full" in journal.problem
    connection.execute("PRAGMA max_page_count=8192")
    assert journal.record((_event(900, "after"),))
    assert journal.problem is None


def test_a_journal_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    """Opened where no file can be, it reports its problem, keeps nothing, and raises nothing."""
    (tmp_path / "journal.sqlite").mkdir()

    journal = Journal.open(tmp_path / "journal.sqlite")

    assert not journal.record((_event(1),))
    assert () == journal.events(Selection())
    assert journal.problem is not None


def test_the_journal_is_for_its_owner_only(journal: Journal, tmp_path: Path) -> None:
    """It holds what servers print in their errors, which is nobody else's."""
    journal.record((_event(1),))

    assert {0o600} == {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}


def test_listeners_hear_of_every_addition(journal: Journal) -> None:
    """Whoever follows is told, until it leaves."""
    heard: list[int] = []
    with journal.listening(lambda: heard.append(1)):
        journal.record((_event(1),))
        journal.record((_event(2),))
    journal.record((_event(3),))

    assert [1, 1] == heard


def test_the_schema_is_readable_by_anybodys_sqlite(journal: Journal, tmp_path: Path) -> None:
    """A person with sqlite3 and no daemon can read what happened."""
    journal.record((_event(1, "a"),))
    journal.close()

    with sqlite3.connect(tmp_path / "journal.sqlite") as connection:
        rows = connection.execute("SELECT kind, text FROM event").fetchall()
    connection.close()
    assert [("replica-ready", "a")] == rows


# ---- decisions ----


@given(fleet=fleets())
def test_a_kept_decision_can_be_taken_again(fleet: Fleet) -> None:
    """The arguments that come back from a decision give the same steps as those it was made from."""
    views = {
        name: Reachable(Snapshot(capabilities=ABLE)) if name != "there" else Unreachable(since=3, error="away")
        for name in fleet.clusters
    }
    world, memory, now = assemble(None, views, {}), PlanMemory(turn=3), 1_000
    policies = {name: Spread() for name in ("spread", "binpack")}
    made = plan(fleet, world, memory, now, policies)
    turn = Turn(number=4, at=now, fleet=fleet, world=world, plan=made)

    kept = unpacked(packed(decision(turn, memory)))

    assert kept.arguments is not None
    again = plan(fleet, kept.arguments.world(), kept.arguments.memory, kept.at, policies)
    assert made.steps == again.steps
    assert made.held == again.held


def test_a_kept_decision_has_what_gateways_showed() -> None:
    """All that a plan may depend on; their load, which it does not, is not kept."""
    here = Endpoint(host="127.0.1.1", grpc=8500, rest=None)
    passage = Passage(listed=True, serving=False, idle=False)
    routes = {"minilm": RouteView(port=18000, passages={here: passage}, problem="taken")}
    shown = GatewayView(settled=True, routes=routes, problem="its disk is full")
    gateways: dict[str, GatewayState] = {
        "edge": Seen(shown),
        "front": Unseen(since=3, error="silence", view=shown),
        "new": Unseen(since=4, error="it does not run"),
    }
    path = DataPath(gateways=gateways, via={"minilm": "edge"})
    busy = {"minilm": RouteLoad(total=Load(in_flight=3, requests=9, errors=0))}
    world = World(
        clusters={}, data_path=attrs.evolve(path, gateways={**gateways, "edge": Seen(attrs.evolve(shown, loads=busy))})
    )
    made = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={})
    turn = Turn(number=4, at=5, fleet=scene.fleet(), world=world, plan=made)

    kept = unpacked(packed(decision(turn, PlanMemory())))

    assert kept.arguments is not None
    assert path == kept.arguments.world().data_path


def test_more_events_at_once_than_are_kept_are_no_full_disk(journal: Journal) -> None:
    """A daemon that adopts a large fleet tells of every replica: the newest are kept, and all are counted."""
    many = tuple(
        Event(at=1, kind=EventKind.ADOPTED, text="r is there " * 40, subject=f"r{n}") for n in range(5 * EVENTS_KEPT)
    )

    assert journal.record(many)

    assert "r99999" == journal.events(Selection(limit=1))[0].subject
    assert EVENTS_KEPT == len(journal.events(Selection(limit=2 * EVENTS_KEPT)))
    assert 5 * EVENTS_KEPT == journal.counts[EventKind.ADOPTED]
