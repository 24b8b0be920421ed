"""What the scaling policy is worth: a day of requests against a fluid queue, for several cold starts.

    python -m benchmarks.autoscaling                  # a synthetic day; prints a table, writes results/autoscaling.json
    python -m benchmarks.autoscaling --trace FILE     # or ROADSTEAD_TRACE; the busiest day of it, scaled to --mean

A trace is a text of requests in each second, a CSV with `period,count` by the minute, or one with a `TIMESTAMP` for
each request; `.gz` is read too. The synthetic day has the shape of the Twitter trace that is often used: a swing over
the day, and two bursts of up to 4.5 times the mean in each hour, :02-:10 and :32-:40, that rise
and fall within a minute.

The world is a simple one, so that numbers can be compared with published ones: each replica answers 10 requests a
second in 0.1 s each, all wait in one fluid first-in-first-out queue, in steps of one second; clients give up after 5 s,
and whoever waited for more than 0.5 s is a violation. At most 150 replicas, whose cost counts from when they are asked
for. The decision is the product's own (windows, policy, bounds, waiting), every two seconds. `oracle` knows the future,
and starts just in time as many replicas as leave nobody waiting; `static` is the peak, always.
"""

import argparse
import csv
import gzip
import json
import os
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import ceil, cos, pi
from pathlib import Path
from typing import Final

import attrs

from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget, Windows
from roadstead.decide.scaling import Sight, decided
from roadstead.memory import Measured, Series
from roadstead.units import Duration
from roadstead_plugins.scaling.concurrency import Concurrency

RESULTS: Final = Path(__file__).parent / "results" / "autoscaling.json"
DAY: Final = 24 * 3600
PER_REPLICA: Final = 10.0
SERVICE_S: Final = 0.1
GIVE_UP_S: Final = 5
LATE_S: Final = 0.5
CAP: Final = 150
TICK_S: Final = 2
COLD_S: Final = (10, 30, 60)
ANCHOR: Final[Mapping[int, tuple[float, int]]] = {10: (0.50, 972), 30: (1.43, 993), 60: (2.71, 1008)}
"""Violations in hundredths and replica-hours of KPA at 0.7, re-implemented by others, on a day of the Twitter trace."""


@attrs.frozen(kw_only=True)
class Row:
    """What one policy came to with one cold start."""

    policy: str
    cold_s: int
    violations_percent: float
    replica_hours: float
    starts: int
    most: int


# ---- requests ----


