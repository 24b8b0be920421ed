"""Why a group or a pod is not as it was asked: what Kubernetes says, in our words, with its own beside them. Pure.

No source says it all. The order is: the ReplicaSet's own condition (over a quota there are no pods to look at), the
scheduler's word about the pod, the containers' states, the last warning of the cluster about the pod, its readiness,
and its node. Texts are not an interface: what they are searched for decides between two codes, and never whether there
is a reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from roadstead.reasons import Reason, ReasonCode
from roadstead.world import Phase
from roadstead_backends.kubernetes.objects import (
    Complaint,
    Condition,
    ContainerState,
    ContainerStatus,
    Pod,
    ReplicaSet,
    Terminated,
)

__all__ = ["group_reason", "reason_of"]

_WAITING: Final[Mapping[str, ReasonCode]] = {
    "ErrImagePull": ReasonCode.IMAGE,
    "ImagePullBackOff": ReasonCode.IMAGE,
    "InvalidImageName": ReasonCode.IMAGE,
    "ErrImageNeverPull": ReasonCode.IMAGE,
    "ImageInspectError": ReasonCode.IMAGE,
    "RegistryUnavailable": ReasonCode.IMAGE,
    "SignatureValidationFailed": ReasonCode.IMAGE,
    "CreateContainerConfigError": ReasonCode.CONFIG,
    "CreateContainerError": ReasonCode.CONFIG,
    "RunContainerError": ReasonCode.CONFIG,
    "PostStartHookError": ReasonCode.CONFIG,
    "CrashLoopBackOff": ReasonCode.CRASH,
}
_FAILED: Final[Mapping[str, ReasonCode]] = {
    "OutOfcpu": ReasonCode.NO_CAPACITY,
    "OutOfmemory": ReasonCode.NO_CAPACITY,
    "OutOfpods": ReasonCode.NO_CAPACITY,
    "OutOfephemeral-storage": ReasonCode.NO_CAPACITY,
    "UnexpectedAdmissionError": ReasonCode.NO_CAPACITY,
    "NodeAffinity": ReasonCode.NO_MATCHING_NODE,
    "Evicted": ReasonCode.NO_CAPACITY,
}
_WARNINGS: Final[Mapping[str, ReasonCode]] = {
    "FailedMount": ReasonCode.CONFIG,
    "FailedAttachVolume": ReasonCode.CONFIG,
    "FailedMapVolume": ReasonCode.CONFIG,
    "InspectFailed": ReasonCode.IMAGE,
    "FailedCreatePodSandBox": ReasonCode.STARTING,
}
_LACKS_ROOM: Final = re.compile(r"[Ii]nsufficient |Too many pods|exceed max volume count")
_LACKS_OBJECT: Final = re.compile(r"persistentvolumeclaim|unbound immediate|resourceclaim|storageclass", re.IGNORECASE)
_NODES: Final = re.compile(r"(\d+)/(\d+) nodes are available")
_CONFIG: Final = re.compile(r"no PriorityClass|serviceaccount .* not found|RuntimeClass", re.IGNORECASE)


# ---- groups ----


def group_reason(group: ReplicaSet) -> Reason | None:
    """Return why a group's pods are not made, or not removed; ``None`` where they are."""
    failure = next((one for one in group.status.conditions if one.type == "ReplicaFailure"), None)
    if failure is None or failure.status != "True":
        return None
    said = failure.message
    missing = max(0, group.spec.replicas - group.status.replicas)
    if "exceeded quota" in said:
        code, detail = ReasonCode.QUOTA, "a ResourceQuota of the namespace allows no more pods"
    elif _CONFIG.search(said):
        code, detail = ReasonCode.CONFIG, "the pods name something that does not exist"
    elif failure.reason == "FailedDelete":
        code, detail = ReasonCode.REFUSED, "the cluster does not remove pods"
    else:
        code, detail = ReasonCode.REFUSED, "the cluster does not admit the pods"
    return Reason(code=code, detail=detail, count=missing, total=group.spec.replicas, raw=said)


# ---- pods ----


def reason_of(
    pod: Pod, phase: Phase, server: ContainerStatus | None, complaint: Complaint | None, *, node_silent: bool
) -> Reason | None:
    """Return why a pod does not serve; ``None`` where there is nothing to say."""
    if phase is Phase.LOST:
        return _lost(pod, node_silent=node_silent)
    if phase is Phase.STOPPING:
        return None
    if node_silent:
        detail = f"its node {pod.spec.node_name} does not answer the cluster"
        return Reason(code=ReasonCode.UNREACHABLE, detail=detail)
    if phase is Phase.SLOT:
        return _unscheduled(pod)
    for status in pod.status.init_container_statuses:
        found = _unprepared(status)
        if found is not None:
            return found
    return _unstarted(server, complaint) or _unready(pod, phase, complaint)


