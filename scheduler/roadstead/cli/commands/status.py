"""``roadstead status``."""

from __future__ import annotations

import time

import click

from roadstead.cli.lookup import deployment_in
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import Source, source
from roadstead.cli.text.status import changes, status_view
from roadstead.decide.report import FleetStatus

__all__ = ["command"]

_EVERY = 1.0


@click.command("status", cls=Command)
@common()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "-w", "--watch", is_flag=True, help="Go on until Ctrl-C: a live table, or off a terminal a line a change."
)
def command(names: tuple[str, ...], *, watch: bool) -> None:
    """Show deployments, replicas, clusters and quotas.

    With NAMEs, only these deployments. -v adds nodes, notes, and the raw words behind each reason.
    """
    screen = Screen()
    with source(screen) as asked:
        status = asked.status()
        for name in names:
            deployment_in(status, name)
        if watch:
            _watch(screen, asked, status, names)
        elif screen.text:
            screen.show(status_view(status, names, verbose=bool(screen.settings.verbose)))
        else:
            screen.data(status)


def _watch(screen: Screen, asked: Source, status: FleetStatus, names: tuple[str, ...]) -> None:
    if screen.live:
        from rich.live import Live  # noqa: PLC0415  # for a terminal only

        with Live(console=screen.console(), auto_refresh=False, screen=True) as live:
            while True:
                live.update(status_view(status, names, verbose=bool(screen.settings.verbose)), refresh=True)
                time.sleep(_EVERY)
                status = asked.status()
    before: FleetStatus | None = None
    while True:
        if screen.text:
            for line in changes(before, status, names):
                click.echo(line)
        elif before is None or before.deployments != status.deployments:
            screen.line(status)
        before = status
        time.sleep(_EVERY)
        status = asked.status()
