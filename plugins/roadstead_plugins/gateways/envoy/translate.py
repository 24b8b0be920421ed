"""A route table as the files that Envoy reads; pure.

Every file but the bootstrap is ``{"version_info": ..., "resources": [...]}``. The version is a digest of the resources:
Envoy shows it back once it has taken them, and the same table gives the same files at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from roadstead.spi.gateway import Route
from roadstead.traffic import Endpoint
from roadstead_plugins.gateways.envoy.bootstrap import arguments, bootstrap
from roadstead_plugins.gateways.envoy.downstream import listener_resource, routes_resource, secret_resource
from roadstead_plugins.gateways.envoy.layout import Cluster
from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.typed import OURS
from roadstead_plugins.gateways.envoy.upstream import (
    DRAINING,
    cluster_resource,
    endpoint_from_hostname,
    endpoints_resource,
)

__all__ = [
    "BOOTSTRAP",
    "CDS",
    "LDS",
    "RENEWAL",
    "SDS",
    "TLS_FOLDER",
    "File",
    "bootstrap_file",
    "clusters_file",
    "clusters_named",
    "eds_name",
    "endpoints_file",
    "listed_in",
    "listener_digests",
    "listeners_file",
    "rds_name",
    "renewal_file",
    "routes_file",
    "secrets_file",
    "subscription_of",
    "version_in",
]

BOOTSTRAP = "bootstrap.json"
LDS = "lds.json"
CDS = "cds.json"
SDS = "sds.json"
TLS_FOLDER = "tls"
RENEWAL = f"{TLS_FOLDER}/renewal.json"
_SUBSCRIPTIONS = {LDS: "listener_manager.lds", CDS: "cluster_manager.cds", SDS: "sds.server"}


@attrs.frozen(kw_only=True)
class File:
    """One file of the configuration; ``name`` is relative to its folder, ``version`` is what Envoy shows."""

    name: str
    version: str
    text: str


def eds_name(cluster: str) -> str:
    """Return the file with a cluster's endpoints."""
    return f"eds/{cluster}.json"


def rds_name(deployment: str) -> str:
    """Return the file with a deployment's routes."""
    return f"rds/{deployment}.json"


def subscription_of(name: str) -> str | None:
    """Return how Envoy's statistics call the subscription of a file, or ``None`` where it has none.

    >>> subscription_of("eds/minilm_grpc_tcp.json"), subscription_of("rds/minilm.json")
    ('cluster.minilm_grpc_tcp', 'http.minilm.rds.minilm')
    """
    folder, _, rest = name.rpartition("/")
    resource = rest.removesuffix(".json")
    if folder == "eds":
        return f"cluster.{resource}"
    if folder == "rds":
        return f"http.{resource}.rds.{resource}"
    return _SUBSCRIPTIONS.get(name)


def listeners_file(routes: Mapping[str, Route], settings: Settings) -> File:
    """Return the file with all addresses."""
    secrets = _path(settings, SDS)
    listeners = (
        listener_resource(route, settings, _path(settings, rds_name(name)), secrets)
        for name, route in sorted(routes.items())
    )
    # Envoy takes listeners one by one, and has no version for each: so every one carries its own.
    return _file(LDS, [{**one, "metadata": {"filter_metadata": {OURS: {"digest": _digest(one)}}}} for one in listeners])


def listener_digests(listeners: File) -> Mapping[str, str]:
    """Return the digest of each listener in a file of listeners, by name."""
    resources = json.loads(listeners.text)["resources"]
    return {one["name"]: one["metadata"]["filter_metadata"][OURS]["digest"] for one in resources}


def clusters_file(clusters: Sequence[Cluster], settings: Settings) -> File:
    """Return the file with all clusters."""
    ordered = sorted(clusters, key=lambda cluster: cluster.name)
    return _file(CDS, [cluster_resource(cluster, _path(settings, eds_name(cluster.name))) for cluster in ordered])


def endpoints_file(cluster: Cluster) -> File:
    """Return the file with the endpoints of one cluster."""
    return _file(eds_name(cluster.name), [endpoints_resource(cluster)])


def routes_file(deployment: str, clusters: Sequence[Cluster]) -> File:
    """Return the file with the routes of one deployment."""
    return _file(rds_name(deployment), [routes_resource(deployment, clusters)])


def listed_in(endpoints: File) -> frozenset[Endpoint]:
    """Return who may get new requests by a file of endpoints."""
    hosts = (
        host
        for resource in json.loads(endpoints.text)["resources"]
        for locality in resource["endpoints"]
        for host in locality["lb_endpoints"]
        if host["health_status"] != DRAINING
    )
    found = (endpoint_from_hostname(host["endpoint"]["hostname"]) for host in hosts)
    return frozenset(endpoint for endpoint in found if endpoint is not None)


def clusters_named(routes: File) -> frozenset[str]:
    """Return the clusters that a file of routes leads to."""
    found: set[str] = set()
    for resource in json.loads(routes.text)["resources"]:
        for route in resource["virtual_hosts"][0]["routes"]:
            action = route["route"]
            shared = action.get("weighted_clusters", {}).get("clusters", ())
            found.update([action["cluster"]] if "cluster" in action else [one["name"] for one in shared])
    return frozenset(found)


def secrets_file(settings: Settings) -> File:
    """Return the file that says where the certificate is."""
    assert settings.tls is not None
    return _file(SDS, [secret_resource(settings.tls, _path(settings, TLS_FOLDER))])


def bootstrap_file(settings: Settings) -> File:
    """Return the file that Envoy is started with; its version is that of the command line, too."""
    sources = (_path(settings, LDS), _path(settings, CDS))
    command = arguments(settings, _path(settings, BOOTSTRAP))
    version = _digest([command, bootstrap(settings, *sources, digest="")])
    return File(name=BOOTSTRAP, version=version, text=_text(bootstrap(settings, *sources, digest=version)))


def renewal_file(digest: str) -> File:
    """Return the file whose coming tells Envoy to read the certificate again; ``digest`` is of what it will find."""
    return File(name=RENEWAL, version=digest, text=_text({"version_info": digest}))


def version_in(text: str) -> str:
    """Return the version that a file says it has, or nothing where it is not one of ours.

    >>> version_in('{"version_info": "5f0c", "resources": []}'), version_in("half a fi")
    ('5f0c', '')
    """
    try:
        value = json.loads(text)
    except ValueError:
        return ""
    if not isinstance(value, dict):
        return ""
    started_with = value.get("node", {}).get("metadata", {}).get(OURS, {}).get("digest", "")
    return str(value.get("version_info", started_with))


def _file(name: str, resources: Sequence[Mapping[str, Any]]) -> File:
    version = _digest(resources)
    return File(name=name, version=version, text=_text({"version_info": version, "resources": resources}))


def _digest(value: object) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()[:12]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"


def _path(settings: Settings, name: str) -> str:
    return f"{settings.folder}/{name}"
