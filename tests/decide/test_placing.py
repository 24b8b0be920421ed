"""How many on which cluster and which node, within what the owner may hold."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from roadstead.model import (
    ClusterState,
    Constraint,
    GpuPart,
    Operator,
    PlacementSpec,
    Quota,
    RolloutSpec,
    Spread,
    WholeGpus,
)
from roadstead.plans import Grow, Plan
from roadstead.reasons import ChangeKind, ReasonCode
from roadstead.units import Cpus, GpuShare, Memory
from roadstead.world import Device, Group, GroupKey, Phase
from roadstead_backends.simulated.faults import CallFault
from tests.decide.scene import NATIVE, Scene, deployment, fleet, nodes, template

BOTH = ("here", "there")


def held(plan: Plan, name: str = "anchor") -> list[ReasonCode]:
    """Return why a deployment is held."""
    return [one.reason.code for one in plan.held if one.deployment == name]


def on_nodes(scene: Scene, cluster: str = "here") -> Counter[str | None]:
    """Return how many replicas are on which node."""
    return Counter(replica.node for replica in scene.replicas(cluster))


def test_clusters_are_filled_in_order() -> None:
    """What the first cluster cannot hold goes to the second."""
    scene = Scene(
        fleet(deployment(on=BOTH, replicas=3), clusters=BOTH),
        {"here": nodes(1, 2_000), "there": nodes(1)},
        thorough=True,
    )
    scene.settle()
    assert {("here", "/m/1"): 2, ("there", "/m/1"): 1} == scene.serving()
    assert [] == scene.wrong


def test_the_order_is_the_file_s() -> None:
    """The first cluster named is the first one filled, whatever its name."""
    scene = Scene(
        fleet(deployment(on=("there", "here")), clusters=BOTH), {"here": nodes(1), "there": nodes(1)}, thorough=True
    )
    scene.settle()
    assert {("there", "/m/1"): 2} == scene.serving()


def test_a_change_of_cluster_is_a_rollout() -> None:
    """A migration never goes below the floor: the new cluster serves before the old one stops."""
    scene = Scene(fleet(deployment(), clusters=BOTH), {"here": nodes(1), "there": nodes(1)}, thorough=True)
    scene.settle()
    scene.declare(deployment(on=("there",)))
    served = []
    for _ in range(30):
        scene.turn()
        served.append(scene.serving().total())
    assert {("there", "/m/1"): 2} == scene.serving()
    assert 2 == min(served)
    assert [] == scene.wrong


def test_a_migration_that_may_not_surge_takes_one_down_at_a_time() -> None:
    """What it takes down on the old cluster is no loss that is made up for there."""
    one_less = RolloutSpec(max_surge=0, max_unavailable=1)
    scene = Scene(
        fleet(deployment(replicas=3, rollout=one_less), clusters=BOTH),
        {"here": nodes(1), "there": nodes(1)},
        thorough=True,
    )
    scene.settle()
    scene.declare(deployment(of=template("/m/2"), on=("there",), replicas=3, rollout=one_less))
    served = []
    for _ in range(40):
        scene.turn()
        served.append(scene.serving().total())
    assert {("there", "/m/2"): 3} == scene.serving()
    assert 2 == min(served)
    assert [] == scene.wrong


def test_what_a_deployment_may_still_hold_where_nobody_answers_counts_after_it_was_moved_away() -> None:
    """A daemon that has just started cannot see it, and remembers that something was there."""
    spec = RolloutSpec(max_unavailable=1)
    scene = Scene(
        fleet(deployment(on=("there",), rollout=spec), clusters=BOTH, search=Quota(cpu=Cpus(2_000))),
        {"here": nodes(1), "there": nodes(1)},
    )
    scene.settle()
    scene.clusters["there"].faults.partitioned = True
    scene.start_again()
    scene.turns(2)
    scene.declare(deployment(of=template("/m/2"), on=("here",), rollout=spec))
    scene.turns(5)
    assert {("there", "/m/1"): 2} == scene.serving()
    scene.clusters["there"].faults.partitioned = False
    scene.settle()
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong


def test_replicas_spread_over_nodes() -> None:
    """The policy ``spread`` puts equal replicas on different nodes."""
    scene = Scene(fleet(deployment(replicas=3)), {"here": nodes(3)})
    scene.settle()
    assert {"n0": 1, "n1": 1, "n2": 1} == on_nodes(scene)


def test_replicas_pack_where_they_are_asked_to() -> None:
    """The policy ``binpack`` fills one node before the next."""
    scene = Scene(fleet(attrs.evolve(deployment(replicas=4), place="binpack")), {"here": nodes(3)})
    scene.settle()
    assert [4] == sorted(on_nodes(scene).values())


def test_a_hard_spread_is_a_cap() -> None:
    """No zone takes more than the cap although its nodes have room; the rest waits and says so."""
    capped = attrs.evolve(template(), placement=PlacementSpec(spread=Spread(by="zone", max_per=1)))
    scene = Scene(fleet(deployment(of=capped, replicas=3)), {"here": nodes(2)}, thorough=True)
    decided = scene.settle()
    assert 2 == scene.serving().total()
    assert held(decided)
    assert [] == scene.wrong


def test_constraints_are_kept() -> None:
    """Replicas go where the node's attribute fits, however full it gets there."""
    in_b = PlacementSpec(constraints=(Constraint(attribute="zone", operator=Operator.IN, values=("b",)),))
    scene = Scene(fleet(deployment(of=attrs.evolve(template(), placement=in_b), replicas=3)), {"here": nodes(2)})
    scene.settle()
    assert {"n1": 3} == on_nodes(scene)


