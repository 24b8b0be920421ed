"""Looking, and acting, without a daemon: the same parts in this process, for as long as the command runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from roadstead.act.events import Event
from roadstead.act.intents import as_applied, removed
from roadstead.act.journal import Journal, Selection
from roadstead.act.reconciler import Look
from roadstead.act.session import Session
from roadstead.cli.errors import NotFound
from roadstead.cli.locate import Located
from roadstead.cli.lookup import deployment_in
from roadstead.config import read_fleet
from roadstead.decide.report import (
    Explanation,
    FleetDrift,
    FleetLimits,
    FleetStatus,
    PlanView,
    Replay,
    Service,
    explanation,
    fleet_drift,
    fleet_limits,
    fleet_status,
    intents_of,
    plan_view,
)
from roadstead.decide.scaling import replayed
from roadstead.errors import StateError
from roadstead.model import Fleet
from roadstead.spi.backend import KeepsLogs
from roadstead.spi.host import PluginHost
from roadstead.world import Phase, Snapshot, World

__all__ = ["Direct", "events", "must_be_declared"]

_FOR_PROBES = 3.0
"""For how many seconds a first look waits until every running server was asked for its model."""


class Direct:
    """One fleet, looked at by this process; nothing is done about what is seen, until :meth:`turn` is called."""

    def __init__(self, session: Session, file: Path, woken: threading.Event) -> None:
        self._session = session
        self._file = file
        self._woken = woken
        self._looked = False

    @classmethod
    @contextmanager
    def opened(cls, located: Located, purpose: str = "a command that looks") -> Iterator[Direct]:
        """Yield the fleet of ``located``, kept from everybody else until the block ends.

        Raises what is wrong with the fleet file, and :class:`~roadstead.errors.StateError` where a daemon holds the
        state and does not answer.
        """
        host = PluginHost.installed()
        fleet = read_fleet(located.file, host)
        woken = threading.Event()
        with Session.open(fleet, host, located.state.path, purpose, wake=woken.set) as session:
            yield cls(session, located.file, woken)

    @property
    def fleet(self) -> Fleet:
        """What the file says, with the intents that still hold."""
        return self._session.fleet

    # ---- looking ----

    def status(self) -> FleetStatus:
        """Return how the fleet is."""
        look = self._look()
        return fleet_status(look.fleet, look.world, look.plan, look.at, self._service())

    def limits(self) -> FleetLimits:
        """Return what everything may use, has and uses."""
        look = self._look()
        return fleet_limits(look.fleet, look.world, look.plan, look.at)

    def drift(self) -> FleetDrift:
        """Return what others changed of our objects."""
        look = self._look()
        return fleet_drift(look.fleet, look.world, look.plan, look.at)

    def plan(self) -> PlanView:
        """Return what ``apply`` would do."""
        look = self._look(as_applied(self._session.fleet))
        then = self._session.reconciler.beyond(look)
        return plan_view(look.fleet, look.world, look.plan, look.at, then)

    def why(self, deployment: str) -> Explanation:
        """Return why a deployment is as it is; raises :class:`NotFound`."""
        look = self._look()
        status = fleet_status(look.fleet, look.world, look.plan, look.at, self._service())
        return explanation(
            deployment_in(status, deployment), look.world, look.plan, look.at, intents_of(look.fleet, deployment)
        )

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield what a replica's server prints; raises :class:`NotFound`."""
        for name, snapshot in self._look().world.snapshots():
            if name in self._session.clusters and _has(snapshot, replica):
                backend = self._session.clusters[name].backend
                if not isinstance(backend, KeepsLogs):
                    words = f"cluster {name!r} keeps no logs that can be shown here"
                    raise NotFound(words, hint="look where its servers print to")
                yield from backend.logs(replica, tail=tail, follow=follow)
                return
        raise NotFound(f"there is no replica {replica!r}", hint="`roadstead status` lists them")

    def _look(self, fleet: Fleet | None = None) -> Look:
        """Observe and plan, the first time until every running server was asked, so that no answer is a guess."""
        deadline = time.monotonic() + (0.0 if self._looked else _FOR_PROBES)
        self._looked = True
        while True:
            self._woken.clear()
            look = self._session.reconciler.look(fleet or self._session.fleet)
            if not _unasked(look.world) or not self._woken.wait(max(0.0, deadline - time.monotonic())):
                return look

    def _service(self) -> Service:
        turn = self._session.reconciler.memory.turn
        return Service(
            daemon=None,
            started_at=None,
            file=str(self._file),
            turn=turn,
            bad_file=(),
            staged=False,
            failing_since=None,
            problems=self._session.problems,
        )

    # ---- acting ----

    def apply(self, going: tuple[str, ...], *, clusters: tuple[str, ...], confirm_removals: bool) -> None:
        """Make the file's word hold, durably: what it declares is wanted, and the deployments ``going`` are not.

        ``confirm_removals`` is said of all that the file no longer names, gateways too; ``clusters`` are let go of.
        """
        if clusters:
            self._session.let_go(clusters)
        if confirm_removals and self._session.declared is not None:
            self._session.adopt(self._session.declared, confirm_removals=True)
        fleet = as_applied(self._session.fleet)
        self._session.intend(removed(fleet.intents, fleet, going))

    def turn(self) -> FleetStatus:
        """Run one turn and return how the fleet is by it."""
        turn = self._session.turn()
        return fleet_status(turn.fleet, turn.world, turn.plan, turn.at, self._service())


