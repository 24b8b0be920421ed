"""What became of groups and replicas, told from two looks at them. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from roadstead.act.events import Event, EventKind, Turn
from roadstead.decide.merging import changed_shards
from roadstead.plans import Delete, Shrink
from roadstead.reasons import ReasonCode
from roadstead.world import Exit, GroupKey, Member, ModelStatus, Phase, Shard, World

__all__ = ["of_replicas"]


def of_replicas(before: Turn | None, after: Turn) -> Iterator[Event]:
    """Yield what became of groups and replicas from one turn to the next; without an earlier one, what is there."""
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
