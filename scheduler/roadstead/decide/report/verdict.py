"""Whether what was asked for is reached, out of reach, or on its way: what ``apply`` waits for and ends with."""

from __future__ import annotations

import enum
from collections.abc import Collection

from roadstead.decide.report.status import FleetStatus, RolloutState

__all__ = ["Verdict", "verdict"]


@enum.unique
class Verdict(enum.Enum):
    """How far the fleet is, from best to worst; the worst deployment decides."""

    DONE = "done"
    ON_ITS_WAY = "on-its-way"
    CANNOT_BE_PLACED = "cannot-be-placed"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"


def verdict(status: FleetStatus, names: Collection[str]) -> Verdict:
    """Return the verdict over the deployments in ``names``.

    One that is not in the fleet is done when nothing is left of it.

    While anything is still on its way the verdict is that: what cannot be placed may fit when the rest is done.
    """
    found = [_of(status, name) for name in names]
    for worst in (Verdict.ON_ITS_WAY, Verdict.FAILED, Verdict.ROLLED_BACK, Verdict.CANNOT_BE_PLACED):
        if worst in found:
            return worst
    return Verdict.DONE


def _of(status: FleetStatus, name: str) -> Verdict:
    deployment = status.deployment(name)
    if deployment is None:
        left = any(one.deployment == name for one in status.orphans)
        return Verdict.ON_ITS_WAY if left else Verdict.DONE
    match deployment.state:
        case RolloutState.SETTLED:
            return Verdict.DONE
        case RolloutState.ROLLED_BACK:
            return Verdict.ROLLED_BACK
        case RolloutState.FAILED:
            return Verdict.FAILED
        case RolloutState.HELD:
            return Verdict.CANNOT_BE_PLACED if deployment.unplaceable else Verdict.ON_ITS_WAY
        case RolloutState.REMOVING:
            return Verdict.ON_ITS_WAY if deployment.replicas else Verdict.DONE
        case RolloutState.PROGRESSING:
            return Verdict.ON_ITS_WAY
