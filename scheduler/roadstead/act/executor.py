"""Carrying out a plan: first what adds, then the table, then what takes away.

Clusters work side by side, the steps of one cluster in order. Whatever adds may be tried again within the turn where
the cluster says that it may succeed a moment later. Whatever takes away is looked at again just before, is tried once,
and otherwise waits for the next plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for

import attrs

from roadstead.act.calls import call, done, failed
from roadstead.act.clock import Clock
from roadstead.act.cluster import Cluster
from roadstead.act.observer import Observer
from roadstead.act.preconditions import Destructive, Now, concerned, objection
from roadstead.act.reloads import Reloads
from roadstead.errors import Conflict, OutcomeUnknown, Retryable, Unreachable
from roadstead.model import Fleet
from roadstead.plans import Adding, Plan, Step, Table
from roadstead.spi.runtime import Runtime
from roadstead.units import Duration
from roadstead.world import Outcome, World

__all__ = ["FRESH", "Allowance", "Executor"]

FRESH = Duration(500)
"""How old an observation may be for a destructive step to be taken on its word."""


@attrs.frozen(kw_only=True)
class Allowance:
    """What one cluster may take of one turn.

    A step is tried up to ``tries`` times; ``first`` is the wait before the second try, doubled for each further one and
    shortened by chance by up to half, and all waits together stay within ``total``. ``deadline`` is when the turn goes
    on without the cluster.
    """

    tries: int = 3
    first: Duration = Duration(100)
    total: Duration = Duration(2_000)
    deadline: Duration = Duration(30_000)


class Executor:
    """Turns steps into calls, and what becomes of the calls into outcomes; it raises for nothing that a cluster does.

    Where a cluster does not answer within its allowance, what it was asked is unknown, what was not begun by then is
    not begun any more, and the next turn looks again. ``permitted`` is asked before every step: whoever may not act any
    more begins no other.
    """

    def __init__(  # noqa: PLR0913  # its parts, each by its name
        self,
        observer: Observer,
        runtimes: Mapping[str, Runtime],
        clock: Clock,
        *,
        publish: Callable[[Fleet, World, Table], None] = lambda *_: None,
        chance: Callable[[], float] = random.random,
        allowance: Allowance | None = None,
        permitted: Callable[[], bool] = lambda: True,
    ) -> None:
        self.observer = observer
        self.runtimes = runtimes
        self.clock = clock
        self.reloads = Reloads()
        self.publish = publish
        self.chance = chance
        self.allowance = allowance or Allowance()
        self.permitted = permitted

    def carry_out(self, fleet: Fleet, world: World, plan: Plan) -> tuple[Outcome, ...]:
        """Do what ``plan`` says, made for ``fleet`` and ``world``, and return what became of each step that was tried.

        Where a cluster stopped answering, the steps after that have no outcome: nothing speaks against them.
        """
        parts = {
            name: _Part(self, cluster, fleet, plan.memory.turn)
            for name, cluster in self.observer.clusters.items()
            if any(step.cluster == name for step in plan.steps)
        }
        adding = [step for step in plan.steps if isinstance(step, Adding)]
        self._side_by_side(parts, adding)
        self.publish(fleet, world, plan.table)
        self._take(parts, [step for step in plan.steps if not isinstance(step, Adding)])
        return tuple(outcome for part in parts.values() for outcome in part.outcomes)

    def _take(self, parts: Mapping[str, _Part], steps: list[Destructive]) -> None:
        """Take destructive steps, each on the word of an observation that is not older than :data:`FRESH`."""
        while steps:
            views = self.observer.views(frozenset().union(*(concerned(step) for step in steps)), anew=True)
            # Last, for nobody compares and sets in a gateway; it may have accepted what was just published, or not yet.
            data_path = self.observer.data_path(anew=True)
            fresh_until = self.clock.monotonic() + FRESH.seconds
            now = Now(views=views, models=self.observer.models(), data_path=data_path)
            left = self._side_by_side(parts, steps, seen=now, fresh_until=fresh_until)
            steps = [step for step in left if not isinstance(step, Adding)]

    def _side_by_side(
        self,
        parts: Mapping[str, _Part],
        steps: Sequence[Step],
        *,
        seen: Now | None = None,
        fresh_until: float | None = None,
    ) -> list[Step]:
        """Have each cluster's steps done on its own thread, and return those that were not come to in time.

        Destructive ones are held against what was ``seen``, which counts until ``fresh_until``.
        """
        asked: dict[str, Future[list[Step]]] = {}
        for name, part in parts.items():
            own = [step for step in steps if step.cluster == name]
            if own and not part.silent:
                asked[name] = part.begin(own, seen, fresh_until)
        wait_for(asked.values(), timeout=self.allowance.deadline.seconds)
        return [step for name, future in asked.items() for step in parts[name].end(future)]


class _Part:
    """One cluster's part of one turn.

    ``outcomes`` are what became of its steps, ``silent`` says that it stopped answering. What runs on the cluster's
    thread hands its results over at the end, so that a call which comes back too late changes nothing here.
    """

    def __init__(self, executor: Executor, cluster: Cluster, fleet: Fleet, turn: int) -> None:
        self._executor = executor
        self._cluster = cluster
        self._fleet = fleet
        self._turn = turn
        self._patience = executor.allowance.total.seconds
        self._running: _Run | None = None
        self.outcomes: list[Outcome] = []
        self.silent = False

    def begin(self, steps: list[Step], seen: Now | None, fresh_until: float | None) -> Future[list[Step]]:
        """Begin the steps on the cluster's thread.

        The future is of those that were not come to before ``fresh_until``.
        """
        executor = self._executor
        run = _Run(
            steps=steps,
            give_up=executor.clock.monotonic() + executor.allowance.deadline.seconds,
            seen=seen,
            fresh_until=fresh_until,
            patience=self._patience,
        )
        self._running = run
        return self._cluster.submit(lambda: self._work(run))

    def end(self, future: Future[list[Step]]) -> list[Step]:
        """Take over what came of :meth:`begin`, and return the steps that are left."""
        run, self._running = self._running, None
        assert run is not None
        if future.done():
            self.outcomes += run.outcomes
            self._patience = run.patience
            self.silent = run.silent
            return future.result()
        self.silent = True
        finished, current = tuple(run.outcomes), run.current
        self.outcomes += finished
        if current is not None and all(outcome.subject != current.subject for outcome in finished):
            seconds = self._executor.allowance.deadline.seconds
            lost = OutcomeUnknown(f"no answer within {seconds:g} s", cluster=current.cluster, subject=current.subject)
            self.outcomes.append(failed(current, self._turn, lost))
        return []

    # ---- on the cluster's thread ----

    def _work(self, run: _Run) -> list[Step]:
        clock = self._executor.clock
        for position, step in enumerate(run.steps):
            now = clock.monotonic()
            if now >= run.give_up or run.silent or not self._executor.permitted():
                return []
            if run.fresh_until is not None and position > 0 and now >= run.fresh_until:
                return run.steps[position:]
            run.current = step
            outcome = self._try(step, run)
            if outcome is not None:
                run.outcomes.append(outcome)
        return []

    def _try(self, step: Step, run: _Run) -> Outcome | None:
        """Return what became of ``step``, or ``None`` where it had been begun before and is on its way."""
        # Only now, and not for all beforehand: of thousands, few are come to before what was seen is too old.
        against = None if run.seen is None or isinstance(step, Adding) else objection(step, run.seen)
        if against is not None:
            return failed(step, self._turn, Conflict(against, cluster=step.cluster, subject=step.subject))
        executor = self._executor
        allowance = executor.allowance
        for attempt in range(1, allowance.tries + 1):
            try:
                begun = call(step, self._cluster.backend, self._fleet, executor.runtimes, executor.reloads)
            except Retryable as error:
                pause = self._pause(error, attempt)
                if attempt == allowance.tries or pause > run.patience or run.fresh_until is not None:
                    return failed(step, self._turn, error)
                run.patience -= pause
                executor.clock.sleep(pause)
            except Exception as error:  # noqa: BLE001  # a stranger's code: whatever it raises is an outcome
                run.silent = isinstance(error, Unreachable)
                return failed(step, self._turn, error)
            else:
                return done(step, self._turn) if begun else None
        raise AssertionError("the last try returns")

    def _pause(self, error: Retryable, attempt: int) -> float:
        """Return how long to wait before the next try: what the cluster asks for, or our own back-off with jitter."""
        doubled: int = 1 << (attempt - 1)
        own = self._executor.allowance.first.seconds * doubled * (0.5 + 0.5 * self._executor.chance())
        return max(own, error.after_ms / 1000) if error.after_ms is not None else own


@attrs.define(kw_only=True)
class _Run:
    """What one cluster's thread was asked for and has come to; ``give_up`` is when nothing more may be begun.

    Whatever takes away is held against what was ``seen``.
    """

    steps: list[Step]
    give_up: float
    seen: Now | None
    fresh_until: float | None
    patience: float
    current: Step | None = None
    outcomes: list[Outcome] = attrs.field(factory=list)
    silent: bool = False
