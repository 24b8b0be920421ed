"""``roadstead endpoints``."""

from __future__ import annotations

import time

import attrs
import click

from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import source
from roadstead.cli.text.status import endpoint_table
from roadstead.decide.report import FleetStatus, endpoints

__all__ = ["Address", "Endpoints", "command"]

_EVERY = 1.0


@attrs.frozen(kw_only=True)
class Address:
    """Where one replica answers."""

    deployment: str
    model: str
    replica: str
    cluster: str
    host: str
    grpc: int | None
    rest: int | None


@attrs.frozen
class Endpoints:
    """Every address that clients may use now."""

    endpoints: tuple[Address, ...]


@click.command("endpoints", cls=Command)
@common()
@click.argument("name", required=False)
@click.option("-w", "--watch", is_flag=True, help="Go on until Ctrl-C, and print the list again whenever it changes.")
def command(name: str | None, *, watch: bool) -> None:
    """List the addresses that clients may use.

    Where a fleet has no gateway this list is the table: a replica that is not in it any more must not be sent anything.
    """
    screen = Screen()
    with source(screen) as asked:
        before: Endpoints | None = None
        while True:
            status = asked.status()
            if name is not None:
                deployment_in(status, name)
            found = _found(status, name)
            if found != before:
                _print(screen, status, found, name, watch=watch)
            if not watch:
                return
            before = found
            time.sleep(_EVERY)


def _print(screen: Screen, status: FleetStatus, found: Endpoints, name: str | None, *, watch: bool) -> None:
    if screen.text:
        screen.show(endpoint_table(status, name))
        if not found.endpoints:
            screen.say("no replica is listed now" + (f"; `roadstead why {name}` says why" if name else ""))
    elif watch:
        screen.line(found)
    else:
        screen.data(found)


def _found(status: FleetStatus, name: str | None) -> Endpoints:
    return Endpoints(
        tuple(
            Address(
                deployment=one.name,
                model=one.model,
                replica=replica.id,
                cluster=replica.cluster,
                host=replica.host or "",
                grpc=replica.grpc,
                rest=replica.rest,
            )
            for one in status.deployments
            if name in (None, one.name)
            for replica in endpoints(status)[one.name]
        )
    )
