"""What no single key of a gateway can know: addresses and ports are used once, and each deployment has a way in.

Pure: each check yields what it finds, as those of :mod:`roadstead.config.checks`, which calls them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, combinations
from typing import Final

import attrs

from roadstead.config.entries import DeploymentEntry, FleetEntry, GatewayEntry, Unsaid, ViaEntry
from roadstead.config.finding import Finding
from roadstead.config.problems import Path, ProblemCode
from roadstead.config.source import shown
from roadstead.config.texts import alternatives, nearest
from roadstead.model import DaemonSpec, Reach

__all__ = ["gateway_findings"]

_combination: Final = partial(Finding, code=ProblemCode.COMBINATION)
_DAEMON: Final[Path] = ("daemon", "http")


@attrs.frozen(kw_only=True)
class _Taken:
    """A port that something listens on: where, and in words by what; ``path`` is the key that says so."""

    address: str
    port: int
    what: str
    path: Path


def gateway_findings(fleet: FleetEntry) -> Iterator[Finding]:
    """Yield everything that is wrong between gateways, and between them and deployments."""
    for name, gateway in fleet.gateways.items():
        yield from _open(name, gateway)
    for one, other in combinations(fleet.gateways, 2):
        yield from _overlap(fleet.gateways, one, other)
    for name, deployment in fleet.deployments.items():
        here: Path = ("deployments", name, "gateway")
        yield from chain(_named(fleet, deployment, here), _reached(fleet, name, deployment))
    yield from _ports(fleet)


def _open(name: str, gateway: GatewayEntry) -> Iterator[Finding]:
    if gateway.tls is not None or ipaddress.ip_address(gateway.address).is_loopback:
        return
    yield Finding(
        code=ProblemCode.MISSING_KEY,
        path=("gateways", name, "tls"),
        what=f"{gateway.address} is not a loopback address: without TLS everybody on the way could read and write",
        hint="add `tls: {certificate: FILE, key: FILE}`, or use address 127.0.0.1",
        involving=(("gateways", name, "address"),),
    )


def _overlap(gateways: Mapping[str, GatewayEntry], one: str, other: str) -> Iterator[Finding]:
    first, second = gateways[one], gateways[other]
    if not _share(first.address, second.address) or not first.ports.meets(second.ports):
        return
    yield _combination(
        path=("gateways", other, "ports"),
        what=f"the ports {second.ports} meet those of gateway {one!r}, {first.ports}, on the same address",
        hint="give each gateway ports of its own",
        involving=(("gateways", one, "ports"), ("gateways", one, "address"), ("gateways", other, "address")),
    )


def _share(one: str, other: str) -> bool:
    """Return whether who listens on a port of one address takes that port of the other, too."""
    first, second = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return first.version == second.version and (first == second or first.is_unspecified or second.is_unspecified)


# ---- deployments ----


def _named(fleet: FleetEntry, deployment: DeploymentEntry, here: Path) -> Iterator[Finding]:
    """Look whether a deployment names a gateway that is there, or names none and need not."""
    said, via = deployment.gateway, deployment.via_of(fleet.gateways)
    at = (*here, "name") if isinstance(said, ViaEntry) else here
    if via is not None and via.gateway not in fleet.gateways:
        near = nearest(via.gateway, fleet.gateways)
        declared = f"declared: {', '.join(list(fleet.gateways)[:10])}" if fleet.gateways else "none is declared"
        hint = f"did you mean {near}?" if near else f"{declared}; `gateway: null` is without one"
        what, involving = f"there is no gateway {shown(via.gateway)}", (("gateways", via.gateway),)
        yield Finding(code=ProblemCode.REFERENCE, path=at, what=what, hint=hint, involving=involving)
    elif via is None and said is not None and fleet.gateways:
        what = "several gateways are declared, and this does not say which one its clients connect to"
        key, names = "name" if isinstance(said, ViaEntry) else "gateway", alternatives(list(fleet.gateways)[:10])
        hint = f"add `{key}:`: {names}; `gateway: null` is without one"
        yield Finding(code=ProblemCode.MISSING_KEY, path=at, what=what, hint=hint, involving=(("gateways",),))
    elif via is None and isinstance(said, ViaEntry) and said.port is not None:
        what = f"port {said.port} is to be a gateway's, and none is declared"
        hint = "declare one under `gateways`, or take this out"
        yield Finding(code=ProblemCode.REFERENCE, path=here, what=what, hint=hint, involving=(("gateways",),))


def _reached(fleet: FleetEntry, name: str, deployment: DeploymentEntry) -> Iterator[Finding]:
    if deployment.via_of(fleet.gateways) is None:
        return
    for cluster in deployment.chosen_of(fleet.clusters):
        if cluster in fleet.clusters and fleet.clusters[cluster].reach is Reach.NONE:
            assumed = ", which is the default here" if deployment.gateway is Unsaid.UNSAID else ""
            yield _combination(
                path=("deployments", name, "gateway"),
                what=f"replicas on cluster {cluster!r} cannot be connected to, and so not through a gateway{assumed}",
                hint=f"write `gateway: null`, or use a cluster that has not `reach: {Reach.NONE.value}`",
                involving=(("clusters", cluster, "reach"), ("deployments", name, "clusters"), ("gateways",)),
            )


# ---- ports ----


def _ports(fleet: FleetEntry) -> Iterator[Finding]:
    """Look whether each port is used once, and whether there are enough of them."""
    taken: dict[int, list[_Taken]] = {}
    for one in _daemons(fleet.daemon):
        taken.setdefault(one.port, []).append(one)
        yield from _handed_out(fleet, one, own=None)
    waiting = dict.fromkeys(fleet.gateways, 0)
    for name, deployment in fleet.deployments.items():
        via = deployment.via_of(fleet.gateways)
        if via is None or via.gateway not in fleet.gateways:
            continue
        if via.port is None:
            waiting[via.gateway] += 1
            continue
        address = fleet.gateways[via.gateway].address
        path: Path = ("deployments", name, "gateway", "port")
        one = _Taken(address=address, port=via.port, what=f"deployment {name!r}", path=path)
        yield from _twice(one, taken.get(via.port, []), via.gateway)
        yield from _handed_out(fleet, one, own=via.gateway)
        taken.setdefault(via.port, []).append(one)
    for gateway, number in waiting.items():
        yield from _enough(gateway, fleet.gateways[gateway], number, taken)


def _daemons(daemon: DaemonSpec) -> Iterator[_Taken]:
    """Yield the port of the daemon itself; 0 is none that could be known."""
    host, _, port = daemon.http.rpartition(":")
    if int(port):
        for address in ("127.0.0.1", "::1") if host == "localhost" else (host.strip("[]"),):
            yield _Taken(address=address, port=int(port), what="the daemon itself, `daemon.http`", path=_DAEMON)


def _twice(one: _Taken, before: list[_Taken], gateway: str) -> Iterator[Finding]:
    for other in before:
        if _share(one.address, other.address):
            yield _combination(
                path=one.path,
                what=f"port {one.port} on {one.address} is taken by {other.what}",
                hint="choose another one, or take `port` out: one is then given",
                involving=(other.path, ("gateways", gateway, "address")),
            )
            return


def _handed_out(fleet: FleetEntry, one: _Taken, *, own: str | None) -> Iterator[Finding]:
    """Look whether a gateway other than its ``own`` may give the port to somebody else."""
    for name, gateway in fleet.gateways.items():
        if name != own and one.port in gateway.ports and _share(one.address, gateway.address):
            yield _combination(
                path=("gateways", name, "ports"),
                what=f"port {one.port} of {gateway.ports} on {gateway.address} is taken by {one.what}",
                hint="use other ports here, or there",
                involving=(one.path, ("gateways", name, "address")),
            )


def _enough(name: str, gateway: GatewayEntry, waiting: int, taken: Mapping[int, list[_Taken]]) -> Iterator[Finding]:
    """Look whether the range has a port for each deployment that has none of its own."""
    by_hand = sum(
        port in gateway.ports and any(_share(one.address, gateway.address) for one in there)
        for port, there in taken.items()
    )
    if waiting > len(gateway.ports) - by_hand:
        given = f", of which {by_hand} {'are' if by_hand > 1 else 'is'} given by hand" if by_hand else ""
        yield _combination(
            path=("gateways", name, "ports"),
            what=f"{waiting} deployments need a port from here, and there are {len(gateway.ports)}{given}",
            hint="widen the range",
            involving=(("gateways", name, "address"),),
        )
