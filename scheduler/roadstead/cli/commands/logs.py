"""``roadstead logs``."""

from __future__ import annotations

import sys

import attrs
import click

from roadstead.cli.entry import interrupted_means
from roadstead.cli.errors import NotFound
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import source
from roadstead.decide.report import FleetStatus, Life

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Line:
    replica: str
    text: str


@click.command("logs", cls=Command)
@common(short_file=False)
@click.argument("name", metavar="NAME|REPLICA")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="LINES", help="Only the last LINES from before now.")
def command(name: str, *, follow: bool, tail: int | None) -> None:
    """Show what a replica's server prints.

    NAME is a replica, or a deployment of which the longest serving replica is taken.
    """
    screen = Screen()
    with source(screen) as asked:
        replica = _replica(screen, asked.status(), name)
        interrupted_means("the server runs on")
        for chunk in asked.logs(replica, tail=tail, follow=follow):
            if screen.text:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                continue
            for line in chunk.splitlines():
                screen.line(_Line(replica=replica, text=line.decode(errors="replace")))


def _replica(screen: Screen, status: FleetStatus, name: str) -> str:
    """Return the replica that is meant; raises :class:`NotFound`."""
    if any(replica.id == name for one in status.deployments for replica in one.replicas):
        return name
    deployment = status.deployment(name)
    started = [one for one in deployment.replicas if one.life is not Life.SLOT] if deployment is not None else []
    if not started:
        known = [replica.id for one in status.deployments for replica in one.replicas if replica.life is not Life.SLOT]
        if deployment is not None:
            raise NotFound(f"{name} has no server now", hint=f"`roadstead why {name}` says how the last one ended")
        raise NotFound(f"there is no replica {name!r}", hint=f"there are: {', '.join(known) or 'none'}")
    best = max(
        started, key=lambda one: (one.life is Life.LISTED, one.life is Life.READY, one.age.ms if one.age else -1)
    )
    if len(started) > 1:
        others = ", ".join(one.id for one in started if one is not best)
        screen.say(f"{best.id}, one of {len(started)}; the others: {others}")
    return best.id
