"""``roadstead plan``."""

from __future__ import annotations

import click

from roadstead.cli.exits import Exit
from roadstead.cli.locate import Located, locate
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import must_follow, say_stale, source
from roadstead.cli.text.plan import plan_view_text

__all__ = ["command"]


@click.command("plan", cls=Command)
@common()
@click.option(
    "--detailed-exitcode", is_flag=True, help="Exit with 2 where there is something to do, 3 where it cannot be placed."
)
def command(*, detailed_exitcode: bool) -> None:
    """Show what would be done, and change nothing.

    For each deployment: old and new values, where replicas go, how many stay in service during the change, and what is
    held back and why. -v adds the steps of the next turn.
    """
    screen = Screen()
    located = locate(screen.settings.file)
    if located.client.alive():
        must_follow(located)
        located.let_settle()
        _must_be_good(located)
    with source(screen, located) as asked:
        plan = asked.plan()
        say_stale(screen, asked)
    if screen.text:
        screen.show(plan_view_text(plan, verbose=bool(screen.settings.verbose)))
    else:
        screen.data(plan)
    if detailed_exitcode and not plan.empty:
        raise click.exceptions.Exit(Exit.UNPLACEABLE if plan.unplaceable else Exit.CHANGES)


def _must_be_good(located: Located) -> None:
    """Raise what is wrong with a file that the daemon does not use: its plan is for the last good one."""
    if located.client.status().service.bad_file:
        # The reader, which a question to the daemon does not need.
        from roadstead.config import read_fleet  # noqa: PLC0415
        from roadstead.spi.host import PluginHost  # noqa: PLC0415

        read_fleet(located.file, PluginHost.installed())
