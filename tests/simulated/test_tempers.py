"""How simulated clusters behave that are like Kubernetes, like Marathon, or whose nodes, models and quotas fail."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.errors import Conflict, OutOfCapacity, Rejected
from roadstead.model import (
    Constraint,
    HealthSpec,
    ModelSpec,
    Operator,
    PlacementSpec,
    Quota,
    Resources,
    RuntimeSpec,
    Scheduling,
    Spread,
    Template,
)
from roadstead.reasons import ReasonCode
from roadstead.spi.backend import ABSENT, BackendContext
from roadstead.template import revision
from roadstead.testing.subject import OWNER_ID, bind_all, expectation, found, group_order
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Group, GroupKey, ModelStatus, Node, Phase, Replica
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster
from roadstead_backends.simulated.connect import made
from roadstead_backends.simulated.faults import ModelFault
from roadstead_backends.simulated.network import Network
from roadstead_backends.simulated.options import ClusterQuota, NodeGroup, SimulatedOptions, TemperName
from roadstead_backends.simulated.room import Ground
from roadstead_backends.simulated.tempers import DIRECTED, KUBERNETES, MARATHON, NATIVE, Temper, Timings

SMALL = Resources(cpu=Cpus(500), memory=Memory(1024**2))
TEMPLATE = Template(
    model=ModelSpec(name="minilm", source="/m"),
    runtime=RuntimeSpec(name="simulated"),
    resources=SMALL,
    health=HealthSpec(node_lost_after=Duration(30_000)),
)
GRACE = Duration(5_000)


def nodes(count: int = 2, cpu: int = 2_000) -> tuple[Node, ...]:
    """Return so many nodes, in two zones."""
    return tuple(
        Node(
            name=f"node-{number}",
            cpu=Cpus(cpu),
            memory=Memory(4 * 1024**3),
            attributes={"hostname": f"node-{number}", "zone": f"z{number % 2}"},
        )
        for number in range(1, count + 1)
    )


class Site:
    """One cluster of some temper, with its clock."""

    def __init__(self, temper: Temper, count: int = 2, **more: object) -> None:
        self.clock = VirtualClock()
        cpu = int(str(more.pop("cpu", 2_000)))
        self.cluster = SimulatedCluster(
            "there",
            owner_id=OWNER_ID,
            nodes=nodes(count, cpu),
            clock=self.clock,
            network=Network(),
            temper=temper,
            **more,  # type: ignore[arg-type]  # passed on
        )

    def create(self, count: int, of: Template = TEMPLATE, *, wait: int = 30_000) -> tuple[Replica, ...]:
        """Create a group and return its replicas after a while."""
        order = group_order(of)
        self.cluster.apply(order, count, expect=ABSENT)
        bind_all(self.cluster, order.key)
        self.clock.advance(wait)
        return self.replicas(of)

    def group(self, of: Template = TEMPLATE) -> Group:
        """Return the group as it is observed."""
        group = found(self.cluster.observe(), GroupKey("minilm", revision(of)))
        assert group is not None
        return group

    def replicas(self, of: Template = TEMPLATE) -> tuple[Replica, ...]:
        """Return what is observed of the group's replicas."""
        return self.group(of).replicas

    def scale(self, count: int, *, retire: tuple[str, ...] = (), of: Template = TEMPLATE) -> None:
        """Order another count."""
        key = GroupKey("minilm", revision(of))
        self.cluster.apply(group_order(of), count, retire=retire, expect=expectation(self.cluster, key))

    def after(self, ms: int) -> tuple[Replica, ...]:
        """Let time pass and return what is observed then."""
        self.clock.advance(ms)
        return self.replicas()


def counting(replicas: tuple[Replica, ...]) -> set[str]:
    """Return the replicas that are among those asked for."""
    return {one.id for one in replicas if one.phase not in (Phase.STOPPING, Phase.LOST)}


