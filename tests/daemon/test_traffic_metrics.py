"""What gateways measure, as it is scraped."""

from __future__ import annotations

from collections.abc import Mapping

from roadstead.act.events import EventKind, Turn
from roadstead.daemon.metrics import Metrics
from roadstead.daemon.view import View
from roadstead.memory import PlanMemory
from roadstead.plans import Plan, Table
from roadstead.traffic import (
    DataPath,
    GatewayView,
    Latency,
    Load,
    RouteLoad,
    RouteView,
    Seen,
    Unseen,
)
from roadstead.world import Endpoint, Group, GroupKey, Member, Phase, Replica, Shard, World
from tests.act.scene import fleet, template

HERE, UNKNOWN = (Endpoint(host=f"127.0.1.{number}", grpc=8500, rest=8501) for number in (1, 2))
NONE: Mapping[EventKind, int] = {}


def scraped(data_path: DataPath) -> list[str]:
    """Return the samples about the data path, for a world with one replica."""
    group = Group(
        key=GroupKey("minilm", "abc"), owner="search", owner_id="me", generation=1, target=1, template=template()
    )
    replica = Replica(id="r1", phase=Phase.RUNNING, endpoint=HERE)
    member = Member(cluster="here", reachable=True, group=group, replica=replica, model=None)
    world = World(clusters={}, shards={"minilm": Shard(deployment="minilm", members=(member,))})
    plan = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={})
    turn = Turn(number=1, at=5, fleet=fleet(), world=world, plan=plan)
    metrics = Metrics(lambda: View(fleet=turn.fleet, table=plan.table, turn=turn), NONE, lambda: data_path)
    return [line for line in metrics.text().decode().splitlines() if "gateway=" in line and not line.startswith("#")]


def test_the_load_of_routes_and_replicas_is_scraped() -> None:
    """An endpoint that no replica is at is in the route's sum only; milliseconds become seconds."""
    busy = Load(
        in_flight=3, requests=70, errors=2, rate=12.5, error_rate=0.0, latency=Latency(p50=4.0, p90=9.0, p99=250.0)
    )
    quiet = Load(in_flight=1, requests=30, errors=0)
    view = GatewayView(
        settled=True,
        routes={"minilm": RouteView(port=18000, passages={}), "other": RouteView(port=1, passages={}, problem="taken")},
        loads={"minilm": RouteLoad(total=busy, endpoints={HERE: quiet, UNKNOWN: busy})},
    )

    assert [
        'roadstead_gateway_up{gateway="edge"} 1.0',
        'roadstead_gateway_settled{gateway="edge"} 1.0',
        'roadstead_route_usable{deployment="minilm",gateway="edge"} 1.0',
        'roadstead_route_usable{deployment="other",gateway="edge"} 0.0',
        'roadstead_requests_total{deployment="minilm",gateway="edge"} 70.0',
        'roadstead_request_errors_total{deployment="minilm",gateway="edge"} 2.0',
        'roadstead_requests_in_flight{deployment="minilm",gateway="edge"} 3.0',
        'roadstead_request_rate{deployment="minilm",gateway="edge"} 12.5',
        'roadstead_request_seconds{deployment="minilm",gateway="edge",quantile="0.5"} 0.004',
        'roadstead_request_seconds{deployment="minilm",gateway="edge",quantile="0.9"} 0.009',
        'roadstead_request_seconds{deployment="minilm",gateway="edge",quantile="0.99"} 0.25',
        'roadstead_replica_requests_total{cluster="here",deployment="minilm",gateway="edge",replica="r1"} 30.0',
        'roadstead_replica_request_errors_total{cluster="here",deployment="minilm",gateway="edge",replica="r1"} 0.0',
        'roadstead_replica_requests_in_flight{cluster="here",deployment="minilm",gateway="edge",replica="r1"} 1.0',
    ] == scraped(DataPath(gateways={"edge": Seen(view)}))


def test_what_a_gateway_that_does_not_answer_showed_last_is_not_scraped() -> None:
    """Old numbers look like new ones on a chart."""
    load = RouteLoad(total=Load(in_flight=3, requests=70, errors=2))
    last = GatewayView(settled=True, loads={"minilm": load})

    assert ['roadstead_gateway_up{gateway="edge"} 0.0'] == scraped(
        DataPath(gateways={"edge": Unseen(since=1, error="silence", view=last)})
    )
