"""What is a right answer: outputs in JSON and in messages, and how they are compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from roadstead.spi.load import Judgement, Unfit, Work
from roadstead_plugins.runtimes.tf_serving.load.outputs import Outputs, difference, outputs_of
from roadstead_plugins.runtimes.tf_serving.load.references import References
from roadstead_plugins.runtimes.tf_serving.server import json_tensors

TOLERANCE = 1e-4
numbers = st.floats(min_value=-1000, max_value=1000, width=32)
shapes = arrays.array_shapes(min_dims=2, max_dims=3, max_side=4)
matrices = arrays.arrays(np.float32, shapes, elements=numbers)


def as_arrays(values: Mapping[str, list[float]]) -> Outputs:
    """Return lists as outputs."""
    return {name: np.array(value) for name, value in values.items()}


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), matrices, min_size=1), st.booleans())
def test_what_the_server_writes_is_read_back(outputs: dict[str, Any], by_row: bool) -> None:
    """Rows and columns, one output or several: each is equal to the arrays that it was made from."""
    rows = min(len(array) for array in outputs.values())
    same = {name: array[:rows] for name, array in outputs.items()}
    found = outputs_of(json.loads(json_tensors.answer(same, by_row=by_row)))
    assert "" == difference(found, same, TOLERANCE)  # six digits, where they say it


@given(matrices, st.data())
def test_a_number_out_of_the_tolerance_is_found_wherever_it_is(values: Any, data: st.DataObject) -> None:
    """One number of many is enough, and one within the tolerance is none."""
    place = tuple(data.draw(st.integers(0, size - 1)) for size in values.shape)
    for change, right in ((TOLERANCE * 0.5, True), (TOLERANCE * 1.5, False)):
        other = values.astype(float)
        other[place] += change
        assert right == (difference({"y": other}, {"y": values.astype(float)}, TOLERANCE) == "")


@given(matrices, matrices)
def test_another_shape_is_wrong(left: Any, right: Any) -> None:
    """Numbers are never compared with those in other places, not even where one number could stand for many."""
    assume(left.shape != right.shape)
    assert f"y has shape {list(left.shape)}, not {list(right.shape)}" == difference({"y": left}, {"y": right}, 1e9)


@pytest.mark.parametrize(
    ("found", "expected", "wrong"),
    [
        ({"y": [1.0]}, {"": [1.0]}, ""),
        ({"": [1.0]}, {"y": [2.0]}, "y differs by up to 1 in 1 of 1 numbers"),
        ({"": [1.0]}, {"": [2.0]}, "answer differs by up to 1 in 1 of 1 numbers"),
        ({"y": [1.0]}, {"z": [1.0]}, "the outputs are y, not z"),
        ({}, {"z": [1.0]}, "the outputs are none, not z"),
        ({"y": [1.0]}, {"y": [1.0], "z": [1.0]}, "the outputs are y, not y, z"),
        ({"y": [np.nan]}, {"y": [np.nan]}, ""),
        ({"y": [np.nan]}, {"y": [1.0]}, "y differs by up to nan in 1 of 1 numbers"),
        ({"y": [np.inf]}, {"y": [np.inf]}, ""),
    ],
)
def test_what_is_told_of_a_difference(found: Any, expected: Any, wrong: str) -> None:
    """Names, shapes and numbers, in this order; an output without a name is the other side's only one."""
    assert wrong == difference(as_arrays(found), as_arrays(expected), TOLERANCE)


def test_text_is_equal_or_wrong() -> None:
    """As text, in base64, and as the bytes of a message."""
    told = outputs_of({"predictions": ["one", {"b64": "dHdv"}]})
    assert "" == difference(told, {"y": np.array([b"one", b"two"], dtype=object)}, 1e9)
    other = outputs_of({"predictions": ["one", "too"]})
    assert "answer is not the text that was expected" == difference(told, other, 1e9)


@pytest.mark.parametrize(
    "document",
    [
        {"error": "no"},
        [],
        {"predictions": []},
        {"predictions": 1},
        {"predictions": [{"a": 1}, {"b": 1}]},
        {"predictions": [[1], [1, 2]]},
        {"outputs": {"a": None}},
        {"outputs": [1], "predictions": [1]},
    ],
)
def test_what_is_no_answer_is_refused(document: Any) -> None:
    """What comes with status 200 is not yet an answer."""
    with pytest.raises(ValueError, match=r"answer|prediction|output"):
        outputs_of(document)


WORK = Work(
    model="m",
    requests=({"instances": [1.0]},),
    expected=({1: {"predictions": [0.5]}, 2: {"predictions": [0.7]}},),
)


@pytest.mark.parametrize(
    ("value", "version", "judgement"),
    [
        (0.5, 1, Judgement(version=1)),
        (0.7, 2, Judgement(version=2)),
        (0.5, 2, Judgement(version=2, wrong="version 2: answer differs by up to 0.2 in 1 of 1 numbers")),
        (0.5, 3, Judgement(version=3, wrong="nothing is known of what version 3 should answer")),
        (0.7, None, Judgement(version=2)),
        (
            0.6,
            None,
            Judgement(
                wrong="version 1: answer differs by up to 0.1 in 1 of 1 numbers; "
                "version 2: answer differs by up to 0.1 in 1 of 1 numbers"
            ),
        ),
    ],
)
def test_an_answer_is_held_against_that_of_its_version(value: float, version: int | None, judgement: Judgement) -> None:
    """The right answer of another version is a wrong one, unless nobody says which version it is from."""
    assert judgement == References.of(WORK).judgement(0, {"": np.array([value])}, version)


def test_a_version_that_may_not_answer_is_wrong_whatever_it_says() -> None:
    """Over gRPC it is told apart by its number, over REST by its answers."""
    references = References.of(attrs.evolve(WORK, versions=frozenset({1})))
    right = {"": np.array([0.7])}
    assert "version 2 answered, not version 1" == references.judgement(0, right, 2).wrong
    assert "version 1: answer differs by up to 0.2 in 1 of 1 numbers" == references.judgement(0, right, None).wrong


def test_without_references_any_answer_is_right() -> None:
    """That a number came back is then all that is known."""
    references = References.of(attrs.evolve(WORK, expected=()))
    assert [Judgement(version=1), Judgement()] == [references.judgement(0, {}, version) for version in (1, None)]


def test_a_reference_that_is_no_answer_is_refused_with_its_number() -> None:
    """Before anything is sent."""
    with pytest.raises(Unfit, match="expected answer 1 is none"):
        References.of(attrs.evolve(WORK, expected=({1: {"error": "no"}},)))
