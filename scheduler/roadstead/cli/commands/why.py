"""``roadstead why``."""

from __future__ import annotations

import click

from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import say_stale, source
from roadstead.cli.text.why import explanation_view

__all__ = ["command"]


@click.command("why", cls=Command)
@common()
@click.argument("name")
def command(name: str) -> None:
    """Explain why a deployment is as it is.

    Every reason comes with its counts, the words of the orchestrator, the kernel or the server, how servers ended, and
    the smallest change that would be enough.
    """
    screen = Screen()
    with source(screen) as asked:
        why = asked.why(name)
        say_stale(screen, asked)
    if screen.text:
        screen.show(explanation_view(why))
    else:
        screen.data(why)
