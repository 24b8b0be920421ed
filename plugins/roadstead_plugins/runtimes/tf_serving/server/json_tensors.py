"""Tensors in TensorFlow Serving's JSON: rows (``instances``), columns (``inputs``), and the answers to both.

Shapes and error texts are those of ``util/json_tensor.cc``. White space inside an answer is not.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.protos import meta_graph_pb2
from roadstead_plugins.runtimes.tf_serving.server.batching import Arrays
from roadstead_plugins.runtimes.tf_serving.server.signatures import DEFAULT_SIGNATURE
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid
from roadstead_plugins.runtimes.tf_serving.tensors import Type, numpy_type, type_of

BYTES_SUFFIX: Final = "_bytes"
"""A string output whose name ends so is answered in base64."""


@attrs.frozen(kw_only=True)
class JsonRequest:
    """A request body, read as far as that is possible without the model's signature."""

    body: Mapping[str, Any]
    by_row: bool
    signature: str


def read(body: bytes) -> JsonRequest:
    """Read a request body, raising ``ServingError`` where it is not one."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        where = f" at offset: {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise invalid(f"JSON Parse error: {error}{where}") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_short(document)} Is not object")
    signature = document.get("signature_name", "")
    if not isinstance(signature, str):
        raise invalid(
            f"JSON Value: {_short(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {_short(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" not in document and "inputs" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    return JsonRequest(body=document, by_row="instances" in document, signature=signature)


def inputs_of(request: JsonRequest, signature: meta_graph_pb2.SignatureDef) -> Arrays:
    """Return the request's tensors, typed as the signature says."""
    wanted = dict(signature.inputs)
    if not wanted:
        raise invalid(f"Failed to get input map for signature: {request.signature or DEFAULT_SIGNATURE}")
    return _rows(request.body, wanted) if request.by_row else _columns(request.body["inputs"], wanted)


def _columns(value: Any, wanted: Mapping[str, meta_graph_pb2.TensorInfo]) -> Arrays:
    if isinstance(value, dict) and not _is_base64(value):
        for name in wanted:
            if name not in value:
                raise invalid(f"Missing named input: {name} in 'inputs' object.")
        return {name: tensor(value[name], info) for name, info in wanted.items()}
    if len(wanted) > 1:
        raise invalid(
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map"
        )
    return {name: tensor(value, info) for name, info in wanted.items()}


def _rows(body: Mapping[str, Any], wanted: Mapping[str, meta_graph_pb2.TensorInfo]) -> Arrays:
    rows = body["instances"]
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {_short(body)} Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid(f"JSON Value: {_short(body)} No values in 'instances' array")
    named = _is_named(rows[0])
    if not named and len(wanted) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in wanted}
    for index, row in enumerate(rows):
        for name, array in _row(row, index, named=named, wanted=wanted):
            first = found[name][0] if found[name] else array
            if first.shape != array.shape:
                raise _in_row(index, name, f"Expecting shape {_shape(first)} but got: {_shape(array)}")
            found[name].append(array)
    return {name: np.stack(arrays) for name, arrays in found.items()}


