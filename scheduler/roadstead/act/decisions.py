"""A decision as it is kept: the arguments of ``plan``, enough to take it again. Pure.

Where the world is too large to be written down each time, what the decision came to is kept, and not what it was made
from.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, get_origin

import attrs
from cattrs import Converter

from roadstead.act.events import Turn
from roadstead.assembly import assemble
from roadstead.memory import PlanMemory
from roadstead.wire import converter
from roadstead.world import ClusterView, ModelState, Outcome, Reachable, Snapshot, Unreachable, Usage, World

__all__ = ["Arguments", "Decision", "decision", "packed", "unpacked"]

_REPLICAS_KEPT = 2000
"""The largest world whose arguments are kept whole: writing one down costs a millisecond for about fifty replicas."""


@attrs.frozen(kw_only=True)
class Seen:
    """One cluster as it stands in a kept decision; ``since`` and ``error`` are set where it did not answer."""

    snapshot: Snapshot | None = None
    since: int | None = None
    error: str = ""


@attrs.frozen(kw_only=True)
class Arguments:
    """What a plan was made from, besides the fleet, whose options are of plugins' own classes."""

    clusters: Mapping[str, Seen]
    models: Mapping[str, ModelState]
    usage: Mapping[str, Usage]
    outcomes: tuple[Outcome, ...]
    memory: PlanMemory

    def world(self) -> World:
        """Return the world that the plan saw."""
        views = {name: _view(seen) for name, seen in self.clusters.items()}
        return assemble(None, views, self.models, usage=self.usage, outcomes=self.outcomes)


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
        arguments=_arguments(turn.world, memory) if small else None,
    )


def packed(one: Decision) -> bytes:
    """Return ``one`` as compressed JSON; the inverse of :func:`unpacked`."""
    return zlib.compress(json.dumps(_CONVERTER.unstructure(one), separators=(",", ":")).encode("ascii"), 6)


def unpacked(content: bytes) -> Decision:
    """Return the decision that ``content`` is."""
    return _CONVERTER.structure(json.loads(zlib.decompress(content)), Decision)


def _arguments(world: World, memory: PlanMemory) -> Arguments:
    return Arguments(
        clusters={name: _seen(view) for name, view in world.clusters.items()},
        models=world.models,
        usage=world.usage,
        outcomes=world.outcomes,
        memory=memory,
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
