"""``roadstead delete``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.errors import NotFound
from roadstead.cli.exits import Exit
from roadstead.cli.follow import Within, follow, waiting
from roadstead.cli.locate import locate
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.words import plural
from roadstead.decide.report import FleetStatus

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Deleted:
    """What goes: how many replicas it had, and which turn first knew it."""

    deployment: str
    replicas: int
    turn: int


@click.command("delete", cls=Command)
@common()
@click.argument("name")
@waiting()
def command(name: str, *, detach: bool, timeout: int) -> None:
    """Remove a deployment and its replicas.

    One that is still in the fleet file stays away until it is changed there, or until `roadstead apply`; one that has
    vanished from the file is gone for good.
    """
    screen = Screen()
    client = locate(screen.settings.file).client
    replicas = _replicas(client.status(), name)
    if not screen.ask(f"remove {name} and its {plural(replicas, 'replica')}?"):
        screen.say("nothing was removed")
        raise click.exceptions.Exit(Exit.ERROR)
    turn = client.delete(name)
    screen.say(f"{name} is being removed; its replicas finish what they are answering first")
    if not detach:
        follow(screen, client, (name,), Within(timeout_ms=timeout, from_turn=turn))
    if not screen.text:
        screen.data(_Deleted(deployment=name, replicas=replicas, turn=turn))


def _replicas(status: FleetStatus, name: str) -> int:
    deployment = status.deployment(name)
    if deployment is not None:
        return len(deployment.replicas)
    orphan = next((one for one in status.orphans if one.deployment == name), None)
    if orphan is None:
        names = sorted([one.name for one in status.deployments] + [one.deployment for one in status.orphans])
        raise NotFound(f"there is no deployment {name!r}", hint=f"there are: {', '.join(names) or 'none'}")
    return orphan.replicas
