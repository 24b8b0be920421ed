"""Where a command's words go: data to stdout, everything else to stderr, colour and motion only to a terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from roadstead.cli.errors import NeedsAnswer
from roadstead.cli.settings import Settings, settings
from roadstead.wire import to_wire

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["FORMAT_VERSION", "Screen", "document", "rendered"]

FORMAT_VERSION = 1
_WIDTH_OF_A_PIPE = 160


def document(value: object) -> dict[str, Any]:
    """Return ``value`` as what a program reads: a mapping with ``format_version``."""
    data = to_wire(value)
    return {"format_version": FORMAT_VERSION, **(data if isinstance(data, dict) else {"items": data})}


def rendered(value: object, output: str) -> str:
    """Return ``value`` as JSON or YAML."""
    if output == "yaml":
        import yaml  # noqa: PLC0415  # only where it is asked for

        return yaml.safe_dump(document(value), sort_keys=False, allow_unicode=True)
    return json.dumps(document(value), indent=2) + "\n"


class Screen:
    """The two streams of the command that is running."""

    def __init__(self, given: Settings | None = None) -> None:
        self.settings = given or settings()

    @property
    def text(self) -> bool:
        """Whether data goes to a person and not to a program."""
        return self.settings.output == "text"

    @property
    def live(self) -> bool:
        """Whether something may move on the screen."""
        return self.text and not self.settings.quiet and sys.stdout.isatty() and self.settings.color

    def data(self, value: object) -> None:
        """Print a value for programs, in the format that was asked for."""
        click.echo(rendered(value, self.settings.output), nl=False)

    def line(self, value: object) -> None:
        """Print one of several values for programs: JSON on a line of its own, or a YAML document."""
        if self.settings.output == "yaml":
            import yaml  # noqa: PLC0415  # only where it is asked for

            click.echo("---\n" + yaml.safe_dump(document(value), sort_keys=False, allow_unicode=True), nl=False)
        else:
            click.echo(json.dumps(document(value)))
        sys.stdout.flush()

    def show(self, rendered: RenderableType) -> None:
        """Print something for a person; off a terminal without the blanks that fill a table's lines."""
        console = self.console()
        if console.is_terminal:
            console.print(rendered)
            return
        with console.capture() as captured:
            console.print(rendered)
        for line in captured.get().splitlines():
            click.echo(line.rstrip())

    def say(self, text: str) -> None:
        """Say how it is going, on stderr."""
        if not self.settings.quiet:
            click.echo(text, err=True)

    def detail(self, text: str) -> None:
        """Say it only to those who asked for more with ``-v``."""
        if self.settings.verbose:
            self.say(text)

    def ask(self, question: str) -> bool:
        """Return the person's answer; raises :class:`NeedsAnswer` where there is no person."""
        if self.settings.yes:
            return True
        if not self.settings.asks:
            raise NeedsAnswer(f"this needs an answer: {question}", hint="--yes answers yes, here and in scripts")
        return click.confirm(question, err=True)

    def console(self) -> Console:
        """Return stdout as rich sees it; off a terminal it is wide, so that no line is cut that a program may read."""
        # Takes as long to import as all the rest: for tables only.
        from rich.console import Console  # noqa: PLC0415

        terminal = sys.stdout.isatty()
        return Console(
            no_color=not self.settings.color,
            force_terminal=terminal and self.settings.color,
            width=None if terminal else _WIDTH_OF_A_PIPE,
            highlight=False,
            soft_wrap=False,
        )
