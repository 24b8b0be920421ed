"""What a fleet file can say about a simulated cluster."""

from __future__ import annotations

import attrs

from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Device, Node
from roadstead_backends.simulated.servers import Timings

__all__ = ["SimulatedOptions", "nodes_of"]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


_AT_LEAST_0 = attrs.validators.ge(0)
_AT_LEAST_1 = attrs.validators.ge(1)


@attrs.frozen(kw_only=True)
class SimulatedOptions:
    """A cluster of equal nodes, named ``node-1`` and so on, each with the attributes ``hostname`` and ``zone``."""

    nodes: int = attrs.field(default=3, validator=_AT_LEAST_0, metadata=_doc("how many nodes there are"))
    zones: int = attrs.field(default=1, validator=_AT_LEAST_1, metadata=_doc("how many zones the nodes are dealt over"))
    cpu: Cpus = attrs.field(default=Cpus(8_000), metadata=_doc("what each node can give away"))
    memory: Memory = attrs.field(default=Memory(32 * 1024**3), metadata=_doc("what each node can give away"))
    disk: Memory = attrs.field(default=Memory(100 * 1024**3), metadata=_doc("what each node can give away"))
    gpus: int = attrs.field(default=0, validator=_AT_LEAST_0, metadata=_doc("how many GPUs each node has"))
    gpu_model: str = attrs.field(default="A100", metadata=_doc("the model of every GPU"))
    gpu_memory: Memory = attrs.field(default=Memory(40 * 1024**3), metadata=_doc("the memory of every GPU"))
    start: Duration = attrs.field(default=Duration(1_000), metadata=_doc("from a node to a running server"))
    load: Duration = attrs.field(default=Duration(2_000), metadata=_doc("from a running server to an available model"))
    stop: Duration = attrs.field(default=Duration(1_000), metadata=_doc("from the order to stop to the end"))
    exact_retire: bool = attrs.field(default=True, metadata=_doc("whether exactly the named replicas are given up"))
    speed: int = attrs.field(
        default=1,
        validator=_AT_LEAST_1,
        metadata=_doc("how much faster than the machine's the time of the cluster runs"),
    )
    seed: int = attrs.field(default=0, metadata=_doc("what is left to chance follows from this number"))

    @property
    def timings(self) -> Timings:
        """How long things take there."""
        return Timings(start=self.start, load=self.load, stop=self.stop)


def nodes_of(options: SimulatedOptions) -> tuple[Node, ...]:
    """Return the nodes that the options describe."""
    return tuple(
        Node(
            name=f"node-{number + 1}",
            cpu=options.cpu,
            memory=options.memory,
            disk=options.disk,
            devices=tuple(
                Device(id=f"gpu-{number + 1}-{index}", model=options.gpu_model, memory=options.gpu_memory)
                for index in range(options.gpus)
            ),
            attributes={"hostname": f"node-{number + 1}", "zone": f"zone-{number % options.zones + 1}"},
        )
        for number in range(options.nodes)
    )
