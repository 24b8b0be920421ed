"""What must hold whatever the owner does, whatever breaks, and whenever the daemon dies."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import attrs
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from roadstead.capabilities import Capabilities
from roadstead.daemon.errors import NothingToUndo
from roadstead.model import ClusterState, Quota, Reach, Scheduling, Via
from roadstead.testing.proxy import Traffic
from roadstead.testing.strategies import deployments, fleets, nodes, quotas
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Drift, Node, Usage
from roadstead_backends.simulated.cluster import SimulatedCluster, capabilities
from roadstead_backends.simulated.faults import CallFault, ModelFault
from roadstead_backends.simulated.tempers import KUBERNETES
from tests.decide.scene import DIRECTED, NATIVE, OWNER_ID, Scene, with_source, with_version

CLUSTERS = ("here", "there")
GATEWAYS = ("front", "side")
KINDS = {
    "directed": DIRECTED,
    "native": NATIVE,
    "native, retires whom it likes": capabilities(Scheduling.NATIVE, exact_retire=False, settles=True),
}
SOURCES = ("/m/1", "/m/2", "/m/3")
UNREACHED = attrs.evolve(KUBERNETES.able, reloads=False)
A_CLUSTER = st.sampled_from(CLUSTERS)
A_NAME = st.sampled_from(["anchor", "buoy", "cable"])
A_SOURCE = st.sampled_from(SOURCES)
A_GATEWAY = st.sampled_from(GATEWAYS)
ONE_OF_THEM = st.integers(0, 9)


class Fleeting(RuleBasedStateMachine):
    """An owner who changes their mind, clusters that break, a daemon that dies.

    The scene finds what is wrong as it happens: safety is judged after every rule. At the end the faults stop, and
    then the world must come to rest as the fleet wants it, or it must be said why not; at rest nothing is written.
    """

    scene: Scene
    through: tuple[str | None, ...] = (None,)
    plain = st.booleans().filter(lambda value: not value)
    pace = st.just(0)
    scales = False
    kinds: Mapping[str, Capabilities] = {**KINDS, "like Kubernetes, reached by nobody": UNREACHED}

    @initialize(data=st.data(), seed=st.integers(0, 9))
    def begin(self, data: st.DataObject, seed: int) -> None:
        """Begin with an empty world, or with one where all is as it should be."""
        able = self.kinds[data.draw(st.sampled_from(sorted(self.kinds)))]
        self.is_plain = data.draw(self.plain)
        self.turns_between = data.draw(self.pace)
        fleet = data.draw(fleets(CLUSTERS, self.through, plain=self.is_plain, scales=self.scales))
        reach = Reach.NONE if able is UNREACHED else Reach.DIRECT
        there = attrs.evolve(fleet.clusters["there"], reach=reach)
        self.scene = Scene(
            attrs.evolve(fleet, owner_id=OWNER_ID, clusters={**fleet.clusters, "there": there}),
            {name: data.draw(nodes(name[0], plain=self.is_plain)) for name in CLUSTERS},
            {"there": able},
            seed,
            thorough=True,
            traffic=Traffic(most=1, service=(500, 3_000, 9_000)),
            refuses_early=data.draw(st.booleans()),
        )
        self.lost_nodes: dict[tuple[str, str], Node] = {}

    def simulated(self, cluster: str) -> SimulatedCluster:
        """Return one of the clusters."""
        return self.scene.clusters[cluster]

    def one_of(self, cluster: str, which: int) -> str | None:
        """Return some replica of a cluster, if it has one."""
        replicas = sorted(replica.id for replica in self.scene.replicas(cluster))
        return replicas[which % len(replicas)] if replicas else None

    # ---- what the owner does ----

    @rule(data=st.data(), name=A_NAME)
    def declare(self, data: st.DataObject, name: str) -> None:
        """Write a deployment to the file, new or in place of what was there."""
        drawn = deployments(name, CLUSTERS, self.through, plain=self.is_plain, scales=self.scales)
        self.scene.declare(data.draw(drawn))

    @rule(name=A_NAME, source=A_SOURCE)
    def change_template(self, name: str, source: str) -> None:
        """Change a deployment's model, or go back to an earlier one."""
        declared = self.scene.fleet.deployments.get(name)
        if declared is not None:
            self.scene.declare(with_source(declared, source))

    @rule(name=A_NAME, version=st.sampled_from([1, 2, 3]))
    def change_version(self, name: str, version: int) -> None:
        """Change the version of a deployment's model, or go back to an earlier one."""
        declared = self.scene.fleet.deployments.get(name)
        if declared is not None:
            self.scene.declare(with_version(declared, version))

    @rule(name=A_NAME)
    def withdraw(self, name: str) -> None:
        """Take a deployment out of the file."""
        self.scene.withdraw(name)

    @rule(name=A_NAME)
    def delete(self, name: str) -> None:
        """Order that a deployment goes."""
        self.scene.delete(name)

    @rule(name=A_NAME, replicas=st.integers(0, 4))
    def scale(self, name: str, replicas: int) -> None:
        """Order another count."""
        if name in self.scene.fleet.deployments:
            self.scene.scale(name, replicas)

    @rule(name=A_NAME, asked=st.sampled_from(["pause", "resume", "promote", "undo", "undo", "clear"]))
    def steer(self, name: str, asked: str) -> None:
        """Pause a rollout, resume or promote it, or take it back, whether or not the daemon would refuse that now."""
        if name in self.scene.fleet.deployments:
            with suppress(NothingToUndo):
                getattr(self.scene, asked)(name)

    @rule(name=A_NAME, to=st.none() | A_CLUSTER)
    def migrate(self, name: str, to: str | None) -> None:
        """Send a deployment to another cluster, or back to where the file says."""
        if name in self.scene.fleet.deployments:
            self.scene.migrate(name, to)

    @rule(cluster=A_CLUSTER, state=st.sampled_from([*ClusterState, ClusterState.ACTIVE]))
    def set_state(self, cluster: str, state: ClusterState) -> None:
        """Use a cluster, move away from it, or leave it alone."""
        self.scene.set_state(cluster, state)

    @rule(limits=quotas())
    def limit(self, limits: Mapping[str, Quota]) -> None:
        """Give the owners other quotas."""
        self.scene.limit(**limits)

    # ---- what breaks ----

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM, out_of_memory=st.booleans())
    def crash(self, cluster: str, which: int, out_of_memory: bool) -> None:
        """End one server; it starts again by itself."""
        replica = self.one_of(cluster, which)
        if replica is not None:
            self.simulated(cluster).crash(replica, out_of_memory=out_of_memory)

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM)
    def lose(self, cluster: str, which: int) -> None:
        """End one replica for good."""
        replica = self.one_of(cluster, which)
        if replica is not None:
            self.simulated(cluster).lose(replica)

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM)
    def crash_between(self, cluster: str, which: int) -> None:
        """Let a server crash after the decision and before it is carried out."""

        def crash_once() -> None:
            self.scene.drive.meanwhile = lambda: None
            self.crash(cluster, which, out_of_memory=False)

        self.scene.drive.meanwhile = crash_once
        self.scene.turn()

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM)
    def lose_node(self, cluster: str, which: int) -> None:
        """Take a node away with all that runs there."""
        there = self.simulated(cluster).truth().nodes
        if there:
            node = there[which % len(there)]
            self.lost_nodes[cluster, node.name] = node
            self.simulated(cluster).lose_node(node.name)

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM, parted=st.booleans())
    def silence_node(self, cluster: str, which: int, parted: bool) -> None:
        """Let a node lose its power, or only be reached by nobody; the cluster gives up what runs there in time."""
        there = self.simulated(cluster).node_names
        if there:
            node = there[which % len(there)]
            (self.simulated(cluster).part_node if parted else self.simulated(cluster).silence_node)(node)

    @rule()
    def return_nodes(self) -> None:
        """Bring every lost node back, empty, and every silent one with what still runs there."""
        for cluster in CLUSTERS:
            for name in self.simulated(cluster).node_names:
                self.simulated(cluster).return_node(name)
        for (cluster, _), node in self.lost_nodes.items():
            self.simulated(cluster).set_node(node)
        self.lost_nodes = {}

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM, foreign=st.sampled_from([0, 1_000, 4_000]), cordoned=st.booleans())
    def crowd_node(self, cluster: str, which: int, foreign: int, cordoned: bool) -> None:
        """Let others use a node, or let nobody new in."""
        there = self.simulated(cluster).truth().nodes
        if there:
            node = there[which % len(there)]
            crowded = attrs.evolve(node, foreign_cpu=Cpus(foreign), schedulable=not cordoned)
            self.simulated(cluster).set_node(crowded)

    @rule(cluster=A_CLUSTER, cpu=st.none() | st.sampled_from([0, 1_000, 3_000]).map(Cpus), count=st.integers(0, 16))
    def allow(self, cluster: str, cpu: Cpus | None, count: int) -> None:
        """Let a cluster itself allow us so much, and see for a while what becomes of what it does not allow."""
        self.simulated(cluster).limit(Quota(cpu=cpu) if cpu is not None else None)
        self.scene.turns(count)

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM)
    def hang(self, cluster: str, which: int) -> None:
        """Let one server answer nobody any more."""
        replicas = sorted(self.scene.replicas(cluster), key=lambda replica: replica.id)
        if replicas:
            self.scene.hung.add(replicas[which % len(replicas)].incarnation)

    @rule(
        cluster=A_CLUSTER,
        which=ONE_OF_THEM,
        cpu=st.none() | st.sampled_from([100, 9_000]).map(Cpus),
        memory=st.none() | st.sampled_from([1, 64, 65]).map(lambda mib: Memory(mib * 2**20)),
    )
    def swell(self, cluster: str, which: int, cpu: Cpus | None, memory: Memory | None) -> None:
        """Let one server use more than it may, or less, or let nobody know how much it uses."""
        replicas = sorted(self.scene.replicas(cluster), key=lambda replica: replica.id)
        if replicas:
            process = replicas[which % len(replicas)].incarnation
            self.scene.excess[process] = Usage(cpu=cpu, memory=memory)

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM, theirs=st.sampled_from(["2Mi", "4Mi"]))
    def meddle(self, cluster: str, which: int, theirs: str) -> None:
        """Let somebody else change what is stored of a group."""
        groups = sorted(group.key for group in self.simulated(cluster).truth().groups)
        if groups:
            drift = Drift(field="resources.memory", ours="64Mi", theirs=theirs, manager="kubectl-edit")
            self.simulated(cluster).meddle(groups[which % len(groups)], drift)

    @rule(cluster=A_CLUSTER, which=ONE_OF_THEM, by=st.sampled_from(["", "", "hpa/other"]), count=st.integers(0, 3))
    def scale_besides(self, cluster: str, which: int, by: str, count: int) -> None:
        """Let somebody else decide how many replicas a group has, or nobody any more."""
        groups = sorted(group.key for group in self.simulated(cluster).truth().groups)
        if groups:
            self.simulated(cluster).scale(groups[which % len(groups)], by, count)

    @rule(name=A_NAME, floor=st.none() | st.integers(0, 3))
    def unsettle(self, name: str, floor: int | None) -> None:
        """Let somebody else change what stands for a deployment as a whole."""
        if self.simulated("there").capabilities.settles:
            self.simulated("there").unsettle(name, floor)

    @rule(source=A_SOURCE, fault=st.none() | st.sampled_from(ModelFault))
    def break_model(self, source: str, fault: ModelFault | None) -> None:
        """Make one model bad, or good again."""
        for simulated in self.scene.clusters.values():
            simulated.faults.models.pop(source, None)
            if fault is not None:
                simulated.faults.models[source] = fault

    @rule(cluster=A_CLUSTER, partitioned=st.booleans())
    def partition(self, cluster: str, partitioned: bool) -> None:
        """Cut a cluster off, or join it again."""
        self.simulated(cluster).faults.partitioned = partitioned

    @rule(cluster=A_CLUSTER, faults=st.lists(st.sampled_from(CallFault), min_size=1, max_size=4))
    def lose_calls(self, cluster: str, faults: list[CallFault]) -> None:
        """Let the next calls end badly."""
        self.simulated(cluster).faults.calls.extend(faults)

    @rule(after=st.integers(0, 4), forget=st.booleans())
    def kill(self, after: int, forget: bool) -> None:
        """Kill the daemon after so many more effects, and start another one, with or without what was saved."""
        drive = self.scene.drive
        drive.lives = drive.effects + after
        self.scene.turns(2)
        self.scene.start_again(forget=forget)

    @rule(count=st.integers(1, 8))
    def turns(self, count: int) -> None:
        """Let some turns pass."""
        self.scene.turns(count)

    # ---- what must hold ----

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Safety holds after every rule, and as time passes."""
        if hasattr(self, "scene"):
            for _ in range(self.turns_between):
                self.scene.turns(1)
            assert [] == self.scene.wrong[:3]

    def teardown(self) -> None:
        """End the faults, and see the world come to rest."""
        if hasattr(self, "scene") and not self.scene.wrong:
            for simulated in self.scene.clusters.values():
                simulated.faults.clear()
                simulated.limit(None)
            self.scene.excess.clear()
            for proxy in self.scene.proxies.values():
                proxy.faults.clear()
            self.scene.settle()
            assert [] == self.scene.wrong[:3]


class Fronted(Fleeting):
    """The same with gateways in front of some, which break in their own ways, and clients."""

    through = (*GATEWAYS, GATEWAYS[0], None)
    kinds = KINDS
    plain = st.sampled_from([True, True, False])
    pace = st.sampled_from([0, 1, 1, 2])

    # ---- what the owner does ----

    @rule(name=A_NAME, gateway=st.none() | A_GATEWAY)
    def lead_through(self, name: str, gateway: str | None) -> None:
        """Put a deployment behind another gateway, or none."""
        declared = self.scene.fleet.deployments.get(name)
        if declared is not None:
            via = Via(gateway=gateway) if gateway is not None else None
            self.scene.declare(attrs.evolve(declared, via=via))

    # ---- what clients do ----

    @rule(gateway=A_GATEWAY, name=A_NAME, takes=st.sampled_from([4_000, 12_000, None]), count=st.integers(1, 4))
    def send(self, gateway: str, name: str, takes: int | None, count: int) -> None:
        """Send requests that take their time, or for ever."""
        for _ in range(count):
            self.scene.proxies[gateway].send(name, takes)

    @rule(count=st.integers(1, 20))
    def go_on(self, count: int) -> None:
        """Let more time pass, as there is more to wait for."""
        self.scene.turns(count)

    # ---- what breaks ----

    @rule(gateway=A_GATEWAY, down=st.booleans())
    def kill_gateway(self, gateway: str, down: bool) -> None:
        """End a gateway's process; it comes back at once, or when it is not held down any more."""
        proxy = self.scene.proxies[gateway]
        proxy.faults.down = down
        proxy.die()

    @rule(
        gateway=A_GATEWAY,
        mute=st.booleans(),
        late=st.sampled_from([0, 0, 1_000, 3_000, 9_000]),
        refused=st.just(frozenset[str]()) | st.frozensets(A_NAME),
    )
    def hinder_gateway(self, gateway: str, mute: bool, late: int, refused: frozenset[str]) -> None:
        """Let a gateway not say what it does, look at its tables late, and refuse some routes; or none of that."""
        faults = self.scene.proxies[gateway].faults
        faults.mute, faults.late, faults.refused = mute, Duration(late), set(refused)

    @rule(gateway=A_GATEWAY, cluster=A_CLUSTER, which=st.none() | ONE_OF_THEM)
    def shun(self, gateway: str, cluster: str, which: int | None) -> None:
        """Let a gateway see one replica unhealthy, or all of them healthy again."""
        unhealthy = self.scene.proxies[gateway].faults.unhealthy
        endpoints = sorted((one.endpoint for one in self.scene.replicas(cluster) if one.endpoint is not None), key=str)
        if which is None:
            unhealthy.clear()
        elif endpoints:
            unhealthy.add(endpoints[which % len(endpoints)])

    @rule(gateway=A_GATEWAY, name=A_NAME, problem=st.sampled_from(["", "the port is taken"]))
    def close_port(self, gateway: str, name: str, problem: str) -> None:
        """Let clients be unable to use a route, or able again."""
        self.scene.proxies[gateway].faults.problems[name] = problem


class LookingBack(Fronted):
    """The same with lists that are old, also those just before a destructive step."""

    @rule(cluster=A_CLUSTER, ages=st.lists(st.integers(1, 3), min_size=1, max_size=3))
    def look_back(self, cluster: str, ages: list[int]) -> None:
        """Let the next observations be old ones."""
        self.simulated(cluster).faults.stale.extend(ages)


_CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
_EVERY_TIME = settings(
    max_examples=100,
    stateful_step_count=25,
    # Without shrinking, which takes minutes here: what the scene wrote down says more than the shortest way to it.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=_CHECKS,
)
COMMON = _EVERY_TIME if settings().derandomize else settings(suppress_health_check=_CHECKS)

TestFleeting = Fleeting.TestCase
TestFleeting.settings = COMMON
TestFronted = Fronted.TestCase
TestFronted.settings = COMMON
TestLookingBack = LookingBack.TestCase
TestLookingBack.settings = COMMON
