"""Listeners and the routes behind them as Envoy's configuration; pure.

What clients meet. The limits are those of Envoy's own advice for edge proxies, except where model servers differ: a
request has no deadline but its caller's, calls of one channel are many, and metadata may have underscores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roadstead.model import Tls
from roadstead.spi.gateway import Route
from roadstead_plugins.gateways.envoy.layout import Cluster, Protocol, shares
from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.typed import file_source, typed

__all__ = ["listener_name", "listener_resource", "routes_resource", "secret_resource"]

_SECRET = "server"  # noqa: S105  # a name, not a password
_KIB = 1 << 10
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

# Only what certainly was not processed is tried again, and elsewhere.
_RETRIES: dict[str, Any] = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 3,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
    "host_selection_retry_max_attempts": 5,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.1s"},
}


def listener_name(route: Route, address: str) -> str:
    """Return the name of a route's listener; another port makes another listener, so that ports can be swapped."""
    return f"{route.deployment}@{address}:{route.port}"


def listener_resource(route: Route, settings: Settings, routes_file: str, secrets_file: str) -> dict[str, Any]:
    """Return the one address of a deployment, for gRPC and REST alike."""
    chain: dict[str, Any] = {
        "filters": [{"name": "http", "typed_config": _connection_manager(route, settings, routes_file)}]
    }
    if settings.tls is not None:
        chain["transport_socket"] = _tls(secrets_file)
    return typed(
        "envoy.config.listener.v3.Listener",
        name=listener_name(route, settings.address),
        address={"socket_address": {"address": settings.address, "port_value": route.port}},
        enable_reuse_port=False,  # or a second program could take half of our connections without a word
        connection_balance_config={"exact_balance": {}},  # a client's few channels shall not all meet on one worker
        tcp_backlog_size=4096,
        per_connection_buffer_limit_bytes=1024 * _KIB,
        filter_chains=[chain],
    )


def routes_resource(deployment: str, clusters: Sequence[Cluster]) -> dict[str, Any]:
    """Return where a deployment's requests go: gRPC to those that speak it, everything else to those with REST."""
    return typed(
        "envoy.config.route.v3.RouteConfiguration",
        name=deployment,
        virtual_hosts=[
            {
                "name": deployment,
                "domains": ["*"],
                "routes": [
                    {"match": {"prefix": "/", "grpc": {}}, "route": _action(shares(clusters, Protocol.GRPC))},
                    {"match": {"prefix": "/"}, "route": _action(shares(clusters, Protocol.REST))},
                ],
            }
        ],
    )


def secret_resource(tls: Tls, watched: str) -> dict[str, Any]:
    """Return where the certificate and its key are; they are read again when something is renamed into ``watched``.

    That is a folder of our own: however a certificate is renewed (renamed, written over, behind a link that moved), we
    see it, try it, and then tell Envoy by a file there.
    """
    return typed(
        "envoy.extensions.transport_sockets.tls.v3.Secret",
        name=_SECRET,
        tls_certificate={
            "certificate_chain": {"filename": tls.certificate},
            "private_key": {"filename": tls.key},
            "watched_directory": {"path": watched},
        },
    )


def _action(clusters: Sequence[tuple[str, int]]) -> dict[str, Any]:
    shared: dict[str, Any]
    if len(clusters) == 1:
        shared = {"cluster": clusters[0][0]}
    else:
        shared = {"weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in clusters]}}
    return {**shared, "timeout": "0s", "retry_policy": _RETRIES}


def _connection_manager(route: Route, settings: Settings, routes_file: str) -> dict[str, Any]:
    return typed(
        _HCM,
        stat_prefix=route.deployment,
        codec_type="AUTO",
        rds={"route_config_name": route.deployment, "config_source": file_source(routes_file)},
        http_filters=[_body_limit(settings.max_request), _ROUTER],
        access_log=[_access_log(route.deployment)] if settings.access_log else [],
        use_remote_address=True,
        normalize_path=True,
        request_headers_timeout="10s",
        request_timeout="300s",
        stream_idle_timeout="3600s",
        common_http_protocol_options={"idle_timeout": "3600s"},
        http2_protocol_options=_HTTP2,
    )


_HTTP2: dict[str, Any] = {
    "max_concurrent_streams": 1000,
    "initial_stream_window_size": 256 * _KIB,
    "initial_connection_window_size": 1024 * _KIB,
    "connection_keepalive": {"interval": "30s", "timeout": "20s"},
}

_ROUTER: dict[str, Any] = {
    "name": "router",
    "typed_config": typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True),
}


def _body_limit(most: int) -> dict[str, Any]:
    """Return the filter that counts a request's bytes as they pass, so that calls that stream are not held up."""
    limit = typed("envoy.extensions.filters.http.body_size_limit.v3.BodySizeLimit", max_request_bytes=most)
    return {"name": "body_size_limit", "typed_config": limit}


def _access_log(deployment: str) -> dict[str, Any]:
    """Return a log of one JSON object per request, printed: what Envoy prints goes into the shim's bounded log."""
    line = {
        "time": "%START_TIME%",
        "deployment": deployment,
        "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "protocol": "%PROTOCOL%",
        "method": "%REQ(:METHOD)%",
        "path": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%",
        "grpc": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "ms": "%DURATION%",
        "replica": "%UPSTREAM_HOST%",
        "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    }
    printed = typed("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog", log_format={"json_format": line})
    return {"name": "stdout", "typed_config": printed}


def _tls(secrets_file: str) -> dict[str, Any]:
    context = typed(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [{"name": _SECRET, "sds_config": file_source(secrets_file)}],
        },
    )
    return {"name": "tls", "typed_config": context}