def test_no_matching_node_is_said() -> None:
    """A constraint that no node meets is a reason with its counts, not silence."""
    nowhere = PlacementSpec(constraints=(Constraint(attribute="zone", operator=Operator.IN, values=("z",)),))
    scene = Scene(fleet(deployment(of=attrs.evolve(template(), placement=nowhere))), {"here": nodes(2)})
    decided = scene.settle()
    assert ReasonCode.NO_MATCHING_NODE in held(decided)


def test_what_does_not_fit_waits_with_its_reason_and_starts_when_it_does() -> None:
    """A replica too many is explained, and placed when a node comes."""
    scene = Scene(fleet(deployment(replicas=3)), {"here": nodes(1, 2_000)}, thorough=True)
    decided = scene.settle()
    assert ReasonCode.NO_CAPACITY in held(decided)
    assert 2 == scene.serving().total()
    scene.clusters["here"].set_node(attrs.evolve(nodes(1)[0], name="n9"))
    decided = scene.settle()
    assert ([], 3) == (held(decided), scene.serving().total())
    assert [] == scene.wrong


def test_what_a_native_cluster_cannot_place_is_said_in_its_words() -> None:
    """The orchestrator's own reason for a pending replica is in the plan."""
    scene = Scene(fleet(deployment(replicas=3)), {"here": nodes(1, 2_000)}, {"here": NATIVE}, thorough=True)
    decided = scene.settle()
    assert 2 == scene.serving().total()
    assert ReasonCode.NO_CAPACITY in held(decided)
    assert [] == scene.wrong


def test_the_higher_priority_is_served_first() -> None:
    """When not all fit, priority decides, and the name among equals."""
    first = fleet(deployment("anchor", replicas=2), deployment("buoy", replicas=2, priority=1))
    scene = Scene(first, {"here": nodes(1, 2_000)}, thorough=True)
    scene.settle()
    assert (0, 2) == (scene.serving("anchor").total(), scene.serving("buoy").total())
    assert [] == scene.wrong


