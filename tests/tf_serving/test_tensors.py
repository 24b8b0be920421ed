"""Tensors as messages and arrays: what goes in comes out, and the rules for values that are left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import tensor_pb2, types_pb2
from roadstead_plugins.runtimes.tf_serving.tensors import TYPES, TensorError, array_of, proto_of

NUMBERS = [kind for kind in TYPES if kind.name != "string"]
SHAPES = some.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = st.sampled_from(NUMBERS).flatmap(lambda kind: some.arrays(kind.numpy, SHAPES))
STRINGS = some.arrays(np.dtype(object), SHAPES, elements=st.binary(max_size=40))


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype == object:
        return one.shape == other.shape and one.tolist() == other.tolist()
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def _without_nan_payload(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array with every NaN the same: a float field may quieten one, bytes may not."""
    return np.where(np.isnan(array), array.dtype.type("nan"), array) if array.dtype.kind == "f" else array


@given(ARRAYS, st.booleans())
def test_numbers_survive_the_way_there_and_back(array: NDArray[Any], as_content: bool) -> None:
    """Every type and shape is the same afterwards, in fields and as bytes, also over the wire."""
    array = _without_nan_payload(array)
    wire = proto_of(array, as_content=as_content).SerializeToString()
    assert _same(array, _without_nan_payload(array_of(tensor_pb2.TensorProto.FromString(wire))))


@given(STRINGS)
def test_strings_survive_the_way_there_and_back(array: NDArray[Any]) -> None:
    """Strings of any bytes are the same afterwards."""
    assert _same(array, array_of(tensor_pb2.TensorProto.FromString(proto_of(array).SerializeToString())))


def test_text_is_encoded() -> None:
    """Python text, and numpy's, goes out as UTF-8."""
    assert [b"gr\xc3\xbcn"] == array_of(proto_of(np.array(["grün"]))).tolist()


def _proto(dtype: int, shape: list[int], **fields: Any) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@given(st.lists(st.integers(-9, 9), max_size=6), st.integers(0, 8))
def test_the_last_value_stands_for_those_left_out(values: list[int], size: int) -> None:
    """As in TensorFlow: too few values are filled up with the last one, none are zeros, too many are an error."""
    proto = _proto(types_pb2.DT_INT32, [size], int_val=values)
    if len(values) > size:
        with pytest.raises(TensorError, match=r"has \d+ values"):
            array_of(proto)
        return
    expected = values + [values[-1] if values else 0] * (size - len(values))
    assert expected == array_of(proto).tolist()


@pytest.mark.parametrize(
    ("proto", "text"),
    [
        (_proto(types_pb2.DT_COMPLEX64, [1]), "tensor type DT_COMPLEX64 is not supported"),
        (_proto(99, [1]), "tensor type number 99 is not supported"),
        (_proto(types_pb2.DT_FLOAT, [-1]), "has a negative dimension"),
        (_proto(types_pb2.DT_FLOAT, [2**20, 2**20], float_val=[1]), "has more than"),
        (_proto(types_pb2.DT_FLOAT, [2], tensor_content=b"abc"), "has 3 bytes of float; 8 are wanted"),
        (_proto(types_pb2.DT_INT8, [1], int_val=[1000]), "a value does not fit int8"),
        (_proto(types_pb2.DT_STRING, [1], tensor_content=b"\x01a"), "strings in tensor_content are not supported"),
    ],
)
def test_a_wrong_message_is_an_error(proto: tensor_pb2.TensorProto, text: str) -> None:
    """What is not a tensor is named, and never takes more memory than it came with."""
    with pytest.raises(TensorError, match=text):
        array_of(proto)


def test_a_shape_of_unknown_rank_is_no_shape() -> None:
    """A value has a shape; ``unknown_rank`` belongs to signatures."""
    proto = _proto(types_pb2.DT_FLOAT, [])
    proto.tensor_shape.unknown_rank = True
    with pytest.raises(TensorError, match="unknown rank"):
        array_of(proto)


def test_a_single_number_has_no_dimensions() -> None:
    """A scalar is an array of no dimensions, both ways."""
    array = array_of(proto_of(np.array(math.pi)))
    assert ((), math.pi) == (array.shape, array.item())
