"""One step as a call to its backend, and whatever comes back as an outcome."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from roadstead.act.reloads import Reloads
from roadstead.errors import (
    BackendError,
    Conflict,
    OutcomeUnknown,
    OutOfCapacity,
    Rejected,
    Retryable,
    RoadsteadError,
)
from roadstead.model import Fleet
from roadstead.plans import Bind, Delete, Evict, Grow, Reload, Restart, Revert, Settle, Shrink, Step
from roadstead.spi.backend import Backend, Binds, Evicts, Expect, GroupOrder, Restarts, Reverts, Settles
from roadstead.spi.runtime import Runtime
from roadstead.world import Outcome, OutcomeKind

__all__ = ["call", "done", "failed"]

_LOG = logging.getLogger(__name__)


def call(step: Step, backend: Backend, fleet: Fleet, runtimes: Mapping[str, Runtime], reloads: Reloads) -> bool:
    """Ask ``backend`` for ``step``, or a replica of it to reload; return whether that was not on its way already.

    Raises what the backend raises, and :class:`Rejected` for what it cannot be asked.
    """
    match step:
        case Grow():
            backend.apply(_order(step, fleet, runtimes), step.target, expect=Expect(step.version))
        case Shrink():
            order = _order(step, fleet, runtimes)
            backend.apply(order, step.target, retire=step.retire, expect=Expect(step.version))
        case Delete():
            backend.delete(step.group, grace=step.grace, expect=Expect(step.version))
        case Bind() | Restart() | Evict():
            _call_about_replica(step, backend)
        case Settle() | Revert():
            _call_about_objects(step, backend)
        case Reload():
            return reloads.ask(step, backend, _runtime(step, runtimes))
    return True


def _call_about_replica(step: Bind | Restart | Evict, backend: Backend) -> None:
    """Ask for what not every backend can do to a replica; raises ``Rejected`` where this one cannot."""
    match step:
        case Bind():
            if not isinstance(backend, Binds):
                raise _unable(step, "does not let us pick the node")
            backend.bind(step.replica, step.node, step.devices)
        case Restart():
            if not isinstance(backend, Restarts):
                raise _unable(step, "cannot restart a replica in place")
            backend.restart(step.replica, grace=step.grace, reason=step.because)
        case Evict():
            if not isinstance(backend, Evicts):
                raise _unable(step, "cannot take away one replica of our choice")
            backend.evict(step.replica, grace=step.grace, reason=step.because)


def _call_about_objects(step: Settle | Revert, backend: Backend) -> None:
    """Ask for what not every backend can do with what it keeps; raises ``Rejected`` where this one cannot."""
    match step:
        case Settle():
            if not isinstance(backend, Settles):
                raise _unable(step, "has nothing that stands for a deployment")
            backend.settle(step.deployment, step.floor)
        case Revert():
            if not isinstance(backend, Reverts):
                raise _unable(step, "cannot put back what others changed")
            backend.revert(step.group, expect=Expect(step.version))


def done(step: Step, turn: int) -> Outcome:
    """Return that the cluster accepted ``step``."""
    return Outcome(turn=turn, cluster=step.cluster, subject=step.subject, kind=OutcomeKind.DONE)


def failed(step: Step, turn: int, error: Exception) -> Outcome:
    """Return what an error says about whether ``step`` happened, and whether it is worth another try.

    An error that a backend may not raise says nothing about what was done before it: the outcome is unknown.
    """
    if not isinstance(error, RoadsteadError):
        _LOG.warning("%s on cluster %s failed", type(step).__name__.lower(), step.cluster, exc_info=error)
    return Outcome(
        turn=turn,
        cluster=step.cluster,
        subject=step.subject,
        kind=_kind(error),
        code=error.code if isinstance(error, RoadsteadError) else BackendError.code,
        text=str(error) if isinstance(error, RoadsteadError) else f"{type(error).__name__}: {error}",
        retry_after=error.after_ms if isinstance(error, Retryable) else None,
    )


def _kind(error: Exception) -> OutcomeKind:
    match error:
        case Conflict():
            return OutcomeKind.CONFLICT
        case OutOfCapacity():
            return OutcomeKind.NO_CAPACITY
        case Rejected():
            return OutcomeKind.REJECTED
        case OutcomeUnknown():
            return OutcomeKind.UNKNOWN
        case RoadsteadError():
            return OutcomeKind.FAILED
        case _:
            return OutcomeKind.UNKNOWN


def _order(step: Grow | Shrink, fleet: Fleet, runtimes: Mapping[str, Runtime]) -> GroupOrder:
    return GroupOrder(
        key=step.group,
        fleet=fleet.name,
        owner=step.owner,
        owner_id=fleet.owner_id,
        generation=step.generation,
        template=step.template,
        launch=_runtime(step, runtimes).launch(step.template),
        reloading=step.reloading if isinstance(step, Grow) else None,
        adopts=_adopts(step, fleet),
    )


def _adopts(step: Grow | Shrink, fleet: Fleet) -> str:
    """Return what a group is to be taken over from, where its deployment says that."""
    deployment = fleet.deployments.get(step.group.deployment)
    adopt = deployment.adopt if deployment is not None else None
    return adopt.object if adopt is not None and adopt.cluster == step.cluster else ""


def _runtime(step: Grow | Shrink | Reload, runtimes: Mapping[str, Runtime]) -> Runtime:
    name = step.template.runtime.name
    runtime = runtimes.get(name)
    if runtime is None:
        hint = f"installed: {', '.join(sorted(runtimes)) or 'none'}"
        raise Rejected(f"runtime {name!r} is not installed", cluster=step.cluster, subject=step.subject, hint=hint)
    return runtime


def _unable(step: Step, what: str) -> Rejected:
    return Rejected(f"the backend {what}", cluster=step.cluster, subject=step.subject)
