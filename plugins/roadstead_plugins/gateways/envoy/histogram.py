"""How long answers took: the buckets of one of Envoy's histograms, and percentiles from them; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

from roadstead.traffic import Latency

__all__ = ["EMPTY", "Bucket", "Histogram"]


@attrs.frozen(order=True)
class Bucket:
    """The values from ``lower`` (inclusive) to ``lower + width``, in milliseconds."""

    lower: float
    width: float


@attrs.frozen
class Histogram:
    """How many values are in each bucket; buckets without any are left out."""

    counts: Mapping[Bucket, int]

    def plus(self, other: Histogram) -> Histogram:
        """Return the values of both."""
        return Histogram(Counter(self.counts) + Counter(other.counts))

    def since(self, before: Histogram) -> Histogram:
        """Return the values that were added after ``before`` was taken of the same histogram."""
        return Histogram(Counter(self.counts) - Counter(before.counts))

    def latency(self) -> Latency | None:
        """Return the percentiles, or ``None`` without any value."""
        if not self.counts:
            return None
        p50, p90, p99 = _quantiles(sorted(self.counts.items()), (0.5, 0.9, 0.99))
        return Latency(p50=p50, p90=p90, p99=p99)


EMPTY = Histogram({})


def _quantiles(buckets: list[tuple[Bucket, int]], shares: Iterable[float]) -> list[float]:
    """Return the values below which these shares of all lie, each bucket taken as evenly filled.

    >>> _quantiles([(Bucket(10, 1), 50), (Bucket(20, 1), 50)], (0.25, 0.5, 0.99))
    [10.5, 11.0, 20.98]
    """
    total = sum(count for _, count in buckets)
    return [_value_at(buckets, share * total) for share in shares]


def _value_at(buckets: list[tuple[Bucket, int]], rank: float) -> float:
    """Return the value that ``rank`` values lie below."""
    for bucket, count in buckets:
        if rank <= count:
            return bucket.lower + bucket.width * rank / count
        rank -= count
    last, _ = buckets[-1]
    return last.lower + last.width
