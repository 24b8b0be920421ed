"""Reads a scenario file for a fleet: into a scenario, or every problem at once, each with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast

from roadstead.bench.scenario import Rate, Scenario, Traffic
from roadstead.bench.scenario_checks import findings
from roadstead.bench.scenario_keys import ScenarioEntry, TrafficEntry, scenario_table
from roadstead.bench.trace import TraceError, read_trace
from roadstead.config.fleet import file_source
from roadstead.config.nodes import Entries, compose
from roadstead.config.places import Places
from roadstead.config.problems import ProblemCode, Problems
from roadstead.config.reader import Place, read
from roadstead.config.sections import Section, finished
from roadstead.model import Fleet
from roadstead.spi.records import BackendPlugin
from roadstead.units import Duration

__all__ = ["read_scenario"]


def read_scenario(path: Path, fleet: Fleet, plugin: BackendPlugin) -> Scenario:
    """Return the scenario that the file at ``path`` tells of ``fleet``, with clusters that ``plugin`` pretends.

    Raises :class:`roadstead.config.problems.FleetFileError` with every problem of the file.
    """
    source = file_source(path)
    problems = Problems(source)
    root = compose(source, problems)
    if root is None:
        raise problems.error()
    section = read(scenario_table(plugin), root, Place(problems, (), root.spot))
    if not isinstance(section, Section) or not isinstance(root, Entries):
        raise problems.error()
    written = finished(section, (), problems)
    problems.raise_if_any()
    entry = cast(ScenarioEntry, written)
    places = Places(root)
    load = _load(entry.load, path.parent, places, problems)
    for finding in findings(entry, fleet, plugin):
        spot = places.key_of(finding.path) if finding.about_key else places.of(finding.path)[1]
        problems.add(finding.code, finding.path, spot, finding.what, finding.hint)
    problems.raise_if_any()
    return Scenario(
        lasts=entry.lasts,
        clusters=MappingProxyType(dict(entry.clusters)),
        seed=entry.seed,
        load=load,
        events=tuple(sorted(entry.events, key=lambda event: event.at.ms)),
    )


def _load(written: Mapping[str, TrafficEntry], base: Path, places: Places, problems: Problems) -> Mapping[str, Traffic]:
    load = {}
    for name, entry in written.items():
        rates = _rates(entry)
        if entry.trace is not None:
            path = ("load", name, "trace")
            try:
                rates = read_trace(base / entry.trace)
            except TraceError as error:
                problems.add(ProblemCode.FORM, path, places.of(path)[1], str(error), error.hint)
                continue
        load[name] = Traffic(
            service_time=entry.service_time,
            parallel=entry.parallel,
            patience=entry.patience,
            rates=_from_the_start(rates),
        )
    return MappingProxyType(load)


def _rates(entry: TrafficEntry) -> tuple[Rate, ...]:
    if entry.rate is not None:
        return (Rate(Duration(0), entry.rate),)
    return tuple(sorted(entry.steps, key=lambda rate: rate.at.ms))


def _from_the_start(rates: tuple[Rate, ...]) -> tuple[Rate, ...]:
    """Return the same rates, with nothing sent before the first."""
    return rates if rates and rates[0].at.ms == 0 else (Rate(Duration(0), 0), *rates)
