"""Simulated clusters of two nodes, in a time that the test advances."""

from __future__ import annotations

import pytest

from roadstead.model import Scheduling
from roadstead.testing.subject import OWNER_ID
from roadstead.units import Cpus, Memory
from roadstead.world import Node
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster, capabilities
from roadstead_backends.simulated.network import Network


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
