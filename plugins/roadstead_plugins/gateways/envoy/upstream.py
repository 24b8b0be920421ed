"""Clusters and their endpoints as Envoy's configuration; pure.

Four things together keep requests from dead replicas, and each alone is not enough: the route's retries, circuit
breakers that do not stand in the way of them, outlier detection that takes out a host that refuses connections, and the
active check, which sees that another server answers at an address that was reused.
"""

from __future__ import annotations

from typing import Any

from roadstead.spi.gateway import Destination
from roadstead.spi.runtime import Check
from roadstead.traffic import Endpoint
from roadstead_plugins.gateways.envoy.layout import Cluster, Protocol, port_of
from roadstead_plugins.gateways.envoy.typed import file_source, typed

__all__ = ["DRAINING", "cluster_resource", "endpoint_from_hostname", "endpoints_resource"]

DRAINING = "DRAINING"
"""The health of a host that gets no new requests, in Envoy's words."""

_CONNECT_TIMEOUT = "1s"
# A server that hangs is out after 4.5 seconds at most: callers that give up after five do not come back to it. It takes
# two answers that are late by as much as this for one that is only busy to be taken for one that hangs.
_CHECK_EVERY = "0.75s"
_CHECK_TIMEOUT = "1.5s"
_CHECK_FAILURES = 2
_CHECK_ANSWER_BYTES = 64 << 10
_PLENTY = 1 << 20
_RETRIES_AT_ONCE = 1000


def cluster_resource(cluster: Cluster, endpoints_file: str) -> dict[str, Any]:
    """Return a cluster whose hosts stand in ``endpoints_file``."""
    return typed(
        "envoy.config.cluster.v3.Cluster",
        name=cluster.name,
        type="EDS",
        eds_cluster_config={"eds_config": file_source(endpoints_file)},
        connect_timeout=_CONNECT_TIMEOUT,
        load_balancing_policy=_LEAST_REQUESTS,
        # Without these two a host stays while its checks succeed, although it left the table, and hosts that are all
        # unhealthy get requests after all.
        ignore_health_on_host_removal=True,
        common_lb_config={"healthy_panic_threshold": {"value": 0}},
        circuit_breakers={"thresholds": [_THRESHOLDS]},
        outlier_detection=_OUTLIERS,
        health_checks=[_health_check(cluster.check)],
        typed_extension_protocol_options={"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _protocol(cluster)},
        upstream_connection_options={"tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 10}},
    )


def endpoints_resource(cluster: Cluster) -> dict[str, Any]:
    """Return the hosts of a cluster; a draining one gets no new requests, and what is in flight to it stays visible."""
    return typed(
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        cluster_name=cluster.name,
        endpoints=[{"lb_endpoints": [_host(one, cluster.protocol) for one in cluster.destinations]}],
    )


def endpoint_from_hostname(hostname: str) -> Endpoint | None:
    """Return the endpoint that a host's name in Envoy stands for, or ``None`` where the name is not ours.

    >>> endpoint_from_hostname("8500/-/127.16.0.1")
    Endpoint(host='127.16.0.1', grpc=8500, rest=None)
    """
    grpc, _, rest_and_host = hostname.partition("/")
    rest, _, host = rest_and_host.partition("/")
    if not host:
        return None
    return Endpoint(host=host, grpc=_port(grpc), rest=_port(rest))


def _port(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _hostname(endpoint: Endpoint) -> str:
    """Return a name that says all of an endpoint, so that Envoy's own word is enough to know who a host is."""
    return f"{endpoint.grpc or '-'}/{endpoint.rest or '-'}/{endpoint.host}"


def _host(destination: Destination, protocol: Protocol) -> dict[str, Any]:
    endpoint = destination.endpoint
    address = {"socket_address": {"address": endpoint.host, "port_value": port_of(endpoint, protocol)}}
    host: dict[str, Any] = {"address": address, "hostname": _hostname(endpoint)}
    if protocol is Protocol.GRPC and endpoint.rest is not None and destination.check is not None:
        host["health_check_config"] = {"port_value": endpoint.rest}
    return {"endpoint": host, "health_status": DRAINING if destination.draining else "HEALTHY"}


# All hosts are compared, not two drawn by lot: a replica that hangs has the most in flight, and must not be drawn
# against itself.
_LEAST_REQUESTS: dict[str, Any] = {
    "policies": [
        {
            "typed_extension_config": {
                "name": "least_request",
                "typed_config": typed(
                    "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
                    selection_method="FULL_SCAN",
                ),
            }
        }
    ]
}

_THRESHOLDS: dict[str, Any] = {
    "max_connections": _PLENTY,
    "max_pending_requests": _PLENTY,
    "max_requests": _PLENTY,
    "max_retries": _RETRIES_AT_ONCE,
}

# Only connections that cannot be made, or break, count. What a replica answers is no reason to take it out: one that is
# overloaded says so with 5xx, and taking it out would overload the others.
_OUTLIERS: dict[str, Any] = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 2,
    "interval": "0.5s",
    "base_ejection_time": "5s",
    "max_ejection_percent": 90,
    "enforcing_consecutive_5xx": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
}


def _health_check(check: Check | None) -> dict[str, Any]:
    common: dict[str, Any] = {
        "timeout": _CHECK_TIMEOUT,
        "interval": _CHECK_EVERY,
        # The default is a minute, as long as a cluster never had a request.
        "no_traffic_interval": _CHECK_EVERY,
        "no_traffic_healthy_interval": _CHECK_EVERY,
        "interval_jitter_percent": 10,
        "unhealthy_threshold": _CHECK_FAILURES,
        "healthy_threshold": 1,
    }
    if check is None:
        return {**common, "tcp_health_check": {}}
    asked = {
        "host": "roadstead",
        "path": check.path,
        "receive": [{"text": check.expects.encode().hex()}] if check.expects else [],
        "response_buffer_size": _CHECK_ANSWER_BYTES,
        "codec_client_type": "HTTP1",  # replicas are asked over REST, those behind a gRPC cluster too
    }
    return {**common, "http_health_check": asked}


def _protocol(cluster: Cluster) -> dict[str, Any]:
    # No keep-alive pings: gRPC servers take more than a few for an attack. TCP's own keep-alive sees a lost machine.
    spoken: dict[str, Any] = (
        {"http2_protocol_options": {}} if cluster.protocol is Protocol.GRPC else {"http_protocol_options": {}}
    )
    protocol = typed("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", explicit_http_config=spoken)
    if cluster.protocol is Protocol.REST:
        # A request that meets a server's hanging up is lost: in HTTP/1.1 only whoever hangs up first knows. Common
        # servers do so after 5 seconds without a request.
        protocol["common_http_protocol_options"] = {"idle_timeout": "4s"}
    return protocol
