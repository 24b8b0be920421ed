"""Moves become steps: each with its reason, its precondition, and what must still stand when it is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import attrs

from roadstead.decide.back_off import waiting
from roadstead.decide.ledger import Ledger
from roadstead.decide.limits import admit, over_quota
from roadstead.decide.reloading import is_stored, next_to_reload, obstacle
from roadstead.decide.rows import Row, RowKey
from roadstead.memory import GroupMemory, PlanMemory, place, process_place
from roadstead.model import Adoption, RolloutSpec
from roadstead.plans import Delete, Evict, Grow, Held, Reload, Restart, Revert, Shrink, Standing, Step
from roadstead.reasons import Reason
from roadstead.world import Group, GroupKey, Member, Usage

__all__ = ["Drained", "Order", "Stepped", "steps_of"]

Drained = Mapping[RowKey, tuple[Member, ...]]


@attrs.frozen(kw_only=True)
class Order:
    """What the rollout ordered for one deployment, ready to be put into steps.

    ``grow`` are replicas to add, ``forgone`` is how many are given up that were asked for and are not there.
    ``victims`` are out of the table, ``drained`` are those of them that may be taken down now, ``restart`` and
    ``evict`` are who may be that now because it gives way, ``overdue`` are those whose grace is over although requests
    may be in flight. ``unready`` says for how long running servers have not been ready.
    ``floor`` serving replicas must stand behind each destructive step. ``reverts`` put back what others changed.
    ``adopt`` is what others made and is to be taken over.
    """

    deployment: str
    owner: str
    rows: Sequence[Row]
    grow: Mapping[RowKey, int]
    forgone: Mapping[RowKey, int]
    victims: frozenset[str]
    drained: Drained
    restart: Member | None
    evict: Member | None
    overdue: frozenset[str]
    unready: Mapping[str, int | None]
    groups: Mapping[str, GroupMemory]
    spec: RolloutSpec
    wanted: int
    floor: int
    going: bool
    usage: Mapping[str, Usage]
    reverts: tuple[Revert, ...] = ()
    adopt: Adoption | None = None


@attrs.frozen
class Stepped:
    """The steps that make more and the steps that leave less, and what is held back of them."""

    grow: tuple[Step, ...]
    shrink: tuple[Step, ...]
    held: tuple[Held, ...]


def steps_of(order: Order, memory: PlanMemory, ledger: Ledger) -> Stepped:
    """Return the steps of one deployment; growth goes through the quota gate and is written to ``ledger``."""
    made = _Steps(order, memory, ledger)
    reverted = made.revert()
    for row in order.rows:
        if row.writable and (row.key.cluster, row.group_key) not in reverted:
            made.converge(row)
    made.reload()
    made.restart()
    made.relieve()
    made.clear_away()
    return Stepped(tuple(made.grow), tuple(made.shrink), tuple(made.held))


class _Steps:
    def __init__(self, order: Order, memory: PlanMemory, ledger: Ledger) -> None:
        self.order = order
        self.memory = memory
        self.ledger = ledger
        self.grow: list[Step] = []
        self.shrink: list[Step] = []
        self.held: list[Held] = []

    @cached_property
    def standing(self) -> tuple[Standing, ...]:
        """What must still stand when a destructive step is taken."""
        return _standing(self.order)

    def revert(self) -> frozenset[tuple[str, GroupKey]]:
        """Put back what others changed, and return the groups that nothing else is written to in this turn."""
        taken = [step for step in self.order.reverts if not self._waits(step)]
        self.shrink.extend(taken)
        return frozenset((step.cluster, step.group) for step in taken)

    def converge(self, row: Row) -> None:
        """Bring one group to the count that it should have after this turn."""
        drained = self.order.drained.get(row.key, ())
        more = self.order.grow.get(row.key, 0)
        target = row.alive - len(drained) - self.order.forgone.get(row.key, 0) + more
        group = row.group
        if group is None:
            if target > 0:
                self._grow(row, target, self._why_new(row))
            return
        # One that came back with its node is asked for if it is wanted, and else given up as it is.
        if more or (target > group.target and not row.surplus):
            self._grow(row, target, self._why_more(row))
        elif drained or target < group.target:
            self._shrink(row, target, drained)
        elif row.relabels and group.owner != self.order.owner:
            self._grow(row, target, f"its owner is {self.order.owner} now")
        elif row.relabels and group.generation != row.generation:
            self._grow(row, target, "it is the newest revision again")
        elif not is_stored(row):
            self._grow(row, target, f"version {row.template.model.version} is wanted")

    def _grow(self, row: Row, target: int, because: str) -> None:
        group = row.group
        step = Grow(
            cluster=row.key.cluster,
            group=row.group_key,
            owner=self.order.owner,
            generation=row.generation,
            template=row.template,
            target=target,
            was=group.target if group is not None else 0,
            reloading=row.reloading,
            version=group.version if group is not None else None,
            because=because,
        )
        if self._waits(step):
            return
        admitted, reason = admit(step, group, self.ledger, self.order.wanted)
        if reason is not None:
            self._hold(row.key.cluster, reason)
        if admitted is not None:
            self.grow.append(admitted)

    def _shrink(self, row: Row, target: int, drained: tuple[Member, ...]) -> None:
        group = row.group
        if group is None:
            raise RuntimeError(f"{row.group_key} does not exist and cannot shrink")
        step = Shrink(
            cluster=row.key.cluster,
            group=row.group_key,
            owner=self.order.owner,
            generation=row.generation,
            template=row.template,
            target=target,
            was=group.target,
            retire=tuple(sorted(member.replica.id for member in drained)),
            overdue=tuple(
                sorted(
                    member.replica.id
                    for member in drained
                    if place(member.cluster, member.replica.id) in self.order.overdue
                )
            ),
            version=group.version,
            standing=self.standing if any(row.could_serve(member) for member in drained) else (),
            idle=tuple(sorted(member.replica.id for member in drained if not row.could_serve(member))),
            because=self._why_less(row, drained),
        )
        if not self._waits(step):
            self.shrink.append(step)

    def reload(self) -> None:
        """Have replicas load the version that is wanted, beside the one that they serve."""
        for row in self.order.rows:
            for member in next_to_reload(row) if row.writable else ():
                endpoint = member.replica.endpoint
                if endpoint is None or place(member.cluster, member.replica.id) in self.order.victims:
                    continue
                reason = obstacle(row, member, self.order.usage)
                if reason is not None:
                    self._hold(member.cluster, reason)
                    continue
                others = tuple(one for one in self.standing if one.replica != member.replica.id)
                step = Reload(
                    cluster=member.cluster,
                    deployment=self.order.deployment,
                    replica=member.replica.id,
                    incarnation=member.replica.incarnation,
                    endpoint=endpoint,
                    template=row.template,
                    standing=others if member.ready else (),
                    because=f"version {row.template.model.version} is wanted",
                )
                if not self._waits(step):
                    self.shrink.append(step)

    def restart(self) -> None:
        """Restart servers that run and have not been ready for longer than they may take to start."""
        for row in self.order.rows if self.order.unready else ():
            for member in row.standing if row.restarts else ():
                key = process_place(member.cluster, member.replica.id, member.replica.incarnation)
                health, stop = row.template.health, row.template.stop
                limit = max(health.start_within.ms, stop.drain_within.ms)
                if (self.order.unready.get(key) or 0) >= limit:
                    step = Restart(
                        cluster=member.cluster,
                        deployment=self.order.deployment,
                        replica=member.replica.id,
                        incarnation=member.replica.incarnation,
                        grace=row.grace,
                        standing=(),
                        idle=(member.replica.id,),
                        overdue=(member.replica.id,) if member.passage is not None and not member.is_idle else (),
                        because=f"it runs and was not ready for {limit // 1000}s",
                    )
                    if not self._waits(step):
                        self.shrink.append(step)

    def relieve(self) -> None:
        """Restart or evict who gives way, now that nobody is sent to it."""
        if self.order.restart is not None:
            self._end(self.order.restart, Restart)
        if self.order.evict is not None and self._may_be_replaced(self.order.evict):
            self._end(self.order.evict, Evict)

    def _may_be_replaced(self, member: Member) -> bool:
        """Return whether its owner may hold one more: another one comes while this one still ends."""
        resources = member.group.template.resources
        if self.ledger.quota_room(self.order.owner, resources, self.order.deployment) < 1:
            self._hold(member.cluster, over_quota(self.order.owner, resources, 1, self.ledger))
            return False
        self.ledger.grow(self.order.owner, resources, 1)
        return True

    def _end(self, member: Member, how: type[Restart | Evict]) -> None:
        replica = member.replica
        row = next(row for row in self.order.rows if replica.id in row.out)
        serves = row.could_serve(member)
        step = how(
            cluster=member.cluster,
            deployment=self.order.deployment,
            replica=replica.id,
            incarnation=replica.incarnation,
            grace=row.grace,
            standing=self.standing if serves else (),
            idle=() if serves else (replica.id,),
            overdue=(replica.id,) if place(member.cluster, replica.id) in self.order.overdue else (),
            because=row.because,
        )
        if not self._waits(step):
            self.shrink.append(step)

    def clear_away(self) -> None:
        """Delete empty groups beyond the history that is kept; the last proven revision stays."""
        empty = [row for row in self.order.rows if row.writable and not row.current and _is_empty(row.group)]
        keep = set() if self.order.going or not empty else set(_history(self.order))
        for row in empty:
            group = row.group
            if group is None or row.key in keep:
                continue
            because = (
                "the deployment is removed" if self.order.going else f"beyond the history of {self.order.spec.history}"
            )
            step = Delete(
                cluster=row.key.cluster,
                group=row.group_key,
                grace=row.grace,
                version=group.version,
                standing=(),
                because=because,
            )
            if not self._waits(step):
                self.shrink.append(step)

    # ---- holding back ----

    def _waits(self, step: Step) -> bool:
        reason = waiting(self.memory, step.cluster, step.subject)
        if reason is not None:
            self._hold(step.cluster, reason)
        return reason is not None

    def _hold(self, cluster: str, reason: Reason) -> None:
        self.held.append(Held(deployment=self.order.deployment, cluster=cluster, reason=reason))

    # ---- why ----

    def _why_new(self, row: Row) -> str:
        adopt = self.order.adopt
        here = (other for other in self.order.rows if other.key.cluster == row.key.cluster and other.group is not None)
        if adopt is not None and adopt.cluster == row.key.cluster and next(here, None) is None:
            return f"{adopt.object} is taken over as it is, if it is there"
        others = sum(other.alive for other in self.order.rows if other.key != row.key)
        return "a new revision" if others else f"{self.order.wanted} wanted, none there"

    def _why_more(self, row: Row) -> str:
        lost = len(row.group.replicas) - len(row.members) if row.group is not None else 0
        if lost:
            return f"{lost} of its replicas lost"
        if row.yields:
            return f"in the place of {row.yields}: {row.because}"
        return f"{row.aim} wanted here, {row.alive} there"

    def _why_less(self, row: Row, drained: tuple[Member, ...]) -> str:
        if not drained:
            left = row.alive - self.order.forgone.get(row.key, 0)
            return f"{left} left of {row.group.target if row.group is not None else 0}"
        if self.order.going:
            return "the deployment is removed"
        if any(member.replica.id == row.yields for member in drained):
            return f"{row.yields} gives way: {row.because}"
        return f"{row.aim} wanted of this revision, {len(drained)} drained"


def _standing(order: Order) -> tuple[Standing, ...]:
    """Return ``floor`` serving replicas.

    A destructive step is only taken while all of these stand as they were seen.
    """
    if not order.floor:
        return ()
    serving = sorted(
        (member.cluster, member.replica.id, member.replica.incarnation)
        for row in order.rows
        for member in row.serving
        if place(member.cluster, member.replica.id) not in order.victims
    )
    return tuple(
        Standing(cluster=cluster, replica=replica, incarnation=incarnation)
        for cluster, replica, incarnation in serving[: order.floor]
    )


def _is_empty(group: Group | None) -> bool:
    return group is not None and not group.target and not group.replicas


def _history(order: Order) -> Iterator[RowKey]:
    """Yield the groups to keep at zero: the newest of each cluster, and the last proven one."""
    existing = sorted((row for row in order.rows if row.group is not None), key=lambda row: -row.generation)
    for cluster in {row.key.cluster for row in existing}:
        past = [row for row in existing if row.key.cluster == cluster and not row.current]
        yield from (row.key for row in past[: order.spec.history])
    proven = next((row for row in existing if order.groups[place(row.key.cluster, row.group_key)].proven), None)
    if proven is not None:
        yield proven.key
