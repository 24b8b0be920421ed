"""What Envoy's admin interface says, as values; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs

from roadstead.traffic import Endpoint
from roadstead_plugins.gateways.envoy.histogram import Bucket, Histogram
from roadstead_plugins.gateways.envoy.typed import OURS
from roadstead_plugins.gateways.envoy.upstream import DRAINING, endpoint_from_hostname

__all__ = [
    "CLUSTERS",
    "LISTENERS",
    "SERVER",
    "STATS",
    "TIMES",
    "Host",
    "ListenerState",
    "Stats",
    "bootstrap_in_force",
    "hosts_by_cluster",
    "listeners_in_force",
    "read_stats",
    "times_by_cluster",
]

_FILTER = r"(version_text|upstream_cx_none_healthy|^server\.state|total_listeners_warming)$"
STATS = f"/stats?format=json&filter={quote(_FILTER)}"
CLUSTERS = "/clusters?format=json"
SERVER = "/server_info"
LISTENERS = "/config_dump?resource=dynamic_listeners"
_TIMES = r"^cluster\.[^.]*\.upstream_rq_time$"
TIMES = f"/stats?format=json&histogram_buckets=detailed&filter={quote(_TIMES)}"

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
    """Envoy's own state.

    ``versions`` are by subscription, ``refused`` by cluster: requests that found no replica. ``warming`` counts the
    listeners that wait for something before they are opened.
    """

    live: bool
    warming: int
    versions: Mapping[str, str]
    refused: Mapping[str, int]


def read_stats(answer: bytes) -> Stats:
    """Return what the answer to `STATS` says."""
    versions: dict[str, str] = {}
    refused: dict[str, int] = {}
    live, warming = False, 0
    for stat in json.loads(answer)["stats"]:
        name, value = stat.get("name", ""), stat.get("value", 0)
        if name.endswith(_VERSION):
            versions[name.removesuffix(_VERSION)] = str(value)
        elif name.endswith(_NONE_HEALTHY):
            refused[name.removesuffix(_NONE_HEALTHY).removeprefix("cluster.")] = int(value)
        elif name == "server.state":
            live = value == _LIVE
        elif name == "listener_manager.total_listeners_warming":
            warming = int(value)
    return Stats(live=live, warming=warming, versions=versions, refused=refused)


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


def times_by_cluster(answer: bytes) -> Mapping[str, Histogram]:
    """Return how long each cluster's hosts took, since Envoy started, from the answer to `TIMES`."""
    found: dict[str, Histogram] = {}
    for stat in json.loads(answer)["stats"]:
        for said in stat.get("histograms", {}).get("details", ()):
            name = said["name"].removeprefix("cluster.").removesuffix(".upstream_rq_time")
            buckets = {Bucket(one["lower_bound"], one["width"]): int(one["count"]) for one in said["totals"]}
            found[name] = Histogram(buckets)
    return found


def bootstrap_in_force(answer: bytes) -> str:
    """Return the digest of the bootstrap that Envoy was started with, from the answer to `SERVER`."""
    metadata = json.loads(answer).get("node", {}).get("metadata", {})
    return str(metadata.get(OURS, {}).get("digest", ""))
