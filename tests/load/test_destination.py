"""Where requests go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.cli.destination import Aim, aim, aim_at_deployment
from roadstead.cli.errors import NotFound
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Settings
from roadstead.decide.report import AddressStatus, FleetStatus, Life
from roadstead.spi.load import Wire
from tests.cli.stage import Stage, declared, fleet_of


@pytest.fixture(scope="module")
def status() -> FleetStatus:
    """A fleet with two replicas listed."""
    stage = Stage(fleet_of(declared()))
    return stage.until(lambda status: status.deployments[0].listed == 2)


def with_first(status: FleetStatus, **changes: Any) -> FleetStatus:
    """Return the fleet with its deployment changed."""
    return attrs.evolve(status, deployments=(attrs.evolve(status.deployments[0], **changes),))


@pytest.mark.parametrize("wire", list(Wire))
def test_without_a_gateway_requests_go_to_every_listed_replica(status: FleetStatus, wire: Wire) -> None:
    """At the port of the protocol."""
    replicas = status.deployments[0].replicas
    ports = [one.grpc if wire is Wire.GRPC else one.rest for one in replicas]
    expected = tuple(f"{one.host}:{port}" for one, port in zip(replicas, ports, strict=True))
    assert Aim(addresses=expected, model="minilm") == aim_at_deployment(status, "minilm", wire, None)
    assert 2 == len(set(expected))


def test_a_replica_that_leaves_gets_nothing(status: FleetStatus) -> None:
    """It may finish what it has."""
    leaving, staying = status.deployments[0].replicas
    drained = with_first(status, replicas=(attrs.evolve(leaving, life=Life.DRAINING), staying))
    assert (f"{staying.host}:{staying.grpc}",) == aim_at_deployment(drained, "minilm", Wire.GRPC, None).addresses


@pytest.mark.parametrize("tls", [False, True])
def test_with_a_gateway_requests_go_through_it(status: FleetStatus, tls: bool) -> None:
    """One address for both protocols, also while no replica is listed: that is what is to be measured."""
    address = AddressStatus(gateway="edge", host="127.0.0.1", port=18000, tls=tls, served=True, problem="")
    routed = with_first(status, address=address, replicas=())
    for wire in Wire:
        expected = Aim(addresses=("127.0.0.1:18000",), model="other", tls=tls)
        assert expected == aim_at_deployment(routed, "minilm", wire, "other")


def test_a_gateway_that_listens_everywhere_is_reached_on_a_loopback_address(status: FleetStatus) -> None:
    """A certificate can name that one; an address of the machine's own is left as it is."""
    places = {"0.0.0.0": "127.0.0.1:18000", "::": "[::1]:18000", "10.0.0.7": "10.0.0.7:18000"}  # noqa: S104
    for host, expected in places.items():
        address = AddressStatus(gateway="edge", host=host, port=18000, tls=True, served=True, problem="")
        assert (expected,) == aim_at_deployment(
            with_first(status, address=address), "minilm", Wire.GRPC, None
        ).addresses


def test_where_nothing_is_listed_that_is_said(status: FleetStatus) -> None:
    """With the command that says why."""
    with pytest.raises(NotFound, match="no replica of minilm is listed that serves grpc") as caught:
        aim_at_deployment(with_first(status, replicas=()), "minilm", Wire.GRPC, None)
    assert "`roadstead why minilm`" == caught.value.hint


@pytest.mark.parametrize("address", ["127.0.0.1:8500", "[::1]:8500", "models.example:80"])
def test_an_address_is_taken_as_it_is(address: str, tmp_path: Path) -> None:
    """Without a fleet file, and without a look at one."""
    screen = Screen(Settings({"file": tmp_path / "none.yaml"}))
    assert Aim(addresses=(address,), model="m") == aim(screen, address, Wire.GRPC, "m")
