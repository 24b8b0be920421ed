"""Amounts as types: exact integers inside, the fleet file's spelling outside.

A bare number never says whether it is cores or milli-cores, bytes or MiB, so amounts of different kinds do not mix:
adding ``Cpus`` to ``Memory`` is a type error to mypy and a ``TypeError`` at run time. Every type parses what it
prints::

    >>> Cpus.parse("0.5"), str(Cpus(milli=1500))
    (Cpus(milli=500), '1500m')
    >>> str(Memory.parse("8Gi")), Memory.parse("8G").bytes
    ('8Gi', 8000000000)
    >>> Duration.parse("5m").ms
    300000
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import ClassVar, Self

import attrs

__all__ = ["Cpus", "Duration", "GpuShare", "Memory", "UnitError"]

_NUMBER = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<suffix>[A-Za-z]*)", re.ASCII)
_MAX = 2**63 - 1
_CORES: Mapping[str, Fraction] = {"": Fraction(1000), "m": Fraction(1)}


class UnitError(ValueError):
    """A text that is not an amount of the asked kind.

    ``hint`` is the smallest change that makes it one, or ``None``.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def _not_negative(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"{type(instance).__name__}.{attribute.name} must be an integer of at least 0, not {value!r}")


def _exact(text: str | int | float, suffixes: Mapping[str, Fraction], what: str, examples: str) -> int:
    """Return ``text`` in the smallest unit, refusing what is not a whole number of it."""
    match = _NUMBER.fullmatch(repr(text) if isinstance(text, float) else str(text).strip())
    if isinstance(text, bool) or match is None:
        raise UnitError(f"{text!r} is not {what}", f"write it like {examples}")
    number, suffix = match["number"], match["suffix"]
    if suffix not in suffixes:
        lacks = f"has an unknown unit {suffix!r}" if suffix else "has no unit"
        raise UnitError(f"{text!r} {lacks}", _suffix_hint(number, suffix, suffixes, examples))
    amount = Fraction(number) * suffixes[suffix]
    if amount.denominator != 1:
        raise UnitError(f"{text!r} is too fine for {what}", f"write it like {examples}")
    if amount > _MAX:
        raise UnitError(f"{text!r} is too large for {what}", f"write it like {examples}")
    return int(amount)


def _suffix_hint(number: str, suffix: str, suffixes: Mapping[str, Fraction], examples: str) -> str:
    """Return the spellings that a wrong suffix may have meant: ``8GB`` is ``8G`` or ``8Gi``, never a silent choice."""
    near = [known for known in suffixes if known and known[0].lower() == suffix[0].lower()] if suffix else []
    if not near:
        return f"write it like {examples}"
    return "write " + " or ".join(f"{number}{known}" for known in near)


@attrs.frozen(order=True)
class Cpus:
    """Processor time, in thousandths of one core.

    ``500m`` and ``0.5`` are the same amount; the finest is ``1m``.
    """

    milli: int = attrs.field(validator=_not_negative)

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """Return the amount that ``text`` says, or raise :class:`UnitError`."""
        return cls(_exact(text, _CORES, "an amount of CPU", "0.5, 2 or 500m"))

    def __str__(self) -> str:
        return f"{self.milli}m" if self.milli % 1000 else str(self.milli // 1000)

    def __add__(self, other: Cpus) -> Cpus:
        return Cpus(self.milli + other.milli) if isinstance(other, Cpus) else NotImplemented

    def __sub__(self, other: Cpus) -> Cpus:
        """Subtract down to nothing: what is over-committed has no room, not a negative amount of it."""
        return Cpus(max(0, self.milli - other.milli)) if isinstance(other, Cpus) else NotImplemented

    def __mul__(self, count: int) -> Cpus:
        return Cpus(self.milli * count)


@attrs.frozen(order=True)
class Memory:
    """An amount of memory or disk, in bytes.

    ``Ki Mi Gi Ti`` are powers of 1024, ``k M G T`` powers of 1000. ``8GB`` is refused: it has meant both.
    """

    bytes: int = attrs.field(validator=_not_negative)

    _SUFFIXES: ClassVar[Mapping[str, Fraction]] = {
        "": Fraction(1),
        **{unit: Fraction(1000**power) for power, unit in enumerate("kMGT", start=1)},
        **{f"{unit}i": Fraction(1024**power) for power, unit in enumerate("KMGT", start=1)},
    }

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """Return the amount that ``text`` says, or raise :class:`UnitError`."""
        return cls(_exact(text, cls._SUFFIXES, "an amount of memory", "512Mi, 8Gi or 8G"))

    def __str__(self) -> str:
        if self.bytes == 0:
            return "0"
        for suffix in ("Ti", "T", "Gi", "G", "Mi", "M", "Ki", "k"):
            scale = int(self._SUFFIXES[suffix])
            if self.bytes % scale == 0:
                return f"{self.bytes // scale}{suffix}"
        return str(self.bytes)

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.bytes + other.bytes) if isinstance(other, Memory) else NotImplemented

    def __sub__(self, other: Memory) -> Memory:
        """Subtract down to nothing, as :meth:`Cpus.__sub__` does."""
        return Memory(max(0, self.bytes - other.bytes)) if isinstance(other, Memory) else NotImplemented

    def __mul__(self, count: int) -> Memory:
        return Memory(self.bytes * count)


def _a_share(_instance: object, _attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or not 0 < value <= 1000:
        raise ValueError(f"a share of a GPU is 1 to 1000 thousandths, not {value!r}")


@attrs.frozen(order=True)
class GpuShare:
    """A part of one GPU, in thousandths: ``500m`` is half a device, ``1000m`` or ``1`` a whole one."""

    milli: int = attrs.field(validator=_a_share)

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """Return the share that ``text`` says, or raise :class:`UnitError`."""
        milli = _exact(text, _CORES, "a share of a GPU", "500m or 0.5")
        if not 0 < milli <= 1000:
            raise UnitError(
                f"{text!r} is not a share of one GPU", "a share is over 0 and at most 1; for more devices use `count`"
            )
        return cls(milli)

    def __str__(self) -> str:
        return f"{self.milli}m" if self.milli < 1000 else "1"


@attrs.frozen(order=True)
class Duration:
    """A length of time, in milliseconds."""

    ms: int = attrs.field(validator=_not_negative)

    _SUFFIXES: ClassVar[Mapping[str, Fraction]] = {
        "ms": Fraction(1),
        "s": Fraction(1000),
        "m": Fraction(60_000),
        "h": Fraction(3_600_000),
    }

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """Return the duration that ``text`` says, or raise :class:`UnitError`.

        A bare number has no unit and is refused, but for 0.
        """
        if text in (0, "0") and not isinstance(text, bool):
            return cls(0)
        if isinstance(text, (int, float)) and not isinstance(text, bool):
            raise UnitError(f"{text!r} is a duration without a unit", f"write {text}s, or {text}m for minutes")
        return cls(_exact(text, cls._SUFFIXES, "a duration", "500ms, 30s, 5m or 2h"))

    @property
    def seconds(self) -> float:
        """The same length in seconds, for an interface that wants a float."""
        return self.ms / 1000

    def __str__(self) -> str:
        for suffix, scale in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
            if self.ms and self.ms % scale == 0:
                return f"{self.ms // scale}{suffix}"
        return f"{self.ms}ms" if self.ms else "0s"
