"""From Kubernetes' nodes, and the pods of others on them, to what can be placed where. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from roadstead.units import Cpus, Memory
from roadstead.world import Device, Node
from roadstead_backends.kubernetes.meta import millis
from roadstead_backends.kubernetes.objects import Claimant, StrangePod
from roadstead_backends.kubernetes.objects import Node as NodeObject
from roadstead_backends.kubernetes.placing import ATTRIBUTES, GPU_MEMORY, GPU_PRODUCT
from roadstead_backends.kubernetes.quantities import (
    cpus_left,
    cpus_used,
    memory_left,
    memory_used,
    whole,
)

__all__ = ["NOTHING", "Claim", "claim_of", "is_silent", "node_view"]

_WHOLE: Final = "nvidia.com/gpu"
_PARTITION: Final = "nvidia.com/mig-"
_CLOSED: Final = frozenset({"NoSchedule", "NoExecute"})
_BORNE: Final = frozenset({"nvidia.com/gpu"})
"""Taints that our pods tolerate by themselves."""

_MIB: Final = 1024**2


@attrs.frozen
class Claim:
    """The room that pods take on a node: milli-cores, bytes, whole GPUs, and partitions by profile."""

    cpu: int = 0
    memory: int = 0
    gpus: int = 0
    partitions: tuple[str, ...] = ()

    def __add__(self, other: Claim) -> Claim:
        return Claim(
            self.cpu + other.cpu,
            self.memory + other.memory,
            self.gpus + other.gpus,
            tuple(sorted(self.partitions + other.partitions)),
        )

    def __sub__(self, other: Claim) -> Claim:
        left = list(self.partitions)
        for profile in other.partitions:
            left.remove(profile)
        return Claim(self.cpu - other.cpu, self.memory - other.memory, self.gpus - other.gpus, tuple(left))


NOTHING: Final = Claim()


def claim_of(pod: StrangePod) -> Claim:
    """Return the room that a pod takes, by the scheduler's rule; nothing for one that has no node, or has ended.

    The containers together, or the greatest init container where that is more; what keeps running beside the containers
    counts with them. What a container has no request for, it takes as a limit.
    """
    if not pod.spec.node_name or pod.status.phase in ("Failed", "Succeeded"):
        return NOTHING
    beside = [one for one in pod.spec.init_containers if one.restart_policy == "Always"]
    first = [one for one in pod.spec.init_containers if one.restart_policy != "Always"]
    together = _sum(map(_amounts, (*pod.spec.containers, *beside)))
    alone = [_amounts(one) for one in first]
    asked = {name: max([amount, *(one.get(name, 0) for one in alone)]) for name, amount in together.items()}
    for one in alone:
        for name, amount in one.items():
            asked[name] = max(asked.get(name, 0), amount)
    of_pod = _read({**pod.spec.resources.limits, **pod.spec.resources.requests})
    total = _sum(({**asked, **of_pod}, _read(pod.spec.overhead)))
    return Claim(
        total.get("cpu", 0),
        total.get("memory", 0),
        total.get(_WHOLE, 0),
        tuple(
            sorted(
                name.removeprefix(_PARTITION)
                for name, count in total.items()
                if name.startswith(_PARTITION)
                for _ in range(count)
            )
        ),
    )


def node_view(node: NodeObject, foreign: Claim) -> Node:
    """Return a node as a snapshot shows it; ``foreign`` is the room that pods of others take there.

    Which device the kubelet gives away is not told before, so those of others are taken to be the last ones.
    """
    left, labels = node.status.allocatable, node.metadata.labels
    return Node(
        name=node.metadata.name,
        cpu=cpus_left(left.get("cpu", "0")),
        memory=memory_left(left.get("memory", "0")),
        disk=memory_left(left.get("ephemeral-storage", "0")),
        devices=_devices(left, labels, foreign),
        attributes={
            **labels,
            **{attribute: labels[label] for attribute, label in ATTRIBUTES.items() if label in labels},
        },
        foreign_cpu=Cpus(foreign.cpu),
        foreign_memory=Memory(foreign.memory),
        schedulable=_is_open(node),
    )


def is_silent(node: NodeObject) -> bool:
    """Return whether the cluster has not heard from a node for too long."""
    ready = next((one for one in node.status.conditions if one.type == "Ready"), None)
    return ready is not None and ready.status == "Unknown"


def silent_since(node: NodeObject) -> int:
    """Return when (ms since the epoch) the cluster found that it hears nothing of a node; 0 where it does not say."""
    ready = next((one for one in node.status.conditions if one.type == "Ready"), None)
    since = ready.last_transition_time if ready is not None else None
    return millis(since) if since is not None else 0


def _is_open(node: NodeObject) -> bool:
    """Return whether our pods may come: the node is ready, and has no taint that they do not bear."""
    ready = next((one for one in node.status.conditions if one.type == "Ready"), None)
    closed = (taint for taint in node.spec.taints if taint.effect in _CLOSED and taint.key not in _BORNE)
    return not node.spec.unschedulable and ready is not None and ready.status == "True" and next(closed, None) is None


def _devices(left: Mapping[str, str], labels: Mapping[str, str], foreign: Claim) -> tuple[Device, ...]:
    """Return the devices that the node's device plugin offers; a kind of partition is one device with all of its kind.

    Whole devices have the same model and memory, as GPU feature discovery says of a node. Without its labels the
    model is unknown, and so is the memory, which then satisfies no request for any.
    """
    model, memory = labels.get(GPU_PRODUCT, ""), Memory(int(labels.get(GPU_MEMORY, "0") or 0) * _MIB)
    count = whole(left.get(_WHOLE, "0"))
    free = max(0, count - foreign.gpus)
    found = [Device(id=f"gpu-{number}", model=model, memory=memory) for number in range(free)]
    for name, amount in sorted(left.items()):
        if name.startswith(_PARTITION):
            profile = name.removeprefix(_PARTITION)
            offered = max(0, whole(amount) - foreign.partitions.count(profile))
            if offered:
                found.append(Device(id=f"mig-{profile}", model=model, memory=memory, partitions=(profile,) * offered))
    return tuple(found)


def _amounts(container: Claimant) -> Mapping[str, int]:
    return _read({**container.resources.limits, **container.resources.requests})


def _read(quantities: Mapping[str, str]) -> dict[str, int]:
    return {name: _amount(name, text) for name, text in quantities.items()}


def _amount(name: str, text: str) -> int:
    if name == "cpu":
        return cpus_used(text).milli
    return memory_used(text).bytes if name in ("memory", "ephemeral-storage") else whole(text)


def _sum(amounts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in amounts:
        for name, amount in one.items():
            total[name] = total.get(name, 0) + amount
    return total
