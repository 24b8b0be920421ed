"""A deployment's rows, with how many replicas each should end with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

from roadstead.decide.case import Case
from roadstead.decide.eligibility import shortfalls
from roadstead.decide.ledger import Ledger
from roadstead.decide.outstanding import promised
from roadstead.decide.prospects import Prospect, learnt, looked_at, of_silent, of_unseen, options, silences
from roadstead.decide.reloading import VersionToLoad, version_to_load
from roadstead.decide.rows import Row, RowKey
from roadstead.decide.spread import Option, assign
from roadstead.memory import ClusterMemory, GroupMemory, place
from roadstead.model import ClusterState, Deployment, Fleet, Reach, Reloading, Strategy, Target, Template
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.world import NOBODY, Group, Reachable, Shard, World

__all__ = ["Shape", "shape"]

_NOTHING = ClusterMemory()


@attrs.frozen
class Shape:
    """The rows of a deployment, and why clusters or revisions that the file names are not used.

    ``counts`` is how many replicas each cluster should end with, ``clusters`` what is known of them now.
    """

    rows: tuple[Row, ...]
    held: tuple[Held, ...]
    counts: Mapping[str, int]
    clusters: Mapping[str, ClusterMemory]


@attrs.frozen(kw_only=True)
class _Aim:
    """What should run on one cluster: the file's revision, or the last proven one where that failed."""

    target: Target
    revision: str
    template: Template
    declared: bool
    reloading: Reloading | None = None

    @property
    def cluster(self) -> str:
        """Where."""
        return self.target.cluster

    @property
    def key(self) -> RowKey:
        """The row that it aims at."""
        return RowKey(self.cluster, self.revision)


def shape(
    case: Case,
    groups: Mapping[str, GroupMemory],
    clusters: Mapping[str, ClusterMemory],
    ledger: Ledger,
    elapsed: int,
) -> Shape:
    """Return the rows of a deployment.

    ``groups`` is what is known of its groups now, ``clusters`` what was known of clusters ``elapsed`` ms before.
    """
    held: list[Held] = []
    declared = case.declared
    aims = tuple(_aims(case, declared, groups, held)) if declared is not None and not case.going else ()
    clusters = silences(case, clusters, elapsed)
    prospects = [looked_at(case, one, ledger, elapsed) for one in _prospects(case, aims, clusters)]
    unseen = of_unseen(case, clusters, ledger.unseen)
    able = options(case, prospects, ledger, frozen=unseen is None)
    spread = assign(case.wanted, _in_order(case, (*unseen, *able)) if unseen else able)
    for prospect in prospects:
        held.extend(of_silent(case, prospect, len(prospects) - 1, ledger))
    rows = _staying(list(_existing(case, groups, aims, spread.counts, clusters)), spread.left)
    newest = max((group.generation for _, group in case.shard.groups), default=0)
    made = {row.key for row in rows}
    rows.extend(
        _missing(case, aim, newest + 1, spread.counts[aim.cluster], groups)
        for aim in aims
        if aim.key not in made and spread.counts[aim.cluster] > 0
    )
    return Shape(
        rows=tuple(sorted(rows, key=lambda row: (row.key.cluster, row.generation, row.key))),
        held=tuple(held),
        counts=spread.counts,
        clusters=_with_unseen(learnt(case, prospects, spread, ledger), clusters, ledger.unseen),
    )


def _with_unseen(
    found: Mapping[str, ClusterMemory], clusters: Mapping[str, ClusterMemory], unseen: frozenset[str]
) -> Mapping[str, ClusterMemory]:
    """Return what was learnt, and of clusters that nobody has seen yet for how long they have been silent."""
    kept = {name: known for name, known in clusters.items() if name in unseen} if unseen else {}
    return MappingProxyType({**found, **kept}) if kept else found


def _in_order(case: Case, options: Sequence[Option]) -> Sequence[Option]:
    places = {target.cluster: place for place, target in enumerate(case.destinations.all)}
    return sorted(options, key=lambda option: places[option.cluster])


def _prospects(case: Case, aims: Sequence[_Aim], clusters: Mapping[str, ClusterMemory]) -> tuple[Prospect, ...]:
    own = {target.cluster for target in case.destinations.targets}
    return tuple(
        Prospect(
            target=aim.target,
            revision=aim.revision,
            template=aim.template,
            reserve=aim.cluster not in own,
            known=clusters.get(aim.cluster, _NOTHING),
        )
        for aim in aims
    )


