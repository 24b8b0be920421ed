"""The course of one deployment for one turn: from what it has and should have to its steps.

Everything that concerns a single deployment comes together here: what was learnt, its rows with their aims, the
rollout's moves, who leaves, the steps that they become, and seats for its slots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

from roadstead.decide import claims, counting, drift, excess, passing, remembering, settling, slots, steering
from roadstead.decide.answering import Answers
from roadstead.decide.case import Case
from roadstead.decide.leaving import Leaving, leaving
from roadstead.decide.ledger import Ledger
from roadstead.decide.relief import Relief, relief, with_claim
from roadstead.decide.rollout import Moves, advance
from roadstead.decide.rows import Row
from roadstead.decide.seating import seating
from roadstead.decide.shaping import Shape, shape
from roadstead.decide.stepping import Order, steps_of
from roadstead.memory import Claim, DeploymentMemory, ExcessMemory, GroupMemory, Reverted, SlotMemory, place
from roadstead.plans import Held, Step
from roadstead.spi.policies import PlacementPolicy
from roadstead.world import Listed, Member, Shard, listed

__all__ = ["Taken", "course"]


_NOWHERE: Mapping[str, int] = MappingProxyType({})


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
    learnt = _learnt(case, ledger)
    meant = _meant(case, learnt, ledger)
    out = leaving(meant.rows, meant.moves, meant.relieved, learnt.known.leaving, learnt.elapsed)
    unready = remembering.unready(case.shard, learnt.known, learnt.elapsed, out.places)
    stepped = steps_of(_order(case, learnt, meant, out, unready), case.memory, ledger)
    settled = settling.settles(case, learnt.groups, (*stepped.grow, *stepped.shrink))
    seated = seating(case, meant.rows, out.places, ledger, policies)
    serving = _serving(case.shard, out.places)
    made = DeploymentMemory(
        at=case.now,
        groups=learnt.groups,
        leaving=out.times,
        unready=unready,
        clusters=meant.shaped.clusters,
        slots=meant.waits,
        excess=learnt.excess,
        ousted=meant.relieved.ousted,
        reverts=learnt.reverts,
        asked=remembering.asked(case, learnt.known, stepped.grow),
    )
    return Taken(
        steps=(*settled.steps, *stepped.grow, *seated.binds, *settling.heeded(case, stepped.shrink, stepped.grow)),
        held=(
            *meant.shaped.held,
            *_rollout_held(case, meant),
            *settled.held,
            *stepped.held,
            *seated.held,
            *_besides(case, learnt, meant, out, serving),
        ),
        listed=case.shard.listed if serving is case.shard.ready else listed(serving),
        draining=() if serving is case.shard.members else passing.draining(case.shard.members, serving),
        memory=remembering.kept(case, learnt.known, made),
        spread=meant.shaped.counts,
        claims=claims.kept(meant.claimed, meant.moves.claims, case.standing, meant.moves.every_victim),
    )


# ---- what is known ----


@attrs.frozen(kw_only=True)
class _Learnt:
    """What was ``known`` ``elapsed`` ms before, and what is learnt of groups, excess and others' changes by now."""

    known: DeploymentMemory
    elapsed: int
    groups: Mapping[str, GroupMemory]
    excess: Mapping[str, ExcessMemory]
    reverts: Mapping[str, tuple[Reverted, ...]]


def _learnt(case: Case, ledger: Ledger) -> _Learnt:
    known, elapsed = remembering.remembered(case)
    return _Learnt(
        known=known,
        elapsed=elapsed,
        groups=remembering.learnt(case, known, elapsed, ledger.unseen),
        excess=excess.learnt(case, known, elapsed),
        reverts=drift.learnt(case, known, elapsed),
    )


# ---- what is meant to become of it ----


@attrs.frozen(kw_only=True)
class _Meant:
    """The ``rows`` as they are to be in the end, and the moves towards that.

    ``shaped`` is as it would be if nobody asked for anything else, ``waits`` is what is known of slots, ``claimed``
    what is kept for the deployment.
    """

    shaped: Shape
    rows: tuple[Row, ...]
    waits: Mapping[str, SlotMemory]
    relieved: Relief
    moves: Moves
    claimed: tuple[Claim, ...]


def _meant(case: Case, learnt: _Learnt, ledger: Ledger) -> _Meant:
    known = learnt.known
    shaped = shape(case, learnt.groups, known.clusters, ledger, learnt.elapsed)
    rows = steering.standing_still(shaped.rows, case.wanted, case.spec.max_surge) if case.paused else shaped.rows
    rows = counting.left_to_others(case, rows)
    waits = slots.learnt(case, rows, known.slots, ledger, learnt.elapsed, relieved=known.ousted is not None)
    room = Answers(case, ledger, shaped.clusters, waits)
    offenders = (*excess.of_members(case, learnt.excess), *drift.strays(case))
    relieved = relief(case, rows, offenders, known, room)
    claimed = case.memory.claims.get(case.name, ())
    moves = advance(relieved.rows, wanted=case.wanted, spec=case.spec, leaving=known.leaving, claims=claimed, room=room)
    return _Meant(
        shaped=shaped,
        rows=relieved.rows,
        waits=waits,
        relieved=relieved,
        moves=with_claim(moves, relieved.given_up, claimed),
        claimed=claimed,
    )


# ---- what is done ----


def _order(case: Case, learnt: _Learnt, meant: _Meant, out: Leaving, unready: Mapping[str, int | None]) -> Order:
    return Order(
        deployment=case.name,
        owner=case.owner,
        rows=meant.rows,
        grow=meant.moves.grow,
        forgone=meant.moves.forgone,
        victims=out.places,
        drained=out.drained,
        restart=out.restart,
        evict=out.evict,
        overdue=out.overdue,
        unready=unready,
        groups=learnt.groups,
        spec=case.spec,
        wanted=case.wanted,
        floor=case.floor,
        going=case.going,
        usage=case.world.usage,
        reverts=tuple(drift.reverts(case, meant.rows, learnt.reverts)),
        adopt=case.declared.adopt if case.declared is not None else None,
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


# ---- what is said ----


def _rollout_held(case: Case, meant: _Meant) -> Sequence[Held]:
    """Return why the rollout stands still, or that somebody paused it, if it would not stand still otherwise."""
    cluster = next((row.key.cluster for row in meant.rows if row.need), "")
    held = [Held(deployment=case.name, cluster=cluster, reason=reason) for reason in meant.moves.held]
    paused = steering.paused(case.name, meant.shaped.rows) if case.paused else None
    return held if paused is None else [*held, paused]


def _besides(case: Case, learnt: _Learnt, meant: _Meant, out: Leaving, serving: Sequence[Member]) -> Iterator[Held]:
    """Yield what is held back, or only said, besides what stands against the steps themselves."""
    yield from slots.unplaced(case, meant.waits, meant.rows)
    yield from meant.relieved.held
    yield from drift.held(case, learnt.reverts)
    yield from counting.held(case)
    yield from passing.held(case, learnt.groups, out.going, serving)
