"""The loop of the daemon: turns, the fleet file, and commands, all on one thread."""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import attrs

from roadstead.act.clock import Clock
from roadstead.act.events import Event, EventKind, Turn
from roadstead.act.intents import as_applied, fulfilled, orphans, removed
from roadstead.act.pacing import Bell, Pacing
from roadstead.act.reconciler import Look
from roadstead.act.session import Session
from roadstead.config import FleetFileError
from roadstead.daemon.changes import (
    Vanished,
    difference,
    longest_stop,
    news_of_vanished,
    nothing_wanted,
    unanswering,
    vacated,
    vanished,
)
from roadstead.daemon.errors import NotNow, OtherFleet
from roadstead.daemon.following import Settling, stamp
from roadstead.daemon.migrating import back, migrate
from roadstead.daemon.ordering import Ordered, declared_to_stay, delete, scale
from roadstead.daemon.steering import Steer, carry_out
from roadstead.daemon.view import View
from roadstead.errors import RoadsteadError
from roadstead.model import Fleet, OnChange
from roadstead.units import Duration
from roadstead.world import World

__all__ = ["FILE_EVERY", "Service"]

R = TypeVar("R")
_LOG = logging.getLogger(__name__)

FILE_EVERY = Duration(500)
"""How often the fleet file is looked at; a look is one call of ``stat``."""

LONGER_THAN_DRAINING = Duration(60_000)
"""How much longer than its slowest replica may take to stop a fleet that goes down is waited for."""


