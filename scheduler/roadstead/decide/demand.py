"""How much all replicas of a deployment together have to do now, metric by metric, as far as somebody measures it.

Its gateway's word comes first. Without a gateway, requests are what the servers themselves count, as far as all of
those that are ready do. What is not known is ``None`` and never 0.
"""

from __future__ import annotations

from math import ceil

import attrs

from roadstead.autoscaling import Metric
from roadstead.traffic import Load, MeanLoad, Seen, sum_of
from roadstead.world import Shard, World

__all__ = ["Demand"]

_STALE_MS = 20_000
"""How old what a server said of itself may be: it is read every five seconds, or less often where there are many."""


@attrs.define
class Demand:
    """What one deployment has to do in one world.

    ``counted`` is how many requests its gateway has counted, ``None`` where it has none or that does not answer, and
    ``arrived`` how many of these came in the last ``elapsed_ms``, where that is known.
    """

    shard: Shard
    world: World
    now: int
    elapsed_ms: int
    counted_before: int | None
    load: Load | None = attrs.field(init=False)
    fronted: bool = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        path = self.world.data_path
        gateway = path.via.get(self.shard.deployment)
        self.fronted = gateway is not None
        state = path.gateways.get(gateway) if gateway is not None else None
        route = state.view.loads.get(self.shard.deployment) if isinstance(state, Seen) else None
        self.load = route.total if route is not None else None

    @property
    def counted(self) -> int | None:
        """How many requests the gateway has counted."""
        return self.load.requests if self.load is not None else None

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
        if self.fronted:
            return self.load.in_flight * 1000 if self.load is not None else None
        servers = self._servers()
        return ceil(servers.in_flight * 1000) if servers is not None and servers.in_flight is not None else None

    def _requests_per_second(self) -> int | None:
        if not self.fronted:
            servers = self._servers()
            return ceil(servers.rate * 1000) if servers is not None else None
        if self.load is None:
            return None
        before = self.counted_before
        if before is not None and self.elapsed_ms > 0 and self.load.requests >= before:
            return (self.load.requests - before) * 1_000_000 // self.elapsed_ms
        return ceil(self.load.rate * 1000) if self.load.rate is not None else None

    def _latency(self) -> int | None:
        """Return the 99th percentile times the replicas that it is of: it falls as they share what there is to do."""
        if self.load is None:
            return None
        if self.load.latency is not None:
            return ceil(self.load.latency.p99) * max(1, len(self.shard.serving))
        return 0 if self._requests_per_second() == 0 else None

    def _cpu(self) -> int | None:
        used = [self.world.usage.get(member.replica.id) for member in self.shard.ready]
        known = [usage.cpu.milli for usage in used if usage is not None and usage.cpu is not None]
        return sum(known) if known and len(known) == len(used) else None

    def _servers(self) -> MeanLoad | None:
        loads: list[MeanLoad] = []
        for member in self.shard.ready:
            reading = self.world.server_load(member.replica)
            if reading is None or reading.mean is None or self.now - reading.at > _STALE_MS:
                return None
            loads.append(reading.mean)
        return sum_of(loads)
