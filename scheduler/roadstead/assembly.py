"""Putting the world together from what was observed, touching only what changed since the last time.

Pure. The cost of one call is a comparison of identities for each group, and real work only for deployments of which something changed.
Backends help by returning the same :class:`~roadstead.world.Group` object as long as nothing about it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from roadstead.holdings import Holdings
from roadstead.world import (
    NO_GATEWAY,
    NO_USAGE,
    ClusterView,
    Group,
    Member,
    ModelState,
    NoGateway,
    Outcome,
    Reachable,
    Shard,
    Usage,
    World,
)

__all__ = ["assemble"]


def assemble(
    previous: World | None,
    views: Mapping[str, ClusterView],
    models: Mapping[str, ModelState],
    *,
    gateway: NoGateway = NO_GATEWAY,
    usage: Mapping[str, Usage] = NO_USAGE,
    outcomes: tuple[Outcome, ...] = (),
) -> World:
    """Return the world that these observations make.

    ``models`` and ``usage`` are keyed by replica id. Passing the same ``models`` object again says that no model's state changed.
    Shards, and members in them, are the previous objects wherever nothing about them changed.
    """
    before = previous if previous is not None else World(clusters={})
    touched = _touched_by_groups(before.clusters, views)
    if models is not before.models:
        touched |= _touched_by_models(before.shards, models)
    shards = before.shards
    if touched:
        changed = dict(before.shards)
        for name, shard in _shards(touched, views, models).items():
            if shard.groups:
                changed[name] = shard if shard != changed.get(name) else changed[name]
            else:
                changed.pop(name, None)
        shards = MappingProxyType(changed)
    return World(
        clusters=views,
        shards=shards,
        models=models,
        holdings=_holdings(before, views),
        gateway=gateway,
        usage=usage,
        outcomes=outcomes,
    )


def _groups(view: ClusterView | None) -> tuple[Group, ...]:
    return view.snapshot.groups if view is not None and view.snapshot is not None else ()


def _differing(old: tuple[Group, ...], new: tuple[Group, ...]) -> tuple[list[Group], list[Group]]:
    """Return the groups that are only in the one and only in the other, by identity."""
    if old is new:
        return [], []
    old_ids, new_ids = set(map(id, old)), set(map(id, new))
    return [group for group in old if id(group) not in new_ids], [group for group in new if id(group) not in old_ids]


def _touched_by_groups(before: Mapping[str, ClusterView], views: Mapping[str, ClusterView]) -> set[str]:
    touched: set[str] = set()
    for cluster in before.keys() | views.keys():
        old, new = before.get(cluster), views.get(cluster)
        if isinstance(old, Reachable) != isinstance(new, Reachable):
            concerned: Iterable[Group] = (*_groups(old), *_groups(new))
        else:
            gone, come = _differing(_groups(old), _groups(new))
            concerned = (*gone, *come)
        touched.update(group.key.deployment for group in concerned)
    return touched


def _touched_by_models(shards: Mapping[str, Shard], models: Mapping[str, ModelState]) -> set[str]:
    return {
        name
        for name, shard in shards.items()
        if any(models.get(member.replica.id) is not member.model for member in shard.members)
    }


def _shards(names: set[str], views: Mapping[str, ClusterView], models: Mapping[str, ModelState]) -> Mapping[str, Shard]:
    groups: dict[str, list[tuple[str, bool, Group]]] = {name: [] for name in names}
    for cluster in sorted(views):
        view = views[cluster]
        reachable = isinstance(view, Reachable)
        for group in _groups(view):
            if group.key.deployment in groups:
                groups[group.key.deployment].append((cluster, reachable, group))
    return {
        name: Shard(
            deployment=name,
            groups=tuple((cluster, group) for cluster, _, group in _ordered(found)),
            members=tuple(
                Member(cluster=cluster, reachable=reachable, group=group, replica=replica, model=models.get(replica.id))
                for cluster, reachable, group in _ordered(found)
                for replica in sorted(group.replicas, key=lambda replica: replica.id)
            ),
        )
        for name, found in groups.items()
    }


def _ordered(found: list[tuple[str, bool, Group]]) -> list[tuple[str, bool, Group]]:
    return sorted(found, key=lambda entry: (entry[0], entry[2].generation, entry[2].key))


def _holdings(before: World, views: Mapping[str, ClusterView]) -> Mapping[str, Holdings]:
    holdings: dict[str, Holdings] = {}
    for cluster, view in views.items():
        held = before.holdings.get(cluster, Holdings())
        gone, come = _differing(_groups(before.clusters.get(cluster)), _groups(view))
        if gone or come:
            held = held.moved(
                (placed for group in gone for placed in group.placed), (placed for group in come for placed in group.placed)
            )
        holdings[cluster] = held
    return MappingProxyType(holdings)
