"""The report values: what is said of a fleet follows from what was seen and decided."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.decide.report import (
    Action,
    Amounts,
    ConditionName,
    FleetStatus,
    Life,
    PlanView,
    RolloutState,
    Verdict,
    differences,
    endpoints,
    explanation,
    verdict,
)
from roadstead.model import Fleet, Intents, Quota, RemoveIntent, Resources, ScaleIntent, Secret, Template, Variable
from roadstead.reasons import ReasonCode
from roadstead.testing.strategies import fleets, templates
from roadstead.units import Cpus, Memory
from roadstead.wire import from_wire, to_wire
from roadstead_backends.simulated.faults import ModelFault
from tests.cli.stage import OWNER_ID, Stage, declared, fleet_of

GI = 1024**3


def settled(status: FleetStatus) -> bool:
    """Whether everything in the fleet is as asked."""
    return all(one.state is RolloutState.SETTLED for one in status.deployments)


# ---- the life of a replica ----


def test_a_replica_is_called_by_the_words_of_its_life() -> None:
    """From slot over starting to listed, as the design names them, without a step back."""
    stage = Stage(fleet_of(declared(replicas=1)))
    seen: list[Life] = []
    while Life.LISTED not in seen:
        replicas = stage.turn().deployments[0].replicas
        seen += [one.life for one in replicas if one.life not in seen]
    assert [Life.SLOT, Life.STARTING, Life.LISTED] == [life for life in seen if life is not Life.READY]


def test_a_replica_that_leaves_is_draining_then_drained_then_stopping() -> None:
    """The way out has its own words, and a leaving replica is in no list of endpoints."""
    stage = Stage(fleet_of(declared(replicas=2)))
    stage.until(settled)
    stage.drive.fleet = fleet_of(declared(replicas=1))
    seen: list[Life] = []
    while len(stage.deployment().replicas) == 2:
        status = stage.turn()
        leaving = [one for one in status.deployments[0].replicas if one.life is not Life.LISTED]
        seen += [one.life for one in leaving if one.life not in seen]
        assert not {one.id for one in leaving} & {one.id for one in endpoints(status)["minilm"]}
    assert [Life.DRAINING, Life.DRAINED, Life.STOPPING] == seen


def test_what_nobody_measured_is_unknown_and_not_zero() -> None:
    """Requested and observed are two numbers; an unknown one is null on the wire."""
    stage = Stage(fleet_of(declared(replicas=1)))
    status = stage.until(settled)
    (replica,) = status.deployments[0].replicas
    assert (Cpus(500), Memory(GI)) == (replica.requested.cpu, replica.requested.memory)
    assert {"cpu": None, "memory": None, "gpu_memory": None} == to_wire(replica.observed)


def test_a_replica_of_a_cluster_that_does_not_answer_is_stale() -> None:
    """It keeps its last life, and the cluster says since when it is silent."""
    stage = Stage(fleet_of(declared(replicas=1)))
    stage.until(settled)
    stage.cluster.faults.partitioned = True
    status = stage.turn()
    (cluster,) = status.clusters
    assert all(one.stale for one in status.deployments[0].replicas)
    assert cluster.unreachable_since is not None
    assert cluster.error


# ---- deployments ----


def test_a_settled_fleet_is_done() -> None:
    """Ready, placed, neither moving nor degraded; the verdict over it is that it is done."""
    status = Stage(fleet_of(declared(), declared("other"))).until(settled)
    conditions = {one.name: one.holds for one in status.deployments[0].conditions}
    assert {
        ConditionName.READY: True,
        ConditionName.PLACED: True,
        ConditionName.PROGRESSING: False,
        ConditionName.DEGRADED: False,
        ConditionName.ROUTED: True,
    } == conditions
    assert Verdict.DONE is verdict(status, ("minilm", "other"))


def test_over_the_quota_is_held_with_the_numbers_and_cannot_be_placed() -> None:
    """The reason names the quota and what would be enough; what serves goes on serving."""
    stage = Stage(fleet_of(declared(replicas=4), quotas={"search": Quota(cpu=Cpus(1_500))}))
    status = stage.until(lambda one: one.deployments[0].state is RolloutState.HELD)
    (deployment,) = status.deployments
    assert (3, 4) == (deployment.ready, deployment.wanted)
    assert [ReasonCode.QUOTA] == [cause.code for cause in deployment.causes]
    assert "lower replicas by 1" == deployment.causes[0].change
    assert Verdict.CANNOT_BE_PLACED is verdict(status, ("minilm",))
    assert [(Cpus(1_500), Cpus(1_500))] == [(one.cpu, one.cpu_limit) for one in status.quotas]


def test_a_fleet_with_something_on_its_way_is_not_judged_yet() -> None:
    """What cannot be placed now may fit when the rest is done."""
    stage = Stage(fleet_of(declared(replicas=4), declared("zz", replicas=4, cpu=Cpus(2_000))))
    status = stage.turn()
    assert Verdict.ON_ITS_WAY is verdict(status, ("minilm", "zz"))


def test_a_rollout_that_fails_is_rolled_back_and_said_so() -> None:
    """The new revision's deadline passes, the old one serves: that is not `done`."""
    stage = Stage(fleet_of(declared()))
    stage.until(settled)
    stage.cluster.faults.models["/models/broken"] = ModelFault.NEVER_LOADS
    stage.drive.fleet = fleet_of(declared(version=2, source="/models/broken"))
    status = stage.until(lambda one: one.deployments[0].state in {RolloutState.ROLLED_BACK, RolloutState.FAILED})
    assert RolloutState.ROLLED_BACK is status.deployments[0].state
    assert Verdict.ROLLED_BACK is verdict(status, ("minilm",))
    assert 2 == status.deployments[0].ready


