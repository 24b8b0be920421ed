"""What the daemon decides without a socket: when a file is read, and what is between two fleets."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.events import Turn
from roadstead.capabilities import Capabilities
from roadstead.daemon.changes import difference, longest_stop, nearest, nothing_wanted
from roadstead.daemon.errors import BadRequest, Unknown
from roadstead.daemon.following import STILL_FOR, Settling, Stamp
from roadstead.daemon.ordering import declared_to_stay, delete, scale
from roadstead.daemon.view import View
from roadstead.memory import PlanMemory
from roadstead.model import MAX_REPLICAS, Fleet, Intents, ScaleIntent
from roadstead.plans import Plan, Table
from roadstead.testing.strategies import fleets
from roadstead.traffic import DataPath, GatewayState, GatewayView, RouteView, Seen, Unseen
from roadstead.world import Reachable, Snapshot, Unreachable, World
from tests.act.scene import deployment, fleet, template

_ABLE = Capabilities(scheduling=frozenset(), exact_retire=True, heals_alone=False)


def _stamp(number: int) -> Stamp:
    return Stamp(inode=1, size=number, modified_ns=number)


def test_a_changed_file_is_read_once_it_stood_still() -> None:
    """Not while it is being written, and only once for each change."""
    settling = Settling(_stamp(0))

    seen = [(0.0, 0), (1.0, 1), (1.5, 2), (2.4, 2), (2.5, 2), (9.0, 2)]

    assert [False, False, False, False, True, False] == [settling.is_ready(_stamp(n), now) for now, n in seen]


def test_a_missing_file_is_no_change() -> None:
    """Whoever saves by removing and writing is given the time to."""
    settling = Settling(_stamp(0))

    assert [False] * 3 == [settling.is_ready(None, now) for now in (1.0, 5.0, 9.0)]
    assert not settling.is_ready(_stamp(1), 10.0)
    assert settling.is_ready(_stamp(1), 11.0)


def test_a_file_that_was_read_by_command_is_not_read_again() -> None:
    """`apply` was faster than the second of standing still."""
    settling = Settling(_stamp(0))
    settling.is_ready(_stamp(1), 1.0)
    settling.read(_stamp(1))

    assert not settling.is_ready(_stamp(1), 9.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.one_of(st.none(), st.integers(0, 3))), max_size=40))
def test_the_file_is_only_read_after_a_second_without_change(looks: list[tuple[float, int | None]]) -> None:
    """Over any history of saves: whenever it is read, every look of the last second saw the same file."""
    settling, now, history = Settling(_stamp(0)), 0.0, list[tuple[float, Stamp | None]]()
    for wait, number in looks:
        now += wait
        current = _stamp(number) if number is not None else None
        history.append((now, current))
        if settling.is_ready(current, now):
            assert current is not None
            first = next(at for at, seen in reversed(history) if seen == current and _since(history, at, current))
            assert now - _begin(history, current) >= STILL_FOR.seconds - 1e-9
            assert first <= now


def _since(history: list[tuple[float, Stamp | None]], at: float, stamp: Stamp) -> bool:
    return all(seen == stamp for when, seen in history if when >= at)


def _begin(history: list[tuple[float, Stamp | None]], stamp: Stamp) -> float:
    """Return since when the newest looks have all seen ``stamp``."""
    begin = history[-1][0]
    for at, seen in reversed(history):
        if seen != stamp:
            return begin
        begin = at
    return begin


def test_a_difference_names_what_is_new_changed_and_gone() -> None:
    """One line that says what a saved file does."""
    before = fleet(deployment("a"), deployment("b"), deployment("same"))
    after = fleet(deployment("b", made_from=template(version=2)), deployment("c"), deployment("same"))

    assert "new: c; changed: b; no longer declared: a" == difference(before, after)
    assert "nothing changed" == difference(before, before)


@given(fleets())
def test_a_fleet_that_goes_down_wants_nothing(declared: Fleet) -> None:
    """Whatever is declared or asked for by command, nothing is wanted, and nothing else of it changes."""
    names = sorted(declared.deployments)
    asked = Intents(scale=tuple(ScaleIntent(deployment=name, replicas=3, declared=0) for name in names))

    down = nothing_wanted(attrs.evolve(declared, intents=asked))

    assert {0} >= {one.replicas for one in down.deployments.values()}
    assert () == down.intents.scale
    assert {name: one.targets for name, one in declared.deployments.items()} == {
        name: one.targets for name, one in down.deployments.items()
    }


def test_a_cluster_that_does_not_answer_is_among_what_does_not_work() -> None:
    """With its name and the words of the failure, beside all else that is wrong; what answers is not told of."""
    world = World(
        clusters={
            "here": Reachable(snapshot=Snapshot(capabilities=_ABLE)),
            "there": Unreachable(since=5, error="no route"),
        }
    )
    plan = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={})
    turn = Turn(number=1, at=5, fleet=fleet(), world=world, plan=plan)
    view = View(fleet=turn.fleet, table=plan.table, turn=turn, problems=("events are not kept",))

    assert ("events are not kept", "cluster there does not answer: no route") == view.wrong
    assert () == attrs.evolve(view, turn=None, problems=()).wrong


def test_what_is_wrong_with_gateways_is_among_what_does_not_work() -> None:
    """One that does not answer, one that refuses its table, and an address that clients cannot use."""
    routes = {
        "minilm": RouteView(port=18000, passages={}, problem="process 7 has it"),
        "other": RouteView(port=18001, passages={}),
    }
    states: dict[str, GatewayState] = {
        "back": Unseen(since=5, error="connection refused"),
        "edge": Seen(GatewayView(settled=False, problem="no such field", routes=routes)),
        "front": Seen(GatewayView(settled=True, problem="its disk is full")),
        "well": Seen(GatewayView(settled=True)),
    }
    world = World(clusters={}, data_path=DataPath(gateways=states))
    plan = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={})
    turn = Turn(number=1, at=5, fleet=fleet(), world=world, plan=plan)

    assert (
        "gateway back does not answer: connection refused",
        "gateway edge does not use the newest table: no such field",
        "clients cannot use port 18000 of gateway edge for minilm: process 7 has it",
        "gateway front reports a problem: its disk is full",
    ) == View(fleet=turn.fleet, table=plan.table, turn=turn).wrong


def test_the_longest_stop_is_drain_and_kill_of_the_slowest() -> None:
    """The seconds that the slowest replica may take; nothing is waited for where nothing is declared."""
    quick, slow = deployment("a", made_from=template(drain=1_000)), deployment("b", made_from=template(drain=7_000))

    assert 7.1 == longest_stop(fleet(quick, slow))
    assert 0.0 == longest_stop(fleet())


def test_a_wrong_name_gets_the_nearest_one() -> None:
    """A typing error is answered with what was meant."""
    assert "did you mean 'minilm'?" == nearest("minlm", ["minilm", "other"])
    assert "there are: a, b" == nearest("zzz", ["b", "a"])
    assert "there are none" == nearest("zzz", [])


def test_a_command_about_what_the_file_does_not_say_names_what_it_does_say() -> None:
    """A name that is only misspelt is the common case."""
    declared = fleet(deployment("minilm"))
    with pytest.raises(Unknown, match="there is no deployment 'minlm' in the fleet file") as refused:
        declared_to_stay(declared, "minlm")
    assert "minilm" in str(refused.value.hint)
    with pytest.raises(Unknown):
        delete(declared, World(clusters={}), "minlm")


def test_what_a_command_deleted_takes_no_more_commands() -> None:
    """It would come back with another count, and nobody had asked for that."""
    declared = fleet(deployment("minilm"))
    ordered = delete(declared, World(clusters={}), "minilm")
    assert "minilm was deleted by command" == ordered.text
    with pytest.raises(BadRequest, match="is being deleted"):
        declared_to_stay(attrs.evolve(declared, intents=ordered.intents), "minilm")


@given(st.integers())
def test_a_count_is_taken_where_there_can_be_so_many(replicas: int) -> None:
    """From none to as many as the fleet file may say."""
    declared = fleet(deployment("minilm"))
    minilm = declared_to_stay(declared, "minilm")
    if 0 <= replicas <= MAX_REPLICAS:
        assert [replicas] == [one.replicas for one in scale(declared, minilm, replicas).intents.scale]
    else:
        with pytest.raises(BadRequest, match=f"{replicas} is no number of replicas"):
            scale(declared, minilm, replicas)
