"""``roadstead explain``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.pages import page, titles
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common

__all__ = ["command"]


@attrs.frozen
class _Title:
    code: str
    title: str


@attrs.frozen
class _Codes:
    codes: tuple[_Title, ...]


@attrs.frozen(kw_only=True)
class _Page:
    code: str
    title: str
    text: str


@click.command("explain", cls=Command)
@common(file=False)
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """Print the page about an error code or a reason.

    CODE is a code such as RS102 or a reason such as out-of-memory. Without it, every code is listed.
    """
    screen = Screen()
    if code is not None:
        _page(screen, code)
    elif screen.text:
        for one, title in titles():
            click.echo(f"{one:<18}  {title}")
    else:
        screen.data(_Codes(tuple(_Title(one, title) for one, title in titles())))


def _page(screen: Screen, code: str) -> None:
    text = page(code)
    if screen.text:
        click.echo(text, nl=False)
        return
    first, _, rest = text.partition("\n")
    found, _, title = first.removeprefix("# ").partition(": ")
    screen.data(_Page(code=found, title=title, text=rest.strip()))
