"""What is different between two fleets, and what is left of one that goes down. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import attrs

from roadstead.model import ClusterState, Fleet
from roadstead.world import ClusterView, Unreachable, World

__all__ = ["difference", "longest_stop", "nearest", "nothing_wanted", "with_occupied"]


def with_occupied(fleet: Fleet, before: Fleet, world: World | None) -> Fleet:
    """Return ``fleet`` with the clusters that its file no longer names and on which something of ours still runs.

    They are moved away from like any draining cluster: what replaces them elsewhere is ready first, and until then they
    count.
    """
    if world is None:
        return fleet
    vanished = {name: spec for name, spec in before.clusters.items() if name not in fleet.clusters}
    kept = {
        name: attrs.evolve(spec, state=ClusterState.DRAINING)
        for name, spec in vanished.items()
        if (view := world.clusters.get(name)) is not None and _is_occupied(view)
    }
    return attrs.evolve(fleet, clusters={**fleet.clusters, **kept}) if kept else fleet


def _is_occupied(view: ClusterView) -> bool:
    """Return whether anything runs there, as far as is known: what does not answer may hold anything."""
    return isinstance(view, Unreachable) or any(group.living for group in view.snapshot.groups)


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
