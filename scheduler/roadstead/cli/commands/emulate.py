"""``roadstead emulate``: what plugins can stand in for."""

from __future__ import annotations

import click

from roadstead.cli.group import EMULATORS
from roadstead.cli.plugins import commands

__all__ = ["command"]


class _Emulators(click.Group):
    """The commands of plugins named ``emulate-*``, without that."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
        return sorted(name.removeprefix(EMULATORS) for name, _ in commands() if name.startswith(EMULATORS))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return next((found for name, found in commands() if name == EMULATORS + cmd_name), None)


@click.group("emulate", cls=_Emulators)
def command() -> None:
    """Stand in for an orchestrator on this machine."""
