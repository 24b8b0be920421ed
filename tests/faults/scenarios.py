"""The stories: ten lines each, and told on every temper of clusters."""

from __future__ import annotations

import attrs

from roadstead.act.intents import migrated, moved_back, paused, resumed
from roadstead.autoscaling import AutoscalingSpec, Metric, MetricTarget, Windows
from roadstead.model import ClusterState, Fleet, Quota, Strategy
from roadstead.testing.faults.stage import Stage
from roadstead.testing.faults.telling import Act, Scenario, Serving
from roadstead.units import Cpus, Duration
from roadstead.world import Drift, Endpoint
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.faults import ModelFault
from tests.faults.fleets import BOTH, ROLLS, confined, deployment, fleet, weighed

__all__ = ["SCENARIOS"]


def _break(stage: Stage, source: str) -> None:
    """Let no server get ready with a model."""
    for cluster in stage.props.clusters.values():
        assert isinstance(cluster, SimulatedCluster)
        cluster.faults.models[source] = ModelFault.FAILS


def _send(stage: Stage, count: int, takes_ms: int) -> None:
    for _ in range(count):
        stage.props.proxies["front"].send("anchor", takes_ms)


def _meddle(stage: Stage) -> None:
    """Change what is stored of every group, and end a server: where the cluster replaces it, then from that."""
    for cluster in stage.props.clusters.values():
        assert isinstance(cluster, SimulatedCluster)
        for group in cluster.truth().groups:
            cluster.meddle(group.key, Drift(field="cpu", ours="1", theirs="2", manager="somebody"))
        cluster.lose(cluster.running("anchor")[0])


def _allow(stage: Stage, quota: Quota | None) -> None:
    """Let the clusters themselves allow so much, and no more."""
    for cluster in stage.props.clusters.values():
        assert isinstance(cluster, SimulatedCluster)
        cluster.limit(quota)


def _expose(stage: Stage) -> None:
    """Remove what stands for a deployment as a whole."""
    for cluster in stage.props.clusters.values():
        cluster.settle("anchor", None)


def _lose_power(stage: Stage, cluster: str) -> None:
    """Let a cluster not answer for a while, with all that runs there.

    The gateways' own checks find nobody there, until each server is up again.
    """
    there = stage.props.clusters[cluster]
    assert isinstance(there, SimulatedCluster)
    lost = (replica.endpoint for group in there.truth().groups for replica in group.replicas)
    servers = {endpoint for endpoint in lost if endpoint is not None}
    stage.part(cluster)
    for node in there.node_names:
        there.silence_node(node)
    for proxy in stage.props.proxies.values():
        proxy.faults.unhealthy |= servers

    def restore() -> None:
        for node in there.node_names:
            there.return_node(node)
        stage.join(cluster)
        _find(stage, servers)

    stage.later(POWER_LOST_MS, restore)


def _find(stage: Stage, servers: set[Endpoint]) -> None:
    """Let the gateways' own checks find the servers that are up, and look for the others again later."""
    members = [one for shard in stage.judgement.truth().shards.values() for one in shard.members]
    up = {one.replica.endpoint for one in members if one.ready}
    for proxy in stage.props.proxies.values():
        proxy.faults.unhealthy -= servers if all(one.ready for one in members) else up
    if any(proxy.faults.unhealthy for proxy in stage.props.proxies.values()):
        stage.later(CHECK_MS, lambda: _find(stage, servers))


def _without(whole: Fleet, name: str) -> Fleet:
    return attrs.evolve(whole, deployments={one: its for one, its in whole.deployments.items() if one != name})


def _drain(stage: Stage, cluster: str) -> None:
    spec = attrs.evolve(stage.fleet.clusters[cluster], state=ClusterState.DRAINING)
    stage.change(attrs.evolve(stage.fleet, clusters={**stage.fleet.clusters, cluster: spec}))


def serving(
    count: int, source: str = "/m/1", *, version: int = 1, on: str = "here", name: str = "anchor"
) -> tuple[Serving, ...]:
    """Return that so many serve on one cluster."""
    return (Serving(cluster=on, deployment=name, source=source, version=version, count=count),)


SERVES_ON = Duration(4_000)
"""Long enough that other things happen while whoever was told to stop serves on."""

SOON = Duration(8_000)
"""How long a cluster must be silent before another one makes up for it: longer than where a call is cut off once."""

POWER_LOST_MS = 30_000
CHECK_MS = 1_000

TIGHT = Quota(cpu=Cpus(2_000))
SLOWLY = Duration(10_000)
"""Longer than the two turns that a clock may seem to have run at most: what is cut short by it can be told."""

