"""What Envoy's admin interface says, as values; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from roadstead.traffic import Endpoint
from roadstead_plugins.gateways.envoy.typed import OURS
from roadstead_plugins.gateways.envoy.upstream import DRAINING, endpoint_from_hostname

__all__ = [
    "CLUSTERS",
    "LISTENERS",
    "STATS",
    "Host",
    "ListenerState",
    "Stats",
    "hosts_by_cluster",
    "listeners_in_force",
    "read_stats",
]

STATS = "/stats?format=json&filter=(version_text|upstream_cx_none_healthy|^server\\.state)$"
CLUSTERS = "/clusters?format=json"
LISTENERS = "/config_dump?resource=dynamic_listeners"

_LIVE = 0
_VERSION = ".version_text"
_NONE_HEALTHY = ".upstream_cx_none_healthy"
_UNHEALTHY = (
    "failed_active_health_check",
    "failed_outlier_check",
    "pending_active_hc",
    "pending_dynamic_removal",
    "excluded_via_immediate_hc_fail",
)


@attrs.frozen(kw_only=True)
class Host:
    """One replica in one cluster: what Envoy does with it, and what it has counted since it started."""

    endpoint: Endpoint
    draining: bool
    healthy: bool
    in_flight: int
    requests: int
    errors: int


@attrs.frozen(kw_only=True)
class Stats:
    """Envoy's own state: ``versions`` by subscription, and by cluster the requests that found no replica."""

    live: bool
    versions: Mapping[str, str]
    refused: Mapping[str, int]


def read_stats(answer: bytes) -> Stats:
    """Return what the answer to `STATS` says."""
    versions: dict[str, str] = {}
    refused: dict[str, int] = {}
    live = False
    for stat in json.loads(answer)["stats"]:
        name, value = stat.get("name", ""), stat.get("value", 0)
        if name.endswith(_VERSION):
            versions[name.removesuffix(_VERSION)] = str(value)
        elif name.endswith(_NONE_HEALTHY):
            refused[name.removesuffix(_NONE_HEALTHY).removeprefix("cluster.")] = int(value)
        elif name == "server.state":
            live = value == _LIVE
    return Stats(live=live, versions=versions, refused=refused)


def hosts_by_cluster(answer: bytes) -> Mapping[str, tuple[Host, ...]]:
    """Return the hosts of every cluster in the answer to `CLUSTERS`; hosts that are not ours are left out."""
    return {
        cluster["name"]: tuple(host for said in cluster.get("host_statuses", ()) if (host := _host(said)) is not None)
        for cluster in json.loads(answer).get("cluster_statuses", ())
    }


def _host(said: Mapping[str, Any]) -> Host | None:
    endpoint = endpoint_from_hostname(said.get("hostname", ""))
    if endpoint is None:
        return None
    health = said.get("health_status", {})
    counted = {stat["name"]: int(stat.get("value", 0)) for stat in said.get("stats", ())}  # a 0 is left out
    return Host(
        endpoint=endpoint,
        draining=health.get("eds_health_status") == DRAINING,
        healthy=not any(health.get(flag) for flag in _UNHEALTHY),
        in_flight=counted.get("rq_active", 0) + counted.get("rq_pending_active", 0),
        requests=counted.get("rq_total", 0),
        errors=counted.get("rq_error", 0),
    )


@attrs.frozen(kw_only=True)
class ListenerState:
    """One listener: the digest of what is in force, or nothing, and why the newest is not."""

    digest: str
    error: str


def listeners_in_force(answer: bytes) -> Mapping[str, ListenerState]:
    """Return the state of every listener, by name, from the answer to `LISTENERS`."""
    states: dict[str, ListenerState] = {}
    for said in json.loads(answer).get("configs", ()):
        if "name" in said:
            active = said.get("active_state", {}).get("listener", {}).get("metadata", {}).get("filter_metadata", {})
            states[said["name"]] = ListenerState(
                digest=active.get(OURS, {}).get("digest", ""),
                error=said.get("error_state", {}).get("details", ""),
            )
    return states
