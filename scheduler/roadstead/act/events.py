"""What happened, told from two turns. Pure, and nothing depends on it.

The event log is a function of what was seen and done, so that every story it tells can be tested without a clock or a
cluster.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs

from roadstead.decide.merging import changed_shards
from roadstead.model import Fleet
from roadstead.plans import (
    Bind,
    Delete,
    Evict,
    Grow,
    Held,
    Plan,
    Reload,
    Restart,
    Revert,
    Settle,
    Shrink,
    Step,
    deployment_of,
)
from roadstead.reasons import ReasonCode
from roadstead.world import (
    Exit,
    GroupKey,
    Member,
    ModelStatus,
    Outcome,
    OutcomeKind,
    Phase,
    Reachable,
    Shard,
    Unreachable,
    World,
)

__all__ = ["Event", "EventKind", "Timing", "Turn", "happened", "reverted"]


@enum.unique
class EventKind(enum.Enum):
    """The closed list of what can happen; the value is what people and programs read.

    ``OTHER`` is never told: it stands for what a newer program told and this one does not know.
    """

    DAEMON_STARTED = "daemon-started"
    DAEMON_STOPPED = "daemon-stopped"
    MEMORY_LOST = "memory-lost"
    STATE_RESTORED = "state-restored"
    TURN_FAILED = "turn-failed"
    TURNS_WORK = "turns-work-again"
    FLEET_CHANGED = "fleet-changed"
    FLEET_STAGED = "fleet-staged"
    FLEET_REFUSED = "fleet-refused"
    INTENT = "intent"
    CLUSTER_LOST = "cluster-unreachable"
    CLUSTER_BACK = "cluster-reachable"
    GATEWAY_LOST = "gateway-unreachable"
    GATEWAY_BACK = "gateway-reachable"
    GATEWAY_PROBLEM = "gateway-problem"
    TABLE_REJECTED = "table-rejected"
    ROUTE_PROBLEM = "route-problem"
    GROUP_CREATED = "group-created"
    GROUP_DELETED = "group-deleted"
    ADOPTED = "replica-adopted"
    CREATED = "replica-created"
    PLACED = "replica-placed"
    STARTED = "replica-started"
    RESTARTED = "replica-restarted"
    READY = "replica-ready"
    UNREADY = "replica-not-ready"
    CRASHED = "replica-crashed"
    OUT_OF_MEMORY = "replica-out-of-memory"
    MODEL_FAILED = "model-failed"
    STOPPING = "replica-stopping"
    STOPPED = "replica-stopped"
    OVERDUE = "replica-overdue"
    SCALED = "scaled-by-load"
    LOST = "replica-lost"
    STEP_DONE = "step-done"
    STEP_FAILED = "step-failed"
    HELD = "held"
    RELEASED = "released"
    OTHER = "other"


@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened.

    ``at`` is in milliseconds since the epoch. ``subject`` is a replica, a group, a cluster or a file; ``reason`` is a
    code of :class:`~roadstead.reasons.ReasonCode` or of an error, or empty. ``seq`` is given by the journal, 0
    before.
    """

    at: int
    kind: EventKind
    text: str
    cluster: str = ""
    deployment: str = ""
    subject: str = ""
    reason: str = ""
    seq: int = 0


@attrs.frozen(kw_only=True)
class Timing:
    """How long the parts of a turn took, in seconds; ``act`` includes making memory durable."""

    observe: float = 0.0
    plan: float = 0.0
    act: float = 0.0


_UNTIMED = Timing()


@attrs.frozen(kw_only=True)
class Turn:
    """Everything that one turn saw, decided and did; ``at`` is in milliseconds since the epoch.

    ``undone`` says why none of the plan's steps was taken, and is empty where they were.
    """

    number: int
    at: int
    fleet: Fleet
    world: World
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    undone: str = ""
    timing: Timing = _UNTIMED


