"""What is different between two fleets, and what is left of one that goes down. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import attrs

from roadstead.model import Fleet, Intents

__all__ = ["as_in_file", "difference", "longest_stop", "nearest", "nothing_wanted"]


def as_in_file(fleet: Fleet) -> Fleet:
    """Return ``fleet`` without what does not come from its file."""
    return attrs.evolve(fleet, owner_id="", intents=Intents())


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
    return "; ".join(parts) or "nothing changed"


def nothing_wanted(fleet: Fleet) -> Fleet:
    """Return ``fleet`` with all that it declares at zero replicas."""
    none = {name: attrs.evolve(one, replicas=0) for name, one in fleet.deployments.items()}
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
