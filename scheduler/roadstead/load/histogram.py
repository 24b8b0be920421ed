"""How long things took, in an HDR histogram: constant memory, and every percentile to three significant digits.

The one module that uses ``hdrhistogram``, the port of the original by its own project; it has no annotations.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from roadstead.errors import RoadsteadError

__all__ = ["Histogram", "Summary"]

_LONGEST: Final = 3_600_000_000
"""Microseconds; what took longer counts as an hour."""
_DIGITS: Final = 3


@attrs.frozen(kw_only=True)
class Summary:
    """The distribution of some times, in milliseconds."""

    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class Histogram:
    """Times, in microseconds inside and in seconds and milliseconds outside."""

    def __init__(self) -> None:
        self._counts = _hdr_histogram()
        self._max = 0

    def record(self, seconds: float) -> None:
        """Count one time; what is below nothing is nothing."""
        value = min(max(0, round(seconds * 1e6)), _LONGEST)
        self._max = max(self._max, value)
        self._counts.record_value(value)

    def __len__(self) -> int:
        return int(self._counts.get_total_count())

    def percentile(self, percent: float) -> float:
        """Return the milliseconds that so many percent took at most; 0 where nothing was counted."""
        return min(int(self._counts.get_value_at_percentile(percent)), self._max) / 1000

    def summary(self) -> Summary | None:
        """Return the distribution; ``None`` where nothing was counted."""
        if not len(self):
            return None
        p50, p90, p99, p999 = (self.percentile(percent) for percent in (50, 90, 99, 99.9))
        return Summary(p50=p50, p90=p90, p99=p99, p999=p999, max=self._max / 1000)


def _hdr_histogram() -> Any:
    # Deferred because it is in an extra: whoever puts nothing under load does not need what it requires.
    try:
        from hdrh.histogram import HdrHistogram  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise RoadsteadError(
            "percentiles need package hdrhistogram, which is not installed", hint="install roadstead[load]"
        ) from error
    return HdrHistogram(1, _LONGEST, _DIGITS)
