"""The data path in reports: addresses, what gateways show of replicas, load, and what is wrong with any of it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest

from roadstead.decide.report import (
    Action,
    AddressChange,
    AddressStatus,
    ConditionName,
    DeploymentStatus,
    FleetStatus,
    Life,
    PlanView,
    ReplicaStatus,
    RolloutState,
    StepKind,
    Verdict,
    Way,
    explanation,
    verdict,
)
from roadstead.model import Tls
from roadstead.reasons import ReasonCode
from roadstead.traffic import Latency
from roadstead.units import Duration
from roadstead.wire import from_wire, to_wire
from roadstead_backends.simulated.faults import ModelFault
from tests.cli.stage import EDGE, LATENCY, Stage, behind, declared, fleet_of, reloading

HOUR = 3_600_000


def settled(status: FleetStatus) -> bool:
    """Whether everything in the fleet is as asked."""
    return all(one.state is RolloutState.SETTLED for one in status.deployments)


def routed(replicas: int = 2) -> Stage:
    """One deployment behind a gateway, settled."""
    stage = Stage(behind(declared(replicas=replicas)))
    stage.until(settled)
    return stage


def lives(deployment: DeploymentStatus) -> Mapping[str, Life]:
    """Return where each replica is in its life."""
    return {one.id: one.life for one in deployment.replicas}


# ---- addresses ----


def test_a_deployment_with_a_gateway_has_the_one_address_that_clients_use() -> None:
    """It is served as soon as the gateway shows it, and the gateway tells for whom it works."""
    stage = routed()
    status = stage.status()
    (deployment,) = status.deployments
    assert (
        AddressStatus(gateway="edge", host="127.0.0.1", port=18000, tls=False, served=True, problem="")
        == deployment.address
    )
    (gateway,) = status.gateways
    assert ("edge", "envoy", "127.0.0.1", False) == (gateway.name, gateway.kind, gateway.host, gateway.tls)
    assert (None, True, "", ("minilm",)) == (
        gateway.unseen_since,
        gateway.settled,
        gateway.problem,
        gateway.deployments,
    )


def test_without_a_gateway_there_is_no_address_and_nothing_is_known_of_the_load() -> None:
    """Null is not 0: nobody counts requests that clients send to replicas themselves."""
    stage = Stage(fleet_of(declared()))
    (deployment,) = stage.until(settled).deployments
    assert deployment.address is None
    unknown = {"rate": None, "error_rate": None, "in_flight": None, "latency": None}
    loads = [deployment.load, *(one.load for one in deployment.replicas)]
    assert [unknown] * 3 == [to_wire(load) for load in loads]
    assert [None, None] == [one.way for one in deployment.replicas]


def test_an_address_tells_whether_clients_speak_tls_and_how_it_is_written() -> None:
    """An IPv6 address stands in brackets before its port."""
    spec = attrs.evolve(EDGE, address="::1", tls=Tls(certificate="/c.pem", key="/k.pem"))
    address = Stage(behind(declared(), spec=spec)).deployment().address
    assert address is not None
    assert ("[::1]:18000", "https://[::1]:18000", False) == (address.authority, address.url, address.served)


def test_what_vanished_from_the_file_keeps_its_address() -> None:
    """Its clients go on, and the status says where."""
    stage = routed()
    stage.drive.fleet = attrs.evolve(stage.drive.fleet, deployments={})
    (orphan,) = stage.turn().orphans
    assert orphan.address is not None
    assert "127.0.0.1:18000" == orphan.address.authority


# ---- the life of a replica ----


def test_a_replica_is_listed_when_the_gateway_sends_it_requests_and_not_before() -> None:
    """Until then it is ready, and the deployment on its way."""
    stage = Stage(behind(declared(replicas=1)))
    stage.proxy.faults.late = Duration(5_000)
    status = stage.until(lambda one: Life.READY in lives(one.deployments[0]).values())
    (deployment,) = status.deployments
    assert (1, 0, 0) == (deployment.ready, deployment.listed, deployment.serving)
    assert RolloutState.PROGRESSING is deployment.state
    (offered,) = stage.until(lambda one: one.deployments[0].replicas[0].way is Way.OFFERED).deployments[0].replicas
    assert Life.READY is offered.life
    (deployment,) = stage.until(settled).deployments
    assert [(Life.LISTED, Way.LISTED)] == [(one.life, one.way) for one in deployment.replicas]


def test_a_replica_that_is_out_drains_as_long_as_requests_are_in_flight() -> None:
    """With how many, and how much of its grace is left, which does not grow; then it is drained and stops."""
    stage = routed()
    for _ in range(20):
        stage.proxy.send("minilm", 1_500)
    stage.drive.fleet = behind(declared(replicas=1))
    seen: dict[Life, ReplicaStatus] = {}
    while len(stage.deployment().replicas) == 2:
        for one in stage.turn().deployments[0].replicas:
            if one.life is not Life.LISTED:
                seen.setdefault(one.life, one)
    assert Life.DRAINING is next(iter(seen))
    draining = seen[Life.DRAINING]
    assert (Way.DRAINING, Duration(2_000)) == (draining.way, draining.grace_left)
    assert draining.load.in_flight
    assert Life.STOPPING in seen


def test_one_whose_grace_is_over_is_drained_whatever_is_in_flight() -> None:
    """And what is stopped with requests in flight is told by the step that does it."""
    stage = routed(replicas=1)
    stage.proxy.send("minilm", None)
    stage.drive.fleet = behind(declared(replicas=0))
    stage.until(lambda one: Life.DRAINED in lives(one.deployments[0]).values())
    (deployment,) = stage.plan().deployments
    (shrink,) = [step for step in deployment.steps if step.kind is StepKind.SHRINK]
    assert shrink.because.endswith("is over, with requests in flight")


def test_a_replica_that_the_gateway_sees_unhealthy_is_ready_and_does_not_serve() -> None:
    """A proven deployment is then held, with how many and what to look at; the replica says so too."""
    stage = routed()
    stage.until(lambda status: status.deployments[0].groups[0].proven)
    first = stage.look()[0].shards["minilm"].members[0].replica
    assert first.endpoint is not None
    stage.proxy.faults.unhealthy = {first.endpoint}
    (deployment,) = stage.turn().deployments
    assert (2, 1, 1, RolloutState.HELD) == (
        deployment.ready,
        deployment.listed,
        deployment.serving,
        deployment.state,
    )
    (shunned,) = [one for one in deployment.replicas if one.way is Way.UNHEALTHY]
    assert (first.id, Life.READY) == (shunned.id, shunned.life)
    assert shunned.reason is not None
    assert ReasonCode.GATEWAY is shunned.reason.code
    assert [(ReasonCode.GATEWAY, 1, 2)] == [(one.code, one.count, one.total) for one in deployment.causes]


# ---- gateways that do not do as they should ----


def test_a_silent_gateway_leaves_what_was_last_seen_and_what_is_unknown_unknown() -> None:
    """Replicas keep their life; load, and how many serve, are null, and nothing is called fine."""
    stage = routed()
    stage.proxy.faults.mute = True
    status = stage.turn()
    (deployment,), (gateway,) = status.deployments, status.gateways
    assert [(Life.LISTED, Way.UNKNOWN)] * 2 == [(one.life, one.way) for one in deployment.replicas]
    assert (None, None, RolloutState.HELD) == (deployment.serving, deployment.load.rate, deployment.state)
    assert gateway.unseen_since is not None
    assert None is gateway.settled
    conditions = {one.name: one.holds for one in deployment.conditions}
    assert (False, True) == (conditions[ConditionName.ROUTED], conditions[ConditionName.DEGRADED])
    assert [ReasonCode.GATEWAY] == [one.code for one in deployment.causes]
    assert ["gateway edge does not answer"] == [one.detail for one in status.notices]


def test_a_port_that_somebody_else_has_is_the_address_problem() -> None:
    """In the gateway's own words; other deployments of the same gateway are as they were."""
    stage = Stage(behind(declared(), declared("translate", replicas=1)))
    stage.until(settled)
    stage.proxy.faults.problems["minilm"] = "address already in use"
    first, second = stage.turn().deployments
    assert first.address is not None
    assert (False, "address already in use") == (first.address.served, first.address.problem)
    assert (RolloutState.HELD, RolloutState.SETTLED) == (first.state, second.state)
    assert any("gateway.port" in one.change for one in first.causes)


