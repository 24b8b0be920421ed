"""Whether a place has more replicas of a deployment than its cap of spread allows, over all revisions. Pure.

Marathon counts within one app, which is one revision. So while two are side by side it may put as many of each into a
place, and leaves those that stand there where they are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from roadstead.model import Spread
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead_backends.marathon.messages import Task
from roadstead_backends.marathon.reading import is_active
from roadstead_backends.marathon.view import Known

__all__ = ["crowded"]

Place = Callable[[Task, str], str]
"""Returns what an attribute is on a task's agent; empty where that is not known."""


def crowded(apps: Mapping[str, Known], place: Place) -> Mapping[str, Reason]:
    """Return why apps share a place with other revisions of their deployment, by id; those not named do not."""
    by_deployment: defaultdict[str, list[Known]] = defaultdict(list)
    for known in apps.values():
        spread = known.stored.template.placement.spread
        if spread is not None and spread.max_per is not None and known.app.tasks:
            by_deployment[known.stored.key.deployment].append(known)
    several = (revisions for revisions in by_deployment.values() if len(revisions) > 1)
    return dict(one for revisions in several for one in _crowded(revisions, place))


def _crowded(revisions: Iterable[Known], place: Place) -> Iterator[tuple[str, Reason]]:
    """Yield those of one deployment's apps that keep to their own cap, in a place that has too many of all."""
    revisions = tuple(revisions)
    for known in revisions:
        spread = known.stored.template.placement.spread
        if spread is None or spread.max_per is None:
            continue
        counts = Counter(where for other in revisions for where in _places(other, spread, place))
        mine = frozenset(_places(known, spread, place))
        full = sorted(where for where, count in counts.items() if where in mine and count > spread.max_per)
        if full:
            yield known.app.id, _reason(spread, {where: counts[where] for where in full})


def _places(known: Known, spread: Spread, place: Place) -> Iterator[str]:
    return (where for task in known.app.tasks or () if is_active(task) and (where := place(task, spread.by)))


def _reason(spread: Spread, counts: Mapping[str, int]) -> Reason:
    said = ", ".join(f"{count} on {where}" for where, count in counts.items())
    detail = (
        f"at most {spread.max_per} for each {spread.by} are allowed, and with other revisions there are {said}: "
        "Marathon counts within each revision"
    )
    text = "wait until the other revisions are gone; to have it held meanwhile, roll with max_surge: 0"
    return Reason(code=ReasonCode.UNSUPPORTED, detail=detail, change=Change(ChangeKind.WAIT, text))