class TestKubernetes:
    """A cluster with a controller for each group, probes, and victims of its own choice."""

    def test_it_says_what_it_can_and_cannot(self) -> None:
        """Native, healing alone, with a preference for whom to retire and no restart in place."""
        able = Site(KUBERNETES).cluster.capabilities
        assert (frozenset({Scheduling.NATIVE}), False, True, False, True, False) == (
            able.scheduling,
            able.exact_retire,
            able.heals_alone,
            able.restarts,
            able.reloads,
            able.locks,
        )

    def test_a_replica_is_ready_at_a_probe_and_not_before(self) -> None:
        """A model that is available between two probes is ready at the second of them."""
        site = Site(KUBERNETES, timings=attrs.evolve(KUBERNETES.timings, load=Duration(2_000), probe=Duration(5_000)))
        (replica,) = site.create(1, wait=4_000)
        assert replica.started_at is not None
        assert ModelStatus.AVAILABLE is site.cluster.model_states()[replica.id].status
        story = []
        while site.clock.now() < replica.started_at + 6_000:
            story.append((site.clock.now() - replica.started_at, site.replicas()[0].ready))
            site.clock.advance(200)
        assert {False} == {ready for at, ready in story if at < 5_000}
        assert {True} == {ready for at, ready in story if at >= 5_000}

    def test_an_evicted_replica_is_replaced_at_once(self) -> None:
        """The controller makes another while the old one ends."""
        site = Site(KUBERNETES)
        (before,) = site.create(1)
        site.cluster.evict(before.id, grace=GRACE, reason="too much memory")
        assert [(before.id, Phase.STOPPING), Phase.SLOT] == [
            (one.id, one.phase) if one.id == before.id else one.phase for one in site.replicas()
        ]
        (after,) = site.after(30_000)
        assert (Phase.RUNNING, True, True) == (after.phase, after.ready, after.id != before.id)

    def test_what_is_not_ready_goes_before_what_is_named(self) -> None:
        """A name is only a preference among those that are ready."""
        site = Site(KUBERNETES)
        site.create(2)
        named = site.replicas()[0].id
        site.cluster.faults.models["/m"] = ModelFault.NEVER_LOADS
        site.scale(3)
        (newcomer,) = counting(site.after(20_000)) - {named, site.replicas()[1].id}
        site.scale(2, retire=(named,))
        assert newcomer not in counting(site.replicas())
        assert named in counting(site.replicas())

    def test_of_ready_replicas_the_named_one_goes(self) -> None:
        """The preference counts where nothing of the controller's own comes before it."""
        site = Site(KUBERNETES)
        named = site.create(3)[0].id
        site.scale(2, retire=(named,))
        assert named not in counting(site.replicas())

    def test_a_restart_in_place_is_refused(self) -> None:
        """What it cannot do it says, and does not do."""
        site = Site(KUBERNETES)
        (replica,) = site.create(1)
        with pytest.raises(Rejected):
            site.cluster.restart(replica.id, grace=GRACE, reason="because")
        assert (replica.incarnation,) == tuple(one.incarnation for one in site.replicas())

    def test_the_cluster_s_own_quota_refuses_replicas_that_are_then_nowhere_to_be_seen(self) -> None:
        """There is no slot to ask about: the group says why, and gets the rest when the quota is raised."""
        site = Site(KUBERNETES, quota=Quota(cpu=Cpus(1_200)))
        assert 2 == len(site.create(4))
        group = site.group()
        assert (4, ReasonCode.QUOTA) == (group.target, group.reason and group.reason.code)
        assert site.cluster.observe().quota == Quota(cpu=Cpus(1_200))
        site.cluster.limit(None)
        assert (4, None) == (len(site.after(30_000)), site.group().reason)

    def test_a_crashed_server_restarts_where_it_was(self) -> None:
        """The same replica on the same node, in ten seconds and later every time."""
        site = Site(KUBERNETES)
        (before,) = site.create(1)
        site.cluster.crash(before.id)
        (after,) = site.after(30_000)
        assert (before.id, before.node, 1, True) == (after.id, after.node, after.restarts, after.ready)

    def test_replicas_are_put_on_the_emptiest_nodes(self) -> None:
        """Four replicas on four nodes are on four nodes."""
        assert 4 == len({one.node for one in Site(KUBERNETES, 4).create(4)})

    def test_a_hard_spread_keeps_siblings_apart(self) -> None:
        """Where each node may have one, the third of two nodes waits and says why in a scheduler's words."""
        site = Site(KUBERNETES, cpu=64_000)
        apart = attrs.evolve(TEMPLATE, placement=PlacementSpec(spread=Spread(by="hostname", max_per=1)))
        waiting = [one for one in site.create(3, apart) if one.phase is Phase.SLOT]
        assert [(ReasonCode.NO_CAPACITY, True)] == [
            (one.reason.code, "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity" in one.reason.raw)
            for one in waiting
            if one.reason
        ]


