"""What is different between two fleets, and what is left of one that goes down. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

import attrs

from roadstead.act.events import Event, EventKind
from roadstead.model import Fleet
from roadstead.reasons import ReasonCode
from roadstead.world import Reachable, Unreachable, World

__all__ = [
    "Vanished",
    "difference",
    "longest_stop",
    "nearest",
    "news_of_vanished",
    "nothing_wanted",
    "unanswering",
    "vacated",
    "vanished",
]


@attrs.frozen
class Vanished:
    """The names of what is driven although its file does not name it any more."""

    clusters: frozenset[str] = frozenset()
    gateways: frozenset[str] = frozenset()


def vanished(fleet: Fleet, declared: Fleet) -> Vanished:
    """Return what ``fleet`` has and its file, ``declared``, does not name."""
    return Vanished(
        frozenset(fleet.clusters.keys() - declared.clusters.keys()),
        frozenset(fleet.gateways.keys() - declared.gateways.keys()),
    )


def news_of_vanished(before: Vanished, after: Vanished, fleet: Fleet) -> Iterator[Event]:
    """Yield what is to be told of what vanished since ``before``, and of what ``fleet`` drives no more.

    The time of these events is not set.
    """
    for name in sorted(after.clusters - before.clusters):
        text = f"cluster {name} is no longer in the fleet file: what runs there is replaced elsewhere first"
        yield Event(at=0, kind=EventKind.HELD, text=text, subject=name, reason=ReasonCode.DRAINING.value)
    for name in sorted(before.clusters - fleet.clusters.keys()):
        text = f"cluster {name} is driven no more, as the fleet file no longer names it"
        yield Event(at=0, kind=EventKind.RELEASED, text=text, subject=name)
    for name in sorted(after.gateways - before.gateways):
        text = f"gateway {name} is no longer in the fleet file and serves on until `roadstead apply` confirms its end"
        yield Event(at=0, kind=EventKind.HELD, text=text, subject=name, reason=ReasonCode.ORPHANED.value)
    for name in sorted(before.gateways - fleet.gateways.keys()):
        text = f"gateway {name} was taken down, as the fleet file no longer names it"
        yield Event(at=0, kind=EventKind.RELEASED, text=text, subject=name)


def vacated(fleet: Fleet, declared: Fleet, world: World) -> tuple[str, ...]:
    """Return the clusters of ``fleet`` that its file does not name any more and on which nothing of ours runs.

    What does not answer may hold anything.
    """
    return tuple(
        name
        for name in sorted(fleet.clusters.keys() - declared.clusters.keys())
        if isinstance(view := world.clusters.get(name), Reachable)
        and not any(group.living for group in view.snapshot.groups)
    )


def unanswering(fleet: Fleet, declared: Fleet, world: World) -> tuple[str, ...]:
    """Return the clusters of ``fleet`` that its file does not name any more and that do not answer."""
    return tuple(
        name
        for name in sorted(fleet.clusters.keys() - declared.clusters.keys())
        if isinstance(world.clusters.get(name), Unreachable)
    )


def difference(before: Fleet, after: Fleet) -> str:
    """Return in words what a new file brings, changes and no longer has."""
    old, new = before.deployments, after.deployments
    parts = [
        f"{word} {', '.join(sorted(names))}"
        for word, names in (
            ("new:", new.keys() - old.keys()),
            ("changed:", {name for name in new.keys() & old.keys() if new[name] != old[name]}),
            ("no longer declared:", old.keys() - new.keys()),
        )
        if names
    ]
    if (before.clusters, before.quotas, before.daemon) != (after.clusters, after.quotas, after.daemon):
        parts.append("clusters, quotas or daemon settings changed")
    if before.gateways != after.gateways:
        parts.append("gateways changed")
    return "; ".join(parts) or "nothing changed"


def nothing_wanted(fleet: Fleet) -> Fleet:
    """Return ``fleet`` with all that it declares at zero replicas."""
    none = {name: attrs.evolve(one, replicas=0, autoscaling=None) for name, one in fleet.deployments.items()}
    return attrs.evolve(fleet, deployments=none, intents=attrs.evolve(fleet.intents, scale=()))


def longest_stop(fleet: Fleet) -> float:
    """Return the seconds that the slowest replica may take from leaving the table to being killed."""
    stops = (target.template.stop for one in fleet.deployments.values() for target in one.targets)
    return max((stop.drain_within.seconds + stop.kill_after.seconds for stop in stops), default=0.0)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name that ``name`` may have meant, or with all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(names)}" if names else "there are none"
