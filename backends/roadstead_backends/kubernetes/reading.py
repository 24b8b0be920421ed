"""From a pod to what a snapshot says of a replica. Pure."""

from __future__ import annotations

from typing import Final

import attrs

from roadstead.reasons import Reason, ReasonCode
from roadstead.world import Endpoint, Exit, Phase, Replica
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.meta import millis
from roadstead_backends.kubernetes.objects import Complaint, Condition, ContainerStatus, Pod, Terminated
from roadstead_backends.kubernetes.why import reason_of

__all__ = [
    "Around",
    "condition",
    "exit_of",
    "has_ended",
    "incarnation",
    "is_ready",
    "phase_of",
    "replica_of",
    "server_status",
]

_KILLED: Final = 128
"""A server that a signal ended has this and the signal's number as its exit code."""

_GIVEN_UP: Final = "DeletionByTaintManager"
_ID_LENGTH: Final = 12


@attrs.frozen(kw_only=True)
class Around:
    """What is known of a pod besides the pod.

    ``node_silent``: its node does not answer, ``None`` where nodes cannot be seen. ``given_up``: nor did it for so long
    that nobody waits for it any more. ``assumed`` is the node that we bound it to, as long as the cluster does not show
    that. ``complaint`` is the last thing that the cluster complained of. ``drifted``: it was made from what somebody
    else wrote. ``reports_ready``: the kubelet's readiness is what counts, for nobody can ask the server.
    """

    node_silent: bool | None = None
    given_up: bool = False
    assumed: str | None = None
    assumed_devices: str = ""
    complaint: Complaint | None = None
    drifted: bool = False
    reports_ready: bool = False


def replica_of(pod: Pod, around: Around) -> Replica:
    """Return a pod as a snapshot shows it."""
    phase = phase_of(pod, around)
    status = server_status(pod)
    running = status.state.running if status is not None else None
    runs = phase is Phase.RUNNING or (phase is Phase.STOPPING and running is not None)
    started = running.started_at if running is not None else None
    return Replica(
        id=pod.metadata.name,
        phase=phase,
        node=None if phase is Phase.SLOT else pod.spec.node_name or around.assumed,
        devices=() if phase is Phase.SLOT else _devices(pod, around),
        endpoint=None if around.reports_ready or phase is Phase.SLOT else _endpoint(pod),
        incarnation=incarnation(pod, status) if runs and status is not None else "",
        ready=is_ready(pod) if around.reports_ready and phase is Phase.RUNNING else None,
        restarts=0 if status is None else status.restart_count,
        started_at=millis(started) if runs and started is not None else None,
        reason=_reason(pod, phase, status, around),
        last_exit=_last_exit(status),
        drifted=around.drifted,
    )


def phase_of(pod: Pod, around: Around) -> Phase:
    """Return where a pod is in its life.

    One that is to go is stopping until it is gone. One that its node rejected, or that was given up with its node, will
    not come back.
    """
    if pod.metadata.deletion is not None:
        return Phase.LOST if _was_given_up(pod, around) else Phase.STOPPING
    if has_ended(pod):
        return Phase.LOST
    if not pod.spec.node_name:
        return Phase.SLOT if around.assumed is None else Phase.STARTING
    status = server_status(pod)
    return Phase.RUNNING if status is not None and status.state.running is not None else Phase.STARTING


def has_ended(pod: Pod) -> bool:
    """Return whether nothing of a pod runs or will run: it only lies there to be read."""
    return pod.status.phase in ("Failed", "Succeeded")


def server_status(pod: Pod) -> ContainerStatus | None:
    """Return what is known of the container with the server: the one by our name, else the only one there is."""
    statuses = pod.status.container_statuses
    named = next((status for status in statuses if status.name == names.SERVER), None)
    return named if named is not None or len(statuses) != 1 else statuses[0]


def condition(conditions: tuple[Condition, ...], kind: str) -> Condition | None:
    """Return the condition of a kind, if the object has it."""
    return next((one for one in conditions if one.type == kind), None)


def exit_of(ended: Terminated) -> Exit:
    """Return how a container ended; a code over 128 is how a signal looks from outside."""
    killed = ended.exit_code - _KILLED if ended.exit_code > _KILLED else None
    signal = ended.signal or killed
    begun = ended.reason not in ("StartError", "ContainerCannotRun")
    return Exit(
        at=millis(ended.finished_at) if ended.finished_at is not None else 0,
        code=ended.exit_code if signal is None and begun else None,
        signal=signal if begun else None,
        out_of_memory=ended.reason == "OOMKilled",
        detail=ended.message.strip() if begun else f"could not be started: {ended.message.strip()}",
    )


def _reason(pod: Pod, phase: Phase, status: ContainerStatus | None, around: Around) -> Reason | None:
    """Return why a pod does not serve; whether a running one is ready is left to whoever can ask it."""
    found = reason_of(pod, phase, status, around.complaint, node_silent=around.node_silent is True)
    left = found is not None and found.code is ReasonCode.NOT_READY and not around.reports_ready
    return None if left else found


def _was_given_up(pod: Pod, around: Around) -> bool:
    """Return whether a pod that is to go will not confirm it: its node was silent for too long, and still is."""
    if around.node_silent is False:
        return False
    if around.given_up:
        return True
    target = condition(pod.status.conditions, "DisruptionTarget")
    return target is not None and target.status == "True" and target.reason == _GIVEN_UP


def _devices(pod: Pod, around: Around) -> tuple[str, ...]:
    """Return the devices that we counted for a pod when we bound it."""
    said = pod.metadata.annotations.get(names.DEVICES, "") or around.assumed_devices
    return tuple(filter(None, said.split(",")))


def _endpoint(pod: Pod) -> Endpoint | None:
    if not pod.status.pod_ip:
        return None
    said = pod.metadata.annotations.get(names.PORTS, "").split(",")
    if len(said) == 2 and all(port.isdecimal() for port in said):
        return Endpoint(host=pod.status.pod_ip, grpc=int(said[0]), rest=int(said[1]))
    ports = {port.name: port.container_port for one in pod.spec.containers for port in one.ports}
    if not ports:
        return None
    return Endpoint(host=pod.status.pod_ip, grpc=ports.get("grpc"), rest=ports.get("rest"))


def incarnation(pod: Pod, status: ContainerStatus) -> str:
    """Return a name for one run of a server: which pod, and which of its containers."""
    container = status.container_id.rpartition("/")[2][:_ID_LENGTH]
    return f"{pod.metadata.uid[:8]}.{status.restart_count}.{container}"


def is_ready(pod: Pod) -> bool:
    """Return whether the kubelet finds a pod ready."""
    ready = condition(pod.status.conditions, "Ready")
    return ready is not None and ready.status == "True"


def _last_exit(status: ContainerStatus | None) -> Exit | None:
    if status is None:
        return None
    ended = status.state.terminated or status.last_state.terminated
    return exit_of(ended) if ended is not None else None
