"""What a cluster was asked for and has yet to make or to place, its words for that, and what there is for it.

A native cluster's own scheduler has to find a node, which takes a while, or never succeeds. Any cluster may have a
quota of its own that nobody can read beforehand: then it makes no replica, or refuses to run it where we put it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from roadstead.decide.case import Case
from roadstead.decide.rooms import is_directed
from roadstead.errors import OutOfCapacity
from roadstead.holdings import Use
from roadstead.memory import place
from roadstead.model import Quota, Template
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.world import NOBODY, Group, Member, Snapshot

__all__ = ["NOTHING", "Left", "Outstanding", "no_place", "outstanding", "promised"]


@attrs.frozen
class Outstanding:
    """How many replicas a cluster was asked to make or to place, in vain so far, and its words for it, if any."""

    count: int
    why: str


NOTHING = Outstanding(0, "")


def promised(snapshot: Snapshot | None, group: Group) -> int:
    """Return how many replicas a group lacks that its cluster is to make: it heals it, or says why they are not there.

    What nobody makes by himself, and nobody speaks of, is asked for again.
    """
    lacking = group.target - group.standing
    if lacking <= 0 or snapshot is None:
        return 0
    heals = snapshot.capabilities.heals_alone and not is_directed(snapshot)
    return lacking if heals or group.reason is not None else 0


def outstanding(case: Case, cluster: str, revision: str | None = None) -> Outstanding:
    """Return what the groups of a deployment on ``cluster``, or that of one revision there, still wait for."""
    snapshot = case.world.clusters[cluster].snapshot
    words: list[str] = []
    for where, group in case.shard.groups:
        if snapshot is None or where != cluster or revision not in (None, group.key.revision):
            continue
        unmade = promised(snapshot, group)
        if unmade:
            words.extend([_words(group.reason)] * unmade)
        crew = case.shard.crews.get((cluster, group.key.revision), NOBODY)
        if crew.slots:
            words.extend(_of_slots(case, crew.slots, directed=is_directed(snapshot)))
    return Outstanding(len(words), next(filter(None, words), "")) if words else NOTHING


def _of_slots(case: Case, slots: Iterable[Member], *, directed: bool) -> Iterator[str]:
    """Yield what is said of each slot; where our placement picks the node, of those alone that it has no room for.

    Where it fails to carry an order out, that says nothing about room.
    """
    for member in slots:
        refused = case.memory.back_off.get(place(member.cluster, member.replica.id))
        if not directed:
            yield _words(member.replica.reason)
        elif refused is not None and refused.code == OutOfCapacity.code:
            yield refused.text


def _words(reason: Reason | None) -> str:
    return (reason.raw or reason.detail) if reason is not None else ""


def no_place(cluster: str, template: Template, why: str = "") -> Reason:
    """Return the reason why nothing more is asked of a cluster that found no place in time; ``why`` are its words."""
    return Reason(
        code=ReasonCode.NO_CAPACITY,
        detail=f"{cluster} found no place for one more within {template.health.start_within}",
        raw=why,
        change=Change(ChangeKind.ADD_NODE, f"make room on {cluster}, or name another cluster"),
    )


@attrs.frozen
class Left:
    """What there is of a cluster for a deployment: what others leave ``free``, and what its own ``quota`` is."""

    free: Use
    quota: Quota | None

    def is_more_than(self, free: Use, quota: Quota | None) -> bool:
        """Return whether there is more of anything than there was; no quota at all limits nothing."""
        if self.free.cpu > free.cpu or self.free.memory > free.memory or self.free.gpu > free.gpu:
            return True
        now, then = self.quota or Quota(), quota or Quota()
        return (
            (then.cpu is not None and (now.cpu is None or now.cpu > then.cpu))
            or (then.memory is not None and (now.memory is None or now.memory > then.memory))
            or (then.gpu is not None and (now.gpu is None or now.gpu > then.gpu))
        )
