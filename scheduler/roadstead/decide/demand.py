"""How much all replicas of a deployment together have to do now, metric by metric, as far as somebody measures it.

Its gateway's word comes first. Without a gateway, requests are what the servers themselves count, as far as all of
those that are ready do. What is not known is ``None`` and never 0.
"""

from __future__ import annotations

from math import ceil

from roadstead.autoscaling import Metric
from roadstead.traffic import Load, MeanLoad, Seen, sum_of
from roadstead.world import Shard, World

__all__ = ["Demand"]

_STALE_MS = 20_000
"""How old what a server said of itself may be: it is read every five seconds, or less often where there are many."""


class Demand:
    """What one deployment has to do in one world.

    ``elapsed_ms`` is the time since its gateway had counted ``before`` requests; ``None`` where that is not known.
    """

    __slots__ = ("_before", "_elapsed_ms", "_fronted", "_load", "_now", "_shard", "_world")

    def __init__(self, shard: Shard, world: World, now: int, elapsed_ms: int, before: int | None) -> None:
        self._shard = shard
        self._world = world
        self._now = now
        self._elapsed_ms = elapsed_ms
        self._before = before
        path = world.data_path
        gateway = path.via.get(shard.deployment)
        self._fronted = gateway is not None
        state = path.gateways.get(gateway) if gateway is not None else None
        route = state.view.loads.get(shard.deployment) if isinstance(state, Seen) else None
        self._load: Load | None = route.total if route is not None else None

    @property
    def counted(self) -> int | None:
        """How many requests the gateway has counted."""
        return self._load.requests if self._load is not None else None

    def of(self, metric: Metric) -> int | None:
        """Return the amount, in the metric's unit; ``None`` where nobody can tell."""
        match metric:
            case Metric.CONCURRENCY:
                return self._concurrency()
            case Metric.REQUESTS_PER_SECOND:
                return self._requests_per_second()
            case Metric.LATENCY_P99:
                return self._latency()
            case Metric.CPU:
                return self._cpu()
            case Metric.GPU:
                return None

    def _concurrency(self) -> int | None:
        if self._fronted:
            # Where nobody serves, nothing is in flight however much is asked for: that says nothing.
            return self._load.in_flight * 1000 if self._load is not None and self._shard.serving else None
        servers = self._servers()
        return ceil(servers.in_flight * 1000) if servers is not None and servers.in_flight is not None else None

    def _requests_per_second(self) -> int | None:
        if not self._fronted:
            servers = self._servers()
            return ceil(servers.rate * 1000) if servers is not None else None
        if self._load is None:
            return None
        before = self._before
        if before is not None and self._elapsed_ms > 0 and self._load.requests >= before:
            return (self._load.requests - before) * 1_000_000 // self._elapsed_ms
        return ceil(self._load.rate * 1000) if self._load.rate is not None else None

    def _latency(self) -> int | None:
        """Return the 99th percentile times the replicas that it is of: it falls as they share what there is to do."""
        if self._load is None or not self._shard.serving:
            return None
        if self._load.latency is not None:
            return ceil(self._load.latency.p99) * len(self._shard.serving)
        return 0 if self._requests_per_second() == 0 else None

    def _cpu(self) -> int | None:
        # What a cluster measured before it fell silent says nothing of now.
        used = [self._world.usage.get(one.replica.id) if one.reachable else None for one in self._shard.ready]
        known = [usage.cpu.milli for usage in used if usage is not None and usage.cpu is not None]
        return sum(known) if known and len(known) == len(used) else None

    def _servers(self) -> MeanLoad | None:
        loads: list[MeanLoad] = []
        for member in self._shard.ready:
            reading = self._world.server_load(member.replica)
            if reading is None or reading.mean is None or self._now - reading.at > _STALE_MS:
                return None
            loads.append(reading.mean)
        return sum_of(loads)
