"""The clusters that keep the backend contract: every kind of simulated cluster, each with a way to wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs
import pytest

from roadstead.model import Scheduling
from roadstead.spi.backend import Backend
from roadstead.testing.subject import OWNER_ID
from roadstead.units import Cpus, Memory
from roadstead.world import Node, Snapshot
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster, capabilities
from roadstead_backends.simulated.network import Network


@attrs.define(kw_only=True)
class SimulatedSubject:
    """A simulated cluster as the contract's tests see it."""

    backend: Backend
    clock: VirtualClock
    runtime: str = "simulated"

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true, within ten virtual minutes."""
        for _ in range(600):
            snapshot = self.backend.observe()
            if holds(snapshot):
                return snapshot
            self.clock.advance(1_000)
        raise AssertionError(f"not within ten minutes: {self.backend.observe()}")


def nodes(count: int = 2) -> tuple[Node, ...]:
    """Return ``count`` nodes of two cores each."""
    return tuple(
        Node(name=f"node-{number}", cpu=Cpus(2_000), memory=Memory(4 * 1024**3), attributes={"zone": f"z{number % 2}"})
        for number in range(1, count + 1)
    )


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that the test advances."""
    return VirtualClock()


@pytest.fixture
def cluster(clock: VirtualClock) -> SimulatedCluster:
    """A directed cluster of two nodes."""
    return SimulatedCluster("here", owner_id=OWNER_ID, nodes=nodes(), clock=clock, network=Network())


@pytest.fixture
def native_cluster(clock: VirtualClock) -> SimulatedCluster:
    """A native cluster of two nodes that picks by itself whom it gives up."""
    able = capabilities(Scheduling.NATIVE, exact_retire=False)
    return SimulatedCluster("there", owner_id=OWNER_ID, nodes=nodes(), clock=clock, network=Network(), able=able)


@pytest.fixture(params=["directed", "native"])
def subject(
    request: pytest.FixtureRequest, clock: VirtualClock, cluster: SimulatedCluster, native_cluster: SimulatedCluster
) -> Iterator[SimulatedSubject]:
    """Each kind of cluster that must keep the contract."""
    made = SimulatedSubject(backend=cluster if request.param == "directed" else native_cluster, clock=clock)
    yield made
    made.backend.close()
