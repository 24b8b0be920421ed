"""From what Envoy shows and what it was offered to who gets requests; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import attrs

from roadstead.traffic import Endpoint, Passage
from roadstead_plugins.gateways.envoy.layout import Cluster, Protocol, deployment_of, port_of, protocol_of
from roadstead_plugins.gateways.envoy.offer import Offer
from roadstead_plugins.gateways.envoy.readings import Host
from roadstead_plugins.gateways.envoy.stages import Progress, is_taken
from roadstead_plugins.gateways.envoy.translate import File, eds_name, listed_in

__all__ = ["Sight", "passages"]


@attrs.frozen(kw_only=True)
class Sight:
    """All that tells who gets requests.

    ``files`` is what is on disk now, ``progress`` how far Envoy was when it showed ``hosts`` (by cluster). ``routed``
    are the clusters that the routes in force lead to.
    """

    offer: Offer
    files: Mapping[str, File]
    progress: Progress
    hosts: Mapping[str, tuple[Host, ...]]
    routed: Collection[str]


def passages(sight: Sight) -> Mapping[str, Mapping[Endpoint, Passage]]:
    """Return how requests get to each endpoint, for every deployment that the gateway has, or may have, to do with."""
    offered = {cluster.name: cluster for clusters in sight.offer.clusters.values() for cluster in clusters}
    former = {one.cluster.name for one in sight.offer.former}
    parts: dict[str, dict[Endpoint, list[_Part]]] = {name: {} for name in sight.offer.routes}
    for name in sorted({*offered, *former, *sight.hosts}):
        of_deployment = parts.setdefault(deployment_of(name), {})
        for part in _parts(sight, name, offered.get(name)):
            of_deployment.setdefault(part.endpoint, []).append(part)
    return {
        deployment: {
            endpoint: _passage(endpoint, parts_) for endpoint, parts_ in sorted(found.items(), key=_by_address)
        }
        for deployment, found in sorted(parts.items())
    }


@attrs.frozen(kw_only=True)
class _Part:
    """One endpoint in one cluster."""

    endpoint: Endpoint
    protocol: Protocol
    listed: bool
    serving: bool
    idle: bool


def _passage(endpoint: Endpoint, parts: Collection[_Part]) -> Passage:
    spoken = {protocol for protocol in Protocol if port_of(endpoint, protocol) is not None}
    return Passage(
        listed=any(part.listed for part in parts),
        serving=spoken <= {part.protocol for part in parts if part.serving},
        idle=all(part.idle for part in parts),
    )


def _parts(sight: Sight, name: str, offered: Cluster | None) -> Iterator[_Part]:
    """Yield the endpoints that a cluster has, or may have, by what is shown, what is on disk, and what was offered."""
    file = sight.files.get(eds_name(name))
    wanted = {one.endpoint: not one.draining for one in offered.destinations} if offered is not None else {}
    shown = {host.endpoint: host for host in sight.hosts.get(name, ())}
    is_coming = file is not None and not is_taken(file, sight.progress.in_force)
    coming = listed_in(file) if file is not None and is_coming else frozenset()
    # A cluster that is neither on disk nor shown was never there, or is gone.
    quiet = is_taken(file, sight.progress.quiet) or (file is None and name not in sight.hosts)
    for endpoint in {*shown, *wanted, *coming}:
        host = shown.get(endpoint)
        in_force = host is not None and not host.draining
        listed = in_force or endpoint in coming or wanted.get(endpoint, False)
        yield _Part(
            endpoint=endpoint,
            protocol=protocol_of(name),
            listed=listed,
            serving=host is not None and not host.draining and host.healthy and name in sight.routed,
            idle=not listed and quiet and (host is None or host.in_flight == 0),
        )


def _by_address(item: tuple[Endpoint, object]) -> tuple[str, int, int]:
    endpoint, _ = item
    return endpoint.host, endpoint.grpc or 0, endpoint.rest or 0
