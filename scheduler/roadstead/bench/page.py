"""Writes the reference page of the scenario file: ``python -m roadstead.bench.page PAGE``, made from its keys."""

from __future__ import annotations

import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from roadstead.bench.scenario_keys import scenario_table
from roadstead.config.page import key_tables
from roadstead.spi.host import PluginHost
from roadstead.spi.records import BackendPlugin

__all__ = ["main", "scenario_page"]

_INTRODUCTION: Final = """\
# The scenario file

Every key of a file for `roadstead sim --scenario`. This page is generated (`python -m roadstead.bench.page`): change
the descriptions in `roadstead.bench.scenario_keys`, not the page. What of YAML there is, how amounts are written, and
how problems are told is as for [the fleet file](fleet-file.md). [How to simulate](../how-to/simulate.md) has an
example.

A scenario is about a fleet file, which it leaves as it is: under `clusters`, each of the fleet's clusters gets one that
stands in for it. Times are counted from the beginning, which is a moment at which nothing runs yet.

## What is simulated, and what is not

What decides (`plan`), what carries out (preconditions, calls, routing) and what is told (events) is what
the daemon runs. Pretended are clusters, servers, gateways and clients:

- **Clusters** have a temper. `plain` ones let our placement pick the node. Ones like `kubernetes` have a controller
  that replaces lost replicas, probes, and an order of their own in which replicas are given up. Ones like `marathon`
  lock a group while it changes, retire exactly whom we name, launch again from a queue with back-off, and do not show
  nodes.
- **The daemon** looks once in each `daemon.turn`; a real one is also woken by watches, so it is never later than this.
- **Use** of processors and memory is not simulated: a server ends for want of memory only where the scenario says so.
- **Gateways** take a table at once, and send requests to whoever answers.
- **Clients** are a fluid: requests have no size but their mean, each replica that serves gets its share, and what waits
  for longer than `patience` fails. Answer times therefore have a mean and no tail.

Turns in which nothing could be decided otherwise are left out, which changes no event. The same files, version and
seed give the same events, byte for byte. (A model's path is part of what a replica embodies: with paths relative to the
fleet file, in the same folder.)
"""


def scenario_page(plugin: BackendPlugin) -> str:
    """Return the page, in Markdown, with clusters that ``plugin`` pretends."""
    return f"{_INTRODUCTION}\n{key_tables(scenario_table(plugin))}"


def main(arguments: list[str]) -> None:
    """Write the page to the path in ``arguments``, with what this distribution brings."""
    plugins = PluginHost.installed([distribution("roadstead")]).all(BackendPlugin)
    (plugin,) = (one.record for one in plugins if one.record.simulation is not None)
    Path(arguments[0]).write_text(scenario_page(plugin), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