def test_shares_of_a_gpu_are_packed_and_never_overlap() -> None:
    """Three halves need two devices; a whole one then finds none, and says so."""
    devices = tuple(Device(id=f"g{index}", model="A100", memory=Memory(2**35)) for index in range(2))
    node = attrs.evolve(nodes(1, 8_000)[0], devices=devices)
    half = attrs.evolve(template(), resources=attrs.evolve(template().resources, gpu=GpuPart(share=GpuShare(500))))
    whole = attrs.evolve(
        template("/m/9"), resources=attrs.evolve(template().resources, gpu=WholeGpus(count=1, models=("A100",)))
    )
    first = fleet(deployment(of=half, replicas=3), deployment("buoy", of=whole, replicas=1))
    scene = Scene(first, {"here": (node,)}, thorough=True)
    decided = scene.settle()
    shares = Counter(device for replica in scene.replicas() for device in replica.devices)
    assert {1, 2} == set(shares.values())
    assert (3, 0) == (scene.serving().total(), scene.serving("buoy").total())
    assert held(decided, "buoy")
    assert [] == scene.wrong


class TestQuota:
    """What an owner may hold."""

    def test_growth_stops_at_the_quota(self) -> None:
        """As many as are allowed run; the refusal has the numbers and the change that would be enough."""
        limited = fleet(deployment(replicas=3), search=Quota(cpu=Cpus(2_000)))
        scene = Scene(limited, {"here": nodes(2)}, thorough=True)
        decided = scene.settle()
        assert 2 == scene.serving().total()
        (reason,) = [one.reason for one in decided.held]
        assert ReasonCode.QUOTA is reason.code
        assert "search" in reason.detail
        assert [] == scene.wrong

    def test_it_holds_over_all_clusters(self) -> None:
        """What is on one cluster counts on the other."""
        limited = fleet(deployment(on=BOTH, replicas=4), clusters=BOTH, search=Quota(cpu=Cpus(3_000)))
        scene = Scene(limited, {"here": nodes(1, 2_000), "there": nodes(2)}, thorough=True)
        scene.settle()
        assert {("here", "/m/1"): 2, ("there", "/m/1"): 1} == scene.serving()
        assert [] == scene.wrong

    def test_lowering_it_stops_nothing(self) -> None:
        """An owner over a new limit keeps what runs, and gets nothing more."""
        scene = Scene(fleet(deployment(replicas=2)), {"here": nodes(2)}, thorough=True)
        scene.settle()
        scene.limit(search=Quota(cpu=Cpus(1_000)))
        calls = scene.calls()
        decided = scene.settle()
        assert (2, calls) == (scene.serving().total(), scene.calls())
        scene.scale("anchor", 3)
        decided = scene.settle()
        assert (2, [ReasonCode.QUOTA]) == (scene.serving().total(), held(decided))
        assert [] == scene.wrong

    def test_replicas_that_are_stopping_still_count(self) -> None:
        """What one deployment gives up goes to the other only when it is really gone."""
        limited = fleet(deployment("anchor"), deployment("buoy", replicas=0), search=Quota(cpu=Cpus(2_000)))
        scene = Scene(limited, {"here": nodes(2)}, thorough=True)
        scene.settle()
        scene.scale("anchor", 0)
        scene.scale("buoy", 2)
        scene.settle()
        assert (0, 2) == (scene.serving("anchor").total(), scene.serving("buoy").total())
        assert [] == scene.wrong

    def test_what_is_out_of_reach_still_counts(self) -> None:
        """Cutting a cluster off gives its owner no room elsewhere, for an old daemon and for a new one."""
        limited = fleet(deployment(on=BOTH, replicas=2), clusters=BOTH, search=Quota(cpu=Cpus(2_000)))
        scene = Scene(limited, {"here": nodes(1), "there": nodes(1)}, thorough=True)
        scene.settle()
        scene.clusters["here"].faults.partitioned = True
        for forget in (False, True):
            scene.turns(20)
            scene.start_again(forget=forget)
        assert {("here", "/m/1"): 2} == scene.serving()
        assert [] == scene.wrong

    def test_what_a_cluster_was_asked_for_before_it_fell_silent_counts_though_it_never_showed_it(self) -> None:
        """Its last picture is from before: what it may hold since then is room that nobody else gets."""
        declared = deployment(on=BOTH, replicas=3, of=template(cpu=1_000))
        weighted = (attrs.evolve(one, weight=weight) for one, weight in zip(declared.targets, (1, 3), strict=True))
        limited = fleet(attrs.evolve(declared, targets=tuple(weighted)), clusters=BOTH, search=Quota(cpu=Cpus(2_000)))
        scene = Scene(limited, {"here": nodes(2), "there": nodes(2)}, {"there": NATIVE})
        scene.turn()
        scene.clusters["there"].faults.partitioned = True
        scene.turns(40)
        scene.start_again()
        scene.turns(10)
        scene.clusters["there"].faults.partitioned = False
        scene.turns(10)
        assert 2 == scene.serving("anchor").total()
        assert [] == scene.wrong


