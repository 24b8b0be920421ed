"""What is answered to a deployment that asks for room: by the nodes of a cluster, and by its owner's quota."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from roadstead.decide import slots
from roadstead.decide.case import Case
from roadstead.decide.fit import Fit, No, Question, Yes, fit
from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.limits import over_quota
from roadstead.decide.prospects import answered
from roadstead.memory import ClusterMemory, SlotMemory
from roadstead.world import Member

__all__ = ["Answers"]


@attrs.frozen
class Answers:
    """The answers for one case: as of what the ledger has left, and of what is known of clusters and of slots."""

    case: Case
    ledger: Ledger
    clusters: Mapping[str, ClusterMemory]
    waits: Mapping[str, SlotMemory]

    def __call__(self, question: Question) -> Fit:
        """Return whether it fits: on the cluster's nodes, and in the owner's quota."""
        row, case = question.row, self.case
        snapshot = case.world.clusters[row.key.cluster].snapshot
        if snapshot is None:
            raise RuntimeError(f"{row.key.cluster} was never seen, and a row of it asks for room")
        allowed = self._allowed(question)
        if allowed <= 0:
            return No(over_quota(case.owner, row.template.resources, question.count, self.ledger))
        ahead = len(case.on(row.key.cluster).slots) + row.promised + question.granted
        wish = case.demand_on(row.key.cluster, snapshot, row.template, ahead=ahead)
        answer = fit(snapshot, self.ledger, wish, allowed, _freed(question.without))
        if question.without is None:
            answer = answered(self.clusters.get(row.key.cluster), answer, row.key.cluster, row.template)
            answer = slots.answered(self.waits, row, answer)
        if isinstance(answer, Yes):
            return Yes(min(answer.count, allowed), by_quota=answer.count >= allowed < question.count)
        return answer

    def _allowed(self, question: Question) -> int:
        """Return how many of those that are asked for the quota allows."""
        owner, resources = self.case.owner, question.row.template.resources
        if question.without is None:
            quota_room = self.ledger.quota_room(owner, resources, self.case.name)
            return min(question.count, quota_room - question.granted)
        given_up = question.without.group.template.resources
        return question.count if self.ledger.quota_allows_swap(owner, given_up, resources) else 0


def _freed(member: Member | None) -> Freed | None:
    """Return what a replica holds that would be gone."""
    if member is None or member.replica.node is None:
        return None
    return Freed(
        cluster=member.cluster,
        node=member.replica.node,
        devices=member.replica.devices,
        resources=member.group.template.resources,
    )
