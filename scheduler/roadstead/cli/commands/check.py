"""``roadstead check``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import click

from roadstead.cli import data_path, doctor
from roadstead.cli.doctor import Finding, Level
from roadstead.cli.errors import NoDaemon, NoFleetFile
from roadstead.cli.exits import Exit
from roadstead.cli.locate import Located, locate
from roadstead.cli.permits import permits
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.source import source
from roadstead.cli.text.words import plural
from roadstead.config import FleetFileError, read_fleet
from roadstead.decide.report import ClusterStatus
from roadstead.errors import RoadsteadError
from roadstead.model import Fleet
from roadstead.spi.host import PluginHost

__all__ = ["command"]

_STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.WRONG: "red"}


@attrs.frozen
class _Findings:
    findings: tuple[Finding, ...]


@click.command("check", cls=Command)
@common()
def command() -> None:
    """Check this machine, the plugins and the fleet file.

    The doctor: Python, cgroups, ports, disk, GPUs, engines, plugins, the fleet file, its state directory, its daemon,
    what each of its clusters says and would refuse, and whether its gateways can run, or do. The exit code is 1 where
    something is in the way.
    """
    screen = Screen()
    host = PluginHost.installed()
    found: list[Finding] = []
    for one in (*doctor.machine(), *doctor.plugins(host), *_fleet(screen, host)):
        found.append(one)
        if screen.text:
            mark = click.style(f"{one.level.value:<5}", fg=_STYLES[one.level])
            click.echo(f"{mark}  {one.about:<8}  {one.text}", color=None if screen.settings.color else False)
            if one.hint:
                click.echo(f"{'':17}{one.hint}")
    if not screen.text:
        screen.data(_Findings(tuple(found)))
    if any(one.level is Level.WRONG for one in found):
        raise click.exceptions.Exit(Exit.ERROR)


def _fleet(screen: Screen, host: PluginHost) -> Iterator[Finding]:
    try:
        located = locate(screen.settings.file)
    except NoFleetFile as error:
        yield Finding(level=Level.NOTE, about="fleet", text=str(error), hint=error.hint or "")
        return
    yield from doctor.state(located.state)
    fleet, read = _file(located.file, host)
    yield read
    if fleet is not None:
        yield from data_path.declared(fleet, host)
        yield from permits(fleet, host, located.state)
    try:
        alive = located.client.alive()
    except NoDaemon as error:
        yield Finding(level=Level.WRONG, about="daemon", text=str(error), hint=error.hint or "")
        return
    text = "answers" if alive else "does not run; `roadstead daemon start --background` starts it"
    yield Finding(level=Level.OK, about="daemon", text=text)
    if alive or fleet is not None:
        yield from _status(screen, located)


def _file(file: Path, host: PluginHost) -> tuple[Fleet | None, Finding]:
    try:
        fleet = read_fleet(file, host)
    except FleetFileError as error:
        hint = "`roadstead validate` lists them"
        return None, Finding(level=Level.WRONG, about="fleet", text=error.summary, hint=hint)
    counted = f"{plural(len(fleet.clusters), 'cluster')}, {plural(len(fleet.deployments), 'deployment')}"
    return fleet, Finding(level=Level.OK, about="fleet", text=f"{file} is valid: fleet {fleet.name}, {counted}")


def _status(screen: Screen, located: Located) -> Iterator[Finding]:
    try:
        with source(screen, located) as asked:
            status = asked.status()
    except RoadsteadError as error:
        yield Finding(level=Level.WRONG, about="clusters", text=str(error), hint=error.hint or "")
        return
    for problem in status.service.problems:
        yield Finding(level=Level.WRONG, about="daemon", text=problem)
    for one in status.clusters:
        yield from _cluster(one)
    yield from data_path.running(status, located.state.path / "gateways")


def _cluster(one: ClusterStatus) -> Iterator[Finding]:
    if one.abilities is None or one.unreachable_since is not None:
        yield Finding(level=Level.WRONG, about="clusters", text=f"{one.name} does not answer: {one.error}")
        return
    abilities = one.abilities
    limits = f"limits: cpu {abilities.cpu_limit}, memory {abilities.memory_limit}, gpu {abilities.gpu_limit}"
    yield Finding(level=Level.OK, about="clusters", text=f"{one.name} ({one.backend}) answers; {limits}")
    for note in abilities.notes:
        yield Finding(level=Level.NOTE, about="clusters", text=f"{one.name}: {note}")
