"""Every key of a fleet file: its name, what it may be, its default and what it means.

This is the one description that the reader, the JSON Schema and the reference page are made from. Defaults stand in
the values of :mod:`roadstead.model`, because they are part of a revision's identity, and are taken from there. What is
installed (backends, runtimes, policies) comes from the plugin host.
"""

from __future__ import annotations

from typing import Final

import attrs

from roadstead.config.amounts import CPU, GPUS, MEMORY, duration
from roadstead.config.deployment_keys import deployment_table
from roadstead.config.entries import ClusterEntry, FleetEntry
from roadstead.config.gateway_keys import gateway_table
from roadstead.config.plugins import Backends, backends, gateways, placement_policies, runtimes, scaling_policies
from roadstead.config.shapes import ByKind, Choice, Key, Maybe, Named, Options, Table, Value, Whole, table
from roadstead.config.texts import (
    ADDRESS,
    CLUSTER_NAME,
    DEPLOYMENT_NAME,
    FILE_PATH,
    FLEET_NAME,
    GATEWAY_NAME,
    OWNER_NAME,
)
from roadstead.model import ClusterState, DaemonSpec, LeaseSpec, OnChange, Quota, Reach, Scheduling
from roadstead.spi.host import PluginHost
from roadstead.units import Cpus

__all__ = ["MAX_DEPLOYMENTS", "fleet_table"]

MAX_DEPLOYMENTS: Final = 20_000

_SCHEDULING: Final = Choice(
    (
        Value(word="native", value=Scheduling.NATIVE, doc="the cluster's own scheduler picks the node"),
        Value(word="directed", value=Scheduling.DIRECTED, doc="ours does"),
    )
)
_STATE: Final = Choice(
    (
        Value(word="active", value=ClusterState.ACTIVE, doc="use it"),
        Value(word="draining", value=ClusterState.DRAINING, doc="move away from it, start nothing there"),
        Value(word="disabled", value=ClusterState.DISABLED, doc="do not touch it; its replicas count for nothing"),
    )
)
_REACH: Final = Choice(
    (
        Value(word="direct", value=Reach.DIRECT, doc="daemon and gateway can connect to replicas"),
        Value(word="none", value=Reach.NONE, doc="they cannot; the orchestrator's word on readiness counts"),
    )
)

_QUOTA: Final = table(
    Quota,
    "a quota",
    Key(
        name="cpu",
        shape=Maybe(attrs.evolve(CPU, least=Cpus(0), low_hint="")),
        doc="processor time; null: without limit",
    ),
    Key(name="memory", shape=Maybe(MEMORY), doc="memory; null: without limit"),
    Key(name="gpu", shape=Maybe(GPUS), doc="GPUs, shares counted as such; null: without limit"),
)

_LEASE: Final = table(
    LeaseSpec,
    "a lease",
    Key(
        name="kubernetes",
        shape=CLUSTER_NAME,
        field="cluster",
        doc="the cluster whose API server keeps it, in the namespace of that cluster's options",
        required=True,
    ),
)

_DAEMON: Final = table(
    DaemonSpec,
    "the daemon",
    Key(
        name="turn",
        shape=duration("100ms", "1h"),
        doc="at least this often everything is looked at; watches wake it sooner",
    ),
    Key(
        name="on_change",
        shape=Choice(
            (
                Value(word="apply", value=OnChange.APPLY, doc="saving the file is applying it"),
                Value(word="stage", value=OnChange.STAGE, doc="a change waits for `roadstead apply`"),
            )
        ),
        doc="what saving the fleet file does",
    ),
    Key(
        name="on_removal",
        shape=Choice(
            (
                Value(
                    word="hold",
                    value=OnChange.HOLD,
                    doc="what vanished is left as it is until `apply` or `delete` says so",
                ),
                Value(word="apply", value=OnChange.APPLY, doc="what vanished is taken down"),
            )
        ),
        doc="what happens to what vanishes from the file",
    ),
    Key(
        name="lease",
        shape=ByKind(
            noun="file",
            text=Choice((Value(word="file", value=None, doc="a lock in the state directory"),)),
            entries=_LEASE,
        ),
        doc="what makes sure that there is one writer for the fleet: a lock on this machine, or a lease on a cluster",
        default_doc="`file`",
    ),
    Key(
        name="http",
        shape=ADDRESS,
        doc="where health and metrics are served; a loopback address; port 0 takes a free one",
    ),
    Key(
        name="state",
        shape=Maybe(FILE_PATH),
        doc="the state directory, relative to the fleet file",
        default_doc="the user's state directory, one folder for each fleet",
    ),
)


def _cluster_table(known: Backends) -> Table:
    return table(
        ClusterEntry,
        "a cluster",
        Key(name="backend", shape=known.name, doc="the plugin that drives it", required=True),
        Key(
            name="scheduling",
            shape=Maybe(_SCHEDULING),
            doc="who picks the node for a replica",
            default_doc="what the backend does best",
        ),
        Key(name="state", shape=_STATE, doc="what is done with it"),
        Key(name="reach", shape=_REACH, doc="whether replicas can be connected to"),
        Key(
            name="options",
            shape=Options(by="backend", tables=known.options),
            doc="what only this backend has to know",
            default_doc=" ",
        ),
    )


def fleet_table(host: PluginHost) -> Table:
    """Return the keys of a whole fleet file, with the plugins that ``host`` has."""
    known = backends(host)
    deployment = deployment_table(known, runtimes(host), placement_policies(host), scaling_policies(host))
    return table(
        FleetEntry,
        "a fleet file",
        Key(
            name="version",
            shape=Whole(noun="the version of the format", least=1, most=1),
            doc="the version of this format, which is 1",
            required=True,
        ),
        Key(
            name="fleet",
            shape=FLEET_NAME,
            doc="the fleet's name; part of the name of everything that it creates",
            required=True,
        ),
        Key(
            name="clusters",
            shape=Named(item=_cluster_table(known), names=CLUSTER_NAME, label="CLUSTER", least=1, most=100),
            doc="the places where replicas run",
            required=True,
        ),
        Key(
            name="gateways",
            shape=Named(item=gateway_table(gateways(host)), names=GATEWAY_NAME, label="GATEWAY", most=100),
            doc="the data path: one stable address for each deployment, wherever its replicas are",
        ),
        Key(
            name="quotas",
            shape=Named(item=_QUOTA, names=OWNER_NAME, label="OWNER"),
            doc="what one owner may hold over all clusters at any moment, surge included; where there are any, every "
            "owner below must stand here ({}: without limit), or a typing error would escape its quota",
        ),
        Key(
            name="defaults",
            shape=deployment,
            doc="any keys of a deployment; they apply to every deployment that does not say otherwise",
            field=None,
        ),
        Key(
            name="deployments",
            shape=Named(item=deployment, names=DEPLOYMENT_NAME, label="DEPLOYMENT", most=MAX_DEPLOYMENTS),
            doc="the models that are served",
            required=True,
        ),
        Key(name="daemon", shape=_DAEMON, doc="how the daemon runs"),
    )