def test_a_deployment_that_vanished_from_the_file_is_an_orphan_until_confirmed() -> None:
    """It is not a deployment any more, is not forgotten, and is done when nothing is left of it."""
    stage = Stage(fleet_of(declared()))
    stage.until(settled)
    stage.drive.fleet = fleet_of()
    assert ("minilm",) == stage.plan().orphans
    (orphan,) = stage.turn().orphans
    assert ("minilm", ("here",), 2, None, False) == attrs.astuple(orphan)
    stage.drive.fleet = attrs.evolve(fleet_of(), intents=Intents(remove=(RemoveIntent(deployment="minilm"),)))
    assert [True] == [one.removing for one in stage.turn().orphans]
    stage.until(lambda status: verdict(status, ("minilm",)) is Verdict.DONE)
    assert () == stage.cluster.truth().groups


def test_intents_are_part_of_the_status() -> None:
    """What was asked for by command is told, so that nobody wonders why the file's number does not hold."""
    fleet = fleet_of(declared(replicas=2))
    scaled = Intents(scale=(ScaleIntent(deployment="minilm", replicas=3, declared=2),))
    status = Stage(attrs.evolve(fleet, intents=scaled)).turn()
    assert [("scale", "minilm", 3, "")] == [attrs.astuple(one) for one in status.intents]
    assert (2, 3) == (status.deployments[0].declared, status.deployments[0].wanted)


# ---- the plan ----


def test_a_new_deployment_is_created_and_the_quota_moves() -> None:
    """The plan says how many, and what their owner holds then."""
    plan = Stage(fleet_of(declared())).plan()
    (one,) = plan.deployments
    assert (Action.CREATE, 0, 2, 0) == (one.action, one.was, one.wanted, one.pending)
    assert [(Cpus(0), Cpus(1_000))] == [(quota.cpu, quota.cpu_then) for quota in plan.quotas]


