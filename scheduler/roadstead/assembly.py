"""Putting the world together from what was observed, touching only what changed since the last time.

Pure. The cost of one call is a comparison of identities for each group, and real work only for deployments of which
something changed. Backends help by returning the same :class:`~roadstead.world.Group` object as long as nothing about
it changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from operator import is_not
from types import MappingProxyType

import attrs

from roadstead.holdings import Holdings, Limited, is_nearly_all, limit_of
from roadstead.mappings import with_changes
from roadstead.model import Resources
from roadstead.traffic import NO_DATA_PATH, DataPath, Seen
from roadstead.world import (
    NO_USAGE,
    ClusterView,
    Group,
    GroupKey,
    Member,
    ModelState,
    Outcome,
    Reachable,
    Replica,
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
    data_path: DataPath = NO_DATA_PATH,
    usage: Mapping[str, Usage] = NO_USAGE,
    outcomes: tuple[Outcome, ...] = (),
) -> World:
    """Return the world that these observations make.

    ``models`` and ``usage`` are keyed by replica id. Passing the same ``models`` object again says that no model's
    state changed. Shards, and members in them, are the previous objects wherever nothing about them changed. What
    servers say of their load touches none of them, and is put in by who has it.
    """
    before = previous if previous is not None else World(clusters={})
    changes = tuple(_change(cluster, before, views) for cluster in sorted(before.clusters.keys() | views.keys()))
    touched = {group.key.deployment for change in changes for group in change.concerned}
    if models is not before.models:
        touched |= _touched_by_models(before.shards, models)
    touched |= _touched_by_gateways(before.data_path, data_path)
    shards = before.shards
    if touched:
        made = _shards(touched, before, changes, _Words(views, models, data_path))
        shards = with_changes(
            before.shards,
            {name: shard if shard.groups else None for name, shard in made if shard != before.shards.get(name)},
        )
    return World(
        clusters=views,
        shards=shards,
        models=models,
        holdings=_holdings(before, changes, views),
        data_path=data_path,
        usage=usage,
        over=_over(before, shards, usage, touched),
        outcomes=outcomes,
    )


@attrs.frozen(kw_only=True)
class _Change:
    """What is different on one cluster: groups that are only in the old world, and only in the new one.

    ``turned``: it became reachable or unreachable, which concerns every group there.
    """

    cluster: str
    gone: tuple[Group, ...]
    come: tuple[Group, ...]
    turned: tuple[Group, ...]

    @property
    def concerned(self) -> tuple[Group, ...]:
        return (*self.gone, *self.come, *self.turned)


def _change(cluster: str, before: World, views: Mapping[str, ClusterView]) -> _Change:
    old, new = before.clusters.get(cluster), views.get(cluster)
    gone, come = _differing(_groups(old), _groups(new))
    turned = isinstance(old, Reachable) != isinstance(new, Reachable)
    return _Change(cluster=cluster, gone=gone, come=come, turned=_groups(new) if turned else ())


def _groups(view: ClusterView | None) -> tuple[Group, ...]:
    return view.snapshot.groups if view is not None and view.snapshot is not None else ()


def _differing(old: tuple[Group, ...], new: tuple[Group, ...]) -> tuple[tuple[Group, ...], tuple[Group, ...]]:
    """Return the groups of each that are not the same object in the other; a moved one may be in both, harmlessly."""
    if old is new:
        return (), ()
    if len(old) == len(new):
        places = tuple(compress(range(len(old)), map(is_not, old, new)))
        return tuple(old[place] for place in places), tuple(new[place] for place in places)
    old_by_id = dict(zip(map(id, old), old, strict=True))
    new_by_id = dict(zip(map(id, new), new, strict=True))
    gone, come = old_by_id.keys() - new_by_id.keys(), new_by_id.keys() - old_by_id.keys()
    return tuple(old_by_id[one] for one in gone), tuple(new_by_id[one] for one in come)


def _touched_by_models(shards: Mapping[str, Shard], models: Mapping[str, ModelState]) -> set[str]:
    return {
        name
        for name, shard in shards.items()
        if any(models.get(member.replica.id) is not member.model for member in shard.members)
    }


def _touched_by_gateways(before: DataPath, now: DataPath) -> set[str]:
    """Return the deployments whose gateway is another, began or ceased to answer, or changed something about them."""
    touched: set[str] = set()
    if now.via is not before.via:
        names = before.via.keys() | now.via.keys()
        touched |= {name for name in names if before.via.get(name) != now.via.get(name)}
    for gateway in before.gateways.keys() | now.gateways.keys():
        old, new = before.gateways.get(gateway), now.gateways.get(gateway)
        old_routes, new_routes = before.routes(gateway), now.routes(gateway)
        if isinstance(old, Seen) != isinstance(new, Seen):
            touched |= old_routes.keys() | new_routes.keys()
            touched |= {name for name, its in now.via.items() if its == gateway}
        elif old_routes is not new_routes:
            names = old_routes.keys() | new_routes.keys()
            touched |= {name for name in names if old_routes.get(name) is not new_routes.get(name)}
    return touched


@attrs.frozen
class _Words:
    """Everything that is said about replicas besides that they are there."""

    views: Mapping[str, ClusterView]
    models: Mapping[str, ModelState]
    data_path: DataPath

    def member(self, cluster: str, group: Group, replica: Replica) -> Member:
        return Member(
            cluster=cluster,
            reachable=isinstance(self.views.get(cluster), Reachable),
            group=group,
            replica=replica,
            model=self.models.get(replica.id),
            passage=self.data_path.passage(group.key.deployment, replica.endpoint),
        )


def _shards(names: set[str], before: World, changes: Iterable[_Change], words: _Words) -> Iterator[tuple[str, Shard]]:
    """Yield the new shard of every named deployment: its old groups, less what went, and what came."""
    groups: dict[str, dict[tuple[str, GroupKey], Group]] = {}
    for name in names:
        shard = before.shards.get(name)
        groups[name] = {(cluster, group.key): group for cluster, group in shard.groups} if shard is not None else {}
    for change in changes:
        for group in change.gone:
            groups[group.key.deployment].pop((change.cluster, group.key), None)
        for group in change.come:
            groups[group.key.deployment][change.cluster, group.key] = group
    for name, found in groups.items():
        ordered = sorted(
            ((cluster, group) for (cluster, _), group in found.items()),
            key=lambda entry: (entry[0], entry[1].generation, entry[1].key),
        )
        members = tuple(
            words.member(cluster, group, replica)
            for cluster, group in ordered
            for replica in sorted(group.replicas, key=lambda replica: replica.id)
        )
        yield name, Shard(deployment=name, groups=tuple(ordered), members=members)


def _holdings(before: World, changes: Iterable[_Change], views: Mapping[str, ClusterView]) -> Mapping[str, Holdings]:
    holdings = {cluster: before.holdings.get(cluster, Holdings()) for cluster in views}
    for change in changes:
        if change.cluster in holdings and (change.gone or change.come):
            holdings[change.cluster] = holdings[change.cluster].moved(
                (placed for group in change.gone for placed in group.placed),
                (placed for group in change.come for placed in group.placed),
            )
    return MappingProxyType(holdings)


# ---- who uses more than it may ----


def _over(before: World, shards: Mapping[str, Shard], usage: Mapping[str, Usage], touched: set[str]) -> frozenset[str]:
    """Return the deployments of which a replica is at or over a limit; only where something is new is it looked at."""
    if usage is before.usage:
        if before.over.isdisjoint(touched) and not any(name in shards for name in touched):
            return before.over
        names, kept = touched & shards.keys(), before.over - touched
    else:
        names, kept = set(shards) if usage else set(), frozenset()
    return kept | {name for name in names if _is_over(shards[name], usage)}


def _is_over(shard: Shard, usage: Mapping[str, Usage]) -> bool:
    """Return whether any was measured to use more than it may, or all of its CPU; limits are looked up by group."""
    group, limits = None, _NO_LIMITS
    for member in shard.members:
        measured = usage.get(member.replica.id)
        if measured is None:
            continue
        if member.group is not group:
            group = member.group
            limits = _limits_of(group.template.resources)
        cpu, memory, gpu_memory = measured.cpu, measured.memory, measured.gpu_memory
        if cpu is not None and is_nearly_all(cpu.milli, limits[0]):
            return True
        if memory is not None and memory.bytes > limits[1]:
            return True
        if gpu_memory is not None and limits[2] is not None and gpu_memory.bytes > limits[2]:
            return True
    return False


_NO_LIMITS: tuple[int, int, int | None] = (0, 0, None)


def _limits_of(resources: Resources) -> tuple[int, int, int | None]:
    return resources.cpu.milli, resources.memory.bytes, limit_of(resources, Limited.GPU_MEMORY)
