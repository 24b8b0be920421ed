"""How the kubelet asks a server, and how it ends one. Pure.

Three probes with three meanings. The *startup* probe waits until the server listens, which servers do once their model
is loaded, for as long as ``health.start_within``; it asks every second, for the next replica may wait for this one. The
*liveness* probe restarts a server that hangs, and is slow to judge, for a busy server answers late. The *readiness*
probe decides whether the cluster's own Service sends requests; it knows that the version is known, and not that the
model is well: that is the runtime's word, which we ask for.

A server that listens before its model is loaded has to say itself when it is: by gRPC's health service, which is then
what startup and readiness ask. Liveness does not: a model that is not available is no reason to start again.
"""

from __future__ import annotations

from typing import Any, Final

from roadstead.model import HealthSpec, StopSpec
from roadstead.spi.runtime import Launch
from roadstead.units import Duration

__all__ = ["DETECTION_S", "ENDING_S", "grace_s", "is_hurried", "probes", "sleep_s"]

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
    every, tries = max(1, _seconds(health.every)), max(1, _seconds(health.start_within))
    listens: Json = {"tcpSocket": {"port": port}}
    hangs = max(health.failures, -(-_LEAST_HANGING_S // every))
    knows = listens
    if launch.says_health:
        knows = {"grpc": {"port": port}}
    elif launch.rest_port is not None and launch.rest_ready_path:
        knows = {"httpGet": {"path": launch.rest_ready_path, "port": launch.rest_port, "scheme": "HTTP"}}
    starts = knows if launch.says_health else listens
    found = {
        "startupProbe": {**starts, "periodSeconds": 1, "timeoutSeconds": _ANSWER_S, "failureThreshold": tries},
        "livenessProbe": {**listens, "periodSeconds": every, "timeoutSeconds": _ANSWER_S, "failureThreshold": hangs},
    }
    found["readinessProbe"] = {
        **knows,
        "periodSeconds": every,
        "timeoutSeconds": _ANSWER_S,
        "failureThreshold": health.failures,
    }
    return found


def sleep_s(stop: StopSpec, *, finishes: bool) -> int:
    """Return for how long a pod goes on taking requests after it was told to end.

    Kubernetes picks who goes, and may pick one that nobody drained: there must be time to notice, and to drain. A
    server that ``finishes`` what it has at SIGTERM drains by then, and no longer than it must. Nothing where there is
    nothing to drain.
    """
    if not stop.drain_within.ms:
        return 0
    return DETECTION_S if finishes else DETECTION_S + _seconds(stop.drain_within)


def grace_s(stop: StopSpec) -> int:
    """Return how long a pod may take to end: to be noticed, to drain, to end; then it is killed.

    The same for every server: one that ignores SIGTERM serves for all of it.
    """
    noticed = DETECTION_S + _seconds(stop.drain_within) if stop.drain_within.ms else 0
    return noticed + _seconds(stop.kill_after) + ENDING_S


def is_hurried(grace: Duration, whole_s: int) -> bool:
    """Return whether ``grace`` is for a pod that was drained, out of ``whole_s``, what its pod may take by itself.

    What is no shorter than to drain and to end is no order to hurry: by itself, a pod has the time to be noticed, too.
    Both were rounded up to whole seconds there, so that two of them are left out.
    """
    return grace.ms < (whole_s - DETECTION_S - ENDING_S - 2) * 1000


def _seconds(time: Duration) -> int:
    return -(-time.ms // 1000)
