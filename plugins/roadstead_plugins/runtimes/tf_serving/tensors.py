"""Tensors as messages and as numpy arrays, and back, without TensorFlow.

A ``TensorProto`` carries its values either as raw little-endian bytes (``tensor_content``) or in the repeated field of
its type, and there one value may stand for many: the last one given fills what is missing, and none at all means zeros.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import tensor_pb2, types_pb2

MAX_ELEMENTS: Final = 2**28
"""More than this in one tensor is refused: a few bytes of message could otherwise ask for any amount of memory."""


class TensorError(ValueError):
    """A tensor that cannot be converted."""


@attrs.frozen(kw_only=True)
class Type:
    """One of TensorFlow's types: its number, its name, its numpy type, and its field in a ``TensorProto``."""

    number: int
    name: str
    numpy: np.dtype[Any]
    field: str


def _type(name: str, numpy: str, field: str) -> Type:
    return Type(number=types_pb2.DataType.Value(f"DT_{name.upper()}"), name=name, numpy=np.dtype(numpy), field=field)


TYPES: Final = (
    _type("float", "<f4", "float_val"),
    _type("double", "<f8", "double_val"),
    _type("half", "<f2", "half_val"),
    _type("int8", "i1", "int_val"),
    _type("int16", "<i2", "int_val"),
    _type("int32", "<i4", "int_val"),
    _type("int64", "<i8", "int64_val"),
    _type("uint8", "u1", "int_val"),
    _type("uint16", "<u2", "int_val"),
    _type("uint32", "<u4", "uint32_val"),
    _type("uint64", "<u8", "uint64_val"),
    _type("bool", "?", "bool_val"),
    _type("string", "O", "string_val"),
)
"""Every type that we convert. The complex, quantised and 8-bit floating types are refused by name, and so is bfloat16.
"""

BY_NUMBER: Final[Mapping[int, Type]] = {item.number: item for item in TYPES}
BY_NUMPY: Final[Mapping[np.dtype[Any], Type]] = {item.numpy: item for item in TYPES}


def type_of(number: int) -> Type:
    """Return the type with that number, raising ``TensorError`` for one that is not converted."""
    found = BY_NUMBER.get(number)
    if found is None:
        known = number in types_pb2.DataType.values()
        name = types_pb2.DataType.Name(number) if known else f"number {number}"
        raise TensorError(f"tensor type {name} is not supported")
    return found


def array_of(proto: tensor_pb2.TensorProto) -> NDArray[Any]:
    """Return the tensor as an array; strings are ``bytes`` in an array of objects.

    The array may be a read-only view of the message's bytes. Raises ``TensorError`` for an unknown type or shape, and
    for contents that do not fit the shape.
    """
    kind = type_of(proto.dtype)
    shape = shape_of(proto)
    if proto.tensor_content:
        return _array_of_content(proto.tensor_content, kind, shape)
    given = getattr(proto, kind.field)
    size = math.prod(shape)
    if kind.name == "half":
        values = np.array(given, dtype="<u2").view("<f2")
    elif kind.name == "string":
        values = np.empty(len(given), dtype=object)
        values[:] = given
    else:
        values = _fitting(given, kind)
    if len(values) == size:
        return values.reshape(shape)
    if len(values) > size:
        raise TensorError(f"tensor of shape {list(shape)} has {len(values)} values")
    filled = np.empty(size, dtype=kind.numpy)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1] if len(values) else (b"" if kind.name == "string" else 0)
    return filled.reshape(shape)


def _fitting(given: Any, kind: Type) -> NDArray[Any]:
    """Return the values of a field as an array of the type; the narrow integers travel in a field of 32 bits."""
    if kind.field != "int_val":
        return np.array(given, dtype=kind.numpy)
    wide = np.array(given, dtype="<i4")
    values = wide.astype(kind.numpy)
    if (values != wide).any():
        raise TensorError(f"a value does not fit {kind.name}: {wide[values != wide][0]}")
    return values


def _array_of_content(content: bytes, kind: Type, shape: tuple[int, ...]) -> NDArray[Any]:
    if kind.name == "string":
        raise TensorError("strings in tensor_content are not supported; send them in string_val")
    wanted = math.prod(shape) * kind.numpy.itemsize
    if len(content) != wanted:
        raise TensorError(f"tensor of shape {list(shape)} has {len(content)} bytes of {kind.name}; {wanted} are wanted")
    return np.frombuffer(content, dtype=kind.numpy).reshape(shape)


def shape_of(proto: tensor_pb2.TensorProto) -> tuple[int, ...]:
    """Return the shape of a tensor message, raising ``TensorError`` where it is not one that a value can have."""
    if proto.tensor_shape.unknown_rank:
        raise TensorError("tensor has a shape of unknown rank")
    shape = tuple(dimension.size for dimension in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise TensorError(f"tensor shape {list(shape)} has a negative dimension")
    if math.prod(shape) > MAX_ELEMENTS:
        raise TensorError(f"tensor shape {list(shape)} has more than {MAX_ELEMENTS} elements")
    return shape


def proto_of(array: NDArray[Any], *, as_content: bool = False) -> tensor_pb2.TensorProto:
    """Return the array as a message, with its values in the field of their type, or as bytes.

    TensorFlow Serving answers in fields unless told otherwise, and many clients read ``float_val`` themselves. Text in
    an array of objects is encoded as UTF-8. Raises ``TensorError`` for a numpy type that no message has.
    """
    kind = numpy_type(array)
    proto = tensor_pb2.TensorProto(dtype=kind.number)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if kind.name == "string":
        proto.string_val.extend(_bytes(value) for value in array.ravel())
    elif as_content:
        proto.tensor_content = array.astype(kind.numpy, copy=False).tobytes()
    elif kind.name == "half":
        proto.half_val.extend(array.astype(kind.numpy, copy=False).ravel().view("<u2").tolist())
    else:
        getattr(proto, kind.field).extend(array.ravel().tolist())
    return proto


def numpy_type(array: NDArray[Any]) -> Type:
    """Return the type of an array's elements; numpy's own text and bytes count as strings."""
    if array.dtype.kind in "USO":
        return BY_NUMPY[np.dtype(object)]
    found = BY_NUMPY.get(array.dtype.newbyteorder("<"))
    if found is None:
        raise TensorError(f"numpy type {array.dtype} is not supported")
    return found


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise TensorError(f"element {value!r} of a string tensor is neither text nor bytes")