def _row(
    row: Any, index: int, *, named: bool, wanted: Mapping[str, meta_graph_pb2.TensorInfo]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield each tensor of one instance."""
    if named and not _is_named(row):
        raise invalid(f"Expecting object but got list at item {index} of input list")
    if not named and _is_named(row):
        raise invalid(f"Expecting value/list but got object at item {index} of input list")
    values = row if named else dict.fromkeys(wanted, row)
    for name, value in values.items():
        if name not in wanted:
            raise _in_row(index, name, f"JSON object: does not have named input: {name}")
        try:
            yield name, tensor(value, wanted[name])
        except ServingError as error:
            raise _in_row(index, name, error.message) from error
    if values.keys() != wanted.keys():
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: {_short(row)} "
            f"keys must be equal to: {','.join(sorted(wanted))}"
        )


def _in_row(index: int, name: str, text: str) -> ServingError:
    return invalid(
        f"Failed to process element: {index} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: {text}"
    )


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def tensor(value: Any, info: meta_graph_pb2.TensorInfo) -> NDArray[Any]:
    """Return a JSON value, nested lists of equal lengths or a single value, as an array of the type."""
    kind = type_of(info.dtype)
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    flat: list[Any] = []
    _flatten(value, 0, shape, kind, flat)
    array = np.empty(len(flat), dtype=kind.numpy)
    array[:] = flat
    return array.reshape(shape)


def _flatten(value: Any, level: int, shape: list[int], kind: Type, flat: list[Any]) -> None:
    """Append every value to ``flat``, each checked, raising where a list has not the shape that the first ones have."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_short(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(_element(value, kind))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _flatten(item, level + 1, shape, kind, flat)


def _element(value: Any, kind: Type) -> Any:
    """Return one value as the type takes it. Python counts a truth value as a number; JSON does not."""
    match kind.numpy.kind:
        case "f" if isinstance(value, int | float) and not isinstance(value, bool):
            return _real(value, kind)
        case "i" | "u" if isinstance(value, int) and not isinstance(value, bool):
            limits = np.iinfo(kind.numpy)
            if limits.min <= value <= limits.max:
                return value
        case "b" if isinstance(value, bool):
            return value
        case "O" if isinstance(value, str):
            return value.encode()
        case "O" if isinstance(value, dict):
            return _decoded(value)
    raise invalid(f"JSON Value: {_short(value)} Type: {_json_type(value)} is not of expected type: {kind.name}")


def _real(value: float, kind: Type) -> float:
    limits = np.finfo(kind.numpy)
    exact = 2 ** (limits.nmant + 1) - 1
    lossy = abs(value) > exact if isinstance(value, int) else math.isfinite(value) and abs(value) > float(limits.max)
    if lossy:
        raise invalid(f"Cannot convert JSON value: {_short(value)} to {kind.name} without loss of precision.")
    return value


def _decoded(value: Mapping[str, Any]) -> bytes:
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_short(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _json_type(value: Any) -> str:
    names = {bool: str(value), type(None): "Null", str: "String", list: "Array", dict: "Object"}
    return names.get(type(value), "Number")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 1000 else text[:1000] + "..."


def _shape(array: NDArray[Any]) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


def answer(outputs: Arrays, *, by_row: bool) -> str:
    """Return the body of an answer. One output alone stands for itself; several are named."""
    if not by_row:
        values = {name: _encoded(name, array) for name, array in outputs.items()}
        return f'{{\n    "outputs": {_object(values) if len(values) > 1 else next(iter(values.values()))}\n}}'
    sizes = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
    for name, size in sizes.items():
        if size is None:
            raise invalid(f"Tensor name: {name} has no shape information ")
        expected = next(iter(sizes.values()))
        if size != expected:
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {size} expecting: {expected}")
    columns = {name: [_encoded(name, row) for row in array] for name, array in outputs.items()}
    if len(columns) == 1:
        rows = next(iter(columns.values()))
    else:
        rows = [_object(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    return f'{{\n    "predictions": [{", ".join(rows)}\n    ]\n}}'


def _object(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in values.items()) + "}"


def _encoded(name: str, value: Any) -> str:
    """Return an array, or one element of it, as JSON."""
    array = np.asarray(value) if not isinstance(value, bytes) else np.array(value, dtype=object)
    kind = numpy_type(array)
    if kind.name == "string":
        return _nested(array, lambda item: _text(item, as_bytes=name.endswith(BYTES_SUFFIX)))
    if kind.numpy.kind == "f":
        precise = 17 if kind.name == "double" else 9
        return _nested(array, lambda item: decimal(item, array.dtype, precise))
    return _nested(array, json.dumps)


def _nested(array: NDArray[Any], one: Any) -> str:
    def walk(value: Any) -> str:
        return "[" + ", ".join(map(walk, value)) + "]" if isinstance(value, list) else str(one(value))

    return walk(array.tolist())


def _text(value: bytes, *, as_bytes: bool) -> str:
    if as_bytes:
        return json.dumps({"b64": base64.b64encode(value).decode()})
    try:
        return json.dumps(value.decode(), ensure_ascii=False)
    except UnicodeDecodeError as error:
        raise ServingError(
            Code.INVALID_ARGUMENT, f"a string of the answer is not UTF-8: name the output ...{BYTES_SUFFIX} for base64"
        ) from error


def decimal(value: float, dtype: np.dtype[Any], precise: int) -> str:
    """Return a number as TensorFlow Serving writes it: six digits if they say it exactly, else all that are needed.

    >>> [decimal(float(np.float32(x)), np.dtype("f4"), 9) for x in (0.5, 2, 0.1, 1 / 3, 9e6, float("nan"))]
    ['0.5', '2.0', '0.1', '0.333333343', '9e+06', 'NaN']
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    text = f"{value:.6g}"
    if dtype.type(text) != value:
        text = f"{value:.{precise}g}"
    return text if "." in text or "e" in text else text + ".0"
