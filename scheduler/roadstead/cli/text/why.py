"""An explanation on a screen."""

from __future__ import annotations

import signal

from rich.console import Group, RenderableType
from rich.text import Text

from roadstead.cli.text.words import MANY_LINES, STATE_STYLES, age, cause_text, labelled, plural
from roadstead.decide.report import AtLimit, Explanation, LastExit, Waiting

__all__ = ["explanation_view"]


def explanation_view(why: Explanation) -> RenderableType:
    """Return the sentence, the reasons with the raw words, how servers ended, what waits, and what would be enough."""
    counted = f"wanted {why.wanted}, serving {why.ready}, listed {why.listed}"
    rows: list[tuple[RenderableType, RenderableType]] = [
        ("counts", f"{counted}, never below {why.floor} by our own action")
    ]
    for cause in why.causes:
        more = Text(f"more: roadstead explain {cause.code.value}", style="dim")
        rows.append((Text("reason", style="bold"), Group(cause_text(cause, raw=MANY_LINES), more)))
    rows += [("exit", _exit(one)) for one in why.exits]
    rows += [("waits", _waiting(one)) for one in why.waiting]
    rows += [("limit", _at_limit(one)) for one in why.at_limit]
    if why.change:
        rows.append((Text("enough", style="bold"), why.change))
    headline = Text.assemble((why.deployment, "bold"), "  ", (why.summary, STATE_STYLES[why.state]))
    return Group(headline, labelled(rows, indent=2))


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
