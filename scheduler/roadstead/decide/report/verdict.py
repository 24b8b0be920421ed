"""Whether what was asked for is reached, out of reach, or on its way: what ``apply`` waits for and ends with."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from types import MappingProxyType

from roadstead.decide.report.status import DeploymentStatus, FleetStatus, RolloutState
from roadstead.units import Duration

__all__ = ["PATIENCE", "Verdict", "verdict"]

PATIENCE = Duration(30_000)
"""How long a gateway may be silent before nobody waits for it any more."""


@enum.unique
class Verdict(enum.Enum):
    """How far the fleet is, from best to worst; the worst deployment decides."""

    DONE = "done"
    ON_ITS_WAY = "on-its-way"
    PAUSED = "paused"
    NOT_REACHED = "not-reached"
    CANNOT_BE_PLACED = "cannot-be-placed"
    ROLLED_BACK = "rolled-back"
    FAILED = "failed"


_WORST_FIRST = (
    Verdict.ON_ITS_WAY,
    Verdict.FAILED,
    Verdict.ROLLED_BACK,
    Verdict.CANNOT_BE_PLACED,
    Verdict.NOT_REACHED,
    Verdict.PAUSED,
)


_BY_STATE: Mapping[RolloutState, Verdict] = MappingProxyType(
    {
        RolloutState.SETTLED: Verdict.DONE,
        RolloutState.PROGRESSING: Verdict.ON_ITS_WAY,
        RolloutState.PAUSED: Verdict.PAUSED,
        RolloutState.ROLLED_BACK: Verdict.ROLLED_BACK,
        RolloutState.FAILED: Verdict.FAILED,
    }
)


def verdict(status: FleetStatus, names: Collection[str]) -> Verdict:
    """Return the verdict over the deployments in ``names``.

    One that is not in the fleet is done when nothing is left of it.

    While anything is still on its way the verdict is that: what cannot be placed may fit when the rest is done. Its
    replicas are as asked and clients cannot reach them: that is ``NOT_REACHED``, once it is clear that waiting does not
    help. A gateway that does not answer is started again by itself, and is given :data:`PATIENCE` for that.
    """
    found = [_of(status, name) for name in names]
    for worst in _WORST_FIRST:
        if worst in found:
            return worst
    return Verdict.DONE


def _of(status: FleetStatus, name: str) -> Verdict:
    deployment = status.deployment(name)
    if deployment is None:
        left = any(one.deployment == name for one in status.orphans)
        return Verdict.ON_ITS_WAY if left else Verdict.DONE
    if deployment.state is RolloutState.HELD:
        if deployment.unplaceable:
            return Verdict.CANNOT_BE_PLACED
        return Verdict.NOT_REACHED if _is_cut_off(status, deployment) else Verdict.ON_ITS_WAY
    if deployment.state is RolloutState.REMOVING:
        return Verdict.ON_ITS_WAY if deployment.replicas else Verdict.DONE
    return _BY_STATE[deployment.state]


def _is_cut_off(status: FleetStatus, deployment: DeploymentStatus) -> bool:
    """Return whether clients cannot use the address of a deployment, for a reason that waiting does not take away."""
    address = deployment.address
    if address is None or not address.problem:
        return False
    gateway = status.gateway(address.gateway)
    if gateway is not None and gateway.unseen_since is not None:
        return status.at - gateway.unseen_since >= PATIENCE.ms
    return not address.served
