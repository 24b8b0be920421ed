"""What happened, told from two turns. Pure, and nothing depends on it.

The event log is a function of what was seen and done, so that every story it tells can be tested without a clock or a
cluster.
"""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.act.events import Event, EventKind, Turn
from roadstead.act.replica_events import of_replicas
from roadstead.plans import (
    Bind,
    Delete,
    Evict,
    Grow,
    Held,
    Reload,
    Restart,
    Revert,
    Settle,
    Shrink,
    Step,
    deployment_of,
)
from roadstead.reasons import ReasonCode
from roadstead.world import Outcome, OutcomeKind, Reachable, Unreachable

__all__ = ["happened", "reverted"]


def happened(before: Turn | None, after: Turn) -> tuple[Event, ...]:
    """Return what happened from one turn to the next, in the order in which it is best read.

    Without an earlier turn it is a first look: what runs was adopted, and how servers ended before is told again with
    its own time, so that the journal, which keeps one event of a kind for a subject and a moment, adds only what it
    did not know.
    """
    return (
        *_clusters(before, after),
        *of_replicas(before, after),
        *_scalings(after),
        *_steps(after),
        *_holds(before, after),
    )


# ---- clusters ----


def _clusters(before: Turn | None, after: Turn) -> Iterator[Event]:
    for name, view in after.world.clusters.items():
        was = before.world.clusters.get(name) if before is not None else None
        if isinstance(view, Unreachable) and not isinstance(was, Unreachable):
            yield Event(
                at=view.since,
                kind=EventKind.CLUSTER_LOST,
                text=f"cluster {name} does not answer: {view.error}",
                cluster=name,
                subject=name,
                reason=ReasonCode.UNREACHABLE.value,
            )
        elif isinstance(view, Reachable) and isinstance(was, Unreachable):
            text = f"cluster {name} answers again"
            yield Event(at=after.at, kind=EventKind.CLUSTER_BACK, text=text, cluster=name, subject=name)


# ---- what we did ----


def _scalings(turn: Turn) -> Iterator[Event]:
    """Yield what load made other than before; not where nothing came of the plan: it decides anew."""
    for one in turn.plan.scaled if not turn.undone else ():
        text = f"{one.deployment}: {one.was} -> {one.wanted} wanted by load: {one.because}"
        yield Event(at=turn.at, kind=EventKind.SCALED, text=text, deployment=one.deployment, subject=one.deployment)


def _steps(turn: Turn) -> Iterator[Event]:
    steps = {(step.cluster, step.subject): step for step in turn.plan.steps}
    for outcome in turn.outcomes:
        step = steps.get((outcome.cluster, outcome.subject))
        if step is None:
            continue
        done = outcome.kind is OutcomeKind.DONE
        yield Event(
            at=turn.at,
            kind=EventKind.STEP_DONE if done else EventKind.STEP_FAILED,
            text=f"{_told(step)}: {step.because}" if done else f"{_told(step)}, {_verdict(outcome)}: {outcome.text}",
            cluster=step.cluster,
            deployment=deployment_of(step),
            subject=step.subject,
            reason=outcome.code,
        )


def reverted(turn: Turn) -> Iterator[Revert]:
    """Yield the steps of a turn that put back what others had changed."""
    done = {(one.cluster, one.subject) for one in turn.outcomes if one.kind is OutcomeKind.DONE}
    for step in turn.plan.steps:
        if isinstance(step, Revert) and (step.cluster, step.subject) in done:
            yield step


def _told(step: Step) -> str:
    match step:
        case Grow():
            return f"{'create' if step.version is None else 'grow'} {step.group} {step.was} -> {step.target}"
        case Shrink():
            return f"shrink {step.group} {step.was} -> {step.target}"
        case Revert():
            return f"put back {step.group}"
        case Delete():
            return f"delete {step.group}"
        case Settle():
            return _told_of_settling(step)
        case Bind() | Restart() | Evict() | Reload():
            return _told_of_replica(step)


def _told_of_replica(step: Bind | Restart | Evict | Reload) -> str:
    match step:
        case Bind():
            return f"put {step.replica} on {step.node}"
        case Restart():
            return f"restart {step.replica}"
        case Evict():
            return f"evict {step.replica}"
        case Reload():
            return f"load version {step.template.model.version} in {step.replica}"


def _told_of_settling(step: Settle) -> str:
    if step.floor is None:
        return f"remove what stands for {step.deployment} on {step.cluster}"
    if step.was is None:
        return f"let {step.deployment} stand on {step.cluster}, with {step.floor} that nobody may disturb"
    return f"let nobody disturb {step.floor} of {step.deployment} on {step.cluster}, {step.was} before"


def _verdict(outcome: Outcome) -> str:
    match outcome.kind:
        case OutcomeKind.CONFLICT:
            return "not done because it no longer holds"
        case OutcomeKind.UNKNOWN:
            return "and it is not known whether it was done"
        case OutcomeKind.NO_CAPACITY:
            return "no room"
        case OutcomeKind.REJECTED:
            return "refused"
        case OutcomeKind.FAILED | OutcomeKind.DONE:
            return "failed"


# ---- what we did not do ----


def _holds(before: Turn | None, after: Turn) -> Iterator[Event]:
    """Yield what is held now and was not, and what no longer is; a reason's changing numbers are no news."""
    old = {_held_key(held): held for held in before.plan.held} if before is not None else {}
    new = {_held_key(held): held for held in after.plan.held}
    for key, held in new.items():
        if key not in old:
            yield _of_held(EventKind.HELD, held, str(held.reason), after.at)
    for key, held in old.items():
        if key not in new:
            yield _of_held(EventKind.RELEASED, held, f"no longer held: {held.reason.code.value}", after.at)


def _held_key(held: Held) -> tuple[str, str, ReasonCode]:
    return held.deployment, held.cluster, held.reason.code


def _of_held(kind: EventKind, held: Held, text: str, at: int) -> Event:
    return Event(
        at=at,
        kind=kind,
        text=text,
        cluster=held.cluster,
        deployment=held.deployment,
        subject=held.deployment,
        reason=held.reason.code.value,
    )
