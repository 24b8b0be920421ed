"""What stands between a daemon and everything outside it, so that each of its calls can go wrong."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from roadstead.act.journal import Journal
from roadstead.act.memory import MemoryStore
from roadstead.capabilities import Capabilities
from roadstead.errors import BackendError, Conflict, OutcomeUnknown, Retryable, StateError, Unreachable
from roadstead.memory import PlanMemory
from roadstead.model import Template
from roadstead.spi.backend import (
    Backend,
    Binds,
    ChecksModels,
    Evicts,
    Expect,
    GroupOrder,
    MeasuresUsage,
    Restarts,
    Reverts,
    Settles,
)
from roadstead.spi.gateway import Gateway, RouteTable
from roadstead.spi.runtime import Launch, Runtime, Server
from roadstead.testing.faults.calls import MOST_STALE, Kind, What
from roadstead.testing.faults.injector import Injector, Powers
from roadstead.traffic import GatewayView
from roadstead.units import Duration
from roadstead.world import GroupKey, ModelState, Snapshot, Usage

__all__ = ["Drivable", "WiredBackend", "WiredClock", "WiredGateway", "WiredJournal", "WiredMemory", "WiredRuntime"]

R = TypeVar("R")
_RETRY_AFTER_MS = 1_500
"""What is waited for within a turn, where nothing that was seen gets too old by that."""

_LONG_RETRY_AFTER_MS = 10_000
"""What is waited for over many turns."""

_LEFT_OPEN: list[object] = []
"""Connections that another process goes on with: closing one here would end what that one does."""


class Drivable(Backend, Binds, Restarts, Evicts, Reverts, Settles, ChecksModels, MeasuresUsage, Protocol):
    """A cluster with every ability that the machine makes use of."""


class Watch(Protocol):
    """Sees every call that changes a cluster, made or not."""

    def around(self, cluster: str, subject: str, call: Callable[[], None]) -> None:
        """Make ``call``, which is about ``subject``."""


class WiredBackend:
    """One daemon's connection to one cluster.

    ``away``: the cluster cannot be reached. ``hasty`` is what was asked for again too soon, by more than the ``leap``
    that a clock which was set forth excuses. ``age``: how many versions
    old the next list is, as far as there are such: none from before what this connection has returned, or from before a
    change that it was told of.
    """

    def __init__(
        self,
        name: str,
        cluster: Drivable,
        injector: Injector,
        powers: Powers,
        watch: Watch,
        time: Callable[[], int],
    ) -> None:
        self.away: Callable[[], bool] = lambda: False
        self.leap: Callable[[], int] = lambda: 0
        self.age = 0
        self.hasty: list[str] = []
        self._time = time
        self._name = name
        self._cluster = cluster
        self._injector = injector
        self._powers = powers
        self._watch = watch
        self._looks: deque[Snapshot] = deque(maxlen=MOST_STALE + 1)
        self._not_before: dict[str, int] = {}

    @property
    def capabilities(self) -> Capabilities:
        """What the cluster can do."""
        return self._cluster.capabilities

    def note(self, snapshot: Snapshot) -> None:
        """Take in what the cluster looks like now: a list that may be shown later, once one was shown at all."""
        if self._looks and self._looks[-1] != snapshot:
            self._looks.append(snapshot)

    def observe(self) -> Snapshot:
        """Return what the cluster looks like, or looked like."""
        if not self.away():
            self.note(self._cluster.observe())
        older = max(0, len(self._looks) - 1)
        return self._through(What.OBSERVE, self._observe, older=older)

    def usage(self) -> Mapping[str, Usage]:
        """Return what replicas use."""
        return self._through(What.USAGE, self._cluster.usage)

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create or converge a group."""
        self._change(
            What.APPLY, str(order.key), lambda: self._cluster.apply(order, target, retire=retire, expect=expect)
        )

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove a group."""
        self._change(What.DELETE, str(key), lambda: self._cluster.delete(key, grace=grace, expect=expect))

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Put a slot on a node."""
        self._change(What.BIND, replica, lambda: self._cluster.bind(replica, node, devices))

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Restart one server."""
        self._change(What.RESTART, replica, lambda: self._cluster.restart(replica, grace=grace, reason=reason))

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Take away one replica."""
        self._change(What.EVICT, replica, lambda: self._cluster.evict(replica, grace=grace, reason=reason))

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        """Put back what a group was made with."""
        self._change(What.REVERT, str(key), lambda: self._cluster.revert(key, expect=expect))

    def settle(self, deployment: str, floor: int | None) -> None:
        """Have something stand for a deployment, or remove it."""
        self._change(What.SETTLE, f"objects of {deployment}", lambda: self._cluster.settle(deployment, floor))

    def check_model(self, template: Template) -> None:
        """Check a model's files."""
        self._through(What.CHECK_MODEL, lambda: self._cluster.check_model(template))

    def close(self) -> None:
        """Let go of the cluster; another daemon may have it in its hands."""

    # ---- how it works ----

    def _observe(self) -> Snapshot:
        age, self.age = self.age, 0
        if not self._looks:
            self._looks.append(self._cluster.observe())
        shown = self._looks[-1 - age]
        while self._looks[0] is not shown:
            self._looks.popleft()
        return shown

    def _change(self, what: What, subject: str, call: Callable[[], None]) -> None:
        if self._time() + self.leap() < self._not_before.pop(subject, 0):
            self.hasty.append(f"{what.value} of {subject} is asked for again before Retry-After")
        try:
            self._through(what, lambda: self._watch.around(self._name, subject, call))
        except Retryable as error:
            if error.after_ms is not None:
                self._not_before[subject] = self._time() + error.after_ms
            raise
        self._looks.clear()
        self._looks.append(self._cluster.observe())

    def _through(self, what: What, work: Callable[[], R], *, older: int = 0) -> R:
        def reached() -> R:
            if self.away():
                raise Unreachable("partitioned", cluster=self._name)
            return work()

        def failure(kind: Kind) -> Exception:
            return _refusal(kind, self._name, reads=what in {What.OBSERVE, What.USAGE})

        return self._injector.through(what, self._name, reached, failure, self._powers, older=older)