class TestMarathon:
    """A cluster where a change locks its group, and what failed waits in a queue."""

    def test_it_says_what_it_can_and_cannot(self) -> None:
        """Native, exact about whom it retires, with locks, and without nodes to be seen."""
        site = Site(MARATHON)
        able = site.cluster.capabilities
        assert (frozenset({Scheduling.NATIVE}), True, True, True, True, False) == (
            able.scheduling,
            able.exact_retire,
            able.heals_alone,
            able.locks,
            able.metadata_restarts,
            able.reloads,
        )
        assert () == site.cluster.observe().nodes

    def test_growing_a_group_that_is_still_growing_is_a_conflict(self) -> None:
        """It is locked until it is what it was asked for, and takes the next count then."""
        site = Site(MARATHON)
        site.create(1, wait=0)
        with pytest.raises(Conflict, match="locked"):
            site.scale(2)
        assert 1 == site.group().target
        site.clock.advance(30_000)
        site.scale(2)
        assert 2 == site.group().target

    def test_a_group_that_never_gets_there_can_be_made_smaller(self) -> None:
        """What an order to shrink supersedes is our own: nothing is locked for ever."""
        site = Site(MARATHON, 1)
        site.create(9)
        assert {Phase.RUNNING, Phase.SLOT} == {one.phase for one in site.replicas()}
        site.scale(4)
        site.clock.advance(30_000)
        site.scale(3)
        assert 3 == site.group().target

    def test_somebody_else_s_lock_is_a_conflict_for_shrinking_too(self) -> None:
        """A change that is not ours is not cancelled."""
        site = Site(MARATHON)
        site.create(2)
        site.cluster.faults.locked.add(site.group().key)
        with pytest.raises(Conflict, match="locked"):
            site.scale(1)
        site.cluster.faults.clear()
        site.scale(1)
        assert 1 == site.group().target

    def test_a_locked_group_can_be_deleted(self) -> None:
        """A removal cancels what is in progress."""
        site = Site(MARATHON)
        site.create(2, wait=500)
        key = site.group().key
        site.cluster.delete(key, grace=GRACE, expect=expectation(site.cluster, key))
        site.clock.advance(30_000)
        assert None is found(site.cluster.observe(), key)

    def test_exactly_the_named_go_whatever_their_age(self) -> None:
        """Killing and scaling is one call."""
        site = Site(MARATHON)
        first, second, third = (one.id for one in site.create(3))
        site.scale(1, retire=(first, third))
        assert {second} == counting(site.replicas())

    def test_where_nobody_is_named_the_youngest_goes(self) -> None:
        """The newest of those that run."""
        site = Site(MARATHON)
        first, second, _ = (one.id for one in site.create(3))
        site.scale(2)
        assert {first, second} == counting(site.replicas())

    def test_a_crashed_server_is_launched_anew_and_later_every_time(self) -> None:
        """It is a slot until the queue's delay is over, which grows by fifteen percent with each failure."""
        site = Site(MARATHON)
        (replica,) = site.create(1)
        waits = []
        for _ in range(3):
            site.cluster.crash(replica.id)
            began = site.clock.now()
            (down,) = site.replicas()
            assert (Phase.SLOT, None, ReasonCode.CRASH) == (down.phase, down.node, down.reason and down.reason.code)
            while site.replicas()[0].phase is Phase.SLOT:
                site.clock.advance(1)
            waits.append(site.clock.now() - began)
            site.clock.advance(60_000)
        assert [1_000, 1_150, 1_322] == waits

    def test_the_delay_is_the_group_s(self) -> None:
        """A replica that never failed waits as long as the one that did."""
        site = Site(MARATHON, timings=attrs.evolve(MARATHON.timings, back_off=Duration(20_000)))
        (replica,) = site.create(1)
        site.cluster.crash(replica.id)
        site.scale(2)
        assert {Phase.SLOT} == {one.phase for one in site.after(19_000)}
        assert Phase.SLOT not in {one.phase for one in site.after(2_000)}

    def test_metadata_of_an_existing_group_is_not_written(self) -> None:
        """It would restart every server: generation and owner stay what they were."""
        site = Site(MARATHON)
        before = [one.incarnation for one in site.create(1)]
        key = site.group().key
        order = attrs.evolve(group_order(TEMPLATE, generation=7), owner="another")
        site.cluster.apply(order, 1, expect=expectation(site.cluster, key))
        group = site.group()
        assert (1, "search", before) == (group.generation, group.owner, [one.incarnation for one in group.replicas])

    def test_over_its_quota_replicas_wait(self) -> None:
        """There is a slot to ask about, which gets a node when there is room again."""
        site = Site(MARATHON, quota=Quota(cpu=Cpus(600)))
        waiting = [one for one in site.create(2) if one.phase is Phase.SLOT]
        assert [ReasonCode.QUOTA] == [one.reason.code for one in waiting if one.reason]
        site.cluster.limit(None)
        assert {Phase.RUNNING} == {one.phase for one in site.after(30_000)}


