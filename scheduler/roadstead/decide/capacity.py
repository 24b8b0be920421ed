"""How many more replicas fit on a cluster: node by node, or, where there are many nodes, on all of them at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from roadstead.decide.ledger import Freed, Ledger
from roadstead.decide.rooms import Demand, node_room, obstacles, spread_room
from roadstead.world import Node, Snapshot

__all__ = ["MANY_NODES", "room"]

_WITHOUT_LIMIT = 2**63

MANY_NODES = 64
"""More nodes than these are compared all at once."""


def room(
    snapshot: Snapshot, ledger: Ledger, demand: Demand, freed: Freed | None = None, *, enough: int = _WITHOUT_LIMIT
) -> int:
    """Return how many more replicas fit on a directed cluster, counting on until that is ``enough``."""
    found = _room_on(snapshot.nodes[:MANY_NODES], ledger, demand, freed, enough)
    if found >= enough or len(snapshot.nodes) <= MANY_NODES:
        return found
    # Deferred on purpose: numpy is a fifth of a small daemon, which has not that many nodes.
    from roadstead.decide.placement.columns import columns_of  # noqa: PLC0415

    return columns_of(ledger, demand.cluster, snapshot).room(demand, freed)


def _room_on(nodes: Iterable[Node], ledger: Ledger, demand: Demand, freed: Freed | None, enough: int) -> int:
    total = 0
    taken: Counter[str] = Counter()
    for node in nodes:
        if obstacles(node, ledger, demand, freed):
            continue
        domain = demand.domain(node)
        more = min(node_room(node, ledger, demand, freed), spread_room(node, demand, freed) - taken[domain])
        taken[domain] += max(0, more)
        total += max(0, more)
        if total >= enough:
            break
    return total
