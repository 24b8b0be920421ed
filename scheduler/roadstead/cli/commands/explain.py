"""``roadstead explain``."""

from __future__ import annotations

import click

from roadstead.cli.pages import page, titles
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common

__all__ = ["command"]


@click.command("explain", cls=Command)
@common(file=False)
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Print the page about an error code or a reason.

    CODE is a code such as RS102 or a reason such as out-of-memory. Without it, every code is listed.
    """
    screen = Screen()
    if code is not None:
        click.echo(page(code), nl=False)
        return
    for one, title in titles():
        click.echo(f"{one:<18}  {title}" if screen.text else one)
