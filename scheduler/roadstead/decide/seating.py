"""Seats for the slots of a deployment, on clusters where our placement picks the node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from roadstead.decide.back_off import waiting
from roadstead.decide.case import Case
from roadstead.decide.enough import refusal
from roadstead.decide.ledger import Ledger
from roadstead.decide.placement import seat
from roadstead.decide.rooms import demand, is_directed
from roadstead.decide.rows import Row
from roadstead.holdings import Placed
from roadstead.memory import place
from roadstead.model import Resources
from roadstead.plans import Bind, Held
from roadstead.reasons import Amount, Change, ChangeKind, Reason
from roadstead.spi.policies import PlacementPolicy
from roadstead.world import GroupKey, Member

__all__ = ["Seating", "seating"]


@attrs.frozen
class Seating:
    """Which slots are bound where, and why others are not."""

    binds: tuple[Bind, ...] = ()
    held: tuple[Held, ...] = ()


def seating(
    case: Case,
    rows: Sequence[Row],
    victims: frozenset[str],
    ledger: Ledger,
    policies: Mapping[str, PlacementPolicy],
) -> Seating:
    """Return a seat for every slot that has room somewhere; what is given away is written to ``ledger``.

    Slots in ``victims`` are on their way out and get none.
    """
    if case.declared is None or not any(row.crew.slots for row in rows):
        return Seating()
    taken = _Seats(case, case.declared.place, ledger, policies[case.declared.place])
    for row in rows:
        slots = [member for member in row.crew.slots if place(member.cluster, member.replica.id) not in victims]
        if slots and row.writable and row.open:
            taken.fill(row, slots)
    return Seating(tuple(taken.binds), tuple(taken.held))


class _Seats:
    def __init__(self, case: Case, policy_name: str, ledger: Ledger, policy: PlacementPolicy) -> None:
        self.case = case
        self.policy_name = policy_name
        self.ledger = ledger
        self.policy = policy
        self.binds: list[Bind] = []
        self._resources: dict[GroupKey, Resources] = {}
        self.held: list[Held] = []
        self._siblings = {cluster: Counter(there.nodes) for cluster, there in case.shard.on.items()}

    def fill(self, row: Row, slots: Sequence[Member]) -> None:
        """Bind as many slots of ``row`` as have room."""
        cluster = row.key.cluster
        snapshot = self.case.world.clusters[cluster].snapshot
        if snapshot is None:
            return
        if not is_directed(snapshot):
            self._say(cluster, slots, row)
            return
        self._resources[row.group_key] = row.template.resources
        for number, member in enumerate(slots):
            wait = waiting(self.case.memory, cluster, member.replica.id)
            if wait is not None:
                self._hold(cluster, wait)
                continue
            siblings, own = self._siblings.setdefault(cluster, Counter()), partial(self._own, cluster)
            wish = demand(cluster, snapshot, self.case.name, row.template, siblings, own=own)
            found = seat(snapshot, self.ledger, wish, self.policy)
            if found is None:
                placed = row.crew.placed + number
                lacking = max(row.aim, row.alive) - placed
                reason = refusal(snapshot, self.ledger, wish, count=lacking)
                self._hold(cluster, self._counted(reason, placed=placed, lacking=lacking))
                return
            self.ledger.place(cluster, found.node, found.devices, row.template.resources)
            self.ledger.release_claim(self.case.name, cluster, found.node)
            siblings[found.node] += 1
            self.binds.append(
                Bind(
                    cluster=cluster,
                    replica=member.replica.id,
                    group=row.group_key,
                    node=found.node,
                    devices=found.devices,
                    because=f"{self.policy_name} puts it there",
                )
            )

    def _own(self, cluster: str) -> tuple[Placed, ...]:
        """Return what the deployment holds, with what it was just given."""
        just = (
            Placed(node=bind.node, devices=bind.devices, resources=self._resources[bind.group])
            for bind in self.binds
            if bind.cluster == cluster
        )
        return (*self.case.placed_on(cluster), *just)

    def _say(self, cluster: str, slots: Sequence[Member], row: Row) -> None:
        """Pass on why the cluster's own scheduler has not placed these, each reason once with its count."""
        reasons = [member.replica.reason for member in slots if member.replica.reason is not None]
        for reason in dict.fromkeys(reasons):
            counted = attrs.evolve(reason, count=reasons.count(reason), total=row.alive)
            self._hold(cluster, counted)

    def _counted(self, reason: Reason, *, placed: int, lacking: int) -> Reason:
        """Say how many replicas wait, and where fewer would do, that this is the cheapest change."""
        detail = f"{lacking} of {placed + lacking} replicas wait for a node: {reason.detail}"
        change = reason.change
        if placed > 0 and (change is None or change.kind > ChangeKind.LOWER_REPLICAS):
            amounts = (Amount("fewer", lacking),)
            change = Change(ChangeKind.LOWER_REPLICAS, f"lower replicas by {lacking}", "replicas", amounts)
        return attrs.evolve(reason, detail=detail, change=change)

    def _hold(self, cluster: str, reason: Reason) -> None:
        self.held.append(Held(deployment=self.case.name, cluster=cluster, reason=reason))