def test_a_table_that_is_refused_is_the_gateways_problem_and_stops_nothing() -> None:
    """What it accepted before stays in force: the address serves on, and what is held says why."""
    stage = routed()
    stage.proxy.faults.refuses = True
    stage.drive.fleet = behind(declared(version=2))
    for _ in range(10):
        stage.turn()
    status = stage.status()
    (deployment,), (gateway,) = status.deployments, status.gateways
    assert deployment.address is not None
    assert (True, False, 2) == (deployment.address.served, gateway.settled, deployment.listed)
    assert "refuses" in gateway.problem
    assert "" == deployment.address.problem
    assert ReasonCode.GATEWAY in [one.code for one in deployment.causes]


def test_nothing_is_said_of_a_gateway_that_has_nothing_to_serve_yet() -> None:
    """Before the first apply it does not run: that is no news, and no reason."""
    stage = Stage(behind(declared()))
    status, plan = stage.status(), stage.plan()
    assert ((), ()) == (status.notices, plan.notices)
    assert ((), ()) == (status.deployments[0].causes, plan.deployments[0].held)


def test_a_gateway_that_vanished_from_the_file_changes_nothing_until_that_is_confirmed() -> None:
    """It is told with what it serves; no address changes, and nothing is planned."""
    stage = routed()
    gone = attrs.evolve(stage.drive.fleet.deployments["minilm"], via=None)
    stage.drive.fleet = attrs.evolve(stage.drive.fleet, deployments={"minilm": gone}, vanished=frozenset({"edge"}))
    status, plan = stage.turn(), stage.plan()
    assert [(True, ("minilm",))] == [(one.vanished, one.deployments) for one in status.gateways]
    assert ("edge",) == plan.vanished
    assert plan.empty
    assert settled(status)


