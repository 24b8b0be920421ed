"""What our objects are called in a cluster, and the labels and annotations by which they are found. Pure.

Ownership is by labels alone. No object of ours has an ``ownerReference`` to another that we made: whoever removed that
would remove every model server with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from roadstead.spi.backend import GroupOrder
from roadstead.world import GroupKey

__all__ = [
    "ADOPTED",
    "ADOPTING",
    "CONFIG_PREFIX",
    "DEPLOYMENT",
    "DEVICES",
    "FLEET",
    "GENERATION",
    "MANAGED_BY",
    "OWNER",
    "OWNER_ID",
    "PORTS",
    "RENDERING",
    "REVERTED",
    "REVISION",
    "SCHEDULER",
    "SERVER",
    "SERVES_ON",
    "TEMPLATE",
    "US",
    "WRITTEN",
    "deployment_labels",
    "group_labels",
    "group_name",
    "key_of",
    "selector_of",
    "settled_name",
]

US: Final = "roadstead"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"

FLEET: Final = "roadstead.dev/fleet"
OWNER_ID: Final = "roadstead.dev/owner-id"
DEPLOYMENT: Final = "roadstead.dev/deployment"
REVISION: Final = "roadstead.dev/revision"

OWNER: Final = "roadstead.dev/owner"
GENERATION: Final = "roadstead.dev/generation"
TEMPLATE: Final = "roadstead.dev/template"
RENDERING: Final = "roadstead.dev/rendering"
SERVES_ON: Final = "roadstead.dev/serves-on"
"""On a group whose pods go on serving for their `drain_within` once they are told to end."""

WRITTEN: Final = "roadstead.dev/written-generation"
"""The object's own generation after our last write: at any other one, somebody else has changed the object."""

REVERTED: Final = "roadstead.dev/reverted"
"""What others had written into a group before it was put back: replicas that were made meanwhile still have it."""

ADOPTED: Final = "roadstead.dev/adopted"
"""What a group was before we took it over: ``deployment/NAME`` or ``replicaset/NAME``."""

ADOPTING: Final = "roadstead.dev/adopting"
"""Label of a ReplicaSet whose Deployment, of this name, is about to let go of it for us."""

PORTS: Final = "roadstead.dev/ports"
"""Where a pod that we took over listens, gRPC and then REST; our own name their ports."""

DEVICES: Final = "roadstead.dev/devices"
"""Which of its node's devices were counted for a pod when we bound it; which it really got only the kubelet knows."""

CONFIG_PREFIX: Final = "config.roadstead.dev/"
"""Annotations of pods that become the server's configuration files, by the file's name."""

SERVER: Final = "server"
"""The container in which the model server runs."""

SCHEDULER: Final = "roadstead"
"""The scheduler that pods name where our placement picks the node."""


def group_name(fleet: str, key: GroupKey) -> str:
    """Return what a group's objects are called: at most 63 characters, by the rules for a fleet's and a deployment's.

    >>> group_name("shop", GroupKey("minilm", "abcdefghij"))
    'shop-minilm-abcdefghij'
    """
    return f"{fleet}-{key.deployment}-{key.revision}"


def settled_name(fleet: str, deployment: str) -> str:
    """Return what the objects are called that stand for all groups of a deployment.

    >>> settled_name("shop", "minilm")
    'shop-minilm'
    """
    return f"{fleet}-{deployment}"


def deployment_labels(fleet: str, owner_id: str, deployment: str) -> dict[str, str]:
    """Return the labels that say whose an object is: what all of a deployment have in common, over its revisions."""
    return {MANAGED_BY: US, FLEET: fleet, OWNER_ID: owner_id, DEPLOYMENT: deployment}


def group_labels(order: GroupOrder) -> dict[str, str]:
    """Return the labels of a group and of its pods; a ReplicaSet finds its pods by exactly these."""
    return {
        **deployment_labels(order.fleet, order.owner_id, order.key.deployment),
        REVISION: order.key.revision,
    }


def key_of(labels: Mapping[str, str]) -> GroupKey | None:
    """Return the group that an object with these labels belongs to; ``None`` for one that belongs to no group."""
    deployment, revision = labels.get(DEPLOYMENT), labels.get(REVISION)
    return GroupKey(deployment, revision) if deployment and revision else None


def selector_of(fleet: str) -> str:
    """Return the label selector that finds what any fleet of this name made here.

    The owner is left out on purpose: another one on our names must be seen.
    """
    return f"{MANAGED_BY}={US},{FLEET}={fleet}"
