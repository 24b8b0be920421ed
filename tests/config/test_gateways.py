"""What a fleet file says of gateways, and of the way to each deployment."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.config import FleetFileError, ProblemCode, fleet_schema, read_fleet
from roadstead.model import Fleet, GatewaySpec, Tls, Via
from roadstead.spi.records import GatewayPlugin
from tests.config.strangers import host_with

FILE = Path("/fleets/fleet.yaml")


@attrs.frozen(kw_only=True)
class ProxyOptions:
    """The options of a gateway."""

    max_connections: int = attrs.field(default=10_000, metadata={"doc": "at most so many connections of clients"})
    access_log: Path | None = None


HOST = host_with(gateways=(GatewayPlugin(name="proxy", factory="acme:proxy", options=ProxyOptions, summary="a proxy"),))
PLAIN = GatewaySpec(
    name="edge", kind="proxy", address="127.0.0.1", first_port=18000, last_port=18099, options=ProxyOptions()
)
CLUSTERS = "version: 1\nfleet: shop\nclusters: {here: {backend: local}}\n"


def fleet_of(gateways: str, *deployments: str) -> Fleet:
    """Return the fleet with these gateways; each deployment (a, b ...) has one of these lines of keys."""
    lines = [f"  {chr(97 + number)}: {{model: {{source: m}}, {keys}}}\n" for number, keys in enumerate(deployments)]
    return read_fleet(FILE, HOST, text=f"{CLUSTERS}gateways: {gateways}\ndeployments:\n{''.join(lines)}")


def ways(fleet: Fleet) -> dict[str, Via | None]:
    """Return by deployment how its clients connect."""
    return {name: deployment.via for name, deployment in fleet.deployments.items()}


def test_a_gateway_is_read_as_it_stands() -> None:
    """Every key, with the files of TLS and the paths in options beside the fleet file."""
    fleet = fleet_of(
        "{edge: {kind: proxy, address: 192.0.2.7, ports: 2000-2999, tls: {certificate: tls/c.pem, key: /k.pem}, "
        "options: {max_connections: 5, access_log: logs/a}}}",
        "",
    )
    expected = GatewaySpec(
        name="edge",
        kind="proxy",
        address="192.0.2.7",
        first_port=2000,
        last_port=2999,
        tls=Tls(certificate="/fleets/tls/c.pem", key="/k.pem"),
        options=ProxyOptions(max_connections=5, access_log=Path("/fleets/logs/a")),
    )
    assert {"edge": expected} == fleet.gateways


def test_a_gateway_needs_only_its_kind() -> None:
    """It listens on the loopback address then, on a hundred ports, with the options that the plugin has by default."""
    assert {"edge": PLAIN} == fleet_of("{edge: {kind: proxy}}", "").gateways


@pytest.mark.parametrize(
    ("written", "address"), [("127.0.0.9", "127.0.0.9"), ("'::1'", "::1"), ("'0:0:0:0:0:0:0:1'", "::1")]
)
def test_any_loopback_address_needs_no_tls(written: str, address: str) -> None:
    """Only this machine can connect to it; an address has one way to be written from then on."""
    fleet = fleet_of(f"{{edge: {{kind: proxy, address: {written}}}}}", "")
    assert address == fleet.gateways["edge"].address


def test_tls_may_be_used_on_a_loopback_address_too() -> None:
    """Nothing is refused that is only more than needed."""
    tls = fleet_of("{edge: {kind: proxy, tls: {certificate: c, key: k}}}", "").gateways["edge"].tls
    assert Tls(certificate="/fleets/c", key="/fleets/k") == tls


@pytest.mark.parametrize(
    ("keys", "via"),
    [
        ("", Via(gateway="edge")),
        ("gateway: edge", Via(gateway="edge")),
        ("gateway: {name: edge}", Via(gateway="edge")),
        ("gateway: {}", Via(gateway="edge")),
        ("gateway: {port: 18000}", Via(gateway="edge", port=18000)),
        ("gateway: {name: edge, port: 443}", Via(gateway="edge", port=443)),
        ("gateway: null", None),
    ],
)
def test_the_only_gateway_is_everybodys_who_does_not_say_otherwise(keys: str, via: Via | None) -> None:
    """A deployment names it, gives its port, or wants none; a port by hand need not be in the range."""
    assert {"a": via} == ways(fleet_of("{edge: {kind: proxy}}", keys))


@pytest.mark.parametrize("keys", ["", "gateway: {}", "gateway: null"])
def test_without_gateways_nobody_has_one(keys: str) -> None:
    """Clients follow `roadstead endpoints`."""
    assert {"a": None} == ways(fleet_of("{}", keys))


def test_among_several_gateways_each_deployment_chooses() -> None:
    """The choice may be a default, and a deployment's own one merges with it or replaces it."""
    gateways = "{edge: {kind: proxy}, inner: {kind: proxy, ports: 19000-19099}}\ndefaults: {gateway: {name: inner}}"
    fleet = fleet_of(gateways, "", "gateway: edge", "gateway: {port: 19005}", "gateway: null")
    expected = {"a": Via(gateway="inner"), "b": Via(gateway="edge"), "c": Via(gateway="inner", port=19005), "d": None}
    assert expected == ways(fleet)


