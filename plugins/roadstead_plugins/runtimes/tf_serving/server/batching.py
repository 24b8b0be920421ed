"""Putting requests together: TensorFlow Serving's queue as a state machine, and a batch's arrays joined and parted.

Nothing here waits, runs a thread or reads a clock; ``scheduler`` drives it. Sources of the rules:
``shared_batch_scheduler.h`` in TensorFlow, ``batching_session.cc`` and ``batching_util.cc`` in TensorFlow Serving.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.server.configs import Batching
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError, invalid

Arrays = Mapping[str, NDArray[Any]]
T = TypeVar("T")

MAX_PADDED_RANK: Final = 6


@attrs.define
class Batch(Generic[T]):
    """Tasks that run together; ``opened`` is when the first of them came."""

    opened: float = 0.0
    size: int = 0
    tasks: list[T] = attrs.field(factory=list)


class Queue(Generic[T]):
    """The tasks of one kind that wait: full batches in order, and one that is open for more.

    Times are seconds of any steady clock, always given by the caller.
    """

    def __init__(self, batching: Batching) -> None:
        self._batching = batching
        self._batches: deque[Batch[T]] = deque([Batch()])

    def offer(self, task: T, *, size: int, now: float) -> None:
        """Take a task of so many rows, or raise ``ServingError``: larger than a batch may be, or no room to wait."""
        limit = self._batching.max_batch_size
        if size > limit:
            raise invalid(f"Task size {size} is larger than maximum input batch size {limit}")
        if self._batches[-1].size + size > limit:
            if len(self._batches) >= self._batching.max_enqueued_batches:
                raise ServingError(
                    Code.UNAVAILABLE,
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{len(self._batches)} batches enqueued and max_enqueued_batches is "
                    f"{self._batching.max_enqueued_batches}",
                )
            self._batches.append(Batch())
        batch = self._batches[-1]
        if not batch.tasks:
            batch.opened = now
        batch.tasks.append(task)
        batch.size += size

    def due(self) -> float | None:
        """Return when the next batch may run, which may be past; ``None`` while nothing waits."""
        first = self._batches[0]
        if len(self._batches) > 1 or first.size >= self._batching.max_batch_size:
            return first.opened
        return first.opened + self._batching.timeout if first.tasks else None

    def take(self, *, now: float) -> Batch[T] | None:
        """Remove and return the next batch if it may run by now."""
        due = self.due()
        if due is None or now < due:
            return None
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(Batch())
        return batch


def rows(inputs: Arrays) -> int:
    """Return the number of rows of a request, which all its tensors must share."""
    if any(array.ndim == 0 for array in inputs.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes: set[int] = {array.shape[0] for array in inputs.values()}
    if not sizes:
        raise invalid("Batching Run() must have at least one input tensor")
    if len(sizes) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def joined(requests: Sequence[Arrays], batching: Batching) -> dict[str, NDArray[Any]]:
    """Return the inputs of several requests as one, row after row.

    Requests of different length are refused, or padded if the parameters say so, **each tensor with its own first
    element**: that is what TensorFlow Serving does, and a model must bear it. The rows are made up to the next allowed
    batch size with copies of the last request's first row.
    """
    total = sum(rows(request) for request in requests)
    missing = next((size for size in batching.allowed_batch_sizes if size >= total), total) - total
    result = {}
    for name in requests[0]:
        arrays = [request[name] for request in requests]
        if len({array.dtype for array in arrays}) > 1:
            raise invalid(f"Tensors with name '{name}' from different tasks have different types")
        if len({array.shape[1:] for array in arrays}) > 1:
            arrays = _padded(name, arrays, batching)
        if missing:
            arrays.append(np.repeat(arrays[-1][:1], missing, axis=0))
        result[name] = np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
    return result


def _padded(name: str, arrays: list[NDArray[Any]], batching: Batching) -> list[NDArray[Any]]:
    if not batching.pad_variable_length_inputs or len({array.ndim for array in arrays}) > 1:
        raise ServingError(
            Code.FAILED_PRECONDITION,
            f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off."
            "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name"
            "have equal dimensions starting with the first dim.",
        )
    if arrays[0].ndim > MAX_PADDED_RANK:
        raise invalid(f"Only tensors with rank from 1 to {MAX_PADDED_RANK} can be padded.")
    longest = np.max([array.shape[1:] for array in arrays], axis=0)
    return [_pad(array, tuple(longest)) for array in arrays]


def _pad(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if array.shape[1:] == shape:
        return array
    if array.size == 0:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    padded = np.full((array.shape[0], *shape), array.flat[0], dtype=array.dtype)
    padded[tuple(slice(size) for size in array.shape)] = array
    return padded


def parted(outputs: Sequence[NDArray[Any]], sizes: Sequence[int], *, total: int) -> list[list[NDArray[Any]]]:
    """Return each request's part of the outputs of a batch of ``total`` rows, of which the last may be nobody's."""
    for output in outputs:
        if output.ndim == 0:
            raise ServingError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if output.shape[0] != total:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
                "tensors",
            )
    ends = np.cumsum(sizes)
    return [[output[end - size : end] for output in outputs] for size, end in zip(sizes, ends, strict=True)]
