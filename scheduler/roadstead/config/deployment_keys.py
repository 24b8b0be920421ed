"""The keys of a deployment, which are also the keys of ``defaults``."""

from __future__ import annotations

from typing import Final

import attrs

from roadstead.config.amounts import DURATION, duration
from roadstead.config.autoscaling_keys import autoscaling
from roadstead.config.entries import DeploymentEntry, UnreachableEntry
from roadstead.config.gateway_keys import VIA
from roadstead.config.plugins import Backends
from roadstead.config.shapes import (
    ByKind,
    Choice,
    Flag,
    Key,
    ListOf,
    Maybe,
    Named,
    PluginName,
    Table,
    Text,
    Value,
    Whole,
    table,
)
from roadstead.config.template_keys import template_keys
from roadstead.config.texts import CLUSTER_NAME, OWNER_NAME
from roadstead.model import MAX_REPLICAS, Adoption, ExcessAction, ExcessSpec, OnDrift, RolloutSpec, Strategy

__all__ = ["deployment_table"]

_ROLLOUT: Final = table(
    RolloutSpec,
    "rollout",
    Key(
        name="strategy",
        shape=Choice(
            (
                Value(
                    word="auto",
                    value=Strategy.AUTO,
                    doc="rolling where there is room, otherwise one at a time within max_unavailable",
                ),
                Value(word="rolling", value=Strategy.ROLLING, doc="new replicas first, then the old ones go"),
                Value(word="recreate", value=Strategy.RECREATE, doc="all old replicas go, then the new ones come"),
                Value(
                    word="reload",
                    value=Strategy.RELOAD,
                    doc="the same replicas load the new version, as long as only model.version and model.digest "
                    "change; anything else goes as with auto",
                ),
            )
        ),
        doc="how one revision replaces another",
    ),
    Key(name="max_surge", shape=Whole(most=100_000), doc="so many replicas more than wanted, while it goes on"),
    Key(
        name="max_unavailable",
        shape=Whole(most=100_000),
        doc="so many serving replicas fewer than wanted, while it goes on",
    ),
    Key(
        name="progress_deadline",
        shape=duration("1s"),
        doc="without progress for so long, it has failed; counted only while the daemon runs and the cluster answers",
    ),
    Key(name="auto_rollback", shape=Flag(), doc="whether a failed rollout goes back to the last proven revision"),
    Key(name="history", shape=Whole(most=100), doc="so many old revisions are kept at zero replicas, for `undo`"),
)

_ACTIONS: Final = Choice(
    (
        Value(word="warn", value=ExcessAction.WARN, doc="say so"),
        Value(
            word="restart",
            value=ExcessAction.RESTART,
            doc="restart its server where it is, or make another replica in its place where that cannot be done",
        ),
        Value(word="evict", value=ExcessAction.EVICT, doc="make another replica in its place"),
    )
)
_ON_EXCESS: Final = table(
    ExcessSpec,
    "on_excess",
    Key(name="cpu", shape=_ACTIONS, doc="what happens to a replica that uses more CPU than it may"),
    Key(name="memory", shape=_ACTIONS, doc="what happens to a replica that uses more memory than it may"),
    Key(
        name="gpu_memory",
        shape=_ACTIONS,
        doc="what happens to a replica that uses more GPU memory than its share of a GPU has, or any without a GPU",
    ),
    Key(
        name="after",
        shape=duration("1s"),
        doc="for how long it must have been seen to; what nobody measures counts for nothing",
    ),
)

_UNREACHABLE: Final = Table(
    noun="unreachable",
    keys=(
        Key(
            name="fail_over_after",
            shape=DURATION,
            doc="how long a cluster must be silent before what clients miss is made up on the others that are named",
        ),
    ),
    builds=UnreachableEntry,
)

_DRIFT: Final = Choice(
    (
        Value(word="revert", value=OnDrift.REVERT, doc="put it back"),
        Value(word="report", value=OnDrift.REPORT, doc="only say so"),
    )
)

_ADOPT: Final = table(
    Adoption,
    "adopt",
    Key(name="cluster", shape=CLUSTER_NAME, doc="the cluster that it runs on, one of `clusters`", required=True),
    Key(
        name="object",
        shape=Text(noun="a native id"),
        doc="what it is called there: `deployment/NAME` or `replicaset/NAME` on Kubernetes",
        required=True,
    ),
)

_CLUSTERS: Final = ByKind(
    noun="the name of a cluster (or a list of them, or a weight for each)",
    text=Text(noun="the name of a cluster"),
    items=ListOf(item=Text(noun="the name of a cluster"), noun="clusters", least=1, most=100),
    entries=Named(
        item=Whole(least=1, most=10_000),
        names=Text(noun="the name of a cluster"),
        label="CLUSTER",
        least=1,
        most=100,
    ),
)


def deployment_table(backends: Backends, runtime: PluginName, place: PluginName, scaling: PluginName) -> Table:
    """Return the keys of a deployment: first what a running replica embodies, then what stands around it."""
    keys = table(
        DeploymentEntry,
        "a deployment",
        *template_keys(backends, runtime),
        Key(
            name="owner",
            shape=Maybe(OWNER_NAME),
            doc="whose quota it counts against; where there are quotas, a name that stands there",
            default_doc="`default`",
        ),
        Key(name="priority", shape=Whole(least=-1_000_000, most=1_000_000), doc="who is served first when not all fit"),
        Key(name="place", shape=place, doc="the placement policy, on directed clusters"),
        Key(
            name="clusters",
            shape=_CLUSTERS,
            doc="where it may run: one cluster, several in order of preference, or several with a weight each, as in "
            "`{here: 70, there: 30}`",
            default_doc="the only cluster declared",
        ),
        Key(name="replicas", shape=Whole(most=MAX_REPLICAS), doc="how many replicas, over all clusters"),
        Key(name="rollout", shape=_ROLLOUT, doc="how revisions replace each other"),
        Key(
            name="autoscaling",
            shape=autoscaling(scaling),
            doc="instead of `replicas`: as many as measured load makes, within bounds",
        ),
        Key(name="unreachable", shape=_UNREACHABLE, doc="what happens when a cluster does not answer"),
        Key(
            name="on_excess",
            shape=_ON_EXCESS,
            doc="what happens to a replica that uses more than it may: one at a time, never with fewer serving than "
            "`rollout.max_unavailable` allows",
        ),
        Key(
            name="drift",
            shape=_DRIFT,
            doc="what happens when somebody else changed our objects; each is put back three times an hour at most",
            field="on_drift",
        ),
        Key(
            name="gateway",
            shape=Maybe(VIA),
            doc="the gateway that clients connect to: its name, or a mapping; null: they follow `roadstead endpoints`",
            default_doc="the only gateway declared, else null",
        ),
        Key(name="adopt", shape=Maybe(_ADOPT), doc="something that runs already and is taken over as it is"),
    )
    return attrs.evolve(keys, shared="deployment")
