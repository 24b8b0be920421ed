"""Observing: what every cluster, every server and every meter says now, put together as one world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from roadstead.act.clock import Clock
from roadstead.act.cluster import Cluster
from roadstead.act.prober import Probes
from roadstead.act.probing import Asked
from roadstead.assembly import assemble
from roadstead.model import ClusterState, Reach
from roadstead.spi.runtime import Server
from roadstead.units import Duration
from roadstead.world import ClusterView, ModelState, Outcome, Phase, Usage, World

__all__ = ["PATIENCE", "Observer"]

PATIENCE = Duration(5_000)
"""How long a turn waits for the slowest cluster.

One that was not waited for is asked no second time until it has answered.
"""


class Observer:
    """Looks at all clusters at once; the world that it returns shares with the last one what did not change."""

    def __init__(self, probes: Probes, clock: Clock, patience: Duration = PATIENCE) -> None:
        self._probes = probes
        self._clock = clock
        self._patience = patience
        self._clusters: Mapping[str, Cluster] = MappingProxyType({})
        self._late: set[str] = set()
        self._world: World | None = None
        self._asked: dict[tuple[str, str], Asked] = {}

    @property
    def clusters(self) -> Mapping[str, Cluster]:
        """The clusters that are looked at, by name."""
        return self._clusters

    def attend(self, clusters: Mapping[str, Cluster]) -> None:
        """Look at exactly these clusters from now on."""
        self._clusters = MappingProxyType(dict(clusters))
        self._late &= clusters.keys()

    def look(self, outcomes: tuple[Outcome, ...] = ()) -> World:
        """Return what everything looks like now; ``outcomes`` are of steps that no plan has counted yet."""
        views = self.views(frozenset(self._clusters))
        self._probes.follow(self._servers(views))
        if self._world is None:
            # Servers that run already are not unready just because nobody has asked them yet.
            self._probes.settle()
        self._world = assemble(
            self._world, views, self._probes.states, usage=_merged(self._clusters), outcomes=outcomes
        )
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

    def models(self) -> Mapping[str, ModelState]:
        """Return the newest word about each model, without asking anybody."""
        return self._probes.states

    def close(self) -> None:
        """Stop asking servers; the clusters are closed by whoever opened them."""
        self._probes.close()

    def _servers(self, views: Mapping[str, ClusterView]) -> tuple[Asked, ...]:
        """Return the servers whose word counts: they run, can be reached, and their cluster has no word of its own."""
        old, self._asked = self._asked, {}
        for name, replica_id, server in self._running(views):
            before = old.get((name, replica_id))
            same = before is not None and before.server == server
            self._asked[name, replica_id] = before if same and before is not None else Asked(replica_id, server)
        return tuple(self._asked.values())

    def _running(self, views: Mapping[str, ClusterView]) -> Iterator[tuple[str, str, Server]]:
        for name, view in views.items():
            spec = self._clusters[name].spec
            if view.snapshot is None or spec.reach is Reach.NONE or spec.state is ClusterState.DISABLED:
                continue
            for group in view.snapshot.groups:
                for replica in group.replicas:
                    if replica.phase is Phase.RUNNING and replica.ready is None and replica.endpoint is not None:
                        yield (
                            name,
                            replica.id,
                            Server(endpoint=replica.endpoint, template=group.template, incarnation=replica.incarnation),
                        )


def _merged(clusters: Mapping[str, Cluster]) -> Mapping[str, Usage]:
    return MappingProxyType(
        {replica: usage for cluster in clusters.values() for replica, usage in cluster.usage.items()}
    )
