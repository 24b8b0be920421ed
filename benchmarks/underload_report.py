"""What `benchmarks.underload` finds, as values, and how it is told in Markdown. Times are in seconds, or as named."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median

import attrs


@attrs.frozen(kw_only=True)
class Stretch:
    """What clients saw in one part of a measurement.

    ``p50`` and ``p99`` are medians over its rows of the timeline, ``worst`` is the slowest answer; in milliseconds.
    """

    p50: float | None
    p99: float | None
    worst: float | None


@attrs.frozen(kw_only=True)
class Sent:
    """What became of the requests of one measurement; ``failures`` by code, ``versions`` answers by model version."""

    sent: int
    ok: int
    failed: int
    missing: int
    failures: Mapping[str, int]
    versions: Mapping[str, int]


@attrs.frozen(kw_only=True)
class Planned:
    """One kind of planned change under load, once by itself."""

    name: str
    rate: float
    took: float
    sent: Sent
    before: Stretch
    during: Stretch
    after: Stretch


@attrs.frozen(kw_only=True)
class Kill:
    """One planned change in the middle of which the daemon was killed: after how long, and how long the change took."""

    moment: float
    took: float


@attrs.frozen(kw_only=True)
class Killed:
    """The same change again and again under one load, with the daemon killed at another moment of each."""

    name: str
    rate: float
    kills: tuple[Kill, ...]
    sent: Sent


@attrs.frozen(kw_only=True)
class Unplanned:
    """Something killed or stopped under load; ``failing`` is from the first to the last request that failed."""

    name: str
    rate: float
    sent: Sent
    recovered: float
    failing: float


@attrs.frozen(kw_only=True)
class Cost:
    """The same load on one replica, directly or through the gateway."""

    loop: str
    way: str
    rate: float
    p50: float
    p99: float
    failed: int


@attrs.frozen(kw_only=True)
class Found:
    """Everything, with the machine that it was found on."""

    machine: str
    took: float
    capacity: float
    planned: tuple[Planned, ...]
    killed: tuple[Killed, ...]
    unplanned: tuple[Unplanned, ...]
    costs: tuple[Cost, ...]


def report(found: Found) -> str:
    """Return all of it as a page."""
    return "\n".join(
        [
            "# Under load",
            "",
            _how(found),
            "",
            "## Planned changes",
            "",
            *_table(
                ("change", "requests/s", "took", "sent", "ok", "failed", "p50/p99/max before", "during", "after"),
                (
                    (
                        one.name,
                        f"{one.rate:.0f}",
                        f"{one.took:.1f} s",
                        str(one.sent.sent),
                        str(one.sent.ok),
                        _failed(one.sent),
                        _stretch(one.before),
                        _stretch(one.during),
                        _stretch(one.after),
                    )
                    for one in found.planned
                ),
            ),
            "",
            "## The same, with the daemon killed and started again in the middle",
            "",
            *_table(
                ("change", "times", "killed after", "requests/s", "sent", "ok", "failed", "each change took"),
                (
                    (
                        one.name,
                        str(len(one.kills)),
                        _spread([kill.moment for kill in one.kills]),
                        f"{one.rate:.0f}",
                        str(one.sent.sent),
                        str(one.sent.ok),
                        _failed(one.sent),
                        _spread([kill.took for kill in one.kills]),
                    )
                    for one in found.killed
                ),
            ),
            "",
            "## Unplanned",
            "",
            *_table(
                ("what", "requests/s", "sent", "ok", "failed", "failing for", "all as before after"),
                (
                    (
                        one.name,
                        f"{one.rate:.0f}",
                        str(one.sent.sent),
                        str(one.sent.ok),
                        _failed(one.sent),
                        f"{one.failing:.1f} s",
                        f"{one.recovered:.1f} s",
                    )
                    for one in found.unplanned
                ),
            ),
            "",
            "## What the gateway costs",
            "",
            "One replica; medians of the rounds, which take turns.",
            "",
            *_table(("loop", "way", "answers/s", "p50", "p99", "failed"), _costs(found.costs)),
            "",
        ]
    )


def _how(found: Found) -> str:
    return (
        f"{found.machine}; two replicas of MiniLM at 400m CPU, one sentence in each request, gRPC through the gateway. "
        f"They can answer {found.capacity:.0f} requests/s (closed loop of 16). Open loop at 60 % of that (of what the "
        "fewest replicas of a change can answer), 100 connections, no client retries, no waiting for a connection, "
        "deadline 5 s. A request failed if its answer was not OK, did not come, or was not the embedding that numpy "
        "computes for one of the two versions that may answer, each number within 1e-4. "
        f"`python -m benchmarks.underload`, {found.took / 60:.0f} minutes."
    )


def _costs(costs: Sequence[Cost]) -> Iterator[tuple[str, ...]]:
    for loop in dict.fromkeys(one.loop for one in costs):
        for way in dict.fromkeys(one.way for one in costs):
            same = [one for one in costs if (one.loop, one.way) == (loop, way)]
            yield (
                loop,
                way,
                f"{median(one.rate for one in same):.1f}",
                f"{median(one.p50 for one in same):.1f} ms",
                f"{median(one.p99 for one in same):.1f} ms",
                str(sum(one.failed for one in same)),
            )


def _failed(sent: Sent) -> str:
    told = ", ".join(f"{code} {count}" for code, count in sorted(sent.failures.items()))
    return f"**{sent.failed}**" + (f" ({told})" if told else "")


def _stretch(one: Stretch) -> str:
    if one.p50 is None or one.p99 is None or one.worst is None:
        return "-"
    return f"{one.p50:.0f}/{one.p99:.0f}/{one.worst:.0f} ms"


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f} s" if values else "-"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
