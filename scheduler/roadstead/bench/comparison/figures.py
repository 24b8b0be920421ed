"""What a comparison found, as values, and the table that people read. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from statistics import median

import attrs

__all__ = ["Comparison", "Measure", "Row", "Sample", "markdown", "rows"]


@enum.unique
class Measure(enum.Enum):
    """What is timed, each from the request until the orchestrator tells that it is done."""

    COLD_START = "cold start"
    ROLL = "roll"
    HEAL = "heal a replica"


@attrs.frozen(kw_only=True)
class Sample:
    """One passage: ``seconds`` is ``None`` where it did not come to an end in time.

    ``fewest`` is the smallest number of ready replicas that was seen on the way, where that says something.
    """

    contestant: str
    measure: Measure
    seconds: float | None
    fewest: int | None = None


@attrs.frozen(kw_only=True)
class Row:
    """All passages of one contestant for one measure; the times are ``None`` where no passage came to an end."""

    measure: Measure
    contestant: str
    median: float | None
    least: float | None
    most: float | None
    passages: int
    unfinished: int
    fewest: int | None


@attrs.frozen(kw_only=True)
class Comparison:
    """Who was compared, on what, and what came of it; ``notes`` are what a reader must know of each contestant."""

    machine: str
    model: str
    replicas: int
    repeats: int
    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()


def rows(samples: Sequence[Sample]) -> tuple[Row, ...]:
    """Return the samples in rows, by measure and then by contestant, each in the order of first appearance.

    >>> one = Sample(contestant="local", measure=Measure.ROLL, seconds=3.0, fewest=2)
    >>> rows([one, attrs.evolve(one, seconds=5.0, fewest=1)])[0].median
    4.0
    """
    contestants = tuple(dict.fromkeys(sample.contestant for sample in samples))
    return tuple(_rows(samples, contestants))


def _rows(samples: Sequence[Sample], contestants: Sequence[str]) -> Iterator[Row]:
    for measure in Measure:
        for contestant in contestants:
            mine = [one for one in samples if one.measure is measure and one.contestant == contestant]
            if mine:
                yield _row(measure, contestant, mine)


def _row(measure: Measure, contestant: str, mine: Sequence[Sample]) -> Row:
    times = [one.seconds for one in mine if one.seconds is not None]
    fewest = [one.fewest for one in mine if one.fewest is not None]
    return Row(
        measure=measure,
        contestant=contestant,
        median=median(times) if times else None,
        least=min(times, default=None),
        most=max(times, default=None),
        passages=len(mine),
        unfinished=len(mine) - len(times),
        fewest=min(fewest, default=None),
    )


def markdown(found: Comparison, command: str) -> str:
    """Return the page that is kept: who was compared, how, and the table."""
    how = (
        f"`{command}` on {found.machine}. {found.replicas} replicas of {found.model}, {found.repeats} passages each, "
        "one contestant after the other, so that none has the quieter hour. Seconds from the request until the "
        "orchestrator tells that every replica is ready: medians, and the least and the most."
    )
    lines = [
        "# The same work, on several orchestrators",
        "",
        how,
        "",
        "| | who | median | least | most | unfinished | fewest ready |",
        "|---|---|---:|---:|---:|---:|---:|",
        *(
            f"| {row.measure.value} | {row.contestant} | {_time(row.median)} | {_time(row.least)} | {_time(row.most)} "
            f"| {row.unfinished} of {row.passages} | {'' if row.fewest is None else row.fewest} |"
            for row in rows(found.samples)
        ),
    ]
    if found.notes:
        lines += ["", *(f"- {note}" for note in found.notes)]
    return "\n".join(lines) + "\n"


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"
