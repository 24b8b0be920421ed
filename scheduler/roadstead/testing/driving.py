"""The daemon's loop without a daemon: observe, decide, save, carry out, one turn at a time, in the time of the test.

It uses the same pure parts as the daemon (assembly, ``plan``, preconditions, calls) and none of its threads. It can be
killed before any of its effects, with or without what it had saved, and goes on as a new process would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from types import MappingProxyType

import attrs

from roadstead.act.calls import call, done, failed
from roadstead.act.preconditions import Destructive, Now, objection
from roadstead.act.reloads import Reloads, at_once
from roadstead.act.routing import Checks, Routing, routing
from roadstead.assembly import assemble
from roadstead.decide.planner import plan
from roadstead.errors import BackendError, Conflict, Unreachable
from roadstead.memory import PlanMemory
from roadstead.model import ClusterState, Fleet
from roadstead.plans import Adding, Plan, Step
from roadstead.spi.backend import Backend
from roadstead.spi.gateway import Gateway, RouteTable
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.spi.runtime import Runtime, Server
from roadstead.traffic import DataPath, GatewayState, Seen, Unseen
from roadstead.units import Duration
from roadstead.world import (
    NO_USAGE,
    ClusterView,
    ModelState,
    Outcome,
    Phase,
    Reachable,
    Replica,
    Usage,
    World,
)
from roadstead.world import Unreachable as Unanswered

__all__ = ["Died", "Drive"]

_TIMEOUT = Duration(1_000)


class Died(Exception):
    """The loop was killed where the test wanted it; what was saved by then is all that is left."""


def _unwatched(_: Step) -> AbstractContextManager[None]:
    return nullcontext()


@attrs.define(kw_only=True)
class Drive:
    """A loop over these clusters and gateways for this fleet.

    ``now`` is in milliseconds since the epoch. ``judge`` sees every plan and the world that it was made for, ``watch``
    gives a context around each call to a cluster, ``meanwhile`` is called between the decision and the first call.
    ``effects`` counts the savings and calls so far; where ``lives`` is a number, the loop dies instead of having more.
    """

    fleet: Fleet
    clusters: Mapping[str, Backend]
    runtimes: Mapping[str, Runtime]
    policies: Mapping[str, PlacementPolicy]
    now: Callable[[], int]
    scalers: Mapping[str, ScalingPolicy] = MappingProxyType({})
    gateways: Mapping[str, Gateway] = MappingProxyType({})
    usage: Callable[[], Mapping[str, Usage]] = lambda: NO_USAGE
    watch: Callable[[Step], AbstractContextManager[None]] = _unwatched
    meanwhile: Callable[[], None] = lambda: None
    judge: Callable[[World, Plan], None] = lambda _world, _plan: None
    lives: int | None = None
    effects: int = 0
    saved: PlanMemory = attrs.field(factory=PlanMemory)
    reloads: Reloads = attrs.field(factory=lambda: Reloads(at_once), init=False)
    _world: World | None = attrs.field(default=None, init=False)
    _views: Mapping[str, ClusterView] = attrs.field(default=MappingProxyType({}), init=False)
    _outcomes: tuple[Outcome, ...] = attrs.field(default=(), init=False)
    _states: Mapping[str, GatewayState] = attrs.field(default=MappingProxyType({}), init=False)
    _routing: Routing = attrs.field(factory=Routing, init=False)
    _offered: dict[str, RouteTable] = attrs.field(factory=dict, init=False)

    # ---- one turn ----

    def turn(self) -> Plan:
        """Observe, decide, save and carry out, and return the plan."""
        world = self.observe()
        decided = self.decide(world)
        self.judge(world, decided)
        self._effect()
        self.saved = decided.memory
        self.meanwhile()
        self._outcomes = tuple(self._carry_out(decided))
        return decided

    def observe(self) -> World:
        """Return what everything looks like now, to this loop."""
        views = self._look(self._driven())
        self._world = assemble(
            self._world,
            views,
            self._probe(views),
            data_path=self._data_path(),
            usage=self.usage(),
            outcomes=self._outcomes,
        )
        return self._world

    def decide(self, world: World) -> Plan:
        """Return the plan for ``world``, with the memory that was saved last."""
        return plan(self.fleet, world, self.saved, self.now(), self.policies, scalers=self.scalers)

    def start_again(self, *, forget: bool = False) -> None:
        """Go on as a new process: with what was saved, or without where that was lost too."""
        self._world, self._views, self._outcomes = None, MappingProxyType({}), ()
        self._states, self._routing, self._offered = MappingProxyType({}), Routing(), {}
        self.lives = None
        if forget:
            self.saved = PlanMemory()

    # ---- observing ----

    def _look(self, names: Iterable[str]) -> Mapping[str, ClusterView]:
        views = {name: self._view(name) for name in names}
        driven = self._driven()
        kept = {name: view for name, view in self._views.items() if name in driven}
        self._views = MappingProxyType({**kept, **views})
        return self._views

    def _driven(self) -> tuple[str, ...]:
        """Return the clusters that are not disabled: those are not touched, not even with a look."""
        return tuple(
            name
            for name in self.clusters
            if name not in self.fleet.clusters or self.fleet.clusters[name].state is not ClusterState.DISABLED
        )

    def _view(self, name: str) -> ClusterView:
        try:
            return Reachable(self.clusters[name].observe())
        except BackendError as error:
            before = self._views.get(name)
            since = before.since if isinstance(before, Unanswered) else self.now()
            return Unanswered(since=since, error=str(error), snapshot=before.snapshot if before is not None else None)

    def _probe(self, views: Mapping[str, ClusterView]) -> Mapping[str, ModelState]:
        """Ask every server that is seen; what nobody can say is the same object as before."""
        states = {
            replica.id: self.runtimes[server.template.runtime.name].probe(server, timeout=_TIMEOUT)
            for replica, server in _servers(views)
        }
        before = self._world.models if self._world is not None else None
        if before is not None and before == states:
            return before
        kept = {name: before[name] if before and before.get(name) == state else state for name, state in states.items()}
        return MappingProxyType(kept)

    def _data_path(self) -> DataPath:
        self._states = {name: self._state(name) for name in self.gateways}
        return DataPath(
            gateways=self._states,
            via={name: address.gateway for name, address in self.fleet.addresses.items()},
        )

    def _state(self, name: str) -> GatewayState:
        try:
            return Seen(self.gateways[name].view())
        except BackendError as error:
            before = self._states.get(name)
            since = before.since if isinstance(before, Unseen) else self.now()
            return Unseen(since=since, error=str(error), view=before.view if before is not None else None)

    # ---- carrying out ----

    def _carry_out(self, decided: Plan) -> Iterator[Outcome]:
        silent: set[str] = set()
        adding = [step for step in decided.steps if isinstance(step, Adding)]
        taking = [step for step in decided.steps if not isinstance(step, Adding)]
        turn = decided.memory.turn
        for grown in adding:
            yield from self._call(grown, turn, silent)
        self._offer(decided)
        if not taking:
            return
        views = self._look(self._driven())
        now = Now(views=views, models=self._probe(views), data_path=self._data_path())
        for taken in taking:
            yield from self._take(taken, turn, silent, now)

    def _offer(self, decided: Plan) -> None:
        """Offer each gateway its table; what became of that is seen at the next look."""
        assert self._world is not None
        self._routing = routing(
            self._routing, self.fleet, self._world, decided.table, Checks(self.runtimes), inherited=self.gateways.keys()
        )
        for name, table in self._routing.tables.items():
            if table is not self._offered.get(name):
                self._effect()
            self._offered[name] = table
            with suppress(BackendError):
                self.gateways[name].route(table)

    def _take(self, step: Destructive, turn: int, silent: set[str], now: Now) -> Iterator[Outcome]:
        against = objection(step, now)
        if against is None:
            yield from self._call(step, turn, silent)
        else:
            yield failed(step, turn, Conflict(against, cluster=step.cluster, subject=step.subject))

    def _call(self, step: Step, turn: int, silent: set[str]) -> Iterator[Outcome]:
        if step.cluster in silent:
            return
        self._effect()
        try:
            with self.watch(step):
                call(step, self.clusters[step.cluster], self.fleet, self.runtimes, self.reloads)
        except BackendError as error:
            if isinstance(error, Unreachable):
                silent.add(step.cluster)
            yield failed(step, turn, error)
        else:
            yield done(step, turn)

    def _effect(self) -> None:
        if self.lives is not None and self.effects >= self.lives:
            raise Died
        self.effects += 1


def _servers(views: Mapping[str, ClusterView]) -> Iterator[tuple[Replica, Server]]:
    for view in views.values():
        for group in view.snapshot.groups if view.snapshot is not None else ():
            for replica in group.replicas:
                if replica.phase is Phase.RUNNING and replica.ready is None and replica.endpoint is not None:
                    server = Server(endpoint=replica.endpoint, template=group.template, incarnation=replica.incarnation)
                    yield replica, server
