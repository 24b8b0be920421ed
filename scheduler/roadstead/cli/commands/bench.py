"""``roadstead bench``."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from roadstead.act.clock import SystemClock
from roadstead.bench.comparison.contest import contest
from roadstead.bench.comparison.entry import Venue, entered, target_of
from roadstead.bench.comparison.figures import Comparison, Row, Sample, markdown, rows
from roadstead.cli.errors import NotFound, NotUnderstood
from roadstead.cli.exits import Exit
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.cli.text.words import table
from roadstead.config import read_fleet
from roadstead.model import Deployment, Fleet
from roadstead.spi.comparison import Work
from roadstead.spi.host import PluginHost
from roadstead.units import Duration

__all__ = ["command"]


@click.group("bench")
def command() -> None:
    """Time the same work on several clusters."""


@command.command("compare", cls=Command)
@common()
@click.argument("name")
@click.option("--on", "clusters", multiple=True, metavar="CLUSTER", help="Compare only this one; may be repeated.")
@click.option("--replicas", type=click.IntRange(min=1), default=2, show_default=True, help="How many are served.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="How often each is timed.")
@click.option("--within", type=click.IntRange(min=1), default=300, show_default=True, help="Seconds for each passage.")
@click.option("--alone", is_flag=True, help="Leave out what an orchestrator has of its own.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.md", help="Write the table there too."
)
def _compare(name: str, **flags: Any) -> None:
    """Serve a deployment's model on every cluster, and time it.

    Timed are: from nothing until all replicas are ready, a roll to a template with another variable, and the loss of
    one server until as many are ready again. On each cluster by Roadstead, with a fleet of its own beside yours, and by
    what the orchestrator has of its own, such as a plain Deployment. Without a gateway and without load.

    Everything that is started is taken down. The clusters do the work for real: let nothing else run there that minds.
    """
    screen = Screen()
    host = PluginHost.installed()
    fleet = read_fleet(screen.settings.file, host)
    deployment = fleet.deployments.get(name)
    if deployment is None:
        raise NotFound(f"the fleet file has no deployment {name!r}", hint="`roadstead validate` lists them")
    clusters = _named(fleet, flags["clusters"])
    with tempfile.TemporaryDirectory(prefix="roadstead-compare-") as folder:
        venue = Venue(fleet=fleet, file=screen.settings.file, folder=Path(folder), host=host, clock=SystemClock())
        found = _compared(screen, venue, deployment, clusters, _Asked(**{key: flags[key] for key in _ASKED}))
    if flags["report"] is not None:
        flags["report"].write_text(markdown(found, f"roadstead {shlex.join(sys.argv[1:])}"), encoding="utf-8")
    _show(screen, found)
    if any(sample.seconds is None for sample in found.samples):
        raise click.exceptions.Exit(Exit.ERROR)


@attrs.frozen(kw_only=True)
class _Asked:
    """How it is to be compared; ``within`` is in seconds."""

    replicas: int
    repeats: int
    within: int
    alone: bool


_ASKED = tuple(field.name for field in attrs.fields(_Asked))


def _compared(
    screen: Screen, venue: Venue, deployment: Deployment, clusters: tuple[str, ...], asked: _Asked
) -> Comparison:
    """Hold the contest, saying each figure as soon as it is known."""
    template = target_of(deployment, clusters).template
    render = venue.host.runtimes()[template.runtime.name].launch
    work = Work(
        name=deployment.name,
        replicas=asked.replicas,
        template=template,
        launch=render(template),
        max_surge=deployment.rollout.max_surge,
        max_unavailable=deployment.rollout.max_unavailable,
    )
    samples: list[Sample] = []
    with entered(venue, deployment, clusters, rivals=not asked.alone) as contestants:
        for sample in contest(
            contestants, work, render, repeats=asked.repeats, within=Duration(1000 * asked.within), clock=venue.clock
        ):
            samples.append(sample)
            screen.say(_told(sample))
    return Comparison(
        machine=f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
        model=template.model.name,
        replicas=asked.replicas,
        repeats=asked.repeats,
        samples=tuple(samples),
    )


def _named(fleet: Fleet, clusters: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in clusters if name not in fleet.clusters]
    if unknown:
        raise NotUnderstood(f"there is no cluster {unknown[0]!r}", hint=f"there is {', '.join(sorted(fleet.clusters))}")
    return tuple(dict.fromkeys(clusters)) or tuple(fleet.clusters)


def _told(sample: Sample) -> str:
    took = "not done in time" if sample.seconds is None else f"{sample.seconds:.2f} s"
    return f"{sample.contestant}: {sample.measure.value}: {took}"


@attrs.frozen(kw_only=True)
class _Answer:
    comparison: Comparison
    rows: tuple[Row, ...]


def _show(screen: Screen, found: Comparison) -> None:
    if not screen.text:
        screen.data(_Answer(comparison=found, rows=rows(found.samples)))
        return
    shown = table("", "WHO", "MEDIAN", "LEAST", "MOST", "UNFINISHED", "FEWEST READY")
    for row in rows(found.samples):
        times = ("-" if one is None else f"{one:.2f}s" for one in (row.median, row.least, row.most))
        unfinished = f"{row.unfinished}/{row.passages}" if row.unfinished else ""
        shown.add_row(
            row.measure.value, row.contestant, *times, unfinished, "" if row.fewest is None else str(row.fewest)
        )
    screen.show(shown)
