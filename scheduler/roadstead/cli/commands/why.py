"""``roadstead why``."""

from __future__ import annotations

import attrs
import click

from roadstead.act.events import EventKind
from roadstead.cli.client import Client
from roadstead.cli.locate import Located, locate
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import Source, say_stale, source
from roadstead.cli.text.why import explanation_view
from roadstead.decide.report import Overdue

__all__ = ["command"]


@click.command("why", cls=Command)
@common()
@click.argument("name")
def command(name: str) -> None:
    """Explain why a deployment is as it is.

    Where requests to it go, and every reason with its counts, the words of the orchestrator, the kernel or the server,
    how servers ended, what was stopped with requests in flight, and the smallest change that would be enough.
    """
    screen = Screen()
    located = locate(screen.settings.file)
    with source(screen, located) as asked:
        why = attrs.evolve(asked.why(name), overdue=_overdue(located, asked, name))
        say_stale(screen, asked)
    if screen.text:
        screen.show(explanation_view(why))
    else:
        screen.data(why)


def _overdue(located: Located, asked: Source, name: str) -> tuple[Overdue, ...]:
    """Return which replicas of a deployment were stopped with requests in flight, as far as the events go back."""
    if isinstance(asked, Client):
        told = list(asked.events(since=0, follow=False, deployment=name))
    else:
        # It is imported already by whoever looks without a daemon.
        from roadstead.cli.direct import events  # noqa: PLC0415

        told = list(events(located, since=0, deployment=name))
    return tuple(
        Overdue(at=one.at, replica=one.subject, text=one.text) for one in told if one.kind is EventKind.OVERDUE
    )