class TestNodes:
    """Nodes that fall silent and return."""

    @pytest.mark.parametrize(("temper", "notice"), [(DIRECTED, 0), (KUBERNETES, 40_000), (MARATHON, 75_000)])
    def test_a_silent_node_is_noticed_and_later_given_up(self, temper: Temper, notice: int) -> None:
        """Until it is noticed all looks well and nothing answers; ``node_lost_after`` later its replicas are lost."""
        site = Site(temper, 1)
        (replica,) = site.create(1)
        before = site.group()
        site.cluster.silence_node("node-1")
        assert ModelStatus.UNKNOWN is site.cluster.model_states()[replica.id].status
        if notice:
            site.clock.advance(notice - 1)
            assert (before, True) == (site.group(), site.replicas()[0].ready)
            site.clock.advance(1)
        noticed = site.replicas()[0]
        assert (Phase.RUNNING, ReasonCode.UNREACHABLE) == (noticed.phase, noticed.reason and noticed.reason.code)
        assert [False] * len(site.cluster.observe().nodes) == [one.schedulable for one in site.cluster.observe().nodes]
        site.clock.advance(30_000)
        assert replica.id not in counting(site.replicas())

    @pytest.mark.parametrize("temper", [NATIVE, KUBERNETES, MARATHON])
    def test_what_was_given_up_is_replaced_where_the_cluster_heals(self, temper: Temper) -> None:
        """Another node gets the replacement without any call of ours, and the node that returns gets nothing back."""
        site = Site(temper)
        (before,) = site.create(1)
        assert before.node is not None
        site.cluster.silence_node(before.node)
        (after,) = site.after(temper.timings.notice.ms + 60_000)
        assert (Phase.RUNNING, True) == (after.phase, after.node != before.node)
        site.cluster.return_node(before.node)
        assert (after.id,) == tuple(one.id for one in site.after(60_000))

    @pytest.mark.parametrize("temper", [DIRECTED, KUBERNETES, MARATHON])
    def test_a_node_that_returns_in_time_starts_its_servers_again(self, temper: Temper) -> None:
        """The same replica serves from a new process, and its old one is known to have ended."""
        site = Site(attrs.evolve(temper, timings=attrs.evolve(temper.timings, notice=Duration(20_000))), 1)
        (before,) = site.create(1)
        site.cluster.silence_node("node-1")
        site.after(10_000)
        site.cluster.return_node("node-1")
        (after,) = site.after(30_000)
        assert (before.id, Phase.RUNNING, True) == (after.id, after.phase, after.incarnation != before.incarnation)
        assert after.last_exit is not None
        assert ModelStatus.AVAILABLE is site.cluster.model_states()[after.id].status

    @pytest.mark.parametrize(("temper", "ends"), [(NATIVE, False), (MARATHON, False), (KUBERNETES, True)])
    def test_of_one_that_is_back_and_the_one_in_its_place_only_one_stays(self, temper: Temper, ends: bool) -> None:
        """A node that was only cut off is back with what ran there all the time; the cluster gives up one of them."""
        site = Site(temper)
        (before,) = site.create(1)
        assert before.node is not None
        site.cluster.part_node(before.node)
        (instead,) = site.after(temper.timings.notice.ms + 60_000)
        assert instead.id != before.id
        site.cluster.return_node(before.node)
        back = {one.id: one.phase for one in site.replicas()}
        assert {before.id, instead.id} == back.keys()
        (left,) = site.after(60_000)
        assert Phase.RUNNING is left.phase
        assert left.id == instead.id or not ends

    def test_a_node_that_is_reached_again_in_time_is_as_it_was(self) -> None:
        """No process ended meanwhile, so it is the same one."""
        site = Site(KUBERNETES, 1)
        (before,) = site.create(1)
        site.cluster.part_node("node-1")
        site.after(50_000)
        site.cluster.return_node("node-1")
        (after,) = site.after(30_000)
        assert (before.id, before.incarnation, True) == (after.id, after.incarnation, after.ready)

    def test_what_is_back_of_a_group_that_is_gone_is_not_seen(self) -> None:
        """Its group was deleted meanwhile."""
        site = Site(NATIVE)
        (before,) = site.create(1)
        assert before.node is not None
        key = site.group().key
        site.cluster.part_node(before.node)
        site.after(60_000)
        site.cluster.delete(key, grace=GRACE, expect=expectation(site.cluster, key))
        site.clock.advance(60_000)
        site.cluster.return_node(before.node)
        assert None is found(site.cluster.observe(), key)

    def test_what_stops_on_a_silent_node_is_gone_in_the_end(self) -> None:
        """A condemned group does not wait for a node that never returns."""
        site = Site(KUBERNETES, 1)
        site.create(1)
        key = site.group().key
        site.cluster.silence_node("node-1")
        site.cluster.delete(key, grace=GRACE, expect=expectation(site.cluster, key))
        site.clock.advance(60_000)
        assert Phase.STOPPING is site.replicas()[0].phase
        site.clock.advance(60_000)
        assert None is found(site.cluster.observe(), key)

    def test_a_node_nobody_knows_is_an_error_of_the_test(self) -> None:
        """Whoever misspells a node is told."""
        with pytest.raises(KeyError, match="no node 'nodd'"):
            Site(DIRECTED).cluster.silence_node("nodd")

    def test_foreign_use_takes_room_and_gives_it_back(self) -> None:
        """What others hold is seen, cannot be had, and is free again when they leave."""
        site = Site(NATIVE, 1)
        site.cluster.use_foreign("node-1", cpu=Cpus(1_800), memory=Memory(0))
        assert [Phase.SLOT] == [one.phase for one in site.create(1)]
        assert [Cpus(1_800)] == [one.foreign_cpu for one in site.cluster.observe().nodes]
        site.cluster.use_foreign("node-1", cpu=Cpus(0), memory=Memory(0))
        assert [Phase.RUNNING] == [one.phase for one in site.after(30_000)]


