"""Which files may be written now so that no request falls between two of them; pure.

Envoy takes each file by itself, in no order that one could rely on. Mostly that is all the same: a change of endpoints
is one file. But where requests move from one cluster to another (replicas that are asked another check), the new
cluster has to be there before the routes name it, and the old one must not be emptied before they have stopped naming
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from types import MappingProxyType

import attrs

from roadstead.spi.gateway import Route
from roadstead_plugins.gateways.envoy.layout import Cluster, Protocol, shares
from roadstead_plugins.gateways.envoy.offer import Offer
from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.translate import (
    File,
    clusters_file,
    clusters_named,
    eds_name,
    endpoints_file,
    listed_in,
    listeners_file,
    rds_name,
    routes_file,
    secrets_file,
)

__all__ = ["Progress", "drained", "files_wanted", "is_taken", "may_be_written"]


@attrs.frozen(kw_only=True)
class Progress:
    """How far Envoy was when it was last looked at.

    ``in_force`` has the version of each file that it has taken, ``quiet`` that of each that it took so long ago that
    every worker follows it; what was written since is in neither. ``ready`` are the clusters that requests can be sent
    to.
    """

    in_force: Mapping[str, str] = MappingProxyType({})
    quiet: Mapping[str, str] = MappingProxyType({})
    ready: Set[str] = frozenset()


def files_wanted(offer: Offer, settings: Settings) -> tuple[File, ...]:
    """Return all files that an offer comes to, in the order in which they should be written.

    Whatever a file names stands before it.
    """
    standing = [cluster for clusters in offer.clusters.values() for cluster in clusters]
    clusters = [*standing, *(_emptied(one.cluster) for one in offer.former)]
    return (
        *([secrets_file(settings)] if settings.tls is not None else []),
        *(endpoints_file(cluster) for cluster in clusters),
        clusters_file(clusters, settings),
        *(routes_file(name, clusters) for name, clusters in offer.clusters.items()),
        listeners_file(offer.routes, settings),
    )


def may_be_written(
    offer: Offer, files: Collection[File], disk: Mapping[str, File], progress: Progress
) -> Iterator[File]:
    """Yield the files that differ from what is on disk, but for those that have to wait for others to be in force."""
    held = set(_held(offer, disk, progress))
    for file in files:
        there = disk.get(file.name)
        if there is None or (there.version != file.version and file.name not in held):
            yield file


def drained(offer: Offer, disk: Mapping[str, File], progress: Progress, busy: Collection[str]) -> frozenset[str]:
    """Return the former clusters that can go: nobody is sent there, and nothing is in flight (not in ``busy``)."""
    return frozenset(
        one.cluster.name
        for one in offer.former
        if one.cluster.name not in busy
        and is_taken(disk.get(eds_name(one.cluster.name)), progress.quiet)
        and not _may_be_named(one.cluster, offer.routes, disk, progress)
    )


def _held(offer: Offer, disk: Mapping[str, File], progress: Progress) -> Iterator[str]:
    for name, clusters in offer.clusters.items():
        named = _named_by(clusters)
        leads = all(_is_there(cluster, disk, progress) for cluster in clusters if cluster.name in named)
        if not leads and _serves_now(disk.get(rds_name(name)), disk):
            yield rds_name(name)
        for cluster in clusters:
            if cluster.name not in named and _may_be_named(cluster, offer.routes, disk, progress):
                yield eds_name(cluster.name)
    for one in offer.former:
        if _may_be_named(one.cluster, offer.routes, disk, progress):
            yield eds_name(one.cluster.name)


def _is_there(cluster: Cluster, disk: Mapping[str, File], progress: Progress) -> bool:
    """Tell whether Envoy has a cluster, and in it somebody who gets requests, if anybody ever shall."""
    if cluster.name not in progress.ready:
        return False
    endpoints = disk.get(eds_name(cluster.name))
    serves = endpoints is not None and is_taken(endpoints, progress.in_force) and bool(listed_in(endpoints))
    return serves or not cluster.listed


def _serves_now(routes: File | None, disk: Mapping[str, File]) -> bool:
    """Tell whether the routes on disk lead to anybody."""
    if routes is None:
        return False
    files = (disk.get(eds_name(name)) for name in clusters_named(routes))
    return any(file is not None and listed_in(file) for file in files)


def _may_be_named(cluster: Cluster, routes: Mapping[str, Route], disk: Mapping[str, File], progress: Progress) -> bool:
    """Tell whether requests of a route that stays may still be sent to a cluster."""
    if cluster.deployment not in routes:
        return False
    file = disk.get(rds_name(cluster.deployment))
    return file is None or not is_taken(file, progress.in_force) or cluster.name in clusters_named(file)


def is_taken(file: File | None, versions: Mapping[str, str]) -> bool:
    """Tell whether a file that is on disk is the one that Envoy has, by versions that it showed."""
    return file is not None and versions.get(file.name) == file.version


def _named_by(clusters: Collection[Cluster]) -> set[str]:
    return {name for protocol in Protocol for name, _ in shares(clusters, protocol)}


def _emptied(cluster: Cluster) -> Cluster:
    """Return a cluster to which nobody is sent any more."""
    return attrs.evolve(cluster, destinations=tuple(attrs.evolve(one, draining=True) for one in cluster.destinations))
