"""Tells stories until one shows something wrong; exits with 1 and says which plan that was.

    python -m tests.faults.bugs.kill TEMPER KIND,KIND... [KIND,KIND...] STORY...

First every story as it is; then with every fault of these kinds, and with some of the others; then with some of the
pairs that begin like that, with those kinds that are named second. What is some is always the same.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from roadstead.testing.faults.calls import Call, Fault, kinds_of
from roadstead.testing.faults.plans import singles
from roadstead.testing.faults.telling import Telling
from roadstead.testing.faults.trials import Plan, Trial, Tried
from tests.faults.furnishing import furnished
from tests.faults.scenarios import SCENARIOS

OTHERS = 60
PAIRS = 200
PART = 50


def main() -> None:
    """Look for a plan that shows something wrong."""
    logging.disable(logging.CRITICAL)
    temper, kinds, later, *names = sys.argv[1:]
    first, then = frozenset(kinds.split(",")), frozenset(later.split(",")) - {""}
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        trials = [
            Trial(scenario=one, furnish=lambda fleet: furnished(fleet, temper), scratch=Path(folder))
            for one in SCENARIOS
            if one.name in names
        ]
        for found in _found(trials, first, then):
            click.echo(found)
            sys.exit(1)


def _found(trials: list[Trial], first: frozenset[str], then: frozenset[str]) -> Iterator[str]:
    """Yield what is found, the most likely first: the stories themselves, single faults, pairs."""
    references = [(trial, trial.told()) for trial in trials]
    for trial, told in references:
        if told.wrong or told.ending is None:
            yield f"{trial.scenario.name}: without any fault: {_short(told.wrong)}"
            return
    after: list[list[tuple[Plan, tuple[Call, ...]]]] = []
    chance = random.Random(0)  # noqa: S311  # repeatable on purpose
    for trial, reference in references:
        alone = list(singles(reference))
        chance.shuffle(alone)
        likely = [plan for plan in alone if plan[0].kind.name in first]
        others = [plan for plan in alone if plan[0].kind.name not in first][: OTHERS // len(references)]
        known = trial.known()
        windows: list[tuple[Plan, tuple[Call, ...]]] = []
        for plans in _parts((*likely, *others)):
            tried = trial.tried(reference, plans, known)
            yield from _wrong(trial, reference, tried)
            windows += ((plan, one.after) for plan, one in tried.items())
        after.append(windows)
    for (trial, reference), windows in zip(references, after, strict=True):
        known = trial.known()
        for plans in _parts(_pairs(windows, then, chance)[: PAIRS // len(references)]):
            yield from _wrong(trial, reference, trial.tried(reference, plans, known))


def _pairs(windows: list[tuple[Plan, tuple[Call, ...]]], then: frozenset[str], chance: random.Random) -> list[Plan]:
    """Return the pairs that end in what is named, or where nothing is, one by chance for each plan."""
    found: list[Plan] = []
    for plan, window in windows:
        pairs = [(*plan, Fault(call.number, kind)) for call in window for kind in kinds_of(call)]
        if then:
            found += (pair for pair in pairs if pair[1].kind.name in then)
        elif pairs:
            found.append(chance.choice(pairs))
    return found


def _parts(plans: Sequence[Plan]) -> Iterator[Sequence[Plan]]:
    for start in range(0, len(plans), PART):
        yield plans[start : start + PART]


def _wrong(trial: Trial, reference: Telling, tried: Mapping[Plan, Tried]) -> Iterator[str]:
    for plan, one in tried.items():
        if one.verdict.violations:
            yield f"{trial.scenario.name}: {_words(plan, reference)}: {_short(one.verdict.violations)}"


def _words(plan: Plan, reference: Telling) -> str:
    what = reference.calls[plan[0].number].what.value
    return f"{what}, " + " and then ".join(f"{fault.kind.value} at {fault.number}" for fault in plan)


def _short(wrong: tuple[str, ...]) -> str:
    return wrong[0][:100].replace("\n", " ") if wrong else "it does not end"


if __name__ == "__main__":
    main()
