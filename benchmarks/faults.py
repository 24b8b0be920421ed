"""Every fault of every story on every kind of simulated cluster, and what came of it.

    python -m benchmarks.faults                        # prints a table, writes benchmarks/results/faults.{json,md}
    python -m benchmarks.faults --pairs 0 --swarms 0   # single faults only
    python -m benchmarks.faults --only roll            # stories with that in their name; nothing is written

Single faults are tried exhaustively, unless fewer are asked for. Pairs within eight calls are counted first, and tried
exhaustively where they are no more than ``--pairs`` for one story on one kind of cluster; else so many of them are,
chosen by ``--seed``. Swarms are as many as asked for, one for each seed from 0 on. Stories are told in processes of
their own.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Final

import attrs

from roadstead.testing.faults.calls import Call, Fault, kinds_of
from roadstead.testing.faults.plans import window
from roadstead.testing.faults.telling import Telling
from roadstead.testing.faults.trials import Count, Trial, counted, sample
from roadstead.testing.faults.verdicts import verdict
from tests.faults.furnishing import TEMPERS, furnished
from tests.faults.scenarios import SCENARIOS

RESULTS: Final = Path(__file__).parent / "results"
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # nothing of it is to survive a power cut
CHUNK: Final = 200
NOT_COVERED: Final = (
    "identity lost or corrupted (owner id, intents, ports): `takeover` and its tests",
    "a call that hangs: it keeps a thread, and there are none here; see the tests of the executor and of hardening",
    "410 and a watch that is half open: they belong to the backends that keep watches",
    "a gateway's view that is old: its contract allows none, and what it shows of the others is in the state machine",
    "a wrong answer of a cluster that keeps to the protocol (Byzantine faults)",
    "quotas and listings while two daemons decide at once: nothing compares and sets over groups, or in a gateway",
    "the floor where a node is lost between the last look and the call: nobody can know",
    "more than two faults at exactly chosen calls: swarms have more, at random ones",
)


Plan = tuple[Fault, ...]


@attrs.frozen(kw_only=True)
class Job:
    """Some tellings of one story on one kind of cluster: with these plans, or with the swarms of these seeds."""

    scenario: int
    temper: str
    plans: tuple[Plan, ...] = ()
    seeds: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class Done:
    """What came of a job, and for each plan the calls that followed its last fault."""

    job: Job
    count: Count
    after: tuple[tuple[Call, ...], ...] = ()


@attrs.frozen(kw_only=True)
class Row:
    """One line of the table: ``possible`` plans of this sort were counted before any was run."""

    temper: str
    story: str
    faults: str
    points: int
    possible: int
    count: Count
    seeds: str

    @property
    def exhaustive(self) -> bool:
        """Whether all that is possible was run."""
        return self.count.plans == self.possible


# ---- in the processes that tell stories ----


@functools.cache
def _trial(scenario: int, temper: str) -> Trial:
    logging.disable(logging.CRITICAL)
    scratch = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    return Trial(scenario=SCENARIOS[scenario], furnish=lambda fleet: furnished(fleet, temper), scratch=scratch)


@functools.cache
def _reference(scenario: int, temper: str) -> Telling:
    return _trial(scenario, temper).reference()


def _points(place: tuple[int, str]) -> tuple[Call, ...]:
    return tuple(_reference(*place).calls)


def _done(job: Job) -> Done:
    trial, reference = _trial(job.scenario, job.temper), _reference(job.scenario, job.temper)
    if job.seeds:
        return Done(job=job, count=counted(trial.swarmed(reference, job.seeds)))
    told = [trial.told(plan) for plan in job.plans]
    after = tuple(window(one) for one in told) if len(job.plans[0]) == 1 else ()
    return Done(job=job, count=counted(verdict(one, reference) for one in told), after=after)


# ---- in the one that counts ----


class Tally:
    """Gives out jobs to ``pool``, and says on stderr how far it has come."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._began = time.monotonic()
        self._plans = 0

    def run(self, jobs: Sequence[Job]) -> Iterator[Done]:
        """Yield what came of each job, in the order of the jobs."""
        for done in self._pool.imap(_done, jobs):
            self._plans += done.count.plans
            rate = self._plans / max(1.0, time.monotonic() - self._began) * 60
            print(f"\r{self._plans} plans, {rate:.0f} a minute ", end="", file=sys.stderr, flush=True)
            yield done


def _chunks(place: tuple[int, str], plans: Sequence[Plan]) -> Iterator[Job]:
    for start in range(0, len(plans), CHUNK):
        yield Job(scenario=place[0], temper=place[1], plans=tuple(plans[start : start + CHUNK]))


def _rows(place: tuple[int, str], points: tuple[Call, ...], tally: Tally, asked: argparse.Namespace) -> Iterator[Row]:
    """Yield the lines of one story on one kind of cluster."""
    scenario, temper = place
    row = Row(
        temper=temper,
        story=SCENARIOS[scenario].name,
        faults="one",
        points=len(points),
        possible=sum(len(kinds_of(call)) for call in points),
        count=Count(),
        seeds="",
    )
    every = [(Fault(call.number, kind),) for call in points for kind in kinds_of(call)]
    alone = sample(every, asked.singles or len(every), asked.seed)
    done = list(tally.run(list(_chunks(place, alone))))
    count = sum((one.count for one in done), Count())
    yield attrs.evolve(row, count=count, seeds=str(asked.seed) if len(alone) < len(every) else "")
    windows = [after for one in done for after in one.after]
    if asked.pairs:
        possible = sum(len(kinds_of(call)) for window in windows for call in window)
        chosen = _chosen(alone, windows, possible, asked)
        count = sum((one.count for one in tally.run(list(_chunks(place, chosen)))), Count())
        seeds = str(asked.seed) if len(chosen) < possible else ""
        yield attrs.evolve(row, faults="two", possible=possible, count=count, seeds=seeds)
    if asked.swarms:
        job = Job(scenario=scenario, temper=temper, seeds=tuple(range(asked.swarms)))
        count = sum((one.count for one in tally.run([job])), Count())
        yield attrs.evolve(row, faults="swarm", possible=0, count=count, seeds=f"0-{asked.swarms - 1}")


