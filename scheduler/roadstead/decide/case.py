"""One deployment's case in one turn: all that its course may depend on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial

import attrs

from roadstead.decide.destinations import Destinations, destinations
from roadstead.decide.rollout import floor_of
from roadstead.decide.rooms import Demand, demand
from roadstead.decide.steering import is_paused, is_undone
from roadstead.holdings import Placed
from roadstead.memory import PlanMemory
from roadstead.model import Deployment, Fleet, RolloutSpec, Template
from roadstead.world import NOBODY, Crew, Member, Shard, Snapshot, World

__all__ = ["Case"]


@attrs.frozen(kw_only=True, slots=False)  # lives for one turn: without slots, what it derives is made faster
class Case:
    """One deployment's question to a turn.

    ``declared`` is ``None`` for what nobody declares any more. ``going``: all of it is to be taken down and deleted.
    """

    name: str
    fleet: Fleet
    world: World
    memory: PlanMemory
    declared: Deployment | None
    shard: Shard
    wanted: int
    spec: RolloutSpec
    going: bool
    now: int

    @property
    def paused(self) -> bool:
        """Whether somebody asked that the rollout stands still."""
        return not self.going and self.name in self.fleet.intents.steered and is_paused(self.fleet, self.name)

    @property
    def undone(self) -> bool:
        """Whether ``declared`` is what a command went back to, and not what the file says."""
        return self.name in self.fleet.intents.steered and is_undone(self.fleet, self.name)

    @cached_property
    def destinations(self) -> Destinations:
        """Where it should run; nowhere if nobody declares it."""
        return destinations(self.fleet, self.declared) if self.declared is not None else Destinations(())

    @property
    def floor(self) -> int:
        """How many serving replicas our own action never goes below."""
        return floor_of(self.wanted, self.spec)

    @property
    def owner(self) -> str:
        """Whose quota it counts against."""
        return self.declared.owner if self.declared is not None else self.shard.owner

    def demand_on(self, cluster: str, snapshot: Snapshot, template: Template, *, ahead: int = 0) -> Demand:
        """Return the demand for more replicas on ``cluster``, behind so many that come first."""
        own = partial(self.placed_on, cluster)
        return demand(cluster, snapshot, self.name, template, self.on(cluster).nodes, ahead=ahead, own=own)

    def on(self, cluster: str) -> Crew:
        """Return its replicas on ``cluster``."""
        return self.shard.on.get(cluster, NOBODY)

    @property
    def standing(self) -> Iterator[Member]:
        """Its replicas that are neither lost nor told to stop."""
        return (member for crew in self.shard.on.values() for member in crew.standing)

    def placed_on(self, cluster: str) -> tuple[Placed, ...]:
        """Return what its replicas hold on the nodes of ``cluster``."""
        return tuple(
            Placed(node=member.replica.node, devices=member.replica.devices, resources=member.group.template.resources)
            for member in self.on(cluster).members
            if member.replica.node is not None
        )
