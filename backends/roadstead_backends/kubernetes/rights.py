"""What we must be allowed in a cluster, and what is lost without it: pure, the shipped roles say the same.

Three profiles, each with all that stands before it. *Native*: one namespace, whose nodes the cluster's own scheduler
picks. *Capacity*: nodes and everybody's pods are read, so that room can be counted before anything is asked for.
*Directed*: our placement picks nodes. *Adoption* is beside them: only for taking over what others made.

Never among them: Secrets, ``exec``, ``attach``, ``bind``, ``escalate``, ``impersonate``, and anything by a wildcard.
Nor ``nodes/proxy``, by which the kubelets' own measurements could be read: it is also a way into every container.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Final

import attrs

__all__ = ["ADOPTION", "RIGHTS", "Profile", "Right", "rights_for"]


@enum.unique
class Profile(enum.IntEnum):
    """How much of a cluster we are shown and let do; each includes those before it."""

    NATIVE = 0
    CAPACITY = 1
    DIRECTED = 2


@attrs.frozen(kw_only=True)
class Right:
    """One verb on one kind of objects; ``resource`` may have a subresource, as in ``pods/eviction``.

    ``without`` says what is lost without it. ``everywhere``: in all namespaces, or of a kind that is in none.
    ``named``: only for objects of our own name.
    """

    profile: Profile
    group: str
    resource: str
    verb: str
    without: str
    everywhere: bool = False
    named: bool = False

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {kind}{' everywhere' if self.everywhere else ''}"


def _each(profile: Profile, what: str, verbs: str, without: str, *, everywhere: bool = False) -> Iterator[Right]:
    resource, _, group = what.partition(" ")
    for verb in verbs.split():
        yield Right(profile=profile, group=group, resource=resource, verb=verb, without=without, everywhere=everywhere)


def _native() -> Iterator[Right]:
    for verbs, without in (
        ("list watch", "nothing is known of the cluster"),
        ("get", "a group that changes while we change it cannot be looked at again, and drift is not seen"),
        ("create patch delete", "no group can be made, scaled or removed"),
    ):
        yield from _each(Profile.NATIVE, "replicasets apps", verbs, without)
    for verbs, without in (
        ("list watch", "no replica is seen"),
        ("get", "it cannot be told whether a pod has what others changed"),
        ("patch", "which replica is given up first is chance"),
        ("delete", "what has ended is not removed, and a stop takes all of the pod's own grace"),
    ):
        yield from _each(Profile.NATIVE, "pods", verbs, without)
    yield from _each(Profile.NATIVE, "pods/eviction", "create", "no replica can be taken away by itself")
    yield from _each(Profile.NATIVE, "pods/log", "get", "what a server prints cannot be read")
    yield from _each(Profile.NATIVE, "pods metrics.k8s.io", "list", "what replicas use is not known")
    for kind in ("services", "poddisruptionbudgets policy"):
        yield from _each(Profile.NATIVE, kind, "list watch", "nothing is known of the cluster")
        yield from _each(Profile.NATIVE, kind, "create patch delete", "a deployment has no address, or no protection")
    for kind, without in (
        ("events", "why a pod waits is told without the scheduler's words"),
        ("resourcequotas", "the namespace's own quota shows only when it refuses something"),
        ("limitranges", "what each replica may have shows only when it is refused"),
        ("horizontalpodautoscalers autoscaling", "somebody else's autoscaler is fought over the count"),
        ("verticalpodautoscalers autoscaling.k8s.io", "somebody else's vertical autoscaler is not seen"),
    ):
        yield from _each(Profile.NATIVE, kind, "list watch", without)


def _lease() -> Iterator[Right]:
    for verb in ("create", "get", "update"):
        yield Right(
            profile=Profile.NATIVE,
            group="coordination.k8s.io",
            resource="leases",
            verb=verb,
            without="`daemon.lease` cannot be kept there",
            named=verb != "create",  # what is not there yet has no name to compare
        )


def _beyond() -> Iterator[Right]:
    yield from _each(
        Profile.CAPACITY, "nodes", "list watch", "whether something fits is found out by asking for it", everywhere=True
    )
    yield from _each(Profile.CAPACITY, "pods", "list watch", "what others hold of nodes is not known", everywhere=True)
    yield from _each(Profile.DIRECTED, "pods/binding", "create", "no pod can be put on a node")
    without = "a volume that waits for the cluster's own scheduler is not refused, and its pods never start"
    yield from _each(Profile.DIRECTED, "persistentvolumeclaims", "list watch", without)
    yield from _each(Profile.DIRECTED, "storageclasses storage.k8s.io", "list watch", without, everywhere=True)


RIGHTS: Final[tuple[Right, ...]] = (*_native(), *_lease(), *_beyond())
"""Everything that one of the profiles allows."""

ADOPTION: Final[tuple[Right, ...]] = tuple(
    _each(Profile.NATIVE, "deployments apps", "get list delete", "Deployments of others cannot be imported or adopted")
)
"""What taking over others' Deployments needs besides."""


def rights_for(profile: Profile) -> tuple[Right, ...]:
    """Return all that a profile allows.

    >>> [str(right) for right in rights_for(Profile.CAPACITY) if right not in rights_for(Profile.NATIVE)]
    ['list nodes everywhere', 'watch nodes everywhere', 'list pods everywhere', 'watch pods everywhere']
    """
    return tuple(right for right in RIGHTS if right.profile <= profile)
