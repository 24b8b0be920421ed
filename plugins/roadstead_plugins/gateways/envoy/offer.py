"""What a gateway was last offered, and how one offer follows another; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from types import MappingProxyType

import attrs

from roadstead.spi.gateway import Route, RouteTable
from roadstead_plugins.gateways.envoy.layout import Cluster, clusters_of

__all__ = ["NO_OFFER", "Former", "Offer", "next_offer", "without"]


@attrs.frozen
class Former:
    """A cluster that is no part of a route any more, and the port of the route that it was part of last."""

    cluster: Cluster
    port: int


@attrs.frozen
class Offer:
    """The newest route table, and the clusters that were part of an earlier one.

    A former cluster stays until no request can be sent there and none is in flight.
    """

    routes: Mapping[str, Route] = MappingProxyType({})
    former: tuple[Former, ...] = ()

    @cached_property
    def clusters(self) -> Mapping[str, tuple[Cluster, ...]]:
        """The clusters of each route, by deployment."""
        return {name: clusters_of(route) for name, route in sorted(self.routes.items())}

    def port_of(self, deployment: str) -> int:
        """Return where clients connect, or did last; 0 where nobody remembers, because our own record was lost."""
        route = self.routes.get(deployment)
        if route is not None:
            return route.port
        return next((one.port for one in self.former if one.cluster.deployment == deployment), 0)


NO_OFFER = Offer()


def next_offer(previous: Offer, table: RouteTable) -> Offer:
    """Return the offer that follows ``previous`` when ``table`` is to be in force."""
    offer = Offer(table.routes)
    wanted = {cluster.name for clusters in offer.clusters.values() for cluster in clusters}
    before = {
        cluster.name: Former(cluster, previous.routes[name].port)
        for name, clusters in previous.clusters.items()
        for cluster in clusters
    }
    before.update((one.cluster.name, one) for one in previous.former)
    former = tuple(one for name, one in sorted(before.items()) if name not in wanted)
    return attrs.evolve(offer, former=former) if former else offer


def without(offer: Offer, clusters: Collection[str]) -> Offer:
    """Return the offer without these former clusters."""
    kept = tuple(one for one in offer.former if one.cluster.name not in clusters)
    return offer if len(kept) == len(offer.former) else attrs.evolve(offer, former=kept)
