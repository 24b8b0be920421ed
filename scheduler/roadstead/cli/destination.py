"""Where a load goes: a deployment by its name, or any server by its address."""

from __future__ import annotations

import re

import attrs

from roadstead.cli.errors import NotFound, NotUnderstood
from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.source import source
from roadstead.decide.report import FleetStatus, authority, endpoints
from roadstead.spi.load import Wire

__all__ = ["Aim", "aim", "aim_at_deployment"]

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\s]+):\d{1,5}")


@attrs.frozen(kw_only=True)
class Aim:
    """Addresses (HOST:PORT) that all serve ``model``; ``tls`` says that they are known to be encrypted."""

    addresses: tuple[str, ...]
    model: str
    tls: bool = False


def aim(screen: Screen, target: str, wire: Wire, model: str | None) -> Aim:
    """Return what ``target`` means, HOST:PORT or the name of a deployment.

    ``model`` overrides the deployment's. Raises :class:`NotUnderstood`, and :class:`NotFound` where nothing serves.
    """
    if _ADDRESS.fullmatch(target):
        if model is None:
            raise NotUnderstood(f"which model {target} serves is not said", hint="--model NAME")
        return Aim(addresses=(target,), model=model)
    with source(screen) as asked:
        return aim_at_deployment(asked.status(), target, wire, model)


def aim_at_deployment(status: FleetStatus, name: str, wire: Wire, model: str | None) -> Aim:
    """Return the one address of a deployment, or without a gateway those of its listed replicas; raises as above."""
    deployment = deployment_in(status, name)
    served = model or deployment.model
    if deployment.address is not None:
        return Aim(addresses=(deployment.address.from_here.authority,), model=served, tls=deployment.address.tls)
    ports = [(one.host, one.grpc if wire is Wire.GRPC else one.rest) for one in endpoints(status)[name]]
    addresses = tuple(authority(host, port) for host, port in ports if host is not None and port is not None)
    if not addresses:
        raise NotFound(f"no replica of {name} is listed that serves {wire.value}", hint=f"`roadstead why {name}`")
    return Aim(addresses=addresses, model=served)