def _refusal(kind: Kind, cluster: str, *, reads: bool) -> BackendError:
    match kind:
        case Kind.FAILS:
            return Retryable("500", cluster=cluster)
        case Kind.THROTTLED:
            return Retryable("429", cluster=cluster, after_ms=_RETRY_AFTER_MS)
        case Kind.THROTTLED_LONG:
            return Retryable("429", cluster=cluster, after_ms=_LONG_RETRY_AFTER_MS)
        case Kind.CONFLICT:
            return Conflict("409", cluster=cluster)
        case _ if reads:
            return Unreachable("timeout", cluster=cluster)
        case _:
            return OutcomeUnknown("timeout", cluster=cluster)


class WiredGateway:
    """One daemon's connection to one gateway."""

    def __init__(self, name: str, gateway: Gateway, injector: Injector, powers: Powers) -> None:
        self.away: Callable[[], bool] = lambda: False
        self._name = name
        self._gateway = gateway
        self._injector = injector
        self._powers = powers

    def route(self, table: RouteTable) -> None:
        """Offer a table."""
        self._through(What.ROUTE, lambda: self._gateway.route(table))

    def view(self) -> GatewayView:
        """Return what the gateway does."""
        return self._through(What.VIEW, self._gateway.view)

    def ports(self) -> Mapping[str, int]:
        """Return the ports that the gateway keeps."""
        return self._gateway.ports()

    def stop(self) -> None:
        """Take the gateway down."""
        self._gateway.stop()

    def close(self) -> None:
        """Let go of the gateway."""

    def _through(self, what: What, work: Callable[[], R]) -> R:
        def reached() -> R:
            if self.away():
                raise Unreachable("partitioned", cluster=self._name)
            return work()

        return self._injector.through(
            what, self._name, reached, lambda _: Unreachable("timeout", cluster=self._name), self._powers
        )


