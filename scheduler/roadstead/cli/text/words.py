"""Amounts, ages and states as short words, the same in every view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from roadstead.decide.report import Cause, Life, ReplicaStatus, RolloutState
from roadstead.units import Cpus, Duration, Memory

__all__ = [
    "FEW_LINES",
    "LIFE_STYLES",
    "MANY_LINES",
    "STATE_STYLES",
    "address",
    "age",
    "cause_text",
    "counted",
    "labelled",
    "limit",
    "of",
    "plural",
    "rough",
    "table",
]

LIFE_STYLES: Mapping[Life, str] = MappingProxyType(
    {
        Life.SLOT: "yellow",
        Life.STARTING: "yellow",
        Life.READY: "cyan",
        Life.LISTED: "green",
        Life.DRAINING: "magenta",
        Life.DRAINED: "magenta",
        Life.STOPPING: "magenta",
        Life.LOST: "red",
    }
)
STATE_STYLES: Mapping[RolloutState, str] = MappingProxyType(
    {
        RolloutState.SETTLED: "green",
        RolloutState.PROGRESSING: "yellow",
        RolloutState.HELD: "red",
        RolloutState.PAUSED: "cyan",
        RolloutState.ROLLED_BACK: "red",
        RolloutState.FAILED: "red",
        RolloutState.REMOVING: "magenta",
    }
)
_UNKNOWN = "?"
MANY_LINES = 20
FEW_LINES = 5


def table(*columns: str, right: frozenset[str] = frozenset()) -> Table:
    """Return an empty table without lines; nothing in it is ever cut off, long words go on below."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def age(length: Duration | None) -> str:
    """Return a length of time in its two largest units: ``3d4h``, ``5m10s``, ``7s``."""
    if length is None:
        return _UNKNOWN
    seconds = length.ms // 1000
    parts = [(seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return "".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count) or "0s"


def rough(amount: Cpus | Memory | None) -> str:
    """Return an observed amount in few digits; ``?`` where it is not known."""
    if amount is None:
        return _UNKNOWN
    if isinstance(amount, Cpus):
        return str(amount)
    for unit, scale in (("Ti", 1024**4), ("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024)):
        if amount.bytes >= scale:
            value = amount.bytes / scale
            return f"{value:.1f}{unit}" if value < 10 and amount.bytes % scale else f"{value:.0f}{unit}"
    return str(amount.bytes)


def of(now: Cpus | Memory | None, most: Cpus | Memory | None) -> str:
    """Return ``used/limit``."""
    return f"{rough(now)}/{limit(most)}"


def limit(amount: Cpus | Memory | None) -> str:
    """Return a limit; ``-`` where there is none."""
    return "-" if amount is None else rough(amount)


def address(replica: ReplicaStatus) -> str:
    """Return ``host:grpc/rest``; ``-`` for a replica that has no address yet."""
    if replica.host is None:
        return "-"
    ports = "/".join(str(port) for port in (replica.grpc, replica.rest) if port is not None)
    return f"{replica.host}:{ports}" if ports else replica.host


def counted(count: int | None) -> str:
    """Return a number; ``?`` where it is not known."""
    return _UNKNOWN if count is None else str(count)


def plural(count: int, noun: str) -> str:
    """Return ``1 replica`` or ``2 replicas``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cause_text(cause: Cause, *, raw: int) -> Text:
    """Return one reason: the sentence, the last ``raw`` lines of what others said of it, and what would be enough."""
    lines = [str(cause)]
    said = cause.raw.splitlines() if raw and cause.raw not in cause.detail else []
    if len(said) > raw:
        lines.append(f"| ({plural(len(said) - raw, 'line')} before that; -o json has all)")
    lines += [f"| {line}" for line in said[-raw:]]
    if cause.change:
        lines.append(f"enough: {cause.change}")
    return Text("\n".join(lines))


def labelled(rows: Iterable[tuple[RenderableType, RenderableType]], *, indent: int = 0) -> RenderableType:
    """Return texts, each with its label before it; a text that is longer than a line goes on below its beginning."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows:
        grid.add_row(label, text)
    return Padding(grid, (0, 0, 0, indent))
