"""The room on simulated nodes: what is free, whether a template fits, and a native scheduler that takes the first."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

import attrs

from roadstead.model import Constraint, GpuPart, Operator, Template, WholeGpus
from roadstead.reasons import Reason, ReasonCode
from roadstead.world import Device, Node
from roadstead_backends.simulated.servers import Server

__all__ = ["Room", "matches"]


@attrs.define(kw_only=True)
class _DeviceRoom:
    device: Device
    milli: int = 1000
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
    """What one node still has, after what others and our servers hold there."""

    def __init__(self, node: Node, servers: Iterable[Server]) -> None:
        self.node = node
        self.cpu = node.cpu.milli - node.foreign_cpu.milli
        self.memory = node.memory.bytes - node.foreign_memory.bytes
        self.disk = node.disk.bytes
        self.devices = {
            device.id: _DeviceRoom(device=device, memory=device.memory.bytes - device.foreign.bytes)
            for device in node.devices
        }
        for server in servers:
            if server.node == node.name and server.holds:
                self._take(server.template, server.devices)

    def _take(self, template: Template, devices: Iterable[str]) -> None:
        wants = template.resources
        self.cpu -= wants.cpu.milli
        self.memory -= wants.memory.bytes
        self.disk -= wants.disk.bytes
        for device in devices:
            room = self.devices.get(device)
            if room is not None and isinstance(wants.gpu, WholeGpus):
                room.milli, room.memory = 0, 0
            elif room is not None and isinstance(wants.gpu, GpuPart):
                room.milli -= wants.gpu.share.milli
                room.memory -= wants.gpu.memory.bytes

    def lacks(self, template: Template, devices: Collection[str]) -> str:
        """Return what this node lacks for one more replica on these devices, or nothing where it fits."""
        wants = template.resources
        short = [
            what
            for what, free, need in (
                ("cpu", self.cpu, wants.cpu.milli),
                ("memory", self.memory, wants.memory.bytes),
                ("disk", self.disk, wants.disk.bytes),
            )
            if need > max(free, 0)
        ]
        if not self.node.schedulable:
            short.append("permission: it is cordoned")
        if not self._devices_suit(template, devices):
            short.append("suitable devices")
        return ", ".join(short)

    def _devices_suit(self, template: Template, devices: Collection[str]) -> bool:
        gpu = template.resources.gpu
        if gpu is None:
            return not devices
        wanted = gpu.count if isinstance(gpu, WholeGpus) else 1
        return len(set(devices)) == len(devices) == wanted and all(self._suits(template, one) for one in devices)

    def _suits(self, template: Template, device: str) -> bool:
        gpu, room = template.resources.gpu, self.devices.get(device)
        if room is None or not isinstance(gpu, WholeGpus | GpuPart):
            return False
        milli = 1000 if isinstance(gpu, WholeGpus) else gpu.share.milli
        right_model = not gpu.models or room.device.model in gpu.models
        return right_model and milli <= room.milli and gpu.memory.bytes <= room.memory

    def devices_for(self, template: Template) -> tuple[str, ...] | None:
        """Return the first devices that suit, or ``None`` where there are too few."""
        gpu = template.resources.gpu
        if gpu is None:
            return ()
        wanted = gpu.count if isinstance(gpu, WholeGpus) else 1
        suitable = tuple(device for device in self.devices if self._suits(template, device))
        return suitable[:wanted] if len(suitable) >= wanted else None


def first_fit(
    nodes: Mapping[str, Node], servers: Collection[Server], template: Template
) -> tuple[str, tuple[str, ...]] | Reason:
    """Return the first node by name on which a replica fits, with its devices, or why there is none."""
    candidates = [node for _, node in sorted(nodes.items()) if matches(node, template.placement.constraints)]
    if not candidates:
        detail = f"0 of {len(nodes)} nodes match the placement constraints"
        return Reason(code=ReasonCode.NO_MATCHING_NODE, detail=detail, total=len(nodes))
    for node in candidates:
        room = Room(node, servers)
        devices = room.devices_for(template)
        if devices is not None and not room.lacks(template, devices):
            return node.name, devices
    detail = f"0 of {len(candidates)} matching nodes have room"
    return Reason(code=ReasonCode.NO_CAPACITY, detail=detail, total=len(candidates))