class WiredRuntime:
    """One daemon's connections to servers."""

    def __init__(self, runtime: Runtime, injector: Injector, powers: Powers) -> None:
        self._runtime = runtime
        self._injector = injector
        self._powers = powers

    def check(self, template: Template) -> tuple[str, ...]:
        """Return what is wrong with a template."""
        return self._runtime.check(template)

    def launch(self, template: Template) -> Launch:
        """Return how a server is started."""
        return self._runtime.launch(template)

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:
        """Ask a server for its model."""
        return self._through(What.PROBE, lambda: self._runtime.probe(server, timeout=timeout))

    def reload(self, server: Server, version: int, *, timeout: Duration) -> None:
        """Tell a server to load another version."""
        self._through(What.RELOAD, lambda: self._runtime.reload(server, version, timeout=timeout))

    def close(self) -> None:
        """Let go of servers; another daemon may ask them."""

    def _through(self, what: What, work: Callable[[], R]) -> R:
        return self._injector.through(what, "", work, lambda kind: ConnectionError(kind.value), self._powers)


class WiredMemory(MemoryStore):
    """One daemon's memory on disk: what was ``saved`` last, and how often something really was written (``wrote``)."""

    def __init__(self, path: Path, injector: Injector, powers: Powers) -> None:
        super().__init__(path)
        self._injector = injector
        self._powers = powers
        self.wrote = 0
        self.saved: PlanMemory | None = None

    def move(self, path: Path) -> None:
        """Go on with a copy of the file: what was open of the other belongs to the process that this one came from."""
        _LEFT_OPEN.append(self._connection)
        self._path = path
        if self._connection is not None:
            self._connection = None
            self._open()

    def save(self, memory: PlanMemory, *, acts: bool) -> bool:
        """Save, or be killed before or after."""

        def work() -> bool:
            written = super(WiredMemory, self).save(memory, acts=acts)
            self.wrote += written
            self.saved = memory
            return written

        return self._injector.through(What.MEMORY, "", work, lambda kind: StateError(kind.value), self._powers)


class _FullDiskError(Exception):
    """There is no room for the journal."""


class WiredJournal(Journal):
    """One daemon's journal."""

    _moved = False

    def wire(self, injector: Injector, powers: Powers) -> None:
        """Have every addition pass through ``injector``."""
        self._injector = injector
        self._powers = powers

    def move(self, path: Path) -> None:
        """Go on with a copy of the file, as :meth:`WiredMemory.move` does, once there is something to be done."""
        _LEFT_OPEN.append(self._connection)
        self._path = path
        self._moved = self._connection is not None
        self._connection = None

    def _connect(self) -> None:
        if not self._moved:
            super()._connect()
            return
        self._moved = False
        self._connection = sqlite3.connect(self._path, check_same_thread=False)
        self._connection.execute("PRAGMA synchronous=NORMAL")

    def record(self, *kept: Any, **more: Any) -> bool:
        """Record, or be killed before or after; a full disk is nobody's business but the reader's."""

        def work() -> bool:
            return super(WiredJournal, self).record(*kept, **more)

        try:
            return self._injector.through(What.JOURNAL, "", work, lambda _: _FullDiskError(), self._powers)
        except _FullDiskError:
            return False


class WiredClock:
    """One daemon's clocks over the one true time: its wall clock may be off by ``skew_ms``."""

    def __init__(self, time: Callable[[], int], wait: Callable[[int], None]) -> None:
        self.skew_ms = 0
        self.read: Callable[[], None] = lambda: None
        self._time = time
        self._wait = wait

    def now(self) -> int:
        """Return the wall clock, in milliseconds since the epoch."""
        self.read()
        return self._time() + self.skew_ms

    def monotonic(self) -> float:
        """Return the seconds of a clock that never jumps."""
        return self._time() / 1000

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._wait(round(seconds * 1000))
