"""All the parts of one fleet, opened on its state directory.

This is what the daemon runs, and what a command runs for itself while there is no daemon.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from roadstead.act.clock import Clock, SystemClock
from roadstead.act.cluster import Cluster
from roadstead.act.events import Turn
from roadstead.act.executor import Executor
from roadstead.act.identity import IdentityStore
from roadstead.act.intents import still_held
from roadstead.act.journal import Journal
from roadstead.act.lock import StateLock
from roadstead.act.memory import MemoryStore
from roadstead.act.observer import Observer
from roadstead.act.prober import Prober
from roadstead.act.reconciler import Look, Reconciler
from roadstead.act.state import StateDirectory
from roadstead.errors import RoadsteadError
from roadstead.model import ClusterSpec, ClusterState, Fleet, Intents
from roadstead.plans import Table
from roadstead.spi.backend import Backend, BackendContext
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import BackendPlugin

__all__ = ["Session"]


def _ignore() -> None:
    """Wake nobody: whoever looks once has no loop."""


class Session:
    """One fleet in our hands and in nobody else's: its state directory is locked until :meth:`close`.

    Everything here is called from one thread; ``wake`` is called from any, when something changed that a turn should
    see. ``fleet`` is what the file says, with our identity and the intents that still hold. ``table`` is where each
    deployment answers, as last published. ``lost`` says what was wrong with a memory that had to be set aside.
    """

    def __init__(
        self,
        state: StateDirectory,
        host: PluginHost,
        *,
        wake: Callable[[], None] = _ignore,
        clock: Clock | None = None,
    ) -> None:
        self.state = state
        self.table = Table()
        self.lost = ""
        self._host = host
        self._wake = wake
        self._clock = clock or SystemClock()
        self._clusters: dict[str, Cluster] = {}
        self._closing = contextlib.ExitStack()
        self.fleet: Fleet
        self.identity: IdentityStore
        self.journal: Journal
        self.reconciler: Reconciler

    @classmethod
    def open(
        cls,
        fleet: Fleet,
        host: PluginHost,
        directory: Path,
        purpose: str,
        *,
        wake: Callable[[], None] = _ignore,
        clock: Clock | None = None,
    ) -> Self:
        """Open everything for ``fleet``, with ``purpose`` told to whoever finds the state in use.

        Raises :class:`RoadsteadError` with nothing left open: state that is in use, damaged, newer or not ours, a
        plugin that is missing, a cluster that refuses its options.
        """
        session = cls(StateDirectory.open(directory), host, wake=wake, clock=clock)
        try:
            session._open(fleet, purpose)
        except BaseException:
            session.close()
            raise
        return session

    def _open(self, fleet: Fleet, purpose: str) -> None:
        self._closing.enter_context(StateLock.acquire(self.state.lock, purpose))
        self.identity = IdentityStore.open(self.state.identity, fleet.name)
        store = MemoryStore(self.state.memory)
        self._closing.callback(store.close)
        remembered = store.load()
        self.lost = remembered.lost
        self.journal = Journal.open(self.state.journal)
        self._closing.callback(self.journal.close)
        runtimes = self._host.runtimes()
        for runtime in runtimes.values():
            self._closing.callback(runtime.close)
        probes = Prober(runtimes, self._wake, self._clock)
        observer = Observer(probes, self._clock)
        self._closing.callback(observer.close)
        self._closing.callback(self._close_clusters)
        self.reconciler = Reconciler(
            executor=Executor(observer, runtimes, self._clock, publish=self._publish),
            store=store,
            journal=self.journal,
            policies=self._host.placement_policies(),
            watcher=self._host,
            clock=self._clock,
        )
        self._observer = observer
        self.reconciler.remember(remembered.memory)
        self.adopt(fleet)

    # ---- what is wanted ----

    def adopt(self, fleet: Fleet) -> None:
        """Make ``fleet``, as the file says it, what turns are for; intents that it supersedes end.

        Raises :class:`RoadsteadError` where a cluster cannot be driven as the file says. The fleet is then as before.
        """
        self._drive(fleet.clusters)
        self._take(fleet, still_held(self.identity.current.intents, fleet))

    def intend(self, intents: Intents) -> None:
        """Make ``intents`` durable and part of the fleet; raises :class:`StateError` with nothing changed."""
        self._take(self.fleet, intents)

    def _take(self, fleet: Fleet, intents: Intents) -> None:
        self.identity.keep(intents)
        self.fleet = attrs.evolve(fleet, owner_id=self.identity.current.owner_id, intents=intents)

    # ---- turns ----

    def turn(self, *, news: bool = False) -> Turn:
        """Run one turn; raises :class:`StateError` where nothing could be done because memory could not be kept.

        ``news`` as for :meth:`Reconciler.turn`.
        """
        return self.reconciler.turn(self.fleet, news=news)

    def look(self) -> Look:
        """Observe and plan, and do nothing."""
        return self.reconciler.look(self.fleet)

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters that are driven now."""
        return self._clusters

    def _publish(self, table: Table) -> None:
        self.table = table

    # ---- clusters ----

    def _drive(self, specs: Mapping[str, ClusterSpec]) -> None:
        """Open and close clusters until those of ``specs`` are driven; what is disabled is not touched."""
        wanted = {name: spec for name, spec in specs.items() if spec.state is not ClusterState.DISABLED}
        kept = {
            name: cluster
            for name, cluster in self._clusters.items()
            if name in wanted and _same_backend(cluster.spec, wanted[name])
        }
        replaced = [cluster for name, cluster in self._clusters.items() if name not in kept]
        # A backend may hold its root for itself, so the old one lets go before the new one takes hold.
        for cluster in replaced:
            cluster.close()
        opened: dict[str, Cluster] = {}
        try:
            for name, spec in wanted.items():
                if name not in kept:
                    opened[name] = self._connect(spec)
        except RoadsteadError:
            for cluster in opened.values():
                cluster.close()
            self._attend({**kept, **{cluster.name: self._connect(cluster.spec) for cluster in replaced}})
            raise
        for name, cluster in kept.items():
            cluster.spec = wanted[name]
        self._attend({name: opened.get(name) or kept[name] for name in wanted})

    def _attend(self, clusters: dict[str, Cluster]) -> None:
        self._clusters = clusters
        self._observer.attend(clusters)

    def _connect(self, spec: ClusterSpec) -> Cluster:
        plugin = self._host.get(BackendPlugin, spec.backend)
        make = resolve(plugin.factory, f"backend {spec.backend!r}")
        current = self.identity.current
        backend: Backend = make(
            BackendContext(
                cluster=spec.name,
                fleet=current.fleet,
                owner_id=current.owner_id,
                options=spec.options,
                scheduling=spec.scheduling,
                root=self.state.cluster(spec.name),
            )
        )
        cluster = Cluster(spec, backend, self._clock)
        cluster.watch(self._wake)
        return cluster

    def _close_clusters(self) -> None:
        for cluster in self._clusters.values():
            cluster.close()
        self._attend({})

    def close(self) -> None:
        """Let go of everything, leaving replicas as they are; a second time does nothing."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _same_backend(one: ClusterSpec, other: ClusterSpec) -> bool:
    """Return whether a change from one to the other leaves the backend as it is."""
    return (one.backend, one.options, one.scheduling) == (other.backend, other.options, other.scheduling)
