"""``roadstead drift``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.errors import NotFound
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import say_stale, source
from roadstead.cli.text.drift import drift_view

__all__ = ["command"]


@click.command("drift", cls=Command)
@common()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List what others changed of our objects.

    Each field with what we wrote, what stands there now, and who wrote that; replicas that were made from it; and
    whether it is put back, only reported, or contested because it was changed again and again.
    """
    screen = Screen()
    with source(screen) as asked:
        drift = asked.drift()
        say_stale(screen, asked)
    if name is not None:
        if name not in drift.names:
            names = ", ".join(drift.names) or "none"
            raise NotFound(f"there is no deployment {name!r} in fleet {drift.fleet}", hint=f"there are: {names}")
        chosen = tuple(one for one in drift.groups if one.deployment == name)
        drift = attrs.evolve(drift, names=(name,), groups=chosen)
    if screen.text:
        screen.show(drift_view(drift))
    else:
        screen.data(drift)
