"""Agents, what they have and what of it is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from roadstead_backends.marathon.emulator.scheduling.constraints import Attribute, Place

__all__ = ["Agent", "Resources", "agents_alike"]


@attrs.frozen(kw_only=True)
class Resources:
    """An amount of each kind of resource; memory and disk in MB."""

    cpus: float = 0.0
    mem: float = 0.0
    disk: float = 0.0
    gpus: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            cpus=self.cpus + other.cpus,
            mem=self.mem + other.mem,
            disk=self.disk + other.disk,
            gpus=self.gpus + other.gpus,
        )

    def __sub__(self, other: Resources) -> Resources:
        return Resources(
            cpus=round(self.cpus - other.cpus, 6),
            mem=round(self.mem - other.mem, 6),
            disk=round(self.disk - other.disk, 6),
            gpus=self.gpus - other.gpus,
        )


@attrs.define(eq=False, kw_only=True)
class Agent:
    """One machine of the cluster, and what tasks use of it."""

    id: str
    hostname: str
    total: Resources
    ports: tuple[tuple[int, int], ...] = ((31000, 32000),)
    region: str | None = None
    zone: str | None = None
    attributes: Mapping[str, Attribute] = attrs.field(factory=dict)
    role: str = "*"
    """The role that its resources are reserved for; ``*`` for none."""
    registered_at: int = 0
    active: bool = True
    """Whether its resources are offered; not while it is drained or deactivated."""
    connected: bool = True
    """Whether master and agent hear each other."""
    registered: bool = True
    """Whether the master counts it among its agents: not once it was lost for too long, or was marked as gone."""
    draining: bool = False
    in_maintenance: bool = False
    used: Resources = attrs.field(factory=Resources)
    taken_ports: set[int] = attrs.field(factory=set)

    @property
    def free(self) -> Resources:
        """What no task uses."""
        return self.total - self.used

    @property
    def place(self) -> Place:
        """Where it is, as constraints see it."""
        return Place(hostname=self.hostname, region=self.region, zone=self.zone, attributes=self.attributes)

    def free_ports(self) -> list[tuple[int, int]]:
        """The ranges of ports that no task has, lowest first."""
        if not self.taken_ports:
            return list(self.ports)
        found: list[tuple[int, int]] = []
        for low, high in self.ports:
            start = low
            for taken in sorted(port for port in self.taken_ports if low <= port <= high):
                if taken > start:
                    found.append((start, taken - 1))
                start = taken + 1
            if start <= high:
                found.append((start, high))
        return found

    def take(self, resources: Resources, ports: Iterable[int]) -> None:
        """Give resources to a task."""
        self.used = self.used + resources
        self.taken_ports.update(ports)

    def release(self, resources: Resources, ports: Iterable[int]) -> None:
        """Take resources back from a task."""
        self.used = self.used - resources
        self.taken_ports.difference_update(ports)


def agents_alike(count: int, *, prefix: str, total: Resources, zones: Sequence[str] = ("zone-0",)) -> list[Agent]:
    """Return ``count`` agents of one size, spread over zones, with addresses from 127.0.1.1 on.

    ``prefix`` is the master's id, which their ids begin with.
    """
    return [
        Agent(
            id=f"{prefix}-S{index}",
            hostname=f"127.0.{1 + index // 250}.{1 + index % 250}",
            total=total,
            region="region-a",
            zone=zones[index % len(zones)],
            attributes={"rack": f"rack-{index % len(zones)}"},
        )
        for index in range(count)
    ]
