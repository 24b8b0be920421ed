"""Makes a simulated cluster from what a fleet file says."""

from __future__ import annotations

from roadstead.errors import Rejected
from roadstead.model import Scheduling
from roadstead.spi.backend import BackendContext
from roadstead_backends.simulated.clock import PassingClock
from roadstead_backends.simulated.cluster import SimulatedCluster, capabilities
from roadstead_backends.simulated.network import shared_network
from roadstead_backends.simulated.options import SimulatedOptions, nodes_of

__all__ = ["connect"]


def connect(context: BackendContext) -> SimulatedCluster:
    """Return a new, empty cluster on this process's simulated network, in the machine's time."""
    options = context.options
    if not isinstance(options, SimulatedOptions):
        raise Rejected(f"{options!r} are not the options of a simulated cluster", cluster=context.cluster)
    scheduling = context.scheduling or Scheduling.DIRECTED
    return SimulatedCluster(
        context.cluster,
        owner_id=context.owner_id,
        nodes=nodes_of(options),
        clock=PassingClock(options.speed),
        network=shared_network(),
        able=capabilities(scheduling, exact_retire=options.exact_retire),
        timings=options.timings,
        seed=options.seed,
    )
