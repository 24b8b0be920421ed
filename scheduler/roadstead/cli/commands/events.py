"""``roadstead events``."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from datetime import datetime

import click

from roadstead.act.events import Event
from roadstead.cli.entry import interrupted_means
from roadstead.cli.locate import Located, locate
from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common

__all__ = ["command"]


@click.command("events", cls=Command)
@common(short_file=False)
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="COUNT", help="Only the last COUNT from before now.")
@click.option("--since", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Only those after this number.")
def command(name: str | None, *, follow: bool, tail: int | None, since: int) -> None:
    """Show what happened.

    Oldest first, and with NAME to one deployment only.
    """
    screen = Screen()
    located = locate(screen.settings.file)
    if not located.client.alive():
        # The journal's own reader, which a question to the daemon does not need.
        from roadstead.cli.direct import events, must_be_declared  # noqa: PLC0415

        if name is not None and not events(located, since=0, deployment=name):
            must_be_declared(located, name)
        screen.say("no daemon runs for this fleet: this is what its journal holds")
        _print(screen, _last(events(located, since=since, deployment=name), tail))
        return
    past = _last(located.client.events(since=since, follow=False, deployment=name), tail)
    if name is not None and not past:
        _must_be_known(located, name)
    _print(screen, past)
    if follow:
        interrupted_means("the daemon goes on writing them down")
        newest = past[-1].seq if past else since
        _print(screen, located.client.events(since=newest, follow=True, deployment=name))


def _must_be_known(located: Located, name: str) -> None:
    """Raise :class:`~roadstead.cli.errors.NotFound` for a name that no deployment has and no event ever had."""
    if next(iter(located.client.events(since=0, follow=False, deployment=name)), None) is None:
        deployment_in(located.client.status(), name)


def _last(events: Iterable[Event], tail: int | None) -> list[Event]:
    return list(events) if tail is None else list(deque(events, maxlen=tail))


def _print(screen: Screen, events: Iterable[Event]) -> None:
    for event in events:
        if screen.text:
            at = datetime.fromtimestamp(event.at / 1000).astimezone()
            click.echo(f"{at:%Y-%m-%d %H:%M:%S}  {event.kind.value:<22}  {event.text}")
            sys.stdout.flush()
        else:
            screen.line(event)
