"""The nodes of one cluster as columns of numbers, so that ten thousand of them are compared at once.

Exact: a node is in :meth:`Columns.fitting` if, and only if, :func:`roadstead.decide.fit.obstacles` has nothing against
it. What is about single nodes (claims of its own, a replica that would be gone) is asked there. Rows are in the order
of the nodes' names, and follow what the ledger gives away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from roadstead.decide.ledger import DeviceRoom, Freed, Ledger
from roadstead.decide.rooms import Demand, is_wanted, node_room, obstacles
from roadstead.model import Constraint, Gpu, GpuPart, GpuPartition, Resources, WholeGpus
from roadstead.spi.policies import RanksTogether
from roadstead.units import Memory
from roadstead.world import Device, Node, Snapshot

__all__ = ["Columns", "Flags", "Ints", "columns_of"]

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Rows = Ints | slice

_WITHOUT_LIMIT = 2**62
_NOBODY = ""
"""A deployment without claims, which no name is."""


def columns_of(ledger: Ledger, cluster: str, snapshot: Snapshot) -> Columns:
    """Return the columns of a cluster as of the steps planned so far; they are made once for each plan."""
    return ledger.follower(cluster, Columns, lambda: Columns(cluster, snapshot.nodes, ledger))


class Columns:
    """What is free on each node of one cluster, a row each, in the units of :class:`roadstead.holdings.Use`.

    Free to a deployment without claims. ``nodes`` are by name.

    ``given`` are the rows that the ledger gave something of since these columns were made, in order: whoever keeps
    something about rows brings it forward from there. ``kept`` is what policies said of all rows, as of so many given.
    """

    def __init__(self, cluster: str, nodes: tuple[Node, ...], ledger: Ledger) -> None:
        self._ledger = ledger
        self._cluster = cluster
        self.nodes = tuple(sorted(nodes, key=lambda node: node.name))
        self.row = {node.name: row for row, node in enumerate(self.nodes)}
        self.given: list[int] = []
        self.kept: dict[tuple[RanksTogether, Resources], tuple[Sequence[Ints], int]] = {}
        free = [ledger.free(cluster, node, _NOBODY) for node in self.nodes]
        self.cpu = _ints(use.cpu for use in free)
        self.memory = _ints(use.memory for use in free)
        self.disk = _ints(use.disk for use in free)
        self._schedulable = np.fromiter((node.schedulable for node in self.nodes), np.bool_, len(self.nodes))
        self._fits: dict[tuple[Resources, tuple[Constraint, ...]], tuple[Flags, int]] = {}
        self._constraints: dict[Constraint, Flags] = {}
        self._domains: dict[str, _Domains] = {}
        self._devices = _Devices(cluster, self.nodes, ledger)

    @cached_property
    def all_cpu(self) -> Ints:
        """What the nodes have in all, in milli-cores."""
        return _ints(node.cpu.milli for node in self.nodes)

    @cached_property
    def all_memory(self) -> Ints:
        """What the nodes have in all, in bytes."""
        return _ints(node.memory.bytes for node in self.nodes)

    @cached_property
    def all_gpus(self) -> Ints:
        """How many devices the nodes have."""
        return _ints(len(node.devices) for node in self.nodes)

    @property
    def free_gpu(self) -> Ints:
        """What is free of all devices together, in thousandths of one."""
        return self._devices.free

    def follow(self, node: str) -> None:
        """Follow the ledger: something was given away there, or a claim was released."""
        row = self.row[node]
        free = self._ledger.free(self._cluster, self.nodes[row], _NOBODY)
        self.cpu[row], self.memory[row], self.disk[row] = free.cpu, free.memory, free.disk
        self._devices.follow(row)
        self.given.append(row)

    # ---- what fits ----

    def fitting(self, demand: Demand, freed: Freed | None = None) -> Flags:
        """Return on which nodes one more replica fits; not to be changed."""
        fits = self._fitting(demand.template.resources, demand.template.placement.constraints)
        spread = demand.template.placement.spread
        if spread is not None and spread.max_per is not None:
            domains = self._domains_by(spread.by)
            fits = fits & ((spread.max_per - domains.counted(demand.crowd))[domains.rows] > 0)
        odd = self.odd_rows(demand, freed)
        if odd:
            fits = fits.copy()
            for row in odd:
                fits[row] = not obstacles(self.nodes[row], self._ledger, demand, freed)
        return fits

    def _fitting(self, resources: Resources, constraints: tuple[Constraint, ...]) -> Flags:
        """Return on which nodes such a replica of nobody in particular fits, kept up with what was given."""
        fits, seen = self._fits.get((resources, constraints), (None, 0))
        if fits is None:
            fits = self._fits_at(slice(None), resources, constraints)
        elif seen < len(self.given):
            rows = np.array(self.given[seen:], np.int64)
            fits[rows] = self._fits_at(rows, resources, constraints)
        self._fits[resources, constraints] = fits, len(self.given)
        return fits

    def _fits_at(self, at: Rows, resources: Resources, constraints: tuple[Constraint, ...]) -> Flags:
        fits: Flags = self._schedulable[at] & (self.cpu[at] >= resources.cpu.milli)
        fits &= self.memory[at] >= resources.memory.bytes
        fits &= self.disk[at] >= resources.disk.bytes
        if resources.gpu is not None:
            fits &= self._devices.room(resources.gpu)[at] > 0
        for constraint in constraints:
            fits &= self._satisfying(constraint)[at]
        return fits

    def room(self, demand: Demand, freed: Freed | None = None) -> int:
        """Return how many more replicas fit on all nodes together."""
        fits = np.flatnonzero(self.fitting(demand, freed))
        resources = demand.template.resources
        rooms = np.full(len(self.nodes), _WITHOUT_LIMIT if _asks(resources) else 1, np.int64)
        for free, each in (
            (self.cpu, resources.cpu.milli),
            (self.memory, resources.memory.bytes),
            (self.disk, resources.disk.bytes),
        ):
            if each:
                rooms[fits] = np.minimum(rooms[fits], free[fits] // each)
        if resources.gpu is not None:
            rooms[fits] = np.minimum(rooms[fits], self._devices.room(resources.gpu)[fits])
        for row in self.odd_rows(demand, freed):
            rooms[row] = node_room(self.nodes[row], self._ledger, demand, freed)
        spread = demand.template.placement.spread
        if spread is None or spread.max_per is None:
            return int(rooms[fits].sum())
        domains = self._domains_by(spread.by)
        caps = spread.max_per - domains.counted(demand.crowd)
        if freed is not None and freed.cluster == self._cluster and freed.node in self.row:
            caps[domains.rows[self.row[freed.node]]] += 1
        sums = _summed(rooms[fits], domains.rows[fits], len(caps))
        return int(np.maximum(np.minimum(sums, caps), 0).sum())

    def odd_rows(self, demand: Demand, freed: Freed | None = None) -> set[int]:
        """Return the rows of nodes about which the columns do not say all."""
        names = self._ledger.claimed_by(demand.deployment, self._cluster)
        rows = {self.row[name] for name in names if name in self.row}
        if freed is not None and freed.cluster == self._cluster and freed.node in self.row:
            rows.add(self.row[freed.node])
        return rows

    def _satisfying(self, constraint: Constraint) -> Flags:
        found = self._constraints.get(constraint)
        if found is None:
            answers = (constraint.holds(node.attributes) for node in self.nodes)
            found = self._constraints[constraint] = np.fromiter(answers, np.bool_, len(self.nodes))
        return found

    # ---- what a policy compares ----

    def crowd(self, demand: Demand) -> Ints | None:
        """Return how many replicas of the deployment each node's domain has; ``None`` where nothing is spread."""
        spread = demand.template.placement.spread
        if spread is None:
            return None
        domains = self._domains_by(spread.by)
        return domains.counted(demand.crowd)[domains.rows]

    def device_left(self, gpu: Gpu | None) -> Ints:
        """Return what would be left, in thousandths, of the fullest device that a replica would get."""
        return self._devices.left(gpu) if isinstance(gpu, GpuPart) else np.zeros(len(self.nodes), np.int64)

    def _domains_by(self, attribute: str) -> _Domains:
        found = self._domains.get(attribute)
        if found is None:
            found = self._domains[attribute] = _Domains(
                [node.name if attribute == "hostname" else node.attributes.get(attribute, "") for node in self.nodes]
            )
        return found


