"""What a command costs before it does anything: cold starts, and what is imported for them.

    python -m benchmarks.cli                # prints a table, writes benchmarks/results/cli.json

Each command is a process of its own, run in turn with an interpreter that does nothing and one that imports click only,
so that a machine that is slow today is slow for all. Medians and the 90th percentile over rounds. The budget is 0.25 s
for ``roadstead --help``.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

RESULTS: Final = Path(__file__).parent / "results" / "cli.json"
BUDGET_S: Final = 0.25
COMMANDS: Final[dict[str, list[str]]] = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import click'": ["-c", "import click"],
    "roadstead --help": ["-m", "roadstead", "--help"],
    "roadstead version": ["-m", "roadstead", "version"],
    "roadstead explain RS102": ["-m", "roadstead", "explain", "RS102"],
    "roadstead backend list": ["-m", "roadstead", "backend", "list"],
}


def seconds(arguments: list[str]) -> float:
    """Return how long one process takes from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for name in COMMANDS:
        seconds(COMMANDS[name])  # the bytecode is compiled and the files are in memory before anything counts
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    found = {
        name: {"median_s": round(statistics.median(all_), 4), "p90_s": round(statistics.quantiles(all_, n=10)[8], 4)}
        for name, all_ in taken.items()
    }
    nothing = found["python -c pass"]["median_s"]
    print(f"{'command':<28} {'median':>9} {'p90':>9} {'over python':>12}")
    for name, one in found.items():
        over = one["median_s"] - nothing
        print(f"{name:<28} {one['median_s']:>8.3f}s {one['p90_s']:>8.3f}s {over:>11.3f}s")
    helped = found["roadstead --help"]["median_s"]
    print(f"budget for --help: {BUDGET_S} s, {'kept' if helped <= BUDGET_S else 'BROKEN'}")
    machine = {"python": platform.python_version(), "machine": platform.machine(), "rounds": rounds}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"on": machine, "commands": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
