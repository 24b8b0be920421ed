"""``roadstead sim``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click

from roadstead.bench.picture import picture
from roadstead.bench.record import Simulated
from roadstead.bench.scenario import Scenario
from roadstead.bench.scenario_file import read_scenario
from roadstead.bench.simulation import simulate
from roadstead.bench.sketch import clock_text, sketch
from roadstead.cli.errors import NotUnderstood
from roadstead.cli.screen import Screen
from roadstead.cli.settings import Command, common
from roadstead.config import read_fleet
from roadstead.model import Fleet
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import BackendPlugin
from roadstead.wire import to_wire

__all__ = ["command"]

_SOURCE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TARGET = click.Path(dir_okay=False, writable=True, path_type=Path)


@click.command("sim", cls=Command)
@common()
@click.option(
    "--scenario", type=_SOURCE, required=True, metavar="FILE", help="What the world is like, and what happens."
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="What is left to chance follows from it. [default: the scenario's]"
)
@click.option("--events", type=_TARGET, metavar="FILE", help="Write everything that happened, a JSON object a line.")
@click.option("--plot", type=_TARGET, metavar="FILE.svg", help="Draw how many replicas there were when.")
def command(scenario: Path, seed: int | None, events: Path | None, plot: Path | None) -> None:
    """Show what would become of the fleet in a scenario.

    The fleet file is used as it is; pretended clusters of the same names stand in for its own, and nothing is asked of
    those. What decides and carries out is what the daemon runs. The same seed gives the same events, byte for byte.

    For each deployment: what was wanted, what served, and what was on its way or leaving, over time; then the main
    events. -v tells all of them.
    """
    screen = Screen()
    for file in (events, plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise NotUnderstood(f"there is no folder for {file}", hint="make it, or name another")
    host = PluginHost.installed()
    plugin = _pretender(host)
    fleet = read_fleet(screen.settings.file, host)
    found = _simulated(screen, fleet, read_scenario(scenario, fleet, plugin), (host, plugin), seed)
    if screen.text:
        click.echo(sketch(found, all_events=bool(screen.settings.verbose)), nl=False)
    else:
        screen.data(found)
    if events is not None:
        lines = (json.dumps(to_wire(one), ensure_ascii=False, sort_keys=True) for one in found.happenings)
        events.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if plot is not None:
        plot.write_text(picture(found), encoding="utf-8")


def _simulated(
    screen: Screen, fleet: Fleet, scenario: Scenario, plugins: tuple[PluginHost, BackendPlugin], seed: int | None
) -> Simulated:
    """Simulate, showing on a terminal how far it has come."""
    host, plugin = plugins
    assert plugin.simulation is not None

    def run(progress: Callable[[int], None]) -> Simulated:
        return simulate(
            fleet,
            scenario,
            simulation=resolve(plugin.simulation or "", f"the simulation of {plugin.name}"),
            placement=host.placement_policies(),
            scaling=host.scaling_policies(),
            seed=seed,
            progress=progress,
        )

    if not screen.live:
        return run(lambda _: None)
    with click.progressbar(length=scenario.lasts.ms, label="simulating", width=32, show_pos=False) as bar:
        bar.item_show_func = lambda passed: clock_text(passed) if isinstance(passed, int) else ""
        return run(lambda passed: bar.update(passed - bar.pos, passed))


def _pretender(host: PluginHost) -> BackendPlugin:
    """Return the plugin whose clusters can be pretended."""
    found = [one.record for one in host.all(BackendPlugin) if one.record.simulation is not None]
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "none"
        raise NotUnderstood(
            f"exactly one backend that can be simulated is needed, there is {names}",
            hint="`roadstead check` lists what is installed",
        )
    return found[0]
