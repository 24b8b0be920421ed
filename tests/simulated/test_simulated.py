"""What a simulated cluster does over and above the contract: time, faults on demand, and a scheduler of its own."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from roadstead.errors import Conflict, OutcomeUnknown, OutOfCapacity, Retryable, Unreachable
from roadstead.model import (
    Constraint,
    GpuPart,
    ModelSpec,
    Operator,
    PlacementSpec,
    Resources,
    RuntimeSpec,
    Scheduling,
    Template,
    WholeGpus,
)
from roadstead.reasons import ReasonCode
from roadstead.spi.backend import (
    ABSENT,
    Backend,
    BackendContext,
    Binds,
    Expect,
    GroupOrder,
    MeasuresUsage,
    Restarts,
    Watches,
)
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import BackendPlugin, RuntimePlugin
from roadstead.spi.runtime import Runtime, Server
from roadstead.testing.subject import OWNER_ID, bind_all, expectation, found, group_order
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.world import Device, Group, GroupKey, ModelStatus, Node, Phase, Replica
from roadstead_backends.simulated.clock import PassingClock, VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster, capabilities
from roadstead_backends.simulated.faults import CallFault, ModelFault
from roadstead_backends.simulated.network import Network, SimulatedRuntime
from roadstead_backends.simulated.options import SimulatedOptions
from roadstead_backends.simulated.servers import Timings

GRACE = Duration(5_000)
SMALL = Resources(cpu=Cpus(500), memory=Memory(1024**2))
TEMPLATE = Template(model=ModelSpec(name="minilm", source="/m"), runtime=RuntimeSpec(name="simulated"), resources=SMALL)


def needing(resources: Resources) -> Template:
    """Return the usual template with other needs."""
    return attrs.evolve(TEMPLATE, resources=resources)


def replicas(cluster: SimulatedCluster, key: GroupKey) -> tuple[Replica, ...]:
    """Return what is observed of a group's replicas."""
    group = found(cluster.observe(), key)
    assert group is not None
    return group.replicas


def run(
    cluster: SimulatedCluster, clock: VirtualClock, count: int = 1, order: GroupOrder | None = None
) -> tuple[Replica, ...]:
    """Create a group and return its replicas after ten seconds, when they all serve."""
    order = order or group_order(TEMPLATE)
    cluster.apply(order, count, expect=ABSENT)
    bind_all(cluster, order.key)
    clock.advance(10_000)
    return replicas(cluster, order.key)


def test_it_offers_every_ability_it_was_made_for(cluster: SimulatedCluster) -> None:
    """Type and run time agree on the contract and the optional protocols."""
    backend: Backend = cluster
    runtime: Runtime = SimulatedRuntime()
    abilities = (Binds, Restarts, MeasuresUsage, Watches)
    assert [True] * 4 == [isinstance(backend, one) for one in abilities]
    assert () == runtime.check(TEMPLATE)


