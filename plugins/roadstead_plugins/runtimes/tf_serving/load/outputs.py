"""What a model answered, whatever it came in, and how it differs from what was expected. Pure.

An answer in JSON may have its only output without a name. Such an output has the name ``""`` here, and is compared with
the only output of the other side, whatever the name of that is.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outputs", "difference", "outputs_of"]

Outputs = Mapping[str, NDArray[Any]]


def outputs_of(document: Any) -> Outputs:
    """Return the outputs of an answer as REST gives it, in rows (``predictions``) or columns (``outputs``).

    Raises ``ValueError`` where it is neither, or its lists have no shape.
    """
    if not isinstance(document, Mapping) or len(document.keys() & {"predictions", "outputs"}) != 1:
        raise ValueError('an answer is {"predictions": [...]} or {"outputs": ...}')
    if "outputs" in document:
        columns = document["outputs"]
        named = columns if _is_named(columns) else {"": columns}
    else:
        named = _columns(document["predictions"])
    return {name: _array(name, value) for name, value in named.items()}


def _columns(rows: Any) -> Mapping[str, Any]:
    if not isinstance(rows, list) or not rows:
        raise ValueError("predictions is no list with something in it")
    if not _is_named(rows[0]):
        return {"": rows}
    if any(not _is_named(row) or row.keys() != rows[0].keys() for row in rows):
        raise ValueError("not every prediction has the same outputs")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() != {"b64"}


def _array(name: str, value: Any) -> NDArray[Any]:
    """Return nested lists as an array: of numbers, or of objects that are ``bytes``."""
    try:
        found = np.array(value)
    except ValueError as error:  # numpy's words are about "inhomogeneous parts"
        raise ValueError(f"output {name!r} has lists of different lengths") from error
    if found.dtype.kind in "fiub":
        return found
    found = np.array(value, dtype=object)
    flat = found.ravel()
    for index, item in enumerate(flat):
        flat[index] = _bytes(name, item)
    return flat.reshape(found.shape)


def _bytes(name: str, item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, Mapping) and item.keys() == {"b64"}:
        return base64.b64decode(item["b64"])
    raise ValueError(f"output {name!r} has {item!r} in it, which is neither a number nor text")


def difference(found: Outputs, expected: Outputs, tolerance: float) -> str:
    """Return what is wrong with ``found``: empty where each number is within ``tolerance``, and all else is equal."""
    if len(found) == len(expected) == 1 and "" in (*found, *expected):
        ((name, left), (right_name, right)) = (*found.items(), *expected.items())
        return _difference(name or right_name or "answer", left, right, tolerance)
    if found.keys() != expected.keys():
        return f"the outputs are {_listed(found)}, not {_listed(expected)}"
    wrong = (_difference(name, found[name], expected[name], tolerance) for name in expected)
    return next((text for text in wrong if text), "")


def _listed(outputs: Outputs) -> str:
    return ", ".join(sorted(outputs)) or "none"


def _difference(name: str, found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> str:
    if found.shape != expected.shape:
        return f"{name} has shape {list(found.shape)}, not {list(expected.shape)}"
    if "O" in (found.dtype.kind, expected.dtype.kind):
        return "" if np.array_equal(found, expected) else f"{name} is not the text that was expected"
    with np.errstate(invalid="ignore"):  # the distance of infinity to itself is no number
        distance = np.abs(found.astype(float) - expected)
    if (distance <= tolerance).all():
        return ""
    close = np.isclose(found, expected, rtol=0, atol=tolerance, equal_nan=True)  # four times as slow, and knows those
    if close.all():
        return ""
    distance = distance[~close]
    return f"{name} differs by up to {np.max(distance):.2g} in {len(distance)} of {found.size} numbers"