def test_a_plan_says_where_replicas_will_go_that_do_not_exist_yet() -> None:
    """And the turns that follow put them there."""
    stage = Stage(fleet_of(declared(), declared("big", replicas=2, cpu=Cpus(1_000))))
    foreseen = {one.name: sorted(placed.node for placed in one.placed) for one in stage.plan().deployments}
    status = stage.until(settled)
    assert foreseen == {one.name: sorted(str(two.node) for two in one.replicas) for one in status.deployments}


def test_a_plan_says_beforehand_what_will_have_no_place() -> None:
    """Nothing exists yet, and the reason with its numbers is known."""
    (one,) = Stage(fleet_of(declared(replicas=9))).plan().deployments
    assert (8, 1) == (len(one.placed), one.pending)
    assert [ReasonCode.NO_CAPACITY] == [cause.code for cause in one.held]
    assert one.unplaceable


@given(fleets(clusters=("here",)), st.integers(min_value=0, max_value=6))
@settings(max_examples=40)
def test_reports_of_any_fleet_agree_with_themselves(fleet: Fleet, turns: int) -> None:
    """Counts fit what is listed, every value survives the wire, and what is settled has no plan."""
    stage = Stage(attrs.evolve(fleet, owner_id=OWNER_ID))
    for _ in range(turns):
        stage.turn()
    status, plan = stage.status(), stage.plan()
    assert status == from_wire(to_wire(status), FleetStatus)
    assert plan == from_wire(to_wire(plan), PlanView)
    planned = {one.name for one in plan.deployments}
    for one in status.deployments:
        assert one.listed == sum(replica.life is Life.LISTED for replica in one.replicas)
        assert one.listed <= one.ready <= len(one.replicas)
        assert not (one.state is RolloutState.HELD and not one.causes)
    assert len(planned) + plan.unchanged == len({*fleet.deployments, *planned})


def test_nothing_to_do_is_an_empty_plan() -> None:
    """A settled fleet has no plan, and says how many deployments are as asked."""
    stage = Stage(fleet_of(declared()))
    stage.until(settled)
    for _ in range(30):
        stage.turn()
    plan = stage.plan()
    assert plan.empty
    assert 1 == plan.unchanged


def test_a_changed_template_is_told_field_by_field() -> None:
    """Old and new values under the fleet file's names, and how many stay in service."""
    stage = Stage(fleet_of(declared()))
    stage.until(settled)
    stage.drive.fleet = fleet_of(declared(replicas=3, version=2, memory=Memory(2 * GI)))
    (one,) = stage.plan().deployments
    assert Action.REPLACE is one.action
    assert [
        ("model.version", "1", "2", True),
        ("resources.memory", "1Gi", "2Gi", True),
        ("replicas", "2", "3", False),
    ] == [attrs.astuple(change) for change in one.changes]
    assert 3 == one.floor


def test_a_slot_is_told_with_the_node_that_it_gets() -> None:
    """Placement is part of the plan of the turn that binds."""
    stage = Stage(fleet_of(declared()))
    stage.turn()
    (one,) = stage.plan().deployments
    assert {"node-1", "node-2"} == {placed.node for placed in one.placed}
    assert 0 == one.pending


def test_a_deletion_is_told_as_one() -> None:
    """By command, while the deployment still stands in the file."""
    stage = Stage(fleet_of(declared()))
    stage.until(settled)
    removal = RemoveIntent(deployment="minilm", declared=declared().targets[0].revision)
    stage.drive.fleet = attrs.evolve(fleet_of(declared()), intents=Intents(remove=(removal,)))
    (one,) = stage.plan().deployments
    assert (Action.DELETE, 2, 0) == (one.action, one.was, one.wanted)


# ---- the explanation ----


def test_why_tells_an_out_of_memory_kill() -> None:
    """The reason, the exit and the count of restarts, also after the server runs again."""
    stage = Stage(fleet_of(declared()))
    replica = stage.until(settled).deployments[0].replicas[0].id
    stage.cluster.crash(replica, out_of_memory=True)
    stage.turn()
    why = stage.why()
    assert ReasonCode.OUT_OF_MEMORY in [cause.code for cause in why.causes]
    assert [(replica, True)] == [(one.replica, one.out_of_memory) for one in why.exits]


