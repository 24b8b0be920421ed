"""JSON as TensorFlow Serving reads and writes it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import meta_graph_pb2, types_pb2
from roadstead_plugins.runtimes.tf_serving.server.json_tensors import answer, decimal, inputs_of, read
from roadstead_plugins.runtimes.tf_serving.server.status import ServingError


def _signature(**types: int) -> meta_graph_pb2.SignatureDef:
    signature = meta_graph_pb2.SignatureDef()
    for name, dtype in types.items():
        signature.inputs[name].dtype = dtype
    return signature


def _inputs(document: object, **types: int) -> dict[str, NDArray[Any]]:
    return dict(inputs_of(read(json.dumps(document).encode()), _signature(**types)))


@given(some.arrays(np.float32, some.array_shapes(min_dims=1, max_dims=3, max_side=3), elements=st.floats(width=32)))
def test_every_float_can_be_read_back_exactly(array: NDArray[np.float32]) -> None:
    """What is written, NaN and infinities included, reads back as the very same 32-bit number."""
    document = json.loads(answer({"y": array}, by_row=False))
    assert np.array_equal(array, np.array(document["outputs"], dtype=np.float32), equal_nan=True)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_can_be_read_back_exactly(value: float) -> None:
    """17 digits say any double."""
    assert value == float(decimal(value, np.dtype("f8"), 17))


@given(some.arrays(np.int64, some.array_shapes(min_dims=1, max_dims=3, max_side=3)))
def test_rows_and_columns_say_the_same(array: NDArray[np.int64]) -> None:
    """The same values, given row by row or as one column, are the same tensor; so are the answers' values."""
    by_row = _inputs({"instances": array.tolist()}, x=types_pb2.DT_INT64)["x"]
    by_column = _inputs({"inputs": array.tolist()}, x=types_pb2.DT_INT64)["x"]
    assert array.tolist() == by_row.tolist() == by_column.tolist()
    assert array.tolist() == json.loads(answer({"y": array}, by_row=True))["predictions"]
    assert array.tolist() == json.loads(answer({"y": array}, by_row=False))["outputs"]


@pytest.mark.parametrize(
    ("document", "dtype", "text"),
    [
        ({"inputs": [1.5]}, types_pb2.DT_INT32, "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ({"inputs": [True]}, types_pb2.DT_FLOAT, "JSON Value: true Type: True is not of expected type: float"),
        ({"inputs": [300]}, types_pb2.DT_UINT8, "JSON Value: 300 Type: Number is not of expected type: uint8"),
        (
            {"inputs": [2**25]},
            types_pb2.DT_FLOAT,
            "Cannot convert JSON value: 33554432 to float without loss of precision.",
        ),
        (
            {"inputs": [1e300]},
            types_pb2.DT_FLOAT,
            "Cannot convert JSON value: 1e+300 to float without loss of precision.",
        ),
        (
            {"inputs": [[1, 2], [3]]},
            types_pb2.DT_INT32,
            "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
        ),
        ({"inputs": [[1], 2]}, types_pb2.DT_INT32, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM."),
        ({"inputs": [1, [2]]}, types_pb2.DT_INT32, "Encountered list at unexpected level: 1 expected < 1"),
        ({"inputs": [{"b64": "!"}]}, types_pb2.DT_STRING, "Unable to base64 decode"),
        ({"inputs": [{"b": "YQ=="}]}, types_pb2.DT_STRING, "not formatted correctly for base64 data"),
        ({"instances": 1}, types_pb2.DT_INT32, "Excepting 'instances' to be an list/array"),
        ({"instances": [1, [2]]}, types_pb2.DT_INT32, "Expecting shape [] but got: [1]"),
        (
            {"instances": [1, {"x": 2}]},
            types_pb2.DT_INT32,
            "Expecting value/list but got object at item 1 of input list",
        ),
        ({"instances": [{"x": 1}, 2]}, types_pb2.DT_INT32, "Expecting object but got list at item 1 of input list"),
        ({"instances": [{"y": 1}]}, types_pb2.DT_INT32, "JSON object: does not have named input: y"),
        ({"inputs": {"y": 1}}, types_pb2.DT_INT32, "Missing named input: x in 'inputs' object."),
        ({"inputs": 1, "instances": [1]}, types_pb2.DT_INT32, "expecting only one of 'inputs' or 'instances' keys"),
        ({"inputs": 1, "signature_name": 7}, types_pb2.DT_INT32, "'signature_name' key must be a string value."),
        ([1], types_pb2.DT_INT32, "JSON Value: [1] Is not object"),
    ],
)
def test_a_wrong_body_is_refused_with_tensorflow_servings_text(document: object, dtype: int, text: str) -> None:
    """Each kind of mistake has the text that users will search for."""
    with pytest.raises(ServingError) as error:
        _inputs(document, x=dtype)
    assert text in error.value.message


def test_several_inputs_must_be_named() -> None:
    """A plain list cannot say which of two inputs it is."""
    for document in ({"instances": [1]}, {"inputs": [1]}):
        with pytest.raises(ServingError, match="multiple input tensors required as per tensorinfo_map"):
            _inputs(document, x=types_pb2.DT_INT32, y=types_pb2.DT_INT32)


def test_answers_by_row_must_have_as_many_rows() -> None:
    """Outputs of different length cannot be told row by row."""
    with pytest.raises(ServingError, match="Tensor name: b has inconsistent batch size: 2 expecting: 1"):
        answer({"a": np.zeros(1), "b": np.zeros(2)}, by_row=True)
    with pytest.raises(ServingError, match="has no shape information"):
        answer({"a": np.array(1.0)}, by_row=True)
