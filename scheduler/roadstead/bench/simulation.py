"""The production parts in virtual time: observe, assemble, ``plan``, carry out, turn by turn, hours in seconds.

What decides and what carries out is the daemon's own: :func:`roadstead.assembly.assemble`,
:func:`roadstead.decide.planner.plan`, the preconditions, calls and routing of :mod:`roadstead.act`, in the order in
which its executor takes them (what adds, then the table, then what takes away, each looked at again before). Its
threads are not: calls come one after the other. The daemon looks once in each ``daemon.turn``; a real one is woken
sooner.

Turns in which nothing could be different are left out: where nothing was asked of a cluster or a gateway, what is
remembered is what was remembered before, and nothing is due in the world until later, ``plan``, being a function, would
say the same again. In the others, what may have changed is planned for, as the daemon does between its whole plans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import attrs

from roadstead.act.addresses import spent
from roadstead.act.events import Turn
from roadstead.bench.answering import Answering
from roadstead.bench.happening import happen
from roadstead.bench.record import Record, Simulated
from roadstead.bench.scenario import Scenario
from roadstead.bench.world import BEGAN, PretendedWorld
from roadstead.decide.merging import Planned, in_scope, merged
from roadstead.decide.planner import plan
from roadstead.memory import PlanMemory
from roadstead.model import Fleet
from roadstead.plans import Plan
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.spi.simulation import Now, SimulatedBackend, Simulation
from roadstead.testing.driving import Drive
from roadstead.traffic import Endpoint
from roadstead.world import ClusterView, ModelState, Outcome, World

__all__ = ["simulate"]


def simulate(  # noqa: PLR0913  # the fleet, the scenario, what both are run with
    fleet: Fleet,
    scenario: Scenario,
    *,
    simulation: Callable[[Now], Simulation],
    placement: Mapping[str, PlacementPolicy],
    scaling: Mapping[str, ScalingPolicy],
    seed: int | None = None,
    every_turn: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Simulated:
    """Return what becomes of ``fleet`` in ``scenario``; the same arguments give the same answer.

    ``seed`` is taken instead of the scenario's own. With ``every_turn`` none is left out, and in each everything is
    planned for, which takes longer and changes nothing. ``progress`` is told the milliseconds that have passed.
    """
    chosen = scenario.seed if seed is None else seed
    world = PretendedWorld(fleet, scenario, simulation, chosen)
    for event in scenario.events:
        world.order(BEGAN + event.at.ms, partial(happen, event))
    run = _Run(world, placement, scaling, every_turn=every_turn)
    for passed in run.turns(scenario.lasts.ms):
        progress(passed)
    return run.record.result(scenario.lasts.ms, chosen, world.flows)


@attrs.define(kw_only=True)
class _PretendedDrive(Drive):
    """The loop over pretended clusters, which say by themselves what their servers would answer.

    Like the daemon, it plans for what may have changed and keeps the rest of the last plan, unless it is to plan for
    the ``whole`` fleet in every turn.
    """

    pretended: Mapping[str, SimulatedBackend]
    whole: bool
    _last: Planned | None = attrs.field(default=None, init=False)
    _asked: tuple[Mapping[str, ModelState], ...] = attrs.field(default=(), init=False)
    _said: Mapping[str, ModelState] = attrs.field(default=MappingProxyType({}), init=False)

    @property
    def seen(self) -> World:
        """The world that the last plan was made for."""
        assert self._world is not None
        return self._world

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of the last plan's steps."""
        return self._outcomes

    def decide(self, world: World) -> Plan:
        """Return the plan for ``world``, with the memory that was saved last."""
        now, last = self.now(), self._last
        only = None if self.whole else in_scope(last, self.fleet, world, self.saved, now)
        made = plan(self.fleet, world, self.saved, now, self.policies, scalers=self.scalers, only=only)
        if only is not None and last is not None:
            made = merged(self.fleet, last.plan, only, made)
        self._last = Planned(fleet=self.fleet, world=world, plan=made)
        return made

    def start_again(self, *, forget: bool = False) -> None:
        """Go on as a new process: with what was saved, or without where that was lost too."""
        super().start_again(forget=forget)
        self._last = None

    def _probe(self, views: Mapping[str, ClusterView]) -> Mapping[str, ModelState]:  # noqa: ARG002  # all are asked
        asked = tuple(one.model_states() for one in self.pretended.values() if one.asks_runtime)
        if len(asked) != len(self._asked) or any(one is not was for one, was in zip(asked, self._asked, strict=True)):
            self._asked = asked
            together = {name: state for one in asked for name, state in one.items()} if len(asked) != 1 else asked[0]
            self._said = MappingProxyType(together)
        return self._said


