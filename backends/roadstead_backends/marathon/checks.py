"""How agents and Marathon ask a server, and how it ends. Pure.

The *health check* has the server replaced that hangs: the agent connects to its port, and is slow to judge, for a busy
server answers late. Servers listen once their model is loaded, which may take ``health.start_within``. The *readiness
check* is what a deployment of Marathon waits for; it knows that the version is known, and not that the model is well.
"""

from __future__ import annotations

from typing import Any, Final

from roadstead.model import HealthSpec, StopSpec
from roadstead.spi.runtime import Launch

__all__ = ["grace_s", "health_checks", "readiness_checks", "unreachable"]

Json = dict[str, Any]

_ANSWER_S: Final = 5
_LEAST_HANGING_S: Final = 30


def health_checks(launch: Launch, health: HealthSpec) -> list[Json]:
    """Return the check that ends in a kill; none where the server has no port."""
    if launch.grpc_port is None and launch.rest_port is None:
        return []
    every = _every_s(health)
    return [
        {
            "protocol": "MESOS_TCP",
            "portIndex": 0,
            "delaySeconds": 0,
            "gracePeriodSeconds": _seconds(health.start_within.ms),
            "intervalSeconds": every,
            "timeoutSeconds": _ANSWER_S,
            "maxConsecutiveFailures": max(health.failures, -(-_LEAST_HANGING_S // every)),
        }
    ]


def readiness_checks(launch: Launch, health: HealthSpec) -> list[Json]:
    """Return the check that a deployment waits for; none where the server has no such page."""
    if launch.rest_port is None or not launch.rest_ready_path:
        return []
    every = max(2, _every_s(health))  # Marathon wants the time for an answer to be less than that between questions
    return [
        {
            "name": "ready",
            "protocol": "HTTP",
            "path": launch.rest_ready_path,
            "portName": "rest",
            "intervalSeconds": every,
            "timeoutSeconds": min(_ANSWER_S, every - 1),
            "httpStatusCodesForReady": [200],
            "preserveLastResponse": False,
        }
    ]


def unreachable(health: HealthSpec) -> Json:
    """Return when a task on a lost agent is given up: replaced and forgotten at once, and killed if it comes back.

    Mesos itself takes its time, 75 s by default, until it says that an agent is lost; this is on top of that.
    """
    after = _seconds(health.node_lost_after.ms)
    return {"inactiveAfterSeconds": after, "expungeAfterSeconds": after}


def grace_s(stop: StopSpec, *, reaches: bool) -> int:
    """Return how long a server has between being asked to end and being killed.

    Where nobody of ours can take it out of the table, what is in flight needs its time, too.
    """
    return _seconds(stop.kill_after.ms + (0 if reaches else stop.drain_within.ms))


def _every_s(health: HealthSpec) -> int:
    return max(1, _seconds(health.every.ms))


def _seconds(ms: int) -> int:
    return -(-ms // 1000)