class TestModels:
    """Models that do things to their servers."""

    def test_a_flapping_model_is_well_and_unwell_by_turns(self) -> None:
        """Its server runs all the time, and answers only every other while."""
        site = Site(DIRECTED, timings=Timings(flap=Duration(10_000)))
        (replica,) = site.create(1)
        site.cluster.afflict("/m", ModelFault.FLAPS)
        story = []
        for _ in range(4):
            site.clock.advance(5_000)
            story.append(site.cluster.model_states()[replica.id].status is ModelStatus.AVAILABLE)
            site.clock.advance(5_000)
        assert [False, True, False, True] == story
        site.cluster.afflict("/m", None)
        site.clock.advance(20_000)
        (after,) = site.replicas()
        assert (replica.incarnation, True) == (
            after.incarnation,
            ModelStatus.AVAILABLE is site.cluster.model_states()[replica.id].status,
        )

    def test_flapping_shows_in_a_cluster_s_own_readiness(self) -> None:
        """The probes find it, each at its own time."""
        site = Site(KUBERNETES, timings=attrs.evolve(KUBERNETES.timings, flap=Duration(20_000)))
        site.create(1)
        site.cluster.afflict("/m", ModelFault.FLAPS)
        seen = [site.after(5_000)[0].ready for _ in range(16)]
        assert {True, False} == set(seen)
        assert 3 <= sum(one != other for one, other in pairwise(seen))

    def test_a_model_that_turns_bad_takes_running_servers_with_it(self) -> None:
        """From that moment on they run out of memory, over and over."""
        site = Site(DIRECTED)
        site.create(1)
        site.cluster.afflict("/m", ModelFault.EATS_MEMORY)
        (down,) = site.after(60_000)
        assert down.restarts >= 3
        assert down.last_exit is not None
        assert down.last_exit.out_of_memory
        site.cluster.afflict("/m", None)
        site.clock.advance(120_000)
        assert ModelStatus.AVAILABLE is site.cluster.model_states()[down.id].status

    def test_what_models_say_is_the_same_object_while_nothing_changed(self) -> None:
        """Whoever keeps it can tell at once that there is nothing new."""
        site = Site(DIRECTED)
        site.create(2)
        before = site.cluster.model_states()
        assert before is site.cluster.model_states()
        site.cluster.crash(site.replicas()[0].id)
        assert before != site.cluster.model_states()


