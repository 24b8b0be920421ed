"""What the original accepts and then stops its launch queue over: refused here, so that nobody learns to send it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from roadstead_backends.marathon.emulator.rules.documents import Document, is_resident

__all__ = ["crash_of"]

_WHY = "the emulator refuses what stops the launch queue of Marathon: "


def crash_of(document: Document, *, is_pod: bool, quota: bool) -> str | None:
    """Why instances of this would stop it; None where they would not. ``quota`` is the way of ``GROUP_BY``."""
    found = next(_of_pod(document) if is_pod else _of_app(document, quota=quota), None)
    return None if found is None else _WHY + found


def _of_app(app: Document, *, quota: bool) -> Iterator[str]:
    if any(not math.isfinite(app.get(name, 0)) for name in ("cpus", "mem", "disk")):
        yield "an amount that no number holds"
    for constraint in app.get("constraints", []):
        if quota and constraint[1] == "GROUP_BY" and not (len(constraint) > 2 and constraint[2]):
            yield "GROUP_BY without a number of groups (`/ by zero`)"
    if is_resident(app):
        yield "persistent volumes without a principal for Mesos"


def _of_pod(pod: Document) -> Iterator[str]:
    if not pod.get("networks") and any(container.get("endpoints") for container in pod["containers"]):
        yield "an endpoint without networks"