# ---- the verdict ----


def test_an_address_that_is_not_served_is_no_end_to_be_glad_of() -> None:
    """All replicas are ready, and clients cannot reach them."""
    stage = routed()
    stage.proxy.faults.problems["minilm"] = "address already in use"
    assert Verdict.NOT_REACHED is verdict(stage.turn(), ("minilm",))


def test_a_silent_gateway_is_waited_for_half_a_minute() -> None:
    """It is started again by itself; after that nobody believes so any more."""
    stage = routed()
    stage.proxy.faults.mute = True
    silent = stage.turn()
    assert Verdict.ON_ITS_WAY is verdict(silent, ("minilm",))
    assert Verdict.NOT_REACHED is verdict(attrs.evolve(silent, at=silent.at + 30_000), ("minilm",))
    stage.proxy.faults.clear()
    assert Verdict.DONE is verdict(stage.until(settled), ("minilm",))


# ---- load ----


def test_load_is_what_the_gateway_measures_of_the_whole_and_of_each_replica() -> None:
    """Rates and latency of the last interval, and how many are in flight."""
    stage = routed()
    stage.proxy.send("minilm", HOUR)
    (deployment,) = stage.status().deployments
    load = deployment.load
    assert (121.0, 1.2, 1, LATENCY) == (load.rate, load.error_rate, load.in_flight, load.latency)
    assert [0, 1] == sorted(one.load.in_flight or 0 for one in deployment.replicas)
    assert [60.5, 60.5] == [one.load.rate for one in deployment.replicas]


@pytest.mark.parametrize("latency", [LATENCY, None])
def test_load_survives_the_wire(latency: Latency | None) -> None:
    """Numbers as they are, and null for what is not known."""
    (deployment,) = routed().status().deployments
    made = attrs.evolve(deployment, load=attrs.evolve(deployment.load, latency=latency, error_rate=None))
    assert made == from_wire(to_wire(made), DeploymentStatus)


# ---- the plan ----


def test_a_plan_tells_the_address_that_a_new_deployment_will_have() -> None:
    """Before anything exists; once it is served it is no change any more."""
    stage = Stage(behind(declared(), declared("translate", replicas=1), port=18042))
    told = [one.address for one in stage.plan().deployments]
    assert [
        AddressChange(gateway="edge", old=None, new="127.0.0.1:18042"),
        AddressChange(gateway="edge", old=None, new="127.0.0.1:18000"),
    ] == told
    stage.until(settled)
    assert stage.plan().empty


def test_a_plan_tells_that_an_address_changes_or_goes() -> None:
    """Clients of the old one are cut off: that is worth reading before the yes."""
    stage = routed()
    stage.drive.fleet = behind(declared(), port=18007)
    (moved,) = stage.plan().deployments
    assert Action.ROUTE is moved.action
    assert AddressChange(gateway="edge", old="127.0.0.1:18000", new="127.0.0.1:18007") == moved.address
    stage.drive.fleet = attrs.evolve(fleet_of(declared()), gateways={"edge": EDGE})
    (gone,) = stage.plan().deployments
    assert AddressChange(gateway="edge", old="127.0.0.1:18000", new=None) == gone.address


def test_a_plan_without_a_port_yet_tells_the_range() -> None:
    """Whoever plans without a state directory has given no ports."""
    fleet = attrs.evolve(behind(declared()), addresses={})
    (one,) = Stage(fleet).plan().deployments
    assert one.address is not None
    assert "127.0.0.1, a port of 18000-18099" == one.address.new