def test_changing_the_gateway_restarts_nothing() -> None:
    """It stands around the template: clients connect elsewhere, to the same replicas."""
    fleet = fleet_of("{edge: {kind: proxy}}", "gateway: {port: 18001}")
    assert fleet.deployments["a"].targets == fleet_of("{}", "").deployments["a"].targets


def test_what_a_cluster_hides_may_be_served_without_a_gateway() -> None:
    """A cluster that cannot be reached is fine for a deployment that wants none."""
    text = CLUSTERS.replace("local}", "local, reach: none}")
    text += "gateways: {edge: {kind: proxy}}\ndeployments: {a: {model: {source: m}, gateway: null}}\n"
    assert {"a": None} == ways(read_fleet(FILE, HOST, text=text))


def test_a_strangers_options_are_in_the_schema() -> None:
    """An editor completes the keys of a gateway once the schema is made on that machine."""
    cases = fleet_schema(HOST)["properties"]["gateways"]["additionalProperties"]["allOf"]
    then = next(case["then"] for case in cases if case["if"]["properties"]["kind"] == {"const": "proxy"})
    options = then["properties"]["options"]["properties"]
    assert "at most so many connections of clients" == options["max_connections"]["description"]


def test_a_gateway_of_an_unknown_kind_names_those_that_are_there() -> None:
    """As for backends: what is installed, and what was probably meant."""
    with pytest.raises(FleetFileError) as caught:
        fleet_of("{edge: {kind: prxy}}", "")
    (problem,) = caught.value.problems
    assert (ProblemCode.PLUGIN, "gateways.edge.kind") == (problem.code, problem.where)
    assert "there is no gateway 'prxy'" == problem.what
    assert problem.hint.startswith("did you mean proxy?; installed: ")


# ---- ports ----

_ADDRESSES = st.sampled_from(["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"])  # noqa: S104  # nothing listens there
_GATEWAYS = st.lists(
    st.fixed_dictionaries({"address": _ADDRESSES, "first": st.integers(2000, 2012), "more": st.integers(0, 3)}),
    min_size=1,
    max_size=2,
)
_WAYS = st.lists(st.tuples(st.integers(0, 1), st.none() | st.integers(1998, 2016)), max_size=4)


def ports_file(gateways: list[dict[str, Any]], ways_in: list[tuple[int, int | None]]) -> str:
    """Return a fleet file with these gateways, named g0 and g1, and a deployment for each way in."""
    document = {
        **yaml.safe_load(CLUSTERS),
        "gateways": {
            f"g{number}": {
                "kind": "proxy",
                "address": one["address"],
                "ports": f"{one['first']}-{one['first'] + one['more']}",
                "tls": {"certificate": "c", "key": "k"},
            }
            for number, one in enumerate(gateways)
        },
        "deployments": {
            f"d{number}": {"model": {"source": "m"}, "gateway": {"name": f"g{gateway % len(gateways)}", "port": port}}
            for number, (gateway, port) in enumerate(ways_in)
        },
    }
    return yaml.safe_dump(document)


def meet(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Return whether only one program can listen on both."""
    first, second = ipaddress.ip_address(one[0]), ipaddress.ip_address(other[0])
    everywhere = first.is_unspecified or second.is_unspecified
    return one[1] == other[1] and first.version == second.version and (first == second or everywhere)


def handed_out(fleet: Fleet) -> list[tuple[str, int]]:
    """Return where each deployment is served when the ports that are left are handed out in order."""
    by_hand = [
        (fleet.gateways[via.gateway].address, via.port)
        for via in ways(fleet).values()
        if via is not None and via.port is not None
    ]
    given: list[tuple[str, int]] = []
    for via in ways(fleet).values():
        if via is not None and via.port is None:
            gateway = fleet.gateways[via.gateway]
            places = ((gateway.address, port) for port in range(gateway.first_port, gateway.last_port + 1))
            given.append(next(place for place in places if not any(meet(place, one) for one in by_hand + given)))
    return by_hand + given


@given(_GATEWAYS, _WAYS)
@settings(max_examples=80)
def test_in_a_fleet_that_is_read_every_deployment_can_have_a_port(
    gateways: list[dict[str, Any]], ways_in: list[tuple[int, int | None]]
) -> None:
    """Whoever hands out ports from the range never runs out, and no two programs want the same one."""
    try:
        fleet = read_fleet(FILE, HOST, text=ports_file(gateways, ways_in))
    except FleetFileError:
        return
    places = handed_out(fleet)
    assert len(places) == len(ways_in)
    assert [] == [(one, other) for index, one in enumerate(places) for other in places[:index] if meet(one, other)]


@given(_ADDRESSES, _ADDRESSES, st.lists(st.tuples(st.integers(0, 1), st.booleans()), max_size=8))
@settings(max_examples=30)
def test_ports_that_do_not_meet_are_never_refused(one: str, other: str, ways_in: list[tuple[int, bool]]) -> None:
    """Two ranges apart, and ports by hand that are all different, in the own range or in none."""
    gateways = [{"address": one, "first": 2000, "more": 9}, {"address": other, "first": 3000, "more": 9}]
    ports = [
        (gateway, 2000 + 1000 * gateway + number if inside else 4000 + number)
        for number, (gateway, inside) in enumerate(ways_in)
    ]
    fleet = read_fleet(FILE, HOST, text=ports_file(gateways, [*ports, (0, None)]))
    assert [Via(gateway=f"g{gateway}", port=port) for gateway, port in [*ports, (0, None)]] == list(
        ways(fleet).values()
    )
