"""Metrics of drift: which groups others changed, or scale, what is put back, and what is fought over."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from roadstead.act.events import Turn
from roadstead.decide.report import fleet_drift

__all__ = ["of_drift"]

_GROUP = ["cluster", "deployment", "revision"]


def of_drift(turn: Turn) -> Iterator[Metric]:
    """Yield the families of drift; a group that is as we made it is in none of them."""
    fields = GaugeMetricFamily("roadstead_drifted_fields", "Fields of a group that others changed.", labels=_GROUP)
    strays = GaugeMetricFamily(
        "roadstead_drifted_replicas", "Replicas that were made from what others wrote.", labels=_GROUP
    )
    reverts = GaugeMetricFamily(
        "roadstead_reverts_last_hour", "How often a group was put back within the last hour.", labels=_GROUP
    )
    contested = GaugeMetricFamily(
        "roadstead_contested", "Whether a group is left to others, who change it again or scale it.", labels=_GROUP
    )
    for group in fleet_drift(turn.fleet, turn.world, turn.plan, turn.at).groups:
        labels = [group.cluster, group.deployment, group.revision]
        fields.add_metric(labels, len(group.fields))
        strays.add_metric(labels, len(group.strays))
        reverts.add_metric(labels, group.reverted)
        contested.add_metric(labels, float(group.contested))
    yield from (fields, strays, reverts, contested)
