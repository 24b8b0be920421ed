"""The best of many nodes, compared as columns; what it returns is what comparing them one by one would.

What a policy says of a node is kept, and asked again only about nodes that got something since, that have replicas of
the deployment, or on which it has claims.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roadstead.decide.ledger import Ledger
from roadstead.decide.placement import Seat, candidate, first_of
from roadstead.decide.placement.columns import Columns, Flags, Ints, Rows, columns_of
from roadstead.decide.rooms import Demand, devices_for
from roadstead.holdings import use_of
from roadstead.model import Resources
from roadstead.spi.policies import Candidates, PlacementPolicy, RanksTogether
from roadstead.world import Snapshot

__all__ = ["best", "candidates"]

_LAST = np.iinfo(np.int64).max


def best(snapshot: Snapshot, ledger: Ledger, demand: Demand, policy: PlacementPolicy) -> Seat | None:
    """Return the seat that ``policy`` puts first of all that one more replica could have."""
    columns = columns_of(ledger, demand.cluster, snapshot)
    fits = columns.fitting(demand)
    if not isinstance(policy, RanksTogether):
        return first_of((columns.nodes[row] for row in np.flatnonzero(fits)), ledger, demand, policy)
    keys = _keys(columns, fits, ledger, demand, policy)
    first = np.where(fits, keys[0], _LAST)
    rows = np.flatnonzero((first == first.min()) & fits)
    for key in keys[1:]:
        if len(rows) < 2:
            break
        left = key[rows]
        rows = rows[left == left.min()]
    if not len(rows):
        return None
    node = columns.nodes[int(rows[0])]
    devices = devices_for(node, ledger, demand)
    return Seat(node.name, devices) if devices is not None else None


def _keys(columns: Columns, fits: Flags, ledger: Ledger, demand: Demand, policy: RanksTogether) -> Sequence[Ints]:
    """Return the keys in the order of their weight: a preferred spread comes before the policy."""
    keys = _kept(columns, demand.template.resources, policy)
    odd = columns.odd_rows(demand)
    concerned = odd | {columns.row[name] for name in demand.siblings if name in columns.row}
    special = sorted(row for row in concerned if fits[row])
    if special:
        rows = np.array(special, np.int64)
        shown = candidates(columns, rows, demand.template.resources)
        _correct(shown, columns, special, odd, ledger, demand)
        keys = [key.copy() for key in keys]
        for key, now in zip(keys, policy.keys(shown), strict=True):
            key[rows] = now
    crowd = columns.crowd(demand)
    return keys if crowd is None else [crowd, *keys]


def _kept(columns: Columns, resources: Resources, policy: RanksTogether) -> Sequence[Ints]:
    """Return the keys as for a deployment that has no replica yet, kept up with what was given."""
    keys, seen = columns.kept.get((policy, resources), ((), 0))
    if not keys:
        keys = tuple(np.array(key) for key in policy.keys(candidates(columns, slice(None), resources)))
    elif seen < len(columns.given):
        rows = np.unique(np.array(columns.given[seen:], np.int64))
        for key, now in zip(keys, policy.keys(candidates(columns, rows, resources)), strict=True):
            key[rows] = now
    columns.kept[policy, resources] = keys, len(columns.given)
    return keys


def candidates(columns: Columns, at: Rows, resources: Resources) -> Candidates:
    """Return what a policy is shown of these rows, for a deployment that has no replica there."""
    use = use_of(resources)
    cpu = columns.all_cpu[at]
    return Candidates(
        siblings=np.zeros(len(cpu), np.int64),
        cpu=cpu,
        memory=columns.all_memory[at],
        free_cpu=columns.cpu[at] - use.cpu,
        free_memory=columns.memory[at] - use.memory,
        gpus=columns.all_gpus[at],
        free_gpu=np.maximum(columns.free_gpu[at] - use.gpu, 0),
        device_left=columns.device_left(resources.gpu)[at],
    )


def _correct(
    shown: Candidates, columns: Columns, rows: Sequence[int], odd: set[int], ledger: Ledger, demand: Demand
) -> None:
    """Put in what is this deployment's own: its replicas there, and what its claims keep for it."""
    for place, row in enumerate(rows):
        node = columns.nodes[row]
        shown.siblings[place] = demand.siblings.get(node.name, 0)
        devices = devices_for(node, ledger, demand) if row in odd else None
        if devices is None:
            continue
        one = candidate(node, ledger, demand, devices)
        shown.free_cpu[place] = one.free_cpu.milli
        shown.free_memory[place] = one.free_memory.bytes
        shown.free_gpu[place] = one.free_gpu
        shown.device_left[place] = one.device_left
