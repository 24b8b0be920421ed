"""How many replicas find their node in a second, on a cluster of many nodes.

    python -m benchmarks.placement          # prints a table, writes benchmarks/results/placement.json

The nodes have 96 cores and eight devices each and start empty. Each decision is another deployment's: it compares all
nodes, and the ledger follows. Decisions only: no snapshot is read and nothing is bound. The *first* of a plan also
makes the columns. Budget: 4,000 decisions a second at 10,000 nodes.
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

import psutil

from roadstead.capabilities import Capabilities
from roadstead.decide.ledger import Ledger
from roadstead.decide.placement import seat
from roadstead.decide.rooms import demand
from roadstead.memory import PlanMemory
from roadstead.model import Fleet, Gpu, GpuPart, ModelSpec, Resources, Scheduling, Template, WholeGpus
from roadstead.spi.policies import PlacementPolicy
from roadstead.units import Cpus, GpuShare, Memory
from roadstead.world import Device, Node, Snapshot, World
from roadstead_plugins.placement.plugin import BinPack, Spread

RESULTS: Final = Path(__file__).parent / "results" / "placement.json"
SIZES: Final = (1_000, 5_000, 10_000, 50_000)
DECISIONS: Final = 2_000
POLICIES: Final[Mapping[str, PlacementPolicy]] = {"spread": Spread(), "binpack": BinPack()}
GPUS: Final[Mapping[str, Gpu | None]] = {
    "no GPU": None,
    "one GPU": WholeGpus(count=1),
    "0.3 of a GPU": GpuPart(share=GpuShare(300), memory=Memory(2**30)),
}
ABLE: Final = Capabilities(scheduling=frozenset({Scheduling.DIRECTED}), exact_retire=True, heals_alone=False)


def cluster(size: int) -> Snapshot:
    """Return a cluster of so many empty nodes, a third of them with another kind of device."""
    return Snapshot(
        capabilities=ABLE,
        nodes=tuple(
            Node(
                name=f"node-{number:06}",
                cpu=Cpus(96_000),
                memory=Memory(2**38),
                devices=tuple(
                    Device(id=f"gpu-{index}", model="A100" if number % 3 else "T4", memory=Memory(2**36))
                    for index in range(8)
                ),
            )
            for number in range(size)
        ),
    )


def measured(snapshot: Snapshot, policy: PlacementPolicy, gpu: Gpu | None) -> tuple[float, list[float]]:
    """Return how long the first decision took and each of the others, in seconds."""
    ledger = Ledger(Fleet(name="bench", clusters={}, deployments={}), World(clusters={}), PlanMemory())
    template = Template(
        model=ModelSpec(name="m", source="/m"), resources=Resources(cpu=Cpus(4_000), memory=Memory(2**33), gpu=gpu)
    )
    taken = []
    gc.collect()
    for number in range(DECISIONS + 1):
        began = time.perf_counter()
        found = seat(snapshot, ledger, demand("here", snapshot, f"model-{number}", template, {}), policy)
        assert found is not None
        ledger.place("here", found.node, found.devices, template.resources)
        taken.append(time.perf_counter() - began)
    return taken[0], taken[1:]


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="of each row, of which the medians are told")
    rounds = parser.parse_args().rounds
    rows = []
    print("| nodes | policy | asks for | decisions/s | p99 | first |\n|---|---|---|---|---|---|")
    for size in SIZES:
        snapshot = cluster(size)
        for name, policy in POLICIES.items():
            for asked, gpu in GPUS.items():
                runs = [measured(snapshot, policy, gpu) for _ in range(rounds)]
                row = {
                    "nodes": size,
                    "policy": name,
                    "asked": asked,
                    "decisions_per_s": round(statistics.median(len(taken) / sum(taken) for _, taken in runs)),
                    "p99_ms": round(
                        statistics.median(sorted(taken)[len(taken) * 99 // 100] for _, taken in runs) * 1e3, 3
                    ),
                    "first_ms": round(statistics.median(first for first, _ in runs) * 1e3, 1),
                }
                rows.append(row)
                print(
                    "| {nodes:,} | {policy} | {asked} | {decisions_per_s:,} | {p99_ms} ms | {first_ms} ms |".format(
                        **row
                    ),
                    flush=True,
                )
    found = {
        "rounds": rounds,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": psutil.cpu_count(),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