def _staying(rows: list[Row], left: int) -> list[Row]:
    """Return ``rows`` with ``left`` replicas staying where they are, because no cluster can take them now.

    Those are of rows that should go: on clusters that are moved away from, or that the file names no more. The newest
    proven ones stay.
    """
    for row in sorted(rows, key=lambda row: (not row.proven, -row.generation, row.key)) if left else ():
        placed = row.crew.placed
        if left and not row.current and row.writable and placed:
            stay = min(left, placed)
            rows[rows.index(row)] = attrs.evolve(row, aim=stay)
            left -= stay
    return rows


# ---- which revision on which cluster ----

_EXPECTED = frozenset({ReasonCode.UNSUPPORTED, ReasonCode.DISABLED})
"""Why a cluster may be passed over without a word, as long as another one can be used."""


def _aims(case: Case, declared: Deployment, groups: Mapping[str, GroupMemory], held: list[Held]) -> Iterator[_Aim]:
    """Yield what should run on each cluster that can be used, in the declared order; say why others cannot."""
    refused = []
    found = False
    where = case.destinations
    for target in where.all:
        reason = _unusable(case.fleet, case.world, target, declared.rollout.strategy)
        if reason is None:
            found = found or target in where.targets
            yield _aim(declared, target, case.shard, groups, held, paused=case.paused)
        elif target in where.targets:
            refused.append(Held(deployment=declared.name, cluster=target.cluster, reason=reason))
    held.extend(one for one in refused if not found or one.reason.code not in _EXPECTED)


def _unusable(fleet: Fleet, world: World, target: Target, strategy: Strategy) -> Reason | None:
    spec = fleet.clusters[target.cluster]
    if spec.state is not ClusterState.ACTIVE:
        return Reason(code=ReasonCode.DISABLED, detail=f"cluster {target.cluster} is {spec.state.value}")
    view = world.clusters.get(target.cluster)
    if view is None or view.snapshot is None:
        raw = view.error if view is not None else ""
        detail = f"{target.cluster} has not answered since the daemon started: what runs there is not known"
        change = Change(ChangeKind.WAIT, f"wait for it, or write it off with clusters.{target.cluster}.state: disabled")
        return Reason(code=ReasonCode.UNREACHABLE, detail=detail, raw=raw, change=change)
    if view.snapshot.foreign_owners:
        owners = ", ".join(sorted(view.snapshot.foreign_owners))
        return Reason(
            code=ReasonCode.FOREIGN_OWNER,
            detail=f"{target.cluster} has objects of this fleet's name that belong to another owner ({owners})",
            change=Change(
                ChangeKind.FIX_INPUT, "give this fleet a name of its own, or restore the other's state directory"
            ),
        )
    missing = shortfalls(target.template, view.snapshot.capabilities)
    if spec.reach is Reach.NONE and not view.snapshot.capabilities.reports_ready:
        missing = (*missing, "it does not say which replicas are ready, and nobody can ask them (reach: none)")
    if strategy is Strategy.RELOAD and (spec.reach is Reach.NONE or not view.snapshot.capabilities.reloads):
        missing = (*missing, "replicas there cannot load another version in place (rollout.strategy: reload)")
    if missing:
        change = Change(ChangeKind.FIX_INPUT, "change the template, or name another cluster")
        return Reason(code=ReasonCode.UNSUPPORTED, detail=f"{target.cluster}: {'; '.join(missing)}", change=change)
    return None


def _aim(
    declared: Deployment,
    target: Target,
    shard: Shard,
    groups: Mapping[str, GroupMemory],
    held: list[Held],
    *,
    paused: bool,
) -> _Aim:
    known = groups.get(place(target.cluster, f"{declared.name}-{target.revision}"), GroupMemory())
    template, reloading = target.template, None
    if declared.rollout.strategy is Strategy.RELOAD:
        version = _version(declared, target, shard, known, paused=paused)
        template, reloading = version.template, version.reloading
        if version.refused is not None:
            held.append(Held(deployment=declared.name, cluster=target.cluster, reason=version.refused))
            known = attrs.evolve(known, failed=False)
    fallback = _last_proven(target.cluster, shard, groups) if known.failed else None
    if known.failed:
        reason = _failed(declared, target, fallback, known.why)
        held.append(Held(deployment=declared.name, cluster=target.cluster, reason=reason))
    if fallback is None or not declared.rollout.auto_rollback:
        return _Aim(target=target, revision=target.revision, template=template, declared=True, reloading=reloading)
    return _Aim(
        target=target,
        revision=fallback.key.revision,
        template=fallback.template,
        declared=False,
        reloading=fallback.reloading,
    )


def _version(declared: Deployment, target: Target, shard: Shard, known: GroupMemory, *, paused: bool) -> VersionToLoad:
    """Return what the replicas of a deployment that reloads are to load on one cluster."""
    group = shard.group(target.cluster, target.revision)
    members = shard.crews.get((target.cluster, target.revision), NOBODY).all
    return version_to_load(declared, target, group, members, known, paused=paused)


