"""A simulation as a person reads it in a terminal: a strip of blocks for each deployment, and what happened. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from roadstead.bench.record import Account, Count, Happening, Simulated

__all__ = ["clock_text", "sketch"]

_BLOCKS = " ▁▂▃▄▅▆▇█"
_TOLD = frozenset(
    {
        "scenario",
        "held",
        "released",
        "cluster-unreachable",
        "cluster-reachable",
        "scaled-by-load",
        "step-failed",
        "model-failed",
        "replica-lost",
        "replica-crashed",
        "replica-out-of-memory",
        "contested",
    }
)
"""What is told without being asked for more: what somebody might be woken for, and what made it so."""


def sketch(found: Simulated, *, width: int = 72, most: int = 12, events: int = 40, all_events: bool = False) -> str:
    """Return the picture: up to ``most`` deployments, those with most trouble first, and up to ``events`` happenings.

    A column of a strip stands for an equal part of the time, and shows the worst moment in it: the fewest that served,
    the most that were wanted, pending or leaving.
    """
    shown = sorted(found.deployments, key=lambda one: (-one.down_ms, -one.short_ms, one.name))[:most]
    lines = list(_head(found))
    for account in sorted(shown, key=lambda one: one.name):
        lines += ["", *_strips(account, found.lasted, width)]
    if len(found.deployments) > most:
        lines += ["", f"and {len(found.deployments) - most} more deployments that had less trouble (-o json has all)"]
    lines += ["", *_events(found.happenings, None if all_events else _TOLD, events if not all_events else None)]
    return "\n".join(lines) + "\n"


def clock_text(ms: int) -> str:
    """Return a time from the beginning as a clock shows it.

    >>> clock_text(3_725_500), clock_text(0)
    ('1:02:05.5', '0:00:00')
    """
    seconds, rest = divmod(ms, 1000)
    text = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{rest:03}".rstrip("0") if rest else text


def _head(found: Simulated) -> Iterator[str]:
    steps = ", ".join(f"{count} {kind}" for kind, count in found.steps.items()) or "none"
    refused = ", ".join(f"{count} {kind}" for kind, count in found.refused.items())
    yield f"{clock_text(found.lasted)} simulated with seed {found.seed}, in {found.turns} turns"
    yield f"steps    {steps}" + (f"; did not go through: {refused}" if refused else "")
    sent = sum(one.requests or 0 for one in found.deployments)
    if sent:
        failed = sum(one.failed or 0 for one in found.deployments)
        yield f"requests {sent:,} sent, {failed:,} failed"


def _strips(account: Account, lasted: int, width: int) -> Iterator[str]:
    columns = _columns(account.counts, lasted, width)
    highest = max((max(one.wanted, one.serving, one.pending, one.leaving) for one in account.counts), default=0)
    trouble = [f"short for {clock_text(account.short_ms)}"] if account.short_ms else []
    trouble += [f"nobody served for {clock_text(account.down_ms)}"] if account.down_ms else []
    if account.requests is not None:
        trouble.append(f"{account.requests:,} requests, {account.failed or 0:,} failed")
    yield f"{account.name}: at most {highest} replicas" + "".join(f"; {one}" for one in trouble)
    rows = (
        ("wanted", [max(one.wanted for one in column) for column in columns]),
        ("serving", [min(one.serving for one in column) for column in columns]),
        ("pending", [max(one.pending for one in column) for column in columns]),
        ("leaving", [max(one.leaving for one in column) for column in columns]),
    )
    for name, values in rows:
        if any(values) or name in {"wanted", "serving"}:
            yield f"  {name:<8} {_strip(values, highest)}"
    yield f"  {'':<8} {_axis(lasted, width)}"


def _columns(counts: Sequence[Count], lasted: int, width: int) -> list[list[Count]]:
    """Return the counts that were so at any moment of each of ``width`` equal parts of the time."""
    columns = []
    place = 0
    for number in range(width):
        start, end = lasted * number // width, lasted * (number + 1) // width
        while place + 1 < len(counts) and counts[place + 1].at <= start:
            place += 1
        inside = [counts[place]] if counts else []
        later = place + 1
        while later < len(counts) and counts[later].at < end:
            inside.append(counts[later])
            later += 1
        columns.append(inside)
    return columns


def _strip(values: Sequence[int], highest: int) -> str:
    """Return a block for each value; what is more than nothing is never shown as nothing.

    >>> _strip([0, 1, 4, 8], 8)
    ' ▁▄█'
    """
    return "".join(_BLOCKS[-(-value * 8 // highest) if highest else 0] for value in values)


def _axis(lasted: int, width: int) -> str:
    """Return the times at the quarters, each under its column."""
    text = ""
    for quarter in range(4):
        text = text.ljust(width * quarter // 4) + clock_text(lasted * quarter // 4 // 1000 * 1000)
    end = clock_text(lasted)
    return text.ljust(width - len(end)) + end if len(text) + 1 < width - len(end) else text


def _events(happenings: Sequence[Happening], kinds: frozenset[str] | None, most: int | None) -> Iterator[str]:
    told = [one for one in happenings if kinds is None or one.kind in kinds]
    shown = told if most is None else told[:most]
    yield f"{len(happenings)} events" + (", the main ones:" if kinds is not None else ":")
    for one in shown:
        who = f"{one.deployment}: " if one.deployment and one.deployment not in one.text else ""
        yield f"  {clock_text(one.at):>9}  {one.kind:<22} {who}{one.text}"
    if len(told) > len(shown):
        yield f"  and {len(told) - len(shown)} more (--events FILE has all)"
