"""Ports: by hand, as before, or the next free one; nobody's is taken from him, and two never share one."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from hypothesis import given
from hypothesis import strategies as st

from roadstead.act.addresses import assigned, spent
from roadstead.model import Address, Fleet, GatewaySpec, Intents, RemoveIntent, Via
from roadstead.world import Reachable, Shard, Snapshot, Unreachable, World
from tests.act.scene import ABLE, deployment, fleet
from tests.act.tiny_gateway import spec

NAMES = ("anchor", "buoy", "cable", "dinghy", "ebb")
EDGE = spec(first=18000, last=18003)
FRONT = attrs.evolve(spec("front", first=18000, last=18003), address="127.0.0.2")


def shop(vias: dict[str, Via | None], *gateways: GatewaySpec, removed: Iterable[str] = ()) -> Fleet:
    """Return a fleet of these deployments behind these gateways."""
    return attrs.evolve(
        fleet(*(attrs.evolve(deployment(name), via=via) for name, via in vias.items())),
        gateways={one.name: one for one in gateways or (EDGE, FRONT)},
        intents=Intents(remove=tuple(RemoveIntent(deployment=name) for name in removed)),
    )


def at(port: int, gateway: GatewaySpec = EDGE) -> Address:
    """Return an address of a gateway."""
    return Address(gateway=gateway.name, host=gateway.address, port=port)


vias = st.one_of(
    st.none(),
    st.builds(Via, gateway=st.sampled_from(["edge", "front"]), port=st.none() | st.integers(17999, 18005)),
)
fleets = st.dictionaries(st.sampled_from(NAMES), vias).map(shop)
kept_addresses = st.dictionaries(
    st.sampled_from(NAMES), st.builds(at, st.integers(18000, 18005), st.sampled_from([EDGE, FRONT]))
).filter(lambda kept: len(set(kept.values())) == len(kept))


@given(fleets, kept_addresses)
def test_no_two_deployments_share_an_address(declared: Fleet, kept: dict[str, Address]) -> None:
    """Each address is one deployment's, and whoever should have one and has none is told why."""
    given_ = assigned(declared, kept)

    places = [(one.host, one.port) for one in given_.addresses.values()]
    assert len(set(places)) == len(places)
    for name, one in declared.deployments.items():
        assert (one.via is not None) == (name in given_.addresses or name in given_.missing)
        assert name not in given_.addresses or name not in given_.missing


@given(fleets, kept_addresses)
def test_an_address_once_given_is_kept(declared: Fleet, kept: dict[str, Address]) -> None:
    """As long as the file does not say another gateway or port, or that there is to be none."""
    given_ = assigned(declared, kept).addresses

    for name, address in kept.items():
        one = declared.deployments.get(name)
        asked = one.via if one is not None else None
        if one is None or (
            asked is not None and asked.gateway == address.gateway and asked.port in {None, address.port}
        ):
            assert address == given_[name]


@given(fleets, kept_addresses)
def test_giving_again_changes_nothing(declared: Fleet, kept: dict[str, Address]) -> None:
    """What was given is what is given the next time, whatever the order in which things are declared."""
    first = assigned(declared, kept)
    turned = attrs.evolve(declared, deployments=dict(reversed(list(declared.deployments.items()))))

    assert first.addresses == assigned(declared, first.addresses).addresses
    assert first == assigned(turned, dict(reversed(kept.items())))


@given(fleets, kept_addresses)
def test_a_port_by_hand_is_that_port_or_somebody_elses(declared: Fleet, kept: dict[str, Address]) -> None:
    """Nobody is given another port than the one that he names."""
    given_ = assigned(declared, kept)

    for name, one in declared.deployments.items():
        if one.via is not None and one.via.port is not None and name in given_.addresses:
            assert (one.via.gateway, one.via.port) == (given_.addresses[name].gateway, given_.addresses[name].port)


def test_a_deployment_is_given_the_lowest_port_that_nobody_has_or_names() -> None:
    """By name, within the range, past what is kept and what is named by hand."""
    declared = shop(
        {"buoy": Via(gateway="edge"), "anchor": Via(gateway="edge"), "cable": Via(gateway="edge", port=18001)}
    )

    given_ = assigned(declared, {"gone": at(18000)}).addresses

    assert {"anchor": at(18002), "buoy": at(18003), "cable": at(18001), "gone": at(18000)} == given_


def test_a_port_by_hand_that_another_has_is_not_taken_from_it() -> None:
    """The clients of whoever has it know it; the newcomer is told who that is."""
    declared = shop({"anchor": Via(gateway="edge"), "buoy": Via(gateway="edge", port=18000)})

    given_ = assigned(declared, {"anchor": at(18000)})

    assert {"anchor": at(18000)} == given_.addresses
    assert (
        "deployment buoy has no address: port 18000 of gateway edge is kept for anchor; "
        "name another with gateway.port, or give anchor another one first"
    ) == given_.missing["buoy"]


def test_a_range_that_is_used_up_is_said() -> None:
    """The others have theirs; whoever is too late learns what to do."""
    declared = shop({name: Via(gateway="edge") for name in NAMES})

    given_ = assigned(declared, {})

    assert 4 == len(given_.addresses)
    assert (
        "deployment ebb has no address: gateway edge has no free port left in 18000-18003; "
        "widen its ports, or name one with gateway.port"
    ) == given_.missing["ebb"]


def test_what_a_held_gateway_serves_stays_there() -> None:
    """Whatever the file says now: the deployment has another gateway, or none, or is gone itself."""
    declared = shop({"anchor": Via(gateway="front"), "buoy": None})
    kept = {"anchor": at(18000), "buoy": at(18001), "cable": at(18002)}

    assert kept == assigned(declared, kept, held={"edge"}).addresses
    let_go = attrs.evolve(declared, gateways={"front": FRONT})
    assert {"anchor": at(18000, FRONT)} == assigned(let_go, kept).addresses


def test_a_host_follows_its_gateway() -> None:
    """The port is what is kept; where the gateway listens is its own business."""
    moved = attrs.evolve(EDGE, address="127.0.0.9")
    declared = shop({"anchor": Via(gateway="edge")}, moved)

    assert {"anchor": at(18001, moved)} == assigned(declared, {"anchor": at(18001)}).addresses


def test_what_a_command_deleted_keeps_its_address_and_gets_no_new_one() -> None:
    """Its clients may still be served; once that is over, it needs none."""
    declared = shop({"anchor": Via(gateway="edge"), "buoy": Via(gateway="edge")}, removed=["anchor", "buoy"])

    assert {"anchor": at(18003)} == assigned(declared, {"anchor": at(18003)}).addresses


def test_an_address_is_given_back_when_nothing_is_left() -> None:
    """Of a deployment that nobody wants, once every cluster says that it has nothing of it."""
    seen = Reachable(Snapshot(capabilities=ABLE))
    declared = attrs.evolve(
        shop({"anchor": Via(gateway="edge"), "buoy": Via(gateway="edge")}, removed=["buoy"]),
        addresses={"anchor": at(18000), "buoy": at(18001), "cable": at(18002), "dinghy": at(18003)},
    )
    world = World(clusters={"here": seen}, shards={"cable": Shard(deployment="cable")})

    assert {"buoy", "dinghy"} == spent(declared, world)
    unseen = Unreachable(since=1, error="silence")
    assert frozenset() == spent(declared, attrs.evolve(world, clusters={"here": seen, "there": unseen}))
