"""From a plan's table to what each gateway is offered."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.routing import Checks, Routing, routing
from roadstead.errors import Rejected
from roadstead.model import Address, Fleet, Template
from roadstead.plans import Table
from roadstead.spi.gateway import Destination
from roadstead.spi.runtime import Check, Launch, Program, Runtime
from roadstead.traffic import DataPath, GatewayState, GatewayView, Passage, RouteView, Seen, Unseen
from roadstead.world import Endpoint, Group, GroupKey, Listed, Member, Phase, Replica, Shard, Unreachable, World
from roadstead_backends.simulated.network import SimulatedRuntime
from tests.act.scene import deployment, fleet, template
from tests.act.tiny_gateway import spec

NAMES = ("anchor", "buoy", "cable")


def check(made_from: Template) -> Check:
    """Return a check that tells templates apart."""
    return Check(f"/v1/models/{made_from.model.name}", str(made_from.model.version))


def at(number: int) -> Endpoint:
    """Return one of many endpoints."""
    return Endpoint(host=f"127.0.1.{number}", grpc=8500, rest=8501)


def entry(number: int) -> Listed:
    """Return the entry of the replica at :func:`at`."""
    return Listed(cluster="here", replica=f"r{number}", endpoint=at(number))


def shard(name: str, versions: Mapping[int, int]) -> Shard:
    """Return a deployment whose replicas serve these versions."""
    members = tuple(
        Member(
            cluster="here",
            reachable=True,
            group=Group(
                key=GroupKey(name, f"v{version}"),
                owner="search",
                owner_id="me",
                generation=version,
                target=1,
                template=template(version=version),
            ),
            replica=Replica(id=f"r{number}", phase=Phase.RUNNING, endpoint=at(number)),
            model=None,
        )
        for number, version in versions.items()
    )
    return Shard(deployment=name, members=members)


def shop(addresses: Mapping[str, int]) -> Fleet:
    """Return a fleet that serves these deployments at these ports, whether it declares them or not."""
    return attrs.evolve(
        fleet(deployment("anchor"), deployment("buoy")),
        gateways={"edge": spec(), "front": spec("front")},
        addresses={name: Address(gateway="edge", host="127.0.0.1", port=port) for name, port in addresses.items()},
    )


def world(*shards: Shard, edge: GatewayState | None = None, unseen: bool = False) -> World:
    """Return a world with these deployments; ``unseen``: there is a cluster that has not answered yet."""
    return World(
        clusters={"there": Unreachable(since=1, error="silence")} if unseen else {},
        shards={one.deployment: one for one in shards},
        data_path=DataPath(gateways={"edge": edge} if edge is not None else {}),
    )


def test_a_route_has_what_is_listed_and_what_drains_in_order() -> None:
    """Each with the check of its own template; a deployment's port is the one that it was given."""
    table = Table({"anchor": (entry(3), entry(1))}, {"anchor": (entry(2),)})

    made = routing(Routing(), shop({"anchor": 18004}), world(shard("anchor", {1: 1, 2: 1, 3: 2})), table, check)

    (route,) = made.tables["edge"].routes.values()
    assert ("anchor", 18004) == (route.deployment, route.port)
    assert (
        Destination(endpoint=at(1), check=Check("/v1/models/minilm", "1")),
        Destination(endpoint=at(2), draining=True, check=Check("/v1/models/minilm", "1")),
        Destination(endpoint=at(3), check=Check("/v1/models/minilm", "2")),
    ) == route.destinations


def test_a_deployment_without_endpoints_has_a_route_all_the_same() -> None:
    """Its clients are told that nobody is there, whether the file declares it, or no longer does."""
    made = routing(Routing(), shop({"anchor": 18000, "gone": 18001}), world(), Table({"anchor": ()}), check)

    assert {"anchor": (), "gone": ()} == {
        name: route.destinations for name, route in made.tables["edge"].routes.items()
    }
    assert {} == made.tables["front"].routes


def test_what_is_listed_somewhere_is_listed() -> None:
    """An endpoint that one replica has left and another one serves at gets requests."""
    table = Table({"anchor": (entry(1),)}, {"anchor": (attrs.evolve(entry(1), replica="before"),)})

    made = routing(Routing(), shop({"anchor": 18000}), world(), table, check)

    assert (Destination(endpoint=at(1)),) == made.tables["edge"].routes["anchor"].destinations


numbers = st.lists(st.integers(1, 9), unique=True, max_size=4)
tables = st.builds(
    lambda listed, draining: Table(
        {name: tuple(map(entry, numbers)) for name, numbers in listed.items()},
        {name: tuple(map(entry, numbers)) for name, numbers in draining.items()},
    ),
    st.dictionaries(st.sampled_from(NAMES), numbers),
    st.dictionaries(st.sampled_from(NAMES), numbers),
)
ports = st.dictionaries(st.sampled_from(NAMES), st.integers(18000, 18003))


