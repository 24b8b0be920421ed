"""Planning for what may have changed only, and merging that with what was planned before. Pure.

A deployment that a plan passed over, because it was as it should be, is passed over again as long as nothing changed
that this depends on: what is declared, its shard, its memory, what stands for it as a whole, what is wrong with its
route, whether a replica uses more than it may, and which clusters and gateways answer. It takes no room and holds
nothing back, so that leaving it out changes nothing for the others. Everything else is planned anew each time, in the
same order as ever. So a merged plan is equal to the full one, and that is what is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import attrs

from roadstead.decide.scaling import due
from roadstead.mappings import changed
from roadstead.memory import PlanMemory
from roadstead.model import Fleet
from roadstead.plans import Held, Plan, Table
from roadstead.traffic import GatewayState, RouteView, Seen
from roadstead.world import Unreachable, World

__all__ = ["Planned", "changed_shards", "in_question", "in_scope", "merged"]

V = TypeVar("V")


@attrs.frozen(kw_only=True)
class Planned:
    """A plan with what it was made from."""

    fleet: Fleet
    world: World
    plan: Plan


def in_scope(last: Planned | None, fleet: Fleet, world: World, memory: PlanMemory, now: int) -> frozenset[str] | None:
    """Return the deployments to plan for after ``last``, or ``None`` where that is all of them.

    So it is at first, for another fleet, and where ``memory`` is not that which ``last`` came to.
    """
    if last is None or last.fleet is not fleet or last.plan.memory is not memory:
        return None
    return in_question(last.world, last.plan, world, due(memory, fleet.daemon.turn, now))


def changed_shards(before: World, after: World) -> frozenset[str]:
    """Return the deployments whose shard is another object in ``after``, is new there, or is gone."""
    return changed(before.shards, after.shards)


def in_question(before: World, last: Plan, after: World, due: frozenset[str] = frozenset()) -> frozenset[str] | None:
    """Return the deployments to plan for in ``after``, or ``None`` where that is all of them.

    ``last`` was planned for ``before`` and for the same fleet, and its memory is the one to go on with. ``due`` are
    those whose load is to be looked at (:func:`roadstead.decide.scaling.due`).
    """
    if _answering(before) != _answering(after):
        return None
    news = changed_shards(before, after) | _changed_problems(before, after) | _changed_settled(before, after)
    return last.unsettled | news | after.over | due


def _changed_settled(before: World, after: World) -> frozenset[str]:
    """Return the deployments for which something else stands on a cluster as a whole."""
    found: set[str] = set()
    old = {name: snapshot.settled for name, snapshot in before.snapshots()}
    for name, snapshot in after.snapshots():
        was, now = old.get(name, _NOTHING_SETTLED), snapshot.settled
        if was is not now:
            found |= {one for one in was.keys() | now.keys() if was.get(one) != now.get(one)}
    return frozenset(found)


_NOTHING_SETTLED: Mapping[str, int] = MappingProxyType({})


def _changed_problems(before: World, after: World) -> frozenset[str]:
    """Return the deployments of which clients can use the address again, or no longer, or for another reason."""
    found: set[str] = set()
    for gateway in before.data_path.gateways.keys() | after.data_path.gateways.keys():
        old, new = before.data_path.routes(gateway), after.data_path.routes(gateway)
        found |= {name for name in changed(old, new) if _problem(old.get(name)) != _problem(new.get(name))}
    return frozenset(found)


def _problem(route: RouteView | None) -> tuple[int, str] | None:
    return (route.port, route.problem) if route is not None and route.problem else None


def merged(fleet: Fleet, last: Plan, only: frozenset[str], scoped: Plan) -> Plan:
    """Return the whole plan: ``scoped``, which is about ``only``, and for all others what ``last`` says of them."""
    return attrs.evolve(
        scoped,
        held=_held(fleet, last, only, scoped),
        table=Table(
            _with(last.table.endpoints, only, scoped.table.endpoints),
            _with(last.table.draining, only, scoped.table.draining),
        ),
        wanted=_with(last.wanted, only, scoped.wanted),
        floor=_with(last.floor, only, scoped.floor),
        spread=_with(last.spread, only, scoped.spread),
    )


def _answering(world: World) -> tuple[Mapping[str, str | None], Mapping[str, tuple[bool | None, str]]]:
    """Return why each cluster does not answer, or ``None`` where it does; and how each gateway is as a whole."""
    gateways = world.data_path.gateways
    return (
        {name: view.error if isinstance(view, Unreachable) else None for name, view in world.clusters.items()},
        {name: _condition(state) for name, state in gateways.items()},
    )


def _condition(state: GatewayState) -> tuple[bool | None, str]:
    """Return whether the newest table is in force, ``None`` where nobody can see that, and what is wrong."""
    return (state.view.settled, state.view.problem) if isinstance(state, Seen) else (None, state.error)


def _held(fleet: Fleet, last: Plan, only: frozenset[str], scoped: Plan) -> tuple[Held, ...]:
    """Return what is held in the order of a full plan: by priority and name, the undeclared, then whole clusters."""

    def order(held: Held) -> tuple[int, int, str]:
        declared = fleet.deployments.get(held.deployment)
        if declared is not None:
            return 0, -declared.priority, held.deployment
        return (1 if held.deployment else 2), 0, held.deployment

    kept = (held for held in last.held if held.deployment not in only)
    return tuple(sorted((*kept, *scoped.held), key=order))


def _with(last: Mapping[str, V], only: frozenset[str], scoped: Mapping[str, V]) -> Mapping[str, V]:
    """Return ``last`` with the entries of ``only`` as ``scoped`` has them; the same object where that is no change."""
    if all(name in last and last[name] == value for name, value in scoped.items()) and not (
        (only & last.keys()) - scoped.keys()
    ):
        return last
    # A copy of the dict behind it takes a tenth of the time that reading the proxy entry by entry does.
    entries: dict[str, V] = last.copy() if isinstance(last, MappingProxyType) else dict(last)
    entries.update(scoped)
    for name in only - scoped.keys():
        entries.pop(name, None)
    return MappingProxyType(entries)
