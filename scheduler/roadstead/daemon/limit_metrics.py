"""Metrics of limits: what was requested and allocated beside what is used, and what owners hold of what they may."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from roadstead.act.events import Turn
from roadstead.decide.report import FleetLimits, Measure, fleet_limits

__all__ = ["of_limits"]

_REPLICA = ["cluster", "deployment", "replica", "resource"]
_NODE = ["cluster", "node", "resource"]
_OWNER = ["owner", "resource"]


def of_limits(turn: Turn) -> Iterator[Metric]:
    """Yield the families of limits, in cores, bytes and devices; what is not known, or not limited, is absent."""
    limits = fleet_limits(turn.fleet, turn.world, turn.plan, turn.at)
    yield from _of_replicas(limits)
    yield from _of_nodes(limits)
    yield from _of_owners(limits)


def _of_replicas(limits: FleetLimits) -> Iterator[Metric]:
    requested = GaugeMetricFamily("roadstead_replica_requested", "What a replica asks for.", labels=_REPLICA)
    allocated = GaugeMetricFamily("roadstead_replica_allocated", "What a replica has on its node.", labels=_REPLICA)
    gpu_memory = GaugeMetricFamily(
        "roadstead_replica_gpu_memory_bytes", "GPU memory in use; absent where unknown.", labels=_REPLICA[:-1]
    )
    for deployment in limits.deployments:
        for one in deployment.replicas:
            labels = [one.cluster, deployment.name, one.id]
            _add(requested, labels, one.requested)
            _add(allocated, labels, one.allocated)
            if one.observed.gpu_memory is not None:
                gpu_memory.add_metric(labels, one.observed.gpu_memory.bytes)
    yield requested
    yield allocated
    yield gpu_memory


def _of_nodes(limits: FleetLimits) -> Iterator[Metric]:
    capacity = GaugeMetricFamily("roadstead_node_capacity", "What a node has.", labels=_NODE)
    allocated = GaugeMetricFamily("roadstead_node_allocated", "What replicas have of a node.", labels=_NODE)
    foreign = GaugeMetricFamily("roadstead_node_foreign", "What others than we hold of a node.", labels=_NODE)
    for node in limits.nodes:
        labels = [node.cluster, node.name]
        for family, measure in ((capacity, node.has), (allocated, node.allocated), (foreign, node.foreign)):
            _add(family, labels, measure)
    yield capacity
    yield allocated
    yield foreign


def _of_owners(limits: FleetLimits) -> Iterator[Metric]:
    held = GaugeMetricFamily("roadstead_owner_held", "What an owner holds, over all clusters.", labels=_OWNER)
    quota = GaugeMetricFamily("roadstead_owner_quota", "What an owner may hold; absent without limit.", labels=_OWNER)
    for one in limits.owners:
        _add(held, [one.owner], one.held)
        _add(quota, [one.owner], one.quota)
    yield held
    yield quota


def _add(family: GaugeMetricFamily, labels: list[str], measure: Measure) -> None:
    for resource, amount in (
        ("cpu", measure.cpu.milli / 1000 if measure.cpu is not None else None),
        ("memory", measure.memory.bytes if measure.memory is not None else None),
        ("gpu", measure.gpu / 1000 if measure.gpu is not None else None),
        ("gpu_memory", measure.gpu_memory.bytes if measure.gpu_memory is not None else None),
    ):
        if amount is not None:
            family.add_metric([*labels, resource], amount)
