"""What gateways measure and servers count, as metrics.

They are put together when somebody asks: a gateway's are no older than the last look at it, a server's as of the last
turn, and it may have been read some seconds before that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from roadstead.traffic import DataPath, Load, Seen
from roadstead.world import World

__all__ = ["of_gateways", "of_servers", "of_traffic"]

_OF_ROUTE = ("gateway", "deployment")
_OF_REPLICA = ("gateway", "cluster", "deployment", "replica")


def of_gateways(data_path: DataPath) -> Iterator[Metric]:
    """Yield whether gateways answer, follow, and can be connected to."""
    up = GaugeMetricFamily("roadstead_gateway_up", "Whether the gateway answers.", labels=["gateway"])
    settled = GaugeMetricFamily(
        "roadstead_gateway_settled", "Whether the newest table is in force.", labels=["gateway"]
    )
    usable = GaugeMetricFamily(
        "roadstead_route_usable", "Whether clients can use the deployment's address.", labels=list(_OF_ROUTE)
    )
    for name, state in sorted(data_path.gateways.items()):
        up.add_metric([name], float(isinstance(state, Seen)))
        if isinstance(state, Seen):
            settled.add_metric([name], float(state.view.settled))
            for deployment, route in sorted(state.view.routes.items()):
                usable.add_metric([name, deployment], float(not route.problem))
    yield from (up, settled, usable)


def of_traffic(world: World, data_path: DataPath) -> Iterator[Metric]:
    """Yield the load of every route, and of the replicas behind it, as ``world`` names them."""
    routes, replicas = _Loads("roadstead", _OF_ROUTE), _Loads("roadstead_replica", _OF_REPLICA)
    for name, state in sorted(data_path.gateways.items()):
        for deployment, load in sorted(state.view.loads.items()) if isinstance(state, Seen) else ():
            routes.add((name, deployment), load.total)
            shard = world.shards.get(deployment)
            for member in shard.members if shard is not None else ():
                endpoint = member.replica.endpoint
                if endpoint is not None and endpoint in load.endpoints:
                    labels = (name, member.cluster, deployment, member.replica.id)
                    replicas.add(labels, load.endpoints[endpoint])
    yield from routes.families
    yield from replicas.families


def of_servers(world: World) -> Iterator[Metric]:
    """Yield what each server counts of its own requests; what is not known has no sample."""
    of = ["cluster", "deployment", "replica"]
    requests = CounterMetricFamily(
        "roadstead_server_requests", "Requests that ended, by the server's own count since it started.", labels=of
    )
    errors = CounterMetricFamily("roadstead_server_request_errors", "Those of them that failed.", labels=of)
    rate = GaugeMetricFamily("roadstead_server_request_rate", "Requests per second between two readings.", labels=of)
    flying = GaugeMetricFamily(
        "roadstead_server_requests_in_flight", "The mean number of good requests in flight.", labels=of
    )
    seconds = GaugeMetricFamily("roadstead_server_request_seconds", "How long a good request took, mean.", labels=of)
    at = GaugeMetricFamily("roadstead_server_read_timestamp_seconds", "When the server was read.", labels=of)
    for name, shard in sorted(world.shards.items()):
        for member in shard.members:
            reading = world.server_load(member.replica)
            if reading is None:
                continue
            labels, mean = [member.cluster, name, member.replica.id], reading.mean
            requests.add_metric(labels, reading.counted.ok + reading.counted.failed)
            errors.add_metric(labels, reading.counted.failed)
            at.add_metric(labels, reading.at / 1000)
            if mean is not None:
                rate.add_metric(labels, mean.rate)
            if mean is not None and mean.in_flight is not None:
                flying.add_metric(labels, mean.in_flight)
            if mean is not None and mean.latency is not None:
                seconds.add_metric(labels, mean.latency / 1000)
    yield from (requests, errors, rate, flying, seconds, at)


class _Loads:
    """The metrics of one kind of thing that has a load."""

    def __init__(self, prefix: str, labels: Sequence[str]) -> None:
        of = list(labels)
        self._requests = CounterMetricFamily(f"{prefix}_requests", "Requests since the gateway started.", labels=of)
        self._errors = CounterMetricFamily(
            f"{prefix}_request_errors", "Answers that say that the server failed.", labels=of
        )
        self._in_flight = GaugeMetricFamily(f"{prefix}_requests_in_flight", "Requests not answered yet.", labels=of)
        self._rate = GaugeMetricFamily(
            f"{prefix}_request_rate", "Requests per second over the last interval.", labels=of
        )
        self._seconds = GaugeMetricFamily(
            f"{prefix}_request_seconds", "How long replicas took to answer, by quantile.", labels=[*of, "quantile"]
        )

    @property
    def families(self) -> tuple[Metric, ...]:
        return self._requests, self._errors, self._in_flight, self._rate, self._seconds

    def add(self, labels: Sequence[str], load: Load) -> None:
        """Take in one load; what is not known has no sample."""
        self._requests.add_metric(labels, load.requests)
        self._errors.add_metric(labels, load.errors)
        self._in_flight.add_metric(labels, load.in_flight)
        if load.rate is not None:
            self._rate.add_metric(labels, load.rate)
        if load.latency is not None:
            for quantile, milliseconds in (
                ("0.5", load.latency.p50),
                ("0.9", load.latency.p90),
                ("0.99", load.latency.p99),
            ):
                self._seconds.add_metric([*labels, quantile], milliseconds / 1000)
