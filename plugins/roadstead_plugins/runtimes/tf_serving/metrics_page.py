"""TensorFlow Serving's own metrics, read as what a server had to do. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from roadstead.traffic import ServerLoad

__all__ = ["server_load"]

_REQUESTS: Final = ":tensorflow:serving:request_count_total"
"""The ending is the parser's, which gives it to every counter."""
_LATENCY: Final = ":tensorflow:serving:request_latency_sum"

_DIGITS: Final = 6
"""TensorFlow Serving writes a sum with so many digits: after an hour of work the last of them is ten milliseconds."""


def server_load(page: str, model: str) -> ServerLoad | None:
    """Return what a page of metrics says of one model, or ``None`` where it is not such a page.

    A server that was not asked yet has no lines for it. The sum of the latencies has only OK requests in it.
    """
    ok = failed = 0
    latency = step = 0.0
    try:
        for sample in _samples(page):
            if sample.labels.get("model_name") != model:
                continue
            good = sample.labels.get("status", "OK") == "OK"
            if sample.name == _REQUESTS:
                ok, failed = (ok + int(sample.value), failed) if good else (ok, failed + int(sample.value))
            elif sample.name == _LATENCY and good:
                latency += sample.value
                step += _step(sample.value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(latency):
        return None
    return ServerLoad(ok=ok, failed=failed, latency=latency / 1000, step=step / 1000)


def _samples(page: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(page):
        yield from family.samples


def _step(value: float) -> float:
    """Return by how much a sum may be off: a unit of its last digit, if it has no more than would be written.

    >>> [_step(value) for value in (1234.0, 12345600.0, 12345678.0)]
    [0.0, 100.0, 0.0]
    """
    unit = float(10 ** max(0, math.floor(math.log10(value)) + 1 - _DIGITS)) if value > 0 else 1.0
    return unit if unit > 1 and value % unit == 0 else 0.0
