"""A daemon that starts beside servers that have much to do: what serves goes on serving until it is heard of."""

from __future__ import annotations

import attrs
import pytest

from roadstead.decide.planner import plan
from roadstead.memory import PlanMemory
from roadstead.traffic import DataPath, Endpoint, GatewayView, Passage, RouteView, Seen
from roadstead.world import ModelState, ModelStatus, Unreachable, World
from tests.decide.scene import Scene, deployment, fleet, nodes

WELL = Passage(listed=True, serving=True, idle=False)
ILL = Passage(listed=True, serving=False, idle=False)


@pytest.mark.parametrize(("passage", "listed"), [pytest.param(WELL, 2, id="well"), pytest.param(ILL, 0, id="not well")])
def test_the_endpoints_of_a_silent_cluster_stay_listed_while_the_gateway_sees_them_healthy(
    passage: Passage, listed: int
) -> None:
    """The daemon may be cut off from servers that clients reach."""
    scene, world = seen_anew(passage, heard=True)
    shard = world.shards["anchor"]
    members = tuple(attrs.evolve(member, reachable=False) for member in shard.members)
    view = world.clusters["here"]
    silent = Unreachable(since=0, error="no route to host", snapshot=view.snapshot)
    cut_off = attrs.evolve(world, clusters={"here": silent}, shards={"anchor": attrs.evolve(shard, members=members)})
    decided = plan(scene.fleet, cut_off, PlanMemory(), scene.clock.now(), scene.drive.policies)
    assert listed == len(decided.table.endpoints["anchor"])


def seen_anew(passage: Passage, *, heard: bool) -> tuple[Scene, World]:
    """Return a settled scene with a gateway, and its world as a new daemon sees it whose servers do not answer yet."""
    scene = Scene(fleet(deployment()), {"here": nodes(2)})
    scene.turns(10)
    world = scene.drive.observe()
    endpoints: list[Endpoint] = [
        member.replica.endpoint for member in world.shards["anchor"].members if member.replica.endpoint is not None
    ]
    route = RouteView(port=18000, passages=dict.fromkeys(endpoints, passage))
    path = DataPath(
        gateways={"edge": Seen(GatewayView(settled=True, routes={"anchor": route}))}, via={"anchor": "edge"}
    )
    shard = world.shards["anchor"]
    members = tuple(
        attrs.evolve(
            member,
            model=ModelState(
                status=ModelStatus.UNKNOWN, incarnation=member.replica.incarnation, error="deadline", heard=heard
            ),
            passage=passage,
        )
        for member in shard.members
    )
    shards = {"anchor": attrs.evolve(shard, members=members)}
    return scene, attrs.evolve(world, shards=shards, data_path=path)


@pytest.mark.parametrize(
    ("passage", "heard", "listed"),
    [
        pytest.param(WELL, False, 2, id="never heard of, and well by the gateway: listed"),
        pytest.param(ILL, False, 0, id="never heard of, and not well by the gateway"),
        pytest.param(WELL, True, 0, id="asked in vain often enough"),
    ],
)
def test_a_replica_that_nobody_has_heard_of_yet_stays_listed_where_the_gateway_finds_it_well(
    passage: Passage, heard: bool, listed: int
) -> None:
    """The gateway's own check speaks for it until the runtime does, or has been silent for long enough."""
    scene, world = seen_anew(passage, heard=heard)
    decided = plan(scene.fleet, world, PlanMemory(), scene.clock.now(), scene.drive.policies)
    assert listed == len(decided.table.endpoints["anchor"])


def test_what_nobody_declares_any_more_stays_listed_too_until_it_is_heard_of() -> None:
    """It is left as it is, also by a daemon that has only just begun to ask."""
    scene, world = seen_anew(WELL, heard=False)
    scene.withdraw("anchor")
    decided = plan(scene.fleet, world, PlanMemory(), scene.clock.now(), scene.drive.policies)
    assert 2 == len(decided.table.endpoints["anchor"])
    assert {} == decided.table.draining
