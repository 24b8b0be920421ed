"""A rollout on a screen."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from roadstead.cli.text.words import FEW_LINES, STATE_STYLES, age, cause_text, counted, labelled, table
from roadstead.decide.report import DeploymentStatus, GroupStatus, IntentStatus

__all__ = ["rollout_view"]


def rollout_view(one: DeploymentStatus, intents: Collection[IntentStatus]) -> RenderableType:
    """Return where the rollout is, the revisions newest first, what commands asked for, and what holds it up."""
    serving = f"{counted(one.serving)} of {one.wanted} serving, never below {one.floor} by our own action"
    headline = Text.assemble((one.name, "bold"), "  ", (one.state.value, STATE_STYLES[one.state]), f"  {serving}")
    numbers = ("VERSION", "WANTED", "READY")
    made = table("REVISION", "ON", *numbers, "STATE", right=frozenset(numbers))
    for group in sorted(one.groups, key=lambda group: (not group.current, -group.generation, group.cluster)):
        made.add_row(
            group.revision,
            group.cluster,
            str(group.version),
            str(group.target),
            str(group.ready),
            ", ".join(_words(one, group)) or "-",
        )
    rows: list[tuple[RenderableType, RenderableType]] = [("strategy", one.strategy)]
    rows += [("command", str(intent)) for intent in intents]
    rows += [(Text("reason", style="bold"), cause_text(cause, raw=FEW_LINES)) for cause in one.causes]
    return Group(headline, made, labelled(rows))


def _words(one: DeploymentStatus, group: GroupStatus) -> Iterator[str]:
    if group.current:
        yield "current"
    if group.failed:
        yield "failed"
    elif group.proven:
        yield "proven"
    elif group.trying.ms:
        yield f"no further for {age(group.trying)} of {age(one.progress_deadline)}"
    if group.served and group.served != (group.version,):
        yield f"has served {' '.join(str(version) for version in group.served)}"
