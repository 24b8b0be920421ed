"""Which node and which devices each slot gets, on clusters where we decide it.

The policy ranks, the core checks: a candidate is only shown to a policy when the replica fits there.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from roadstead.decide.capacity import MANY_NODES, has_no_room
from roadstead.decide.ledger import Ledger
from roadstead.decide.rooms import Demand, devices_for, obstacles
from roadstead.holdings import use_of
from roadstead.spi.policies import Candidate, PlacementPolicy
from roadstead.units import Cpus, Memory
from roadstead.world import Node, Snapshot

__all__ = ["Seat", "candidate", "first_of", "seat"]


@attrs.frozen
class Seat:
    """A node, and the devices there, for one replica."""

    node: str
    devices: tuple[str, ...]


def seat(snapshot: Snapshot, ledger: Ledger, demand: Demand, policy: PlacementPolicy) -> Seat | None:
    """Return the best seat for one more replica, or ``None`` where it fits nowhere.

    A preferred spread comes before the policy: fewer replicas of the deployment in the node's domain is better. Equal
    candidates are told apart by the node's name, so that the choice does not depend on the order of the input.
    """
    if has_no_room(ledger, demand):
        return None
    if len(snapshot.nodes) > MANY_NODES:
        # Deferred on purpose: numpy is a fifth of a small daemon, which has not that many nodes.
        from roadstead.decide.placement.ranking import best  # noqa: PLC0415

        return best(snapshot, ledger, demand, policy)
    return first_of(snapshot.nodes, ledger, demand, policy)


def first_of(nodes: Iterable[Node], ledger: Ledger, demand: Demand, policy: PlacementPolicy) -> Seat | None:
    """Return the best seat on these nodes, asking the policy about one after the other."""
    ranked = []
    for node in nodes:
        if obstacles(node, ledger, demand):
            continue
        devices = devices_for(node, ledger, demand)
        if devices is None:
            continue
        crowd = demand.crowd.get(demand.domain(node), 0) if demand.template.placement.spread is not None else 0
        ranked.append((crowd, policy.key(candidate(node, ledger, demand, devices)), node.name, devices))
    if not ranked:
        return None
    _, _, name, devices = min(ranked)
    return Seat(name, devices)


def candidate(node: Node, ledger: Ledger, demand: Demand, devices: tuple[str, ...]) -> Candidate:
    """Return what a policy is shown of a node on which a replica fits, with these devices."""
    use = use_of(demand.template.resources)
    free = ledger.free(demand.cluster, node, demand.deployment)
    rooms = {
        device.id: ledger.device_room(demand.cluster, node, device, demand.deployment).milli for device in node.devices
    }
    taken = use.gpu // len(devices) if devices else 0
    return Candidate(
        node=node.name,
        siblings=demand.siblings.get(node.name, 0),
        cpu=node.cpu,
        memory=node.memory,
        free_cpu=Cpus(free.cpu - use.cpu),
        free_memory=Memory(free.memory - use.memory),
        gpus=len(node.devices),
        free_gpu=max(0, sum(rooms.values()) - use.gpu),
        device_left=max(0, min((rooms[device] for device in devices), default=0) - taken),
    )
