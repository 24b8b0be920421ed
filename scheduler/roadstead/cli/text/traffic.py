"""The data path on a screen: addresses, gateways, where requests go, and how many there are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from rich.table import Table
from rich.text import Text

from roadstead.cli.text.words import age, counted, table
from roadstead.decide.report import (
    AddressStatus,
    DeploymentStatus,
    GatewayStatus,
    LoadStatus,
    Passing,
    ReplicaStatus,
    Way,
)
from roadstead.traffic import Latency

__all__ = [
    "address_text",
    "gateway_state",
    "gateway_table",
    "load_cells",
    "load_text",
    "ms",
    "passing_text",
    "per_second",
    "traffic_table",
    "way_note",
]

_UNKNOWN = "?"
_COUNTED = frozenset({"REQ/S", "ERR/S", "IN FLIGHT", "P50", "P90", "P99", "DEPLOYMENTS"})
_WAYS: Mapping[Way, tuple[str, str]] = MappingProxyType(
    {
        Way.LISTED: ("gets new requests", "green"),
        Way.UNHEALTHY: ("gets nothing: the gateway sees it unhealthy", "red"),
        Way.OFFERED: ("may get requests as soon as the gateway accepts the newest table", "yellow"),
        Way.DRAINING: ("gets nothing new", "magenta"),
        Way.OUT: ("gets nothing", ""),
        Way.UNKNOWN: ("may get requests: the gateway does not answer", "red"),
    }
)


# ---- tables ----


def traffic_table(deployments: Collection[DeploymentStatus]) -> Table:
    """Return where clients of each deployment with a gateway connect, and what they do there."""
    columns = ("ADDRESS", "DEPLOYMENT", "GATEWAY", "REQ/S", "ERR/S", "IN FLIGHT", "P50", "P90", "P99")
    made = table(*columns, right=_COUNTED)
    for one in deployments:
        if one.address is not None:
            where = Text(one.address.authority, style="red" if one.address.problem else "")
            made.add_row(where, one.name, one.address.gateway, *load_cells(one.load), *_latency_cells(one.load.latency))
    return made


def gateway_table(gateways: Collection[GatewayStatus]) -> Table:
    """Return how each gateway is."""
    made = table("GATEWAY", "KIND", "LISTENS AT", "DEPLOYMENTS", "STATE", right=_COUNTED)
    for one in gateways:
        where = (one.host or "-") + (" (TLS)" if one.tls else "")
        made.add_row(one.name, one.kind or "-", where, str(len(one.deployments)), gateway_state(one))
    return made


def gateway_state(gateway: GatewayStatus) -> Text:
    """Return how a gateway is, in a few words and its own."""
    if gateway.unseen_since is not None:
        since = datetime.fromtimestamp(gateway.unseen_since / 1000, tz=UTC)
        return Text(f"does not answer since {since:%Y-%m-%d %H:%M:%SZ}: {gateway.error}", style="red")
    if gateway.error:
        return Text(gateway.error, style="yellow")
    if gateway.problem:
        return Text(gateway.problem, style="red")
    if not gateway.settled:
        return Text("has not accepted the newest table yet", style="yellow")
    return Text("up to date" if gateway.kind is not None else "is being taken down")


# ---- single values ----


def load_cells(load: LoadStatus) -> tuple[str, str, str]:
    """Return requests and errors per second, and requests in flight; ``?`` for what is not known."""
    return per_second(load.rate), per_second(load.error_rate), counted(load.in_flight)


def _latency_cells(latency: Latency | None) -> tuple[str, str, str]:
    if latency is None:
        return _UNKNOWN, _UNKNOWN, _UNKNOWN
    return ms(latency.p50), ms(latency.p90), ms(latency.p99)


def load_text(load: LoadStatus) -> str:
    """Return the load in one line."""
    rate, errors, flying = load_cells(load)
    text = f"{rate} requests/s, {errors} errors/s, {flying} in flight"
    if load.latency is None:
        return text
    p50, p90, p99 = _latency_cells(load.latency)
    return f"{text}; p50 {p50}, p90 {p90}, p99 {p99}"


def address_text(address: AddressStatus) -> Text:
    """Return where clients connect, and what stands in their way."""
    made = Text(f"{address.authority} of gateway {address.gateway}, gRPC and REST{' with TLS' if address.tls else ''}")
    if address.problem:
        made.append("; clients cannot rely on it now", style="red")
    elif not address.served:
        made.append("; it is being set up", style="yellow")
    return made


def passing_text(one: Passing) -> Text:
    """Return how requests get to one replica."""
    said, style = _WAYS[one.way]
    parts = list(_flying(one))
    return Text.assemble(f"{one.replica}  ", (", ".join([said, *parts]), style))


def _flying(one: Passing) -> Iterator[str]:
    if one.load.in_flight is not None and one.way is not Way.OUT:
        yield f"{one.load.in_flight} in flight"
    if one.way is Way.LISTED and one.load.rate is not None:
        yield f"{per_second(one.load.rate)}/s"
    if one.way is Way.DRAINING and one.grace_left is not None:
        left = one.grace_left
        yield f"{age(left)} of {age(one.grace)} left for them" if left.ms else f"their {age(one.grace)} are over"


def way_note(replica: ReplicaStatus) -> str:
    """Return what is to be said beside the life of a replica about how its gateway treats it, or nothing."""
    match replica.way:
        case Way.UNHEALTHY:
            return "unhealthy"
        case Way.UNKNOWN:
            return "unseen"
        case Way.OFFERED:
            return "offered"
        case _:
            return ""


def per_second(value: float | None) -> str:
    """Return a number per second in few digits, and never 0 for something that is there; ``?`` if it is not known."""
    if value is None:
        return _UNKNOWN
    if 0 < value < 0.05:
        return "<0.1"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}".removesuffix(".0")


def ms(value: float | None) -> str:
    """Return a latency in few digits: ``4.2ms``, ``130ms``, ``2.5s``; ``?`` where it is not known."""
    if value is None:
        return _UNKNOWN
    if value >= 1000:
        return f"{value / 1000:.1f}s"
    if 0 < value < 0.05:
        return "<0.1ms"
    return f"{value:.0f}ms" if value >= 10 else f"{value:.1f}ms"
