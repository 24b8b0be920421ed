"""``roadstead endpoints``."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import click

from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import source
from roadstead.cli.text.endpoints import endpoints_view
from roadstead.decide.report import DeploymentStatus, FleetStatus, endpoints

__all__ = ["Address", "Endpoint", "Endpoints", "command"]

_EVERY = 1.0


@attrs.frozen(kw_only=True)
class Endpoint:
    """Where one replica answers."""

    deployment: str
    model: str
    replica: str
    cluster: str
    host: str
    grpc: int | None
    rest: int | None


@attrs.frozen(kw_only=True)
class Address:
    """The one address of a deployment, for gRPC and REST; clients of it need not know the replicas."""

    deployment: str
    model: str
    gateway: str
    host: str
    port: int
    tls: bool


@attrs.frozen
class Endpoints:
    """Every address, and every replica that requests go to now."""

    addresses: tuple[Address, ...]
    endpoints: tuple[Endpoint, ...]


@click.command("endpoints", cls=Command)
@common()
@click.argument("name", required=False)
@click.option("--replicas", is_flag=True, help="List also the replicas behind the address of a gateway.")
@click.option("-w", "--watch", is_flag=True, help="Go on until Ctrl-C, and print the list again whenever it changes.")
def command(name: str | None, *, replicas: bool, watch: bool) -> None:
    """List the addresses that clients may use.

    A deployment with a gateway has one, which stays the same wherever its replicas are. Without a gateway this list is
    the table: a replica that is not in it any more must not be sent anything. -o json has the replicas in any case.
    """
    screen = Screen()
    with source(screen) as asked:
        before: Endpoints | None = None
        while True:
            status = asked.status()
            chosen = [deployment_in(status, name)] if name is not None else status.deployments
            found = _found(status, chosen)
            news = found if replicas or not screen.text else _in_sight(found)
            if news != before:
                _print(screen, chosen, found, replicas=replicas, watch=watch)
            if not watch:
                return
            before = news
            time.sleep(_EVERY)


def _in_sight(found: Endpoints) -> Endpoints:
    """Return what is printed without the replicas behind gateways."""
    fixed = {one.deployment for one in found.addresses}
    return attrs.evolve(found, endpoints=tuple(one for one in found.endpoints if one.deployment not in fixed))


def _print(
    screen: Screen, chosen: Sequence[DeploymentStatus], found: Endpoints, *, replicas: bool, watch: bool
) -> None:
    if not screen.text:
        (screen.line if watch else screen.data)(found)
        return
    screen.show(endpoints_view(chosen, replicas=replicas))
    for one in chosen:
        if one.address is not None and one.address.problem:
            screen.say(f"{one.address.authority} of {one.name} cannot be used now: {one.address.problem}")
    if not found.endpoints:
        which = f"; `roadstead why {chosen[0].name}` says why" if len(chosen) == 1 else ""
        screen.say(f"no replica is listed now{which}")


def _found(status: FleetStatus, chosen: Sequence[DeploymentStatus]) -> Endpoints:
    listed = endpoints(status)
    return Endpoints(
        addresses=tuple(
            Address(
                deployment=one.name,
                model=one.model,
                gateway=one.address.gateway,
                host=one.address.host,
                port=one.address.port,
                tls=one.address.tls,
            )
            for one in chosen
            if one.address is not None
        ),
        endpoints=tuple(
            Endpoint(
                deployment=one.name,
                model=one.model,
                replica=replica.id,
                cluster=replica.cluster,
                host=replica.host or "",
                grpc=replica.grpc,
                rest=replica.rest,
            )
            for one in chosen
            for replica in listed[one.name]
        ),
    )
