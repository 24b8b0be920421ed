"""How many replicas a deployment should have: the declared number, or what a command said since."""

from __future__ import annotations

from roadstead.model import Deployment, Fleet

__all__ = ["is_removed", "wanted"]


def is_removed(fleet: Fleet, name: str) -> bool:
    """Return whether somebody confirmed that the deployment goes away, and the file did not change it since."""
    declared = fleet.deployments.get(name)
    revision = declared.targets[0].revision if declared is not None else None
    return any(intent.deployment == name and intent.declared == revision for intent in fleet.intents.remove)


def wanted(fleet: Fleet, deployment: Deployment) -> int:
    """Return the number of replicas over all clusters; an intent holds until the file's own number changes."""
    for intent in fleet.intents.scale:
        if intent.deployment == deployment.name and intent.declared == deployment.replicas:
            return intent.replicas
    return deployment.replicas
