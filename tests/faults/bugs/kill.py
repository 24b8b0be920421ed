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
from collections.abc import Iterator
from pathlib import Path

import click

from roadstead.testing.faults.calls import Fault, kinds_of
from roadstead.testing.faults.plans import singles, window
from roadstead.testing.faults.telling import Telling
from roadstead.testing.faults.trials import Plan, Trial
from roadstead.testing.faults.verdicts import verdict
from tests.faults.furnishing import furnished
from tests.faults.scenarios import SCENARIOS

OTHERS = 60
PAIRS = 200


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
    references: list[tuple[Trial, Telling]] = []
    for trial in trials:
        told = trial.told()
        if told.wrong or told.ending is None:
            yield f"{trial.scenario.name}: without any fault: {_short(told.wrong)}"
            return
        references.append((trial, told))
    chance = random.Random(0)  # noqa: S311  # repeatable on purpose
    alone = [(trial, told, plan) for trial, told in references for plan in singles(told)]
    chance.shuffle(alone)
    likely = [one for one in alone if one[2][0].kind.name in first]
    others = [one for one in alone if one[2][0].kind.name not in first][:OTHERS]
    after: list[tuple[Trial, Telling, Plan]] = []
    for trial, reference, plan in (*likely, *others):
        told = trial.told(plan)
        if wrong := verdict(told, reference).violations:
            yield f"{trial.scenario.name}: {_words(plan, reference)}: {_short(wrong)}"
        pairs = [(*plan, Fault(call.number, kind)) for call in window(told) for kind in kinds_of(call)]
        chosen = [pair for pair in pairs if pair[1].kind.name in then] if then else [chance.choice(pairs)]
        after += [(trial, reference, pair) for pair in chosen]
    for trial, reference, plan in after[:PAIRS]:
        if wrong := verdict(trial.told(plan), reference).violations:
            yield f"{trial.scenario.name}: {_words(plan, reference)}: {_short(wrong)}"


def _words(plan: Plan, reference: Telling) -> str:
    what = reference.calls[plan[0].number].what.value
    return f"{what}, " + " and then ".join(f"{fault.kind.value} at {fault.number}" for fault in plan)


def _short(wrong: tuple[str, ...]) -> str:
    return wrong[0][:100].replace("\n", " ") if wrong else "it does not end"


if __name__ == "__main__":
    main()
