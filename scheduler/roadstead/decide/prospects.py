"""What each cluster may take of a deployment, and what is learnt of clusters as places for it from turn to turn.

Times are accumulators: a cluster that is silent, or full, or looks for a place, is so for as long as turns saw it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType

import attrs

from roadstead.decide.capacity import free_in_all
from roadstead.decide.case import Case
from roadstead.decide.fit import Fit, No, Unknown, fit
from roadstead.decide.ledger import Ledger
from roadstead.decide.limits import over_quota
from roadstead.decide.outstanding import Left, no_place, outstanding
from roadstead.decide.rooms import is_directed
from roadstead.decide.spread import STOOD, Option, Spread
from roadstead.memory import ClusterMemory
from roadstead.model import Target, Template
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.traffic import Seen
from roadstead.world import Member, Phase, Reachable, Snapshot, Unreachable

__all__ = ["Prospect", "answered", "learnt", "looked_at", "of_silent", "of_unseen", "options", "silences"]

_NOTHING = ClusterMemory()


@attrs.frozen(kw_only=True)
class Prospect:
    """A cluster where a deployment may run, with what should run there and what is known of the place.

    ``revision`` and ``template`` are those of ``target``, or older ones where these failed.
    """

    target: Target
    revision: str
    template: Template
    reserve: bool
    known: ClusterMemory

    @property
    def cluster(self) -> str:
        """Its name."""
        return self.target.cluster


def options(case: Case, prospects: Sequence[Prospect], ledger: Ledger, *, frozen: bool) -> tuple[Option, ...]:
    """Return what each cluster may take.

    ``frozen``: another cluster of this deployment has never answered, so what runs there is not known. Then counts are
    kept up and not raised: what seems to be missing may be serving where we cannot see it.
    """
    return tuple(_option(case, prospect, ledger, frozen=frozen) for prospect in prospects)


def _option(case: Case, prospect: Prospect, ledger: Ledger, *, frozen: bool) -> Option:
    cluster, known = prospect.cluster, prospect.known
    view = case.world.clusters[cluster]
    snapshot = view.snapshot
    if snapshot is None:
        raise RuntimeError(f"{cluster} was never seen and cannot be an option")

    def room(count: int) -> Fit:
        if _is_full(known):
            return No(no_place(cluster, prospect.template, known.why))
        # Those that wait for a place are among those that are asked about, and not before them.
        return fit(snapshot, ledger, case.demand_on(cluster, snapshot, prospect.template), count)

    there = case.on(cluster)
    if frozen:
        asked = sum(group.target for where, group in case.shard.groups if where == cluster)
        standing = max(len(there.standing), asked)
    elif isinstance(view, Unreachable):
        standing = max(0, len(there.standing) - known.lost)
    else:
        standing = there.placed
    return Option(
        cluster=cluster,
        standing=standing,
        open=isinstance(view, Reachable) and not frozen,
        room=room,
        weight=prospect.target.weight,
        trusted=known.room_ms is None or known.room_ms >= STOOD.ms,
        reserve=prospect.reserve,
    )


def _has_a_place(member: Member) -> bool:
    return member.replica.phase is not Phase.SLOT or member.replica.node is not None


def _is_full(known: ClusterMemory) -> bool:
    """Return whether the cluster found no place in time, and nothing has changed since for long."""
    return known.free is not None and known.room_ms is not None and known.room_ms < STOOD.ms


# ---- what is learnt ----


def silences(case: Case, before: Mapping[str, ClusterMemory], elapsed: int) -> Mapping[str, ClusterMemory]:
    """Return what was known of clusters with the time that they have been silent, and what counts as lost there.

    What is lost is made up elsewhere: what a silent cluster had and the gateway does not see healthy, once the time is
    over, and, where there is a gateway, once it sees fewer healthy endpoints over all clusters than the floor. It
    counts as lost until the cluster answers, whatever the gateway sees then: the floor is met again because it was made
    up.

    Of a cluster that has not answered since the daemon started nobody knows what it had. What the gateway sees healthy
    and no known replica is at may be there, and all others that are wanted count as lost.
    """
    declared = case.declared
    if declared is None or len(case.destinations.all) < 2:
        return before
    limit = declared.fail_over_after.ms
    found = dict(before)
    for target in case.destinations.all:
        cluster = target.cluster
        known = before.get(cluster, _NOTHING)
        if not isinstance(case.world.clusters.get(cluster), Unreachable):
            found[cluster] = attrs.evolve(known, silent_ms=None, lost=0)
            continue
        silent = 0 if known.silent_ms is None else min(max(limit, 1), known.silent_ms + elapsed)
        if case.world.clusters[cluster].snapshot is None:
            # Not in the turn in which it is first missed, however often that is decided.
            given_up = silent > 0 and silent >= limit and _is_below_the_floor(case)
            lost = max(known.lost, case.wanted - _healthy_strangers(case)) if given_up else known.lost
            found[cluster] = attrs.evolve(known, silent_ms=silent, lost=lost)
            continue
        alive = case.on(cluster).standing
        lost = known.lost
        if silent >= limit and _is_below_the_floor(case):
            lost = max(lost, sum(not _is_healthy(member) for member in alive))
        found[cluster] = attrs.evolve(known, silent_ms=silent, lost=min(lost, len(alive)))
    return _worth_keeping(found)


def _is_healthy(member: Member) -> bool:
    return member.passage is not None and member.passage.known and member.passage.serving


def _is_below_the_floor(case: Case) -> bool:
    """Return whether the gateway sees fewer healthy than must serve; without one, nobody can say otherwise."""
    gateway = case.world.data_path.via.get(case.name)
    if gateway is None:
        return True
    if not isinstance(case.world.data_path.gateways.get(gateway), Seen):
        return False
    return sum(map(_is_healthy, case.shard.members)) + _healthy_strangers(case) < case.floor


def _healthy_strangers(case: Case) -> int:
    """Return at how many endpoints that the gateway sees healthy no known replica is."""
    route = case.world.data_path.routes(case.world.data_path.via.get(case.name, "")).get(case.name)
    known = {member.replica.endpoint for member in case.shard.members}
    passages = route.passages.items() if route is not None else ()
    return sum(passage.known and passage.serving for endpoint, passage in passages if endpoint not in known)


def of_unseen(case: Case, clusters: Mapping[str, ClusterMemory], unseen: AbstractSet[str]) -> tuple[Option, ...] | None:
    """Return what clusters that never answered count for, or ``None`` as long as one of them may still have all of it.

    ``clusters`` is what :func:`silences` returned. The first counts with all that is not lost; they take nothing more.
    """
    if not unseen:
        return ()
    targets = [target for target in case.destinations.all if target.cluster in unseen]
    lost = [clusters.get(target.cluster, _NOTHING).lost for target in targets]
    if not all(lost):
        return None
    own = {target.cluster for target in case.destinations.targets}
    standing = max(0, case.wanted - max(lost, default=0))
    return tuple(
        Option(
            cluster=target.cluster,
            standing=0 if place else standing,
            open=False,
            room=lambda _: Unknown(),
            weight=target.weight,
            reserve=target.cluster not in own,
        )
        for place, target in enumerate(targets)
    )


def looked_at(case: Case, prospect: Prospect, ledger: Ledger, elapsed: int) -> Prospect:
    """Return ``prospect`` with what is seen of the place now: whether one that was full has room, for how long by now.

    All that a decision depends on is brought forward before it is taken, so that taking it again comes to the same.
    """
    view = case.world.clusters[prospect.cluster]
    if not isinstance(view, Reachable):
        return prospect
    known = _tried(case, prospect, view.snapshot, ledger, elapsed)
    if is_directed(view.snapshot) and known.room_ms is not None and known.free is None:
        has_room = _has_room(case, prospect, view.snapshot, ledger)
        known = attrs.evolve(known, room_ms=min(STOOD.ms, known.room_ms + elapsed) if has_room else 0)
    return prospect if known is prospect.known else attrs.evolve(prospect, known=known)


def learnt(case: Case, prospects: Sequence[Prospect], spread: Spread, ledger: Ledger) -> Mapping[str, ClusterMemory]:
    """Return what is to be remembered of each cluster; nothing of those where all is as it should be.

    One that has no room for what it should have is full from now on, and no longer when it should have no more.
    """
    found = {}
    for one in prospects:
        view = case.world.clusters[one.cluster]
        known = one.known
        if isinstance(view, Reachable) and one.cluster not in spread.lacking:
            if (known.room_ms, known.free) != (None, None) and (
                known.free is None or (spread.at_best and _has_arrived(case, prospects, spread))
            ):
                known = attrs.evolve(known, room_ms=None, free=None, quota=None, why="")
        elif isinstance(view, Reachable) and known.room_ms is None and len(prospects) > 1:
            known = known if _has_room(case, one, view.snapshot, ledger) else attrs.evolve(known, room_ms=0)
        found[one.cluster] = known
    return _worth_keeping(found)


def _has_arrived(case: Case, prospects: Sequence[Prospect], spread: Spread) -> bool:
    """Return whether all that is wanted has a place, of the revision and on a cluster that it should be on."""
    alive = [
        one for one in case.shard.members if one.replica.phase not in {Phase.STOPPING, Phase.LOST} and one.reachable
    ]
    right = {(one.cluster, one.revision) for one in prospects if spread.counts[one.cluster]}
    return len(alive) >= case.wanted and all(
        _has_a_place(one) and (one.cluster, one.group.key.revision) in right for one in alive
    )


def _has_room(case: Case, prospect: Prospect, snapshot: Snapshot, ledger: Ledger) -> bool:
    """Return whether one more than stands there has a place; nobody can tell on a native cluster."""
    wish = case.demand_on(prospect.cluster, snapshot, prospect.template)
    return not isinstance(fit(snapshot, ledger, wish, 1), No)


def _tried(case: Case, prospect: Prospect, snapshot: Snapshot, ledger: Ledger, elapsed: int) -> ClusterMemory:
    """Return what is known of a cluster that has to be tried, and is full if it finds no place for what it was asked.

    It is tried again when more of it has been free for a while, or allowed, than was then.
    """
    known = prospect.known
    if _is_full(known) and known.free is not None:
        left = Left(free_in_all(snapshot, ledger, prospect.cluster, case.name), snapshot.quota)
        more = left.is_more_than(known.free, known.quota)
        return attrs.evolve(known, room_ms=min(STOOD.ms, (known.room_ms or 0) + elapsed) if more else 0)
    asked, placed = outstanding(case, prospect.cluster), case.on(prospect.cluster).placed
    if not asked.count:
        nobody_waits = (known.waiting_ms, known.placed) == (None, 0)
        return known if nobody_waits else attrs.evolve(known, waiting_ms=None, placed=0)
    progressed = known.waiting_ms is None or placed > known.placed
    waiting = 0 if progressed else (known.waiting_ms or 0) + elapsed
    if waiting >= prospect.template.health.start_within.ms:
        free = free_in_all(snapshot, ledger, prospect.cluster, case.name)
        found = attrs.evolve(known, room_ms=0, free=free, quota=snapshot.quota, why=asked.why)
        return attrs.evolve(found, waiting_ms=None, placed=0)
    return attrs.evolve(known, waiting_ms=waiting, placed=placed)


def _worth_keeping(found: Mapping[str, ClusterMemory]) -> Mapping[str, ClusterMemory]:
    return MappingProxyType({cluster: known for cluster, known in found.items() if known != _NOTHING})


# ---- what is said ----


def of_silent(case: Case, prospect: Prospect, others: int, ledger: Ledger) -> Iterator[Held]:
    """Yield what the silence of a cluster means for a deployment, and what stands against making it up elsewhere."""
    view = case.world.clusters[prospect.cluster]
    if not isinstance(view, Unreachable) or case.declared is None:
        return
    cluster, known = prospect.cluster, prospect.known
    after = case.declared.fail_over_after
    alive = len(case.on(cluster).standing)
    if known.lost:
        then = f"{known.lost} of its replicas count as lost and are made up elsewhere until it answers"
    elif others and alive:
        then = f"what runs there counts as last seen; what clients miss is made up elsewhere after {after}"
    else:
        then = "what runs there counts as last seen, and nothing changes there"
    yield _held(
        case,
        cluster,
        Reason(code=ReasonCode.UNREACHABLE, detail=f"{cluster} does not answer: {then}", raw=view.error),
    )
    if others and known.lost < alive:
        yield from _short_of_quota(case, prospect, alive - known.lost, ledger)


def _short_of_quota(case: Case, prospect: Prospect, count: int, ledger: Ledger) -> Iterator[Held]:
    """Say beforehand that what would be made up has no room in the quota of its owner."""
    resources = prospect.template.resources
    allowed = ledger.quota_room(case.owner, resources, case.name)
    if allowed >= count:
        return
    told = over_quota(case.owner, resources, count, ledger)
    detail = f"of {count} that may have to be made up for {prospect.cluster}, the quota allows {allowed}: {told.detail}"
    reason = told if allowed else attrs.evolve(told, detail=detail)
    if allowed:
        change = Change(ChangeKind.RAISE_QUOTA, f"raise quotas.{case.owner} by what {count - allowed} replicas need")
        text = (
            f"of {count} that may have to be made up for {prospect.cluster}, the quota of {case.owner} allows {allowed}"
        )
        reason = Reason(code=ReasonCode.QUOTA, detail=text, count=count - allowed, total=count, change=change)
    yield _held(case, prospect.cluster, reason)


def _held(case: Case, cluster: str, reason: Reason) -> Held:
    return Held(deployment=case.name, cluster=cluster, reason=reason)


def answered(known: ClusterMemory | None, answer: Fit, cluster: str, template: Template) -> Fit:
    """Return ``answer``, or No where the cluster found no place lately, whatever should be free."""
    if not isinstance(answer, No) and known is not None and _is_full(known):
        return No(no_place(cluster, template, known.why))
    return answer
