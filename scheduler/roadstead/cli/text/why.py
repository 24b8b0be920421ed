"""An explanation on a screen."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from roadstead.cli.text.scaling import scaling_rows
from roadstead.cli.text.traffic import address_text, load_text, passing_text
from roadstead.cli.text.words import MANY_LINES, STATE_STYLES, age, cause_text, counted, labelled, plural
from roadstead.decide.report import AtLimit, Explanation, LastExit, Overdue, Waiting

__all__ = ["explanation_view"]

_OVERDUE_SHOWN = 3


def explanation_view(why: Explanation) -> RenderableType:
    """Return the sentence, where requests go, the reasons, how servers ended, what waits, and what would be enough."""
    counts = f"wanted {why.wanted}, ready {why.ready}, serving {counted(why.serving)}"
    rows: list[tuple[RenderableType, RenderableType]] = [
        ("counts", f"{counts}, never below {why.floor} by our own action")
    ]
    rows += [("command", str(one)) for one in why.orders]
    rows += scaling_rows(why.scaling) if why.scaling is not None else ()
    if why.address is not None:
        rows += [("address", address_text(why.address)), ("load", load_text(why.load))]
    rows += [("route", passing_text(one)) for one in why.passing]
    for cause in why.causes:
        more = Text(f"more: roadstead explain {cause.code.value}", style="dim")
        rows.append((Text("reason", style="bold"), Group(cause_text(cause, raw=MANY_LINES), more)))
    rows += [("exit", _exit(one)) for one in why.exits]
    rows += [("waits", _waiting(one)) for one in why.waiting]
    rows += [("limit", _at_limit(one)) for one in why.at_limit]
    rows += [("overdue", text) for text in _overdue(why.overdue)]
    if why.change:
        rows.append((Text("enough", style="bold"), why.change))
    headline = Text.assemble((why.deployment, "bold"), "  ", (why.summary, STATE_STYLES[why.state]))
    return Group(headline, labelled(rows, indent=2))


def _overdue(past: Sequence[Overdue]) -> Iterator[str]:
    """Yield the newest of what was stopped with requests in flight, and how much more of it there was."""
    if len(past) > _OVERDUE_SHOWN:
        yield f"{len(past) - _OVERDUE_SHOWN} before that; `roadstead events` has them"
    for one in past[-_OVERDUE_SHOWN:]:
        yield f"{datetime.fromtimestamp(one.at / 1000, tz=UTC):%Y-%m-%d %H:%M:%SZ}  {one.text}"


def _at_limit(one: AtLimit) -> str:
    consequence = "it waits for CPU" if one.resource == "cpu" else "it is near being killed for memory"
    return f"{one.replica} uses {one.observed} of the {one.limit} of {one.resource} that it may: {consequence}"


def _waiting(one: Waiting) -> str:
    failed = f"{one.subject} failed {plural(one.failures, 'time')} in a row"
    return f"{failed}, next try in {age(one.wait)}: {one.text} ({one.code})"


def _exit(one: LastExit) -> str:
    if one.out_of_memory:
        how = "was killed for memory"
    elif one.signal is not None:
        how = f"ended by {_name(one.signal)}"
    elif one.code is not None:
        how = f"exited with {one.code}"
    else:
        how = "ended, nobody saw how"
    return f"{one.replica} {how} {age(one.ago)} ago, {plural(one.restarts, 'restart')} so far"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
