"""The objects of Kubernetes as far as we read them.

Each struct names the fields that something here looks at, and no others; see :mod:`roadstead_backends.kubernetes.meta`.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from roadstead_backends.kubernetes.meta import Meta

__all__ = [
    "Autoscaler",
    "AutoscalerSpec",
    "Budget",
    "BudgetSpec",
    "ClaimSpec",
    "ClaimStatus",
    "Claimant",
    "Complaint",
    "Condition",
    "Container",
    "ContainerState",
    "ContainerStatus",
    "Involved",
    "LimitRange",
    "LimitRangeSpec",
    "Limits",
    "Node",
    "NodeCondition",
    "NodeSpec",
    "NodeStatus",
    "Pod",
    "PodSpec",
    "PodStatus",
    "Port",
    "QuotaStatus",
    "ReplicaSet",
    "ReplicaSetSpec",
    "ReplicaSetStatus",
    "Requests",
    "ResourceQuota",
    "Running",
    "ScaleTarget",
    "Service",
    "ServiceSpec",
    "StorageClass",
    "StrangePod",
    "StrangeSpec",
    "StrangeStatus",
    "Taint",
    "Terminated",
    "UpdatePolicy",
    "VerticalAutoscaler",
    "VerticalAutoscalerSpec",
    "VolumeClaim",
    "Waiting",
]


class Condition(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One condition of an object; ``status`` is True, False or Unknown, as text."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""


# ---- ReplicaSets ----


class ReplicaSetSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """How many pods there are to be."""

    replicas: int = 1


class ReplicaSetStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """How many pods there are, and why there are no more."""

    replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A group of ours."""

    metadata: Meta
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


# ---- pods ----


class Port(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A port of a container, by name."""

    container_port: int
    name: str = ""


class Requests(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What a container has for itself."""

    requests: dict[str, str] = {}
    limits: dict[str, str] = {}


class Container(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One container as it is to be."""

    name: str
    ports: tuple[Port, ...] = ()


class Running(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A container that runs."""

    started_at: dt.datetime | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A container that does not run yet, or not again."""

    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A container that has ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    finished_at: dt.datetime | None = None
    started_at: dt.datetime | None = None
    container_id: str = msgspec.field(default="", name="containerID")


class ContainerState(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What a container does: at most one of the three."""

    running: Running | None = None
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One container as it is."""

    name: str
    ready: bool = False
    restart_count: int = 0
    container_id: str = msgspec.field(default="", name="containerID")
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Where a pod is, and how much time it has to end."""

    node_name: str = ""
    termination_grace_period_seconds: int = 30
    containers: tuple[Container, ...] = ()


class PodStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What a pod does."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A replica of ours."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Claimant(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A container of somebody else's pod, as far as it takes room."""

    resources: Requests = Requests()
    restart_policy: str = ""


class StrangeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """The room that somebody else's pod takes, and where."""

    node_name: str = ""
    containers: tuple[Claimant, ...] = ()
    init_containers: tuple[Claimant, ...] = ()
    overhead: dict[str, str] = {}
    resources: Requests = Requests()


class StrangeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Whether somebody else's pod still takes room."""

    phase: str = ""


class StrangePod(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A pod that is not ours, seen for the room that it takes."""

    metadata: Meta
    spec: StrangeSpec = StrangeSpec()
    status: StrangeStatus = StrangeStatus()


# ---- nodes ----


class Taint(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What keeps pods away from a node."""

    key: str
    effect: str = ""
    value: str = ""


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Who may come to a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeCondition(Condition, frozen=True, kw_only=True, rename="camel", gc=False):
    """One condition of a node, and since when it is so."""

    last_transition_time: dt.datetime | None = None


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What a node has to give away, and how it is."""

    allocatable: dict[str, str] = {}
    conditions: tuple[NodeCondition, ...] = ()


class Node(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A machine of the cluster."""

    metadata: Meta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


# ---- what stands beside ----


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Whom a Service sends requests to."""

    selector: dict[str, str] = {}
    cluster_ip: str = msgspec.field(default="", name="clusterIP")


class Service(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """An address inside the cluster."""

    metadata: Meta
    spec: ServiceSpec = ServiceSpec()


class BudgetSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """How many of which pods are left alone."""

    min_available: int | str | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A disruption budget."""

    metadata: Meta
    spec: BudgetSpec = BudgetSpec()


class QuotaStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What a namespace may have, and has."""

    hard: dict[str, str] = {}
    used: dict[str, str] = {}


class ResourceQuota(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A limit for all that is in a namespace."""

    metadata: Meta
    status: QuotaStatus = QuotaStatus()


class Limits(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What each thing of a ``type`` must and may have."""

    type: str = ""
    min: dict[str, str] = {}
    max: dict[str, str] = {}


class LimitRangeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What each thing in a namespace must and may have, by type."""

    limits: tuple[Limits, ...] = ()


class LimitRange(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A limit for each thing that is in a namespace."""

    metadata: Meta
    spec: LimitRangeSpec = LimitRangeSpec()


class ClaimSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What kind of storage is claimed."""

    storage_class_name: str = ""


class ClaimStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Whether there is a volume for a claim."""

    phase: str = ""


class VolumeClaim(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A claim to storage."""

    metadata: Meta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class StorageClass(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A kind of storage, and when its volumes get their places."""

    metadata: Meta
    volume_binding_mode: str = ""


class ScaleTarget(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What an autoscaler scales."""

    kind: str = ""
    name: str = ""


class AutoscalerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What an autoscaler scales."""

    scale_target_ref: ScaleTarget = ScaleTarget()


class Autoscaler(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Somebody else who decides how many pods a group has."""

    metadata: Meta
    spec: AutoscalerSpec = AutoscalerSpec()


class UpdatePolicy(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What a vertical autoscaler does with what it finds out."""

    update_mode: str = ""


class VerticalAutoscalerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What a vertical autoscaler is about, and what it does to it."""

    target_ref: ScaleTarget = ScaleTarget()
    update_policy: UpdatePolicy = UpdatePolicy()


class VerticalAutoscaler(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Somebody else who decides how much each pod of a group has."""

    metadata: Meta
    spec: VerticalAutoscalerSpec = VerticalAutoscalerSpec()


class Involved(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What an event is about."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Complaint(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Something that went wrong with an object of the cluster, and how often."""

    metadata: Meta
    involved_object: Involved = Involved()
    reason: str = ""
    message: str = ""
    count: int | None = None
