"""The ground of a simulated cluster: its nodes, what is free on each, and where one more replica fits.

What is held is kept as running sums, so that a thousand nodes with ten thousand replicas cost no more than what changes
on them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

import attrs

from roadstead.model import Constraint, GpuPart, Operator, Quota, Resources, Template, WholeGpus
from roadstead.reasons import Reason, ReasonCode
from roadstead.world import Device, Node
from roadstead_backends.simulated.servers import Server

__all__ = ["Amounts", "Ground", "Room", "amounts_of", "matches"]


@attrs.frozen
class Amounts:
    """Milli-cores, bytes of memory and of disk, and thousandths of a device, for sums."""

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    gpu: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(self.cpu + other.cpu, self.memory + other.memory, self.disk + other.disk, self.gpu + other.gpu)

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(self.cpu - other.cpu, self.memory - other.memory, self.disk - other.disk, self.gpu - other.gpu)


def amounts_of(wants: Resources) -> Amounts:
    """Return what one replica with these resources holds."""
    match wants.gpu:
        case WholeGpus(count=count):
            gpu = count * 1000
        case GpuPart(share=share):
            gpu = share.milli
        case _:
            gpu = 0
    return Amounts(wants.cpu.milli, wants.memory.bytes, wants.disk.bytes, gpu)


@attrs.define(kw_only=True)
class _DeviceUse:
    milli: int = 0
    memory: int = 0


def matches(node: Node, constraints: Iterable[Constraint]) -> bool:
    """Return whether a node meets every constraint; an attribute that it lacks meets ``not_in`` only."""
    return all(_meets(node.attributes.get(one.attribute), one) for one in constraints)


def _meets(value: str | None, constraint: Constraint) -> bool:
    if value is None:
        return constraint.operator is Operator.NOT_IN
    if constraint.operator is Operator.IN:
        return value in constraint.values
    if constraint.operator is Operator.NOT_IN:
        return value not in constraint.values
    if constraint.operator is Operator.MATCHES:
        return re.fullmatch(constraint.values[0], value) is not None
    return True


class Room:
    """One node and what our servers hold of it.

    ``images`` says from when on each is there. ``down_since`` is when the node fell silent, ``noticed`` that the
    cluster knows. ``parted``: it is only that nobody can reach it, and its servers run on, those ``away`` included, who
    were given up; each with the model version that it serves.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.servers: dict[str, Server] = {}
        self.images: dict[str, int] = {}
        self.down_since: int | None = None
        self.noticed = False
        self.parted = False
        self.away: list[tuple[Server, int | None]] = []
        self._held = Amounts()
        self._devices: dict[str, _DeviceUse] = {}

    def take(self, server: Server) -> None:
        """Give ``server`` what its template asks for."""
        self.servers[server.id] = server
        self._held += amounts_of(server.template.resources)
        self._add(server, 1)

    def give_back(self, server: Server) -> None:
        """Take back what ``server`` held."""
        if self.servers.pop(server.id, None) is not None:
            self._held -= amounts_of(server.template.resources)
            self._add(server, -1)

    def _add(self, server: Server, sign: int) -> None:
        gpu = server.template.resources.gpu
        for name in server.devices:
            use = self._devices.setdefault(name, _DeviceUse())
            if isinstance(gpu, WholeGpus):
                use.milli += sign * 1000
            elif isinstance(gpu, GpuPart):
                use.milli += sign * gpu.share.milli
                use.memory += sign * gpu.memory.bytes

    @property
    def open(self) -> bool:
        """Whether anything may be put there, as far as the cluster knows."""
        return self.node.schedulable and not self.noticed

    @property
    def seen(self) -> Node:
        """The node as an observation shows it: one that is known to be silent takes nothing."""
        return attrs.evolve(self.node, schedulable=False) if self.noticed else self.node

    @property
    def free_cpu(self) -> int:
        """The milli-cores that nobody holds."""
        return self.node.cpu.milli - self.node.foreign_cpu.milli - self._held.cpu

    def short_of(self, wants: Resources) -> Iterator[str]:
        """Yield what there is too little of for one more replica, devices aside."""
        if wants.cpu.milli > max(self.free_cpu, 0):
            yield "cpu"
        if wants.memory.bytes > max(self.node.memory.bytes - self.node.foreign_memory.bytes - self._held.memory, 0):
            yield "memory"
        if wants.disk.bytes > max(self.node.disk.bytes - self._held.disk, 0):
            yield "disk"

    def lacks(self, template: Template, devices: Collection[str]) -> str:
        """Return what this node lacks for one more replica on these devices, or nothing where it fits."""
        short = list(self.short_of(template.resources))
        if not self.open:
            short.append("permission: it is cordoned or down")
        if not self._devices_suit(template, devices):
            short.append("suitable devices")
        return ", ".join(short)

    def _devices_suit(self, template: Template, devices: Collection[str]) -> bool:
        gpu = template.resources.gpu
        if gpu is None:
            return not devices
        wanted = gpu.count if isinstance(gpu, WholeGpus) else 1
        by_id = {device.id: device for device in self.node.devices}
        there = len(set(devices)) == len(devices) == wanted and by_id.keys() >= set(devices)
        return there and all(self._suits(template, by_id[one]) for one in devices)

    def _suits(self, template: Template, device: Device) -> bool:
        gpu, use = template.resources.gpu, self._devices.get(device.id, _DeviceUse())
        if not isinstance(gpu, WholeGpus | GpuPart):
            return False
        milli = 1000 if isinstance(gpu, WholeGpus) else gpu.share.milli
        right_model = not gpu.models or device.model in gpu.models
        free = device.memory.bytes - device.foreign.bytes - use.memory
        return right_model and milli <= 1000 - use.milli and gpu.memory.bytes <= free

    def devices_for(self, template: Template) -> tuple[str, ...] | None:
        """Return the first devices that suit, or ``None`` where there are too few."""
        gpu = template.resources.gpu
        if gpu is None:
            return ()
        wanted = gpu.count if isinstance(gpu, WholeGpus) else 1
        suitable = tuple(device.id for device in self.node.devices if self._suits(template, device))
        return suitable[:wanted] if len(suitable) >= wanted else None

    def seat(self, template: Template) -> tuple[str, ...] | None:
        """Return the devices with which one more replica fits here, or ``None``."""
        if not self.open or next(self.short_of(template.resources), None) is not None:
            return None
        return self.devices_for(template)