def synthetic(mean: float, seed: int) -> list[int]:
    """Return the requests of each second of a day, the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311  # repeatable on purpose
    rates = []
    for hour in range(24):
        swing = 1 - 0.5 * cos(2 * pi * (hour - 4) / 24)
        bursts = [chance.uniform(1.5, 4.5) for _ in range(2)]
        for second in range(3600):
            height, minute = (bursts[0], second / 60) if second < 1800 else (bursts[1], second / 60 - 30)
            risen = min(1.0, max(0.0, minute - 2)) * min(1.0, max(0.0, 11 - minute))
            rates.append(swing * (1 + (height - 1) * risen))
    return _drawn(_scaled(rates, mean), chance)


def read(path: Path, mean: float, seed: int) -> list[int]:
    """Return the busiest day of a trace (or all of a shorter one), scaled to ``mean`` requests a second."""
    data = path.read_bytes()
    rates = _rates((gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines())
    length = min(DAY, len(rates))
    sums = [0.0]
    for rate in rates:
        sums.append(sums[-1] + rate)
    begin = max(range(0, len(rates) - length + 1, 60), key=lambda at: sums[at + length] - sums[at])
    chance = random.Random(seed)  # noqa: S311  # repeatable on purpose
    return _drawn(_scaled(rates[begin : begin + length], mean), chance)


def _rates(lines: Iterable[str]) -> list[float]:
    first, *rest = lines
    if "TIMESTAMP" in first:
        at = [datetime.fromisoformat(row[0][:26]).timestamp() for row in csv.reader(rest) if row]
        counts = [0.0] * (int(max(at) - min(at)) + 1)
        for one in at:
            counts[int(one - min(at))] += 1
        return counts
    if "count" in first:
        return [int(row[1]) / 60 for row in csv.reader(rest) if row for _ in range(60)]
    return [float(word) for line in (first, *rest) for word in line.split()]


def _scaled(rates: Sequence[float], mean: float) -> list[float]:
    factor = mean * len(rates) / sum(rates)
    return [rate * factor for rate in rates]


def _drawn(rates: Iterable[float], chance: random.Random) -> list[int]:
    """Return counts with the spread that independent arrivals have: normal, which is close enough to Poisson here."""
    return [max(0, round(chance.gauss(rate, rate**0.5))) for rate in rates]


# ---- the world ----


@attrs.define
class Queue:
    """All requests that wait, with the second in which each came; ``violations`` gave up or waited too long."""

    waiting: deque[list[float]] = attrs.field(factory=deque)
    violations: float = 0.0
    in_flight: float = 0.0

    def step(self, now: int, arrivals: float, ready: int) -> None:
        """Let a second pass: serve the oldest first, as many as ``ready`` replicas can."""
        if arrivals:
            self.waiting.append([now, arrivals])
        left = served = ready * PER_REPLICA
        while self.waiting and left > 0:
            oldest = self.waiting[0]
            taken = min(left, oldest[1])
            left -= taken
            oldest[1] -= taken
            if now - oldest[0] > LATE_S:
                self.violations += taken
            if oldest[1] <= 0:
                self.waiting.popleft()
        while self.waiting and now - self.waiting[0][0] >= GIVE_UP_S:
            self.violations += self.waiting.popleft()[1]
        self.in_flight = (served - max(0.0, left)) * SERVICE_S + sum(amount for _, amount in self.waiting)


@attrs.define
class Replicas:
    """Replicas that are ready, and those that come; what is wanted less goes at once, those that come first."""

    cold_s: int
    ready: int
    coming: deque[int] = attrs.field(factory=deque)
    starts: int = 0
    seconds: int = 0
    most: int = 0

    def step(self, now: int, wanted: int) -> None:
        """Let a second pass with so many wanted."""
        while self.coming and self.coming[0] <= now:
            self.coming.popleft()
            self.ready += 1
        for _ in range(wanted - self.ready - len(self.coming)):
            self.coming.append(now + self.cold_s)
            self.starts += 1
        while self.coming and self.ready + len(self.coming) > wanted:
            self.coming.pop()
        self.ready = min(self.ready, wanted)
        self.seconds += self.ready + len(self.coming)
        self.most = max(self.most, self.ready + len(self.coming))


def scaled(requests: Sequence[int], cold_s: int, target: float, after_s: int) -> Row:
    """Return what the policy comes to with ``target`` requests in flight for each replica."""
    spec = AutoscalingSpec(
        min=1,
        max=CAP,
        metrics=(MetricTarget(Metric.CONCURRENCY, round(target * 1000)),),
        windows=Windows(scale_down_after=Duration(after_s * 1000)),
    )
    policy, measured = Concurrency(), Measured(spec=spec, series=(Series(),))
    wanted = max(1, ceil(requests[0] / PER_REPLICA / target))
    queue, replicas = Queue(), Replicas(cold_s=cold_s, ready=wanted)
    in_flight = 0.0
    for now, arrivals in enumerate(requests):
        replicas.step(now, wanted)
        queue.step(now, arrivals, replicas.ready)
        in_flight += queue.in_flight / TICK_S
        if now % TICK_S == TICK_S - 1:
            sight = Sight(
                deployment="trace",
                was=wanted,
                ready=replicas.ready,
                elapsed_ms=TICK_S * 1000,
                amounts=(round(in_flight * 1000),),
            )
            decision, measured = decided(policy, sight, measured)
            wanted, in_flight = decision.wanted, 0.0
    return _row(f"concurrency {target}, down after {after_s}s", cold_s, requests, queue, replicas)


def oracle(requests: Sequence[int], cold_s: int) -> Row:
    """Return what somebody comes to who knows the future: as many as are needed until a new one would be ready."""
    needed = [ceil(arrivals / PER_REPLICA) for arrivals in requests]
    queue, replicas = Queue(), Replicas(cold_s=cold_s, ready=max(needed[: cold_s + 1]))
    ahead: deque[tuple[int, int]] = deque()
    end = 0
    for now, arrivals in enumerate(requests):
        while end < min(len(needed), now + cold_s + 1):
            while ahead and ahead[-1][1] <= needed[end]:
                ahead.pop()
            ahead.append((end, needed[end]))
            end += 1
        while ahead[0][0] < now:
            ahead.popleft()
        replicas.step(now, min(CAP, max(1, ahead[0][1])))
        queue.step(now, arrivals, replicas.ready)
    return _row("oracle", cold_s, requests, queue, replicas)


def static(requests: Sequence[int], cold_s: int) -> Row:
    """Return what the peak comes to, kept all day."""
    peak = min(CAP, ceil(max(requests) / PER_REPLICA))
    queue, replicas = Queue(), Replicas(cold_s=cold_s, ready=peak)
    for now, arrivals in enumerate(requests):
        replicas.step(now, peak)
        queue.step(now, arrivals, replicas.ready)
    return _row("static peak", cold_s, requests, queue, replicas)


def _row(policy: str, cold_s: int, requests: Sequence[int], queue: Queue, replicas: Replicas) -> Row:
    return Row(
        policy=policy,
        cold_s=cold_s,
        violations_percent=round(100 * queue.violations / max(1, sum(requests)), 2),
        replica_hours=round(replicas.seconds / 3600, 1),
        starts=replicas.starts,
        most=replicas.most,
    )


def main() -> None:
    """Run every policy with every cold start, print a table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    trace = os.environ.get("ROADSTEAD_TRACE")
    parser.add_argument("--trace", type=Path, default=Path(trace) if trace else None)
    parser.add_argument("--mean", type=float, default=260.0, help="requests a second, on average (default: 260)")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    requests = synthetic(given.mean, given.seed) if given.trace is None else read(given.trace, given.mean, given.seed)
    name = given.trace.name if given.trace is not None else f"synthetic day, seed {given.seed}"
    print(f"{name}: {len(requests)} s, mean {sum(requests) / len(requests):.0f}/s, peak {max(requests)}/s")
    rows = [
        row
        for cold_s in COLD_S
        for row in (
            oracle(requests, cold_s),
            scaled(requests, cold_s, 0.7, 0),
            scaled(requests, cold_s, 0.5, 0),
            scaled(requests, cold_s, 0.7, 300),
            static(requests, cold_s),
        )
    ]
    print(f"{'policy':<32} {'cold':>5} {'violations':>10} {'replica-h':>10} {'of oracle':>9} {'starts':>7} {'most':>5}")
    for row in rows:
        best = next(one for one in rows if one.cold_s == row.cold_s and one.policy == "oracle")
        print(
            f"{row.policy:<32} {row.cold_s:>4}s {row.violations_percent:>9.2f}% {row.replica_hours:>10.1f} "
            f"{row.replica_hours / best.replica_hours:>9.2f} {row.starts:>7} {row.most:>5}"
        )
    for cold_s, (violations, hours) in ANCHOR.items():
        print(f"{'KPA 0.7 elsewhere, Twitter day':<32} {cold_s:>4}s {violations:>9.2f}% {hours:>10}")
    known = json.loads(given.out.read_text(encoding="utf-8")) if given.out.exists() else {}
    known[name] = [attrs.asdict(row) for row in rows]
    given.out.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
