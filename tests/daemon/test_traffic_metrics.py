"""What gateways measure, as it is scraped."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

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
    MeanLoad,
    RouteLoad,
    RouteView,
    Seen,
    ServerLoad,
    ServerReading,
    Unseen,
)
from roadstead.world import NO_SERVER_LOADS, Endpoint, Group, GroupKey, Member, Phase, Replica, Shard, World
from tests.act.scene import fleet, template

HERE, UNKNOWN = (Endpoint(host=f"127.0.1.{number}", grpc=8500, rest=8501) for number in (1, 2))
NONE: Mapping[EventKind, int] = {}


def scraped(
    data_path: DataPath, *, beginning: str = "", server_loads: Mapping[str, ServerReading] = NO_SERVER_LOADS
) -> list[str]:
    """Return the samples about a gateway, or with that ``beginning``, for a world with one replica."""
    group = Group(
        key=GroupKey("minilm", "abc"), owner="search", owner_id="me", generation=1, target=1, template=template()
    )
    replica = Replica(id="r1", phase=Phase.RUNNING, endpoint=HERE, incarnation="i1")
    member = Member(cluster="here", reachable=True, group=group, replica=replica, model=None)
    shards = {"minilm": Shard(deployment="minilm", members=(member,))}
    world = World(clusters={}, shards=shards, server_loads=server_loads)
    plan = Plan(steps=(), held=(), table=Table(), memory=PlanMemory(), wanted={}, floor={})
    turn = Turn(number=1, at=5, fleet=fleet(), world=world, plan=plan)
    metrics = Metrics(lambda: View(fleet=turn.fleet, table=plan.table, turn=turn), NONE, lambda: data_path)
    samples = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    return [line for line in samples if (line.startswith(beginning) if beginning else "gateway=" in line)]


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


def test_what_servers_count_is_scraped() -> None:
    """Beside the gateways' numbers and under other names; what is not known has no sample."""
    counted = ServerLoad(ok=90, failed=10, latency=4_500.0)
    mean = MeanLoad(rate=12.0, error_rate=2.0, latency=50.0, in_flight=0.5)
    labels = '{cluster="here",deployment="minilm",replica="r1"}'
    known = ServerReading(incarnation="i1", at=5_000, counted=counted, seconds=5.0, mean=mean)
    totals = [
        f"roadstead_server_requests_total{labels} 100.0",
        f"roadstead_server_request_errors_total{labels} 10.0",
    ]
    read = f"roadstead_server_read_timestamp_seconds{labels} 5.0"

    def said(reading: ServerReading) -> list[str]:
        return scraped(DataPath(), beginning="roadstead_server_", server_loads={"r1": reading})

    assert [
        *totals,
        f"roadstead_server_request_rate{labels} 12.0",
        f"roadstead_server_requests_in_flight{labels} 0.5",
        f"roadstead_server_request_seconds{labels} 0.05",
        read,
    ] == said(known)
    coarse = MeanLoad(rate=12.0, error_rate=2.0, latency=None, in_flight=None)
    assert [*totals, f"roadstead_server_request_rate{labels} 12.0", read] == said(attrs.evolve(known, mean=coarse))
    assert [*totals, read] == said(attrs.evolve(known, mean=None))
    assert [] == said(attrs.evolve(known, incarnation="an-earlier-one"))
