"""An explanation on a screen."""

from __future__ import annotations

import signal

from rich.console import Group, RenderableType
from rich.text import Text

from roadstead.cli.text.words import STATE_STYLES, age, cause_lines, plural
from roadstead.decide.report import Explanation, LastExit

__all__ = ["explanation_view"]


def explanation_view(why: Explanation) -> RenderableType:
    """Return the sentence, the reasons with the raw words, how servers ended, what waits, and what would be enough."""
    lines = [Text.assemble((why.deployment, "bold"), "  ", (why.summary, STATE_STYLES[why.state]))]
    counted = f"wanted {why.wanted}, serving {why.ready}, listed {why.listed}"
    lines.append(Text(f"  {counted}, never below {why.floor} by our own action"))
    for cause in why.causes:
        first, *rest = cause_lines(cause, raw=True)
        lines.append(Text(f"  {first}"))
        lines += [Text(f"    {line}") for line in rest]
        lines.append(Text(f"    more: roadstead explain {cause.code.value}", style="dim"))
    lines += [Text(f"  {_exit(one)}") for one in why.exits]
    lines += [
        Text(
            f"  {one.subject} failed {plural(one.failures, 'time')} in a row, next try in {age(one.wait)}: "
            f"{one.text} ({one.code})"
        )
        for one in why.waiting
    ]
    if why.change:
        lines.append(Text.assemble(("  smallest change that is enough: ", "bold"), why.change))
    return Group(*lines)


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