def test_what_a_gateway_is_told_stands_between_growing_and_shrinking() -> None:
    """With how many replicas get requests before and after, by name."""
    stage = routed()
    stage.drive.fleet = behind(declared(version=2))
    seen: list[tuple[StepKind, ...]] = []
    told: list[str] = []
    while not settled(stage.turn()):
        for one in stage.plan().deployments:
            seen.append(tuple(step.kind for step in one.steps))
            told += [step.because for step in one.steps if step.kind is StepKind.ROUTE]
    order = {StepKind.GROW: 0, StepKind.BIND: 0, StepKind.ROUTE: 1}
    assert all(sorted(kinds, key=lambda kind: order.get(kind, 2)) == list(kinds) for kinds in seen)
    assert any("begins with here.minilm-" in text for text in told)
    assert any("nothing new to here.minilm-" in text for text in told)


# ---- versions that are loaded in place ----


def test_a_version_that_is_loaded_in_place_is_on_its_way_until_every_replica_has_it() -> None:
    """Nothing leaves or starts, and still it is not settled; the plan calls it a reload that replaces nothing."""
    stage = Stage(fleet_of(reloading(1)))
    stage.drive.usage = stage.cluster.usage
    stage.until(settled)
    stage.drive.fleet = fleet_of(reloading(2))
    (planned,) = stage.plan().deployments
    assert (Action.RELOAD, 2) == (planned.action, planned.version)
    assert [("model.version", "1", "2", False)] == [attrs.astuple(change) for change in planned.changes]
    assert RolloutState.PROGRESSING is stage.deployment().state
    versions = set()
    while not settled(status := stage.turn()):
        versions |= {one.versions for one in status.deployments[0].replicas}
        assert 2 == status.deployments[0].listed
    assert (1,) in versions
    assert [(2,), (2,)] == [one.versions for one in stage.deployment().replicas]
    assert stage.plan().empty


def test_a_version_that_cannot_be_loaded_is_rolled_back_with_its_cause() -> None:
    """What was served before serves, and that is not what was asked for."""
    stage = Stage(fleet_of(reloading(1)))
    stage.drive.usage = stage.cluster.usage
    stage.until(settled)
    stage.cluster.faults.models["/models/minilm/2"] = ModelFault.FAILS
    stage.drive.fleet = fleet_of(reloading(2))
    status = stage.until(lambda one: one.deployments[0].state is RolloutState.ROLLED_BACK)
    (deployment,) = status.deployments
    assert 2 == deployment.listed
    assert Verdict.ROLLED_BACK is verdict(status, ("minilm",))
    assert [False] == [one.holds for one in deployment.conditions if one.name is ConditionName.READY]
    for _ in range(30):
        stage.turn()
    assert RolloutState.ROLLED_BACK is stage.deployment().state
    (planned,) = stage.plan().deployments
    assert Action.HELD is planned.action
    assert ReasonCode.ROLLOUT_FAILED in [one.code for one in planned.held]


# ---- the explanation ----


def test_why_tells_where_requests_go() -> None:
    """The address, and of every replica how its gateway treats it."""
    stage = routed()
    stage.proxy.send("minilm", HOUR)
    why = stage.why()
    assert why.address == stage.deployment().address
    assert [(Way.LISTED, Duration(2_000), None)] * 2 == [(one.way, one.grace, one.grace_left) for one in why.passing]
    assert [0, 1] == sorted(one.load.in_flight or 0 for one in why.passing)
    assert why == from_wire(to_wire(why), type(why))


def test_why_tells_what_is_held_because_of_the_gateway_and_what_helps() -> None:
    """Nothing that may get requests is stopped, and the change names the next step."""
    stage = routed()
    stage.proxy.faults.mute = True
    why = stage.why()
    assert [ReasonCode.GATEWAY] == [one.code for one in why.causes]
    assert "it says why" in why.change
    assert why.summary.startswith("held: ? of 2 serving")


def test_reports_of_a_gateway_survive_the_wire() -> None:
    """At every stage of a rollout behind one, with and without its word."""
    stage = routed()
    stage.drive.fleet = behind(declared(version=2))
    for turn in range(30):
        stage.proxy.faults.mute = turn % 7 == 6
        status, plan = stage.turn(), stage.plan()
        assert status == from_wire(to_wire(status), FleetStatus)
        assert plan == from_wire(to_wire(plan), PlanView)
        for one in status.deployments:
            explanation(one, *stage.look(), stage.clock.now())
            assert one.listed == sum(replica.life is Life.LISTED for replica in one.replicas)
            assert not (one.state is RolloutState.HELD and not one.causes)
