"""What happens on the data path, as it is told from two turns."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from roadstead.act.events import Event, EventKind, Turn
from roadstead.act.traffic_events import overdue, passed
from roadstead.memory import PlanMemory
from roadstead.plans import Plan, Shrink, Table
from roadstead.traffic import (
    DataPath,
    GatewayState,
    GatewayView,
    Load,
    RouteLoad,
    RouteView,
    Seen,
    Unseen,
)
from roadstead.world import Endpoint, Group, GroupKey, Member, Outcome, OutcomeKind, Phase, Replica, Shard, World
from tests.act.scene import fleet, template

HERE, THERE = (Endpoint(host=f"127.0.1.{number}", grpc=8500, rest=8501) for number in (1, 2))
KEY = GroupKey("minilm", "abc")
PLAN = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={})
SHRINK = Shrink(
    cluster="here",
    group=KEY,
    owner="search",
    generation=1,
    template=template(),
    target=0,
    was=2,
    retire=("r1", "r2"),
    overdue=("r1",),
    version="1",
    standing=(),
    because="fewer are wanted",
)


def turn(gateways: Mapping[str, GatewayState], at: int = 9) -> Turn:
    """Return a turn that saw these gateways, and nothing else."""
    world = World(clusters={}, data_path=DataPath(gateways=gateways))
    return Turn(number=1, at=at, fleet=fleet(), world=world, plan=PLAN)


def seen(*, settled: bool = True, problem: str = "", taken: str = "") -> Seen:
    """Return a gateway with one route."""
    routes = {"minilm": RouteView(port=18000, passages={}, problem=taken)}
    return Seen(GatewayView(settled=settled, problem=problem, routes=routes))


SILENT = Unseen(since=4, error="connection refused")


def texts(events: tuple[Event, ...]) -> list[tuple[int, EventKind, str, str]]:
    """Return what of these events people read."""
    return [(event.at, event.kind, event.subject, event.text) for event in events]


def test_a_gateway_that_falls_silent_is_told_of_once_with_the_moment_when_it_did() -> None:
    """And that it answers again; one that has not been started yet is no story."""
    assert () == passed(None, turn({"edge": SILENT}))
    assert () == passed(turn({"edge": SILENT}), turn({"edge": SILENT}))
    assert () == passed(turn({}), turn({"edge": SILENT}))
    assert [(4, EventKind.GATEWAY_LOST, "edge", "gateway edge does not answer: connection refused")] == texts(
        passed(turn({"edge": seen()}), turn({"edge": SILENT}))
    )
    assert [(9, EventKind.GATEWAY_BACK, "edge", "gateway edge answers")] == texts(
        passed(turn({"edge": SILENT}), turn({"edge": seen()}))
    )


def test_each_trouble_is_told_of_once_in_the_gateways_words() -> None:
    """A table that it refuses, a port that it cannot open, anything else; other words are another trouble."""
    well = turn({"edge": seen()})
    refusing = turn({"edge": seen(settled=False, problem="no such field")})
    ill = turn({"edge": seen(problem="its disk is full")})
    taken = turn({"edge": seen(taken="process 7 has it")})

    assert [(9, EventKind.TABLE_REJECTED, "edge", "gateway edge does not use the newest table: no such field")] == (
        texts(passed(well, refusing))
    )
    assert [(9, EventKind.GATEWAY_PROBLEM, "edge", "gateway edge has a problem: its disk is full")] == texts(
        passed(refusing, ill)
    )
    assert [
        (
            9,
            EventKind.ROUTE_PROBLEM,
            "edge",
            "clients cannot use port 18000 of gateway edge for minilm: process 7 has it",
        )
    ] == texts(passed(None, taken))
    for same in (refusing, ill, taken):
        assert () == passed(same, same)
    assert () == passed(taken, well)


def gone(load: Load | None, kind: OutcomeKind = OutcomeKind.DONE) -> Turn:
    """Return a turn that took two replicas down, one of which was overdue."""
    group = Group(
        key=KEY, owner="search", owner_id="me", generation=1, target=2, template=template(drain=30_000), replicas=()
    )
    members = tuple(
        Member(
            cluster="here",
            reachable=True,
            group=group,
            replica=Replica(id=name, phase=Phase.RUNNING, endpoint=endpoint),
            model=None,
        )
        for name, endpoint in (("r1", HERE), ("r2", THERE))
    )
    loads = {"minilm": RouteLoad(total=load, endpoints={HERE: load})} if load is not None else {}
    path = DataPath(gateways={"edge": Seen(GatewayView(settled=True, loads=loads)), "front": SILENT})
    world = World(clusters={}, shards={"minilm": Shard(deployment="minilm", members=members)}, data_path=path)
    outcome = Outcome(turn=1, cluster="here", subject=SHRINK.subject, kind=kind)
    made = attrs.evolve(PLAN, steps=(SHRINK,))
    return Turn(number=1, at=9, fleet=fleet(), world=world, plan=made, outcomes=(outcome,))


def test_requests_that_were_cut_off_are_counted_and_told() -> None:
    """With how many were last seen; only of replicas whose grace was over, and that were really stopped."""
    story = [
        (9, EventKind.OVERDUE, "r1", f"r1 was stopped with {busy} in flight: its 30s to drain were over")
        for busy in ("3 requests", "1 request", "requests that may be")
    ]

    assert story == [
        texts(passed(None, gone(load)))[0]
        for load in (Load(in_flight=3, requests=9, errors=0), Load(in_flight=1, requests=9, errors=0), None)
    ]
    assert ["r1"] == [one.member.replica.id for one in overdue(gone(None))]
    assert [] == list(overdue(gone(None, OutcomeKind.CONFLICT)))
