"""The reference page of the command line, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from roadstead.cli.exits import Exit
from roadstead.cli.group import COMMANDS, cli
from roadstead.cli.pages import codes, titles

__all__ = ["reference"]

_WIDTH = 100
_HEAD = """\
# The command line

This page is made from the commands by `python -m roadstead.cli.reference`, and a test holds it to them.

Data goes to stdout, everything else to stderr. `-o json` prints one JSON object, or with `--watch` and `--follow` one a
line; each has `format_version`, which changes when a field changes its meaning or goes. `logs` and `events` print one a
line in any case. What fails prints `{"error": {"code", "message", "hint", "exit", "problems"}}` there, beside the words
on stderr. Off a terminal nothing moves, has a colour, or asks. The common flags stand before the command's name or
after it.

Environment: `ROADSTEAD_FILE` (the fleet file), `NO_COLOR`, `ROADSTEAD_DEBUG=1` (tracebacks of unexpected errors).
"""


def reference() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_exit_codes(), *_commands(), *_error_codes()])


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| code | name | meaning |\n|---:|---|---|"
    for one in Exit:
        yield f"| {one.value} | {one.name.lower().replace('_', ' ')} | {one.meaning} |"
    yield ""


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    settings = {**cli.context_settings, "max_content_width": _WIDTH}
    root = click.Context(cli, info_name="roadstead", terminal_width=_WIDTH, **settings)
    yield from _help(root)
    for section in COMMANDS.values():
        for name in section:
            command = cli.get_command(root, name)
            assert command is not None
            yield from _of(command, root, name)


def _of(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent, terminal_width=_WIDTH, max_content_width=_WIDTH)
    yield f"### {context.command_path}\n"
    yield from _help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from _of(found, context, below)


def _help(context: click.Context) -> Iterator[str]:
    text = "\n".join(line.rstrip() for line in context.get_help().splitlines())
    yield f"```text\n{text}\n```\n"


def _error_codes() -> Iterator[str]:
    yield f"## Codes\n\n`roadstead explain CODE` prints the page about each of these {len(codes())} codes.\n"
    yield "| code | about |\n|---|---|"
    for code, title in titles():
        yield f"| `{code}` | {title} |"
    yield ""


if __name__ == "__main__":
    click.echo(reference(), nl=False)