class _Run:
    """One simulation on its way."""

    def __init__(
        self,
        world: PretendedWorld,
        placement: Mapping[str, PlacementPolicy],
        scaling: Mapping[str, ScalingPolicy],
        *,
        every_turn: bool,
    ) -> None:
        self._every_turn = every_turn
        self.world = world
        self.record = Record()
        self.plan: Plan | None = None
        self._answering = Answering()
        names = {
            one.template.runtime.name
            for declared in world.fleet.deployments.values()
            for one in (*declared.targets, *declared.elsewhere)
        }
        self.drive = _PretendedDrive(
            fleet=world.fleet,
            clusters=world.clusters,
            runtimes=dict.fromkeys(names, world.pretended.runtime),
            policies=placement,
            now=lambda: world.now,
            gateways=world.gateways,
            pretended=world.clusters,
            whole=every_turn,
            scalers=scaling,
        )

    def turns(self, lasts: int) -> Iterator[int]:
        """Let it all pass, and yield after each turn how many milliseconds have passed."""
        turn = self.world.fleet.daemon.turn.ms
        number = 0
        while number * turn <= lasts:
            self.record.told(self.world.advance(BEGAN + number * turn, self._listed))
            rests = self._is_there() and self._turn()
            number = max(number + 1, self._next(turn) if rests and not self._every_turn else 0)
            yield min(number * turn, lasts)
        self.record.told(self.world.advance(BEGAN + lasts, self._listed))

    def _next(self, turn: int) -> int:
        """Return the number of the first turn in which anything can be different."""
        due = self.world.next_due()
        return 2**62 if due is None else -((BEGAN - due) // turn)

    def _is_there(self) -> bool:
        """Return whether there is a daemon now, a new one where the last one was killed."""
        if self.world.away_until is None:
            return True
        if self.world.now < self.world.away_until:
            return False
        self.drive.start_again(forget=self.world.forgets)
        self.record.forget_turn()
        self.world.away_until = None
        return True

    def _turn(self) -> bool:
        """Make a turn; return whether the next one would be the same, as long as nothing happens."""
        before, at, effects = self.drive.saved, self.world.now, self.drive.effects
        self.drive.fleet = self.world.fleet
        decided = self.plan = self.drive.turn()
        turn = Turn(
            number=decided.memory.turn,
            at=at,
            fleet=self.world.fleet,
            world=self.drive.seen,
            plan=decided,
            outcomes=self.drive.outcomes,
        )
        self.record.turn(turn, self._serving(decided))
        self._give_back_addresses()
        only_saved = self.drive.effects == effects + 1
        steady = all(flow.is_steady for flow in self.world.flows.values())
        return only_saved and steady and _same(before, decided.memory)

    def _serving(self, decided: Plan) -> Mapping[str, int]:
        """Return how many of those that each deployment's clients are sent to really answer."""
        states = {name: cluster.model_states() for name, cluster in self.world.clusters.items()}
        return self._answering.counts(states, decided.table.endpoints)

    def _give_back_addresses(self) -> None:
        fleet = self.world.fleet
        gone = spent(fleet, self.drive.seen)
        if gone:
            left = {name: one for name, one in fleet.addresses.items() if name not in gone}
            self.world.fleet = attrs.evolve(fleet, addresses=left)

    def _listed(self, name: str) -> tuple[Endpoint, ...]:
        """Return the addresses that the clients of a deployment use where it has no gateway."""
        entries = self.plan.table.endpoints.get(name, ()) if self.plan is not None else ()
        return tuple(entry.endpoint for entry in entries)


def _same(before: PlanMemory, after: PlanMemory) -> bool:
    """Return whether nothing was learnt but that a turn was made: what did not change is the very same object."""
    names = (field.name for field in attrs.fields(PlanMemory) if field.name not in {"turn", "counted"})
    return all(getattr(before, name) is getattr(after, name) for name in names)
