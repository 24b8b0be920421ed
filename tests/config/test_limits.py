"""Files that are made to be hard to read: each is answered soon, and by its limit."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from roadstead.config import FleetFileError, Problem, ProblemCode, read_fleet
from roadstead.config.keys import MAX_DEPLOYMENTS
from roadstead.config.nodes import MAX_DEPTH
from roadstead.config.problems import MAX_PROBLEMS
from tests.config.corpus import built_in

HOST = built_in()
FRAME = "version: 1\nfleet: shop\nclusters:\n  here: {backend: local}\ndeployments:\n  a:\n    model: {source: m}\n"


def problems_of(text: str) -> tuple[Problem, ...]:
    """Return what is wrong with ``text``."""
    with pytest.raises(FleetFileError) as caught:
        read_fleet(Path("/fleets/fleet.yaml"), HOST, text=text)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("[" * 1_000_000, ProblemCode.LIMIT, id="brackets, which take PyYAML hours"),
        pytest.param("{a: " * 200_000, ProblemCode.LIMIT, id="braces"),
        pytest.param("- " * 200_000, ProblemCode.LIMIT, id="lists in one line"),
        pytest.param("? " * 200_000, ProblemCode.FEATURE, id="keys of keys"),
        pytest.param("\n".join(f"%TAG !a{number}! b" for number in range(20_000)), ProblemCode.LIMIT, id="directives"),
        pytest.param(f"a: &a{'x' * 1_000_000} 1", ProblemCode.MISSING_KEY, id="a long anchor"),
        pytest.param(f"? {'x' * 1_000_000}\n: 1", ProblemCode.UNKNOWN_KEY, id="a long key"),
        pytest.param("version: " + "_" * 1_000_000, ProblemCode.TYPE, id="a long scalar"),
        pytest.param("version: 0" + "_0" * 500_000, ProblemCode.TYPE, id="nearly a number"),
        pytest.param("version: " + "9" * 1_000_000, ProblemCode.RANGE, id="a number of a million digits"),
        pytest.param(FRAME + "    resources: {cpu: 1" + "0" * 1_000_000 + "}", ProblemCode.AMOUNT, id="a long amount"),
        pytest.param(FRAME + "    health: {canary: {a: " + "9" * 400 + "}}", ProblemCode.RANGE, id="a number in JSON"),
    ],
)
def test_a_file_made_to_be_slow_is_answered(text: str, code: ProblemCode) -> None:
    """Each of these costs a naive reader minutes, its stack, or an exception not ours; a test has one minute."""
    assert code in {problem.code for problem in problems_of(text)}


def test_aliases_cannot_nest_deeper_than_the_file_may() -> None:
    """An alias counts with the depth of what it stands for."""
    chain = "a0: &a0 [x]\n" + "".join(f"a{number}: &a{number} [*a{number - 1}]\n" for number in range(1, MAX_DEPTH))
    (problem,) = problems_of(chain)
    assert ProblemCode.LIMIT is problem.code
    assert f"this is nested deeper than {MAX_DEPTH} levels" == problem.what


def test_there_is_a_limit_to_deployments() -> None:
    """More than a fleet can hold is refused as one problem, not as one for each."""
    many = "".join(f"  d{number}: {{model: {{source: m}}}}\n" for number in range(MAX_DEPLOYMENTS))
    (problem,) = problems_of(FRAME + many)
    assert (ProblemCode.LIMIT, "deployments") == (problem.code, problem.where)
    assert f"give at most {MAX_DEPLOYMENTS}" == problem.hint


def test_reading_stops_when_there_are_too_many_problems() -> None:
    """A file of nonsense is not answered line by line."""
    found = problems_of("".join(f"key{number}: 1\n" for number in range(10 * MAX_PROBLEMS)))
    assert MAX_PROBLEMS + 1 == len(found)
    assert f"more than {MAX_PROBLEMS} problems: reading stopped here" == found[-1].what


def test_reading_leaves_the_garbage_collector_as_it_was() -> None:
    """It is kept out while reading, also when reading fails, and not switched on where somebody switched it off."""
    problems_of("")
    assert gc.isenabled()
    gc.disable()
    try:
        problems_of("")
        assert not gc.isenabled()
    finally:
        gc.enable()
