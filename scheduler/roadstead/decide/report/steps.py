"""The steps of a plan as people and programs read them, in the order in which they are taken."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

from roadstead.decide.report.rerouting import Rerouting
from roadstead.plans import Adding, Bind, Delete, Evict, Grow, Reload, Restart, Revert, Settle, Shrink, Step

__all__ = ["StepKind", "StepView", "step_views"]


@enum.unique
class StepKind(enum.Enum):
    """What one step does."""

    SETTLE = "settle"
    GROW = "grow"
    BIND = "bind"
    RELOAD = "reload"
    ROUTE = "route"
    RESTART = "restart"
    EVICT = "evict"
    REVERT = "revert"
    SHRINK = "shrink"
    DELETE = "delete"


@attrs.frozen(kw_only=True)
class StepView:
    """One step of the next turn; counts are ``None`` where a step changes none.

    A ``ROUTE`` is no step of the plan: it is what a gateway is told between those that make more and those that leave
    less. It counts the replicas that get new requests, and belongs to no cluster.
    """

    kind: StepKind
    cluster: str
    subject: str
    was: int | None
    target: int | None
    because: str


def step_views(steps: Sequence[Step], route: Rerouting | None) -> Iterator[StepView]:
    """Yield the steps in the order in which they are taken, with what the gateway is told in its place among them."""
    yield from (_view(step) for step in steps if isinstance(step, Adding))
    if route is not None:
        subject = f"{route.gateway or 'gateway'}"
        yield StepView(
            kind=StepKind.ROUTE, cluster="", subject=subject, was=route.was, target=route.target, because=str(route)
        )
    yield from (_view(step) for step in steps if not isinstance(step, Adding))


def _view(step: Step) -> StepView:
    subject, was, target = _subject(step)
    return StepView(
        kind=_KINDS[type(step)], cluster=step.cluster, subject=subject, was=was, target=target, because=_because(step)
    )


def _because(step: Step) -> str:
    if isinstance(step, Shrink) and step.overdue:
        return f"{step.because}; the grace of {', '.join(step.overdue)} is over, with requests in flight"
    return step.because


_KINDS: Mapping[type, StepKind] = MappingProxyType(
    {
        Settle: StepKind.SETTLE,
        Grow: StepKind.GROW,
        Bind: StepKind.BIND,
        Reload: StepKind.RELOAD,
        Restart: StepKind.RESTART,
        Evict: StepKind.EVICT,
        Revert: StepKind.REVERT,
        Shrink: StepKind.SHRINK,
        Delete: StepKind.DELETE,
    }
)


def _subject(step: Step) -> tuple[str, int | None, int | None]:
    match step:
        case Grow() | Shrink():
            return str(step.group), step.was, step.target
        case Delete() | Revert():
            return str(step.group), None, None
        case Bind():
            return f"{step.replica} to {step.node}", None, None
        case Restart() | Evict() | Reload():
            return step.replica, None, None
        case Settle():
            counts = (None, None) if step.was is None or step.floor is None else (step.was, step.floor)
            return (step.deployment, *counts)
