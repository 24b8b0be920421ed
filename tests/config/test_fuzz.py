"""A slice of the fuzz run in `benchmarks.fuzz_config`, and that the run would find what it looks for."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import jsonschema
import pytest

from benchmarks.config_mutations import LEVELS, Mutator
from benchmarks.fuzz_config import Examiner, Fuzz, Progress, Tally, installed, resumed, run, store
from roadstead.config import FleetFileError, Problem, ProblemCode
from roadstead.model import Fleet

MUTATOR = Mutator(
    good=(("good", b"version: 1\nfleet: shop\n"),),
    bad=(("bad", b"a: [1, 2"), ("tree", b"{a: {b: [c]}}\n")),
    keys=("version", "fleet"),
    words=("on", "8GB"),
)
EMPTY = Fleet(name="shop", clusters={}, deployments={})


def fuzz_of(reads: Callable[[Path], Fleet], *, schema: bool = True, deadline: float = 10.0) -> Fuzz:
    """Return a fuzz run of a reader that is not the real one."""
    return Fuzz(mutator=MUTATOR, reads=reads, schema=jsonschema.Draft7Validator(schema), deadline=deadline)


def refused(*problems: Problem) -> Callable[[Path], Fleet]:
    """Return a reader that finds these problems in every file."""

    def reads(path: Path) -> Fleet:
        error = FleetFileError((PROBLEM,))
        error.problems = problems
        raise error

    return reads


PROBLEM = Problem(
    file="f", line=1, column=1, where="", what="wrong", excerpt="", code=ProblemCode.SYNTAX, hint="mend it"
)


def found_by(fuzz: Fuzz, count: int = 1) -> list[str]:
    """Return what is found in the first inputs."""
    return [flaw.what for flaw in fuzz.tally(range(count)).flaws]


def test_a_slice_of_the_million_inputs_is_answered(tmp_path: Path) -> None:
    """The reader with our plugins, on the first inputs of seed 0; `make fuzz` does a million of seed 1."""
    fuzz = attrs.evolve(installed(), seed=0)
    examiner = Examiner(fuzz.reads, fuzz.schema, tmp_path)
    total = Tally()
    for number in range(300):
        total.add(examiner.examine(fuzz.mutator.input(fuzz.seed, number)))
    assert [] == total.flaws
    assert set(LEVELS) == set(total.inputs)
    assert total.accepted.total() >= 10
    assert len(total.codes) > 15


def test_an_input_is_known_by_its_number() -> None:
    """What was found in a run of hours can be looked at in a moment."""
    inputs = [MUTATOR.input(1, number) for number in range(200)]
    assert inputs == [MUTATOR.input(1, number) for number in reversed(range(200))][::-1]
    assert [made.data for made in inputs] != [MUTATOR.input(2, number).data for number in range(200)]
    assert len({made.data for made in inputs}) > 100


@pytest.mark.parametrize(
    ("problems", "found"),
    [
        ((), "refused without a problem"),
        ((attrs.evolve(PROBLEM, line=0),), "outside the file: 0:1"),
        ((attrs.evolve(PROBLEM, line=1_000_000),), "outside the file: 1000000:1"),
        ((attrs.evolve(PROBLEM, column=1_000_000),), "outside the file: 1:1000000"),
        ((attrs.evolve(PROBLEM, hint=""),), "without a code, words or a hint"),
        ((attrs.evolve(PROBLEM, what="\x1b[2J"),), "cannot be printed"),
        ((attrs.evolve(PROBLEM, line=2), PROBLEM), "not in the order of the file"),
    ],
    ids=["none", "line 0", "line behind the end", "column behind the end", "no hint", "escape", "order"],
)
def test_a_problem_that_helps_nobody_is_found(problems: tuple[Problem, ...], found: str) -> None:
    """A place outside the file, nothing to do, or words that a terminal would obey."""
    assert any(what.startswith(found) for what in found_by(fuzz_of(refused(*problems))))


def test_a_problem_that_helps_is_none_for_the_run() -> None:
    """It is counted by its code, once for each input."""
    tally = fuzz_of(refused(PROBLEM, PROBLEM)).tally(range(5))
    assert ([], Counter({"RS203": 5}), 5) == (tally.flaws, tally.codes, tally.inputs.total())


def test_an_error_of_another_kind_is_found() -> None:
    """Whatever is not a refusal of the file would be a traceback for the person."""

    def reads(path: Path) -> Fleet:
        raise KeyError("surprise")

    assert ["KeyError: 'surprise'"] == found_by(fuzz_of(reads))


def test_what_is_read_and_is_not_yaml_to_others_is_found() -> None:
    """A fleet file says the same to every reader, or it is refused."""
    assert any(what.startswith("accepted, and PyYAML says: ") for what in found_by(fuzz_of(lambda _: EMPTY), 20))


def test_what_is_read_and_refused_by_the_schema_is_found() -> None:
    """An editor must not complain about a good file."""
    found = found_by(fuzz_of(lambda _: EMPTY, schema=False), 20)
    assert any(what.startswith("accepted, and the schema says: ") for what in found)


def test_a_reader_that_never_ends_is_found_and_the_rest_is_examined() -> None:
    """The process is ended, and another one goes on behind the input."""
    hangs = MUTATOR.input(1, 2).data

    def reads(path: Path) -> Fleet:
        while path.read_bytes() == hangs:
            time.thread_time()  # it takes processor time, as a loop in a parser does
        return refused(PROBLEM)(path)

    tally = fuzz_of(reads, deadline=0.2).tally(range(5))
    assert [(2, "took more than 0.2 s")] == [(flaw.number, flaw.what) for flaw in tally.flaws]
    assert (5, 4) == (tally.inputs.total(), tally.codes.total())


def test_an_input_that_ends_the_process_is_found_and_the_rest_is_examined() -> None:
    """A crash in a library of C leaves no traceback, only an exit code."""
    fatal = {MUTATOR.input(1, number).data for number in (0, 3)}

    def reads(path: Path) -> Fleet:
        if path.read_bytes() in fatal:
            os._exit(7)
        return refused(PROBLEM)(path)

    tally = fuzz_of(reads).tally(range(6), jobs=2)
    assert [0, 3] == sorted(flaw.number for flaw in tally.flaws)
    assert {"ended the process with 7"} == {flaw.what for flaw in tally.flaws}
    assert (6, 4) == (tally.inputs.total(), tally.codes.total())


def counted(progress: Progress) -> tuple[int, Counter[str], Counter[str]]:
    """Return what of a run does not depend on the clock."""
    return progress.done, progress.tally.inputs, progress.tally.codes


def test_a_run_that_was_interrupted_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """In the end it has examined each input once, as a run without a pause has."""
    fuzz, checkpoint = fuzz_of(refused(PROBLEM)), tmp_path / "build" / "run.json"
    whole = fuzz.start()
    assert [4, 8, 10] == list(run(fuzz, whole, 10, jobs=1, chunk=4))
    first = resumed(fuzz, checkpoint)
    next(run(fuzz, first, 10, jobs=1, chunk=4))
    store(first, checkpoint)
    second = resumed(fuzz, checkpoint)
    assert 4 == second.done
    assert [10] == list(run(fuzz, second, 10, jobs=2, chunk=4))
    assert counted(whole) == counted(second)


def test_a_run_with_other_inputs_starts_anew(tmp_path: Path) -> None:
    """Numbers mean something else under another seed, and once a file of the corpus has changed."""
    fuzz, checkpoint = fuzz_of(refused(PROBLEM)), tmp_path / "run.json"
    progress = fuzz.start()
    progress.done = 5
    store(progress, checkpoint)
    changed = attrs.evolve(fuzz, mutator=attrs.evolve(MUTATOR, words=("off",)))
    assert [5, 0, 0] == [resumed(one, checkpoint).done for one in (fuzz, attrs.evolve(fuzz, seed=2), changed)]
