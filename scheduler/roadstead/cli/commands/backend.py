"""``roadstead backend``."""

from __future__ import annotations

import attrs
import click

from roadstead.cli.exits import Exit
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.words import table
from roadstead.spi.host import PluginHost
from roadstead.spi.records import PluginRecord

__all__ = ["command"]


@attrs.frozen(kw_only=True)
class _Plugin:
    kind: str
    name: str
    distribution: str
    version: str
    summary: str


@attrs.frozen(kw_only=True)
class _Broken:
    distribution: str
    version: str
    module: str
    names: tuple[str, ...]
    error: str


@attrs.frozen(kw_only=True)
class _Plugins:
    plugins: tuple[_Plugin, ...]
    broken: tuple[_Broken, ...]


@click.group("backend")
def command() -> None:
    """List the installed plugins."""


@command.command("list", cls=Command)
@common(file=False)
def _list() -> None:
    """List every plugin of every kind, who brings it, and what is broken.

    A broken plugin matters only to a fleet file that names it; the exit code is 1 where there is one.
    """
    screen = Screen()
    found = _found(PluginHost.installed())
    if screen.text:
        made = table("KIND", "NAME", "FROM", "SUMMARY")
        for one in found.plugins:
            made.add_row(one.kind, one.name, f"{one.distribution} {one.version}", one.summary)
        screen.show(made)
        for broken in found.broken:
            click.echo(f"broken: {broken.distribution} {broken.version} ({broken.module}): {broken.error}")
    else:
        screen.data(found)
    if found.broken:
        raise click.exceptions.Exit(Exit.ERROR)


def _found(host: PluginHost) -> _Plugins:
    return _Plugins(
        plugins=tuple(
            _Plugin(
                kind=one.record.kind,
                name=one.record.name,
                distribution=one.provenance.distribution,
                version=one.provenance.version,
                summary=one.record.summary,
            )
            for one in host.all(PluginRecord)
        ),
        broken=tuple(
            _Broken(
                distribution=one.provenance.distribution,
                version=one.provenance.version,
                module=one.provenance.module,
                names=one.names,
                error=one.error,
            )
            for one in host.problems
        ),
    )
