"""What clients see while a real model moves between two clusters and back, with the daemon killed on the way.

    python -m benchmarks.migration          # about ten minutes; writes benchmarks/results/migration.{json,md}

Two `local` clusters share this machine, each with a part of it. Two replicas of MiniLM serve behind a real gateway
under `roadstead load`, which checks each answer, at 60 % of their capacity. First they are sent to the other cluster
and back once, with nothing else happening; then ten times, and each time the daemon is killed with SIGKILL at another
moment and the next one is started. Run it on a machine that does nothing else: everything shares its processors.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import attrs

from benchmarks.fleet import Stage, kill, running, until
from benchmarks.load_told import result, sending, sent, stretch
from benchmarks.underload import CALM, EVERY, MOMENTS, NAME, RESULTS, ROOT, SHARE
from benchmarks.underload_report import Sent, Stretch
from configs.minilm.workload import write
from roadstead.cli.errors import NoDaemon, Refused
from roadstead.decide.report import RolloutState

CLUSTERS: Final = ("here", "there")
REPLICAS: Final = 2
SURGE: Final = 1

FLEET: Final = """
    version: 1
    fleet: migration
    clusters:
      here: {{backend: local, options: {{cpu: {cpu}, memory: 4Gi, model_roots: ["{model}"]}}}}
      there: {{backend: local, options: {{cpu: {cpu}, memory: 4Gi, model_roots: ["{model}"]}}}}
    gateways:
      edge: {{kind: envoy, ports: 18410-18419}}
    deployments:
      minilm:
        model: {{source: "{model}"}}
        clusters: here
        replicas: 2
        resources: {{cpu: 400m, memory: 1Gi}}
        stop: {{drain_within: 10s}}
        rollout: {{max_surge: 1, max_unavailable: 0}}
    daemon: {{http: "{http}", state: "{state}"}}
"""


@attrs.frozen(kw_only=True)
class Move:
    """One passage: where to, when the daemon was killed (seconds after it began, or never), and how long it took.

    ``ended`` is where the replicas were at the end, ``most`` the most of them that were there at once.
    """

    to: str
    killed: float | None
    took: float
    ended: dict[str, int]
    most: int


@attrs.frozen(kw_only=True)
class Found:
    """All that was found; ``rate`` is what was asked for in a second, latencies are in milliseconds."""

    machine: str
    capacity: float
    rate: float
    calm: Stretch
    moving: Stretch
    clean: tuple[Move, ...]
    clean_sent: Sent
    killed: tuple[Move, ...]
    killed_sent: Sent

    @property
    def misplaced(self) -> int:
        """How many passages did not end with all replicas where they should be, and no other."""
        return sum(move.ended != {move.to: REPLICAS} for move in (*self.clean, *self.killed))


class _Watch:
    """Counts the replicas as the daemon shows them, as long as it answers."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self.most = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count from now on, until the block ends."""
        self.most = 0
        self._over.clear()
        thread = threading.Thread(target=self._count)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _count(self) -> None:
        while not self._over.wait(0.1):
            try:
                found = self._stage.client.status().deployment(NAME)
            except (NoDaemon, Refused):
                continue
            self.most = max(self.most, len(found.replicas) if found is not None else 0)


class Bench:
    """The fleet under measurement."""

    def __init__(self, stage: Stage, requests: Path, expected: Path) -> None:
        self._stage = stage
        self._watch = _Watch(stage)
        self._files = ("--requests", str(requests), "--expect", str(expected))

    def load(self, *words: str) -> "subprocess.Popen[str]":
        """Start sending."""
        return self._stage.start("load", NAME, *self._files, "--every", f"{EVERY}s", "-o", "json", *words)

    def is_on(self, cluster: str) -> bool:
        """Tell whether all replicas serve on that cluster, and there is no other."""
        found = self._stage.deployment(NAME)
        return (
            found is not None
            and found.state is RolloutState.SETTLED
            and [(place.cluster, place.listed) for place in found.places] == [(cluster, REPLICAS)]
            and len(found.replicas) == REPLICAS
        )

    def move(self, to: str, killed: float | None = None) -> Move:
        """Send everything to a cluster, and kill the daemon after so many seconds; return when all is there."""
        began = time.monotonic()
        with self._watch.counting():
            words = ["--undo"] if to == CLUSTERS[0] else ["--to", to]
            self._stage.must("migrate", NAME, *words, "--detach")
            if killed is not None:
                time.sleep(max(0.0, began + killed - time.monotonic()))
                kill(self._stage.daemon())
                self._stage.must("daemon", "start", "--background")
            until(lambda: self.is_on(to), every=0.1, within=300)
        found = self._stage.deployment(NAME)
        assert found is not None
        ended = {cluster: sum(one.cluster == cluster for one in found.replicas) for cluster in CLUSTERS}
        return Move(
            to=to,
            killed=killed,
            took=time.monotonic() - began,
            ended={cluster: count for cluster, count in ended.items() if count},
            most=self._watch.most,
        )


