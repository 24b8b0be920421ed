"""How many files Envoy may watch: each takes one of the few inotify instances that the kernel gives to a user.

Envoy ends itself when it cannot have one. So no more is asked of it than there is room for, and whoever is left out is
told what to change.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection

from roadstead_plugins.gateways.envoy.offer import Offer
from roadstead_plugins.gateways.envoy.translate import eds_name, rds_name

__all__ = ["LEFT_OUT", "free_instances", "left_out"]

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


def left_out(offer: Offer, there: Collection[str], room: int) -> frozenset[str]:
    """Return the deployments for whose files there is no room; pure.

    ``there`` are the files that Envoy watches already, ``room`` is how many more it can. Who has all of its files is
    never left out.
    """
    out = set()
    for deployment, clusters in sorted(
        offer.clusters.items(), key=lambda item: (rds_name(item[0]) not in there, item[0])
    ):
        files = [rds_name(deployment), *(eds_name(cluster.name) for cluster in clusters)]
        more = sum(name not in there for name in files)
        if more > room:
            out.add(deployment)
        else:
            room -= more
    return frozenset(out)
