"""A small fleet, scenarios for it, and how to simulate them in a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from roadstead.bench.record import Account, Simulated
from roadstead.bench.scenario import Scenario
from roadstead.bench.scenario_file import read_scenario
from roadstead.bench.simulation import simulate
from roadstead.config import read_fleet
from roadstead.model import Fleet
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import BackendPlugin
from roadstead.wire import to_wire

__all__ = ["FLEET", "HOST", "PLUGIN", "account", "fleet", "log", "said", "scenario", "simulated"]

HOST = PluginHost.installed()
PLUGIN = HOST.get(BackendPlugin, "simulated")

FLEET = """\
version: 1
fleet: toy
clusters: {here: {backend: simulated}, there: {backend: simulated}}
gateways: {edge: {kind: envoy, ports: 18000-18099}}
quotas: {search: {cpu: 64}}
defaults: {owner: search, runtime: {name: simulated}, stop: {drain_within: 10s}, resources: {cpu: 1, memory: 1Gi}}
deployments:
  anchor: {model: {source: m/anchor}, clusters: here, replicas: 2}
  buoy: {model: {source: m/buoy}, clusters: there, replicas: 3, gateway: null}
"""

CLUSTERS = """\
clusters:
  here: {nodes: 3, zones: 3, vary: 10}
  there: {temper: kubernetes, nodes: 4}
"""


def fleet(folder: Path, text: str = FLEET) -> Fleet:
    """Return the fleet of a text."""
    return read_fleet(folder / "fleet.yaml", HOST, text=text)


def scenario(
    folder: Path, text: str, fleet_text: str = FLEET, *, clusters: str = CLUSTERS, head: str = "for: 30m"
) -> Scenario:
    """Return the scenario of a text, which need not say how long it is nor what clusters are like."""
    file = folder / "scenario.yaml"
    file.write_text(f"version: 1\n{head}\n{clusters}{text}", encoding="utf-8")
    return read_scenario(file, fleet(folder, fleet_text), PLUGIN)


def simulated(of: Fleet, told: Scenario, *, seed: int | None = None, every_turn: bool = False) -> Simulated:
    """Return what becomes of a fleet in a scenario."""
    assert PLUGIN.simulation is not None
    return simulate(
        of,
        told,
        simulation=resolve(PLUGIN.simulation, "the simulation"),
        placement=HOST.placement_policies(),
        scaling=HOST.scaling_policies(),
        seed=seed,
        every_turn=every_turn,
    )


def account(found: Simulated, name: str) -> Account:
    """Return what became of one deployment."""
    return next(one for one in found.deployments if one.name == name)


def said(found: Simulated, kind: str, deployment: str | None = None) -> list[str]:
    """Return the texts of all events of a kind, of one deployment where it is named."""
    return [one.text for one in found.happenings if one.kind == kind and deployment in {None, one.deployment}]


def log(found: Simulated) -> str:
    """Return the events as `roadstead sim --events` writes them."""
    lines: list[Mapping[str, object]] = [to_wire(one) for one in found.happenings]
    return "\n".join(json.dumps(line, sort_keys=True) for line in lines)