class TestTimes:
    """How long things take."""

    def test_an_image_is_pulled_once_for_a_node(self) -> None:
        """The first replica waits for it, the next one on that node does not."""
        site = Site(DIRECTED, 1, timings=Timings(pull=Duration(60_000)))
        assert [Phase.STARTING] == [one.phase for one in site.create(1)]
        assert [Phase.RUNNING] == [one.phase for one in site.after(31_000)]
        site.scale(2)
        bind_all(site.cluster, site.group().key)
        assert [Phase.RUNNING] * 2 == [one.phase for one in site.after(1_000)]

    def test_times_vary_within_what_was_said(self) -> None:
        """Ten replicas start within a fifth of the time that it takes, and not all at once."""
        site = Site(DIRECTED, 1, cpu=64_000, timings=Timings(start=Duration(10_000), vary=20))
        began = site.clock.now()
        took = [(one.started_at or 0) - began for one in site.create(10)]
        assert 8_000 <= min(took) < max(took) <= 12_000

    def test_it_is_said_when_something_happens_next(self) -> None:
        """Nothing changes before that, and nothing is due where all is at rest."""
        site = Site(DIRECTED, 1)
        assert None is site.cluster.next_due()
        site.create(1, wait=0)
        before = site.replicas()
        due = site.cluster.next_due()
        assert site.clock.now() + 1_000 == due
        site.clock.advance(999)
        assert before == site.replicas()
        assert before != site.after(1)
        site.clock.advance(10_000)
        assert None is site.cluster.next_due()

    @given(st.lists(st.integers(0, 40_000), max_size=12), st.sampled_from([DIRECTED, KUBERNETES, MARATHON]))
    @settings(max_examples=25, deadline=None)
    def test_it_does_not_matter_how_often_one_looks(self, pauses: list[int], temper: Temper) -> None:
        """A cluster that is looked at again and again ends as one that is looked at once."""
        looked, left = Site(temper, 3), Site(temper, 3)
        for site in (looked, left):
            site.create(4, wait=0)
            site.cluster.afflict("/m", ModelFault.EATS_MEMORY)
        for pause in pauses:
            looked.clock.advance(pause)
            looked.cluster.observe()
            looked.cluster.model_states()
        left.clock.advance(sum(pauses))
        assert looked.cluster.truth() == left.cluster.truth()
        assert looked.cluster.model_states() == left.cluster.model_states()


