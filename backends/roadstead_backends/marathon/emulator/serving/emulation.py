"""An emulated Marathon on an emulated cluster, put together and on sockets."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.cluster.simulated import Habits, SimCluster
from roadstead_backends.marathon.emulator.cluster.tasks import Pretended
from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.http.messages import Answer, Request
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.serving.clock import ByHand, Clock, RealTime
from roadstead_backends.marathon.emulator.serving.controls import Controls
from roadstead_backends.marathon.emulator.serving.limits import Isolation
from roadstead_backends.marathon.emulator.serving.mesos import Operator
from roadstead_backends.marathon.emulator.serving.nodes import Node
from roadstead_backends.marathon.emulator.serving.probes import Believing, OverTheNetwork
from roadstead_backends.marathon.emulator.serving.processes import Processes
from roadstead_backends.marathon.emulator.serving.server import Handler, Serving
from roadstead_backends.marathon.emulator.settings import Settings

__all__ = ["Emulation", "Machine", "Plan", "agents_of"]

_PORTS_OF_AGENT = 100


@attrs.frozen(kw_only=True)
class Machine:
    """What each agent has."""

    cpus: float = 8.0
    mem: float = 16_384.0
    disk: float = 100_000.0
    gpus: int = 0


@attrs.frozen(kw_only=True)
class Plan:
    """What to emulate. Port 0 lets the system choose."""

    settings: Settings = attrs.field(factory=Settings)
    agents: int = 3
    zones: int = 2
    prefix: str = "127.0"
    """The first half of the agents' addresses; two emulations with real processes must not share it."""
    machine: Machine = attrs.field(factory=Machine)
    host: str = "127.0.0.1"
    port: int = 8080
    mesos_port: int = 5050
    instances: int = 1
    """Of Marathon: the first leads, the others follow on the next ports."""
    processes: Path | None = None
    """Where the sandboxes of real processes are; None to pretend that tasks run."""
    limits: bool = False
    """Whether real processes are held to their CPUs and memory, by control groups."""
    by_hand: bool = False
    """Whether time goes only when it is told to."""


class _Late(Handler):
    """A handler that is known only after its port is."""

    of: Handler

    def answer(self, request: Request) -> Answer:
        return self.of.answer(request)

    async def stream(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        return await self.of.stream(request, reader, writer)


class Emulation:
    """Everything of one emulated cluster. Open and close it in the event loop that runs it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.clock: Clock = ByHand() if plan.by_hand else RealTime()
        self._prober = OverTheNetwork(self.clock) if plan.processes is not None else Believing()
        timeline = self.clock.timeline
        limited = plan.processes is not None and plan.limits
        isolation = Isolation(f"emulated-mesos-{uuid.uuid4().hex[:8]}") if limited else None
        self._processes = Processes(self.clock, plan.processes, isolation) if plan.processes is not None else None
        executor = self._processes or Pretended(timeline)
        master_id = str(uuid.uuid4())
        self.cluster = SimCluster(
            timeline, agents_of(plan, master_id), executor=executor, master_id=master_id, habits=Habits(interval=250)
        )
        self._servings: list[Serving] = []
        self.addresses: list[str] = []
        self.mesos_address = ""
        self.ensemble: Ensemble | None = None

    async def open(self) -> None:
        """Listen on every port."""
        plan = self._plan
        late = [_Late() for _ in range(plan.instances + 1)]
        for index, handler in enumerate(late):
            port = plan.mesos_port if index == plan.instances else plan.port + index if plan.port else 0
            serving = Serving(handler)
            self._servings.append(serving)
            host, bound = await serving.open(plan.host, port)
            self.addresses.append(f"{host}:{bound}")
        self.mesos_address = self.addresses.pop()
        settings = attrs.evolve(
            plan.settings,
            hostname=plan.host,
            http_port=int(self.addresses[0].rpartition(":")[2]),
            mesos_leader_ui=f"http://{self.mesos_address}/",
        )
        with self.clock.moment():
            marathon = Marathon(self.cluster, self._prober, settings)
            self.ensemble = Ensemble(marathon, self.addresses)
        for handler, address in zip(late, self.addresses, strict=False):
            handler.of = Node(self.ensemble, address, self.clock)
        operator = Operator(marathon, self.mesos_address)
        late[-1].of = Controls(self.ensemble, operator, self.clock, self._prober)

    async def close(self) -> None:
        """End it, and every process that it started."""
        self.cluster.close()
        if self._processes is not None:
            await self._processes.ended()
        for serving in self._servings:
            await serving.close()
        if isinstance(self._prober, OverTheNetwork):
            self._prober.close()
        self.clock.close()


def agents_of(plan: Plan, master_id: str) -> Iterator[Agent]:
    """The agents of a plan, on loopback addresses; each has ports of its own, for the sake of real processes."""
    machine = plan.machine
    for index in range(plan.agents):
        first = 31_000 + index % 300 * _PORTS_OF_AGENT
        yield Agent(
            id=f"{master_id}-S{index}",
            hostname=f"{plan.prefix}.{1 + index // 250}.{1 + index % 250}",
            total=Resources(cpus=machine.cpus, mem=machine.mem, disk=machine.disk, gpus=machine.gpus),
            ports=((first, first + _PORTS_OF_AGENT - 1),),
            region="region-a",
            zone=f"zone-{index % plan.zones}",
            attributes={"rack": f"rack-{index % plan.zones}"},
        )
