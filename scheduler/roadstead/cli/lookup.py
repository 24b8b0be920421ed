"""Finding what a person named in what there is."""

from __future__ import annotations

from roadstead.cli.errors import NotFound
from roadstead.decide.report import DeploymentStatus, FleetStatus

__all__ = ["deployment_in"]


def deployment_in(status: FleetStatus, name: str) -> DeploymentStatus:
    """Return the deployment of that name; raises :class:`NotFound` with the nearest name there is."""
    found = status.deployment(name)
    if found is None:
        names = ", ".join(one.name for one in status.deployments) or "none"
        raise NotFound(f"there is no deployment {name!r} in fleet {status.fleet}", hint=f"there are: {names}")
    return found
