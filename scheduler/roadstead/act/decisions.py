"""A decision as it is kept: the arguments of ``plan``, enough to take it again. Pure.

Where the world is too large to be written down each time, what the decision came to is kept, and not what it was made
from.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_origin

import attrs
from cattrs import Converter

from roadstead import traffic
from roadstead.act.events import Turn
from roadstead.assembly import assemble
from roadstead.autoscaling import Scaling
from roadstead.memory import PlanMemory
from roadstead.model import Fleet
from roadstead.traffic import (
    DataPath,
    GatewayState,
    GatewayView,
    Load,
    Passage,
    RouteLoad,
    RouteView,
    ServerReading,
    Unseen,
)
from roadstead.wire import converter
from roadstead.world import (
    NO_SERVER_LOADS,
    ClusterView,
    Endpoint,
    ModelState,
    Outcome,
    Reachable,
    Snapshot,
    Unreachable,
    Usage,
    World,
)

__all__ = [
    "Arguments",
    "Decision",
    "KeptScaling",
    "decision",
    "packed",
    "packed_scaling",
    "unpacked",
    "unpacked_scaling",
]

_REPLICAS_KEPT = 2000
"""The largest world whose arguments are kept whole: writing one down costs a millisecond for about fifty replicas."""


_NO_ROUTES: Mapping[str, SeenRoute] = MappingProxyType({})
_NO_LOADS: Mapping[str, Load] = MappingProxyType({})
_NO_GATEWAYS: Mapping[str, SeenGateway] = MappingProxyType({})
_NOWHERE: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Seen:
    """One cluster as it stands in a kept decision; ``since`` and ``error`` are set where it did not answer."""

    snapshot: Snapshot | None = None
    since: int | None = None
    error: str = ""


@attrs.frozen(kw_only=True)
class SeenRoute:
    """One deployment's route as it stands in a kept decision."""

    port: int
    problem: str = ""
    passages: tuple[tuple[Endpoint, Passage], ...] = ()


@attrs.frozen(kw_only=True)
class SeenGateway:
    """One gateway as it stands in a kept decision; ``since`` as for :class:`Seen`.

    ``shown``: it has answered at least once. ``loads`` are those of whole routes, where load decides.
    """

    shown: bool = True
    settled: bool = False
    problem: str = ""
    routes: Mapping[str, SeenRoute] = _NO_ROUTES
    loads: Mapping[str, Load] = _NO_LOADS
    since: int | None = None
    error: str = ""


@attrs.frozen(kw_only=True)
class Arguments:
    """What a plan was made from, besides the fleet, whose options are of plugins' own classes.

    ``server_loads`` are those of replicas of which load decides how many there are.
    """

    clusters: Mapping[str, Seen]
    models: Mapping[str, ModelState]
    usage: Mapping[str, Usage]
    outcomes: tuple[Outcome, ...]
    memory: PlanMemory
    gateways: Mapping[str, SeenGateway] = _NO_GATEWAYS
    via: Mapping[str, str] = _NOWHERE
    server_loads: Mapping[str, ServerReading] = NO_SERVER_LOADS

    def world(self) -> World:
        """Return the world that the plan saw."""
        views = {name: _view(seen) for name, seen in self.clusters.items()}
        gateways = {name: _state(seen) for name, seen in self.gateways.items()}
        path = DataPath(gateways=gateways, via=self.via)
        world = assemble(None, views, self.models, data_path=path, usage=self.usage, outcomes=self.outcomes)
        return attrs.evolve(world, server_loads=self.server_loads)


@attrs.frozen(kw_only=True)
class Decision:
    """One turn's decision; ``steps`` and ``held`` are its result in words, ``fleet`` is plain data.

    ``arguments`` is ``None`` where the world was too large to be kept.
    """

    turn: int
    at: int
    steps: tuple[str, ...]
    held: tuple[str, ...]
    fleet: Mapping[str, Any] | None = None
    arguments: Arguments | None = None


@attrs.frozen(kw_only=True)
class KeptScaling:
    """What load made of a deployment in turn ``turn``, at ``at`` (ms since the epoch), with all that it came from."""

    turn: int
    at: int
    decided: Scaling


