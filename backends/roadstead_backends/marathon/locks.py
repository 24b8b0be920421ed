"""Changes of apps that Marathon is changing already: it locks what a deployment affects, and no deployment gives up.

A lock is broken only where every deployment that holds it affects nothing but apps of ours: what is cancelled so is not
rolled back, and what others wanted would be lost. A deployment that somebody starts between the look and the forced
change may be cancelled all the same: Marathon cannot be asked to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.faults import Locked
from roadstead_backends.marathon.messages import Deployment

__all__ = ["Locks", "are_ours"]

T = TypeVar("T")


class Locks:
    """Makes changes, by force where only our own are in the way."""

    def __init__(self, client: Client, is_ours: Callable[[str], bool]) -> None:
        self._client = client
        self._is_ours = is_ours

    def insist(self, change: Callable[[bool], T]) -> T:
        """Make a change, which is told whether to use force; raises :class:`Locked` where it may not."""
        try:
            return change(False)  # noqa: FBT003  # its only argument
        except Locked as locked:
            running = {one.id: one for one in self._client.deployments()}
            holding = [running[one] for one in locked.deployments if one in running]
            if locked.deployments and are_ours(holding, self._is_ours):
                return change(bool(holding))
            raise


def are_ours(deployments: Iterable[Deployment], is_ours: Callable[[str], bool]) -> bool:
    """Return whether all that these deployments affect are apps of ours."""
    return all(not one.affected_pods and all(map(is_ours, one.affected_apps)) for one in deployments)
