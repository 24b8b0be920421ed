"""``roadstead version``."""

from __future__ import annotations

import platform

import attrs
import click

import roadstead
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Version:
    roadstead: str
    python: str


@click.command("version", cls=Command)
@common(file=False)
def command() -> None:
    """Print the version."""
    screen = Screen()
    if screen.text:
        click.echo(f"roadstead {roadstead.__version__} (Python {platform.python_version()})")
    else:
        screen.data(_Version(roadstead=roadstead.__version__, python=platform.python_version()))
