"""Kubernetes' way of writing amounts, as exact integers of ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

from roadstead.units import Cpus, Memory

__all__ = ["cpus_left", "cpus_used", "exact", "memory_left", "memory_used", "whole"]

_QUANTITY: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?:(?P<suffix>n|u|m|k|Ki|[MGTPE]i?)|[eE](?P<exponent>[+-]?[0-9]{1,2}))?"
)
_SCALES: Final[Mapping[str, Fraction]] = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{unit: Fraction(1000**power) for power, unit in enumerate("kMGTPE", start=1)},
    **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGTPE", start=1)},
}


@lru_cache(maxsize=4096)
def exact(text: str) -> Fraction:
    """Return a quantity as an exact number; raises :class:`ValueError` for what is none.

    >>> exact("1500m"), exact("64Mi") == 64 * 2**20, exact("1e3") == exact("1k")
    (Fraction(3, 2), True, True)
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    number = Fraction(f"0{match['number']}".rstrip("."))
    if match["exponent"] is not None:
        number *= Fraction(10) ** int(match["exponent"])
    else:
        number *= _SCALES[match["suffix"] or ""]
    return -number if match["sign"] == "-" else number


def cpus_left(text: str) -> Cpus:
    """Return an amount of CPU that can be given away, rounded down."""
    return Cpus(max(0, exact(text) * 1000 // 1))


def cpus_used(text: str) -> Cpus:
    """Return an amount of CPU that is held or used, rounded up.

    >>> cpus_used("3154321n")
    Cpus(milli=4)
    """
    return Cpus(max(0, -(-exact(text) * 1000 // 1)))


def memory_left(text: str) -> Memory:
    """Return an amount of memory or disk that can be given away, rounded down to bytes."""
    return Memory(max(0, exact(text) // 1))


def memory_used(text: str) -> Memory:
    """Return an amount of memory or disk that is held or used, rounded up to bytes."""
    return Memory(max(0, -(-exact(text) // 1)))


def whole(text: str) -> int:
    """Return a count of whole things, such as devices, rounded down."""
    return int(max(0, exact(text) // 1))
