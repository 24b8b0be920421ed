"""Ids of tasks: which instance each names, in every form that Marathon ever gave them (``Task.Id.parse``)."""

from __future__ import annotations

import re
from typing import Final

from roadstead_backends.marathon.emulator.refusals import illegal

__all__ = ["check_uuid", "instance_named"]

_FORMS: Final = (
    re.compile(r"(?P<spec>.+)\.(?P<prefix>instance-|marathon-)(?P<uuid>[^_.]+)[._](_app|[^_.]+)\.\d+"),
    re.compile(r"(?P<spec>.+)\.(?P<prefix>instance-|marathon-)(?P<uuid>[^_.]+)[._](_app|[^_.]+)"),
    re.compile(r"(?P<spec>.+)[._](?P<uuid>[^_.]+)\.\d+"),
    re.compile(r"(?P<spec>.+)[._](?P<uuid>[^_.]+)"),
)
"""With an incarnation, without one, and both as they were before there were instances."""
_UUID: Final = re.compile(r"[0-9A-Fa-f]+(-[0-9A-Fa-f]+){4}")
_BEFORE_INSTANCES: Final = "marathon-"


def instance_named(task_id: str) -> str | None:
    """Return the id of the instance that a task's id names, None where it has no form of one.

    What has the form and no UUID where one belongs is refused, as the original does.
    """
    for form in _FORMS:
        found = form.fullmatch(task_id)
        if found is not None:
            check_uuid(found["uuid"])
            return f"{found['spec']}.{found.groupdict().get('prefix', _BEFORE_INSTANCES)}{found['uuid']}"
    return None


def check_uuid(text: str) -> None:
    """Refuse what is no UUID; Java minds the number of its parts, not their lengths."""
    if _UUID.fullmatch(text) is None:
        raise illegal(f"Invalid UUID string: {text}")
