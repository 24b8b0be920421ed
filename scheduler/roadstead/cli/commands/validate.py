"""``roadstead validate``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.exits import Exit
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.words import plural
from roadstead.config import FleetFileError, Problem, read_fleet
from roadstead.spi.host import PluginHost

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Validity:
    file: str
    valid: bool
    problems: tuple[Problem, ...]


@click.command("validate", cls=Command)
@common()
def command() -> None:
    """Read the fleet file and list everything wrong with it.

    Every problem at once, each with its place, a caret, a code and a hint. Nothing is asked of any cluster.
    """
    screen = Screen()
    file = screen.settings.file
    try:
        fleet = read_fleet(file, PluginHost.installed())
    except FleetFileError as error:
        if screen.text:
            click.echo("\n\n".join([*(str(problem) for problem in error.problems), error.summary]))
        else:
            screen.data(_Validity(file=str(file), valid=False, problems=error.problems))
        raise click.exceptions.Exit(Exit.INVALID) from error
    if screen.text:
        counted = f"{plural(len(fleet.clusters), 'cluster')}, {plural(len(fleet.deployments), 'deployment')}"
        click.echo(f"{file} is valid: fleet {fleet.name}, {counted}")
    else:
        screen.data(_Validity(file=str(file), valid=True, problems=()))