class TestUnreachable:
    """A cluster that does not answer is not a dead one."""

    def test_it_is_said_and_nothing_is_asked_of_it(self) -> None:
        """The plan names the cluster, keeps its endpoints listed, and has no step for it."""
        scene = Scene(fleet(deployment()), {"here": nodes(1)}, thorough=True)
        scene.settle()
        scene.clusters["here"].faults.partitioned = True
        scene.scale("anchor", 4)
        decided = scene.turns(5)
        assert ReasonCode.UNREACHABLE in {one.reason.code for one in decided.held}
        assert () == decided.steps
        assert 2 == len(decided.table.endpoints["anchor"])

    def test_it_is_taken_up_again_when_it_answers(self) -> None:
        """What was ordered meanwhile is done then."""
        scene = Scene(fleet(deployment()), {"here": nodes(2)}, thorough=True)
        scene.settle()
        scene.clusters["here"].faults.partitioned = True
        scene.scale("anchor", 4)
        scene.turns(5)
        scene.clusters["here"].faults.clear()
        scene.settle()
        assert 4 == scene.serving().total()
        assert [] == scene.wrong


class TestForeign:
    """What is not ours."""

    def test_nothing_is_written_to_a_cluster_with_somebody_else_s_objects_of_our_names(self) -> None:
        """A foreign owner id stops us there, and it is said."""
        scene = Scene(fleet(deployment()), {"here": nodes(1)}, thorough=True)
        key = GroupKey("anchor", deployment().targets[0].revision)
        scene.clusters["here"].plant(
            Group(key=key, owner="x", owner_id="somebody", generation=1, target=1, template=template())
        )
        decided = scene.turns(5)
        assert (0, ()) == (scene.calls(), decided.steps)
        assert ReasonCode.FOREIGN_OWNER in {one.reason.code for one in decided.held}
        assert [] == scene.wrong

    def test_a_disabled_cluster_is_left_alone(self) -> None:
        """Nothing is asked of it, and what runs there counts for nothing."""
        scene = Scene(fleet(deployment(on=BOTH), clusters=BOTH), {"here": nodes(1), "there": nodes(1)}, thorough=True)
        scene.settle()
        specs = dict(scene.fleet.clusters)
        specs["here"] = attrs.evolve(specs["here"], state=ClusterState.DISABLED)
        scene.drive.fleet = attrs.evolve(scene.fleet, clusters=specs)
        calls = len(scene.clusters["here"].calls)
        scene.turns(20)
        assert calls == len(scene.clusters["here"].calls)
        assert 2 == scene.serving()["there", "/m/1"]