class TestTime:
    """How long things take there."""

    def test_a_server_passes_through_its_life_at_the_ordered_times(self, clock: VirtualClock) -> None:
        """Starting, running with the model loading, and available follow each other exactly as the timings say."""
        network = Network()
        timings = Timings(start=Duration(1_000), load=Duration(2_000))
        node = Node(name="n", cpu=Cpus(1_000), memory=Memory(1024**3))
        cluster = SimulatedCluster(
            "here", owner_id=OWNER_ID, nodes=[node], clock=clock, network=network, timings=timings
        )
        order = group_order(TEMPLATE)
        cluster.apply(order, 1, expect=ABSENT)
        bind_all(cluster, order.key)
        story = []
        for _ in range(7):
            (replica,) = replicas(cluster, order.key)
            state = cluster.model_states().get(replica.id)
            story.append((replica.phase, state.status if state else None))
            clock.advance(500)
        starting, loading = (Phase.STARTING, None), (Phase.RUNNING, ModelStatus.LOADING)
        available = (Phase.RUNNING, ModelStatus.AVAILABLE)
        assert [starting, starting, loading, loading, loading, loading, available] == story

    def test_a_long_pause_is_lived_through_in_order(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """What falls due during one long step happens at its own times, not at the end."""
        (replica,) = run(cluster, clock)
        assert clock.now() - 9_000 == replica.started_at

    def test_stopping_takes_no_longer_than_the_grace(self, clock: VirtualClock) -> None:
        """A server that would take a minute to end is killed when its grace is over."""
        timings = Timings(stop=Duration(60_000))
        node = Node(name="n", cpu=Cpus(1_000), memory=Memory(1024**3))
        cluster = SimulatedCluster(
            "here", owner_id=OWNER_ID, nodes=[node], clock=clock, network=Network(), timings=timings
        )
        order = group_order(TEMPLATE)
        run(cluster, clock, 1, order)
        cluster.delete(order.key, grace=GRACE, expect=expectation(cluster, order.key))
        clock.advance(4_999)
        assert (Phase.STOPPING,) == tuple(one.phase for one in replicas(cluster, order.key))
        clock.advance(1)
        assert None is found(cluster.observe(), order.key)

    def test_time_does_not_go_back(self, clock: VirtualClock) -> None:
        """A virtual clock refuses to be turned back."""
        with pytest.raises(ValueError, match="does not go back"):
            clock.advance(-1)

    def test_a_passing_clock_runs_at_its_speed(self) -> None:
        """A thousand times as fast means that it has moved on by at least that much of what the machine measured."""
        clock = PassingClock(speed=1_000_000)
        first = clock.now()
        assert first < clock.now()


class TestServerFaults:
    """What can become of a server."""

    def test_a_crashed_server_starts_again_later_every_time(
        self, cluster: SimulatedCluster, clock: VirtualClock
    ) -> None:
        """The back-off doubles with each restart; the reason and the exit are seen meanwhile."""
        (replica,) = run(cluster, clock)
        waits = []
        for _ in range(3):
            cluster.crash(replica.id)
            (down,) = replicas(cluster, GroupKey("minilm", group_order(TEMPLATE).key.revision))
            assert (Phase.STARTING, ReasonCode.CRASH, 1) == (
                down.phase,
                down.reason and down.reason.code,
                down.last_exit and down.last_exit.code,
            )
            began = clock.now()
            while replicas(cluster, group_order(TEMPLATE).key)[0].phase is not Phase.RUNNING:
                clock.advance(100)
            waits.append(clock.now() - began)
        assert [2_000, 3_000, 5_000] == waits

    def test_out_of_memory_is_told_from_a_crash(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """The exit and the reason say that memory ran out."""
        (replica,) = run(cluster, clock)
        cluster.crash(replica.id, out_of_memory=True)
        (down,) = replicas(cluster, group_order(TEMPLATE).key)
        assert (True, ReasonCode.OUT_OF_MEMORY) == (
            down.last_exit and down.last_exit.out_of_memory,
            down.reason and down.reason.code,
        )

    def test_a_lost_replica_stays_lost_until_its_group_is_ordered_again(
        self, cluster: SimulatedCluster, clock: VirtualClock
    ) -> None:
        """A directed cluster does not heal alone; the same count ordered again replaces what is lost."""
        (replica,) = run(cluster, clock)
        cluster.lose(replica.id)
        clock.advance(60_000)
        order = group_order(TEMPLATE)
        assert [(replica.id, Phase.LOST)] == [(one.id, one.phase) for one in replicas(cluster, order.key)]
        cluster.apply(order, 1, expect=expectation(cluster, order.key))
        (fresh,) = replicas(cluster, order.key)
        assert (Phase.SLOT, True) == (fresh.phase, fresh.id != replica.id)

    def test_losing_a_replica_changes_the_group_s_version(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """What was decided on the former set of replicas finds a conflict."""
        (replica,) = run(cluster, clock)
        order = group_order(TEMPLATE)
        old = expectation(cluster, order.key)
        cluster.lose(replica.id)
        with pytest.raises(Conflict):
            cluster.apply(order, 1, expect=old)

    def test_a_lost_node_takes_its_replicas_along(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """The node is no longer seen, its replicas are lost, the other node's are not."""
        order = group_order(TEMPLATE)
        cluster.apply(order, 2, expect=ABSENT)
        for replica, node in zip(replicas(cluster, order.key), ("node-1", "node-2"), strict=True):
            cluster.bind(replica.id, node, ())
        clock.advance(10_000)
        cluster.lose_node("node-1")
        assert {"node-1": Phase.LOST, "node-2": Phase.RUNNING} == {
            one.node: one.phase for one in replicas(cluster, order.key)
        }
        assert ["node-2"] == [node.name for node in cluster.observe().nodes]

    def test_a_replica_lost_while_stopping_is_gone(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """A condemned group does not linger because its node died."""
        (replica,) = run(cluster, clock)
        order = group_order(TEMPLATE)
        cluster.delete(order.key, grace=GRACE, expect=expectation(cluster, order.key))
        cluster.lose(replica.id)
        assert None is found(cluster.observe(), order.key)

    @pytest.mark.parametrize(
        ("fault", "phase", "status"),
        [
            (ModelFault.NEVER_LOADS, Phase.RUNNING, ModelStatus.LOADING),
            (ModelFault.FAILS, Phase.RUNNING, ModelStatus.FAILED),
        ],
    )
    def test_a_bad_model_is_never_available(
        self, cluster: SimulatedCluster, clock: VirtualClock, fault: ModelFault, phase: Phase, status: ModelStatus
    ) -> None:
        """The server runs and says of its model what the fault makes it say."""
        cluster.faults.models["/m"] = fault
        (replica,) = run(cluster, clock)
        clock.advance(600_000)
        assert (phase, status) == (replica.phase, cluster.model_states()[replica.id].status)

    def test_a_model_that_loads_after_all_is_available(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """When the fault ends, the same process serves."""
        cluster.faults.models["/m"] = ModelFault.NEVER_LOADS
        (before,) = run(cluster, clock)
        cluster.faults.clear()
        clock.advance(10_000)
        (after,) = replicas(cluster, group_order(TEMPLATE).key)
        assert before.incarnation == after.incarnation
        assert ModelStatus.AVAILABLE is cluster.model_states()[after.id].status

    def test_a_model_that_kills_its_server_makes_it_restart_over_and_over(
        self, cluster: SimulatedCluster, clock: VirtualClock
    ) -> None:
        """A crash loop is seen in the count of restarts."""
        cluster.faults.models["/m"] = ModelFault.EATS_MEMORY
        run(cluster, clock)
        clock.advance(120_000)
        (replica,) = replicas(cluster, group_order(TEMPLATE).key)
        assert replica.restarts > 3
        assert replica.last_exit is not None
        assert replica.last_exit.out_of_memory


class TestCallFaults:
    """What can become of a call."""

    def test_a_lost_request_changes_nothing(self, cluster: SimulatedCluster) -> None:
        """The caller cannot know; nothing was done."""
        cluster.faults.calls.append(CallFault.REQUEST_LOST)
        order = group_order(TEMPLATE)
        with pytest.raises(OutcomeUnknown):
            cluster.apply(order, 1, expect=ABSENT)
        assert () == cluster.observe().groups

    def test_a_lost_reply_leaves_what_was_done(self, cluster: SimulatedCluster) -> None:
        """The caller cannot know; it was done."""
        cluster.faults.calls.append(CallFault.REPLY_LOST)
        order = group_order(TEMPLATE)
        with pytest.raises(OutcomeUnknown):
            cluster.apply(order, 1, expect=ABSENT)
        assert [order.key] == [group.key for group in cluster.observe().groups]

    def test_faults_are_used_up_one_per_call(self, cluster: SimulatedCluster) -> None:
        """The second call goes through; both are on record."""
        cluster.faults.calls.extend([CallFault.RETRYABLE])
        order = group_order(TEMPLATE)
        with pytest.raises(Retryable):
            cluster.apply(order, 1, expect=ABSENT)
        cluster.apply(order, 1, expect=ABSENT)
        assert [("apply", str(order.key))] * 2 == [(call.name, call.subject) for call in cluster.calls]

    def test_nothing_passes_a_partition(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """Observing and changing are both unreachable, and time goes on behind it."""
        run(cluster, clock, 1)
        cluster.faults.partitioned = True
        for attempt in (cluster.observe, cluster.usage, lambda: cluster.bind("x", "node-1", ())):
            with pytest.raises(Unreachable):
                attempt()
        assert 1 == len(cluster.truth().groups)

    def test_an_old_observation_is_one_that_was_true(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """A stale answer is an earlier look, whole; the next one is fresh again."""
        run(cluster, clock)
        before = cluster.observe()
        cluster.crash(before.groups[0].replicas[0].id)
        cluster.faults.stale.append(1)
        now = cluster.truth()
        assert [before, now] == [cluster.observe(), cluster.observe()]
        assert before != now

    def test_observations_never_go_back(self, cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """However old an answer is to be, it is not older than the last one."""
        (replica,) = run(cluster, clock)
        cluster.observe()
        cluster.crash(replica.id)
        now = cluster.observe()
        cluster.faults.stale.append(9)
        assert now == cluster.observe()

    def test_an_acknowledged_change_is_seen(self, cluster: SimulatedCluster) -> None:
        """However old an answer is to be, it shows what the caller was told is done."""
        cluster.observe()
        cluster.apply(group_order(TEMPLATE), 1, expect=ABSENT)
        cluster.faults.stale.append(9)
        assert [group_order(TEMPLATE).key] == [group.key for group in cluster.observe().groups]

    def test_a_change_whose_reply_was_lost_may_be_seen_later(self, cluster: SimulatedCluster) -> None:
        """Nobody was told that it is done, so an old answer need not show it."""
        before = cluster.observe()
        cluster.faults.calls.append(CallFault.REPLY_LOST)
        with pytest.raises(OutcomeUnknown):
            cluster.apply(group_order(TEMPLATE), 1, expect=ABSENT)
        cluster.faults.stale.append(1)
        assert before == cluster.observe()
        assert before != cluster.observe()

    def test_a_new_process_reads_consistently(self, cluster: SimulatedCluster) -> None:
        """Its first observation is of now, whatever the one before it was last shown."""
        cluster.observe()
        cluster.faults.calls.append(CallFault.REPLY_LOST)
        with pytest.raises(OutcomeUnknown):
            cluster.apply(group_order(TEMPLATE), 1, expect=ABSENT)
        cluster.reconnect()
        cluster.faults.stale.append(1)
        assert cluster.truth() == cluster.observe()

    def test_a_wake_follows_every_change(self, cluster: SimulatedCluster) -> None:
        """Whoever watches is told of a call that changed something, until the cluster is closed."""
        woken: list[int] = []
        cluster.watch(lambda: woken.append(1))
        cluster.apply(group_order(TEMPLATE), 1, expect=ABSENT)
        cluster.close()
        cluster.delete(group_order(TEMPLATE).key, grace=GRACE, expect=expectation(cluster, group_order(TEMPLATE).key))
        assert [1] == woken


class TestForeign:
    """What is not ours there."""

    FOREIGN = Group(
        key=group_order(TEMPLATE).key, owner="x", owner_id="somebody", generation=1, target=1, template=TEMPLATE
    )

    def test_foreign_groups_show_by_their_owner_only(self, cluster: SimulatedCluster) -> None:
        """A group with another owner id is no group of ours; that it is there is said."""
        cluster.plant(self.FOREIGN)
        seen = cluster.observe()
        assert ((), frozenset({"somebody"})) == (seen.groups, seen.foreign_owners)

    @pytest.mark.parametrize("expect", [ABSENT, Expect("1"), Expect("2"), Expect("3")])
    def test_foreign_groups_cannot_be_changed(self, cluster: SimulatedCluster, expect: Expect) -> None:
        """Whatever is expected of it, a foreign group is a conflict."""
        cluster.plant(self.FOREIGN)
        with pytest.raises(Conflict, match="somebody"):
            cluster.apply(group_order(TEMPLATE), 0, expect=expect)
        with pytest.raises(Conflict, match="somebody"):
            cluster.delete(self.FOREIGN.key, grace=GRACE, expect=expect)


class TestRoom:
    """What a node can hold."""

    @pytest.fixture
    def gpus(self, clock: VirtualClock) -> SimulatedCluster:
        """A cluster of one node with two devices."""
        devices = tuple(Device(id=f"g{n}", model="A100", memory=Memory(40 * 1024**3)) for n in range(2))
        node = Node(name="n", cpu=Cpus(8_000), memory=Memory(64 * 1024**3), devices=devices)
        return SimulatedCluster("here", owner_id=OWNER_ID, nodes=[node], clock=clock, network=Network())

    def test_a_node_is_full_when_its_cpu_is_given_away(self, cluster: SimulatedCluster) -> None:
        """Five replicas of 500m do not fit on two cores, whatever is bound elsewhere."""
        order = group_order(TEMPLATE)
        cluster.apply(order, 5, expect=ABSENT)
        *fitting, fifth = replicas(cluster, order.key)
        for replica in fitting:
            cluster.bind(replica.id, "node-1", ())
        with pytest.raises(OutOfCapacity, match="lacks cpu"):
            cluster.bind(fifth.id, "node-1", ())

    def test_what_others_hold_is_not_free(self, cluster: SimulatedCluster) -> None:
        """Foreign use takes room like ours."""
        node = cluster.observe().nodes[0]
        cluster.set_node(attrs.evolve(node, foreign_cpu=Cpus(1_600)))
        order = group_order(TEMPLATE)
        cluster.apply(order, 1, expect=ABSENT)
        with pytest.raises(OutOfCapacity):
            cluster.bind(replicas(cluster, order.key)[0].id, node.name, ())

    def test_shares_of_a_device_add_up_to_one(self, gpus: SimulatedCluster) -> None:
        """Two halves fit on one device, a third does not, on the other device it does."""
        half = attrs.evolve(SMALL, gpu=GpuPart(share=GpuShare(500), memory=Memory(10 * 1024**3)))
        order = group_order(needing(half))
        gpus.apply(order, 3, expect=ABSENT)
        first, second, third = (one.id for one in replicas(gpus, order.key))
        gpus.bind(first, "n", ("g0",))
        gpus.bind(second, "n", ("g0",))
        with pytest.raises(OutOfCapacity, match="devices"):
            gpus.bind(third, "n", ("g0",))
        gpus.bind(third, "n", ("g1",))
        assert [("g0",), ("g0",), ("g1",)] == [one.devices for one in replicas(gpus, order.key)]

    @pytest.mark.parametrize("devices", [(), ("g0",), ("g0", "g0"), ("g0", "elsewhere"), ("g0", "g1", "g1")])
    def test_whole_devices_are_bound_by_their_number(self, gpus: SimulatedCluster, devices: tuple[str, ...]) -> None:
        """Too few, doubled or unknown devices are refused; the two there are do."""
        order = group_order(needing(attrs.evolve(SMALL, gpu=WholeGpus(count=2))))
        gpus.apply(order, 1, expect=ABSENT)
        (replica,) = replicas(gpus, order.key)
        with pytest.raises(OutOfCapacity):
            gpus.bind(replica.id, "n", devices)
        gpus.bind(replica.id, "n", ("g1", "g0"))


class TestNative:
    """A cluster that places and heals by itself."""

    def test_slots_are_placed_where_they_match(self, native_cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """Its scheduler honours the placement constraints."""
        there = PlacementSpec(constraints=(Constraint(attribute="zone", operator=Operator.IN, values=("z0",)),))
        placed = run(native_cluster, clock, 3, group_order(attrs.evolve(TEMPLATE, placement=there)))
        assert {"node-2"} == {one.node for one in placed}

    def test_a_slot_that_fits_nowhere_says_why(self, native_cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """What is not placed carries the scheduler's reason, and is placed when there is room."""
        order = group_order(needing(attrs.evolve(SMALL, cpu=Cpus(3_000))))
        (slot,) = run(native_cluster, clock, 1, order)
        assert (Phase.SLOT, ReasonCode.NO_CAPACITY) == (slot.phase, slot.reason and slot.reason.code)
        native_cluster.set_node(Node(name="node-3", cpu=Cpus(4_000), memory=Memory(1024**3)))
        clock.advance(10_000)
        (placed,) = replicas(native_cluster, order.key)
        assert (Phase.RUNNING, "node-3") == (placed.phase, placed.node)

    def test_a_lost_replica_is_replaced_by_itself(self, native_cluster: SimulatedCluster, clock: VirtualClock) -> None:
        """It heals alone, as its capabilities say, without any call."""
        (before,) = run(native_cluster, clock)
        native_cluster.lose(before.id)
        clock.advance(10_000)
        (after,) = replicas(native_cluster, group_order(TEMPLATE).key)
        assert (Phase.RUNNING, True) == (after.phase, before.id != after.id)
        assert Scheduling.NATIVE in native_cluster.capabilities.scheduling

    def test_readiness_is_reported_where_it_is_said_to_be(self, clock: VirtualClock) -> None:
        """An orchestrator with probes of its own says when a replica is ready."""
        able = capabilities(Scheduling.NATIVE)
        node = Node(name="n", cpu=Cpus(1_000), memory=Memory(1024**3))
        cluster = SimulatedCluster(
            "k", owner_id=OWNER_ID, nodes=[node], clock=clock, network=Network(), able=able, reports_ready=True
        )
        order = group_order(TEMPLATE)
        cluster.apply(order, 1, expect=ABSENT)
        story = []
        for _ in range(6):
            clock.advance(1_000)
            story.append(replicas(cluster, order.key)[0].ready)
        assert [False, False, False, True, True, True] == story


class TestChance:
    """What is left to chance follows from the seed."""

    @staticmethod
    def _survivor(seed: int) -> str:
        clock = VirtualClock()
        able = capabilities(Scheduling.NATIVE, exact_retire=False)
        node = Node(name="n", cpu=Cpus(8_000), memory=Memory(1024**3))
        cluster = SimulatedCluster(
            "k", owner_id=OWNER_ID, nodes=[node], clock=clock, network=Network(), able=able, seed=seed
        )
        order = group_order(TEMPLATE)
        run(cluster, clock, 6, order)
        cluster.apply(order, 1, expect=expectation(cluster, order.key))
        return next(one.id for one in replicas(cluster, order.key) if one.phase is Phase.RUNNING)

    def test_the_same_seed_gives_the_same_story(self) -> None:
        """Who survives where retiring is not exact is the same in every run."""
        assert self._survivor(3) == self._survivor(3)

    def test_another_seed_gives_another_one(self) -> None:
        """Over ten seeds not always the same replica survives."""
        assert len({self._survivor(seed) for seed in range(10)}) > 1


class TestPlugin:
    """How it comes in."""

    def test_it_is_registered_like_a_stranger_s(self) -> None:
        """The installed distribution brings backend and runtime, with the options class and lazy factories."""
        host = PluginHost.installed()
        backend, runtime = host.get(BackendPlugin, "simulated"), host.get(RuntimePlugin, "simulated")
        assert (SimulatedOptions, ("simulated",)) == (backend.options, runtime.engines)
        assert isinstance(resolve(runtime.factory, "the runtime")(), SimulatedRuntime)

    def test_a_cluster_from_a_fleet_file_serves(self, tmp_path: Path) -> None:
        """What the options say is there: nodes dealt over zones, and servers that the runtime can ask."""
        options = SimulatedOptions(nodes=3, zones=2, start=Duration(0), load=Duration(0), speed=1_000_000)
        context = BackendContext(
            cluster="toy", fleet="f", owner_id=OWNER_ID, options=options, scheduling=None, root=tmp_path
        )
        cluster = resolve("roadstead_backends.simulated.connect:connect", "the backend")(context)
        assert isinstance(cluster, SimulatedCluster)
        assert ["zone-1", "zone-2", "zone-1"] == [node.attributes["zone"] for node in cluster.observe().nodes]
        order = group_order(TEMPLATE)
        cluster.apply(order, 1, expect=ABSENT)
        bind_all(cluster, order.key)
        (replica,) = replicas(cluster, order.key)
        assert replica.endpoint is not None
        server = Server(endpoint=replica.endpoint, template=TEMPLATE, incarnation=replica.incarnation)
        state = SimulatedRuntime().probe(server, timeout=Duration(1_000))
        assert (ModelStatus.AVAILABLE, replica.incarnation, (1,)) == (state.status, state.incarnation, state.versions)

    def test_nobody_answers_where_there_is_no_server(self, clock: VirtualClock, cluster: SimulatedCluster) -> None:
        """Another network's server cannot be asked: unknown, with a text, and never an exception."""
        (replica,) = run(cluster, clock)
        assert replica.endpoint is not None
        server = Server(endpoint=replica.endpoint, template=TEMPLATE, incarnation=replica.incarnation)
        state = SimulatedRuntime(Network()).probe(server, timeout=Duration(1_000))
        assert (ModelStatus.UNKNOWN, "no route to host") == (state.status, state.error)