def happened(before: Turn | None, after: Turn) -> tuple[Event, ...]:
    """Return what happened from one turn to the next, in the order in which it is best read.

    Without an earlier turn it is a first look: what runs was adopted, and how servers ended before is told again with
    its own time, so that the journal, which keeps one event of a kind for a subject and a moment, adds only what it
    did not know.
    """
    return (
        *_clusters(before, after),
        *_deployments(before, after),
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


# ---- groups and replicas ----


def _deployments(before: Turn | None, after: Turn) -> Iterator[Event]:
    world_before = before.world if before is not None else World(clusters={})
    lowered = frozenset(
        (step.cluster, step.group)
        for step in (before.plan.steps if before is not None and not before.undone else ())
        if isinstance(step, Shrink | Delete)
    )
    for name in sorted(changed_shards(world_before, after.world)):
        nothing = Shard(deployment=name)
        old, new = world_before.shards.get(name, nothing), after.world.shards.get(name, nothing)
        yield from _groups_changed(old, new, after.at, first=before is None)
        yield from _members_changed(old, new, after.at, lowered, first=before is None)


def _groups_changed(old: Shard, new: Shard, at: int, *, first: bool) -> Iterator[Event]:
    groups_were, groups_are = _groups(old), _groups(new)
    if not first:
        for cluster, key in sorted(groups_are - groups_were):
            yield _of_group(EventKind.GROUP_CREATED, f"group {key} was created", at, cluster, key)
    for cluster, key in sorted(groups_were - groups_are):
        yield _of_group(EventKind.GROUP_DELETED, f"group {key} is gone", at, cluster, key)


def _members_changed(
    old: Shard, new: Shard, at: int, lowered: frozenset[tuple[str, GroupKey]], *, first: bool
) -> Iterator[Event]:
    """Yield what became of replicas; ``lowered`` are the groups that we asked to have fewer of them."""
    before, after = _members(old), _members(new)
    for place, member in after.items():
        was = before.get(place)
        if was is None:
            yield from _first_seen(member, at, adopted=first)
        elif was is not member:
            yield from _changed(was, member, at)
    for place, member in before.items():
        if place not in after:
            yield _gone(member, at, asked_to=(member.cluster, member.group.key) in lowered)


def _groups(shard: Shard) -> set[tuple[str, GroupKey]]:
    return {(cluster, group.key) for cluster, group in shard.groups}


def _members(shard: Shard) -> dict[tuple[str, str], Member]:
    return {(member.cluster, member.replica.id): member for member in shard.members}


def _of_group(kind: EventKind, text: str, at: int, cluster: str, key: GroupKey) -> Event:
    return Event(at=at, kind=kind, text=text, cluster=cluster, deployment=key.deployment, subject=str(key))


def _of(member: Member, kind: EventKind, text: str, at: int, reason: ReasonCode | None = None) -> Event:
    return Event(
        at=at,
        kind=kind,
        text=f"{member.replica.id} {text}",
        cluster=member.cluster,
        deployment=member.group.key.deployment,
        subject=member.replica.id,
        reason=reason.value if reason is not None else "",
    )


def _first_seen(member: Member, at: int, *, adopted: bool) -> Iterator[Event]:
    replica = member.replica
    yield from _ends(member, ())
    if adopted:
        yield _of(member, EventKind.ADOPTED, f"was found {replica.phase.value}, and stays as it is", at)
    elif replica.phase is Phase.SLOT:
        yield _of(member, EventKind.CREATED, "was created and waits for a node", at)
    elif replica.node is not None:
        yield _of(member, EventKind.PLACED, f"was placed on {replica.node}", at)
    if not adopted and replica.phase is Phase.RUNNING:
        yield _of(member, EventKind.STARTED, "has a running server", at)
    if member.ready:
        yield _of(member, EventKind.READY, "is ready", at)


def _changed(was: Member, member: Member, at: int) -> Iterator[Event]:
    old, new = was.replica, member.replica
    yield from _ends(member, old.exits)
    if old.node is None and new.node is not None:
        yield _of(member, EventKind.PLACED, f"was placed on {new.node}", at)
    yield from _process(was, member, at)
    if new.phase is not old.phase and new.phase is Phase.STOPPING:
        yield _of(member, EventKind.STOPPING, "was told to stop", at)
    if new.phase is not old.phase and new.phase is Phase.LOST:
        yield _of(member, EventKind.LOST, f"is lost{_because(member)}", at, ReasonCode.LOST)
    yield from _readiness(was, member, at)


def _process(was: Member, member: Member, at: int) -> Iterator[Event]:
    """Yield that a server process began, and whether it is the first of its replica."""
    old, new = was.replica, member.replica
    if new.phase is not Phase.RUNNING or (old.phase is Phase.RUNNING and old.incarnation == new.incarnation):
        return
    if new.restarts > 0 or new.last_exit is not None or old.phase is Phase.RUNNING:
        # The count may have gone up with the end of the old server, an observation before this one.
        missed = new.restarts - old.restarts
        again = f" {missed} times" if missed > 1 else ""
        text = f"was restarted{again}, {new.restarts} in all"
        yield _of(member, EventKind.RESTARTED, text, new.started_at if new.started_at is not None else at)
    else:
        yield _of(member, EventKind.STARTED, "has a running server", at)


def _readiness(was: Member, member: Member, at: int) -> Iterator[Event]:
    same = was.replica.incarnation == member.replica.incarnation
    if member.ready and not (was.ready and same):
        yield _of(member, EventKind.READY, "is ready", at)
    elif was.ready and same and member.replica.phase is Phase.RUNNING and not member.ready:
        said = f": {member.model.error}" if member.model is not None and member.model.error else ""
        yield _of(member, EventKind.UNREADY, f"is no longer ready{said}", at, ReasonCode.NOT_READY)
    if _model_failed(member) and not (_model_failed(was) and same):
        error = member.model.error if member.model is not None else ""
        yield _of(member, EventKind.MODEL_FAILED, f"cannot serve its model: {error}", at, ReasonCode.MODEL)


def _model_failed(member: Member) -> bool:
    model = member.model
    return model is not None and model.status is ModelStatus.FAILED and model.incarnation == member.replica.incarnation


def _ends(member: Member, known: tuple[Exit, ...]) -> Iterator[Event]:
    """Yield every end that is not ``known`` yet; one that we asked for is told by the step that asked."""
    return (_ended(member, exit_) for exit_ in member.replica.exits if exit_ not in known and not exit_.asked)


def _ended(member: Member, exit_: Exit) -> Event:
    """Return how a server process ended, or why none was begun, at the moment when that was."""
    if exit_.out_of_memory:
        limit = member.group.template.resources.memory
        text = f"ran out of memory: its limit is {limit}"
        return _of(member, EventKind.OUT_OF_MEMORY, text, exit_.at, ReasonCode.OUT_OF_MEMORY)
    if exit_.detail:
        how = exit_.detail
    elif exit_.signal is not None:
        how = f"was ended by signal {exit_.signal}"
    elif exit_.code is not None:
        how = f"ended with exit status {exit_.code}"
    else:
        how = "ended, and nobody saw how"
    return _of(member, EventKind.CRASHED, how, exit_.at, ReasonCode.CRASH)


def _gone(member: Member, at: int, *, asked_to: bool) -> Event:
    if asked_to or member.replica.phase in {Phase.STOPPING, Phase.SLOT, Phase.LOST}:
        return _of(member, EventKind.STOPPED, "is gone", at)
    return _of(
        member, EventKind.LOST, f"is gone without having been seen to stop{_because(member)}", at, ReasonCode.LOST
    )


def _because(member: Member) -> str:
    return f": {member.replica.reason}" if member.replica.reason is not None else ""


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