def _lost(pod: Pod, *, node_silent: bool) -> Reason:
    said = f"{pod.status.reason}: {pod.status.message}".strip(": ")
    code = _FAILED.get(pod.status.reason, ReasonCode.LOST)
    if code is not ReasonCode.LOST:
        detail = f"node {pod.spec.node_name} refused or put it out: {pod.status.reason}"
    elif node_silent:
        detail = f"its node {pod.spec.node_name} is silent, and it was given up there"
    else:
        detail = "it ended and does not come back"
    return Reason(code=code, detail=detail, raw=said)


def _unscheduled(pod: Pod) -> Reason | None:
    said = next((one for one in pod.status.conditions if one.type == "PodScheduled"), None)
    if said is None or said.status == "True":
        return None
    if said.reason == "SchedulingGated":
        return Reason(code=ReasonCode.GATED, detail="a scheduling gate holds it back", raw=said.message)
    return _unschedulable(said)


def _unschedulable(said: Condition) -> Reason:
    counted = _NODES.search(said.message)
    count, total = (int(counted[1]), int(counted[2])) if counted is not None else (0, 0)
    if _LACKS_ROOM.search(said.message):
        code, detail = ReasonCode.NO_CAPACITY, "no node has room for it"
    elif _LACKS_OBJECT.search(said.message):
        code, detail = ReasonCode.CONFIG, "it waits for something that it names and that is not there"
    elif counted is not None:
        code, detail = ReasonCode.NO_MATCHING_NODE, "no node may take it"
    else:
        code, detail = ReasonCode.NO_CAPACITY, "the scheduler found no node for it"
    return Reason(code=code, detail=detail, count=count, total=total, raw=said.message)


def _unprepared(status: ContainerStatus) -> Reason | None:
    """Return why what must be done before a server starts is not done."""
    state, ended = status.state, status.state.terminated or status.last_state.terminated
    if state.terminated is not None and state.terminated.exit_code == 0:
        return None
    if ended is not None and ended.exit_code:
        detail = _last_line(ended.message) or f"the init container {status.name} ended with {ended.exit_code}"
        return Reason(code=ReasonCode.MODEL, detail=detail, count=status.restart_count, raw=ended.message)
    if state.waiting is not None and state.waiting.reason in _WAITING:
        return _waiting(state, None)
    if state.running is not None:
        return Reason(code=ReasonCode.STARTING, detail="the model's files are being fetched or checked")
    return None


def _unstarted(server: ContainerStatus | None, complaint: Complaint | None) -> Reason | None:
    if server is None or server.state.running is not None:
        return None
    ended = server.state.terminated or server.last_state.terminated
    if ended is not None:
        return _crashed(server, ended)
    if server.state.waiting is not None and server.state.waiting.reason in _WAITING:
        return _waiting(server.state, ended)
    if complaint is not None and complaint.reason in _WARNINGS:
        code = _WARNINGS[complaint.reason]
        return Reason(code=code, detail=f"its node says {complaint.reason}", raw=complaint.message)
    return None


def _waiting(state: ContainerState, ended: Terminated | None) -> Reason:
    waiting = state.waiting
    assert waiting is not None, "whoever asks has seen that it waits"
    code = _WAITING.get(waiting.reason, ReasonCode.STARTING)
    if code is ReasonCode.CRASH and ended is None:
        code = ReasonCode.BACK_OFF
    return Reason(code=code, detail=f"its container waits: {waiting.reason}", raw=waiting.message)


def _crashed(server: ContainerStatus, ended: Terminated) -> Reason:
    """Return how the last run of a server ended; its words are the cluster's and may be many."""
    if ended.reason == "OOMKilled":
        code, detail = ReasonCode.OUT_OF_MEMORY, "the kernel ended it at its memory limit"
    elif ended.reason in ("StartError", "ContainerCannotRun"):
        code, detail = ReasonCode.CONFIG, f"it could not be started: {ended.message.strip()}"
    else:
        code, detail = ReasonCode.CRASH, f"its server ended with exit code {ended.exit_code}"
    waiting = server.state.waiting
    if waiting is not None and waiting.reason == "CrashLoopBackOff":
        detail = f"{detail}, and waits to be started again"
    raw = "; ".join(filter(None, (ended.message.strip(), waiting.message if waiting is not None else "")))
    return Reason(code=code, detail=detail, count=server.restart_count, raw=raw)


def _unready(pod: Pod, phase: Phase, complaint: Complaint | None) -> Reason | None:
    ready = next((one for one in pod.status.conditions if one.type == "Ready"), None)
    if phase is not Phase.RUNNING:
        return Reason(code=ReasonCode.STARTING, detail="its container is being made") if ready is not None else None
    if ready is None or ready.status == "True":
        return None
    raw = complaint.message if complaint is not None and complaint.reason == "Unhealthy" else ready.message
    return Reason(code=ReasonCode.NOT_READY, detail="the kubelet does not find it ready", raw=raw)


def _last_line(text: str) -> str:
    return next(filter(None, (line.strip() for line in reversed(text.splitlines()))), "")
