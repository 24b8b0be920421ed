"""``roadstead scale``."""

from __future__ import annotations

import re

import attrs
import click

from roadstead.cli.follow import Within, follow, waiting
from roadstead.cli.locate import locate
from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.model import MAX_REPLICAS

__all__ = ["command"]


_NEGATIVE = re.compile(r"-\d+")


@attrs.frozen(kw_only=True)
class _Scaled:
    """What was asked for: how many replicas it is, how many it was, and which turn first knew it."""

    deployment: str
    was: int
    replicas: int
    turn: int


class _Scale(Command):
    """A command to which a negative number is a number, so that it is told what numbers there are, and no option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse ``args``; an option that is misspelt is still told as one."""
        ctx.ignore_unknown_options = any(_NEGATIVE.fullmatch(one) for one in args)
        return super().parse_args(ctx, args)


@click.command("scale", cls=_Scale)
@common()
@click.argument("name")
@click.argument("replicas", type=click.IntRange(min=0, max=MAX_REPLICAS), metavar="N")
@waiting()
def command(name: str, replicas: int, *, detach: bool, timeout: int) -> None:
    """Set how many replicas a deployment has.

    This is an intent: it holds, through restarts of the daemon too, until the number in the fleet file is changed.
    """
    screen = Screen()
    client = locate(screen.settings.file).client
    before = deployment_in(client.status(), name)
    turn = client.scale(name, replicas)
    screen.say(f"{name}: {before.wanted} -> {replicas}, until its `replicas` is changed in the fleet file")
    if not detach:
        follow(screen, client, (name,), Within(timeout_ms=timeout, from_turn=turn))
    if not screen.text:
        screen.data(_Scaled(deployment=name, was=before.wanted, replicas=replicas, turn=turn))