def _last_proven(cluster: str, shard: Shard, groups: Mapping[str, GroupMemory]) -> Group | None:
    proven = [group for where, group in shard.groups if where == cluster and groups[place(where, group.key)].proven]
    return max(proven, key=lambda group: group.generation, default=None)


def _failed(declared: Deployment, target: Target, fallback: Group | None, why: str) -> Reason:
    said = f"revision {target.revision} was not ready within {declared.rollout.progress_deadline}"
    if fallback is None:
        consequence = "there is no proven revision to go back to, so it is tried on"
    elif declared.rollout.auto_rollback:
        consequence = f"revision {fallback.key.revision} serves instead"
    else:
        consequence = "rollout.auto_rollback is off, so it is tried on"
    change = Change(ChangeKind.FIX_INPUT, "change the template; a failed revision is not tried again as it is")
    return Reason(code=ReasonCode.ROLLOUT_FAILED, detail=f"{said}; {consequence}", raw=why, change=change)


# ---- rows ----


def _existing(
    case: Case,
    groups: Mapping[str, GroupMemory],
    aims: Sequence[_Aim],
    counts: Mapping[str, int],
    clusters: Mapping[str, ClusterMemory],
) -> Iterator[Row]:
    by_key = {aim.key: aim for aim in aims}
    existing = [(RowKey(cluster, group.key.revision), group) for cluster, group in case.shard.groups]
    newest = max((group.generation for _, group in case.shard.groups), default=0)
    passed = max((group.generation for key, group in existing if key not in by_key), default=0)
    for key, group in existing:
        spec = case.fleet.clusters.get(key.cluster)
        if spec is None or spec.state is ClusterState.DISABLED:
            continue
        aim = by_key.get(key)
        renewed = aim is not None and aim.declared and not case.undone and group.generation < passed
        yield _row(
            case,
            key,
            group,
            groups[place(key.cluster, group.key)],
            generation=newest + 1 if renewed else group.generation,
            aim=aim,
            count=counts[key.cluster] if aim is not None else 0,
            place=clusters.get(key.cluster),
        )


def _row(  # noqa: PLR0913  # a group, what is known of it and of its place, and what is aimed at
    case: Case,
    key: RowKey,
    group: Group,
    known: GroupMemory,
    *,
    generation: int,
    aim: _Aim | None,
    count: int,
    place: ClusterMemory | None,
) -> Row:
    cluster = key.cluster
    view = case.world.clusters[cluster]
    snapshot = view.snapshot
    writable = isinstance(view, Reachable) and not view.snapshot.foreign_owners
    crew = case.shard.crews.get((cluster, key.revision), NOBODY)
    return Row(
        key=key,
        deployment=case.name,
        template=aim.template if aim is not None and aim.reloading is not None else group.template,
        reloading=aim.reloading if aim is not None else group.reloading,
        generation=generation,
        group=group,
        crew=crew,
        aim=count,
        current=aim is not None,
        lost=min(place.lost, len(crew.members)) if place is not None and aim is not None else 0,
        paused=case.paused,
        open=case.fleet.clusters[cluster].state is ClusterState.ACTIVE,
        drains_inside=_drains_inside(case, cluster, group),
        promised=promised(snapshot, group) if writable else 0,
        proven=known.proven,
        failed=known.failed,
        writable=writable,
        restarts=writable and snapshot is not None and snapshot.capabilities.restarts,
        evicts=snapshot is not None and snapshot.capabilities.evicts and not snapshot.capabilities.exact_retire,
        exact=snapshot is None or snapshot.capabilities.exact_retire,
        relabels=snapshot is None or not snapshot.capabilities.metadata_restarts,
    )


def _drains_inside(case: Case, cluster: str, group: Group) -> bool:
    """Return whether replicas drain once they were told to stop.

    They do where nobody of ours can reach them; and where no gateway sends them requests, if they then serve for as
    long as we would wait. Behind a gateway we see when nothing is in flight any more, which is sooner.
    """
    if case.fleet.clusters[cluster].reach is Reach.NONE:
        return True
    return group.serves_on and case.name not in case.world.data_path.via


def _missing(case: Case, aim: _Aim, generation: int, count: int, groups: Mapping[str, GroupMemory]) -> Row:
    known = groups.get(place(aim.cluster, f"{case.name}-{aim.revision}"), GroupMemory())
    return Row(
        key=aim.key,
        deployment=case.name,
        template=aim.template,
        reloading=aim.reloading,
        generation=generation,
        group=None,
        aim=count,
        current=True,
        proven=known.proven,
        failed=known.failed,
        writable=isinstance(case.world.clusters.get(aim.cluster), Reachable),
    )
