"""``roadstead model``."""

from __future__ import annotations

from pathlib import Path

import attrs
import click

from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.spi.digest import version_digest

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Digest:
    path: str
    digest: str


@click.group("model")
def command() -> None:
    """Work on model files."""


@command.command("digest", cls=Command)
@common(file=False)
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
def _digest(path: Path) -> None:
    """Print the digest of a model version, for `model.digest` in the fleet file.

    PATH is the folder of one version, such as models/minilm/1.
    """
    screen = Screen()
    found = version_digest(path)
    if screen.text:
        click.echo(found)
    else:
        screen.data(_Digest(path=str(path), digest=found))
