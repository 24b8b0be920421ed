"""Observing: what every cluster, server, gateway and meter says now, put together as one world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, compress
from operator import is_not
from types import MappingProxyType

import attrs

from roadstead.act.clock import Clock
from roadstead.act.cluster import Cluster
from roadstead.act.gateways import Gateways
from roadstead.act.load_reader import NO_LOADS, Loads
from roadstead.act.prober import Probes
from roadstead.act.probing import Asked
from roadstead.assembly import assemble
from roadstead.model import ClusterSpec, ClusterState, Reach
from roadstead.spi.runtime import Server
from roadstead.traffic import NO_DATA_PATH, DataPath
from roadstead.units import Duration
from roadstead.world import ClusterView, Group, ModelState, Outcome, Phase, Usage, World

__all__ = ["PATIENCE", "Observer"]

PATIENCE = Duration(5_000)
"""How long a turn waits for the slowest cluster.

One that was not waited for is asked no second time until it has answered.
"""


class Observer:
    """Looks at all clusters at once; the world that it returns shares with the last one what did not change."""

    def __init__(
        self, probes: Probes, clock: Clock, patience: Duration = PATIENCE, *, gateways: Gateways | None = None
    ) -> None:
        self._probes = probes
        self._loads = NO_LOADS
        self._gateways = gateways
        self._clock = clock
        self._patience = patience
        self._clusters: Mapping[str, Cluster] = MappingProxyType({})
        self._late: set[str] = set()
        self._world: World | None = None
        self._followed: Mapping[str, _Followed] = MappingProxyType({})
        self._usage = _Merged()

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters that are looked at, by name."""
        return self._clusters

    def measure(self, loads: Loads) -> None:
        """Have servers read by ``loads`` for what they count of their own load, from now on."""
        self._loads = loads
        self._read_loads()

    def attend(self, clusters: Mapping[str, Cluster]) -> None:
        """Look at exactly these clusters from now on."""
        self._clusters = MappingProxyType(dict(clusters))
        self._late &= clusters.keys()

    def look(self, outcomes: tuple[Outcome, ...] = ()) -> World:
        """Return what everything looks like now; ``outcomes`` are of steps that no plan has counted yet."""
        views = self.views(frozenset(self._clusters))
        self._follow(views)
        if self._world is None:
            # Servers that run already are not unready just because nobody has asked them yet.
            self._probes.settle()
        self._usage = self._usage.now(tuple(cluster.usage for cluster in self._clusters.values()))
        world = assemble(
            self._world,
            views,
            self._probes.states,
            data_path=self.data_path(),
            usage=self._usage.together,
            outcomes=outcomes,
        )
        self._world = attrs.evolve(world, server_loads=self._loads.readings)
        return self._world

    def views(self, names: frozenset[str], *, anew: bool = False) -> Mapping[str, ClusterView]:
        """Return a view of each of these clusters, all asked at once; a name that is not looked at has none.

        With ``anew`` no view is older than this call; else one that came too late for the last look counts.
        """
        asked = [(cluster, cluster.observe(anew=anew)) for name, cluster in self._clusters.items() if name in names]
        deadline = self._clock.monotonic() + self._patience.seconds
        views: dict[str, ClusterView] = {}
        for cluster, future in asked:
            # Whoever kept a whole turn waiting does not do so again before it has answered once.
            wait = 0.0 if cluster.name in self._late and not anew else max(0.0, deadline - self._clock.monotonic())
            views[cluster.name] = cluster.view(future, wait)
            (self._late.discard if future.done() else self._late.add)(cluster.name)
        return MappingProxyType(views)

    def data_path(self, *, anew: bool = False) -> DataPath:
        """Return what the gateways last showed; with ``anew``, what they show now."""
        return self._gateways.data_path(anew=anew) if self._gateways is not None else NO_DATA_PATH

    def models(self) -> Mapping[str, ModelState]:
        """Return the newest word about each model, without asking anybody."""
        return self._probes.states

    def close(self) -> None:
        """Stop asking servers; the clusters are closed by whoever opened them."""
        self._probes.close()
        self._loads.close()

    def _follow(self, views: Mapping[str, ClusterView]) -> None:
        """Have the servers asked whose word counts, where these are not the ones that are asked already."""
        before = self._followed
        self._followed = {
            name: _followed(before.get(name), self._clusters[name].spec, view) for name, view in views.items()
        }
        if before.keys() != self._followed.keys() or any(
            before[name] is not now for name, now in self._followed.items()
        ):
            self._probes.follow(_all_of(tuple(self._followed.values())))
            self._read_loads()

    def _read_loads(self) -> None:
        followed = tuple(self._followed.values())
        self._loads.follow(lambda: _all_of(followed))


@attrs.frozen
class _Followed:
    """The servers of one cluster whose word counts, by the position of their group; a group may have none."""

    spec: ClusterSpec
    groups: tuple[Group, ...]
    servers: Mapping[int, tuple[Asked, ...]]


def _all_of(followed: tuple[_Followed, ...]) -> Iterator[Asked]:
    return chain.from_iterable(servers for one in followed for servers in one.servers.values())


def _followed(before: _Followed | None, spec: ClusterSpec, view: ClusterView) -> _Followed:
    """Return the servers of one cluster, looking only at groups that changed; the same object where none did."""
    silent = view.snapshot is None or spec.reach is Reach.NONE or spec.state is ClusterState.DISABLED
    groups = view.snapshot.groups if view.snapshot is not None and not silent else ()
    if before is None or before.spec is not spec or len(before.groups) != len(groups):
        return _Followed(spec, groups, {at: found for at, group in enumerate(groups) if (found := _servers(group))})
    changed = tuple(compress(range(len(groups)), map(is_not, before.groups, groups)))
    if not changed:
        return before
    servers = dict(before.servers)
    for at in changed:
        servers[at] = _servers(groups[at])
    return _Followed(spec, groups, servers)


def _servers(group: Group) -> tuple[Asked, ...]:
    """Return the servers of a group that run, can be reached, and whose cluster has no word of its own about them."""
    return tuple(
        Asked(replica.id, Server(endpoint=replica.endpoint, template=group.template, incarnation=replica.incarnation))
        for replica in group.replicas
        if replica.phase is Phase.RUNNING and replica.ready is None and replica.endpoint is not None
    )


@attrs.frozen
class _Merged:
    """What all clusters measured, put together once for each time that one of them measures."""

    parts: tuple[Mapping[str, Usage], ...] = ()
    together: Mapping[str, Usage] = MappingProxyType({})

    def now(self, parts: tuple[Mapping[str, Usage], ...]) -> _Merged:
        """Return what these parts make; the same object where they are the same objects."""
        if len(parts) == len(self.parts) and not any(map(is_not, parts, self.parts)):
            return self
        return _Merged(parts, MappingProxyType({name: usage for part in parts for name, usage in part.items()}))
