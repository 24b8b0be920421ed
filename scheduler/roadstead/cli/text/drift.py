"""What others changed, on a screen."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from roadstead.cli.text.words import plural, table
from roadstead.decide.report import FleetDrift, GroupDrift

__all__ = ["drift_view"]


def drift_view(drift: FleetDrift) -> RenderableType:
    """Return every field that others changed, a line each, and what becomes of it."""
    if not drift.groups:
        return Text("nobody else changed anything")
    made = table("GROUP", "CLUSTER", "FIELD", "OURS", "THEIRS", "WHO")
    for group in drift.groups:
        for one in group.fields:
            name = f"{group.deployment}-{group.revision}"
            made.add_row(name, group.cluster, one.field, one.ours, one.theirs, one.manager or "unknown")
    notes = [Text(line) for group in drift.groups for line in _notes(group)]
    return Group(*([made] if made.row_count else []), *notes)


def _notes(group: GroupDrift) -> Iterator[str]:
    name = f"{group.deployment}-{group.revision} on {group.cluster}"
    if group.scaled_by:
        yield f"{name} is scaled by {group.scaled_by}: no count is sent and nothing rolls as long as it is"
    elif group.contested:
        yield f"{name} is contested: it was put back too often within an hour, and stays as it is for now"
    elif group.fields and group.on_drift == "report":
        yield f"{name} stays as it is: drift: report"
    elif group.fields and group.on_drift is None:
        yield f"{name} stays as it is: {group.deployment} is no longer in the fleet file"
    elif group.fields:
        yield f"{name} is being put back"
    if group.strays:
        yield f"{plural(len(group.strays), 'replica')} of {name} made from what others wrote: {', '.join(group.strays)}"
