"""What a measurement found, as values for a screen, a program or a file. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import attrs

from roadstead.load.course import Closed, Course, Open
from roadstead.load.engine import Measured
from roadstead.load.histogram import Summary
from roadstead.load.record import Account
from roadstead.load.timeline import Row
from roadstead.spi.load import Destination, Work

__all__ = ["Answered", "Counts", "Failure", "Pace", "Report", "report", "timeline_csv"]


@attrs.frozen(kw_only=True)
class Failure:
    """How many requests failed in one way, and what was said of the first of them."""

    code: str
    count: int
    first: str


@attrs.frozen(kw_only=True)
class Answered:
    """How many answers, right ones and wrong ones, came from one version of the model."""

    version: int
    count: int


@attrs.frozen(kw_only=True)
class Counts:
    """What became of requests; ``sent`` is the sum of the others, and in flight is what an interruption left behind."""

    sent: int
    ok: int
    failed: int
    in_flight: int
    failures: tuple[Failure, ...]
    versions: tuple[Answered, ...]


@attrs.frozen(kw_only=True)
class Pace:
    """How requests were sent; what belongs to the other kind of loop is ``None``."""

    loop: str
    rate: float | None
    arrivals: str | None
    seed: int | None
    concurrency: int | None


@attrs.frozen(kw_only=True)
class Report:
    """One measurement. Lengths of time are in seconds, but for distributions and the timeline, which are in ms.

    ``rate`` counts right answers a second. ``latency`` is that of right answers, from when each request was due, and
    ``None`` where there are none. ``lateness`` is by how much this program itself sent requests late, a part of the
    latency that no server is to blame for. ``cpu`` is what it used of one core; near 1 it measures itself.
    ``timeline`` has a row for each ``every`` seconds.
    """

    model: str
    protocol: str
    addresses: tuple[str, ...]
    connections: int
    pace: Pace
    deadline: float
    checked: bool
    started_at: float
    seconds: float
    interrupted: bool
    warm_up: Counts
    counts: Counts
    rate: float
    latency: Summary | None
    lateness: Summary | None
    cpu: float
    every: float
    timeline: tuple[Row, ...]


def report(measured: Measured, course: Course, destination: Destination, work: Work) -> Report:
    """Return what a measurement of ``course`` found."""
    record, seconds = measured.record, measured.seconds
    return Report(
        model=work.model,
        protocol=destination.wire.value,
        addresses=destination.addresses,
        connections=destination.connections,
        pace=_pace(course.pace),
        deadline=course.deadline,
        checked=bool(work.expected or work.versions),
        started_at=measured.started_at,
        seconds=seconds,
        interrupted=measured.interrupted,
        warm_up=_counts(record.warm_up),
        counts=_counts(record.account),
        rate=record.account.ok / seconds if seconds else 0.0,
        latency=record.latency.summary(),
        lateness=record.lateness.summary(),
        cpu=measured.cpu,
        every=record.timeline.every,
        timeline=record.timeline.rows(),
    )


def _pace(pace: Open | Closed) -> Pace:
    if isinstance(pace, Closed):
        return Pace(loop="closed", rate=None, arrivals=None, seed=None, concurrency=pace.concurrency)
    return Pace(loop="open", rate=pace.rate, arrivals=pace.arrivals.value, seed=pace.seed, concurrency=None)


def _counts(account: Account) -> Counts:
    often = sorted(account.failures.items(), key=lambda item: (-item[1], item[0]))
    return Counts(
        sent=account.sent,
        ok=account.ok,
        failed=account.failed,
        in_flight=account.in_flight,
        failures=tuple(Failure(code=code, count=count, first=account.detail(code)) for code, count in often),
        versions=tuple(Answered(version=version, count=count) for version, count in sorted(account.versions.items())),
    )


def timeline_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV, times in seconds (``at``) and milliseconds; failures stand as ``CODE:COUNT``, with blanks."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["at", "sent", "ok", "failed", "p50_ms", "p99_ms", "max_ms", "failures"])
    for row in rows:
        told = " ".join(f"{code.replace(' ', '_')}:{count}" for code, count in sorted(row.failures.items()))
        times = ("" if time is None else f"{time:.3f}" for time in (row.p50, row.p99, row.max))
        writer.writerow([f"{row.at:g}", row.sent, row.ok, row.failed, *times, told])
    return out.getvalue()
