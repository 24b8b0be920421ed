"""How many files Envoy may watch: each takes one of the few inotify instances that the kernel gives to a user.

Envoy ends itself when it cannot have one. So no more is asked of it than there is room for, and whoever is left out is
told what to change.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Set

from roadstead_plugins.gateways.envoy.layout import Cluster
from roadstead_plugins.gateways.envoy.offer import Offer
from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.translate import CDS, LDS, RENEWAL, SDS, eds_name, rds_name

__all__ = ["LEFT_OUT", "free_instances", "left_out", "watches"]

LEFT_OUT = (
    "the kernel gives this user too few inotify instances for the files of so many deployments; "
    "raise them: sysctl fs.inotify.max_user_instances=8192"
)
_LIBC = ctypes.CDLL(None, use_errno=True)


def free_instances(most: int) -> int:
    """Return how many inotify instances this user can still have, at most ``most``: they are taken and given back."""
    taken: list[int] = []
    try:
        while len(taken) < most:
            descriptor = _LIBC.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                break
            taken.append(descriptor)
        return len(taken)
    finally:
        for descriptor in taken:
            os.close(descriptor)


def watches(offer: Offer, settings: Settings) -> frozenset[str]:
    """Return the files that Envoy watches for an offer; pure."""
    own = {name for deployment, clusters in offer.clusters.items() for name in _own(deployment, clusters)}
    former = {eds_name(one.cluster.name) for one in offer.former}
    return frozenset(own | former | _common(settings))


def left_out(offer: Offer, settings: Settings, there: Set[str], room: int) -> frozenset[str]:
    """Return the deployments for whose files there is no room; pure.

    ``there`` are the files that Envoy watches already, ``room`` is how many more it can. Who has all of its files is
    never left out, and comes before who has none.
    """
    room -= len((_common(settings) | {eds_name(one.cluster.name) for one in offer.former}) - there)
    out = set()
    for deployment in sorted(offer.clusters, key=lambda name: (rds_name(name) not in there, name)):
        more = len(_own(deployment, offer.clusters[deployment]) - there)
        if more and more > room:
            out.add(deployment)
        else:
            room -= more
    return frozenset(out)


def _own(deployment: str, clusters: Iterable[Cluster]) -> set[str]:
    return {rds_name(deployment), *(eds_name(cluster.name) for cluster in clusters)}


def _common(settings: Settings) -> set[str]:
    return {LDS, CDS, SDS, RENEWAL} if settings.tls is not None else {LDS, CDS}
