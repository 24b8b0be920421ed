"""A measurement under load on a screen."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from roadstead.cli.text.words import labelled, plural
from roadstead.load.histogram import Summary
from roadstead.load.record import Record
from roadstead.load.report import Counts, Pace, Report

__all__ = ["progress_text", "report_view"]

_LATE = 10.0
"""Milliseconds by which one in a hundred requests may be late before that is said to spoil the measurement."""
_BUSY = 0.9
"""How much of a core this program may use before it is said to measure itself."""


def report_view(found: Report) -> RenderableType:
    """Return what was asked for, what became of it, and how far that can be trusted."""
    return Group(Text(_headline(found), style="bold"), Text(), labelled(_rows(found)))


def progress_text(record: Record, now: float, duration: float) -> Text:
    """Return one line about a measurement that goes on; the last full row of its timeline is what happens now."""
    account = record.account
    if now < 0:
        return Text(f"warm-up, {-now:.0f}s left: {_sent(record.warm_up.sent, record.warm_up.failed)}")
    line = f"{min(now, duration):.0f}s of {duration:g}s: {_sent(account.sent, account.failed)}"
    line += f", {account.in_flight} in flight"
    rows = record.timeline.last(2)[:1]
    recent = [f", p99 {_ms(row.p99)} lately" for row in rows if row.p99 is not None]
    return Text(line + "".join(recent), style="red" if account.failed else "")


def _sent(sent: int, failed: int) -> str:
    return f"{sent:,} sent, {failed:,} failed"


def _headline(found: Report) -> str:
    where = found.addresses[0] if len(found.addresses) == 1 else plural(len(found.addresses), "replica")
    return f"{found.model} over {found.protocol} at {where}, {plural(found.connections, 'connection')}"


def _rows(found: Report) -> Iterator[tuple[RenderableType, RenderableType]]:
    counts = found.counts
    yield "asked", _asked(found.pace, found)
    yield "sent", _rated(counts.sent, found)
    yield "ok", _rated(counts.ok, found) + ("" if found.checked else "; no answer was compared, --expect does")
    yield "failed", _failures(counts)
    if counts.in_flight:
        yield "in flight", f"{counts.in_flight:,} when it was interrupted"
    if counts.versions:
        yield "versions", ", ".join(f"{one.version}: {one.count:,}" for one in counts.versions)
    yield "latency", _distribution(found.latency)
    warm_up = found.warm_up
    if warm_up.sent:
        yield "warm-up", f"{_sent(warm_up.sent, warm_up.failed)}; not counted above"
    yield "generator", _trust(found)


def _asked(pace: Pace, found: Report) -> str:
    if pace.rate is not None:
        how = f"open loop, {pace.rate:g}/s, {pace.arrivals}, seed {pace.seed}"
    else:
        how = f"closed loop, {plural(pace.concurrency or 0, 'request')} at a time"
    return f"{how}, for {found.seconds:.1f}s, each within {found.deadline:g}s"


def _rated(count: int, found: Report) -> str:
    return f"{count:,}" + (f", {count / found.seconds:,.1f}/s" if found.seconds else "")


def _failures(counts: Counts) -> Text:
    told = [Text(f"{counts.failed:,}", style="red" if counts.failed else "green")]
    told += [Text(f"{one.code} {one.count:,}: {one.first}" if one.first else one.code) for one in counts.failures]
    return Text("\n").join(told)


def _distribution(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    parts = (("p50", summary.p50), ("p90", summary.p90), ("p99", summary.p99), ("p99.9", summary.p999))
    return "  ".join(f"{name} {_ms(value)}" for name, value in (*parts, ("max", summary.max)))


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}ms" if value < 10 else f"{value:.1f}ms" if value < 1000 else f"{value / 1000:.2f}s"


def _trust(found: Report) -> Text:
    late = found.lateness
    told = Text(f"used {found.cpu:.0%} of a core")
    if late is not None:
        told.append(f", sent p99 {_ms(late.p99)} late, max {_ms(late.max)}")
    if found.cpu > _BUSY or (late is not None and late.p99 > _LATE):
        told.append("\nit measured itself too: send less, or from a machine of its own", style="yellow")
    return told
