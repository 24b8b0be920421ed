"""``roadstead migrate``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.errors import NotUnderstood
from roadstead.cli.follow import Within, follow, waiting
from roadstead.cli.locate import locate
from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Migrated:
    """What was asked for (``to`` is ``None`` for back to the file's clusters), and which turn first knew it."""

    deployment: str
    to: str | None
    turn: int


@click.command("migrate", cls=Command)
@common()
@click.argument("name")
@click.option("--to", metavar="CLUSTER", help="The cluster on which all of it is to run.")
@click.option("--undo", is_flag=True, help="Go back to the clusters that the fleet file says.")
@waiting()
def command(name: str, *, to: str | None, undo: bool, detach: bool, timeout: int) -> None:
    """Move a deployment to another cluster.

    New replicas come first, at most `rollout.max_surge` at a time, and an old one goes when a new one gets requests.
    This is an intent: it holds, through restarts of the daemon too, until the deployment's `clusters` are changed in
    the fleet file. The cluster need not be one of those.
    """
    if undo == (to is not None):
        raise NotUnderstood("say either --to CLUSTER or --undo", hint=f"`roadstead migrate {name} --to CLUSTER`")
    screen = Screen()
    client = locate(screen.settings.file).client
    deployment_in(client.status(), name)
    turn = client.migrate(name, to)
    where = f"{name}: all of it to {to}" if to is not None else f"{name}: back to where the fleet file says"
    screen.say(f"{where}, until its `clusters` is changed in the fleet file" if to is not None else where)
    if not detach:
        follow(screen, client, (name,), Within(timeout_ms=timeout, from_turn=turn))
    if not screen.text:
        screen.data(_Migrated(deployment=name, to=to, turn=turn))
