"""What clients are promised, as functions from what happened to what was wrong about it; empty means nothing was.

They are about who is listed, about requests on their way, and about who is there for those to come. As in
:mod:`roadstead.testing.oracles`, nothing is shared with what is judged: they are written from the design.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from roadstead.plans import Plan, Shrink, Step
from roadstead.traffic import Passage, Seen
from roadstead.world import Member, Phase, Shard, World

__all__ = ["Graces", "Lulls", "cut_off", "ended", "misplaced", "unlisted"]

_NOBODY = Shard(deployment="")


# ---- 8: nothing is stopped that may get requests, or has some ----


@attrs.define
class Graces:
    """Since when each replica was seen to be sent no requests any more (ms since the epoch), by cluster and id."""

    _since: dict[tuple[str, str], int] = attrs.field(factory=dict)

    def see(self, world: World, decided: Plan, now: int) -> None:
        """Note what a loop saw at ``now``; while a gateway does not answer, nothing that was out comes back in."""
        before, self._since = self._since, {}
        for name, shard in world.shards.items():
            for member in shard.members:
                key = member.cluster, member.replica.id
                out = _is_seen_out(world, decided, name, member)
                if out or (out is None and key in before):
                    self._since[key] = before.get(key, now)

    def fall_silent(self, world: World, now: int) -> None:
        """Note that a loop ended: from ``now`` on nobody gets its endpoint list, which is the table without a gateway.

        The next loop says who is out; who it lists is in again.
        """
        for name, shard in world.shards.items():
            if name not in world.data_path.via:
                for member in shard.members:
                    self._since.setdefault((member.cluster, member.replica.id), now)

    def over(self, member: Member, now: int) -> bool:
        """Return whether all of the time for what was in flight is over."""
        since = self._since.get((member.cluster, member.replica.id))
        return since is not None and now - since >= member.group.template.stop.drain_within.ms


def _is_seen_out(world: World, decided: Plan, name: str, member: Member) -> bool | None:
    """Return whether no table has it, nor the endpoint list where there is no gateway; ``None``: nobody knows."""
    path = world.data_path
    own = path.via.get(name)
    if own is None and any(entry.replica == member.replica.id for entry in decided.table.endpoints.get(name, ())):
        return False
    concerned = {gateway for gateway in path.gateways if gateway == own or name in path.routes(gateway)}
    if any(isinstance(path.gateways[one], Seen) and _is_listed(world, one, name, member) for one in concerned):
        return False
    return True if all(isinstance(path.gateways[one], Seen) for one in concerned) else None


def _is_listed(world: World, gateway: str, name: str, member: Member) -> bool:
    passage = _passage(world, gateway, name, member)
    return passage is not None and passage.listed


def _passage(world: World, gateway: str, name: str, member: Member) -> Passage | None:
    route = world.data_path.routes(gateway).get(name)
    return route.passages.get(member.replica.endpoint) if route and member.replica.endpoint else None


def ended(step: Step, before: World, after: World) -> Iterator[Member]:
    """Yield the servers that one call ended, but for those that a cluster picked that does not let us choose."""
    now = {(member.cluster, member.replica.id): member for shard in after.shards.values() for member in shard.members}
    for shard in before.shards.values():
        for member in shard.members:
            if member.replica.phase is not Phase.RUNNING:
                continue
            left = now.get((member.cluster, member.replica.id))
            stands = left is not None and left.replica.phase is Phase.RUNNING
            if not stands and not _was_picked_by_the_cluster(step, before, member):
                yield member


def _was_picked_by_the_cluster(step: Step, before: World, member: Member) -> bool:
    view = before.clusters[member.cluster]
    exact = view.snapshot is None or view.snapshot.capabilities.exact_retire
    return not exact and isinstance(step, Shrink) and member.replica.id not in step.retire


def cut_off(
    step: Step, before: World, after: World, graces: Graces, now: int, *, inside: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Return which servers one call ended although they might get requests, or had some and time left for them.

    ``before`` and ``after`` are what really is, gateways included. On the clusters ``inside``, whoever is told to stop
    goes on serving for its grace; and so it is with groups that say so, where no gateway sends them requests.
    """
    found = []
    for member in ended(step, before, after):
        if member.cluster in inside:
            continue
        name = member.group.key.deployment
        if member.group.serves_on and name not in before.data_path.via:
            continue
        who = f"{type(step).__name__} ended {member.replica.id}"
        passages = [_passage(before, gateway, name, member) for gateway in before.data_path.gateways]
        in_time = not graces.over(member, now)
        if any(passage.listed for passage in passages if passage is not None):
            found.append(f"{who}: a gateway lists it or may")
        if in_time and not all(passage.idle for passage in passages if passage is not None):
            found.append(f"{who}: requests are in flight and its grace is not over")
        if in_time and member.ready and name not in before.data_path.via:
            found.append(f"{who}: it served and its grace is not over")
        if in_time and isinstance(step, Shrink) and member.replica.id in step.overdue:
            found.append(f"{who} as overdue: its grace is not over")
    return tuple(found)


