"""Where clients connect, on a screen."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from roadstead.cli.text.words import table
from roadstead.decide.report import DeploymentStatus, Life, ReplicaStatus

__all__ = ["endpoints_view"]


def endpoints_view(deployments: Collection[DeploymentStatus], *, replicas: bool = False) -> RenderableType:
    """Return the addresses that clients use now.

    Of a deployment with a gateway that is its one address; with ``replicas`` those behind it are listed too.
    """
    fixed = [one for one in deployments if one.address is not None]
    followed = [one for one in deployments if replicas or one.address is None]
    parts: list[RenderableType] = [_addresses(fixed)] if fixed else []
    if followed:
        parts += [*([Text()] if parts else []), _replicas(followed)]
    return Group(*parts)


def _addresses(deployments: Collection[DeploymentStatus]) -> Table:
    made = table("DEPLOYMENT", "MODEL", "GRPC", "REST", "GATEWAY")
    for one in deployments:
        if one.address is not None:
            made.add_row(one.name, one.model, one.address.authority, one.address.url, one.address.gateway)
    return made


def _replicas(deployments: Collection[DeploymentStatus]) -> Table:
    made = table("DEPLOYMENT", "MODEL", "GRPC", "REST", "REPLICA", "CLUSTER")
    for one in deployments:
        for replica in one.replicas:
            if replica.life is Life.LISTED:
                made.add_row(
                    one.name,
                    one.model,
                    _reach(replica, replica.grpc),
                    f"http://{_reach(replica, replica.rest)}" if replica.rest is not None else "-",
                    replica.id,
                    replica.cluster,
                )
    return made


def _reach(replica: ReplicaStatus, port: int | None) -> str:
    return f"{replica.host}:{port}" if replica.host is not None and port is not None else "-"
