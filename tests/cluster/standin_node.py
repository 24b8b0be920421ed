"""One stand-in node: what it offers, what its pods hold of it, and what a kubelet would say of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import attrs

from tests.cluster.standin_life import Pod

__all__ = ["Node", "NodeShape", "now", "quantity", "status_of"]

_SUFFIXES: Mapping[str, Fraction] = {
    "m": Fraction(1, 1000),
    **{name: Fraction(1000) ** power for power, name in enumerate("kMGTP", 1)},
    **{f"{name}i": Fraction(1024) ** power for power, name in enumerate("KMGTP", 1)},
}


@attrs.frozen(kw_only=True)
class NodeShape:
    """What one node offers; ``extended`` are amounts such as ``{"nvidia.com/gpu": 8, "nvidia.com/mig-1g.10gb": 2}``."""

    name: str
    cpu: str = "64"
    memory: str = "256Gi"
    pods: int = 110
    extended: Mapping[str, int] = attrs.field(factory=dict)
    labels: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def amounts(self) -> dict[str, str]:
        """What it offers, as a node's status says it."""
        amounts = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": "1Ti"}
        return {**amounts, **{name: str(count) for name, count in self.extended.items()}}


def quantity(text: str) -> Fraction:
    """Return the number that a Kubernetes quantity stands for, in its base unit."""
    number = text.rstrip("kKMGTPim")
    suffix = text[len(number) :]
    return Fraction(number) * _SUFFIXES.get(suffix, Fraction(1))


class Node:
    """One node as it is now: whether it speaks, and what its pods hold of it."""

    def __init__(self, shape: NodeShape, number: int) -> None:
        self.shape = shape
        self.address = f"10.{200 + number // 65536}.{number // 256 % 256}.{number % 256}"
        self.offers = {name: quantity(amount) for name, amount in shape.amounts.items()}
        self.held: dict[str, dict[str, Fraction]] = {}
        self.speaks = asyncio.Event()
        self.speaks.set()
        self.renewed = float("inf")

    def lacking(self, pod: Pod) -> str | None:
        """Return the resource that is not enough for ``pod``, or hold all that it asks for and return ``None``."""
        asked = _asked(pod)
        for name, amount in asked.items():
            held = sum((one.get(name, Fraction(0)) for one in self.held.values()), Fraction(0))
            if held + amount > self.offers.get(name, Fraction(0)):
                return name
        self.held[pod.key] = asked
        return None


def _asked(pod: Pod) -> dict[str, Fraction]:
    asked = {"pods": Fraction(1)}
    for container in pod.spec.containers:
        for name, amount in container.resources.requests.items():
            asked[name] = asked.get(name, Fraction(0)) + quantity(amount)
    return asked


def status_of(node: Node) -> dict[str, Any]:
    """Return the body of a patch with the node's whole status: ready, and with what it offers."""
    moment = now()
    healthy = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
    amounts = {**node.shape.amounts, **{name: str(amount) for name, amount in node.offers.items() if "/" in name}}
    return {
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "addresses": [{"type": "InternalIP", "address": node.address}],
            "conditions": [
                {
                    "type": name,
                    "status": status,
                    "reason": "StandIn",
                    "lastHeartbeatTime": moment,
                    "lastTransitionTime": moment,
                }
                for name, status in healthy.items()
            ],
            "nodeInfo": {
                **dict.fromkeys(("machineID", "systemUUID", "bootID", "kernelVersion", "osImage"), "stand-in"),
                "containerRuntimeVersion": "standin://1",
                "kubeletVersion": "v1.37.2",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        }
    }


def now(fraction: int = 0) -> str:
    """Return the time as the API server writes it, with ``fraction`` digits of a second: 0 or 6."""
    text = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f" if fraction else "%Y-%m-%dT%H:%M:%S")
    return f"{text}Z"
