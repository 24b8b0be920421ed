"""One daemon process: the production parts of a turn, put together on one thread and in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import attrs

from roadstead.act.cluster import Cluster
from roadstead.act.events import Turn
from roadstead.act.executor import Executor
from roadstead.act.gateways import Gateways
from roadstead.act.observer import Observer
from roadstead.act.reconciler import Reconciler
from roadstead.act.reloads import Reloads, at_once
from roadstead.act.routing import Checks, Routing, routing
from roadstead.model import Fleet
from roadstead.plans import Evict, Plan, Restart, Shrink, Step, Table
from roadstead.spi.gateway import Gateway
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.spi.runtime import Runtime
from roadstead.testing.faults.injector import Injector, Powers
from roadstead.testing.faults.inline import InlineProber, InlineWorkers
from roadstead.testing.faults.wires import (
    Drivable,
    WiredBackend,
    WiredClock,
    WiredGateway,
    WiredJournal,
    WiredMemory,
    WiredRuntime,
)
from roadstead.testing.promises import Graces, Lulls
from roadstead.world import ModelStatus, Outcome, World

__all__ = ["Daemon", "Judge", "Outside", "Stores"]


@attrs.frozen
class Stores:
    """Where one daemon keeps what outlives it."""

    folder: Path

    @property
    def memory(self) -> Path:
        """What the planner remembers."""
        return self.folder / "memory.sqlite"

    @property
    def journal(self) -> Path:
        """What happened."""
        return self.folder / "journal.sqlite"


@attrs.frozen(kw_only=True)
class Outside:
    """All that is outside a daemon: what it drives, and what it is made with."""

    clusters: Mapping[str, Drivable]
    gateways: Mapping[str, Callable[[], Gateway]]
    runtimes: Mapping[str, Runtime]
    policies: Mapping[str, PlacementPolicy]
    scalers: Mapping[str, ScalingPolicy]
    time: Callable[[], int]
    wait: Callable[[int], None]


class Judge(Powers, Protocol):
    """Who sees what a daemon decides and does, and what a fault may do besides failing a call."""

    def around(self, daemon: Daemon, cluster: str, subject: str, call: Callable[[], None]) -> None:
        """Make ``call``, which changes what ``subject`` is about."""

    def planned(self, daemon: Daemon, world: World, plan: Plan, whole: Plan | None) -> None:
        """See a plan before it is carried out; ``whole`` is for everything, where it is for what changed only."""


class _KeepingObserver(Observer):
    """An observer that shows what it saw last."""

    seen: World

    def look(self, outcomes: tuple[Outcome, ...] = ()) -> World:
        self.seen = super().look(outcomes)
        return self.seen


class _DoubtfulReconciler(Reconciler):
    """A reconciler that plans for everything, too, where it plans for what changed only, and shows both."""

    _whole: Plan | None = None

    def _plan(self, fleet: Fleet, world: World, at: int, started: float, *, news: bool) -> Plan:
        made = super()._plan(fleet, world, at, started, news=news)
        self._whole = self._planned(fleet, world, at) if self._whole_at != started else None
        return made

    def taken_whole(self) -> Plan | None:
        """Return the last plan for everything that was made beside another, once."""
        whole, self._whole = self._whole, None
        return whole


class Daemon:
    """The parts of a daemon over ``outside``, on its ``stores`` as they are.

    ``graces`` and ``lulls`` are what this daemon, and those before it on the same stores, saw of who gets requests, and
    of how many there were. ``woken`` says
    that something changed that the next turn should see, ``remembered`` is what it found when it began.
    """

    def __init__(
        self, outside: Outside, fleet: Fleet, stores: Stores, graces: Graces, injector: Injector, judge: Judge
    ) -> None:
        self.graces = graces
        self.lulls = Lulls()
        self.decided: Plan | None = None
        self.woken = False
        self.clock = WiredClock(outside.time, outside.wait)
        self.wires = {
            name: WiredBackend(name, cluster, injector, judge, self, outside.time)
            for name, cluster in outside.clusters.items()
        }
        self._judge = judge
        self._workers = InlineWorkers()
        self.store = WiredMemory(stores.memory, injector, judge)
        remembered = self.store.load()
        self.remembered = remembered
        self.journal = WiredJournal.open(stores.journal)
        self.journal.wire(injector, judge)
        runtimes = {name: WiredRuntime(one, injector, judge) for name, one in outside.runtimes.items()}
        self._probes = InlineProber(runtimes, self._wake, self.clock)
        self.gateway_wires: dict[str, WiredGateway] = {}

        def connected(name: str) -> Gateway:
            self.gateway_wires[name] = WiredGateway(name, outside.gateways[name](), injector, judge)
            return self.gateway_wires[name]

        self._gateways = Gateways(lambda spec: connected(spec.name), self._wake, self.clock, hiring=self._workers.hire)
        self._observer = _KeepingObserver(self._probes, self.clock, gateways=self._gateways)
        self._observer.attend(
            {
                name: Cluster(spec, self.wires[name], self.clock, hiring=self._workers.hire)
                for name, spec in fleet.clusters.items()
            }
        )
        self._checks = Checks(runtimes)
        self._routing = Routing()
        self._inherited: frozenset[str] = frozenset()
        executor = Executor(self._observer, runtimes, self.clock, publish=self._publish, chance=lambda: 0.5)
        executor.reloads = Reloads(at_once)
        self.reconciler = _DoubtfulReconciler(
            executor=executor,
            store=self.store,
            journal=self.journal,
            policies=outside.policies,
            scalers=outside.scalers,
            watcher=self,
            clock=self.clock,
        )
        self.reconciler.remember(remembered.memory)

    def start(self, fleet: Fleet) -> None:
        """Take the gateways into its hands; a daemon may die at that already."""
        read = self._gateways.drive(fleet.gateways)
        self._inherited = frozenset(name for name, ports in read.items() if ports)

    def turn(self, fleet: Fleet, *, news: bool) -> Turn:
        """Run one turn."""
        self.woken = False
        self._gateways.via = {name: one.gateway for name, one in fleet.addresses.items()}
        return self.reconciler.turn(fleet, news=news)

    def idle(self) -> None:
        """Do what its threads do between turns: ask servers, look at gateways."""
        self._probes.idle()
        self._workers.idle()

    def end(self) -> None:
        """Let go of the files, as the end of its process does; what was begun and not committed is undone."""
        self.store.close()
        self.journal.close()

    def unheard(self, step: Step) -> frozenset[str]:
        """Return whom a step ends because it is not ready by all that this daemon has seen and heard."""
        if not isinstance(step, Shrink | Restart | Evict):
            return frozenset()
        seen = {member.replica.id for shard in self._observer.seen.shards.values() for member in shard.ready}
        heard = {name for name, state in self._probes.states.items() if state.status is ModelStatus.AVAILABLE}
        return frozenset(step.idle) - seen - heard

    # ---- as a watcher of plans and calls ----

    def around(self, cluster: str, subject: str, call: Callable[[], None]) -> None:
        """Have a call that changes a cluster judged."""
        self._judge.around(self, cluster, subject, call)

    def planned(self, plan: Plan, turn: int) -> None:  # noqa: ARG002  # the number is in the plan
        """Have a plan judged."""
        self.decided = plan
        self._judge.planned(self, self._observer.seen, plan, self.reconciler.taken_whole())

    def applied(self, outcomes: tuple[Outcome, ...], turn: int) -> None:
        """See what became of it: the clusters show that."""

    # ---- how it works ----

    def _wake(self) -> None:
        self.woken = True

    def _publish(self, fleet: Fleet, world: World, table: Table) -> None:
        self._routing = routing(self._routing, fleet, world, table, self._checks, inherited=self._inherited)
        self._gateways.offer(self._routing.tables)
