"""All the parts of one fleet, opened on its state directory.

This is what the daemon runs, and what a command runs for itself while there is no daemon.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import attrs

from roadstead.act.addresses import assigned, spent
from roadstead.act.clock import Clock, SystemClock
from roadstead.act.cluster import Cluster
from roadstead.act.events import Event, EventKind, Turn
from roadstead.act.executor import Executor
from roadstead.act.gateways import Gateways
from roadstead.act.hold import StateHold
from roadstead.act.holding import (
    AwayBackend,
    LateGateway,
    as_draining,
    as_kept,
    as_kept_cluster,
    as_spec,
)
from roadstead.act.identity import IdentityStore
from roadstead.act.intents import still_held
from roadstead.act.journal import Journal
from roadstead.act.leading import Lead, LockLead
from roadstead.act.load_reader import LoadReader
from roadstead.act.memory import MemoryStore
from roadstead.act.observer import Observer
from roadstead.act.opening import open_backend, open_gateway, open_lease
from roadstead.act.prober import Prober
from roadstead.act.reconciler import Reconciler
from roadstead.act.routing import Checks, Routing, routing
from roadstead.act.state import StateDirectory
from roadstead.errors import RoadsteadError, StateError
from roadstead.model import Address, ClusterSpec, ClusterState, Fleet, GatewaySpec, Intents, OnChange
from roadstead.plans import Table
from roadstead.spi.backend import Backend
from roadstead.spi.gateway import Gateway
from roadstead.spi.host import PluginHost
from roadstead.world import World

__all__ = ["Session"]

_LOG = logging.getLogger(__name__)


def _ignore() -> None:
    """Wake nobody: whoever looks once has no loop."""


class Session:
    """One fleet in our hands and in nobody else's: its state directory is locked until :meth:`close`.

    Everything here is called from one thread; ``wake`` is called from any, when something changed that a turn should
    see. ``declared`` is what the file says, ``fleet`` is that with our identity, the intents that still hold, the
    addresses that were given, and the gateways and clusters that its file no longer names. ``table`` is where each
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
        self._held: Mapping[str, GatewaySpec] = MappingProxyType({})
        self._vacated: Mapping[str, ClusterSpec] = MappingProxyType({})
        self._stuck: Mapping[str, str] = MappingProxyType({})
        self._unaddressed: Mapping[str, str] = MappingProxyType({})
        self._inherited: set[str] = set()
        self._lead: Lead = LockLead()
        self._leads = False
        self._routing = Routing()
        self._closing = contextlib.ExitStack()
        self.gateways = Gateways(self._connect_gateway, wake, self._clock)
        self.declared: Fleet | None = None
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
        self._hold = StateHold.take(self.state, purpose, fleet.name)
        self._closing.callback(self._hold.release)
        self._closing.callback(self._let_go_of_lead)
        self.identity = self._hold.identity
        store = MemoryStore(self.state.memory, check=self._keep_hold)
        self._closing.callback(store.close)
        remembered = store.load()
        self.lost = remembered.lost
        self.journal = Journal.open(self.state.journal)
        self._closing.callback(self.journal.close)
        self._runtimes = runtimes = self._host.runtimes()
        for runtime in runtimes.values():
            self._closing.callback(runtime.close)
        probes = Prober(runtimes, self._wake, self._clock)
        observer = Observer(probes, self._clock, gateways=self.gateways)
        self._checks = Checks(runtimes)
        self._closing.callback(observer.close)
        self._closing.callback(self.gateways.close)
        self._closing.callback(self._close_clusters)
        self.reconciler = Reconciler(
            executor=Executor(observer, runtimes, self._clock, publish=self._publish, permitted=self._may_act),
            store=store,
            journal=self.journal,
            policies=self._host.placement_policies(),
            scalers=self._host.scaling_policies(),
            watcher=self._host,
            clock=self._clock,
        )
        self._observer = observer
        self.reconciler.remember(remembered.memory)
        self.adopt(fleet)

    def measure(self) -> None:
        """Have servers read for what they count of their own load: for whoever goes on looking."""
        self._observer.measure(LoadReader(self._runtimes, self._clock))

    # ---- who acts ----

    def take_lead(self) -> None:
        """Have the right to act for the fleet; a second time does nothing.

        Raises :class:`StateError` where another daemon has it. That may take as long as a lease lasts.
        """
        self._lead.take()
        self._leads = True

    def _may_act(self) -> bool:
        return self._lead.holds()

    def _let_go_of_lead(self) -> None:
        self._lead.release()

    def _lead_as(self, fleet: Fleet) -> None:
        """Lead by what ``fleet`` says; the new right is there before the old one is given back."""
        before, lease = self.declared, fleet.daemon.lease
        kept = None if lease is None else fleet.clusters.get(lease.cluster)
        was = None if before is None or before.daemon.lease is None else before.clusters[before.daemon.lease.cluster]
        if _same_store(kept, was):
            return
        lead: Lead = LockLead()
        if kept is not None:
            lead = open_lease(kept, self._host, self.identity.current, self.state, self._wake)
        if self._leads:
            lead.take()
        self._lead.release()
        self._lead = lead

    # ---- what is wanted ----

    def adopt(self, fleet: Fleet, *, confirm_removals: bool = False) -> None:
        """Make ``fleet``, as the file says it, what turns are for; intents that it supersedes end.

        A gateway that it no longer names is held as it is, with what it serves, until ``confirm_removals`` or the
        fleet's ``on_removal`` says that it is to be taken down.

        Raises :class:`RoadsteadError` where a cluster or a gateway cannot be driven as the file says, or what is given
        cannot be made durable. The fleet is then as before.
        """
        before = self.declared
        try:
            self._follow(fleet, confirm_removals=confirm_removals)
        except RoadsteadError:
            if before is not None:
                self._follow(before)
            raise

    def intend(self, intents: Intents) -> None:
        """Make ``intents`` durable and part of the fleet; raises :class:`StateError` with nothing changed."""
        self._take(self.fleet, intents, self.fleet.addresses)

    def let_go(self, clusters: Iterable[str]) -> None:
        """Drive these clusters no longer, which the file does not name; what may run there is left there.

        Raises :class:`StateError` with nothing changed.
        """
        assert self.declared is not None, "something was adopted before something can have vanished from it"
        going = frozenset(clusters)
        current = self.identity.current
        kept = {name: one for name, one in current.clusters.items() if name not in going}
        self.identity.keep(attrs.evolve(current, clusters=kept))
        self._follow(self.declared)

    def give_back(self, world: World) -> None:
        """Forget the addresses of deployments that nobody wants and of which ``world`` shows nothing left.

        Raises :class:`StateError` with nothing changed.
        """
        gone = spent(self.fleet, world)
        if gone:
            kept = {name: address for name, address in self.fleet.addresses.items() if name not in gone}
            self._take(self.fleet, self.fleet.intents, kept)

    @property
    def problems(self) -> tuple[str, ...]:
        """What of the fleet cannot be as its file says, and no plan shows, a sentence each."""
        stuck = (f"gateway {name} cannot be taken down: {why}" for name, why in self._stuck.items())
        return (*self._unaddressed.values(), *stuck)

    def _follow(self, fleet: Fleet, *, confirm_removals: bool = False) -> None:
        self._lead_as(fleet)
        kept = self._drive_gateways(fleet, confirmed=confirm_removals or _is_confirmed(fleet))
        self._vacated = MappingProxyType(
            {
                name: as_draining(name, one, self._host)
                for name, one in self.identity.current.clusters.items()
                if name not in fleet.clusters
            }
        )
        clusters = MappingProxyType({**fleet.clusters, **self._vacated})
        self._drive(clusters)
        whole = attrs.evolve(
            fleet,
            clusters=clusters,
            gateways=MappingProxyType({**fleet.gateways, **self._held}),
            vanished=frozenset(self._held),
        )
        self._take(whole, still_held(self.identity.current.intents, fleet), kept)
        self.declared = fleet

    def _take(self, fleet: Fleet, intents: Intents, kept: Mapping[str, Address]) -> None:
        """Make all that is not in the file durable, before anybody can know of it, and part of the fleet."""
        fleet = attrs.evolve(fleet, owner_id=self.identity.current.owner_id, intents=intents)
        given = assigned(fleet, kept, self._held)
        self.identity.keep(
            attrs.evolve(
                self.identity.current,
                intents=intents,
                addresses=given.addresses,
                gateways={name: as_kept(spec) for name, spec in fleet.gateways.items()},
                clusters={
                    name: as_kept_cluster(spec)
                    for name, spec in fleet.clusters.items()
                    if spec.state is not ClusterState.DISABLED
                },
            )
        )
        self.fleet = attrs.evolve(fleet, addresses=given.addresses)
        self.gateways.via = MappingProxyType({name: one.gateway for name, one in given.addresses.items()})
        self._unaddressed = given.missing

    # ---- turns ----

    def turn(self, *, news: bool = False) -> Turn:
        """Run one turn; raises :class:`StateError` where nothing could be done: no memory kept, or not ours to act.

        ``news`` as for :meth:`Reconciler.turn`.
        """
        self.take_lead()
        turn = self.reconciler.turn(self.fleet, news=news)
        if turn.undone:
            raise StateError(turn.undone, hint="nothing was done: make room on its disk, or make it writable")
        return turn

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters that are driven now."""
        return self._clusters

    def _publish(self, fleet: Fleet, world: World, table: Table) -> None:
        self.table = table
        self._routing = routing(self._routing, fleet, world, table, self._checks, inherited=self._inherited)
        if self._lead.holds():
            self.gateways.offer(self._routing.tables)

    def _keep_hold(self) -> None:
        """Begin to act, where that is ours.

        Keeps the state directory ours, and says when that took writing it again; raises :class:`StateError`.
        """
        self._lead.must_hold()
        if self._hold.keep():
            text = f"{self.state.path}, or a part of it, was removed while the daemon ran; it was written again"
            _LOG.warning("%s", text)
            event = Event(at=self._clock.now(), kind=EventKind.STATE_RESTORED, text=text, subject=self.fleet.name)
            self.reconciler.tell(event)

    # ---- gateways ----

    def take_down_gateways(self) -> Mapping[str, str]:
        """Take down every gateway through which no replica is reached any more; return why that did not work.

        What they were is not forgotten: they come back at the same ports.
        """
        last = self.reconciler.last
        shards = last.world.shards if last is not None else {}
        used = {one.gateway for name, one in self.fleet.addresses.items() if name in shards and shards[name].members}
        return self.gateways.take_down(name for name in self.fleet.gateways if name not in used)

    def _drive_gateways(self, fleet: Fleet, *, confirmed: bool) -> Mapping[str, Address]:
        """Open and close gateways until those of ``fleet`` and those that are held are driven.

        Return the addresses that are known: those that we have kept, and, where we have lost them, those that a gateway
        that was opened now has.
        """
        kept = self.identity.current
        vanished = {
            name: as_spec(name, one, self._host) for name, one in kept.gateways.items() if name not in fleet.gateways
        }
        self._held = MappingProxyType(vanished)
        read = self.gateways.drive({**fleet.gateways, **vanished})
        self._inherited |= {name for name, ports in read.items() if ports}
        self._stuck = self.gateways.take_down(vanished) if confirmed else {}
        if vanished and confirmed:
            self._held = MappingProxyType({name: vanished[name] for name in self._stuck})
            self.gateways.drive({**fleet.gateways, **self._held})
        found = {
            deployment: Address(gateway=name, host="", port=port)
            for name, ports in read.items()
            for deployment, port in ports.items()
        }
        return {**found, **kept.addresses}

    def _connect_gateway(self, spec: GatewaySpec) -> Gateway:
        """Return what drives a gateway; raises :class:`RoadsteadError`, but not at the start, nor for one that is held.

        Replicas are healed all the same while a gateway cannot be opened.
        """
        try:
            return self._open_gateway(spec)
        except RoadsteadError:
            if self.declared is not None and spec.name not in self._held:
                raise
        self._inherited.add(spec.name)
        return LateGateway(spec.name, lambda: self._open_gateway(spec))

    def _open_gateway(self, spec: GatewaySpec) -> Gateway:
        return open_gateway(spec, self._host, self.identity.current, self.state)

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
                    opened[name] = self._connected(spec)
        except RoadsteadError:
            for cluster in opened.values():
                cluster.close()
            self._attend({**kept, **{cluster.name: self._connected(cluster.spec) for cluster in replaced}})
            raise
        for name, cluster in kept.items():
            cluster.spec = wanted[name]
        self._attend({name: opened.get(name) or kept[name] for name in wanted})

    def _attend(self, clusters: dict[str, Cluster]) -> None:
        self._clusters = clusters
        self._observer.attend(clusters)

    def _connected(self, spec: ClusterSpec) -> Cluster:
        """Return a cluster in our hands; raises :class:`RoadsteadError`, but not for one that the file does not name.

        Its plugin may be gone with it, and nobody but the file could be to blame.
        """
        backend: Backend
        try:
            backend = open_backend(spec, self._host, self.identity.current, self.state)
        except RoadsteadError as error:
            if spec.name not in self._vacated:
                raise
            backend = AwayBackend(spec.name, str(error))
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


def _same_store(one: ClusterSpec | None, other: ClusterSpec | None) -> bool:
    """Return whether two leases are the same one."""
    if one is None or other is None:
        return one is other
    return (one.name, one.backend, one.options) == (other.name, other.backend, other.options)


def _is_confirmed(fleet: Fleet) -> bool:
    """Return whether taking something out of the file is already the order to take it down."""
    return fleet.daemon.on_removal is OnChange.APPLY
