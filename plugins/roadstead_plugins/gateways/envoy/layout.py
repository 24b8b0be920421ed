"""Which Envoy clusters a route needs, and how its requests are shared among them; pure.

Envoy asks all hosts of a cluster the same question to see whether they are healthy, and speaks one protocol to them. So
the replicas of a route stand in one cluster for each protocol and each distinct check. Usually that is two clusters.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable

import attrs

from roadstead.spi.gateway import Destination, Route
from roadstead.spi.runtime import Check
from roadstead.traffic import Endpoint

__all__ = ["Cluster", "Protocol", "cluster_name", "clusters_of", "deployment_of", "port_of", "protocol_of", "shares"]

_SEPARATOR = "_"  # a deployment's name is a DNS label: it has none


@enum.unique
class Protocol(enum.Enum):
    """What is spoken to a replica; the value is part of names."""

    GRPC = "grpc"
    REST = "rest"


@attrs.frozen(kw_only=True)
class Cluster:
    """The replicas of one deployment that speak ``protocol`` and are asked ``check``.

    ``check`` is ``None`` where nothing can be asked over REST: the port only has to accept connections.
    """

    deployment: str
    protocol: Protocol
    check: Check | None
    destinations: tuple[Destination, ...]

    @property
    def name(self) -> str:
        """The cluster's name in Envoy; another check makes another cluster."""
        return cluster_name(self.deployment, self.protocol, self.check)

    @property
    def listed(self) -> int:
        """How many of its replicas may get new requests."""
        return sum(not destination.draining for destination in self.destinations)


def port_of(endpoint: Endpoint, protocol: Protocol) -> int | None:
    """Return the port of an endpoint for a protocol, or ``None`` where it does not speak it."""
    return endpoint.grpc if protocol is Protocol.GRPC else endpoint.rest


def cluster_name(deployment: str, protocol: Protocol, check: Check | None) -> str:
    """Return a name that says what a cluster is for.

    >>> cluster_name("minilm", Protocol.REST, None)
    'minilm_rest_tcp'
    >>> cluster_name("minilm", Protocol.GRPC, Check("/v1/models/minilm", "AVAILABLE"))
    'minilm_grpc_32e54c6b'
    """
    asked = "tcp" if check is None else hashlib.sha256(f"{check.path}\n{check.expects}".encode()).hexdigest()[:8]
    return _SEPARATOR.join((deployment, protocol.value, asked))


def deployment_of(cluster: str) -> str:
    """Return whose a cluster is.

    >>> deployment_of("minilm_grpc_tcp")
    'minilm'
    """
    return cluster.partition(_SEPARATOR)[0]


def protocol_of(cluster: str) -> Protocol:
    """Return what is spoken to the hosts of a cluster.

    >>> protocol_of("minilm_grpc_tcp").value
    'grpc'
    """
    return Protocol(cluster.split(_SEPARATOR)[1])


def clusters_of(route: Route) -> tuple[Cluster, ...]:
    """Return the clusters of a route, ordered by name; at least one for each protocol, if an empty one."""
    found: dict[tuple[Protocol, Check | None], list[Destination]] = {}
    for protocol in Protocol:
        for destination in route.destinations:
            if port_of(destination.endpoint, protocol) is not None:
                check = destination.check if destination.endpoint.rest is not None else None
                found.setdefault((protocol, check), []).append(destination)
        if not any(spoken is protocol for spoken, _ in found):
            found[protocol, None] = []
    clusters = (
        Cluster(deployment=route.deployment, protocol=protocol, check=check, destinations=tuple(destinations))
        for (protocol, check), destinations in found.items()
    )
    return tuple(sorted(clusters, key=lambda cluster: cluster.name))


def shares(clusters: Iterable[Cluster], protocol: Protocol) -> tuple[tuple[str, int], ...]:
    """Return the clusters that requests of a protocol go to, each with its weight, which is never 0.

    A cluster's weight is its number of listed replicas, so that each of them gets its part. Where nobody is listed one
    cluster is named all the same: its answer says that there is no replica.
    """
    spoken = [cluster for cluster in clusters if cluster.protocol is protocol]
    listed = tuple((cluster.name, cluster.listed) for cluster in spoken if cluster.listed)
    return listed or ((spoken[0].name, 1),)