# ---- 3: the table, and who must stay in it ----


def misplaced(world: World, decided: Plan) -> tuple[str, ...]:
    """Return which endpoints a plan lists although they are not ready, or lists and drains at once.

    A replica of which a new daemon has not heard yet may stay listed.
    """
    found = []
    for name, entries in decided.table.endpoints.items():
        members = world.shards.get(name, _NOBODY).members
        ready = _keys(member for member in members if member.ready or member.is_unheard)
        listed = {(entry.cluster, entry.replica) for entry in entries}
        found += [f"{name} lists {replica}, which is not ready" for _, replica in sorted(listed - ready)]
        draining = {(entry.cluster, entry.replica) for entry in decided.table.draining.get(name, ())}
        found += [f"{name} lists {replica} and drains it" for _, replica in sorted(listed & draining)]
    return tuple(found)


def unlisted(world: World, decided: Plan) -> tuple[str, ...]:
    """Return the deployments whose table leaves out so many that fewer than the floor serve.

    Whoever serves may be left out as long as ``floor`` others that serve are listed. As many as are ready are listed,
    up to the floor, unless the gateway was seen to send them nothing. Whoever has no address that we could list is
    reached by its cluster's own.
    """
    found = []
    for name, shard in world.shards.items():
        listed = {(entry.cluster, entry.replica) for entry in decided.table.endpoints.get(name, ())}
        members = [member for member in shard.members if member.replica.endpoint is not None]
        serving = _keys(member for member in members if member.serving)
        ready = [member for member in members if member.ready or member.is_unheard]
        usable = _keys(member for member in ready if not _is_shunned(world, name, member))
        if name not in decided.floor:
            if _keys(ready) - listed:
                found.append(f"{name} is nobody's to change, and {_keys(ready) - listed} are not listed")
            continue
        floor = decided.floor[name]
        if serving - listed and len(serving & listed) < floor:
            found.append(f"{name} unlists {serving - listed}; {len(serving & listed)} of {floor} are left")
        if len(usable & listed) < min(floor, len(usable)):
            found.append(f"{name} lists {len(usable & listed)} of {len(usable)} that are ready; the floor is {floor}")
    return tuple(found)


def _keys(members: Iterable[Member]) -> set[tuple[str, str]]:
    return {(member.cluster, member.replica.id) for member in members}


def _is_shunned(world: World, name: str, member: Member) -> bool:
    """Return whether its gateway has followed us in listing it, and sends it nothing."""
    state = world.data_path.gateways.get(world.data_path.via.get(name, ""))
    followed = isinstance(state, Seen) and state.view.settled
    return followed and member.passage is not None and member.passage.listed and not member.passage.serving


# ---- 9: who is there for the requests to come ----


@attrs.define
class Lulls:
    """How many replicas load came to lately, by deployment: each number with when that was (ms since the epoch)."""

    _needed: dict[str, list[tuple[int, int]]] = attrs.field(factory=dict)
    _wanted: dict[str, int] = attrs.field(factory=dict)
    _looked_at: dict[str, int] = attrs.field(factory=dict)

    def broken(self, decided: Plan, turn_ms: int, now: int) -> tuple[str, ...]:
        """Return which deployments a plan of ``now`` lowers before fewer were enough for long, and note what it saw.

        The clock that ``now`` is of never jumps. What was found at one look may have been so since the one before it,
        which is at most one turn of ``turn_ms``.
        """
        found = []
        for name, known in decided.memory.scaling.items():
            spec, peaks = known.measured.spec, known.measured.peaks
            since = now - spec.windows.scale_down_after.ms + turn_ms
            needed = [one for one in self._needed.get(name, ()) if one[0] > since]
            most = min(max((count for _, count in needed), default=0), spec.max)
            if most > known.wanted < self._wanted.get(name, 0):
                found.append(
                    f"{name} is lowered to {known.wanted}, and {most} were needed within the last {now - since}ms"
                )
            if peaks and self._looked_at.get(name) != known.at:
                needed.append((now, peaks[-1].most))
            self._needed[name], self._wanted[name], self._looked_at[name] = needed, known.wanted, known.at
        for name in self._wanted.keys() - decided.memory.scaling.keys():
            del self._needed[name], self._wanted[name], self._looked_at[name]
        return tuple(found)