def _chosen(
    alone: Sequence[Plan], windows: Sequence[tuple[Call, ...]], possible: int, asked: argparse.Namespace
) -> Sequence[Plan]:
    """Return every pair, or as many as are asked for by chance."""
    numbers = sample(range(possible), asked.pairs, asked.seed)
    every = (
        (*first, Fault(call.number, kind))
        for first, window in zip(alone, windows, strict=True)
        for call in window
        for kind in kinds_of(call)
    )
    wanted = set(numbers)
    return [pair for number, pair in enumerate(every) if number in wanted]


# ---- what is printed ----

_HEAD: Final = (
    "| clusters | story | faults | points | plans | of | applied | wrong | lost | twice | orphaned | p50 | max | |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
)
_LEGEND: Final = (
    "A point is a call that a run without faults makes to the outside. A plan is wrong where something that must always"
    " hold did not, where it ended otherwise than without faults, or where a fault was not really applied. Turns are"
    " those from the last fault until all was at rest."
)

_REPLAY: Final = "`python -m tests.faults.replay STORY CLUSTERS NUMBER:KIND...` tells one of them turn by turn."


def _line(row: Row) -> str:
    count = row.count
    how = "exhaustive" if row.exhaustive else f"sampled, seed {row.seeds}"
    of = str(row.possible) if row.possible else ""
    return (
        f"| {row.temper} | {row.story} | {row.faults} | {row.points} | {count.plans} | {of} | {count.applied} "
        f"| {count.violations} | {count.lost} | {count.duplicated} | {count.orphaned} "
        f"| {count.median_recovery} | {count.longest_recovery} | {how} |"
    )


def _summary(rows: Sequence[Row], seconds: float) -> str:
    total = sum((row.count for row in rows), Count())
    drawn = sum(row.count.plans for row in rows if not row.exhaustive)
    bound = f" Of those drawn by chance, fewer than 1 in {drawn // 3} go wrong (95 %)." if drawn >= 3 else ""
    return (
        f"{total.plans} plans, {total.applied} faults really applied, {total.violations} plans with violations, "
        f"{total.lost} replicas lost, {total.duplicated} duplicated, {total.orphaned} orphaned; {seconds:.0f} s, "
        f"{total.plans / seconds * 60:.0f} plans a minute.{'' if total.violations else bound}"
    )


def _page(rows: Sequence[Row], seconds: float, command: str) -> str:
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    wrong = [
        f"- {row.temper}, {row.story}: {_words(plan)}: {violations[0][:300]}"
        for row in rows
        for plan, violations in row.count.examples[:3]
    ]
    parts = (
        "# Every fault of every call: what came of it",
        f"Made by `{command}` on {machine}. {_LEGEND}",
        _summary(rows, seconds),
        "\n".join((*_HEAD, *map(_line, rows))),
        "## What went wrong\n\n`python -m tests.faults.replay STORY CLUSTERS NUMBER:KIND...` tells one of them.\n\n"
        + ("\n".join(wrong) if wrong else "Nothing."),
        "## Not covered\n\n" + "\n".join(f"- {one}" for one in NOT_COVERED),
    )
    return "\n\n".join(parts) + "\n"


def _words(plan: Plan) -> str:
    return ", ".join(f"{fault.kind.value} at call {fault.number}" for fault in plan)


def main() -> None:
    """Try, print and write; the exit code says whether anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--singles", type=int, default=0, help="the most single faults; 0: all of them")
    parser.add_argument("--pairs", type=int, default=400, help="the most pairs for one story on one kind of cluster")
    parser.add_argument("--swarms", type=int, default=100, help="how many swarms for one story on one kind of cluster")
    parser.add_argument("--seed", type=int, default=0, help="what the choice of pairs follows from")
    parser.add_argument("--only", default="", help="stories with this in their name")
    parser.add_argument("--clusters", choices=TEMPERS, help="clusters of this kind")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many processes")
    asked = parser.parse_args()
    began = time.monotonic()
    places = [
        (number, temper)
        for temper in ([asked.clusters] if asked.clusters else TEMPERS)
        for number, scenario in enumerate(SCENARIOS)
        if asked.only in scenario.name and (not scenario.tempers or temper in scenario.tempers)
    ]
    with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
        tally = Tally(pool)
        points = pool.map(_points, places)
        rows = [row for place, calls in zip(places, points, strict=True) for row in _rows(place, calls, tally, asked)]
    seconds = time.monotonic() - began
    page = _page(rows, seconds, " ".join(("python -m benchmarks.faults", *sys.argv[1:])))
    print(f"\n\n{page}")
    if not asked.only and not asked.clusters:
        (RESULTS / "faults.md").write_text(page)
        data = [attrs.asdict(attrs.evolve(row, count=attrs.evolve(row.count, examples=()))) for row in rows]
        (RESULTS / "faults.json").write_text(json.dumps({"seconds": round(seconds), "rows": data}) + "\n")
    if any(row.count.violations for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
