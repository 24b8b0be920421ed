"""The course of one deployment for one turn: from what it has and should have to its steps.

Everything that concerns a single deployment comes together here: what was learnt, its rows with their aims, the
rollout's moves, the steps that they become, and seats for its slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

from roadstead.decide import claims, counting, drift, excess, passing, progress, settling, slots, steering
from roadstead.decide.case import Case
from roadstead.decide.fit import Fit, No, Yes, fit
from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.limits import over_quota
from roadstead.decide.prospects import answered
from roadstead.decide.relief import Relief, relief, with_claim
from roadstead.decide.rollout import Moves, Question, advance, floor_of, may_stop_at_once
from roadstead.decide.rows import Row, RowKey
from roadstead.decide.seating import seating
from roadstead.decide.shaping import shape
from roadstead.decide.stepping import Drained, Order, steps_of
from roadstead.holdings import use_of
from roadstead.memory import (
    Asked,
    Claim,
    ClusterMemory,
    DeploymentMemory,
    GroupMemory,
    SlotMemory,
    cluster_of,
    place,
    process_place,
)
from roadstead.plans import Grow, Held, Step
from roadstead.spi.policies import PlacementPolicy
from roadstead.world import NOBODY, Listed, Member, Reachable, Shard, listed

__all__ = ["Taken", "course"]


_NOWHERE: Mapping[str, int] = MappingProxyType({})
_NEW = GroupMemory()


@attrs.frozen(kw_only=True)
class Taken:
    """One deployment's part of the plan.

    ``spread`` is how many replicas each cluster should end with; ``memory`` is ``None`` when there is nothing left to
    remember.
    """

    steps: tuple[Step, ...]
    held: tuple[Held, ...]
    listed: tuple[Listed, ...]
    draining: tuple[Listed, ...] = ()
    spread: Mapping[str, int] = _NOWHERE
    memory: DeploymentMemory | None
    claims: tuple[Claim, ...] = ()


def course(case: Case, ledger: Ledger, policies: Mapping[str, PlacementPolicy]) -> Taken:
    """Return what to do for one deployment; what it is promised is written to ``ledger``."""
    if case.declared is None and not case.shard.groups:
        left = settling.left_over(case.name, case.world, case.memory)
        return Taken(steps=left.steps, held=left.held, listed=(), memory=None)
    known, elapsed = _remembered(case)
    groups = _learnt(case, known, elapsed, ledger.unseen)
    shaped = shape(case, groups, known.clusters, ledger, elapsed)
    claimed = case.memory.claims.get(case.name, ())
    rows = shaped.rows
    if case.paused:
        rows = steering.standing_still(rows, case.wanted, case.spec.max_surge)
    rows = counting.left_to_others(case, rows)
    waits = slots.learnt(case, rows, known.slots, ledger, elapsed, relieved=known.ousted is not None)

    def room(question: Question) -> Fit:
        return _room(question, case, ledger, shaped.clusters, waits)

    times = excess.learnt(case, known, elapsed)
    put_back = drift.learnt(case, known, elapsed)
    relieved = relief(case, rows, (*excess.of_members(case, times), *drift.strays(case)), known, room)
    rows = relieved.rows
    moves = advance(rows, wanted=case.wanted, spec=case.spec, leaving=known.leaving, claims=claimed, room=room)
    moves = with_claim(moves, relieved.given_up, claimed)
    going = _going(moves, relieved)
    leaving = _leaving(going, known.leaving, elapsed)
    inside = frozenset(row.key for row in rows if row.drains_inside)
    drained = _drained(moves.victims, leaving, inside)
    victims = frozenset(place(member.cluster, member.replica.id) for chosen in going.values() for member in chosen)
    unready = _unready(case.shard, known, elapsed, victims)
    order = Order(
        deployment=case.name,
        owner=case.owner,
        rows=rows,
        grow=moves.grow,
        victims=victims,
        drained=drained,
        restart=_drained_out(relieved.restart, moves, leaving, inside),
        evict=_drained_out(relieved.evict, moves, leaving, inside),
        overdue=_overdue(_drained(going, leaving, inside)),
        unready=unready,
        groups=groups,
        spec=case.spec,
        wanted=case.wanted,
        floor=floor_of(case.wanted, case.spec),
        going=case.going,
        usage=case.world.usage,
        reverts=tuple(drift.reverts(case, rows, put_back)),
        adopt=case.declared.adopt if case.declared is not None else None,
    )
    stepped = steps_of(order, case.memory, ledger)
    settled = settling.settles(case, groups, (*stepped.grow, *stepped.shrink))
    seated = seating(case, rows, victims, ledger, policies)
    serving = _serving(case.shard, victims)
    held = (
        *shaped.held,
        *_rollout_held(case, rows, shaped.rows, moves),
        *settled.held,
        *stepped.held,
        *seated.held,
        *slots.unexplained(waits, rows),
        *relieved.held,
        *drift.held(case, put_back),
        *counting.held(case),
        *passing.held(case, groups, going, serving),
    )
    made = DeploymentMemory(
        at=known.at,
        groups=groups,
        leaving=leaving,
        unready=unready,
        clusters=shaped.clusters,
        slots=waits,
        excess=times,
        ousted=relieved.ousted,
        reverts=put_back,
        asked=_asked(case, known, stepped.grow),
    )
    return Taken(
        steps=(*settled.steps, *stepped.grow, *seated.binds, *settling.heeded(case, stepped.shrink, stepped.grow)),
        held=held,
        listed=case.shard.listed if serving is case.shard.ready else listed(serving),
        draining=() if serving is case.shard.members else passing.draining(case.shard.members, serving),
        memory=_kept(case, known, made),
        spread=shaped.counts,
        claims=claims.kept(claimed, moves.claims, case.standing, moves.every_victim),
    )


def _serving(shard: Shard, victims: frozenset[str]) -> tuple[Member, ...]:
    """Return who may be listed: all that are ready, or not heard of yet, less those that are to go."""
    if not victims and len(shard.ready) == len(shard.members):
        return shard.ready
    return tuple(
        member
        for member in shard.members
        if (member.ready or member.is_unheard) and place(member.cluster, member.replica.id) not in victims
    )


# ---- what is remembered ----


def _remembered(case: Case) -> tuple[DeploymentMemory, int]:
    """Return what the memory knows, or what to believe where it knows nothing, and the time passed, clamped."""
    known = case.memory.deployments.get(case.name)
    if known is None:
        wanted = {(target.cluster, target.revision) for target in case.destinations.all}
        return DeploymentMemory(at=case.now, groups=progress.recalled(case.shard, wanted)), 0
    longest = 2 * case.fleet.daemon.turn.ms
    return known, min(max(0, case.now - known.at), longest)


def _learnt(case: Case, known: DeploymentMemory, elapsed: int, unseen: frozenset[str]) -> Mapping[str, GroupMemory]:
    """Return the memory of every group that exists, may exist on a cluster never seen, or that the file asks for."""
    aimed = (
        {(target.cluster, target.revision) for target in case.destinations.all} if case.declared is not None else set()
    )
    groups = {key: before for key, before in known.groups.items() if cluster_of(key) in unseen}
    for cluster, group in case.shard.groups:
        key = place(cluster, group.key)
        before = known.groups.get(key, _NEW)
        if not isinstance(case.world.clusters.get(cluster), Reachable):
            groups[key] = before
            continue
        groups[key] = progress.learnt(
            before,
            group,
            case.shard.crews.get((cluster, group.key.revision), NOBODY).all,
            current=not case.paused and (cluster, group.key.revision) in aimed,
            elapsed_ms=elapsed,
            spec=case.spec,
        )
        if case.declared is not None:
            groups[key] = steering.vouched(case.fleet, case.declared, cluster, group.key.revision, groups[key])
    for cluster, revision in aimed:
        key = place(cluster, f"{case.name}-{revision}")
        if key in known.groups and key not in groups:
            groups[key] = known.groups[key]
    return MappingProxyType(groups)


def _going(moves: Moves, relieved: Relief) -> Drained:
    """Return everybody who is to be out of the table: the victims, and who is to be restarted or evicted."""
    member = relieved.restart or relieved.evict
    if member is None:
        return moves.victims
    key = RowKey(member.cluster, member.group.key.revision)
    victims = moves.victims.get(key, ())
    return moves.victims if member in victims else {**moves.victims, key: (*victims, member)}


def _drained_out(
    member: Member | None, moves: Moves, leaving: Mapping[str, int | None], inside: frozenset[RowKey]
) -> Member | None:
    """Return who may be restarted or evicted now: one that is drained, and is not given up anyway."""
    if member is None or member in moves.every_victim:
        return None
    return member if _is_drained(member, leaving, inside) else None


def _asked(case: Case, known: DeploymentMemory, steps: tuple[Step, ...]) -> Mapping[str, Asked]:
    """Return what clusters are asked for now, and were asked for since they were last seen."""
    silent = {
        key: asked
        for key, asked in known.asked.items()
        if not isinstance(case.world.clusters.get(cluster_of(key)), Reachable)
    }
    now = {
        place(step.cluster, step.group): Asked(step.target, use_of(step.template.resources))
        for step in steps
        if isinstance(step, Grow)
    }
    return MappingProxyType({**silent, **now})


def _leaving(going: Drained, before: Mapping[str, int | None], elapsed: int) -> Mapping[str, int | None]:
    """Return for how long everybody has been out of the table who should be; whoever should not is back in it.

    Without a gateway the endpoint list is the table. It is given out at the end of the turn that decided so, which may
    have taken long; so the time begins with the next one.
    """
    times: dict[str, int | None] = {}
    for chosen in going.values():
        for member in chosen:
            key = place(member.cluster, member.replica.id)
            given_out = member.passage is not None or key in before
            times[key] = progress.out_of_table(member, before.get(key), elapsed) if given_out else None
    return MappingProxyType(times)


def _drained(going: Drained, leaving: Mapping[str, int | None], inside: frozenset[RowKey]) -> Drained:
    """Return those that may be taken down now: nothing in flight, or all of ``drain_within`` waited.

    Those of the rows ``inside`` drain after they were told to stop.
    """
    return {
        key: tuple(member for member in chosen if _is_drained(member, leaving, inside)) for key, chosen in going.items()
    }


def _is_drained(member: Member, leaving: Mapping[str, int | None], inside: frozenset[RowKey]) -> bool:
    if not member.is_out:
        return False
    if RowKey(member.cluster, member.group.key.revision) in inside:
        return True
    out = leaving[place(member.cluster, member.replica.id)] or 0
    return may_stop_at_once(member) or member.is_idle or out >= member.group.template.stop.drain_within.ms


def _overdue(drained: Drained) -> frozenset[str]:
    """Return those that a gateway does not show to be idle: their grace is over."""
    return frozenset(
        place(member.cluster, member.replica.id)
        for chosen in drained.values()
        for member in chosen
        if member.passage is not None and not member.is_idle and not may_stop_at_once(member)
    )


def _unready(shard: Shard, known: DeploymentMemory, elapsed: int, victims: frozenset[str]) -> Mapping[str, int | None]:
    """Return for how long every server that is stuck has been out of the table; so it has had all of its grace."""
    times: dict[str, int | None] = {}
    for member in shard.members if len(shard.ready) < len(shard.members) else ():
        if progress.is_stuck(member) and place(member.cluster, member.replica.id) not in victims:
            key = process_place(member.cluster, member.replica.id, member.replica.incarnation)
            times[key] = progress.out_of_table(member, known.unready.get(key), elapsed)
    return MappingProxyType(times)


def _kept(case: Case, known: DeploymentMemory, made: DeploymentMemory) -> DeploymentMemory:
    """Return the memory to keep: the same object when only time has passed and nothing measures it.

    Where the clock was set back, ``at`` must follow it: nothing would be measured until it is as late again.
    """
    still = known.at <= case.now and not excess.is_counting(case, made.excess)
    if made == known and still and case.memory.deployments.get(case.name) is known:
        return known
    return attrs.evolve(made, at=case.now)


# ---- room ----


def _room(
    question: Question,
    case: Case,
    ledger: Ledger,
    clusters: Mapping[str, ClusterMemory],
    waits: Mapping[str, SlotMemory],
) -> Fit:
    """Return whether it fits: on the cluster's nodes, and in the owner's quota."""
    row = question.row
    view = case.world.clusters[row.key.cluster]
    if view.snapshot is None:
        raise RuntimeError(f"{row.key.cluster} was never seen, and a row of it asks for room")
    allowed = question.count
    freed = None
    if question.without is None:
        quota_room = ledger.quota_room(case.owner, row.template.resources, case.name)
        allowed = min(allowed, quota_room - question.granted)
    elif not ledger.quota_allows_swap(case.owner, question.without.group.template.resources, row.template.resources):
        allowed = 0
    if allowed <= 0:
        return No(over_quota(case.owner, row.template.resources, question.count, ledger))
    if question.without is not None and question.without.replica.node is not None:
        replica = question.without.replica
        freed = Freed(
            cluster=question.without.cluster,
            node=question.without.replica.node,
            devices=replica.devices,
            resources=question.without.group.template.resources,
        )
    ahead = case.on(row.key.cluster).slots + question.granted
    wish = case.demand_on(row.key.cluster, view.snapshot, row.template, ahead=ahead)
    answer = fit(view.snapshot, ledger, wish, allowed, freed)
    if not isinstance(answer, Yes):
        known = clusters.get(row.key.cluster) if question.without is None else None
        answer = answered(known, answer, row.key.cluster, row.template)
        return slots.answered(waits, row, answer) if question.without is None else answer
    return Yes(min(answer.count, allowed), by_quota=answer.count >= allowed < question.count)


def _rollout_held(case: Case, rows: Sequence[Row], aimed: Sequence[Row], moves: Moves) -> tuple[Held, ...]:
    """Return why the rollout stands still; ``aimed`` are the rows as they should be if it were not paused."""
    cluster = next((row.key.cluster for row in rows if row.need), "")
    held = tuple(Held(deployment=case.name, cluster=cluster, reason=reason) for reason in moves.held)
    paused = steering.paused(case.name, aimed) if case.paused else None
    return held if paused is None else (*held, paused)