def _unasked(world: World) -> bool:
    """Return whether there is a running server of which nobody knows yet whether its model is available."""
    return any(
        member.model is None and member.replica.ready is None and member.replica.endpoint is not None
        for shard in world.shards.values()
        for member in shard.members
        if member.replica.phase is Phase.RUNNING
    )


def _has(snapshot: Snapshot, replica: str) -> bool:
    return any(one.id == replica for group in snapshot.groups for one in group.replicas)


def events(located: Located, *, since: int, deployment: str | None) -> tuple[Event, ...]:
    """Return what the journal of a fleet without a daemon holds; nothing where there is no journal.

    Raises :class:`StateError` where it cannot be read.
    """
    if not located.state.journal.exists():
        return ()
    journal = Journal.open(located.state.journal)
    try:
        found = journal.events(Selection(since=since, deployment=deployment))
        if journal.problem is not None:
            raise StateError(journal.problem, hint="make it readable and its folder writable for this user")
    finally:
        journal.close()
    return found


def scaling(located: Located, deployment: str, at: int) -> Replay:
    """Return the last change that load made of a deployment until ``at``, asked again.

    Raises :class:`NotFound` where the journal has none, and :class:`StateError` where it cannot be read.
    """
    kept = None
    if located.state.journal.exists():
        journal = Journal.open(located.state.journal)
        try:
            kept = journal.scaling(deployment, at)
            if journal.problem is not None:
                raise StateError(journal.problem, hint="make it readable and its folder writable for this user")
        finally:
            journal.close()
    if kept is None:
        must_be_declared(located, deployment)
        raise NotFound(f"load changed nothing of {deployment!r} until then", hint="`roadstead events` has what did")
    differences = replayed(kept.decided, PluginHost.installed().scaling_policies())
    return Replay(at=kept.at, turn=kept.turn, decided=kept.decided, differences=differences)


def must_be_declared(located: Located, deployment: str) -> None:
    """Raise :class:`NotFound` for a deployment that the file does not declare, or what is wrong with the file."""
    fleet = read_fleet(located.file, PluginHost.installed())
    if deployment not in fleet.deployments:
        names = ", ".join(fleet.deployments) or "none"
        raise NotFound(f"there is no deployment {deployment!r} in fleet {fleet.name}", hint=f"there are: {names}")