DIPS = attrs.evolve(ROLLS, max_unavailable=2)
BUSY = AutoscalingSpec(
    max=4,
    metrics=(MetricTarget(Metric.CONCURRENCY, 4_000),),
    windows=Windows(stable=Duration(4_000), panic=Duration(2_000), scale_down_after=Duration(6_000)),
)
RELOADS = attrs.evolve(ROLLS, strategy=Strategy.RELOAD)
SCENARIOS = (
    Scenario(name="create", fleet=fleet(), acts=(Act(lambda stage: stage.declare(deployment())),), ends=serving(2)),
    Scenario(
        name="scale by hand",
        fleet=fleet(deployment()),
        acts=(Act(lambda stage: stage.scale("anchor", 4)), Act(lambda stage: stage.scale("anchor", 1))),
        ends=serving(1),
    ),
    Scenario(
        name="scale two, one after the other",
        fleet=fleet(deployment(), attrs.evolve(deployment("/m/2"), name="beacon")),
        acts=(
            Act(lambda stage: stage.scale("anchor", 3)),
            Act(lambda stage: stage.scale("beacon", 3), after=2_000),
            Act(lambda stage: stage.scale("anchor", 2), after=2_000),
        ),
        ends=(*serving(2), *serving(3, "/m/2", name="beacon")),
    ),
    Scenario(
        name="take down slowly",
        fleet=fleet(deployment(drain_within=SLOWLY)),
        acts=(Act(lambda stage: stage.scale("anchor", 1)),),
        ends=serving(1),
    ),
    Scenario(
        name="take down, think better of it, and take down",
        fleet=fleet(deployment(drain_within=SLOWLY)),
        acts=(
            Act(lambda stage: stage.scale("anchor", 1)),
            Act(lambda stage: stage.scale("anchor", 2), after=4_000),
            Act(lambda stage: stage.scale("anchor", 1)),
        ),
        ends=serving(1),
    ),
    Scenario(
        name="roll",
        fleet=fleet(deployment(via="front")),
        acts=(Act(lambda stage: stage.declare(deployment("/m/2", via="front"))),),
        ends=serving(2, "/m/2"),
    ),
    Scenario(
        name="roll, and whoever goes serves on",
        fleet=fleet(deployment(drain_within=SERVES_ON)),
        acts=(
            Act(lambda stage: stage.declare(deployment("/m/2", drain_within=SERVES_ON))),
            Act(lambda stage: stage.scale("anchor", 3), after=4_000),
        ),
        ends=serving(3, "/m/2"),
        tempers=frozenset({"like Kubernetes, serving on"}),
    ),
    Scenario(
        name="roll, and change one's mind",
        fleet=fleet(deployment()),
        acts=(
            Act(lambda stage: stage.declare(deployment("/m/2"))),
            Act(lambda stage: stage.declare(deployment("/m/3")), after=4_000),
        ),
        ends=serving(2, "/m/3"),
    ),
    Scenario(
        name="roll without room",
        fleet=fleet(deployment(replicas=4, rollout=DIPS), search=Quota(cpu=Cpus(4_000))),
        acts=(Act(lambda stage: stage.declare(deployment("/m/2", replicas=4, rollout=DIPS))),),
        ends=serving(4, "/m/2"),
    ),
    Scenario(
        name="roll beyond a cluster's own quota",
        fleet=fleet(confined(max_unavailable=1)),
        acts=(
            Act(lambda stage: _allow(stage, TIGHT)),
            Act(lambda stage: stage.declare(confined("/m/2", max_unavailable=1))),
        ),
        ends=serving(2, "/m/2"),
    ),
    Scenario(
        name="roll once a cluster's own quota is larger",
        fleet=fleet(confined()),
        acts=(
            Act(lambda stage: _allow(stage, TIGHT)),
            Act(lambda stage: stage.declare(confined("/m/2"))),
            Act(lambda stage: _allow(stage, None)),
        ),
        ends=serving(2, "/m/2"),
    ),
    Scenario(
        name="reload",
        fleet=fleet(deployment(rollout=RELOADS)),
        acts=(Act(lambda stage: stage.declare(deployment(version=2, rollout=RELOADS))),),
        ends=serving(2, version=2),
        tempers=frozenset({"directed", "native"}),
    ),
    Scenario(
        name="fail and roll back",
        fleet=fleet(deployment(replicas=1)),
        acts=(
            Act(lambda stage: _break(stage, "/m/2")),
            Act(lambda stage: stage.declare(deployment("/m/2", replicas=1))),
        ),
        ends=serving(1),
    ),
    Scenario(
        name="migrate",
        fleet=fleet(deployment(via="front"), clusters=BOTH),
        acts=(Act(lambda stage: stage.declare(deployment(on=("there",), via="front"))),),
        ends=serving(2, on="there"),
    ),
    Scenario(
        name="migrate by command, and back",
        fleet=fleet(deployment(replicas=1), clusters=BOTH),
        acts=(
            Act(lambda stage: stage.intend(lambda intents, one: migrated(intents, one, "there"))),
            Act(lambda stage: stage.intend(lambda intents, one: moved_back(intents, one.name))),
        ),
        ends=serving(1),
    ),
    Scenario(
        name="other weights",
        fleet=fleet(weighed(3, 1), clusters=BOTH),
        acts=(Act(lambda stage: stage.declare(weighed(1, 1))),),
        ends=(*serving(2), *serving(2, on="there")),
    ),
    Scenario(
        name="pause in the middle, and go on",
        fleet=fleet(deployment()),
        acts=(
            Act(lambda stage: stage.declare(deployment("/m/2"))),
            Act(lambda stage: stage.intend(paused), after=4_000),
            Act(lambda stage: stage.intend(lambda intents, one: resumed(intents, one.name)), after=6_000),
        ),
        ends=serving(2, "/m/2"),
    ),
    Scenario(
        name="scale by load",
        fleet=fleet(deployment(replicas=1, via="front", autoscaling=BUSY)),
        # Windows that empty are no reason to write: for that long, what is still is not at rest.
        acts=(Act(lambda stage: _send(stage, 8, 12_000)), Act(lambda _: None, after=36_000)),
        ends=serving(1),
    ),
    Scenario(
        name="drain",
        fleet=fleet(deployment(on=BOTH), clusters=BOTH),
        acts=(Act(lambda stage: _drain(stage, "here")),),
        ends=serving(2, on="there"),
    ),
    Scenario(
        name="put back what others change",
        fleet=fleet(deployment()),
        acts=(Act(_meddle),),
        ends=serving(2),
    ),
    Scenario(
        name="anybody may disturb it, says somebody",
        fleet=fleet(deployment()),
        acts=(Act(_expose),),
        ends=serving(2),
        tempers=frozenset({"like Kubernetes"}),
    ),
    Scenario(
        name="delete", fleet=fleet(deployment(via="front")), acts=(Act(lambda stage: stage.delete("anchor")),), ends=()
    ),
    Scenario(
        name="delete what no file has any more",
        fleet=fleet(deployment()),
        acts=(Act(lambda stage: stage.change(fleet())), Act(lambda stage: stage.delete("anchor"))),
        ends=(),
    ),
    Scenario(
        name="taken out of the file while it drains, and back",
        fleet=fleet(deployment(via="front", drain_within=SLOWLY)),
        acts=(
            Act(lambda stage: _send(stage, 8, 8_000)),
            Act(lambda stage: stage.scale("anchor", 1), after=1_000),
            Act(lambda stage: stage.change(_without(stage.fleet, "anchor")), after=2_000),
            Act(lambda stage: stage.declare(deployment(via="front", drain_within=SLOWLY))),
        ),
        ends=serving(1),
    ),
    Scenario(
        name="taken out of the file while it drains and another one grows",
        fleet=fleet(deployment(drain_within=SLOWLY), attrs.evolve(weighed(1, 1), name="beacon"), clusters=BOTH),
        acts=(
            Act(lambda stage: stage.scale("anchor", 1)),
            Act(lambda stage: stage.scale("beacon", 6), after=2_000),
            Act(lambda stage: stage.change(_without(stage.fleet, "anchor")), after=2_000),
            Act(lambda stage: stage.declare(deployment(drain_within=SLOWLY))),
        ),
        ends=(*serving(1), *serving(3, name="beacon"), *serving(3, on="there", name="beacon")),
    ),
    Scenario(
        name="quota change",
        fleet=fleet(deployment(), search=TIGHT),
        acts=(
            Act(lambda stage: stage.scale("anchor", 3)),
            Act(lambda stage: stage.limit(search=Quota(cpu=Cpus(3_000)))),
            Act(lambda stage: stage.limit(search=TIGHT)),
        ),
        ends=serving(3),
    ),
    Scenario(
        name="cluster lost and back",
        fleet=fleet(deployment(on=BOTH, via="front"), clusters=BOTH),
        acts=(
            Act(lambda stage: stage.part("here")),
            Act(lambda stage: stage.scale("anchor", 3), after=6_000),
            Act(lambda stage: stage.join("here"), after=10_000),
        ),
        ends=serving(3),
    ),
    Scenario(
        name="fail over, and back",
        fleet=fleet(deployment(on=BOTH, via="front", fail_over_after=SOON), clusters=BOTH),
        acts=(Act(lambda stage: _lose_power(stage, "here")),),
        ends=serving(2),
    ),
)
