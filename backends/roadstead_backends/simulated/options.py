"""What a fleet file, or a scenario, can say about a simulated cluster."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import attrs

from roadstead.model import Quota, Scheduling
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Device, Node
from roadstead_backends.simulated.tempers import DIRECTED, KUBERNETES, MARATHON, NATIVE, Temper, Timings, placed_by_us

__all__ = ["ClusterQuota", "NodeGroup", "SimulatedOptions", "TemperName", "nodes_of", "quota_of", "temper_of"]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


_AT_LEAST_0 = attrs.validators.ge(0)
_AT_LEAST_1 = attrs.validators.ge(1)
_GIB = 1024**3
_NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@enum.unique
class TemperName(enum.Enum):
    """How the cluster behaves: plainly, or like an orchestrator."""

    PLAIN = "plain"
    KUBERNETES = "kubernetes"
    MARATHON = "marathon"


@attrs.frozen(kw_only=True)
class NodeGroup:
    """Nodes that are alike, named ``NAME-1`` and so on; besides those given they have ``hostname`` and ``zone``."""

    name: str = attrs.field(default="node", metadata=_doc("what the names of its nodes begin with"))
    count: int = attrs.field(default=1, validator=_AT_LEAST_0, metadata=_doc("how many nodes there are"))
    zones: int = attrs.field(default=1, validator=_AT_LEAST_1, metadata=_doc("how many zones they are dealt over"))
    cpu: Cpus = attrs.field(default=Cpus(8_000), metadata=_doc("what each can give away"))
    memory: Memory = attrs.field(default=Memory(32 * _GIB), metadata=_doc("what each can give away"))
    disk: Memory = attrs.field(default=Memory(100 * _GIB), metadata=_doc("what each can give away"))
    gpus: int = attrs.field(default=0, validator=_AT_LEAST_0, metadata=_doc("how many GPUs each has"))
    gpu_model: str = attrs.field(default="A100", metadata=_doc("the model of every GPU"))
    gpu_memory: Memory = attrs.field(default=Memory(40 * _GIB), metadata=_doc("the memory of every GPU"))
    foreign_cpu: Cpus = attrs.field(default=Cpus(0), metadata=_doc("what others than we hold of each"))
    foreign_memory: Memory = attrs.field(default=Memory(0), metadata=_doc("what others than we hold of each"))
    attributes: Mapping[str, str] = attrs.field(
        default=_NO_ATTRIBUTES, metadata=_doc("attributes of every one of them, for placement constraints")
    )


@attrs.frozen(kw_only=True)
class ClusterQuota:
    """What the cluster itself allows us there, whatever the fleet's own quotas say."""

    cpu: Cpus | None = attrs.field(default=None, metadata=_doc("how much CPU all our replicas there may ask for"))
    memory: Memory | None = attrs.field(default=None, metadata=_doc("how much memory all our replicas may ask for"))
    gpus: int | None = attrs.field(default=None, metadata=_doc("how many GPUs all our replicas there may ask for"))


