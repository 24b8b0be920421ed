"""One turn: observe, plan, remember, carry out, tell.

A crash between any two of these is harmless: what was observed is observed again, what was planned and not done is
planned again, and what was done and not told is seen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import attrs

from roadstead.act.clock import Clock
from roadstead.act.decisions import KeptScaling, decision
from roadstead.act.events import Event, Timing, Turn
from roadstead.act.executor import Executor
from roadstead.act.intents import with_removals
from roadstead.act.journal import Journal
from roadstead.act.memory import MemoryStore
from roadstead.act.traffic_events import passed
from roadstead.act.turn_events import happened
from roadstead.decide.merging import Planned, in_scope, merged
from roadstead.decide.planner import plan
from roadstead.decide.report import grown
from roadstead.errors import StateError
from roadstead.memory import PlanMemory
from roadstead.model import Fleet
from roadstead.plans import Plan
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.world import Outcome, World

__all__ = ["Look", "Reconciler", "Watcher"]

_LOG = logging.getLogger(__name__)
_NO_SCALERS: Mapping[str, ScalingPolicy] = MappingProxyType({})


class Watcher(Protocol):
    """Whoever is shown plans and outcomes; :class:`roadstead.spi.host.PluginHost` is one."""

    def planned(self, plan: Plan, turn: int) -> None:
        """See a plan before it is carried out."""

    def applied(self, outcomes: tuple[Outcome, ...], turn: int) -> None:
        """See what became of a plan's steps."""


@attrs.frozen(kw_only=True)
class Look:
    """What a turn would see and decide now; nothing came of it."""

    at: int
    fleet: Fleet
    world: World
    plan: Plan