def decision(turn: Turn, memory: PlanMemory) -> Decision:
    """Return what is kept of ``turn``, whose plan was made with ``memory``."""
    small = sum(len(shard.members) for shard in turn.world.shards.values()) <= _REPLICAS_KEPT
    return Decision(
        turn=turn.number,
        at=turn.at,
        steps=tuple(
            f"{type(step).__name__.lower()} {step.cluster}/{step.subject}: {step.because}" for step in turn.plan.steps
        ),
        held=tuple(f"{held.deployment}: {held.reason}" for held in turn.plan.held),
        fleet=_CONVERTER.unstructure(turn.fleet) if small else None,
        arguments=_arguments(turn.fleet, turn.world, memory) if small else None,
    )


def packed(one: Decision) -> bytes:
    """Return ``one`` as compressed JSON; the inverse of :func:`unpacked`."""
    return zlib.compress(json.dumps(_CONVERTER.unstructure(one), separators=(",", ":")).encode("ascii"), 6)


def unpacked(content: bytes) -> Decision:
    """Return the decision that ``content`` is."""
    return _CONVERTER.structure(json.loads(zlib.decompress(content)), Decision)


def packed_scaling(one: KeptScaling) -> bytes:
    """Return ``one`` as compressed JSON; the inverse of :func:`unpacked_scaling`."""
    return zlib.compress(json.dumps(_CONVERTER.unstructure(one), separators=(",", ":")).encode("ascii"), 6)


def unpacked_scaling(content: bytes) -> KeptScaling:
    """Return what ``content`` is."""
    return _CONVERTER.structure(json.loads(zlib.decompress(content)), KeptScaling)


def _arguments(fleet: Fleet, world: World, memory: PlanMemory) -> Arguments:
    by_load = frozenset(name for name, declared in fleet.deployments.items() if declared.autoscaling is not None)
    replicas = {member.replica.id for name in by_load & world.shards.keys() for member in world.shards[name].members}
    return Arguments(
        clusters={name: _seen(view) for name, view in world.clusters.items()},
        models=world.models,
        usage=world.usage,
        outcomes=world.outcomes,
        memory=memory,
        gateways={name: _seen_gateway(state, by_load) for name, state in world.data_path.gateways.items()},
        via=world.data_path.via,
        server_loads={name: one for name, one in world.server_loads.items() if name in replicas},
    )


def _seen(view: ClusterView) -> Seen:
    match view:
        case Reachable(snapshot):
            return Seen(snapshot=snapshot)
        case Unreachable(since=since, error=error, snapshot=last):
            return Seen(snapshot=last, since=since, error=error)


def _view(seen: Seen) -> ClusterView:
    if seen.since is None and seen.snapshot is not None:
        return Reachable(seen.snapshot)
    return Unreachable(since=seen.since or 0, error=seen.error, snapshot=seen.snapshot)


def _seen_gateway(state: GatewayState, by_load: frozenset[str]) -> SeenGateway:
    view = state.view or GatewayView(settled=False)
    unseen = state if isinstance(state, Unseen) else None
    return SeenGateway(
        shown=state.view is not None,
        settled=view.settled,
        problem=view.problem,
        routes={
            name: SeenRoute(port=route.port, problem=route.problem, passages=tuple(route.passages.items()))
            for name, route in view.routes.items()
        },
        loads={name: load.total for name, load in view.loads.items() if name in by_load},
        since=unseen.since if unseen is not None else None,
        error=unseen.error if unseen is not None else "",
    )


def _state(seen: SeenGateway) -> GatewayState:
    routes = {
        name: RouteView(port=route.port, passages=dict(route.passages), problem=route.problem)
        for name, route in seen.routes.items()
    }
    loads = {name: RouteLoad(total=load) for name, load in seen.loads.items()}
    view = GatewayView(settled=seen.settled, routes=routes, loads=loads, problem=seen.problem)
    if seen.since is None:
        return traffic.Seen(view)
    return Unseen(since=seen.since, error=seen.error, view=view if seen.shown else None)


def _is_set(kind: Any) -> bool:
    return get_origin(kind) is frozenset


def _converter() -> Converter:
    """Return the wire's converter with sets in a fixed order: the same decision is the same bytes."""
    made = converter()

    def ordered(value: frozenset[Any]) -> list[Any]:
        return sorted(made.unstructure(item) for item in value)

    made.register_unstructure_hook_func(_is_set, ordered)
    return made


_CONVERTER = _converter()
