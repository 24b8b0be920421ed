"""Averages and peaks over windows of time that slide with the intervals between measurements, and with no clock.

What a window forgets, it forgets in small pieces: a thirtieth of it, or a third of the panic window where that is more.
So its memory is bounded, however often it is fed.
"""

from __future__ import annotations

import attrs

from roadstead.autoscaling import Peak, Windows
from roadstead.memory import Bucket

__all__ = ["Averages", "averages", "fed", "highest", "peaked"]

_PIECES = 30
_PANIC_PIECES = 3
_PEAKS = 10


@attrs.frozen(kw_only=True)
class Averages:
    """What there was on average, ``None`` where nothing was measured; ``known_ms`` of the stable window was.

    ``complete``: all of the stable window was measured.
    """

    stable: int | None
    panic: int | None
    known_ms: int
    complete: bool


def fed(buckets: tuple[Bucket, ...], value: int | None, elapsed_ms: int, windows: Windows) -> tuple[Bucket, ...]:
    """Return the window with ``value`` for the last ``elapsed_ms``, and ``None`` where that was not measured."""
    if elapsed_ms <= 0:
        return buckets
    stable = windows.stable.ms
    finest = max(windows.panic.ms // _PANIC_PIECES, stable // _PIECES)
    ms, known_ms, total = (elapsed_ms, elapsed_ms, value * elapsed_ms) if value is not None else (elapsed_ms, 0, 0)
    if buckets and buckets[-1].ms + ms <= finest:
        newest = buckets[-1]
        kept = (*buckets[:-1], Bucket(newest.ms + ms, newest.known_ms + known_ms, newest.total + total))
    else:
        kept = (*buckets, Bucket(ms, known_ms, total))
    length = sum(bucket.ms for bucket in kept)
    spent = 0
    while length - kept[spent].ms >= stable:
        length -= kept[spent].ms
        spent += 1
    return kept[spent:] if spent else kept


def averages(buckets: tuple[Bucket, ...], windows: Windows) -> Averages:
    """Return the averages over both windows, the newest of what was measured first."""
    ms = known_ms = total = 0
    recent: tuple[int, int] | None = None
    for bucket in reversed(buckets):
        ms += bucket.ms
        known_ms += bucket.known_ms
        total += bucket.total
        if recent is None and ms >= windows.panic.ms:
            recent = total, known_ms
    return Averages(
        stable=_average(total, known_ms),
        panic=_average(*(recent or (total, known_ms))),
        known_ms=known_ms,
        complete=known_ms >= windows.stable.ms,
    )


def _average(total: int, known_ms: int) -> int | None:
    """Return the average over what is known, rounded up: a little load is not none."""
    return -(-total // known_ms) if known_ms else None


# ---- peaks ----


def peaked(peaks: tuple[Peak, ...], count: int, elapsed_ms: int, windows: Windows) -> tuple[Peak, ...]:
    """Return the peaks with ``count`` for the last ``elapsed_ms``; what is older than ``scale_down_after`` goes."""
    after = windows.scale_down_after.ms
    if peaks and peaks[-1].ms + elapsed_ms <= after // _PEAKS:
        kept = (*peaks[:-1], Peak(peaks[-1].ms + elapsed_ms, max(peaks[-1].most, count)))
    else:
        kept = (*peaks, Peak(elapsed_ms, count))
    length = sum(peak.ms for peak in kept)
    spent = 0
    while spent + 1 < len(kept) and length - kept[spent].ms >= after:
        length -= kept[spent].ms
        spent += 1
    return kept[spent:] if spent else kept


def highest(peaks: tuple[Peak, ...], windows: Windows) -> int | None:
    """Return the most that were needed during ``scale_down_after``, ``None`` while that is not over yet."""
    if sum(peak.ms for peak in peaks) < windows.scale_down_after.ms:
        return None
    return max((peak.most for peak in peaks), default=None)
