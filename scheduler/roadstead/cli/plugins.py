"""The commands that plugins bring."""

from __future__ import annotations

from collections.abc import Iterator

import click

from roadstead.spi.host import PluginError, PluginHost, resolve
from roadstead.spi.records import CommandPlugin

__all__ = ["commands"]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command of a plugin by its name; raises :class:`PluginError` for one that is no click command."""
    for one in PluginHost.installed().all(CommandPlugin):
        made = resolve(one.record.factory, f"command {one.record.name!r}")()
        if not isinstance(made, click.Command):
            raise PluginError(
                f"command {one.record.name!r} of {one.provenance} is {type(made).__name__}, not a click command",
                hint="this is an error of the plugin; uninstall it to go on",
            )
        yield one.record.name, made