class Ground:
    """The nodes of one cluster, its own quota, and what is held of both.

    ``changes`` counts what may have made room: where it did not move, what did not fit does not fit.
    """

    def __init__(self, nodes: Iterable[Node], quota: Quota | None = None) -> None:
        self.rooms = {node.name: Room(node) for node in nodes}
        self.quota = quota
        self.held = Amounts()
        self.changes = 0
        self._names: list[str] | None = None
        self._nodes: tuple[Node, ...] | None = None

    # ---- nodes ----

    @property
    def names(self) -> list[str]:
        """The nodes by name."""
        if self._names is None:
            self._names = sorted(self.rooms)
        return self._names

    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes as they are seen: the same object as long as none changed."""
        if self._nodes is None:
            self._nodes = tuple(room.seen for room in self.rooms.values())
        return self._nodes

    def put(self, node: Node) -> None:
        """Add a node, or change what one of that name has."""
        if node.name in self.rooms:
            self.rooms[node.name].node = node
        else:
            self.rooms[node.name] = Room(node)
        self.changed()

    def drop(self, name: str) -> None:
        """Take a node away."""
        del self.rooms[name]
        self.changed()

    def changed(self) -> None:
        """Note that nodes are others, or look otherwise, than before."""
        self._names = self._nodes = None
        self.changes += 1

    # ---- what is held ----

    def take(self, server: Server) -> None:
        """Give ``server`` its room on the node that it was put on."""
        self.held += amounts_of(server.template.resources)
        if server.node is not None and server.node in self.rooms:
            self.rooms[server.node].take(server)

    def give_back(self, server: Server) -> None:
        """Take back what ``server`` held."""
        self.held -= amounts_of(server.template.resources)
        self.changes += 1
        if server.node is not None and server.node in self.rooms:
            self.rooms[server.node].give_back(server)

    def over_quota(self, template: Template, held: Amounts) -> str:
        """Return what of the cluster's own quota is not enough for one more replica beside ``held``, or nothing."""
        if self.quota is None:
            return ""
        then = held + amounts_of(template.resources)
        limits = (
            ("cpu", self.quota.cpu.milli if self.quota.cpu is not None else None, then.cpu),
            ("memory", self.quota.memory.bytes if self.quota.memory is not None else None, then.memory),
            ("gpu", self.quota.gpu, then.gpu),
        )
        return ", ".join(name for name, limit, use in limits if limit is not None and use > limit)

    # ---- where something fits ----

    def seats(self, template: Template, start: int, crowded: Collection[str]) -> Iterator[tuple[Room, tuple[str, ...]]]:
        """Yield the rooms with a seat for one more replica, from the node numbered ``start`` once around by name.

        ``crowded`` are nodes on which it may not be for the sake of its siblings.
        """
        names, constraints = self.names, template.placement.constraints
        for offset in range(len(names)):
            room = self.rooms[names[(start + offset) % len(names)]]
            devices = room.seat(template) if room.node.name not in crowded else None
            if devices is not None and matches(room.node, constraints):
                yield room, devices

    def refusal(self, template: Template, crowded: Collection[str]) -> Reason:
        """Return why a replica has no seat, with counts and a scheduler's words."""
        total, short = len(self.rooms), Counter[str]()
        for room in self.rooms.values():
            short.update(self._against(room, template, crowded))
        raw = f"0/{total} nodes are available: " + ", ".join(f"{n} {what}" for what, n in sorted(short.items())) + "."
        matching = total - short["node(s) didn't match Pod's node affinity/selector"]
        if not matching:
            detail = f"0 of {total} nodes match the placement constraints"
            return Reason(code=ReasonCode.NO_MATCHING_NODE, detail=detail, total=total, raw=raw)
        detail = f"0 of {matching} matching nodes have room"
        return Reason(code=ReasonCode.NO_CAPACITY, detail=detail, total=matching, raw=raw)

    @staticmethod
    def _against(room: Room, template: Template, crowded: Collection[str]) -> Iterator[str]:
        if not matches(room.node, template.placement.constraints):
            yield "node(s) didn't match Pod's node affinity/selector"
            return
        if not room.open:
            yield "node(s) were unschedulable"
        if room.node.name in crowded:
            yield "node(s) didn't match pod anti-affinity rules"
        yield from (f"Insufficient {what}" for what in room.short_of(template.resources))
        if room.devices_for(template) is None:
            yield "Insufficient gpu"
