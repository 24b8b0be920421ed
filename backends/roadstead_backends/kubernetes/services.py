"""The objects that stand beside groups: Services and disruption budgets. Pure.

A deployment has one Service over all its revisions, which is its address inside the cluster, and one budget over all
of them, so that a drain of nodes disturbs no more than its floor allows. Each group has a headless Service, for clients
that balance by themselves: through a node's proxy, one HTTP/2 connection is one server for ever.
"""

from __future__ import annotations

from typing import Any, Final

from roadstead.spi.backend import GroupOrder
from roadstead_backends.kubernetes import names

__all__ = ["GRPC_PORT", "REST_PORT", "budget", "group_service", "service"]

Json = dict[str, Any]

GRPC_PORT: Final = 8500
REST_PORT: Final = 8501
"""Where a deployment's Service answers; behind it, each pod says by the ports' names which of its own these are."""


def service(fleet: str, owner_id: str, deployment: str) -> Json:
    """Return the Service of a deployment: one address over all of its revisions."""
    return _service(
        names.settled_name(fleet, deployment),
        names.deployment_labels(fleet, owner_id, deployment),
        headless=False,
    )


def group_service(order: GroupOrder) -> Json:
    """Return the headless Service of a group: a name for the addresses of all its ready pods."""
    return _service(names.group_name(order.fleet, order.key), names.group_labels(order), headless=True)


def budget(fleet: str, owner_id: str, deployment: str, floor: int) -> Json:
    """Return the disruption budget of a deployment; ``floor`` replicas are left alone, those that are ready."""
    labels = names.deployment_labels(fleet, owner_id, deployment)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": names.settled_name(fleet, deployment), "labels": labels},
        "spec": {
            "minAvailable": floor,
            "selector": {"matchLabels": labels},
            # One that is not ready serves nobody, and must not keep a node from being emptied.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _service(name: str, labels: dict[str, str], *, headless: bool) -> Json:
    spec: Json = {
        "selector": labels,
        "ports": [
            {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "protocol": "TCP", "appProtocol": "grpc"},
            {"name": "rest", "port": REST_PORT, "targetPort": "rest", "protocol": "TCP"},
        ],
    }
    if headless:
        spec["clusterIP"] = "None"
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels}, "spec": spec}
