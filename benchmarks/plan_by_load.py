"""What it costs that load decides: ``plan`` over a fleet in which each deployment is scaled by its concurrency.

    python -m benchmarks.plan_by_load       # prints a table, writes benchmarks/results/plan_by_load.json

The worlds are those of :mod:`benchmarks.plan`, behind one gateway. Every deployment is as it should be: *idle* with
nothing to do for longer than all of its windows, or *busy* with as much as its replicas are for. Load is looked at once
in each turn; a plan in between, for something that changed, looks at none (*between*). *Fixed* is the same fleet with
declared numbers. The budget of 100 ms at 10,000 deployments is for a fleet with nothing to do.
"""

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import psutil

from benchmarks.plan import NOW, POLICIES, REPLICAS, Case, at_rest
from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget
from roadstead.decide.planner import plan
from roadstead.plans import Plan
from roadstead.spi.policies import ScalingPolicy
from roadstead.traffic import DataPath, GatewayView, Load, RouteLoad, Seen
from roadstead_plugins.scaling.concurrency import Concurrency

RESULTS: Final = Path(__file__).parent / "results" / "plan_by_load.json"
SCALERS: Final[Mapping[str, ScalingPolicy]] = {"concurrency": Concurrency()}
SPEC: Final = AutoscalingSpec(min=REPLICAS, max=2 * REPLICAS, metrics=(MetricTarget(Metric.CONCURRENCY, 4_000),))
TURN_MS: Final = 5_000
FULL: Final = 70
"""Turns after which all windows are full."""


def behind_a_gateway(case: Case, in_flight: int) -> Case:
    """Return the case with so many requests in flight to each deployment."""
    names = case.fleet.deployments
    loads = {name: RouteLoad(total=Load(in_flight=in_flight, requests=0, errors=0)) for name in names}
    path = DataPath(gateways={"edge": Seen(GatewayView(settled=True, loads=loads))}, via=dict.fromkeys(names, "edge"))
    return attrs.evolve(case, world=attrs.evolve(case.world, data_path=path))


def scaled(case: Case) -> Case:
    """Return the case with all of its windows full."""
    by_load = {name: attrs.evolve(one, autoscaling=SPEC) for name, one in case.fleet.deployments.items()}
    case = attrs.evolve(case, fleet=attrs.evolve(case.fleet, deployments=by_load))
    for turn in range(1, FULL + 1):
        case = attrs.evolve(case, memory=planned(case, turn * TURN_MS).memory)
    return case


def planned(case: Case, after_ms: int) -> Plan:
    """Plan once; nothing must be to do."""
    decided = plan(case.fleet, case.world, case.memory, NOW + after_ms, POLICIES, scalers=SCALERS)
    assert decided.steps == (), decided.steps[:3]
    return decided


def milliseconds(case: Case, rounds: int, after_ms: int) -> float:
    """Return the median processor time that a plan takes."""
    taken = []
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        began = time.process_time()
        planned(case, after_ms)
        taken.append((time.process_time() - began) * 1000)
        gc.enable()
    return round(statistics.median(taken), 2)


def measured(count: int, rounds: int) -> dict[str, float]:
    """Return what a fleet of so many deployments costs, in milliseconds."""
    case = at_rest(count)
    idle, busy = scaled(behind_a_gateway(case, 0)), scaled(behind_a_gateway(case, 4 * REPLICAS))
    return {
        "fixed": milliseconds(behind_a_gateway(case, 0), rounds, TURN_MS),
        "idle": milliseconds(idle, rounds, (FULL + 1) * TURN_MS),
        "busy": milliseconds(busy, rounds, (FULL + 1) * TURN_MS),
        "between": milliseconds(busy, rounds, FULL * TURN_MS + 1_000),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--deployments", type=int, nargs="+", default=[1_000, 10_000])
    given = parser.parse_args()
    found = {str(count): measured(count, given.rounds) for count in given.deployments}
    print(f"{'deployments x 10':<18}" + "".join(f"{name:>12}" for name in ("fixed", "idle", "busy", "between")))
    for count, row in found.items():
        print(f"{count:<18}" + "".join(f"{taken:>9.2f} ms" for taken in row.values()))
    machine = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": psutil.cpu_count(),
        "load": round(psutil.getloadavg()[0], 1),
    }
    print(f"the machine's load was {machine['load']} on {machine['processors']} processors")
    RESULTS.write_text(json.dumps({"rounds": given.rounds, **machine, "deployments": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