class _Domains:
    """The values of one attribute: ``rows`` has for each node the place of its value."""

    def __init__(self, values: Sequence[str]) -> None:
        self._places = {value: place for place, value in enumerate(dict.fromkeys(values))}
        self.rows = _ints(self._places[value] for value in values)

    def counted(self, crowd: Mapping[str, int]) -> Ints:
        """Return the count of each value."""
        counts = np.zeros(len(self._places), np.int64)
        for value, count in crowd.items():
            if value in self._places:
                counts[self._places[value]] = count
        return counts


class _Devices:
    """All devices of all nodes, those of one node side by side; ``free`` is the sum of each node in thousandths."""

    def __init__(self, cluster: str, nodes: Sequence[Node], ledger: Ledger) -> None:
        self._cluster = cluster
        self._nodes = nodes
        self._ledger = ledger
        devices = [device for node in nodes for device in node.devices]
        self._milli = np.full(len(devices), 1000, np.int64)
        self._memory = _ints(max(0, device.memory.bytes - device.foreign.bytes) for device in devices)
        counts = _ints(len(node.devices) for node in nodes)
        self._first = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
        self._of = np.repeat(np.arange(len(nodes)), counts)
        of_kind = {_kind(device): device for device in devices}
        self._kinds = tuple(of_kind.values())
        places = {kind: place for place, kind in enumerate(of_kind)}
        self._kind = _ints(places[_kind(device)] for device in devices)
        self._rooms: dict[Gpu, Ints] = {}
        self._lefts: dict[GpuPart, Ints] = {}
        rows = {node.name: row for row, node in enumerate(nodes)}
        for name in ledger.nodes_with_devices_in_use(cluster):
            if name in rows:
                self._look_at(rows[name])
        self.free = _summed(self._milli, self._of, len(nodes))

    def room(self, gpu: Gpu) -> Ints:
        """Return how many more replicas each node's devices hold."""
        found = self._rooms.get(gpu)
        if found is None:
            found = self._rooms[gpu] = self._room(gpu, 0, len(self._nodes))
        return found

    def left(self, gpu: GpuPart) -> Ints:
        """Return what would be left of the device that a share would go to: the one where that is least."""
        found = self._lefts.get(gpu)
        if found is None:
            found = self._lefts[gpu] = self._left(gpu, 0, len(self._nodes))
        return found

    def follow(self, row: int) -> None:
        """Look at the devices of one node again, and bring what is known about the node forward."""
        if not self._nodes[row].devices:
            return
        self._look_at(row)
        self.free[row] = self._milli[int(self._first[row]) : int(self._first[row + 1])].sum()
        for gpu, rooms in self._rooms.items():
            rooms[row] = self._room(gpu, row, row + 1)[0]
        for part, lefts in self._lefts.items():
            lefts[row] = self._left(part, row, row + 1)[0]

    def _look_at(self, row: int) -> None:
        node = self._nodes[row]
        for place, device in enumerate(node.devices, start=int(self._first[row])):
            room = self._free(node, device)
            self._milli[place], self._memory[place] = room.milli, room.memory

    def _free(self, node: Node, device: Device) -> DeviceRoom:
        return self._ledger.device_room(self._cluster, node, device, _NOBODY)

    def _room(self, gpu: Gpu, row: int, end: int) -> Ints:
        """Return the rooms of the nodes from ``row`` to before ``end``."""
        if isinstance(gpu, GpuPartition):
            return _ints(self._partitions(node, gpu.profile) for node in self._nodes[row:end])
        span = slice(int(self._first[row]), int(self._first[end]))
        milli, memory, wanted = self._milli[span], self._memory[span], self._wanted(gpu, span)
        if isinstance(gpu, WholeGpus):
            whole = wanted & (milli == 1000) & (memory >= gpu.memory.bytes)
            return _summed(whole, self._of[span] - row, end - row) // gpu.count
        each = milli // gpu.share.milli
        if gpu.memory.bytes:
            each = np.minimum(each, memory // gpu.memory.bytes)
        return _summed(np.where(wanted, each, 0), self._of[span] - row, end - row)

    def _left(self, gpu: GpuPart, row: int, end: int) -> Ints:
        span = slice(int(self._first[row]), int(self._first[end]))
        milli = self._milli[span]
        able = self._wanted(gpu, span) & (milli >= gpu.share.milli) & (self._memory[span] >= gpu.memory.bytes)
        least = np.full(end - row, 1000, np.int64)
        np.minimum.at(least, self._of[span][able] - row, milli[able] - gpu.share.milli)
        return least

    def _wanted(self, gpu: Gpu, span: slice) -> Flags:
        """Return which of the devices in ``span`` are of the kind that is asked for."""
        wanted = np.fromiter((is_wanted(device, gpu) for device in self._kinds), np.bool_, len(self._kinds))
        found: Flags = wanted[self._kind[span]]
        return found

    def _partitions(self, node: Node, profile: str) -> int:
        return sum(self._free(node, device).partitions.count(profile) for device in node.devices)


def _kind(device: Device) -> tuple[str, Memory, tuple[str, ...]]:
    """Return what of a device decides whether it is of the kind that is asked for."""
    return device.model, device.memory, device.partitions


def _asks(resources: Resources) -> bool:
    return bool(resources.cpu.milli or resources.memory.bytes or resources.disk.bytes or resources.gpu is not None)


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)


def _summed(values: Ints | Flags, rows: Ints, count: int) -> Ints:
    sums = np.zeros(count, np.int64)
    np.add.at(sums, rows, values)
    return sums
