"""The flags that every command has, before its name or after it."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["Command", "Settings", "common", "output_in", "settings"]

F = TypeVar("F", bound=Callable[..., Any])

_KEY = "roadstead."
_FORMATS = ("text", "json", "yaml")


class Settings:
    """What the common flags and the environment say."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.file = Path(given.get("file") or os.environ.get("ROADSTEAD_FILE") or "fleet.yaml")
        self.output: str = "json" if given.get("json") else given.get("output") or "text"
        self.quiet = bool(given.get("quiet"))
        self.verbose = int(given.get("verbose") or 0)
        self.color = not given.get("no_color") and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.yes = bool(given.get("yes"))
        self.asks = not given.get("no_input") and sys.stdin is not None and sys.stdin.isatty()


def settings() -> Settings:
    """Return the settings of the command that is running."""
    meta = click.get_current_context().meta
    return Settings({key.removeprefix(_KEY): value for key, value in meta.items() if key.startswith(_KEY)})


def output_in(words: Sequence[str]) -> str:
    """Return how data is to be printed by the words of a command line, also of one that cannot be understood."""
    for word, following in pairwise([*words, ""]):
        asked = following if word in {"-o", "--output"} else word.removeprefix("--output=").removeprefix("-o")
        if word == "--json":
            return "json"
        if word.startswith(("-o", "--output")) and asked in _FORMATS:
            return asked
    return "text"


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Keep what was given; what stands after the command's name wins because it is parsed later."""
    if value is not None and value is not False and value != 0:
        context.meta[f"{_KEY}{parameter.name}"] = value
    return value


def _flag(*names: str, help: str, **more: Any) -> Callable[[F], F]:  # noqa: A002  # click calls it so
    return click.option(*names, help=help, expose_value=False, callback=_keep, **more)


class Command(click.Command):
    """A command whose help ends with where the common flags are told."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the pointer."""
        formatter.write_paragraph()
        formatter.write_text("The flags that every command has are told by `roadstead --help`.")
        super().format_epilog(ctx, formatter)


def common(*, file: bool = True, short_file: bool = True, hidden: bool = True) -> Callable[[F], F]:
    """Add the common flags, which help tells once, for all commands.

    ``short_file=False`` leaves ``-f`` to the command, where it means ``--follow``.
    """
    flags: list[Callable[[F], F]] = []
    if file:
        names = ("-f", "--file") if short_file else ("--file",)
        flags.append(
            _flag(
                *names,
                metavar="PATH",
                type=click.Path(dir_okay=False),
                hidden=hidden,
                help="The fleet file. [default: $ROADSTEAD_FILE, or fleet.yaml here]",
            )
        )
    plain = functools.partial(_flag, hidden=hidden)
    flags += [
        plain("-o", "--output", type=click.Choice(_FORMATS), help="How data is printed on stdout. [default: text]"),
        plain("--json", is_flag=True, help="The same as --output json."),
        plain("-q", "--quiet", is_flag=True, help="Print data and errors only, no progress."),
        plain("-v", "--verbose", count=True, help="Say more."),
        plain("--no-color", is_flag=True, help="No colour, as with NO_COLOR in the environment."),
        plain("--no-input", is_flag=True, help="Ask nothing: fail where an answer would be needed."),
        plain("-y", "--yes", is_flag=True, help="Answer every question with yes."),
    ]

    def decorate(function: F) -> F:
        for flag in reversed(flags):
            function = flag(function)
        return function

    return decorate
