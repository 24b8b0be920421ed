"""Where a pod may run, in Kubernetes' words: affinity, spread, tolerations, GPUs. Pure.

Where our placement picks the node, nothing of this is written but what keeps the pod alive there: tolerations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from roadstead.model import (
    Constraint,
    GpuPart,
    GpuPartition,
    Operator,
    Resources,
    Spread,
    Template,
    WholeGpus,
)
from roadstead_backends.kubernetes.pod_options import PodOptions, Toleration

__all__ = [
    "ATTRIBUTES",
    "GPU_MEMORY",
    "GPU_PRODUCT",
    "HOSTNAME",
    "affinity",
    "label_of",
    "limits",
    "partition_resource",
    "spread_constraints",
    "tolerations",
]

Json = dict[str, Any]

HOSTNAME: Final = "kubernetes.io/hostname"
ATTRIBUTES: Final = {
    "hostname": HOSTNAME,
    "zone": "topology.kubernetes.io/zone",
    "region": "topology.kubernetes.io/region",
    "arch": "kubernetes.io/arch",
    "os": "kubernetes.io/os",
    "instance_type": "node.kubernetes.io/instance-type",
}
"""Short names of node attributes and the labels that they stand for; any other attribute is a label's own key."""

GPU_PRODUCT: Final = "nvidia.com/gpu.product"
GPU_MEMORY: Final = "nvidia.com/gpu.memory"
_GPU_TAINT: Final = "nvidia.com/gpu"
_PARTITIONS: Final = "nvidia.com/mig-"
_MIB: Final = 1024**2

_OPERATORS: Final = {Operator.IN: "In", Operator.NOT_IN: "NotIn", Operator.EXISTS: "Exists"}


def label_of(attribute: str) -> str:
    """Return the label that an attribute of the fleet file stands for."""
    return ATTRIBUTES.get(attribute, attribute)


def partition_resource(profile: str) -> str:
    """Return the resource by which one partition of a device is asked for.

    >>> partition_resource("1g.10gb")
    'nvidia.com/mig-1g.10gb'
    """
    return f"{_PARTITIONS}{profile}"


def limits(resources: Resources, options: PodOptions) -> dict[str, str]:
    """Return what one replica may use, for limits and requests alike; raises :class:`ValueError` for a share."""
    found = {"cpu": str(resources.cpu), "memory": str(resources.memory)}
    if resources.disk.bytes:
        found["ephemeral-storage"] = str(resources.disk)
    match resources.gpu:
        case WholeGpus(count=count):
            found[options.gpu_resource] = str(count)
        case GpuPartition(profile=profile):
            found[partition_resource(profile)] = "1"
        case GpuPart():
            raise ValueError("a share of a GPU is not something that Kubernetes gives and enforces")
    return found


def tolerations(template: Template, options: PodOptions) -> list[Json]:
    """Return the taints that a pod bears; those of a lost node for as long as its owner says."""
    seconds = -(-template.health.node_lost_after.ms // 1000)
    lost: list[Json] = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ]
    gpu: list[Json] = [{"key": _GPU_TAINT, "operator": "Exists", "effect": "NoSchedule"}]
    return [*lost, *(gpu if template.resources.gpu is not None else []), *map(_toleration, options.tolerations)]


def _toleration(one: Toleration) -> Json:
    how: Json = {"operator": "Exists"} if one.value is None else {"operator": "Equal", "value": one.value}
    return {"key": one.key, **how, **({} if one.effect is None else {"effect": one.effect.value})}


def affinity(template: Template, siblings: dict[str, str]) -> Json:
    """Return the nodes that a native cluster's scheduler may choose; ``siblings`` are labels of the deployment's pods.

    A hard cap of one replica to each value of an attribute is a rule about siblings of all revisions.
    """
    found: Json = {}
    terms = [*map(_expression, template.placement.constraints), *_gpu_terms(template.resources)]
    if terms:
        required = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
        found["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    spread = template.placement.spread
    if spread is not None and spread.max_per is not None:
        if spread.max_per != 1:
            raise ValueError(f"kube-scheduler cannot hold at most {spread.max_per} replicas to one {spread.by}, only 1")
        apart = {"topologyKey": label_of(spread.by), "labelSelector": {"matchLabels": siblings}}
        found["podAntiAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    return found


def _expression(constraint: Constraint) -> Json:
    operator = _OPERATORS.get(constraint.operator)
    if operator is None:
        raise ValueError(f"kube-scheduler cannot match {constraint.attribute} by a pattern")
    values = {"values": list(constraint.values)} if constraint.operator is not Operator.EXISTS else {}
    return {"key": label_of(constraint.attribute), "operator": operator, **values}


def _gpu_terms(resources: Resources) -> Iterator[Json]:
    """Yield what GPU feature discovery must have found on a node."""
    gpu = resources.gpu
    if isinstance(gpu, WholeGpus):
        if gpu.models:
            yield {"key": GPU_PRODUCT, "operator": "In", "values": list(gpu.models)}
        if gpu.memory.bytes:
            # The label counts MiB, and the operator is "greater than".
            yield {"key": GPU_MEMORY, "operator": "Gt", "values": [str(-(-gpu.memory.bytes // _MIB) - 1)]}


def spread_constraints(spread: Spread | None, siblings: dict[str, str]) -> list[Json]:
    """Return how a native cluster's scheduler spreads the replicas of all revisions: evenly, where possible."""
    by = spread.by if spread is not None else "hostname"
    return [
        {
            "maxSkew": 1,
            "topologyKey": label_of(by),
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": siblings},
        }
    ]
