"""What Envoy is started with; pure.

It holds only what Envoy cannot take in while it runs: another value here waits for its next start. Everything else
comes from files that it watches.
"""

from __future__ import annotations

from typing import Any

from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.typed import OURS, file_source, typed

__all__ = ["ADMIN_SOCKET", "arguments", "bootstrap"]

ADMIN_SOCKET = "admin.sock"
"""Relative to the folder that Envoy runs in: a socket's path may have 107 bytes, a state directory's has often more."""

_OWNER_ONLY = 0o600
_HEAP_BYTES = 2 << 30


def arguments(settings: Settings, bootstrap_path: str) -> tuple[str, ...]:
    """Return Envoy's command line."""
    return (
        settings.program,
        *("--config-path", bootstrap_path),
        *("--concurrency", str(settings.workers)),
        # Hot restart would tie several Envoys of a machine together, and make each end when its shim is lost.
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",  # a limit that this Envoy does not know must not be left out in silence
        *("--log-level", "warning"),
        # A refused request is no error of ours, and must not fill the log.
        *("--component-log-level", "http:critical"),
        *("--file-flush-interval-msec", "1000"),
    )


def bootstrap(settings: Settings, lds_path: str, cds_path: str, digest: str) -> dict[str, Any]:
    """Return the configuration that Envoy reads once; it shows ``digest`` as what it was started with."""
    return {
        "node": {"id": settings.name, "cluster": settings.fleet, "metadata": {OURS: {"digest": digest}}},
        "admin": {"address": {"pipe": {"path": ADMIN_SOCKET, "mode": _OWNER_ONLY}}},
        "dynamic_resources": {"lds_config": file_source(lds_path), "cds_config": file_source(cds_path)},
        "stats_flush_interval": "1s",  # histograms are as fresh as this
        "overload_manager": _overload(settings.max_connections),
    }


def _overload(max_connections: int) -> dict[str, Any]:
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": typed(
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=max_connections,
                ),
            },
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": typed(
                    "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    max_heap_size_bytes=_HEAP_BYTES,
                ),
            },
        ],
        "actions": [
            _when_heap_is_full("envoy.overload_actions.shrink_heap", 0.9),
            _when_heap_is_full("envoy.overload_actions.stop_accepting_requests", 0.95),
        ],
    }


def _when_heap_is_full(action: str, share: float) -> dict[str, Any]:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}
    return {"name": action, "triggers": [trigger]}