class Service:
    """Runs one session until it is told to stop.

    :meth:`run` is the loop and owns the session. Everything else may be called from any thread: commands are handed to
    the loop and answered between two turns, and :attr:`view` is a value.
    """

    def __init__(self, session: Session, file: Path, read: Callable[[Path], Fleet], bell: Bell, clock: Clock) -> None:
        self.session = session
        self.file = file
        self._read = read
        self._bell = bell
        self._clock = clock
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pacing = Pacing(session.fleet.daemon.turn)
        self._settling = Settling(stamp(file))
        self._stopping = False
        self._failure = ""
        self._going_down: Fleet | None = None
        self._give_up_at = 0.0
        self._listeners: list[Callable[[View], None]] = []
        self.started_at = clock.now()
        self._declared = session.declared or session.fleet
        self.view = View(fleet=session.fleet, table=session.table)

    # ---- from any thread ----

    def ask(self, work: Callable[[], R]) -> Future[R]:
        """Have ``work`` done by the loop between two turns."""
        future: Future[R] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except Exception as error:  # noqa: BLE001  # whoever asked gets it, whatever it is
                    future.set_exception(error)

        self._commands.put(run)
        self._bell.ring()
        return future

    def apply(self, *, confirm_removals: bool) -> Future[int]:
        """Read the file now and make it the fleet; return the number of the turn that first knows it."""
        return self.ask(lambda: self._apply(confirm_removals=confirm_removals))

    def scale(self, deployment: str, replicas: int) -> Future[int]:
        """Ask for that many replicas, until the file's own number changes."""

        def order(fleet: Fleet, _: World) -> Ordered:
            return scale(fleet, declared_to_stay(fleet, deployment), replicas)

        return self._order(deployment, order)

    def migrate(self, deployment: str, to: str | None) -> Future[int]:
        """Send all of a deployment to cluster ``to``; with ``None``, back to where the file says."""

        def order(fleet: Fleet, world: World) -> Ordered:
            declared = declared_to_stay(fleet, deployment)
            return back(fleet, declared) if to is None else migrate(fleet, declared, world, to)

        return self._order(deployment, order)

    def delete(self, deployment: str) -> Future[int]:
        """Have a deployment go, whether the file still has it or not."""
        return self._order(deployment, lambda fleet, world: delete(fleet, world, deployment))

    def steer(self, deployment: str, asked: Steer, to: str | None = None) -> Future[int]:
        """Have a rollout stand still, go on, or count as proven, or take it back, also to ``to``."""

        def order(fleet: Fleet, world: World) -> Ordered:
            memory = self.session.reconciler.memory
            return carry_out(asked, fleet, declared_to_stay(fleet, deployment), world, memory, to)

        return self._order(deployment, order)

    def foresee(self, *, staged: bool) -> Future[Look]:
        """Plan the next turn on what the last one saw; with ``staged``, as if the file had been applied."""
        return self.ask(lambda: self._foresee(staged=staged))

    def reload(self) -> Future[None]:
        """Look at the file now, as if it had just stood still for long enough."""
        return self.ask(self._reload)

    def stop(self, *, stop_replicas: bool = False) -> None:
        """End the loop, leaving replicas as they are, or after taking them down; a second plain stop ends that too."""
        if stop_replicas:
            self.ask(self._go_down)
        else:
            self._stopping = True
            self._bell.ring()

    def listen(self, heard: Callable[[View], None]) -> None:
        """Call ``heard`` with every new view, on the loop's thread."""
        self._listeners.append(heard)

    # ---- the loop ----

    def run(self) -> None:
        """Run turns until :meth:`stop`; errors of a turn are said, and the next one is tried in its time."""
        self._started()
        news = self._turn()
        next_look = 0.0
        while not self._stopping:
            news = self._obey() or news
            now = self._clock.monotonic()
            if now >= next_look:
                next_look = now + FILE_EVERY.seconds
                news = self._follow(now) or news
            due = self._pacing.earliest() if news else self._pacing.latest()
            if now < due:
                news = self._bell.wait(min(due, next_look) - now) or news
                continue
            news = self._turn(news=news)
        what = "replicas are left as they are" if self._going_down is None else "what it could take down is down"
        self._told(EventKind.DAEMON_STOPPED, f"the daemon ends; {what}")
        self._publish(attrs.evolve(self.view, stopping=True))

    def _started(self) -> None:
        self._told(EventKind.DAEMON_STARTED, f"the daemon started with {self.file}")
        if self.session.lost:
            self._told(EventKind.MEMORY_LOST, f"memory was lost: {self.session.lost}")
        self._tell_of_vanished(Vanished())

    def _obey(self) -> bool:
        """Carry out what was asked for, and return whether that was anything."""
        obeyed = False
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return obeyed
            command()
            obeyed = True

    def _turn(self, *, news: bool = False) -> bool:
        """Run one turn, due or for ``news``, and return whether the next one should not be waited for."""
        self._pacing.began(self._clock.monotonic())
        try:
            turn = self.session.reconciler.turn(self._going_down or self.session.fleet, news=news)
        except Exception as error:  # noqa: BLE001  # the daemon outlives its own faults, and says them
            _LOG.error("a turn failed", exc_info=True)
            self._failed(f"{type(error).__name__}: {error}")
            return False
        finally:
            self._pacing.ended(self._clock.monotonic())
        self._completed(turn)
        if self._going_down is not None:
            self._is_down(turn)
        else:
            self._tidy_up(turn)
        return bool(turn.outcomes)

    def _completed(self, turn: Turn) -> None:
        since = self._judged(turn.undone)
        said = () if since is None else (f"nothing is started, moved or stopped since {_moment(since)}: {turn.undone}",)
        self._publish(
            attrs.evolve(
                self.view,
                turn=turn,
                turned_at=self._clock.monotonic(),
                failing_since=since,
                stale=False,
                problems=(*said, *self._problems()),
            )
        )

    def _failed(self, text: str) -> None:
        said = f"turns fail, nothing is healed: {text}"
        since = self._judged(said)
        self._publish(attrs.evolve(self.view, failing_since=since, stale=True, problems=(said, *self._problems())))

    def _judged(self, failure: str) -> int | None:
        """Return since when nothing is done, ``None`` where it is; say when that begins, changes and ends."""
        before, self._failure = self._failure, failure
        if not failure:
            if before:
                self._told(EventKind.TURNS_WORK, "turns work again")
            return None
        if failure != before:
            self._told(EventKind.TURN_FAILED, failure, level=logging.ERROR)
        return self._clock.now() if self.view.failing_since is None else self.view.failing_since

    def _problems(self) -> tuple[str, ...]:
        problem = self.session.journal.problem
        return (*self.session.problems, *((problem,) if problem is not None else ()))

    def _publish(self, view: View) -> None:
        self.view = attrs.evolve(view, fleet=self.session.fleet, table=self.session.table)
        for listener in self._listeners:
            listener(self.view)

    def _told(
        self,
        kind: EventKind,
        text: str,
        *,
        deployment: str = "",
        subject: str = "",
        reason: str = "",
        level: int = logging.INFO,
    ) -> None:
        subject = subject or deployment or self.session.fleet.name
        _LOG.log(level, "%s", text)
        event = Event(at=self._clock.now(), kind=kind, text=text, deployment=deployment, subject=subject, reason=reason)
        self.session.reconciler.tell(event)

    # ---- the fleet file ----

    def _follow(self, now: float) -> bool:
        if not self._settling.is_ready(stamp(self.file), now):
            return False
        self._reload()
        return True

    def _reload(self) -> None:
        """Take in the file as it is now, or keep the last good one and say why."""
        if self._going_down is not None:
            return
        try:
            fleet = self._read_file()
            if self.session.fleet.daemon.on_change is OnChange.STAGE:
                self._stage(fleet)
            else:
                self._adopt(fleet)
        except RoadsteadError:
            _LOG.warning("the last good fleet stays in force: %s", "; ".join(self.view.bad_file))
        except Exception as error:  # noqa: BLE001  # the daemon outlives its own faults, and says them
            _LOG.error("the fleet file cannot be taken in", exc_info=True)
            self._refuse(RoadsteadError(f"{self.file}: unexpected {type(error).__name__}: {error}"))

    def _read_file(self) -> Fleet:
        """Return what the file says; a bad one is remembered as such and raised."""
        self._settling.read(stamp(self.file))
        try:
            fleet = self._read(self.file)
            if fleet.name != self.session.fleet.name:
                raise OtherFleet(
                    f"{self.file} names fleet {fleet.name!r}, this daemon runs {self.session.fleet.name!r}",
                    hint="start another daemon for another fleet, or put the name back",
                )
        except RoadsteadError as error:
            self._refuse(error)
            raise
        self._publish(attrs.evolve(self.view, bad_file=()))
        return fleet

    def _refuse(self, error: RoadsteadError) -> None:
        problems = _problems_of(error)
        self._told(EventKind.FLEET_REFUSED, f"{self.file} is not used: {problems[0]}", reason=error.code)
        self._publish(attrs.evolve(self.view, bad_file=problems))

    def _stage(self, fleet: Fleet) -> None:
        is_new = fleet != self._declared
        self._publish(attrs.evolve(self.view, staged=fleet if is_new else None))
        if is_new:
            self._told(EventKind.FLEET_STAGED, f"{self.file} changed and waits for `roadstead apply`")

    def _adopt(self, fleet: Fleet, *, confirm_removals: bool = False) -> None:
        before, declared = self._vanished(), self._declared
        try:
            self.session.adopt(fleet, confirm_removals=confirm_removals)
        except RoadsteadError as error:
            self._refuse(error)
            raise
        self._declared = fleet
        self._pacing.interval = fleet.daemon.turn
        self._publish(attrs.evolve(self.view, staged=None))
        if fleet != declared:
            self._told(EventKind.FLEET_CHANGED, f"{self.file} is in force: {difference(declared, fleet)}")
        self._tell_of_vanished(before)

    def _tell_of_vanished(self, before: Vanished) -> None:
        """Say what the file no longer names now, and what of that is gone."""
        for one in news_of_vanished(before, self._vanished(), self.session.fleet):
            self._told(one.kind, one.text, subject=one.subject, reason=one.reason)

    def _vanished(self) -> Vanished:
        return vanished(self.session.fleet, self._declared)

    def _tidy_up(self, turn: Turn) -> None:
        """Forget what nobody needs any more; what cannot be forgotten now is tried again after the next turn."""
        try:
            self._forget_removals(turn)
            self._let_go(turn)
        except RoadsteadError as error:
            _LOG.warning("%s", error)
            self._publish(attrs.evolve(self.view, problems=(*self.view.problems, *_problems_of(error))))

    def _forget_removals(self, turn: Turn) -> None:
        """End the removals that are done, so that the same name can come back, and nobody is told of them for ever."""
        self.session.give_back(turn.world)
        before = self.session.fleet.intents
        after = fulfilled(self.session.fleet, turn.world)
        if after is not before:
            self.session.intend(after)
            for intent in before.remove:
                if intent not in after.remove:
                    name = intent.deployment
                    self._told(EventKind.RELEASED, f"nothing is left of {name}", deployment=name)

    def _let_go(self, turn: Turn) -> None:
        """Let go of clusters that vanished from the file, once nothing of ours runs there any more."""
        before = self._vanished()
        gone = vacated(self.session.fleet, self._declared, turn.world)
        if gone:
            self.session.let_go(gone)
            self._tell_of_vanished(before)

    # ---- commands ----

    def _next_turn(self) -> int:
        return self.session.reconciler.memory.turn + 1

    def _last(self) -> Turn:
        """Return the last turn, for a command that depends on what there is."""
        last = self.session.reconciler.last
        if self._going_down is not None:
            raise NotNow("the daemon is taking its replicas down", hint="start it again when it has ended")
        if last is None:
            raise NotNow("the daemon has not seen its clusters yet", hint="try again in a moment")
        return last

    def _apply(self, *, confirm_removals: bool) -> int:
        last = self._last()
        self._adopt(self._read_file(), confirm_removals=confirm_removals)
        self._take_back_deletions()
        if confirm_removals:
            fleet = self.session.fleet
            gone = orphans(fleet, last.world.shards)
            self.session.intend(removed(fleet.intents, fleet, gone))
            for name in sorted(gone):
                self._told(EventKind.INTENT, f"{name} was confirmed to go", deployment=name)
            self._write_off(last)
        return self._next_turn()

    def _write_off(self, last: Turn) -> None:
        """Let go of clusters that vanished from the file and do not answer: somebody confirmed that they are gone."""
        away = unanswering(self.session.fleet, self._declared, last.world)
        if away:
            self.session.let_go(away)
            for name in away:
                text = f"cluster {name} was confirmed to go: what may still run there is left there, and not counted"
                self._told(EventKind.INTENT, text, subject=name)

    def _take_back_deletions(self) -> None:
        """Want again what a command deleted and the file declares: applying it is saying so once more."""
        before = self.session.fleet.intents.remove
        self.session.intend(as_applied(self.session.fleet).intents)
        for intent in before:
            if intent not in self.session.fleet.intents.remove:
                name = intent.deployment
                self._told(EventKind.INTENT, f"{name} was deleted by command and is applied again", deployment=name)

    def _order(self, name: str, order: Callable[[Fleet, World], Ordered]) -> Future[int]:
        """Have a command about one deployment carried out; it comes to the number of the turn that first knows it."""

        def carry_out() -> int:
            last = self._last()
            ordered = order(self.session.fleet, last.world)
            self.session.intend(ordered.intents)
            self._told(EventKind.INTENT, ordered.text, deployment=name)
            self._publish(self.view)
            return self._next_turn()

        return self.ask(carry_out)

    def _foresee(self, *, staged: bool) -> Look:
        self._last()
        fleet = self.session.fleet
        if staged and self.view.staged is not None:
            waiting = self.view.staged
            fleet = attrs.evolve(waiting, owner_id=fleet.owner_id, intents=fleet.intents, addresses=fleet.addresses)
        look = self.session.reconciler.foresee(as_applied(fleet) if staged else fleet)
        assert look is not None
        return look

    # ---- going down ----

    def _go_down(self) -> None:
        """Want nothing any more, through the planner like everything else, and end when nothing is left."""
        fleet = self.session.fleet
        self._give_up_at = self._clock.monotonic() + longest_stop(fleet) + LONGER_THAN_DRAINING.seconds
        self._going_down = nothing_wanted(fleet)
        self._told(EventKind.INTENT, "the daemon takes its replicas down and ends")
        self._publish(attrs.evolve(self.view, stopping=True))

    def _is_down(self, turn: Turn) -> None:
        """End the loop when nothing that the file declares has a replica, or when that takes too long.

        Gateways are taken down last: nobody is behind them any more.
        """
        left = [
            member.replica.id
            for name, shard in turn.world.shards.items()
            if name in turn.fleet.deployments
            for member in shard.members
        ]
        if left and self._clock.monotonic() < self._give_up_at:
            return
        if left:
            _LOG.warning("these replicas are still there: %s", ", ".join(sorted(left)))
        self.session.take_down_gateways()
        self._stopping = True


def _moment(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, tz=UTC):%Y-%m-%d %H:%M:%SZ}"


def _problems_of(error: RoadsteadError) -> tuple[str, ...]:
    """Return what is wrong, a line each."""
    if isinstance(error, FleetFileError):
        return tuple(str(problem).partition("\n")[0] for problem in error.problems)
    return (" ".join(str(error).splitlines()),)
