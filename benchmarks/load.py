"""What the load generator itself costs, and how punctual it is, against a server that answers without a model.

    python -m benchmarks.load            # prints tables, writes benchmarks/results/load.json and load.md

CPU for each request is the generator's own process' and is what counts where servers share the machine. Requests a
second are those of the generator and the server together. Medians over rounds.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.canned import ANSWER, GRPC_PORT, REQUEST, REST_PORT
from roadstead.load.course import Arrivals, Closed, Course, Open
from roadstead.load.engine import Measured, measure
from roadstead.spi.load import Destination, Wire, Work
from roadstead_plugins.runtimes.tf_serving.runtime import TfServing

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
HOST: Final = "127.77.0.9"
ROUND: Final = 4.0
"""Seconds of one measurement."""
WARM_UP: Final = 0.5
CONNECTIONS: Final = 100
PORTS: Final = {Wire.GRPC: GRPC_PORT, Wire.REST: REST_PORT}
CHECKED: Final = Work(model="canned", requests=(REQUEST,), expected=({1: ANSWER},))


@attrs.frozen(kw_only=True)
class Cost:
    """A closed loop: requests a second, and microseconds of CPU for each."""

    protocol: str
    concurrency: int
    checked: bool
    per_second: float
    cpu: float


@attrs.frozen(kw_only=True)
class Punctuality:
    """An open loop: by how many milliseconds requests were sent late, how long they took, and CPU for each (in us)."""

    protocol: str
    arrivals: str
    rate: float
    late_p50: float
    late_p99: float
    latency_p50: float
    latency_p99: float
    cpu: float


@contextmanager
def server() -> Iterator[None]:
    """Run the server for a while."""
    command = [sys.executable, "-m", "benchmarks.canned", HOST]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.terminate()


def run(wire: Wire, pace: Open | Closed, work: Work, connections: int) -> Measured:
    """Measure once; a request that fails ends everything."""
    destination = Destination(wire=wire, addresses=(f"{HOST}:{PORTS[wire]}",), connections=connections)
    course = Course(pace=pace, duration=ROUND, warm_up=WARM_UP, deadline=10.0)
    measured = measure(TfServing().caller(destination, work), course, requests=len(work.requests), every=1.0)
    if measured.record.account.failed:
        raise SystemExit(f"requests failed: {dict(measured.record.account.failures)}")
    return measured


def cpu(measured: Measured) -> float:
    """Return microseconds of CPU for each request, those of the warm-up included in both."""
    seconds = measured.cpu * (measured.seconds + WARM_UP)
    return 1e6 * seconds / (measured.record.account.sent + measured.record.warm_up.sent)


def cost(wire: Wire, concurrency: int, rounds: int, *, checked: bool) -> Cost:
    """Measure what a closed loop costs."""
    work = CHECKED if checked else attrs.evolve(CHECKED, expected=())
    found = [run(wire, Closed(concurrency), work, concurrency) for _ in range(rounds)]
    return Cost(
        protocol=wire.value,
        concurrency=concurrency,
        checked=checked,
        per_second=statistics.median(one.record.account.ok / one.seconds for one in found),
        cpu=statistics.median(map(cpu, found)),
    )


def punctuality(wire: Wire, rate: float, rounds: int, arrivals: Arrivals) -> Punctuality:
    """Measure how late an open loop is."""
    found = [
        run(wire, Open(rate=rate, arrivals=arrivals, seed=number), CHECKED, CONNECTIONS) for number in range(rounds)
    ]

    def median(what: Callable[[Measured], float]) -> float:
        return statistics.median(map(what, found))

    return Punctuality(
        protocol=wire.value,
        arrivals=arrivals.value,
        rate=rate,
        late_p50=median(lambda one: one.record.lateness.percentile(50)),
        late_p99=median(lambda one: one.record.lateness.percentile(99)),
        latency_p50=median(lambda one: one.record.latency.percentile(50)),
        latency_p99=median(lambda one: one.record.latency.percentile(99)),
        cpu=median(cpu),
    )


COST_HEAD: Final = """\
| protocol | at a time | answers compared | requests/s | CPU each |
|---|---:|---|---:|---:|"""
PUNCTUALITY_HEAD: Final = """\
| protocol | arrivals | rate/s | late p50 | late p99 | took p50 | took p99 | CPU each |
|---|---|---:|---:|---:|---:|---:|---:|"""


def cost_line(one: Cost) -> str:
    """Return one line of the first table."""
    compared = "yes" if one.checked else "no"
    return f"| {one.protocol} | {one.concurrency} | {compared} | {one.per_second:,.0f} | {one.cpu:.0f} us |"


def punctuality_line(one: Punctuality) -> str:
    """Return one line of the second table."""
    times = " | ".join(f"{time:.2f} ms" for time in (one.late_p50, one.late_p99, one.latency_p50, one.latency_p99))
    return f"| {one.protocol} | {one.arrivals} | {one.rate:g} | {times} | {one.cpu:.0f} us |"


def text(machine: str, rounds: int, costs: Sequence[Cost], punctual: Sequence[Punctuality]) -> str:
    """Return the results as text."""
    return "\n".join(
        [
            "# The load generator, measured\n",
            f"Made by `python -m benchmarks.load` on {machine}, against a server without a model that shares it.",
            f"Medians of {rounds} rounds of {ROUND:g} s; an answer is an embedding of 384 numbers.\n",
            "As fast as answers come; generator and server need about a core each:\n",
            COST_HEAD,
            *map(cost_line, costs),
            f"\nAt a given rate, over {CONNECTIONS} connections. `late` is from when a request was due to when it was",
            "sent, `took` from when it was due to its answer:\n",
            PUNCTUALITY_HEAD,
            *map(punctuality_line, punctual),
            "",
        ]
    )


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Measure the load generator itself.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with server():
        costs = [
            cost(wire, concurrency, given.rounds, checked=checked)
            for wire in Wire
            for concurrency, checked in ((1, True), (16, False), (16, True), (100, True))
        ]
        paces = [(rate, Arrivals.POISSON) for rate in (50, 200, 1000)] + [(200, Arrivals.CONSTANT)]
        punctual = [punctuality(wire, rate, given.rounds, arrivals) for wire in Wire for rate, arrivals in paces]
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    document: dict[str, Any] = {
        "machine": machine,
        "rounds": given.rounds,
        "cost": [attrs.asdict(one) for one in costs],
        "punctuality": [attrs.asdict(one) for one in punctual],
    }
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "load.json").write_text(json.dumps(document, indent=1) + "\n")
    told = text(machine, given.rounds, costs, punctual)
    (given.results / "load.md").write_text(told)
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
