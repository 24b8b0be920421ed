"""``roadstead completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from roadstead.cli.group import cli
from roadstead.cli.settings import Command, common

__all__ = ["command"]


@click.command("completion", cls=Command)
@common(file=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  eval "$(roadstead completion bash)"      in ~/.bashrc
    zsh:   eval "$(roadstead completion zsh)"       in ~/.zshrc
    fish:  roadstead completion fish | source       in config.fish
    """  # noqa: D301  # the \b is click's: what follows keeps its lines
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "roadstead", "_ROADSTEAD_COMPLETE").source())