class Reconciler:
    """Runs turns, one at a time, and carries from one to the next what must not be forgotten in between."""

    def __init__(  # noqa: PLR0913  # its parts, each by its name
        self,
        *,
        executor: Executor,
        store: MemoryStore,
        journal: Journal,
        policies: Mapping[str, PlacementPolicy],
        scalers: Mapping[str, ScalingPolicy] = _NO_SCALERS,
        watcher: Watcher,
        clock: Clock,
    ) -> None:
        self._observer = executor.observer
        self._executor = executor
        self._store = store
        self._journal = journal
        self._policies = policies
        self._scalers = scalers
        self._watcher = watcher
        self._clock = clock
        self._memory = PlanMemory()
        self._outcomes: tuple[Outcome, ...] = ()
        self._last: Turn | None = None
        self._whole_at = 0.0

    @property
    def last(self) -> Turn | None:
        """The last turn that was completed."""
        return self._last

    @property
    def memory(self) -> PlanMemory:
        """What the next plan is made with."""
        return self._memory

    @property
    def scalers(self) -> Mapping[str, ScalingPolicy]:
        """The scaling policies, by name."""
        return self._scalers

    def remember(self, memory: PlanMemory) -> None:
        """Go on from ``memory``; for the start."""
        self._memory = memory

    def look(self, fleet: Fleet) -> Look:
        """Observe and plan, with no effect on anything but what was seen last."""
        at, world = self._clock.now(), self._observer.look(self._outcomes)
        fleet = with_removals(fleet, world.shards)
        return Look(at=at, fleet=fleet, world=world, plan=self._planned(fleet, world, at))

    def foresee(self, fleet: Fleet) -> Look | None:
        """Plan for ``fleet`` on what the last turn saw, without observing; ``None`` before the first turn."""
        if self._last is None:
            return None
        at, world = self._clock.now(), attrs.evolve(self._last.world, outcomes=self._outcomes)
        fleet = with_removals(fleet, world.shards)
        return Look(at=at, fleet=fleet, world=world, plan=self._planned(fleet, world, at))

    def beyond(self, look: Look) -> Plan:
        """Plan on as if what ``look`` lets grow had its slots: where they would go, and what would hold them."""
        world = grown(look.world, look.plan, look.fleet.owner_id)
        return plan(look.fleet, world, look.plan.memory, look.at, self._policies, scalers=self._scalers)

    def turn(self, fleet: Fleet, *, news: bool = False) -> Turn:
        """Run one turn for ``fleet`` and return it.

        With ``news``, the turn was not due and answers something that changed: it plans for what may have changed only,
        unless the last plan for everything is older than ``daemon.turn``.

        Where the memory of its plan cannot be made durable, nothing of that plan is done, but for the table: whoever is
        not fit to serve leaves it all the same. :attr:`Turn.undone` then says why, and the next turn starts from what
        the last durable memory says.
        """
        clock = self._clock
        started = clock.monotonic()
        at, world = clock.now(), self._observer.look(self._outcomes)
        fleet = with_removals(fleet, world.shards)
        observed = clock.monotonic()
        made = self._plan(fleet, world, at, started, news=news)
        planned = clock.monotonic()
        before, undone = self._memory, self._remembered(made)
        if undone:
            outcomes = self._executor.carry_out(fleet, world, attrs.evolve(made, steps=()))
        else:
            self._memory = made.memory
            self._show(made)
            self._outcomes = outcomes = self._executor.carry_out(fleet, world, made)
        turn = Turn(
            number=made.memory.turn,
            at=at,
            fleet=fleet,
            world=world,
            plan=made,
            outcomes=outcomes,
            undone=undone,
            timing=Timing(observe=observed - started, plan=planned - observed, act=clock.monotonic() - planned),
        )
        self._tell(turn, before)
        self._last = turn
        return turn

    def tell(self, *events: Event) -> None:
        """Add to the event log what no turn could see."""
        self._journal.record(events)

    def _plan(self, fleet: Fleet, world: World, at: int, started: float, *, news: bool) -> Plan:
        """Plan for what may have changed since the last turn, where that is known, or for everything."""
        last, only = self._last, None
        if news and last is not None and started - self._whole_at <= fleet.daemon.turn.seconds:
            before = Planned(fleet=last.fleet, world=last.world, plan=last.plan)
            only = in_scope(before, fleet, world, self._memory, at)
        if only is None or last is None:
            self._whole_at = started
            return self._planned(fleet, world, at)
        return merged(fleet, last.plan, only, self._planned(fleet, world, at, only))

    def _planned(self, fleet: Fleet, world: World, at: int, only: frozenset[str] | None = None) -> Plan:
        return plan(fleet, world, self._memory, at, self._policies, scalers=self._scalers, only=only)

    def _remembered(self, made: Plan) -> str:
        """Make the memory of a plan durable, and return why that did not work."""
        try:
            self._store.save(made.memory, acts=bool(made.steps))
        except StateError as error:
            return str(error)
        return ""

    def _tell(self, turn: Turn, memory: PlanMemory) -> None:
        """Write down what happened, and the decision where something was decided."""
        events = (*happened(self._last, turn), *passed(self._last, turn))
        decided = not turn.undone and (
            bool(turn.plan.steps) or self._last is None or _held(self._last.plan) != _held(turn.plan)
        )
        scalings = tuple(
            KeptScaling(turn=turn.number, at=turn.at, decided=one) for one in turn.plan.scaled if not turn.undone
        )
        self._journal.record(events, decision(turn, memory) if decided else None, scalings)
        for event in events:
            _LOG.info("%s", event.text)
        if turn.outcomes:
            self._show_outcomes(turn)

    def _show(self, made: Plan) -> None:
        try:
            self._watcher.planned(made, made.memory.turn)
        except Exception:  # noqa: BLE001  # a stranger's code that only watches
            _LOG.warning("a plugin that watches plans failed", exc_info=True)

    def _show_outcomes(self, turn: Turn) -> None:
        try:
            self._watcher.applied(turn.outcomes, turn.number)
        except Exception:  # noqa: BLE001  # a stranger's code that only watches
            _LOG.warning("a plugin that watches outcomes failed", exc_info=True)


def _held(made: Plan) -> frozenset[tuple[str, str, str]]:
    return frozenset((held.deployment, held.cluster, held.reason.code.value) for held in made.held)
