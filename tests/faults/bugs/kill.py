"""Tells stories until one shows something wrong; exits with 1 and says which plan that was.

    python -m tests.faults.bugs.kill TEMPER [KIND,KIND...] [KIND,KIND...] [WHAT,WHAT...] STORY...

First every story as it is; then with every fault of the first kinds at such calls, or at any; then with pairs that
begin like that, and end in the second kinds; then with some of all others. What is some is always the same.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import click

from roadstead.testing.faults.calls import Call, Fault, kinds_of
from roadstead.testing.faults.plans import singles
from roadstead.testing.faults.telling import Telling
from roadstead.testing.faults.trials import Plan, Trial, Tried, sample
from tests.faults.furnishing import furnished
from tests.faults.scenarios import SCENARIOS

OTHERS = 60
PAIRS = 200
PART = 50


@attrs.frozen
class Hint:
    """What to try first: these kinds of faults, followed by those, at such calls; empty for any."""

    first: frozenset[str]
    then: frozenset[str]
    at: frozenset[str]


def main() -> None:
    """Look for a plan that shows something wrong."""
    logging.disable(logging.CRITICAL)
    temper, *lists = sys.argv[1:5]
    first, then, at = (frozenset(one.split(",")) - {""} for one in lists)
    names = sys.argv[5:]
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        trials = [
            Trial(scenario=one, furnish=lambda fleet: furnished(fleet, temper), scratch=Path(folder))
            for one in SCENARIOS
            if one.name in names
        ]
        for found in _found(trials, Hint(first, then, at)):
            click.echo(found)
            sys.exit(1)


def _found(trials: list[Trial], hint: Hint) -> Iterator[str]:
    """Yield what is found, the most likely first: the stories themselves, single faults, pairs, some of the rest."""
    references = [(trial, trial.told()) for trial in trials]
    for trial, told in references:
        if told.wrong or told.ending is None:
            yield f"{trial.scenario.name}: without any fault: {_short(told.wrong)}"
            return
    chance = random.Random(0)  # noqa: S311  # repeatable on purpose
    rest: list[tuple[Trial, Telling, list[Plan]]] = []
    for trial, reference in references:
        alone = list(singles(reference))
        likely = [plan for plan in alone if _is_likely(plan, reference, hint)]
        chance.shuffle(likely)
        others = [plan for plan in alone if plan not in set(likely)]
        rest.append((trial, reference, [*sample(others, OTHERS // len(references), 0)]))
        yield from _wrong_of(trial, reference, likely, hint.then, chance)
    for trial, reference, plans in rest:
        yield from _wrong_of(trial, reference, plans, frozenset(), chance)


def _is_likely(plan: Plan, reference: Telling, hint: Hint) -> bool:
    (fault,) = plan
    return fault.kind.name in hint.first and (not hint.at or reference.calls[fault.number].what.name in hint.at)


def _wrong_of(
    trial: Trial, reference: Telling, alone: Sequence[Plan], then: frozenset[str], chance: random.Random
) -> Iterator[str]:
    """Yield what is wrong with these plans, and with pairs that begin like them."""
    known = trial.known()
    windows: list[tuple[Plan, tuple[Call, ...]]] = []
    for plans in _parts(alone):
        tried = trial.tried(reference, plans, known)
        yield from _wrong(trial, reference, tried)
        windows += ((plan, one.after) for plan, one in tried.items())
    for plans in _parts(_pairs(windows, then, chance)[:PAIRS]):
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
