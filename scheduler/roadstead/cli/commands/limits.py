"""``roadstead limits``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.errors import NotFound
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import say_stale, source
from roadstead.cli.text.limits import limits_view
from roadstead.decide.report import FleetLimits

__all__ = ["command"]


@click.command("limits", cls=Command)
@common()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Show what replicas may use, have and use, and what owners may hold.

    Requested, allocated and observed are three numbers: what the file asks for, what the cluster has set aside, and
    what was measured, which is unknown where nothing measures it. With NAME: one deployment, its nodes and its owner.
    """
    screen = Screen()
    with source(screen) as asked:
        limits = asked.limits()
        say_stale(screen, asked)
    if name is not None:
        limits = _only(limits, name)
    if screen.text:
        screen.show(limits_view(limits))
    else:
        screen.data(limits)


def _only(limits: FleetLimits, name: str) -> FleetLimits:
    """Return what concerns one deployment; raises :class:`NotFound`."""
    chosen = tuple(one for one in limits.deployments if one.name == name)
    if not chosen:
        names = ", ".join(one.name for one in limits.deployments) or "none"
        raise NotFound(f"there is no deployment {name!r} in fleet {limits.fleet}", hint=f"there are: {names}")
    on = {(replica.cluster, replica.node) for one in chosen for replica in one.replicas}
    return attrs.evolve(
        limits,
        deployments=chosen,
        nodes=tuple(one for one in limits.nodes if (one.cluster, one.name) in on),
        owners=tuple(one for one in limits.owners if one.owner == chosen[0].owner),
    )