def test_why_tells_who_uses_all_that_it_may() -> None:
    """A replica at its CPU limit is made to wait for it; one that has memory to spare is not spoken of."""
    stage = Stage(fleet_of(declared()))
    status = stage.until(settled)
    replica = status.deployments[0].replicas[0]
    limit = replica.requested.cpu
    assert limit is not None
    busy = attrs.evolve(replica, observed=Amounts(cpu=limit, memory=Memory(1), gpu_memory=None))
    spinning = attrs.evolve(status.deployments[0], replicas=(busy, *status.deployments[0].replicas[1:]))

    found = explanation(spinning, *stage.look(), stage.clock.now()).at_limit

    assert [(replica.id, "cpu", str(limit))] == [(one.replica, one.resource, one.limit) for one in found]


def test_why_names_the_smallest_change_that_is_enough() -> None:
    """The change is said, and with it the deployment does fit."""
    stage = Stage(fleet_of(declared(replicas=4), quotas={"search": Quota(cpu=Cpus(1_500))}))
    stage.until(lambda one: one.deployments[0].state is RolloutState.HELD)
    assert "lower replicas by 1" == stage.why().change
    stage.drive.fleet = fleet_of(declared(replicas=4), quotas={"search": Quota(cpu=Cpus(2_000))})
    stage.until(settled)


def test_equal_reasons_are_counted_and_not_repeated() -> None:
    """Two replicas that load are one line with a count."""
    stage = Stage(fleet_of(declared()))
    status = stage.until(lambda one: any(two.life is Life.STARTING for two in one.deployments[0].replicas))
    starting = [cause for cause in status.deployments[0].causes if cause.code is ReasonCode.STARTING]
    assert [(2, 2)] == [(cause.count, cause.total) for cause in starting]


# ---- on the wire ----


def test_reports_survive_the_wire() -> None:
    """What the daemon sends is what the command line reads, at every stage of a rollout."""
    stage = Stage(fleet_of(declared()))
    for turn in range(40):
        if turn == 20:
            stage.drive.fleet = fleet_of(declared(version=2))
        status, plan = stage.turn(), stage.plan()
        assert status == from_wire(to_wire(status), FleetStatus)
        assert plan == from_wire(to_wire(plan), PlanView)


# ---- templates side by side ----


@given(templates())
def test_a_template_does_not_differ_from_itself(template: Template) -> None:
    """No change is told where there is none."""
    assert () == differences(template, template)


@given(templates(), templates())
def test_templates_that_differ_are_told_apart(one: Template, other: Template) -> None:
    """Every pair of different templates has a difference to show, and no field is shown that is the same."""
    found = differences(one, other)
    assert (one == other) == (not found)
    assert all(change.old != change.new for change in found)


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_value_of_a_secret_is_never_told(old: str, new: str) -> None:
    """Only the reference is known here, and it is what is shown."""
    base = Template(model=attrs.evolve(declared().targets[0].template.model))
    found = differences(
        attrs.evolve(base, secrets=(Secret(name="TOKEN", ref="env:A"),), env=(Variable("X", old),)),
        attrs.evolve(base, secrets=(Secret(name="TOKEN", ref="env:B"),), env=(Variable("X", new),)),
    )
    assert ("secrets.TOKEN", "env:A (version 1)", "env:B (version 1)") in [
        (change.field, change.old, change.new) for change in found
    ]


def test_resources_are_told_in_the_spelling_of_the_file() -> None:
    """Never as raw milli-cores or bytes."""
    base = declared().targets[0].template
    more = attrs.evolve(base, resources=Resources(cpu=Cpus(1_500), memory=Memory(3 * GI)))
    assert [("resources.cpu", "500m", "1500m"), ("resources.memory", "1Gi", "3Gi")] == [
        (change.field, change.old, change.new) for change in differences(base, more)
    ]
