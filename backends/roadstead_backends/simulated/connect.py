"""Makes a simulated cluster from what a fleet file says."""

from __future__ import annotations

from roadstead.errors import Rejected
from roadstead.spi.backend import BackendContext
from roadstead_backends.simulated.clock import Clock, PassingClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.network import Network, shared_network
from roadstead_backends.simulated.options import SimulatedOptions, nodes_of, quota_of, temper_of

__all__ = ["connect", "made"]


def connect(context: BackendContext) -> SimulatedCluster:
    """Return a new, empty cluster on this process's simulated network, in the machine's time."""
    options = _options(context)
    return made(context, PassingClock(options.speed), shared_network(), seed=options.seed)


def made(context: BackendContext, clock: Clock, network: Network, *, seed: int) -> SimulatedCluster:
    """Return a new, empty cluster on that network and in that time."""
    options = _options(context)
    temper = temper_of(options, context.scheduling)
    return SimulatedCluster(
        context.cluster,
        owner_id=context.owner_id,
        nodes=nodes_of(options),
        clock=clock,
        network=network,
        temper=temper,
        timings=options.timings(temper),
        quota=quota_of(options),
        seed=seed,
        reach=context.reach,
    )


def _options(context: BackendContext) -> SimulatedOptions:
    if not isinstance(context.options, SimulatedOptions):
        raise Rejected(f"{context.options!r} are not the options of a simulated cluster", cluster=context.cluster)
    return context.options
