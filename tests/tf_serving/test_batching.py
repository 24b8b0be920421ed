"""The queue and the arrays of a batch: for any sequence of requests."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from roadstead_plugins.runtimes.tf_serving.server.batching import Queue, joined, parted, rows
from roadstead_plugins.runtimes.tf_serving.server.configs import Batching
from roadstead_plugins.runtimes.tf_serving.server.status import Code, ServingError

BATCHING = st.builds(
    Batching,
    max_batch_size=st.integers(1, 8),
    timeout=st.sampled_from([0.0, 1.0, 5.0]),
    max_enqueued_batches=st.integers(1, 4),
)
SIZES = st.lists(st.integers(1, 8), max_size=30)


def _offer(queue: Queue[int], number: int, size: int, now: float) -> Code | None:
    """Offer a task and return why it was refused, if it was."""
    try:
        queue.offer(number, size=size, now=now)
    except ServingError as error:
        return error.code
    return None


@given(BATCHING, SIZES, st.integers(1, 5))
def test_every_request_taken_is_run_once_and_in_order(batching: Batching, sizes: list[int], every: int) -> None:
    """What the queue took comes out once, in order, in batches no larger than allowed; what it refused never does."""
    queue: Queue[int] = Queue(batching)
    taken, run = [], []
    for number, size in enumerate(sizes):
        now = float(number)
        refusal = _offer(queue, number, size, now)
        if refusal is None:
            taken.append(number)
        else:
            assert refusal is (Code.INVALID_ARGUMENT if size > batching.max_batch_size else Code.UNAVAILABLE)
        if number % every == 0 and (batch := queue.take(now=now)):
            assert sum(sizes[task] for task in batch.tasks) == batch.size <= batching.max_batch_size
            run.extend(batch.tasks)
    while (due := queue.due()) is not None:
        batch = queue.take(now=due)
        assert batch is not None
        run.extend(batch.tasks)
    assert taken == run


@given(BATCHING, SIZES)
def test_the_queue_is_bounded(batching: Batching, sizes: list[int]) -> None:
    """However much is offered, no more than the allowed batches wait, the open one included."""
    queue: Queue[int] = Queue(batching)
    for number, size in enumerate(sizes):
        _offer(queue, number, size, 0.0)
    waiting = 0
    while queue.take(now=1e9) is not None:
        waiting += 1
    assert waiting <= batching.max_enqueued_batches


def test_a_batch_waits_for_others_until_its_time_is_over() -> None:
    """An open batch is due when its first request has waited for the time-out, a full one at once."""
    queue: Queue[str] = Queue(Batching(max_batch_size=3, timeout=2.0))
    assert queue.due() is None
    queue.offer("a", size=1, now=10.0)
    queue.offer("b", size=1, now=11.5)
    assert 12.0 == queue.due()
    assert queue.take(now=11.9) is None
    queue.offer("c", size=1, now=11.9)
    batch = queue.take(now=11.9)
    assert batch is not None
    assert ["a", "b", "c"] == batch.tasks


_LENGTHS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), min_size=1, max_size=5)


def _requests(shapes: list[tuple[int, int]]) -> list[dict[str, NDArray[Any]]]:
    counter = iter(range(10_000))
    return [
        {"x": np.array([[next(counter) for _ in range(length)] for _ in range(size)], dtype=np.float32)}
        for size, length in shapes
    ]


@given(_LENGTHS, st.booleans())
def test_each_request_gets_its_own_rows_back(shapes: list[tuple[int, int]], fixed_sizes: bool) -> None:
    """Joined, padded and made up to an allowed size, the parts are the requests' own values and their padding."""
    batching = Batching(
        max_batch_size=64, pad_variable_length_inputs=True, allowed_batch_sizes=(4, 64) if fixed_sizes else ()
    )
    requests = _requests(shapes)
    together = joined(requests, batching)
    total = sum(size for size, _ in shapes)
    assert (next(size for size in (4, 64) if size >= total) if fixed_sizes else total) == rows(together)
    parts = parted([together["x"]], [size for size, _ in shapes], total=rows(together))
    for request, (part,), (_, length) in zip(requests, parts, shapes, strict=True):
        assert request["x"].tolist() == part[:, :length].tolist()
        assert {request["x"].flat[0]} >= set(part[:, length:].flat)


def test_an_output_that_does_not_follow_the_rows_is_an_error() -> None:
    """A model whose output has not one row for each row of its input cannot be batched."""
    with pytest.raises(ServingError, match="0th dimension does not equal the sum"):
        parted([np.zeros((3, 2))], [1, 1], total=2)
    with pytest.raises(ServingError, match="0 dimensions"):
        parted([np.array(1.0)], [1, 1], total=2)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({"x": np.array(1.0)}, "must have at least one dimension"),
        ({"x": np.zeros(1), "y": np.zeros(2)}, "must have equal 0th-dimension size"),
        ({}, "must have at least one input tensor"),
    ],
)
def test_a_request_without_rows_cannot_be_batched(inputs: dict[str, NDArray[Any]], text: str) -> None:
    """All inputs of a request must have the same number of rows."""
    with pytest.raises(ServingError, match=text):
        rows(inputs)


def test_types_do_not_mix() -> None:
    """A batch of two types is refused: numpy would silently make one of them the other."""
    with pytest.raises(ServingError, match="have different types"):
        joined([{"x": np.zeros(1, "f4")}, {"x": np.zeros(1, "f8")}], attrs.evolve(Batching()))
