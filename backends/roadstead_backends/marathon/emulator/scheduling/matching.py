"""Whether an offer has what an instance needs, and why not (``ResourceMatcher``, ``PortsMatcher``), pure."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.cluster.agents import Resources
from roadstead_backends.marathon.emulator.cluster.simulated import Offer
from roadstead_backends.marathon.emulator.rules.documents import container_of, modes, off_host
from roadstead_backends.marathon.emulator.scheduling.constraints import Place, meets_all
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["FUNNEL", "Match", "Reject", "Ways", "match", "wanted_ports"]


class Reject(enum.Enum):
    """Why an offer is not used; of several reasons the first in this order is counted."""

    ROLE = "UnfulfilledRole"
    CONSTRAINT = "UnfulfilledConstraint"
    RESERVATION = "NoCorrespondingReservationFound"
    MAINTENANCE = "AgentMaintenance"
    CPUS = "InsufficientCpus"
    MEMORY = "InsufficientMemory"
    DISK = "InsufficientDisk"
    GPUS = "InsufficientGpus"
    PORTS = "InsufficientPorts"
    SCARCE = "DeclinedScarceResources"


FUNNEL: Final = tuple(Reject)


@attrs.frozen
class Match:
    """An offer that fits, and the host ports taken from it, by position of what asked; None for no host port."""

    ports: tuple[int | None, ...]

    @property
    def host_ports(self) -> tuple[int, ...]:
        """The ports that are really taken."""
        return tuple(port for port in self.ports if port is not None)


@attrs.frozen(kw_only=True)
class Ways:
    """What a Marathon goes by besides the app."""

    quota: bool
    """Whether ``GROUP_BY`` shares out by quota."""
    scarce: str
    """How GPUs are kept for those who want some: ``restricted`` or ``unrestricted``."""
    chance: Random
    """Picks the port from which on those are taken that may be any."""


def match(
    spec: RunSpec, offer: Offer, need: Resources, placed: Sequence[Place], ways: Ways
) -> Match | tuple[Reject, ...]:
    """Match an instance against what is left of an offer; return every reason against it, if there is any.

    ``need`` are its resources, ``placed`` where instances of its present configuration are.
    """
    against = tuple(_rejects(spec, offer, need, placed, quota=ways.quota, scarce=ways.scarce))
    if against:
        return against
    ports = _allotted(wanted_ports(spec), offer.ports, ways.chance)
    return Match(ports) if ports is not None else (Reject.PORTS,)


def _rejects(
    spec: RunSpec, offer: Offer, need: Resources, placed: Sequence[Place], *, quota: bool, scarce: str
) -> Iterator[Reject]:
    """What else than ports is against an offer, in the order in which the original finds it."""
    agent, free = offer.agent, offer.resources
    for reject, wanted, offered in (
        (Reject.CPUS, need.cpus, free.cpus),
        (Reject.MEMORY, need.mem, free.mem),
        (Reject.GPUS, need.gpus, free.gpus),
        (Reject.DISK, need.disk, free.disk),
    ):
        if wanted > offered:
            yield reject
    roles = spec.accepted_roles or ["*", spec.role]
    if agent.role not in roles:
        yield Reject.ROLE
    if not meets_all(agent.place, spec.constraints, placed, spec.instances, quota=quota):
        yield Reject.CONSTRAINT
    if agent.in_maintenance:
        yield Reject.MAINTENANCE
    behavior = spec.labels.get("GPU_SCHEDULING_BEHAVIOR", scarce)
    if behavior == "restricted" and free.gpus > 0 and need.gpus == 0:
        yield Reject.SCARCE


def wanted_ports(spec: RunSpec) -> list[int | None]:
    """The host ports that an instance asks for: a number, 0 for any, None for none."""
    if spec.is_pod:
        endpoints = [each for one in spec.document["containers"] for each in one.get("endpoints", [])]
        return [endpoint.get("hostPort") for endpoint in endpoints]
    document = spec.document
    networks = document["networks"]
    if off_host(networks):
        bridge = "container/bridge" in modes(networks)
        mappings = container_of(document).get("portMappings") or []
        return [mapping.get("hostPort", 0 if bridge else None) for mapping in mappings]
    fixed = document.get("requirePorts", False)
    return [definition["port"] if fixed else 0 for definition in document.get("portDefinitions") or []]


def _allotted(
    wanted: Sequence[int | None], ranges: Sequence[tuple[int, int]], chance: Random
) -> tuple[int | None, ...] | None:
    """Ports for each that is wanted, fixed ones first; None where they are not offered."""
    fixed = {port for port in wanted if port}
    if any(not any(low <= port <= high for low, high in ranges) for port in fixed):
        return None
    free = (port for port in _from_anywhere(ranges, chance) if port not in fixed)
    found: list[int | None] = []
    for port in wanted:
        if port == 0:
            chosen = next(free, None)
            if chosen is None:
                return None
            found.append(chosen)
        else:
            found.append(port)
    return tuple(found)


def _from_anywhere(ranges: Sequence[tuple[int, int]], chance: Random) -> Iterator[int]:
    """All ports, from a random one on: to the end of its range, the other ranges in random order, and what is left."""
    left = [range(low, high + 1) for low, high in ranges]
    if not left:
        return
    chance.shuffle(left)
    start = chance.randrange(sum(map(len, left)))
    first = 0
    while start >= len(left[first]):
        start -= len(left[first])
        first += 1
    yield from left[first][start:]
    for others in (*left[first + 1 :], *left[:first]):
        yield from others
    yield from left[first][:start]