@attrs.frozen(kw_only=True)
class SimulatedOptions:
    """A cluster of pretended nodes: equal ones, or the ``groups`` instead. Times left out are those of the temper."""

    temper: TemperName = attrs.field(default=TemperName.PLAIN, metadata=_doc("how the cluster behaves"))
    nodes: int = attrs.field(default=3, validator=_AT_LEAST_0, metadata=_doc("how many nodes there are"))
    zones: int = attrs.field(default=1, validator=_AT_LEAST_1, metadata=_doc("how many zones the nodes are dealt over"))
    cpu: Cpus = attrs.field(default=Cpus(8_000), metadata=_doc("what each node can give away"))
    memory: Memory = attrs.field(default=Memory(32 * _GIB), metadata=_doc("what each node can give away"))
    disk: Memory = attrs.field(default=Memory(100 * _GIB), metadata=_doc("what each node can give away"))
    gpus: int = attrs.field(default=0, validator=_AT_LEAST_0, metadata=_doc("how many GPUs each node has"))
    gpu_model: str = attrs.field(default="A100", metadata=_doc("the model of every GPU"))
    gpu_memory: Memory = attrs.field(default=Memory(40 * _GIB), metadata=_doc("the memory of every GPU"))
    groups: tuple[NodeGroup, ...] = attrs.field(
        default=(), metadata=_doc("groups of nodes that are alike, instead of all that is said of nodes above")
    )
    quota: ClusterQuota | None = attrs.field(default=None, metadata=_doc("what the cluster itself allows us"))
    place: Duration | None = attrs.field(default=None, metadata=_doc("what its own scheduler takes for a replica"))
    pull: Duration | None = attrs.field(
        default=None, metadata=_doc("what the first replica with an image on a node takes")
    )
    start: Duration | None = attrs.field(default=None, metadata=_doc("from a node to a running server"))
    load: Duration | None = attrs.field(default=None, metadata=_doc("from a running server to an available model"))
    stop: Duration | None = attrs.field(default=None, metadata=_doc("from the order to stop to the end"))
    back_off: Duration | None = attrs.field(default=None, metadata=_doc("the wait after a server's first crash"))
    probe: Duration | None = attrs.field(default=None, metadata=_doc("how often the cluster asks whether it is ready"))
    notice: Duration | None = attrs.field(default=None, metadata=_doc("how long until a silent node is found out"))
    flap: Duration | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.ge(Duration(1))),
        metadata=_doc("how long a flapping model stays as it is"),
    )
    vary: int | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.and_(_AT_LEAST_0, attrs.validators.le(100))),
        metadata=_doc("by how many percent the times vary by chance"),
    )
    exact_retire: bool | None = attrs.field(
        default=None, metadata=_doc("whether exactly the named replicas are given up")
    )
    speed: int = attrs.field(
        default=1,
        validator=_AT_LEAST_1,
        metadata=_doc("how much faster than the machine's its time runs; a scenario has a time of its own"),
    )
    seed: int = attrs.field(
        default=0, metadata=_doc("what is left to chance follows from it; a scenario has a seed of its own")
    )

    def timings(self, temper: Temper) -> Timings:
        """Return how long things take there."""
        own = temper.timings
        return attrs.evolve(
            own,
            place=_given(self.place, own.place),
            pull=_given(self.pull, own.pull),
            start=_given(self.start, own.start),
            load=_given(self.load, own.load),
            stop=_given(self.stop, own.stop),
            back_off=_given(self.back_off, own.back_off),
            probe=_given(self.probe, own.probe),
            notice=_given(self.notice, own.notice),
            flap=_given(self.flap, own.flap),
            vary=own.vary if self.vary is None else self.vary,
        )


def _given(value: Duration | None, otherwise: Duration) -> Duration:
    return otherwise if value is None else value


_TEMPERS: Mapping[TemperName, Temper] = {
    TemperName.PLAIN: NATIVE,
    TemperName.KUBERNETES: KUBERNETES,
    TemperName.MARATHON: MARATHON,
}


def temper_of(options: SimulatedOptions, scheduling: Scheduling | None) -> Temper:
    """Return how the cluster behaves; a plain one is directed unless its own scheduler is asked for."""
    if options.temper is TemperName.PLAIN:
        temper = NATIVE if scheduling is Scheduling.NATIVE else DIRECTED
    else:
        temper = _TEMPERS[options.temper]
        temper = placed_by_us(temper) if scheduling is Scheduling.DIRECTED else temper
    if options.exact_retire is None:
        return temper
    return attrs.evolve(temper, able=attrs.evolve(temper.able, exact_retire=options.exact_retire))


def quota_of(options: SimulatedOptions) -> Quota | None:
    """Return what the cluster itself allows us."""
    quota = options.quota
    if quota is None:
        return None
    gpu = quota.gpus * 1000 if quota.gpus is not None else None
    return Quota(cpu=quota.cpu, memory=quota.memory, gpu=gpu)


def nodes_of(options: SimulatedOptions) -> tuple[Node, ...]:
    """Return the nodes that the options describe."""
    alike = NodeGroup(
        count=options.nodes,
        zones=options.zones,
        cpu=options.cpu,
        memory=options.memory,
        disk=options.disk,
        gpus=options.gpus,
        gpu_model=options.gpu_model,
        gpu_memory=options.gpu_memory,
    )
    return tuple(node for group in options.groups or (alike,) for node in _nodes(group))


def _nodes(group: NodeGroup) -> Iterator[Node]:
    for number in range(1, group.count + 1):
        name = f"{group.name}-{number}"
        devices = (
            Device(id=f"gpu-{number}-{index}", model=group.gpu_model, memory=group.gpu_memory)
            for index in range(group.gpus)
        )
        yield Node(
            name=name,
            cpu=group.cpu,
            memory=group.memory,
            disk=group.disk,
            devices=tuple(devices),
            attributes={"hostname": name, "zone": f"zone-{(number - 1) % group.zones + 1}", **group.attributes},
            foreign_cpu=group.foreign_cpu,
            foreign_memory=group.foreign_memory,
        )
