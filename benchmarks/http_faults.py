"""Every fault of every call that a backend makes of its cluster's API, through the proxy, story by story.

    python -m benchmarks.http_faults                        # until every plan was tried: hours
    python -m benchmarks.http_faults --until 50 --jobs 6    # for 50 minutes
    python -m benchmarks.http_faults --only roll --variants directed --most 30
    python -m benchmarks.http_faults --cluster marathon --until 20

The daemon's own loop drives a real control plane with stand-in kubelets, each worker with a namespace and nodes of its
own, or emulated Marathons, one in each worker. Writes benchmarks/results/{kubernetes,marathon}_faults.{md,json}.
Stories, faults and verdicts are those of `roadstead.testing.live_faults`, the same for every backend.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import multiprocessing
import os
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Final

import attrs

from benchmarks.http_fault_sorts import SORTS, Sort
from benchmarks.underload import RESULTS
from roadstead.testing.live_faults.calls import Plan, plans, points
from roadstead.testing.live_faults.stories import STORIES
from roadstead.testing.live_faults.trials import Count, Furnish, Telling, Trial, Verdict, counted, judged

REFERENCES: Final = 2
"""So often is each story told without faults: points are the calls that all of these tellings make."""

FIRST: Final = 20
"""So many plans of each line are told before any line is told whole."""

TRIES: Final = 3
"""So often is a plan told whose call was not made, before it counts as not applied."""

_STORIES: Final = {story.name: story for story in STORIES}


# ---- in the processes that tell stories ----


@attrs.frozen(kw_only=True)
class Place:
    """One story on one variant: a line of the table."""

    variant: str
    story: str


@attrs.frozen(kw_only=True)
class Job:
    """One telling: without faults, or with the one of ``plan``, to be judged by ``right``."""

    place: Place
    plan: Plan | None = None
    right: Telling | None = None


class _Worker:
    """What one process keeps: its grounds, one for each variant, until it ends."""

    sort: Sort
    at: str
    grounds: dict[str, Furnish]
    closing: contextlib.ExitStack


def _begin(sort: str, at: str) -> None:
    logging.disable(logging.CRITICAL)
    _Worker.sort, _Worker.at, _Worker.grounds, _Worker.closing = SORTS[sort], at, {}, contextlib.ExitStack()


def _done(job: Job) -> tuple[Job, Telling | Verdict]:
    variant = job.place.variant
    if variant not in _Worker.grounds:
        _Worker.grounds[variant] = _Worker.closing.enter_context(_Worker.sort.furnished(_Worker.at, variant))
    trial = Trial(story=_STORIES[job.place.story], furnish=_Worker.grounds[variant])
    try:
        return job, _told(trial, job)
    except AssertionError as error:  # what somebody does in the story did not come to its end
        if job.plan is None:
            return job, Telling(applied=True, calls=(), wrong=(str(error),), rests=(), started=0, recovery=0.0)
        return job, Verdict(what=str(job.plan), applied=True, violations=(str(error),))


def _told(trial: Trial, job: Job) -> Telling | Verdict:
    if job.plan is None or job.right is None:
        return trial.told()
    told = trial.planned(job.plan, job.right)
    for _ in range(TRIES - 1):
        if told.applied or told.wrong:
            break
        told = trial.planned(job.plan, job.right)
    return judged(str(job.plan), told, job.right)


# ---- in the one that counts ----


@attrs.define
class Line:
    """One line of the table as it grows; ``plans`` are in the order in which they are told."""

    place: Place
    right: Telling
    points: int
    possible: int
    plans: Sequence[Plan]
    verdicts: list[Verdict] = attrs.field(factory=list)

    def jobs(self, start: int, end: int) -> Iterator[Job]:
        """Yield the tellings of some of its plans."""
        for plan in self.plans[start:end]:
            yield Job(place=self.place, plan=plan, right=self.right)

    @property
    def count(self) -> Count:
        """What its verdicts add up to."""
        return counted(self.verdicts)

    @property
    def how(self) -> str:
        """Whether all that is possible was told."""
        if self.count.applied == self.possible:
            return "exhaustive"
        return "sampled" if len(self.verdicts) < self.possible else "all that came"


def _lines(pool: Pool, places: Sequence[Place], sort: Sort, most: Callable[[Place], int], seed: int) -> list[Line]:
    """Tell every story without faults, and return what is to be tried; raises where one does not end well.

    ``most`` says how many plans of a line are told at most, 0 for all.
    """
    told: dict[Place, list[Telling]] = {place: [] for place in places}
    for _ in range(TRIES):
        jobs = [Job(place=place) for place, good in told.items() for _ in range(REFERENCES - len(good))]
        for job, came in pool.imap_unordered(_done, jobs):
            assert isinstance(came, Telling)
            if came.wrong:
                print(f"{job.place} did not end well without faults: {came.wrong}", file=sys.stderr)
            else:
                told[job.place].append(came)
    poor = [place for place, good in told.items() if len(good) < REFERENCES]
    if poor:
        raise SystemExit(f"these do not end well without faults: {poor}")
    lines = []
    for place, tellings in told.items():
        found = points(sort.dialect, [one.calls for one in tellings], elects=sort.elects)
        every = tuple(plans(found, sort.effects))
        right = max(tellings, key=lambda one: one.started)
        # In no order, so that whoever stops early has some of everything.
        mixed = random.Random(seed).sample(every, min(most(place) or len(every), len(every)))  # noqa: S311  # repeatable
        lines.append(Line(place=place, right=right, points=len(found), possible=len(every), plans=mixed))
    return lines


def _in_turn(lines: Sequence[Line]) -> Iterator[Job]:
    """Yield some plans of each line, one after the other, and then the rest, of those lines first that have fewest."""
    for number in range(FIRST):
        for line in lines:
            yield from line.jobs(number, number + 1)
    for line in sorted(lines, key=lambda one: len(one.plans)):
        yield from line.jobs(FIRST, len(line.plans))


class Tally:
    """Gives out tellings, keeps the page up to date, and says on stderr how far it has come."""

    def __init__(self, pool: Pool, lines: Sequence[Line], keep: Callable[[Sequence[Line], float], None]) -> None:
        self.lines = lines
        self._pool = pool
        self._keep = keep
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """For how long it has run."""
        return time.monotonic() - self._began

    def run(self, until: float) -> None:
        """Have every plan told, or as many as fit into ``until`` seconds; 0 for all."""
        by_place = {line.place: line for line in self.lines}
        kept = 0.0
        for count, (job, verdict) in enumerate(self._pool.imap_unordered(_done, self._in_time(until)), 1):
            assert isinstance(verdict, Verdict)
            by_place[job.place].verdicts.append(verdict)
            if verdict.violations:
                print(
                    f"\n{job.place.variant}, {job.place.story}: {verdict.what}: {verdict.violations}", file=sys.stderr
                )
            print(f"\r{count} plans in {self.seconds:.0f} s ", end="", file=sys.stderr, flush=True)
            if self.seconds - kept > KEPT_EVERY:
                kept = self.seconds
                self._keep(self.lines, self.seconds)
        self._keep(self.lines, self.seconds)

    def _in_time(self, until: float) -> Iterator[Job]:
        for job in _in_turn(self.lines):
            if until and self.seconds > until:
                return
            yield job


# ---- what is printed ----

_HEAD: Final = (
    "| cluster | story | points | plans | of | applied | wrong | lost | twice | orphaned | extra | p50 s | max s | |",
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
)
_LEGEND: Final = (
    "A point is a call that every telling without faults makes, or an open watch before the first write of the story"
    " and after each; a plan is one fault at one point. A plan is wrong where a turn's plan broke a promise, where"
    " fewer replicas served at any moment than the floor or more were there than surge allows, where all did not come"
    " to rest within two minutes as it does without faults ({beside}), where"
    " anything was written at rest, or where an object of somebody else's changed. Applied are the plans whose fault"
    " really happened: how often a cluster is looked at differs from one telling to the next, so that a call may not"
    " come in three of them. Extra are replicas that were started and are not without the fault. Seconds are those"
    " from the last act to rest, about 0.6 of which are for seeing that it is one."
)
KEPT_EVERY: Final = 60.0


def _line(line: Line) -> str:
    count = line.count
    return (
        f"| {line.place.variant} | {line.place.story} | {line.points} | {count.plans} | {line.possible} "
        f"| {count.applied} | {count.violations} | {count.lost} | {count.duplicated} | {count.orphaned} "
        f"| {count.extra} | {count.median_recovery:.1f} | {count.longest_recovery:.1f} | {line.how} |"
    )


def _summary(lines: Sequence[Line], seconds: float) -> str:
    counts = [line.count for line in lines]
    whole = sum(line.how == "exhaustive" for line in lines)
    return (
        f"{sum(one.plans for one in counts)} plans of {sum(line.possible for line in lines)}, "
        f"{sum(one.applied for one in counts)} faults really applied, "
        f"{sum(one.violations for one in counts)} plans with violations, "
        f"{sum(one.lost for one in counts)} replicas lost, {sum(one.duplicated for one in counts)} duplicated, "
        f"{sum(one.orphaned for one in counts)} orphaned; "
        f"{seconds:.0f} s. Exhaustive for {whole} of {len(lines)} lines."
    )


def _page(sort: Sort, lines: Sequence[Line], seconds: float, command: str) -> str:
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    wrong = [
        f"- {line.place.variant}, {line.place.story}: {what}: {violations[0][:300]}"
        for line in lines
        for what, violations in line.count.examples[:3]
    ]
    busy = f"The machine was busy with other things as well (load {os.getloadavg()[2]:.0f}); seconds are of such a one."
    parts = (
        "# Every fault of every call to a cluster's API: what came of it",
        f"Made by `{command}` on {machine}: {sort.what}. {busy} {_LEGEND.format(beside=sort.beside)}",
        _summary(lines, seconds),
        "\n".join((*_HEAD, *map(_line, lines))),
        "## What went wrong\n\n" + ("\n".join(wrong) if wrong else "Nothing."),
        "## Not covered\n\n" + "\n".join(f"- {one}" for one in sort.left_out),
    )
    return "\n\n".join(parts) + "\n"


def _record(line: Line) -> dict[str, object]:
    kept = attrs.asdict(attrs.evolve(line.count, examples=()))
    return {**attrs.asdict(line.place), "points": line.points, "possible": line.possible, "how": line.how, **kept}


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", choices=SORTS, default="kubernetes", help="the sort of cluster")
    parser.add_argument("--variants", nargs="*", help="only these of its variants")
    parser.add_argument("--only", default="", help="stories with this in their name")
    parser.add_argument("--most", type=int, default=0, help="plans of each story and variant; 0: all")
    parser.add_argument("--others", type=int, default=0, help="plans of each story of all variants but the first")
    parser.add_argument("--until", type=float, default=0, help="for how many minutes; 0: until all is told")
    parser.add_argument("--seed", type=int, default=0, help="what the order of plans, and their choice, follows from")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="how many processes; most wait")
    parser.add_argument("--into", type=Path, default=RESULTS, help="the folder that results are written to")
    return parser.parse_args()


def main() -> None:
    """Tell, print and write; the exit code says whether anything was wrong."""
    asked = _asked()
    sort = SORTS[asked.cluster]
    places = [
        Place(variant=variant, story=name)
        for variant in asked.variants or sort.variants
        for name in _STORIES
        if asked.only in name
    ]
    command = " ".join(("python -m benchmarks.http_faults", *sys.argv[1:]))
    whole = not asked.only

    def keep(lines: Sequence[Line], seconds: float) -> None:
        if whole:
            file = asked.into / f"{asked.cluster}_faults.md"
            file.write_text(_page(sort, lines, seconds, command))
            record = {"seconds": round(seconds), "rows": [_record(line) for line in lines]}
            file.with_suffix(".json").write_text(json.dumps(record) + "\n")

    with (
        sort.started() as at,
        multiprocessing.get_context("spawn").Pool(
            asked.jobs, initializer=_begin, initargs=(asked.cluster, str(at))
        ) as pool,
    ):

        def most(place: Place) -> int:
            is_first = place.variant == sort.variants[0]
            return int(asked.most if is_first or not asked.others else asked.others)

        tally = Tally(pool, _lines(pool, places, sort, most, asked.seed), keep)
        tally.run(asked.until * 60)
    print(f"\n\n{_page(sort, tally.lines, tally.seconds, command)}")
    if any(line.count.violations for line in tally.lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
