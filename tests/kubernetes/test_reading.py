"""What the cluster says of a pod or a group is told in our words, with its own beside them."""

from __future__ import annotations

from typing import Any

import pytest

from roadstead.reasons import ReasonCode
from roadstead.world import Endpoint, Phase
from roadstead_backends.kubernetes.meta import Meta
from roadstead_backends.kubernetes.objects import Complaint, Involved
from roadstead_backends.kubernetes.reading import Around, replica_of
from roadstead_backends.kubernetes.why import group_reason
from tests.kubernetes.pods import a_pod, a_set, running, terminated, waiting

PLAIN = Around()


def complaint(reason: str, message: str) -> Complaint:
    """Return a warning about the pod."""
    return Complaint(metadata=Meta(name="e"), involved_object=Involved(uid="uid-p-1"), reason=reason, message=message)


# ---- where a pod is in its life ----


def test_a_pod_without_a_node_is_a_slot() -> None:
    """It has no address and no process."""
    slot = replica_of(a_pod(), PLAIN)
    assert (Phase.SLOT, None, None, "") == (slot.phase, slot.node, slot.endpoint, slot.incarnation)


def test_a_pod_that_we_bound_has_its_node_before_the_cluster_says_so() -> None:
    """What was acknowledged is seen."""
    bound = replica_of(a_pod(), Around(assumed="node-1", assumed_devices="gpu-0,gpu-1"))
    assert (Phase.STARTING, "node-1", ("gpu-0", "gpu-1")) == (bound.phase, bound.node, bound.devices)


def test_a_pod_whose_server_runs_is_running_with_all_that_belongs_to_it() -> None:
    """Address and ports, its process, and since when; whether it is ready is for whoever can ask it."""
    seen = replica_of(a_pod(node="node-1", server=running(), restarts=2), PLAIN)
    assert Phase.RUNNING is seen.phase
    assert Endpoint(host="10.0.0.7", grpc=8500, rest=8501) == seen.endpoint
    assert ("uid-p-1.2.0123456789ab", 2, 1_795_410_005_000) == (seen.incarnation, seen.restarts, seen.started_at)
    assert (None, None) == (seen.ready, seen.reason)


def test_another_container_is_another_incarnation() -> None:
    """What was learnt of the server before does not count."""
    pods = (a_pod(node="n", server=running(), restarts=count) for count in (0, 1))
    one, other = (replica_of(pod, PLAIN).incarnation for pod in pods)
    assert one != other


def test_where_nobody_reaches_a_server_the_kubelet_says_whether_it_is_ready() -> None:
    """And there is no address to connect to."""
    said = [{"type": "Ready", "status": "True"}]
    seen = replica_of(a_pod(node="n", server=running(), status={"conditions": said}), Around(reports_ready=True))
    assert (True, None) == (seen.ready, seen.endpoint)


def test_a_pod_that_is_to_go_is_stopping_while_its_node_answers() -> None:
    """It holds its room until it is gone."""
    pod = a_pod(node="n", server=running(), meta={"deletionTimestamp": "2026-11-23T06:00:00Z"})
    assert Phase.STOPPING is replica_of(pod, Around(node_silent=False)).phase


def test_a_pod_whose_server_has_ended_as_asked_is_not_lost() -> None:
    """It is still there for a moment, and was told to go."""
    meta = {"deletionTimestamp": "2026-11-23T06:00:00Z"}
    pod = a_pod(node="n", server=terminated(143), meta=meta, status={"phase": "Failed"})
    assert Phase.STOPPING is replica_of(pod, Around(node_silent=False)).phase


def test_a_pod_that_was_given_up_on_a_silent_node_is_lost() -> None:
    """Nobody will ever confirm that it ended; it holds nothing any more."""
    meta = {"deletionTimestamp": "2026-11-23T06:00:00Z"}
    pod = a_pod(node="n", server=running(), meta=meta)
    assert Phase.LOST is replica_of(pod, Around(node_silent=True, given_up=True)).phase
    assert Phase.STOPPING is replica_of(pod, Around(node_silent=True)).phase
    target = [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]
    pod = a_pod(node="n", server=running(), meta=meta, status={"conditions": target})
    assert Phase.LOST is replica_of(pod, Around(node_silent=None)).phase


def test_a_pod_on_a_silent_node_is_said_to_be_out_of_reach() -> None:
    """Until it is given up it may be well, and it counts."""
    seen = replica_of(a_pod(node="n", server=running()), Around(node_silent=True))
    assert Phase.RUNNING is seen.phase
    assert seen.reason is not None
    assert ReasonCode.UNREACHABLE is seen.reason.code


# ---- how a server ended ----


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (terminated(3), (3, None, False)),
        (terminated(137), (None, 9, False)),
        (terminated(137, "OOMKilled"), (None, 9, True)),
        (terminated(128, "StartError", "no such file"), (None, None, False)),
    ],
)
def test_an_end_is_told_by_code_or_signal(state: Any, expected: tuple[int | None, int | None, bool]) -> None:
    """Whichever it was, and whether the kernel did it for the memory."""
    seen = replica_of(a_pod(node="n", server=waiting("CrashLoopBackOff"), before=state), PLAIN)
    assert seen.last_exit is not None
    assert expected == (seen.last_exit.code, seen.last_exit.signal, seen.last_exit.out_of_memory)
    assert 1_795_410_009_000 == seen.last_exit.at


