"""What a Mesos cluster consists of, as its operator API tells it, and what its agents are to us. Pure.

Marathon knows agents only while they run a task of its. The master knows all of them, with what they have, what is
reserved for whom, and what is given away: that is read here, from the answer to ``GET_AGENTS`` of the version 1 API.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Final

import attrs
import msgspec

from roadstead.units import Cpus, Memory
from roadstead.world import Device, Node, frozen_mapping
from roadstead_backends.marathon.placing import ATTRIBUTES

__all__ = ["NOTHING", "Agent", "Amounts", "agents_of", "node_of"]

_MIB: Final = 1024**2
_ANYBODY: Final = "*"


# ---- what it says ----


class _Said(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that a master says; its API writes names in lower case with ``_``."""


class _Scalar(_Said, frozen=True, kw_only=True):
    value: float = 0.0


class _Range(_Said, frozen=True, kw_only=True):
    begin: int = 0
    end: int = 0


class _Ranges(_Said, frozen=True, kw_only=True):
    range: tuple[_Range, ...] = ()


class _Set(_Said, frozen=True, kw_only=True):
    item: tuple[str, ...] = ()


class _Text(_Said, frozen=True, kw_only=True):
    value: str = ""


class _Attribute(_Said, frozen=True, kw_only=True):
    name: str
    text: _Text | None = None
    scalar: _Scalar | None = None
    ranges: _Ranges | None = None
    set: _Set | None = None


class _Reservation(_Said, frozen=True, kw_only=True):
    role: str = _ANYBODY


class _Empty(_Said, frozen=True, kw_only=True):
    """Something that is there or not, and nothing of it is looked at."""


class _Disk(_Said, frozen=True, kw_only=True):
    persistence: _Empty | None = None
    source: _Empty | None = None


class _Resource(_Said, frozen=True, kw_only=True):
    """An amount; who it is reserved for is its ``role``, or the innermost of its reservations."""

    name: str
    scalar: _Scalar | None = None
    role: str = _ANYBODY
    reservations: tuple[_Reservation, ...] = ()
    disk: _Disk | None = None
    revocable: _Empty | None = None

    @property
    def reserved_for(self) -> str:
        return self.reservations[-1].role if self.reservations else self.role

    @property
    def is_plain(self) -> bool:
        """Whether any task may be given it: it is no volume, no disk of its own, and not to be taken back."""
        volume = self.disk is not None and (self.disk.persistence is not None or self.disk.source is not None)
        return self.revocable is None and not volume


class _Place(_Said, frozen=True, kw_only=True):
    name: str = ""


class _FaultDomain(_Said, frozen=True, kw_only=True):
    region: _Place = _Place()
    zone: _Place = _Place()


class _Domain(_Said, frozen=True, kw_only=True):
    fault_domain: _FaultDomain | None = None


class _Info(_Said, frozen=True, kw_only=True):
    id: _Text
    hostname: str
    attributes: tuple[_Attribute, ...] = ()
    domain: _Domain = _Domain()


class _AgentSaid(_Said, frozen=True, kw_only=True):
    agent_info: _Info
    pid: str = ""
    active: bool = True
    deactivated: bool = False
    drain_info: _Empty | None = None
    total_resources: tuple[_Resource, ...] = ()
    allocated_resources: tuple[_Resource, ...] = ()


class _Agents(_Said, frozen=True, kw_only=True):
    agents: tuple[_AgentSaid, ...] = ()


class _Answer(_Said, frozen=True, kw_only=True):
    get_agents: _Agents


_DECODER: Final = msgspec.json.Decoder(_Answer)


# ---- what it means ----


@attrs.frozen(kw_only=True)
class Amounts:
    """An amount of each kind of resource: milli-cores, bytes, whole GPUs."""

    cpu: int = 0
    memory: int = 0
    disk: int = 0
    gpus: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            cpu=self.cpu + other.cpu,
            memory=self.memory + other.memory,
            disk=self.disk + other.disk,
            gpus=self.gpus + other.gpus,
        )

    def __sub__(self, other: Amounts) -> Amounts:
        """Subtract down to nothing: two lists that were not read at the same moment may disagree."""
        return Amounts(
            cpu=max(0, self.cpu - other.cpu),
            memory=max(0, self.memory - other.memory),
            disk=max(0, self.disk - other.disk),
            gpus=max(0, self.gpus - other.gpus),
        )


NOTHING: Final = Amounts()


