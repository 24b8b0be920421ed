"""A world of simulated clusters: one network, one time, for whoever wants to see hours in seconds."""

from __future__ import annotations

from roadstead.spi.backend import BackendContext
from roadstead.spi.simulation import Now
from roadstead.traffic import Endpoint
from roadstead_backends.simulated.clock import GivenClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.connect import made
from roadstead_backends.simulated.network import Network, SimulatedRuntime

__all__ = ["Pretended"]

_ANY_VERSION = 0


class Pretended:
    """Clusters that reach each other and live in the time that ``now`` says."""

    def __init__(self, now: Now) -> None:
        self._clock = GivenClock(now)
        self._network = Network()
        self.runtime = SimulatedRuntime(self._network)

    def cluster(self, context: BackendContext, seed: int) -> SimulatedCluster:
        """Return a new, empty cluster."""
        return made(context, self._clock, self._network, seed=seed)

    def serves(self, endpoint: Endpoint) -> bool:
        """Return whether a server at that address would answer a request with any version of its model."""
        state = self._network.ask(endpoint, _ANY_VERSION)
        return state is not None and bool(state.versions)
