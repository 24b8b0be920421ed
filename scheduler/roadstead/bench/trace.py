"""Reads how many requests a second there were when, from a CSV file with the columns ``seconds`` and ``rate``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from roadstead.bench.scenario import Rate
from roadstead.units import Duration

__all__ = ["TraceError", "read_trace"]

_COLUMNS = ("seconds", "rate")
_MOST = 1_000_000


class TraceError(ValueError):
    """A file that is no trace."""

    def __init__(
        self, what: str, hint: str = "a first line `seconds,rate`, then a number of each in every line"
    ) -> None:
        super().__init__(what)
        self.hint = hint


def read_trace(path: Path) -> tuple[Rate, ...]:
    """Return the rates in the file, which must be in the order of time; raises :class:`TraceError`."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return tuple(_rates(csv.reader(file), path))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise TraceError(f"{path} cannot be read: {reason}", "name a file that there is") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise TraceError(f"{path} is no CSV file: {error}") from error


def _rates(rows: Iterator[list[str]], path: Path) -> Iterator[Rate]:
    head = tuple(cell.strip() for cell in next(rows, []))
    if head != _COLUMNS:
        raise TraceError(f"{path} begins with {','.join(head)[:60]!r}, not with seconds,rate")
    last = -1
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        rate = _rate(row, f"line {number} of {path}")
        if rate.at.ms <= last:
            raise TraceError(f"line {number} of {path} is not after the one before", "put the lines in order of time")
        last = rate.at.ms
        yield rate


def _rate(row: list[str], where: str) -> Rate:
    try:
        seconds, rate = (float(cell) for cell in row)
    except ValueError as error:
        raise TraceError(f"{where} is {','.join(row)[:60]!r}, not two numbers") from error
    if not (0 <= seconds <= 7 * 24 * 3600 and 0 <= rate <= _MOST):
        raise TraceError(f"{where} is beyond a week, or {_MOST} requests a second, or below 0")
    return Rate(Duration(round(seconds * 1000)), round(rate * 1000))
