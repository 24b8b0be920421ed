"""The kinds of amount that keys hold, and the numbers that a plugin's options may have."""

from __future__ import annotations

from typing import Final

from roadstead.config.shapes import Amount
from roadstead.units import Cpus, Duration, GpuShare, Memory, UnitError

__all__ = ["CPU", "DURATION", "GPUS", "GPU_SHARE", "MEMORY", "duration", "memory"]

_MOST_MEMORY: Final = Memory(2**50)
_WEEK: Final = Duration(7 * 24 * 3_600_000)


def _gpus(text: str | int) -> int:
    """Return a number of GPUs in thousandths."""
    try:
        return Cpus.parse(text).milli
    except UnitError as error:
        raise UnitError(f"{text!r} is no number of GPUs", "write it like 8, 0.5 or 500m") from error


CPU: Final = Amount(
    noun="an amount of CPU",
    examples="0.5, 2 or 500m",
    unit="cores",
    pattern="[0-9]+(\\.[0-9]+)?m?",
    parse=Cpus.parse,
    least=Cpus(1),
    most=Cpus(4_096_000),
    low_hint="the smallest is 1m",
)
GPUS: Final = Amount(
    noun="a number of GPUs",
    examples="8, 0.5 or 500m",
    unit="devices",
    pattern="[0-9]+(\\.[0-9]+)?m?",
    parse=_gpus,
    least=0,
    most=10_000_000,
)
GPU_SHARE: Final = Amount(
    noun="a share of a GPU",
    examples="500m or 0.5",
    pattern="[0-9]+(\\.[0-9]+)?m?",
    parse=GpuShare.parse,
    least=GpuShare(1),
)
MEMORY: Final = Amount(
    noun="an amount of memory",
    examples="512Mi, 8Gi or 8G",
    unit="bytes",
    pattern="[0-9]+(\\.[0-9]+)?(k|[MGT]|[KMGT]i)?",
    parse=Memory.parse,
    least=Memory(0),
    most=_MOST_MEMORY,
)
DURATION: Final = Amount(
    noun="a duration",
    examples="500ms, 30s, 5m or 2h",
    pattern="0|[0-9]+(\\.[0-9]+)?(ms|s|m|h)",
    parse=Duration.parse,
    least=Duration(0),
    most=_WEEK,
)


def memory(least: str, low_hint: str) -> Amount:
    """Return an amount of memory of at least ``least``."""
    return Amount(
        noun=MEMORY.noun,
        examples=MEMORY.examples,
        unit=MEMORY.unit,
        pattern=MEMORY.pattern,
        parse=MEMORY.parse,
        least=Memory.parse(least),
        most=_MOST_MEMORY,
        low_hint=low_hint,
    )


def duration(least: str, most: str = "168h") -> Amount:
    """Return a duration from ``least`` to ``most``."""
    return Amount(
        noun=DURATION.noun,
        examples=DURATION.examples,
        pattern=DURATION.pattern,
        parse=DURATION.parse,
        least=Duration.parse(least),
        most=Duration.parse(most),
    )
