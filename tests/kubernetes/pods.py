"""Objects as an API server would show them, for the pure tests: JSON that goes through our own structs."""

from __future__ import annotations

from typing import Any

import msgspec

from roadstead.model import Template
from roadstead_backends.kubernetes import names
from roadstead_backends.kubernetes.objects import Node, Pod, ReplicaSet, StrangePod
from roadstead_backends.kubernetes.translate import replica_set
from tests.kubernetes.orders import order_of, template_with

__all__ = ["OWNER_ID", "Json", "a_node", "a_pod", "a_set", "a_stranger", "running", "terminated", "waiting"]

Json = dict[str, Any]

OWNER_ID = "0f1e2d"
_T0 = "2026-11-23T05:00:00Z"


def a_set(
    uid: str = "set-1", *, template: Template | None = None, deployment: str = "minilm", **changes: Any
) -> ReplicaSet:
    """Return a group's ReplicaSet; ``replicas``, ``generation``, ``labels``, ``status`` and others may be changed."""
    order = order_of(template or template_with())
    document = replica_set(order, changes.pop("replicas", 1), directed=False)
    meta = document["metadata"]
    meta |= {"uid": uid, "generation": 1, "resourceVersion": "1", "creationTimestamp": _T0}
    if deployment != "minilm":
        meta["name"] = f"shop-{deployment}-{order.key.revision}"
        meta["labels"][names.DEPLOYMENT] = deployment
    meta["labels"] |= changes.pop("labels", {})
    meta["annotations"] |= changes.pop("annotations", {})
    status = changes.pop("status", {})
    meta |= changes
    return msgspec.convert({**document, "status": status}, ReplicaSet, strict=False)


def a_pod(name: str = "p-1", *, owner: str = "set-1", node: str = "", **changes: Any) -> Pod:
    """Return a pod of a group; ``server`` is the state of its container, ``status`` and ``meta`` are merged in."""
    status: Json = {"phase": "Running" if "server" in changes else "Pending"}
    if "server" in changes:
        status["podIP"] = "10.0.0.7"
        status["containerStatuses"] = [
            {
                "name": "server",
                "containerID": "containerd://0123456789abcdef0123",
                "restartCount": changes.pop("restarts", 0),
                "state": changes.pop("server"),
                "lastState": changes.pop("before", {}),
            }
        ]
    status |= changes.pop("status", {})
    meta = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": _T0,
        "labels": {names.OWNER_ID: OWNER_ID},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "g", "uid": owner, "controller": True}],
        **changes.pop("meta", {}),
    }
    ports = [{"name": "grpc", "containerPort": 8500}, {"name": "rest", "containerPort": 8501}]
    spec = {"nodeName": node, "containers": [{"name": "server", "ports": ports}]}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": status}, Pod, strict=False)


def running(at: str = "2026-11-23T05:00:05Z") -> Json:
    """Return the state of a container that runs."""
    return {"running": {"startedAt": at}}


def waiting(reason: str, message: str = "") -> Json:
    """Return the state of a container that waits."""
    return {"waiting": {"reason": reason, "message": message}}


def terminated(code: int, reason: str = "Error", message: str = "") -> Json:
    """Return the state of a container that ended."""
    return {
        "terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": "2026-11-23T05:00:09Z"}
    }


def a_node(name: str = "node-1", *, ready: str = "True", labels: Json | None = None, more: Json | None = None) -> Node:
    """Return a node; ``more`` is what it has to give away besides."""
    return msgspec.convert(
        {
            "metadata": {"name": name, "uid": name, "resourceVersion": "1", "labels": labels or {}},
            "status": {
                "allocatable": {
                    "cpu": "4",
                    "memory": "8Gi",
                    **(more or {}),
                },
                "conditions": [{"type": "Ready", "status": ready}],
            },
        },
        Node,
    )


def a_stranger(name: str, node: str, *, requests: Json, **spec: Any) -> StrangePod:
    """Return somebody else's pod with one container."""
    containers = [{"resources": {"requests": requests}}]
    whole = {"metadata": {"name": name}, "spec": {"nodeName": node, "containers": containers, **spec}}
    return msgspec.convert(whole, StrangePod)
