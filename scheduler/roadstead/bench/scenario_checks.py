"""What is wrong between a scenario and its fleet: names that nobody has, and events that say nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from roadstead.bench.scenario import (
    Action,
    ChangeFile,
    ChangeQuota,
    CrashServers,
    Foreign,
    LimitCluster,
    LoseNode,
    Partition,
    Scale,
    SilenceNode,
    Trouble,
)
from roadstead.bench.scenario_keys import ScenarioEntry
from roadstead.config.finding import Finding
from roadstead.config.problems import Path as Keys
from roadstead.config.problems import ProblemCode
from roadstead.config.texts import nearest
from roadstead.model import Fleet
from roadstead.spi.backend import BackendContext
from roadstead.spi.host import resolve
from roadstead.spi.records import BackendPlugin

__all__ = ["findings"]


def findings(written: ScenarioEntry, fleet: Fleet, plugin: BackendPlugin) -> Iterator[Finding]:
    """Yield everything that is wrong with a scenario for ``fleet``."""
    for name in fleet.clusters.keys() - written.clusters.keys():
        what, hint = f"the fleet's cluster {name!r} has nothing to stand in for it", f"add `{name}:`, {{}} will do"
        yield Finding(code=ProblemCode.REFERENCE, path=("clusters",), what=what, hint=hint)
    for name in written.clusters:
        yield from _unknown("cluster", name, fleet.clusters, ("clusters", name), about_key=True)
    for name in written.load:
        yield from _unknown("deployment", name, fleet.deployments, ("load", name), about_key=True)
    nodes = _nodes(written, fleet, plugin)
    for index, event in enumerate(written.events):
        path = ("events", index)
        if event.at.ms > written.lasts.ms:
            what = f"this is at {event.at}, after the end at {written.lasts}"
            yield Finding(code=ProblemCode.RANGE, path=(*path, "at"), what=what, hint="simulate longer with `for`")
        yield from _in_event(event, path, fleet, nodes)


def _in_event(event: Action, path: Keys, fleet: Fleet, nodes: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    match event:
        case LoseNode(lose_node=node) | SilenceNode(silence_node=node) | Foreign(foreign_use=node):
            yield from _unknown("cluster", event.cluster, fleet.clusters, (*path, "cluster"))
            if event.cluster in nodes:
                yield from _unknown(f"node of {event.cluster}", node, nodes[event.cluster], (*path, event.marker))
        case Partition(partition=cluster) | LimitCluster(limit_cluster=cluster):
            yield from _unknown("cluster", cluster, fleet.clusters, (*path, event.marker))
        case ChangeQuota(quota=owner):
            yield from _unknown("owner with a quota", owner, fleet.quotas, (*path, event.marker))
        case CrashServers(crash=name) | Trouble(trouble=name) | ChangeFile(change=name) | Scale(scale=name):
            yield from _unknown("deployment", name, fleet.deployments, (*path, event.marker))
        case _:
            pass
    if isinstance(event, ChangeFile) and (event.replicas, event.version, event.source) == (None, None, None):
        hint = "give replicas, version or source"
        yield Finding(code=ProblemCode.COMBINATION, path=path, what="this changes nothing", hint=hint)


def _unknown(kind: str, name: str, known: Collection[str], path: Keys, *, about_key: bool = False) -> Iterator[Finding]:
    if name in known:
        return
    near = nearest(name, known)
    names = sorted(known)
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    hint = f"did you mean {near}?" if near else f"known here: {listed or 'none'}"
    what = f"there is no {kind} {name!r}"
    yield Finding(code=ProblemCode.REFERENCE, path=path, what=what, hint=hint, about_key=about_key)


def _nodes(written: ScenarioEntry, fleet: Fleet, plugin: BackendPlugin) -> Mapping[str, Collection[str]]:
    """Return the names of the nodes of every cluster, from clusters that are made to be asked and then forgotten."""
    assert plugin.simulation is not None
    world = resolve(plugin.simulation, f"the simulation of {plugin.name}")(lambda: 0)
    found = {}
    for name, options in written.clusters.items():
        context = BackendContext(
            cluster=name, fleet=fleet.name, owner_id="", options=options, scheduling=None, root=Path()
        )
        found[name] = frozenset(world.cluster(context, 0).node_names)
    return found
