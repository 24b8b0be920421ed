"""``roadstead backend``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import find_spec

import attrs
import click

from roadstead.cli.errors import BadInput, NotFound
from roadstead.cli.exits import Exit
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.words import table
from roadstead.config import read_fleet
from roadstead.spi.host import PluginHost
from roadstead.spi.records import BackendPlugin, PluginRecord

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
    """List the installed plugins, and ask a backend whether it keeps the contract."""


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


@command.command("test", cls=Command)
@common()
@click.argument("cluster")
def _test(cluster: str) -> None:
    """Ask a cluster of the fleet file all that a backend has to do.

    The conformance kit is run with pytest, in a fleet of its own called `tests`: what is there of anybody else is not
    touched, and what the tests start is small and stopped again. It ends with a matrix of what was asked and what came
    of it; what the cluster does not say it can is not asked. Needs the packages pytest and hypothesis.

    Of a cluster that starts images, or to have servers crash and replies lost, write a test of your own: see
    docs/how-to/write-a-backend.md.
    """
    screen = Screen()
    host = PluginHost.installed()
    spec = read_fleet(screen.settings.file, host).clusters.get(cluster)
    if spec is None:
        raise NotFound(f"there is no cluster {cluster!r} in {screen.settings.file}", hint="see `roadstead check`")
    if host.get(BackendPlugin, spec.backend).simulation is not None:
        raise BadInput(f"cluster {cluster!r} is pretended, and gone when nobody drives it", hint="name a real one")
    missing = [name for name in ("pytest", "hypothesis") if find_spec(name) is None]
    if missing:
        raise BadInput(f"{' and '.join(missing)} cannot be imported", hint=f"pip install {' '.join(missing)}")
    asked = ("--roadstead-fleet", str(screen.settings.file.absolute()), "--roadstead-cluster", cluster)
    tests = ("--pyargs", "roadstead.testing.conformance.declared", "--roadstead-matrix", "-p", "no:cacheprovider")
    with tempfile.TemporaryDirectory() as nowhere:  # whatever settings of pytest lie about are not for these tests
        done = subprocess.run([sys.executable, "-m", "pytest", *tests, *asked], cwd=nowhere, check=False)
    if done.returncode:
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