@attrs.frozen(kw_only=True)
class Agent:
    """A machine of the cluster.

    ``name`` is its hostname, with the end of its ``id`` behind it where agents share one. ``total`` is what tasks of
    our role can be given there, and ``allocated`` what of that is given to anybody, us included. ``pid`` is where it
    answers, such as ``slave(1)@10.0.0.3:5051``. ``closed`` says why nothing new is started there, and is empty where
    something may be.
    """

    id: str
    name: str
    hostname: str
    pid: str = ""
    attributes: Mapping[str, str] = attrs.field(factory=dict, converter=frozen_mapping)
    total: Amounts = NOTHING
    allocated: Amounts = NOTHING
    closed: str = ""

    @cached_property
    def free(self) -> Amounts:
        """What nobody has."""
        return self.total - self.allocated


def agents_of(body: bytes, role: str) -> tuple[Agent, ...]:
    """Return the agents that the answer to ``GET_AGENTS`` names, by name, as they are to a framework of ``role``.

    An agent that the master has given up is not in it. Raises :class:`ValueError` for what is no such answer.
    """
    try:
        said = _DECODER.decode(body).get_agents.agents
    except msgspec.DecodeError as error:
        raise ValueError(f"no answer of a Mesos master: {error}") from error
    shared = Counter(one.agent_info.hostname for one in said)
    found = (_agent(one, role, shared[one.agent_info.hostname] > 1) for one in said)
    return tuple(sorted(found, key=lambda one: one.name))


def _agent(said: _AgentSaid, role: str, shares: bool) -> Agent:  # noqa: FBT001  # its only one
    info = said.agent_info
    return Agent(
        id=info.id.value,
        name=f"{info.hostname}/{info.id.value.rpartition('-')[2]}" if shares else info.hostname,
        hostname=info.hostname,
        pid=said.pid,
        attributes=dict(_attributes(info)),
        total=_sum(said.total_resources, role),
        allocated=_sum(said.allocated_resources, role),
        closed=_closed(said),
    )


def _closed(said: _AgentSaid) -> str:
    if said.drain_info is not None:
        return "being drained"
    if said.deactivated:
        return "deactivated"
    return "" if said.active else "not connected"


def _sum(resources: Iterable[_Resource], role: str) -> Amounts:
    """Return what a task of ``role`` may be given; what is reserved for a parent of a role is for the role, too."""
    found: Counter[str] = Counter()
    for one in resources:
        owner = one.reserved_for
        if one.scalar is not None and one.is_plain and (owner in (_ANYBODY, role) or role.startswith(f"{owner}/")):
            found[one.name] += round(one.scalar.value * 1000)
    return Amounts(
        cpu=found["cpus"],
        memory=found["mem"] * _MIB // 1000,
        disk=found["disk"] * _MIB // 1000,
        gpus=found["gpus"] // 1000,
    )


def _attributes(info: _Info) -> Iterator[tuple[str, str]]:
    """Yield what constraints can name: an attribute that is called like one of ours is not what ours means."""
    for one in info.attributes:
        if one.name not in ATTRIBUTES:
            yield one.name, _text(one)
    yield "hostname", info.hostname
    domain = info.domain.fault_domain
    if domain is not None:
        yield "zone", domain.zone.name
        yield "region", domain.region.name


def _text(attribute: _Attribute) -> str:
    """Return a value as Marathon compares it: scalars to three places, ranges and sets in order."""
    if attribute.text is not None:
        return attribute.text.value
    if attribute.scalar is not None:
        exact = Decimal(repr(attribute.scalar.value)).quantize(Decimal("0.001"), rounding=ROUND_HALF_EVEN)
        return f"{exact:f}".rstrip("0").rstrip(".")
    if attribute.ranges is not None:
        ranges = sorted((one.begin, one.end) for one in attribute.ranges.range)
        return "[" + ",".join(f"{begin}-{end}" for begin, end in ranges) + "]"
    return "{" + ",".join(sorted(attribute.set.item if attribute.set is not None else ())) + "}"


# ---- what it is to us ----


def node_of(agent: Agent, ours: Amounts, gpu_attribute: str | None) -> Node:
    """Return an agent as a snapshot shows it; ``ours`` is what our own tasks have of what is allocated there.

    Mesos counts GPUs and knows nothing more of them: ``gpu_attribute`` names the attribute that says their model. Those
    of others are taken to be the last ones.
    """
    foreign = agent.allocated - ours
    return Node(
        name=agent.name,
        cpu=Cpus(agent.total.cpu),
        memory=Memory(agent.total.memory),
        disk=Memory(agent.total.disk),
        devices=tuple(_devices(agent, agent.total.gpus - foreign.gpus, gpu_attribute)),
        attributes=agent.attributes,
        foreign_cpu=Cpus(foreign.cpu),
        foreign_memory=Memory(foreign.memory),
        schedulable=not agent.closed,
    )


def _devices(agent: Agent, count: int, gpu_attribute: str | None) -> Sequence[Device]:
    model = agent.attributes.get(gpu_attribute, "") if gpu_attribute is not None else ""
    return [Device(id=f"gpu-{number}", model=model, memory=Memory(0)) for number in range(count)]
