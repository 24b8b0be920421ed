"""Simulated clusters of every temper, as subjects of the conformance kit that can do all that a subject can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from roadstead.errors import BackendError, Conflict, Forbidden, OutOfCapacity, Rejected, Retryable, Unreachable
from roadstead.spi.backend import Backend
from roadstead.spi.runtime import Launch
from roadstead.testing.subject import OWNER_ID, SERVER
from roadstead.units import Cpus, Memory
from roadstead.world import Device, Drift, GroupKey, Node, Snapshot
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.faults import CallFault
from roadstead_backends.simulated.network import Network
from roadstead_backends.simulated.tempers import DIRECTED, KUBERNETES, MARATHON, NATIVE, Temper

__all__ = ["TEMPERS", "SimulatedSubject", "simulated", "wrapped"]

INEXACT = attrs.evolve(NATIVE, able=attrs.evolve(NATIVE.able, exact_retire=False))

TEMPERS = {
    "directed": DIRECTED,
    "native": NATIVE,
    "inexact": INEXACT,
    "kubernetes": KUBERNETES,
    "marathon": MARATHON,
}

_REFUSALS: dict[type[BackendError], CallFault] = {
    Conflict: CallFault.CONFLICT,
    Forbidden: CallFault.FORBIDDEN,
    OutOfCapacity: CallFault.OUT_OF_CAPACITY,
    Rejected: CallFault.REJECTED,
    Retryable: CallFault.RETRYABLE,
    Unreachable: CallFault.UNREACHABLE,
}

_TIME_BETWEEN_LOOKS_MS = 500


@attrs.define(kw_only=True)
class SimulatedSubject:
    """A simulated cluster in virtual time; ``backend`` may stand in front of it, and does as told or not."""

    backend: Backend
    world: SimulatedCluster
    clock: VirtualClock
    cluster: str = "here"
    runtime: str = "simulated"
    launch: Launch = SERVER
    looks: int = 1_200
    wrap: Callable[[SimulatedCluster], Backend] = lambda world: world

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true."""
        for _ in range(self.looks):
            snapshot = self.backend.observe()
            if holds(snapshot):
                return snapshot
            self.clock.advance(_TIME_BETWEEN_LOOKS_MS)
        raise AssertionError(f"not within {self.looks} looks: {self.backend.observe().groups}")

    def reopen(self) -> None:
        """Go on as the next daemon."""
        self.backend.close()
        self.world.reconnect()
        self.backend = self.wrap(self.world)

    @contextmanager
    def as_owner(self, owner_id: str) -> Iterator[Backend]:
        """Give the same cluster to another fleet."""
        self.reopen()
        self.world.hand_over(owner_id)
        yield self.world
        self.world.hand_over(OWNER_ID)

    def crash(self, replica: str) -> None:
        """Kill a server."""
        self.world.crash(replica)

    def lose(self, replica: str) -> None:
        """Make a replica vanish."""
        self.world.lose(replica)

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Part us from the cluster."""
        self.world.faults.partitioned = True
        yield
        self.world.faults.partitioned = False

    def meddle(self, key: GroupKey) -> str:
        """Have somebody change the first field that comes to mind."""
        drift = Drift(field="image", ours="server:1", theirs="server:2", manager="kubectl-edit")
        self.world.meddle(key, drift)
        return drift.field

    def lose_reply(self) -> None:
        """Lose the next reply."""
        self.world.faults.calls.append(CallFault.REPLY_LOST)

    def lose_request(self) -> None:
        """Lose the next request."""
        self.world.faults.calls.append(CallFault.REQUEST_LOST)

    @property
    def provokes(self) -> frozenset[type[BackendError]]:
        """Every refusal that the contract knows."""
        return frozenset(_REFUSALS)

    def provoke(self, error: type[BackendError]) -> None:
        """Have the next call refused."""
        self.world.faults.calls.append(_REFUSALS[error])


def simulated(temper: Temper) -> SimulatedSubject:
    """Return a cluster of two nodes, one of them with a GPU."""
    clock, world = _world(temper)
    return SimulatedSubject(backend=world, world=world, clock=clock)


def wrapped(temper: Temper, wrap: Callable[[SimulatedCluster], Backend]) -> SimulatedSubject:
    """Return such a cluster behind a backend of ``tests.kit.wrapping``."""
    clock, world = _world(temper)
    return SimulatedSubject(backend=wrap(world), world=world, clock=clock, wrap=wrap)


def _world(temper: Temper) -> tuple[VirtualClock, SimulatedCluster]:
    clock = VirtualClock()
    return clock, SimulatedCluster(
        "here", owner_id=OWNER_ID, nodes=_nodes(), clock=clock, network=Network(), temper=temper
    )


def _nodes() -> tuple[Node, ...]:
    device = Device(id="gpu-1", model="A100", memory=Memory(40 * 1024**3))
    return (
        Node(name="node-1", cpu=Cpus(2_000), memory=Memory(4 * 1024**3), devices=(device,)),
        Node(name="node-2", cpu=Cpus(2_000), memory=Memory(4 * 1024**3)),
    )
