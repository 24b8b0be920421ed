"""How the kubelet asks a server, and how it ends one. Pure.

Three probes with three meanings. The *startup* probe waits until the server listens, which servers do once their model
is loaded, for as long as ``health.start_within``. The *liveness* probe restarts a server that hangs, and is slow to
judge, for a busy server answers late. The *readiness* probe decides whether the cluster's own Service sends requests;
it knows that the version is known, and not that the model is well: that is the runtime's word, which we ask for.
"""

from __future__ import annotations

from typing import Any, Final

from roadstead.model import HealthSpec, StopSpec
from roadstead.spi.runtime import Launch

__all__ = ["DETECTION_S", "ENDING_S", "grace_s", "probes", "sleep_s"]

Json = dict[str, Any]

DETECTION_S: Final = 5
"""Seconds until everybody who sends requests knows that a pod is ending: proxies of nodes, and our gateway."""

ENDING_S: Final = 2
"""Seconds beyond its grace that a server has before it is killed; the kubelet counts whole ones."""

_ANSWER_S: Final = 5
"""Seconds to answer a probe: the kubelet's own default of one kills servers that have much to do."""

_LEAST_HANGING_S: Final = 30


def probes(launch: Launch, health: HealthSpec) -> Json:
    """Return the probes of the server's container; none where it has no port."""
    port = launch.grpc_port if launch.grpc_port is not None else launch.rest_port
    if port is None:
        return {}
    every = max(1, -(-health.every.ms // 1000))
    tries = max(1, -(-health.start_within.ms // (every * 1000)))
    listens = {"tcpSocket": {"port": port}}
    hangs = max(health.failures, -(-_LEAST_HANGING_S // every))
    found = {
        "startupProbe": {**listens, "periodSeconds": every, "timeoutSeconds": _ANSWER_S, "failureThreshold": tries},
        "livenessProbe": {**listens, "periodSeconds": every, "timeoutSeconds": _ANSWER_S, "failureThreshold": hangs},
    }
    knows: Json = listens
    if launch.rest_port is not None and launch.rest_ready_path:
        knows = {"httpGet": {"path": launch.rest_ready_path, "port": launch.rest_port, "scheme": "HTTP"}}
    found["readinessProbe"] = {
        **knows,
        "periodSeconds": every,
        "timeoutSeconds": _ANSWER_S,
        "failureThreshold": health.failures,
    }
    return found


def sleep_s(stop: StopSpec) -> int:
    """Return for how long a pod goes on serving after it was told to end.

    Kubernetes picks who goes, and may pick one that nobody drained: there must be time to notice, and to drain. Nothing
    where there is nothing to drain.
    """
    return DETECTION_S + -(-stop.drain_within.ms // 1000) if stop.drain_within.ms else 0


def grace_s(stop: StopSpec) -> int:
    """Return how long a pod may take to end, with its sleep; a server that ignores SIGTERM is killed then."""
    return sleep_s(stop) + -(-stop.kill_after.ms // 1000) + ENDING_S
