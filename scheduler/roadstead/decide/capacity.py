"""How many more replicas fit on a cluster: node by node, or, where there are many nodes, on all of them at once.

What was counted holds for whoever asks for the same, as long as nothing is given away on the cluster. So it is kept
with the ledger: where thousands of deployments wait for room, the nodes are compared once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.rooms import Demand, node_room, spread_room
from roadstead.holdings import Use
from roadstead.model import PlacementSpec, Resources
from roadstead.world import Node, Snapshot

__all__ = ["MANY_NODES", "Kind", "free_in_all", "has_no_room", "kind_of", "room"]

_WITHOUT_LIMIT = 2**63

MANY_NODES = 64
"""More nodes than these are compared all at once."""


@attrs.frozen
class Kind:
    """All that room for a demand depends on besides the ledger: who asks makes no difference but for its own claims."""

    resources: Resources
    placement: PlacementSpec
    crowd: frozenset[tuple[str, int]]
    claimant: str


def kind_of(ledger: Ledger, demand: Demand) -> Kind:
    """Return of which kind a demand is."""
    claims = ledger.claimed_by(demand.deployment, demand.cluster)
    return Kind(
        demand.template.resources,
        demand.template.placement,
        frozenset(demand.crowd.items()),
        demand.deployment if claims else "",
    )


class _Counted:
    """What was counted on one cluster; follows the ledger by forgetting it."""

    def __init__(self) -> None:
        self.rooms: dict[Kind, int] = {}
        self.free: dict[str, Use] = {}

    def follow(self, node: str) -> None:  # noqa: ARG002  # of whatever node
        self.rooms.clear()
        self.free.clear()


def room(
    snapshot: Snapshot, ledger: Ledger, demand: Demand, freed: Freed | None = None, *, enough: int = _WITHOUT_LIMIT
) -> int:
    """Return how many more replicas fit on a directed cluster, counting on until that is ``enough``."""
    if freed is not None:
        return _room_without(snapshot, ledger, demand, freed, enough)
    counted = ledger.follower(demand.cluster, _Counted, _Counted)
    known = counted.rooms.get(kind_of(ledger, demand)) if counted.rooms else None
    if known is not None:
        return known
    found = _room_on(snapshot.nodes[:MANY_NODES], ledger, demand, None, enough)
    if found >= enough:
        return found
    if len(snapshot.nodes) > MANY_NODES:
        found = _room_in_columns(snapshot, ledger, demand, None)
    counted.rooms[kind_of(ledger, demand)] = found
    return found


def has_no_room(ledger: Ledger, demand: Demand) -> bool:
    """Return whether it was counted already that not one more fits; does not count itself."""
    counted = ledger.follower(demand.cluster, _Counted, _Counted)
    return bool(counted.rooms) and counted.rooms.get(kind_of(ledger, demand), 1) <= 0


def _room_without(snapshot: Snapshot, ledger: Ledger, demand: Demand, freed: Freed, enough: int) -> int:
    """Return the room there would be: that of now, and what is more on the one node that it leaves."""
    spread, node = demand.template.placement.spread, snapshot.by_node.get(freed.node)
    if spread is not None and spread.max_per is not None:
        if len(snapshot.nodes) <= MANY_NODES:
            return _room_on(snapshot.nodes, ledger, demand, freed, enough)
        return _room_in_columns(snapshot, ledger, demand, freed)
    now = room(snapshot, ledger, demand, enough=enough)
    if now >= enough or node is None or freed.cluster != demand.cluster:
        return now
    return now - _room_on((node,), ledger, demand, None, enough) + _room_on((node,), ledger, demand, freed, enough)


def _room_in_columns(snapshot: Snapshot, ledger: Ledger, demand: Demand, freed: Freed | None) -> int:
    # Deferred on purpose: numpy is a fifth of a small daemon, which has not that many nodes.
    from roadstead.decide.placement.columns import columns_of  # noqa: PLC0415

    return columns_of(ledger, demand.cluster, snapshot).room(demand, freed)


def _room_on(nodes: Iterable[Node], ledger: Ledger, demand: Demand, freed: Freed | None, enough: int) -> int:
    total = 0
    taken: Counter[str] = Counter()
    constraints = demand.template.placement.constraints
    for node in nodes:
        if not node.schedulable or not all(one.holds(node.attributes) for one in constraints):
            continue
        domain = demand.domain(node)
        more = min(node_room(node, ledger, demand, freed), spread_room(node, demand, freed) - taken[domain])
        taken[domain] += max(0, more)
        total += max(0, more)
        if total >= enough:
            break
    return total


# ---- what is free in all ----


def free_in_all(snapshot: Snapshot, ledger: Ledger, cluster: str, deployment: str) -> Use:
    """Return what ``deployment`` may use of all the nodes of a cluster together; its own claims are free to it."""
    counted = ledger.follower(cluster, _Counted, _Counted)
    claimant = deployment if ledger.claimed_by(deployment, cluster) else ""
    found = counted.free.get(claimant)
    if found is None:
        found = counted.free[claimant] = _free_in_all(snapshot, ledger, cluster, claimant)
    return found


def _free_in_all(snapshot: Snapshot, ledger: Ledger, cluster: str, deployment: str) -> Use:
    total = Use()
    for node in snapshot.nodes:
        if node.schedulable:
            rooms = [ledger.device_room(cluster, node, device, deployment).milli for device in node.devices]
            total += ledger.free(cluster, node, deployment) + Use(gpu=sum(rooms))
    return total
