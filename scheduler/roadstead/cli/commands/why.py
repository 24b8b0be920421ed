"""``roadstead why``."""

from __future__ import annotations

from datetime import datetime

import attrs
import click

from roadstead.act.events import EventKind
from roadstead.cli.client import Client
from roadstead.cli.locate import Located, locate
from roadstead.cli.moments import moment
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import Source, say_stale, source
from roadstead.cli.text.scaling import replay_view
from roadstead.cli.text.why import explanation_view
from roadstead.decide.report import Overdue

__all__ = ["command"]


@click.command("why", cls=Command)
@common()
@click.argument("name")
@click.option("--at", "when", metavar="TIME", help="Why load made so many then: 03:12, or 5m ago as 5m.")
def command(name: str, *, when: str | None) -> None:
    """Explain why a deployment is as it is.

    Where requests to it go, and every reason with its counts, the words of the orchestrator, the kernel or the server,
    how servers ended, what was stopped with requests in flight, and the smallest change that would be enough.

    With --at, the last decision by load until then, with the numbers that it saw, taken once more.
    """
    screen = Screen()
    located = locate(screen.settings.file)
    if when is not None:
        _then(screen, located, name, when)
        return
    with source(screen, located) as asked:
        why = attrs.evolve(asked.why(name), overdue=_overdue(located, asked, name))
        say_stale(screen, asked)
    if screen.text:
        screen.show(explanation_view(why))
    else:
        screen.data(why)


def _then(screen: Screen, located: Located, name: str, when: str) -> None:
    """Show the last change by load until a moment."""
    at = moment(when, datetime.now().astimezone())
    if located.client.alive():
        replay = located.client.scaling(name, at)
    else:
        # The journal's own reader, which a question to the daemon does not need.
        from roadstead.cli.direct import scaling  # noqa: PLC0415

        replay = scaling(located, name, at)
    if screen.text:
        screen.show(replay_view(replay))
    else:
        screen.data(replay)


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
