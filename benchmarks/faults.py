"""Every fault of every story on every kind of simulated cluster, and what came of it.

    python -m benchmarks.faults                        # prints a table, writes benchmarks/results/faults.{json,md}
    python -m benchmarks.faults --first 0 --swarms 0   # single faults only, every one
    python -m benchmarks.faults --only roll            # stories with that in their name; nothing is written

Of each story, so many single faults are tried first as ``--first`` says, pairs within eight calls as ``--pairs`` says,
chosen by ``--seed``, and swarms, one for each seed from 0 on. Then every single fault is tried, of the stories that
have the fewest first. With ``--until`` that ends when so many minutes have passed, and if there is time left, every
pair is tried in the same order. What there is by then is written after every line of the table.

Tellings share what is the same (:mod:`roadstead.testing.faults.branches`). Of each line some are told again from the
beginning, alone: where that comes to anything else, it is wrong.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Final

import attrs

from roadstead.testing.faults.calls import Call, Fault, kinds_of
from roadstead.testing.faults.plans import singles
from roadstead.testing.faults.telling import Telling
from roadstead.testing.faults.trials import Count, Known, Plan, Trial, counted, sample
from roadstead.testing.faults.verdicts import Verdict, verdict
from tests.faults.furnishing import TEMPERS, furnished, tempers_of
from tests.faults.scenarios import SCENARIOS

RESULTS: Final = Path(__file__).parent / "results"
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # nothing of it is to survive a power cut
AGAIN: Final = 1
"""How many plans of each line are told again, alone."""

PART: Final = 2_000
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


@attrs.frozen(kw_only=True)
class Job:
    """Some tellings of one story on one kind of cluster: with these plans, or with the swarms of these seeds.

    No plans and no seeds: every single fault, or ``most`` of them. ``again`` is how many are told again alone.
    """

    scenario: int
    temper: str
    plans: tuple[Plan, ...] = ()
    seeds: tuple[int, ...] = ()
    most: int = 0
    seed: int = 0
    again: int = 0


@attrs.frozen(kw_only=True)
class Done:
    """What came of a job, and for each plan of one fault the calls that followed it."""

    job: Job
    count: Count
    again: int = 0
    after: tuple[tuple[Plan, tuple[Call, ...]], ...] = ()


@attrs.frozen(kw_only=True)
class Row:
    """One line of the table: ``possible`` plans of this sort were counted before any was run.

    ``again`` of its plans were told a second time, alone.
    """

    temper: str
    story: str
    faults: str
    points: int
    possible: int
    count: Count
    again: int
    seeds: str

    @property
    def exhaustive(self) -> bool:
        """Whether all that is possible was run."""
        return self.is_tried and self.count.plans == self.possible

    @property
    def is_tried(self) -> bool:
        """Whether any plan of it was run."""
        return bool(self.count.plans)


_TEMPERS: Final = tuple(TEMPERS)
_STORIES: Final = tuple(scenario.name for scenario in SCENARIOS)


# ---- in the processes that tell stories ----


@functools.cache
def _trial(scenario: int, temper: str) -> Trial:
    logging.disable(logging.CRITICAL)
    scratch = SHARED_MEMORY if SHARED_MEMORY.is_dir() else Path(tempfile.gettempdir())
    return Trial(scenario=SCENARIOS[scenario], furnish=lambda fleet: furnished(fleet, temper), scratch=scratch)


@functools.cache
def _known(scenario: int, temper: str) -> tuple[Telling, Known]:
    trial = _trial(scenario, temper)
    return trial.reference(), trial.known()


def _points(place: tuple[int, str]) -> tuple[Call, ...]:
    return tuple(_trial(*place).reference().calls)


def _done(job: Job) -> Done:
    trial, (reference, known) = _trial(job.scenario, job.temper), _known(job.scenario, job.temper)
    if job.seeds:
        return Done(job=job, count=counted(trial.swarmed(reference, job.seeds)))
    alone = list(singles(reference))
    plans = job.plans or sample(alone, job.most or len(alone), job.seed)
    tried = trial.tried(reference, plans, known)
    assert tried.keys() == set(plans), "every plan is tried, and no other"
    verdicts = [_alike(tried[plan].verdict, trial, reference, plan) for plan in sample(plans, job.again, job.seed)]
    wrong = {one.faults: one for one in verdicts if one.violations}
    return Done(
        job=job,
        count=counted(wrong.get(plan, one.verdict) for plan, one in tried.items()),
        again=len(verdicts),
        after=() if job.plans else tuple((plan, one.after) for plan, one in tried.items()),
    )


def _alike(shared: Verdict, trial: Trial, reference: Telling, plan: Plan) -> Verdict:
    """Return what a plan came to, which is wrong where it comes to something else when it is told alone."""
    alone = verdict(trial.told(plan), reference)
    if alone == shared:
        return shared
    return attrs.evolve(shared, faults=plan, violations=(*shared.violations, f"told alone it comes to {alone}"))


# ---- in the one that counts ----

Place = tuple[int, str]


class Tally:
    """Gives out jobs to ``pool``, keeps the lines of the table, and says on stderr how far it has come."""

    def __init__(self, pool: Pool, keep: Callable[[Sequence[Row], float], None]) -> None:
        self.rows: dict[tuple[str, str, str], Row] = {}
        self._pool = pool
        self._keep = keep
        self._began = time.monotonic()
        self._plans = 0

    @property
    def seconds(self) -> float:
        """For how long it has run."""
        return time.monotonic() - self._began

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        """Yield what came of each job, as it is done."""
        for done in self._pool.imap_unordered(_done, jobs):
            self._plans += done.count.plans
            rate = self._plans / max(1.0, self.seconds) * 60
            print(f"\r{self._plans} plans, {rate:.0f} a minute ", end="", file=sys.stderr, flush=True)
            yield done

    def recount(self, place: Place, pairs: int) -> None:
        """Know how many pairs there are of a story, now that all single faults of it were tried."""
        key = place[1], SCENARIOS[place[0]].name, "two"
        if key in self.rows:
            self.add(attrs.evolve(self.rows[key], possible=pairs))

    def expect(self, points: Mapping[Place, tuple[Call, ...]]) -> None:
        """Know every line of single faults that there is to be, so that those never reached are told, too."""
        for (scenario, temper), calls in points.items():
            nothing = Done(job=Job(scenario=scenario, temper=temper), count=Count())
            row = _row(nothing, calls, "one", _possible(calls), "")
            self.rows[row.temper, row.story, row.faults] = row

    def add(self, row: Row) -> None:
        """Keep one line, in the place of an earlier one about the same."""
        self.rows[row.temper, row.story, row.faults] = row
        self._keep(tuple(self.rows.values()), self.seconds)


def _row(done: Done, points: Sequence[Call], faults: str, possible: int, seeds: str) -> Row:
    return Row(
        temper=done.job.temper,
        story=SCENARIOS[done.job.scenario].name,
        faults=faults,
        points=len(points),
        possible=possible,
        count=done.count,
        again=done.again,
        seeds=seeds if faults == "swarm" or done.count.plans < possible else "",
    )


After = Mapping[Place, tuple[tuple[Plan, tuple[Call, ...]], ...]]


def _try_singles(
    tally: Tally, points: Mapping[Place, tuple[Call, ...]], asked: argparse.Namespace, most: int
) -> Iterator[tuple[Place, tuple[tuple[Plan, tuple[Call, ...]], ...]]]:
    """Try ``most`` single faults of every story, 0 for all, until the time is over.

    Yields the calls after each at which a second one is to be tried.
    """

    def jobs() -> Iterator[Job]:
        for scenario, temper in sorted(points, key=lambda place: _possible(points[place])):
            yield Job(scenario=scenario, temper=temper, most=most, seed=asked.seed, again=AGAIN)

    for done in tally.run(jobs()):
        place = done.job.scenario, done.job.temper
        tally.add(_row(done, points[place], "one", _possible(points[place]), str(asked.seed)))
        yield place, done.after
        if asked.until and tally.seconds > asked.until * 60:
            return


def _possible(calls: Iterable[Call]) -> int:
    return sum(len(kinds_of(call)) for call in calls)


def _pairs(after: tuple[tuple[Plan, tuple[Call, ...]], ...]) -> Iterator[Plan]:
    for plan, window in after:
        for call in window:
            for kind in kinds_of(call):
                yield (*plan, Fault(call.number, kind))


def _try_pairs(
    tally: Tally, points: Mapping[Place, tuple[Call, ...]], after: After, asked: argparse.Namespace, most: int
) -> None:
    """Try pairs of every story in ``after``, ``most`` of them at most."""
    every = {place: sum(1 for _ in _pairs(one)) for place, one in after.items()}

    def jobs() -> Iterator[Job]:
        for (scenario, temper), one in after.items():
            plans = tuple(sample(tuple(_pairs(one)), most, asked.seed))
            if plans:
                yield Job(scenario=scenario, temper=temper, plans=plans, seed=asked.seed, again=AGAIN)

    for done in tally.run(jobs()):
        place = done.job.scenario, done.job.temper
        tally.add(_row(done, points[place], "two", every[place], str(asked.seed)))


def _try_every_pair(
    tally: Tally, points: Mapping[Place, tuple[Call, ...]], after: After, asked: argparse.Namespace
) -> None:
    """Try every pair of one story after the other, those with the fewest first, until the time is over.

    A story's pairs are given out in parts, and count once all parts are done.
    """
    fewest = sorted(after, key=lambda place: sum(1 for _ in _pairs(after[place])))
    for place in fewest:
        plans = tuple(_pairs(after[place]))
        parts = [plans[start : start + PART] for start in range(0, len(plans), PART)]
        jobs = [Job(scenario=place[0], temper=place[1], plans=part, seed=asked.seed, again=1) for part in parts]
        left = asked.until * 60 - tally.seconds
        if left <= 0:
            return
        done: list[Done] = []
        for one in tally.run(jobs):
            done.append(one)
            if tally.seconds > asked.until * 60:
                break
        count = sum((one.count for one in done), Count())
        whole = attrs.evolve(done[0], count=count, again=sum(one.again for one in done))
        tally.add(_row(whole, points[place], "two", len(plans), f"the first {len(done)} of {len(parts)} parts"))


def _try_swarms(tally: Tally, points: Mapping[Place, tuple[Call, ...]], asked: argparse.Namespace) -> None:
    """Try swarms of every story."""
    jobs = (Job(scenario=one, temper=temper, seeds=tuple(range(asked.swarms))) for one, temper in points)
    for done in tally.run(jobs):
        place = done.job.scenario, done.job.temper
        tally.add(_row(done, points[place], "swarm", 0, f"0-{asked.swarms - 1}"))


# ---- what is printed ----

_HEAD: Final = (
    "| clusters | story | faults | points | plans | of | applied | wrong | lost | twice | orphaned | p50 | max | |",
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
)
_LEGEND: Final = (
    "A point is a call that a run without faults makes to the outside. A plan is wrong where something that must always"
    " hold did not, where it ended otherwise than without faults, or where a fault was not really applied. Turns are"
    " those from the last fault until all was at rest. `of` is how many plans there are; of pairs, where single faults"
    " are not exhaustive, those that begin with one that was tried."
)


def _line(row: Row) -> str:
    count = row.count
    how = "exhaustive" if row.exhaustive else f"sampled, seed {row.seeds}" if row.is_tried else "not tried"
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
    alone = [row for row in rows if row.faults == "one"]
    whole = sum(row.exhaustive for row in alone)
    pairs = [row for row in rows if row.faults == "two"]
    return (
        f"{total.plans} plans, {total.applied} faults really applied, {total.violations} plans with violations, "
        f"{total.lost} replicas lost, {total.duplicated} duplicated, {total.orphaned} orphaned; {seconds:.0f} s, "
        f"{total.plans / seconds * 60:.0f} plans a minute.{'' if total.violations else bound} "
        f"Single faults are exhaustive for {whole} of {len(alone)} stories and clusters "
        f"({sum(row.count.plans for row in alone)} of {sum(row.possible for row in alone)} plans; "
        f"{sum(not row.is_tried for row in alone)} of these lines were not tried at all), pairs for "
        f"{sum(row.exhaustive for row in pairs)} ({sum(row.count.plans for row in pairs)} of "
        f"{sum(row.possible for row in pairs)} plans that begin with a fault that was tried). "
        f"{sum(row.again for row in rows)} plans were told again alone, "
        "and came to the same."
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


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=24, help="single faults of each story to begin with")
    parser.add_argument("--pairs", type=int, default=24, help="pairs of each story, of those that begin like these")
    parser.add_argument("--swarms", type=int, default=4, help="swarms of each story")
    parser.add_argument("--only-some", action="store_true", help="leave it at these")
    parser.add_argument("--seed", type=int, default=0, help="what the choice of pairs follows from")
    parser.add_argument(
        "--until", type=int, default=0, help="for how many minutes; 0: until every single fault is tried"
    )
    parser.add_argument("--into", type=Path, default=RESULTS, help="the folder that results are written to")
    parser.add_argument("--only", default="", help="stories with this in their name")
    parser.add_argument("--clusters", choices=TEMPERS, help="clusters of this kind")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many processes")
    return parser.parse_args()


def main() -> None:
    """Try, print and write; the exit code says whether anything was wrong."""
    asked = _asked()
    places: list[Place] = [
        (number, temper)
        for temper in ([asked.clusters] if asked.clusters else TEMPERS)
        for number, scenario in enumerate(SCENARIOS)
        if asked.only in scenario.name and temper in tempers_of(scenario)
    ]
    command = " ".join(("python -m benchmarks.faults", *sys.argv[1:]))
    whole = not asked.only and not asked.clusters

    def keep(rows: Sequence[Row], seconds: float) -> None:
        ordered = sorted(rows, key=lambda row: (_TEMPERS.index(row.temper), _STORIES.index(row.story), row.faults))
        page = _page(ordered, seconds, command)
        if whole:
            asked.into.joinpath("faults.md").write_text(page)
            data = [attrs.asdict(attrs.evolve(row, count=attrs.evolve(row.count, examples=()))) for row in ordered]
            record = {"seconds": round(seconds), "rows": data}
            asked.into.joinpath("faults.json").write_text(json.dumps(record) + "\n")

    with multiprocessing.get_context("fork").Pool(asked.jobs) as pool:
        tally = Tally(pool, keep)
        points = dict(zip(places, pool.map(_points, places, chunksize=1), strict=True))
        tally.expect(points)
        if asked.first:
            after = dict(_try_singles(tally, points, asked, asked.first))
            _try_pairs(tally, points, after, asked, asked.pairs)
        if asked.swarms:
            _try_swarms(tally, points, asked)
        if not asked.only_some:
            after = {}
            for place, windows in _try_singles(tally, points, asked, 0):
                after[place] = windows
                tally.recount(place, sum(1 for _ in _pairs(windows)))
            if asked.until:
                _try_every_pair(tally, points, after, asked)
    rows = tuple(tally.rows.values())
    print(f"\n\n{_page(rows, tally.seconds, command)}")
    if any(row.count.violations for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