@given(ports, tables, ports, tables)
def test_what_was_made_before_only_saves_work(
    first: Mapping[str, int], before: Table, second: Mapping[str, int], after: Table
) -> None:
    """The tables are those that would be made from nothing, and what is equal to before is the same object."""
    seen = world(*(shard(name, {number: 1 + number % 2 for number in range(1, 10)}) for name in NAMES))
    old = routing(Routing(), shop(first), seen, before, check)

    new = routing(old, shop(second), seen, after, check)

    assert routing(Routing(), shop(second), seen, after, check).tables == new.tables
    for name, table in new.tables.items():
        assert (old.tables[name] == table) == (old.tables[name] is table)
        for deployed, route in table.routes.items():
            known = old.tables[name].routes.get(deployed)
            assert (known == route) == (known is route)
    assert new is routing(new, attrs.evolve(shop(second), addresses=new.addresses), seen, after, check)


LISTED = Passage(listed=True, serving=True, idle=False)
BUSY = Passage(listed=False, serving=False, idle=False)
PAST = Passage(listed=False, serving=False, idle=True)


def test_what_a_gateway_lists_stays_until_every_cluster_was_seen_once() -> None:
    """It may be of a cluster that does not answer a daemon which has just started; what nobody is at drains after."""
    view = GatewayView(
        settled=True,
        routes={
            "anchor": RouteView(port=18000, passages={at(1): LISTED, at(2): BUSY, at(3): PAST, at(4): LISTED}),
        },
    )
    table = Table({"anchor": (entry(5),)})
    known = shard("anchor", {4: 1, 5: 2})
    declared, edge = shop({"anchor": 18000}), Seen(view)
    own = Destination(endpoint=at(5), check=Check("/v1/models/minilm", "2"))
    guessed = Check("/v1/models/minilm", "1")

    unsure = routing(Routing(), declared, world(known, edge=edge, unseen=True), table, check, inherited={"edge"})
    fresh = routing(Routing(), declared, world(known, edge=edge, unseen=True), table, check)
    sure = routing(unsure, declared, world(known, edge=edge), table, check, inherited={"edge"})

    assert (
        Destination(endpoint=at(1), check=guessed),
        Destination(endpoint=at(2), draining=True, check=guessed),
        own,
    ) == unsure.tables["edge"].routes["anchor"].destinations
    left = tuple(Destination(endpoint=at(number), draining=True, check=guessed) for number in (1, 2))
    assert (*left, own) == fresh.tables["edge"].routes["anchor"].destinations
    assert (*left, own) == sure.tables["edge"].routes["anchor"].destinations


def test_a_gateway_that_served_before_and_shows_nothing_gets_no_table_until_all_is_known() -> None:
    """Offering one would take away what nobody knows; a gateway that never served can lose nothing."""
    declared, silent = shop({"anchor": 18000}), Unseen(since=1, error="silence")

    before = routing(Routing(), declared, world(edge=silent, unseen=True), Table(), check, inherited={"edge"})
    after = routing(before, declared, world(edge=silent), Table(), check, inherited={"edge"})

    assert {"front"} == before.tables.keys()
    assert {"edge", "front"} == after.tables.keys()


def test_a_gateway_that_a_deployment_has_left_keeps_what_may_have_requests_until_it_is_idle() -> None:
    """Only there can it be seen; whether the deployment went to another gateway or gave up having one."""
    left = RouteView(port=18003, passages={at(1): LISTED, at(2): BUSY, at(3): PAST})
    idle = RouteView(port=18003, passages={at(1): PAST, at(2): PAST, at(3): PAST})
    known = shard("anchor", {1: 1, 2: 1, 3: 1})
    elsewhere, table = shop({"buoy": 18000}), Table({"anchor": (entry(1),), "buoy": ()})

    def offered(before: Routing, route: RouteView) -> Routing:
        edge = Seen(GatewayView(settled=True, routes={"anchor": route}))
        return routing(before, elsewhere, world(known, edge=edge), table, check)

    busy = offered(Routing(), left)
    past = offered(busy, idle)

    route = busy.tables["edge"].routes["anchor"]
    assert 18003 == route.port
    assert [(at(1), True), (at(2), True)] == [(one.endpoint, one.draining) for one in route.destinations]
    assert {"buoy"} == past.tables["edge"].routes.keys()
    assert past is offered(past, idle)


@attrs.define
class Counted(SimulatedRuntime):
    """A runtime with a check that counts how often it is asked how to start a server."""

    asked: int = 0

    def launch(self, template: Template) -> Launch:
        """Count."""
        self.asked += 1
        if template.model.version == 13:
            raise Rejected("no such luck", cluster="")
        return Launch(program=Program(executable="x"), args=(), check=Check("/health", template.model.name))


def test_a_runtime_is_asked_once_for_the_check_of_a_template() -> None:
    """And where it is not installed, or fails, there is no check, and a route all the same."""
    runtime = Counted()
    runtimes: Mapping[str, Runtime] = {"simulated": runtime}
    checks = Checks(runtimes)

    assert Check("/health", "minilm") == checks(template())
    assert checks(template()) is checks(template())
    assert 1 == runtime.asked
    assert checks(template(version=13)) is None
    assert Checks({})(template()) is None