def measure(model: Path, share: float, moments: int) -> Found:
    """Measure everything."""
    cpu = f"{(os.cpu_count() or 2) * 1000 // 2}m"
    with (
        tempfile.TemporaryDirectory(prefix="roadstead-load-") as folder,
        running(FLEET, model=model, cpu=cpu) as stage,
    ):
        requests, expected = write(Path(folder), count=100, versions=(1,))
        bench = Bench(stage, requests, expected)
        until(lambda: bench.is_on(CLUSTERS[0]), every=0.1, within=300)
        capacity = result(bench.load("--concurrency", "16", "--duration", "15s"))["rate"]
        rate = share * capacity
        print(f"capacity {capacity:.1f}/s, asking for {rate:.1f}/s", flush=True)
        # As long as it takes without load tells how long the load must last.
        length = max(bench.move(to).took for to in reversed(CLUSTERS))
        words = ("--rate", f"{rate:.2f}", "--connections", "100", "--duration")
        process = sending(bench.load(*words, f"{2 * CALM + 4 * length + 20:.0f}s"))
        began = time.time()
        time.sleep(CALM)
        moving = time.time()
        clean = tuple(bench.move(to) for to in reversed(CLUSTERS))
        moved = time.time()
        quiet = result(process)
        started = quiet["started_at"] or began
        print(f"there and back: {sent(quiet).failed} of {sent(quiet).sent} failed", flush=True)
        length = max(move.took for move in clean)
        process = sending(bench.load(*words, f"{2 * CALM + moments * (2 * length + 15):.0f}s"))
        time.sleep(CALM)
        cut = []
        for number in range(moments):
            cut.append(bench.move(CLUSTERS[(number + 1) % 2], killed=length * number / moments))
            print(f"    to {cut[-1].to}, killed after {cut[-1].killed:.1f} s: took {cut[-1].took:.1f} s", flush=True)
        return Found(
            machine=f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}",
            capacity=capacity,
            rate=rate,
            calm=stretch(quiet, 0, moving - started),
            moving=stretch(quiet, moving - started, moved - started),
            clean=clean,
            clean_sent=sent(quiet),
            killed=tuple(cut),
            killed_sent=sent(result(process)),
        )


def report(found: Found) -> str:
    """Return what was found, in Markdown."""
    lost = found.clean_sent.missing + found.killed_sent.missing
    most = max(move.most for move in (*found.clean, *found.killed))
    lines = [
        "# A migration under load",
        "",
        f"`python -m benchmarks.migration` on {found.machine}. {REPLICAS} replicas of MiniLM behind Envoy, two `local`",
        f"clusters, {found.rate:.1f} requests a second of a capacity of {found.capacity:.1f}.",
        "",
        "| what | passages | took, median (s) | requests | failed | without an answer |",
        "|---|---|---|---|---|---|",
        _row("there and back", found.clean, found.clean_sent),
        _row("the daemon killed on the way, each time at another moment", found.killed, found.killed_sent),
        "",
        f"- Passages that did not end with all {REPLICAS} replicas on the one cluster: {found.misplaced}.",
        f"- The most replicas at once: {most} ({REPLICAS} wanted, `max_surge: {SURGE}`).",
        f"- p99 before, and while it moved: {_ms(found.calm.p99)} and {_ms(found.moving.p99)}.",
        f"- Requests that were never answered: {lost}.",
        "",
    ]
    return "\n".join(lines)


def _row(what: str, moves: tuple[Move, ...], requests: Sent) -> str:
    took = median(move.took for move in moves)
    return f"| {what} | {len(moves)} | {took:.1f} | {requests.sent} | {requests.failed} | {requests.missing} |"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"


def main() -> int:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description="Move a real model between two clusters under load.")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "minilm")
    parser.add_argument("--share", type=float, default=SHARE, help="of the capacity (default: %(default)s)")
    parser.add_argument("--moments", type=int, default=MOMENTS, help="kills of the daemon (default: %(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not (given.model / "1" / "saved_model.pb").is_file():
        parser.error(f"{given.model} has no version 1: `python -m configs.minilm.export` writes it")
    found = measure(given.model.absolute(), given.share, given.moments)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "migration.json").write_text(json.dumps(attrs.asdict(found), indent=1) + "\n")
    text = report(found)
    (given.results / "migration.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