class TestOptions:
    """What a file can say about a cluster."""

    @staticmethod
    def _made(options: SimulatedOptions, root: Path, scheduling: Scheduling | None = None) -> SimulatedCluster:
        context = BackendContext(
            cluster="toy", fleet="f", owner_id=OWNER_ID, options=options, scheduling=scheduling, root=root
        )
        return made(context, VirtualClock(), Network(), seed=0)

    def test_groups_of_nodes_have_what_was_said_of_each(self, tmp_path: Path) -> None:
        """Counts, attributes, devices and foreign use, with names that tell the groups apart."""
        big = NodeGroup(name="big", count=2, zones=2, gpus=2, gpu_model="H100", attributes={"disk": "ssd"})
        small = NodeGroup(name="small", count=1, cpu=Cpus(1_000), foreign_cpu=Cpus(500))
        seen = self._made(SimulatedOptions(groups=(big, small)), tmp_path).observe().nodes
        assert [("big-1", "zone-1", "ssd", 2), ("big-2", "zone-2", "ssd", 2), ("small-1", "zone-1", None, 0)] == [
            (one.name, one.attributes["zone"], one.attributes.get("disk"), len(one.devices)) for one in seen
        ]
        assert ("H100", Cpus(500)) == (seen[0].devices[0].model, seen[2].foreign_cpu)

    @pytest.mark.parametrize(
        ("name", "scheduling", "expected"),
        [
            (TemperName.PLAIN, None, Scheduling.DIRECTED),
            (TemperName.PLAIN, Scheduling.NATIVE, Scheduling.NATIVE),
            (TemperName.KUBERNETES, None, Scheduling.NATIVE),
            (TemperName.KUBERNETES, Scheduling.DIRECTED, Scheduling.DIRECTED),
            (TemperName.MARATHON, None, Scheduling.NATIVE),
        ],
    )
    def test_the_temper_says_who_picks_the_node_unless_the_file_does(
        self, tmp_path: Path, name: TemperName, scheduling: Scheduling | None, expected: Scheduling
    ) -> None:
        """A plain cluster is directed, the others are native."""
        cluster = self._made(SimulatedOptions(temper=name), tmp_path, scheduling)
        assert frozenset({expected}) == cluster.capabilities.scheduling

    def test_a_directed_cluster_refuses_binds_over_its_own_quota(self, tmp_path: Path) -> None:
        """There the slot is made, and has no room."""
        cluster = self._made(SimulatedOptions(quota=ClusterQuota(cpu=Cpus(600))), tmp_path)
        order = group_order(TEMPLATE)
        cluster.apply(order, 2, expect=ABSENT)
        group = found(cluster.observe(), order.key)
        assert group is not None
        cluster.bind(group.replicas[0].id, "node-1", ())
        with pytest.raises(OutOfCapacity, match="own quota of cpu"):
            cluster.bind(group.replicas[1].id, "node-1", ())

    def test_times_that_are_left_out_are_the_temper_s(self) -> None:
        """One that is given is taken instead."""
        options = SimulatedOptions(temper=TemperName.KUBERNETES, load=Duration(60_000))
        timings = options.timings(KUBERNETES)
        assert (Duration(60_000), Duration(40_000)) == (timings.load, timings.notice)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 900)), max_size=30))
@settings(deadline=None)
def test_a_native_scheduler_never_puts_more_on_a_node_than_it_has(orders: list[tuple[int, int]]) -> None:
    """Whatever is created, crashes or is lost, what runs on a node fits there."""
    site = Site(NATIVE, 2)
    for number, (what, cpu) in enumerate(orders):
        living = [one for group in site.cluster.truth().groups for one in group.replicas if one.phase is not Phase.LOST]
        if what == 0 and living:
            site.cluster.lose(living[number % len(living)].id)
        elif what == 1 and living:
            site.cluster.crash(living[number % len(living)].id)
        else:
            of = attrs.evolve(TEMPLATE, resources=attrs.evolve(SMALL, cpu=Cpus(cpu)))
            site.cluster.apply(group_order(of, f"d{number}"), 2, expect=ABSENT)
        site.clock.advance(1_000)
        for node in nodes(2):
            held = sum(
                group.template.resources.cpu.milli
                for group in site.cluster.truth().groups
                for one in group.replicas
                if one.node == node.name and one.phase is not Phase.LOST
            )
            assert held <= node.cpu.milli


def test_a_constraint_that_no_node_meets_is_told_from_a_lack_of_room() -> None:
    """The refusal counts what stands against each node."""
    ground = Ground(nodes(3, 100))
    there = PlacementSpec(constraints=(Constraint(attribute="zone", operator=Operator.IN, values=("z0",)),))
    nowhere = PlacementSpec(constraints=(Constraint(attribute="zone", operator=Operator.IN, values=("z9",)),))
    room = ground.refusal(attrs.evolve(TEMPLATE, placement=there), ())
    match = ground.refusal(attrs.evolve(TEMPLATE, placement=nowhere), ())
    assert (ReasonCode.NO_CAPACITY, 1) == (room.code, room.total)
    assert "1 Insufficient cpu, 2 node(s) didn't match" in room.raw
    assert (ReasonCode.NO_MATCHING_NODE, 3) == (match.code, match.total)
