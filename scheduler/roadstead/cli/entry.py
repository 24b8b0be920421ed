"""The outermost frame: runs a command and turns whatever ends it into a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from roadstead.cli.exits import Exit
from roadstead.cli.group import cli
from roadstead.cli.settings import output_in
from roadstead.errors import RoadsteadError

__all__ = ["interrupted_means", "main"]

_INTERRUPT = "roadstead.interrupt"
_COMPLETE = "_ROADSTEAD_COMPLETE"
_REPORT = "please report it, with that file"


def interrupted_means(text: str) -> None:
    """Set what Ctrl-C says from now on: what goes on without this command."""
    click.get_current_context().find_root().meta[_INTERRUPT] = text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``roadstead`` with ``arguments`` (the process's own by default) and return the exit code."""
    asked = os.environ.get(_COMPLETE)
    if asked is not None:
        return shell_complete(cli, {}, "roadstead", _COMPLETE, asked)
    context: click.Context | None = None
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with cli.make_context("roadstead", list(words)) as context:
            cli.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort):
        goes_on = context.meta.get(_INTERRUPT) if context is not None else None
        click.echo(f"\ninterrupted{': ' + goes_on if goes_on else ''}", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough. What is still buffered must not fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    except Exception as error:  # noqa: BLE001  # the last frame: a person is told in every case
        return _told(error, words)
    return Exit.DONE


def _told(error: Exception, words: Sequence[str]) -> int:
    """Say on stderr what went wrong, and on stdout too where data was asked for there; return the exit code."""
    # Deferred because a command that succeeds says nothing.
    from roadstead.cli.messages import exits, from_click, from_roadstead, from_unexpected  # noqa: PLC0415

    code: int

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        message, code = error.format_message(), Exit.USAGE
    elif isinstance(error, click.ClickException):
        message, code = from_click(error), Exit.USAGE
    elif isinstance(error, RoadsteadError):
        message, code = from_roadstead(error), exits(error)
    elif os.environ.get("ROADSTEAD_DEBUG") == "1":
        raise error
    else:
        message, code = from_unexpected(error, _REPORT), Exit.ERROR
    click.echo(message, err=True)
    output = output_in(words)
    if output != "text":
        # Only now: what it needs takes as long to import as all the rest.
        from roadstead.cli.messages import failure  # noqa: PLC0415
        from roadstead.cli.screen import rendered  # noqa: PLC0415

        click.echo(rendered(failure(error, code), output), nl=False)
    return code