# ---- why it does not serve ----


def unscheduled(message: str, reason: str = "Unschedulable") -> Any:
    """Return the scheduler's word about a pod."""
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]}


@pytest.mark.parametrize(
    ("pod", "code"),
    [
        (a_pod(status=unscheduled("0/3 nodes are available: 3 Insufficient cpu.")), ReasonCode.NO_CAPACITY),
        (
            a_pod(status=unscheduled("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.")),
            ReasonCode.NO_MATCHING_NODE,
        ),
        (a_pod(status=unscheduled('persistentvolumeclaim "models" not found')), ReasonCode.CONFIG),
        (a_pod(status=unscheduled("", "SchedulingGated")), ReasonCode.GATED),
        (a_pod(node="n", server=waiting("ImagePullBackOff")), ReasonCode.IMAGE),
        (a_pod(node="n", server=waiting("CreateContainerConfigError", "no secret")), ReasonCode.CONFIG),
        (a_pod(node="n", server=waiting("CrashLoopBackOff"), before=terminated(1)), ReasonCode.CRASH),
        (
            a_pod(node="n", server=waiting("CrashLoopBackOff"), before=terminated(137, "OOMKilled")),
            ReasonCode.OUT_OF_MEMORY,
        ),
        (a_pod(node="n", status={"phase": "Failed", "reason": "OutOfcpu"}), ReasonCode.NO_CAPACITY),
        (a_pod(node="n", status={"phase": "Failed", "reason": "NodeAffinity"}), ReasonCode.NO_MATCHING_NODE),
        (a_pod(node="n", status={"phase": "Failed", "reason": "Shutdown"}), ReasonCode.LOST),
    ],
)
def test_what_keeps_a_pod_from_serving_has_a_reason(pod: Any, code: ReasonCode) -> None:
    """From whichever of the places that it is said in."""
    reason = replica_of(pod, PLAIN).reason
    assert reason is not None
    assert code is reason.code


def test_nodes_are_counted_as_the_scheduler_counts_them() -> None:
    """And its own words are kept whole."""
    message = "0/12 nodes are available: 12 Insufficient nvidia.com/gpu."
    reason = replica_of(a_pod(status=unscheduled(message)), PLAIN).reason
    assert reason is not None
    assert (0, 12, message) == (reason.count, reason.total, reason.raw)


def test_a_model_that_cannot_be_used_is_told_by_whoever_looked_at_it() -> None:
    """The init container's last words."""
    said = terminated(1, "Error", "fetching\nthe model's files cannot be used: their digest is aa, not bb")
    status = {"initContainerStatuses": [{"name": "model", "state": waiting("CrashLoopBackOff"), "lastState": said}]}
    reason = replica_of(a_pod(node="n", status=status), PLAIN).reason
    assert reason is not None
    assert (ReasonCode.MODEL, "the model's files cannot be used: their digest is aa, not bb") == (
        reason.code,
        reason.detail,
    )


def test_what_only_a_warning_says_is_found_there() -> None:
    """A volume that cannot be mounted shows nowhere else."""
    pod = a_pod(node="n", server=waiting("ContainerCreating"))
    reason = replica_of(pod, Around(complaint=complaint("FailedMount", "hostPath type check failed"))).reason
    assert reason is not None
    assert (ReasonCode.CONFIG, "hostPath type check failed") == (reason.code, reason.raw)


def test_an_unready_server_is_told_where_the_kubelet_s_word_counts() -> None:
    """With what the probe got; elsewhere the runtime is asked."""
    pod = a_pod(node="n", server=running(), status={"conditions": [{"type": "Ready", "status": "False"}]})
    said = complaint("Unhealthy", "Readiness probe failed: 404")
    reason = replica_of(pod, Around(reports_ready=True, complaint=said)).reason
    assert reason is not None
    assert (ReasonCode.NOT_READY, "Readiness probe failed: 404") == (reason.code, reason.raw)
    assert None is replica_of(pod, Around(complaint=said)).reason


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('pods "x" is forbidden: exceeded quota: small, requested: cpu=1', ReasonCode.QUOTA),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest"', ReasonCode.REFUSED),
        ("pods is forbidden: no PriorityClass with name high was found", ReasonCode.CONFIG),
    ],
)
def test_why_no_pod_is_made_at_all_is_the_group_s_own_reason(message: str, code: ReasonCode) -> None:
    """There is no pod to look at then."""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    reason = group_reason(a_set(replicas=3, status={"replicas": 1, "conditions": [failure]}))
    assert reason is not None
    assert (code, 2, 3, message) == (reason.code, reason.count, reason.total, reason.raw)


def test_a_group_whose_pods_are_made_has_no_reason() -> None:
    """A failure that is over is no failure."""
    over = {"type": "ReplicaFailure", "status": "False", "message": "it was"}
    assert None is group_reason(a_set(status={"conditions": [over]}))