class TestHealing:
    """What is lost comes back."""

    def test_a_lost_replica_is_replaced(self) -> None:
        """The group is asked again for what it lacks, and says why."""
        scene = Scene(fleet(deployment()), {"here": nodes(2)}, thorough=True)
        scene.settle()
        scene.clusters["here"].lose(scene.replicas()[0].id)
        (step,) = scene.turn().steps
        assert isinstance(step, Grow)
        assert (2, 2) == (step.was, step.target)
        assert "lost" in step.because
        scene.settle()
        assert 2 == scene.serving().total()
        assert [] == scene.wrong

    def test_a_lost_node_s_replicas_come_up_elsewhere(self) -> None:
        """Everything of the lost node is placed on the others."""
        scene = Scene(fleet(deployment(replicas=4)), {"here": nodes(2)}, thorough=True)
        scene.settle()
        scene.clusters["here"].lose_node("n0")
        scene.settle()
        assert {"n1": 4} == on_nodes(scene)
        assert [] == scene.wrong

    def test_a_crashed_server_is_left_to_its_cluster(self) -> None:
        """It starts again in place; nothing is asked for, and nothing else is placed for it."""
        scene = Scene(fleet(deployment()), {"here": nodes(2)}, thorough=True)
        scene.settle()
        calls = scene.calls()
        scene.clusters["here"].crash(scene.replicas()[0].id)
        scene.settle()
        assert (2, calls) == (scene.serving().total(), scene.calls())

    @pytest.mark.parametrize(
        "fault", [CallFault.REQUEST_LOST, CallFault.REPLY_LOST, CallFault.RETRYABLE, CallFault.CONFLICT]
    )
    def test_a_call_that_goes_wrong_doubles_nothing(self, fault: CallFault) -> None:
        """Whether or not it was done, exactly what is wanted runs in the end."""
        scene = Scene(fleet(deployment(replicas=3)), {"here": nodes(2)}, thorough=True)
        scene.clusters["here"].faults.calls.extend([fault] * 3)
        scene.settle()
        replicas = scene.replicas()
        assert (3, 3) == (len(replicas), sum(replica.phase is Phase.RUNNING for replica in replicas))
        assert [] == scene.wrong


class TestRemoval:
    """What vanishes from the file, and what is ordered to go."""

    def test_what_vanishes_from_the_file_is_left_as_it_is(self) -> None:
        """An orphan serves on untouched and listed, and it is said."""
        scene = Scene(fleet(deployment()), {"here": nodes(1)}, thorough=True)
        scene.settle()
        calls = scene.calls()
        scene.withdraw("anchor")
        decided = scene.turns(10)
        assert (calls, 2) == (scene.calls(), scene.serving().total())
        assert [ReasonCode.ORPHANED] == held(decided)
        assert 2 == len(decided.table.endpoints["anchor"])
        assert ChangeKind.FIX_INPUT is (decided.held[0].reason.change and decided.held[0].reason.change.kind)

    def test_an_orphan_that_is_given_up_goes(self) -> None:
        """Confirmed by command, it is drained and nothing of it is left."""
        scene = Scene(fleet(deployment()), {"here": nodes(1)}, thorough=True)
        scene.settle()
        scene.withdraw("anchor")
        scene.delete("anchor")
        scene.settle()
        assert ((), ()) == (scene.members(), scene.clusters["here"].truth().groups)
        assert [] == scene.wrong

    def test_a_deleted_deployment_that_is_still_declared_goes_too(self) -> None:
        """The command holds against the file, until the file changes."""
        scene = Scene(fleet(deployment()), {"here": nodes(1)}, thorough=True)
        scene.settle()
        scene.delete("anchor")
        scene.settle()
        assert () == scene.members()
        scene.declare(deployment(of=template("/m/2")))
        scene.settle()
        assert {("here", "/m/2"): 2} == scene.serving()
        assert [] == scene.wrong

    def test_scaling_by_command_holds_until_the_file_changes(self) -> None:
        """The file's next word about the number supersedes the command's."""
        scene = Scene(fleet(deployment(replicas=2)), {"here": nodes(2)}, thorough=True)
        scene.scale("anchor", 3)
        scene.settle()
        assert 3 == scene.serving().total()
        scene.declare(deployment(replicas=1))
        scene.settle()
        assert 1 == scene.serving().total()
        assert [] == scene.wrong

    def test_scaling_to_nothing_and_back(self) -> None:
        """The group stays at zero, and is the same one when it grows again."""
        scene = Scene(fleet(deployment()), {"here": nodes(1)}, thorough=True)
        scene.settle()
        (before,) = scene.clusters["here"].truth().groups
        scene.scale("anchor", 0)
        scene.settle()
        assert 0 == scene.serving().total()
        scene.scale("anchor", 2)
        scene.settle()
        (after,) = scene.clusters["here"].truth().groups
        assert (before.key, before.generation, 2) == (after.key, after.generation, scene.serving().total())
        assert [] == scene.wrong
