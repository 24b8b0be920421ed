"""``roadstead import``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from roadstead.cli.errors import NotUnderstood
from roadstead.cli.said import options_said
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.words import plural
from roadstead.config.writing import Written, WrittenCluster, fleet_text
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.importing import Carried, Fate, Imported, ImportSource
from roadstead.spi.records import BackendPlugin

__all__ = ["command"]

_LIVE = "live"
_COLORS = {Fate.KEPT: "green", Fate.CHANGED: "yellow", Fate.LOST: "red"}


@attrs.frozen
class _Report:
    file: str
    objects: tuple[Imported, ...]


@click.command("import", cls=Command)
@common()
@click.option("--from", "backend", required=True, help="The kind of cluster that it was written for.")
@click.argument("source")
@click.option("--set", "said", multiple=True, metavar="KEY=VALUE", help="An option of the cluster, as in a fleet file.")
@click.option("--cluster", default="prod", show_default=True, help="What the cluster is called in the fleet file.")
@click.option("--adopt", is_flag=True, help="Have what runs taken over by `roadstead apply`, where that can be done.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(  # one for each option
    *, backend: str, source: str, said: tuple[str, ...], cluster: str, adopt: bool, force: bool
) -> None:
    """Write a fleet file for what others declared, with a report of every field.

    SOURCE is a file of manifests or apps, or `live` for what the cluster itself has; for a Marathon, its address is as
    good. Nothing is changed there. The report says of every field whether it was kept, changed or lost, and why; what
    was changed or lost stands in the file as comments, too.
    """
    screen = Screen()
    path = screen.settings.file
    if path.exists() and not force:
        raise NotUnderstood(f"{path} is there already", hint="--force writes over it, --file names another")
    plugin = PluginHost.installed().get(BackendPlugin, backend)
    if plugin.imports is None:
        raise NotUnderstood(f"backend {backend} imports nothing", hint="write the fleet file by hand: `roadstead init`")
    if adopt and not plugin.adopts:
        raise NotUnderstood(f"backend {backend} takes nothing over", hint="leave --adopt out")
    if plugin.address and "://" in source:
        said, source = (f"{plugin.address}={source}", *said), _LIVE
    options = options_said(plugin, said)
    found = _found(plugin, source, options)
    written = tuple(_written(found, adopt=adopt))
    entry = WrittenCluster(name=cluster, backend=backend, options=options, deployment_options=plugin.deployment_options)
    fleet = re.sub(r"[^A-Za-z0-9]", "", path.absolute().parent.name)[:16] or "fleet"
    try:
        path.write_text(fleet_text(fleet, entry, written), encoding="utf-8")
    except OSError as error:
        raise NotUnderstood(f"{path} cannot be written: {error.strerror}", hint="--file names another") from error
    if not screen.text:
        screen.data(_Report(str(path), found))
        return
    for one in found:
        for line in _lines(one):
            click.echo(line, color=None if screen.settings.color else False)
    screen.say(f"wrote {path} with {plural(len(written), 'deployment')}; next: read it, then `roadstead validate`")


def _found(plugin: BackendPlugin, source: str, options: Any) -> tuple[Imported, ...]:
    assert plugin.imports is not None
    read = resolve(plugin.imports, f"the import of {plugin.name}")
    try:
        text = None if source == _LIVE else Path(source).read_text(encoding="utf-8")
        found: tuple[Imported, ...] = read(ImportSource(text=text, options=options))
    except (OSError, ValueError) as error:
        raise NotUnderstood(
            f"{source} cannot be imported: {error}", hint="name a file of what was declared, or live"
        ) from error
    return found


def _written(found: tuple[Imported, ...], *, adopt: bool) -> Iterator[Written]:
    """Yield the deployments of the file; of two with one name, the second is called otherwise."""
    taken: Counter[str] = Counter()
    for one in found:
        if one.template is None:
            continue
        taken[one.name] += 1
        number = taken[one.name]
        changed = (carried for carried in one.fields if carried.fate is not Fate.KEPT)
        yield Written(
            name=one.name if number == 1 else f"{one.name[:31]}-{number}",
            template=one.template,
            replicas=one.replicas,
            rollout=one.rollout,
            adopts=one.native if adopt else "",
            comments=(f"from {one.native}", *(_sentence(carried) for carried in changed)),
        )


def _sentence(one: Carried) -> str:
    where = f" -> {one.key}" if one.key else ""
    return f"{one.fate.value}: {one.field}{where}{': ' + one.detail if one.detail else ''}"


def _lines(one: Imported) -> Iterator[str]:
    if one.template is None:
        yield f"{one.native}: {click.style('not imported', fg='red')}: {one.refused}"
        return
    counts = Counter(carried.fate for carried in one.fields)
    yield f"{one.native} -> {one.name}: {', '.join(f'{counts[fate]} {fate.value}' for fate in Fate)}"
    for carried in sorted(one.fields, key=lambda carried: list(Fate).index(carried.fate)):
        mark = click.style(f"{carried.fate.value:<8}", fg=_COLORS[carried.fate])
        where = f" -> {carried.key}" if carried.key else ""
        yield f"  {mark}{carried.field}{where}{': ' + carried.detail if carried.detail else ''}"
