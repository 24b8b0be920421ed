"""Replicas behind a gateway: listed when ready, stopped when the gateway was seen to have let go of them."""

from __future__ import annotations

import attrs
import pytest

from roadstead.model import ClusterState, Deployment, RolloutSpec, Strategy
from roadstead.plans import Grow, Plan, Restart, Shrink
from roadstead.reasons import ReasonCode
from roadstead.testing.proxy import Proxy, Traffic
from roadstead.traffic import Endpoint
from roadstead.units import Duration
from tests.decide.scene import NATIVE, TURN_MS, Scene, deployment, fleet, nodes, template

DRAIN = 5
"""How many turns the replicas here have for what is in flight."""

OLD, NEW = template("/m/1", drain=DRAIN * TURN_MS), template("/m/2", drain=DRAIN * TURN_MS)


def anchored(*, source: str = "/m/1", replicas: int = 2, via: str | None = "front", **rollout: object) -> Deployment:
    """Return a deployment behind the gateway ``front``."""
    spec = RolloutSpec(progress_deadline=Duration(60_000), **rollout)  # type: ignore[arg-type]
    of = template(source, drain=DRAIN * TURN_MS)
    return deployment(of=of, replicas=replicas, rollout=spec, via=via)


def served(*deployments: Deployment, cpu: int = 8_000, checked_for: int = 0) -> Scene:
    """Return a scene where these serve through their gateways."""
    first = fleet(*deployments, gateways=("front", "side"))
    scene = Scene(first, {"here": nodes(1, cpu)}, thorough=True, checked_for=checked_for)
    scene.settle()
    assert [] == scene.wrong
    return scene


def front(scene: Scene) -> Proxy:
    """Return the gateway of the deployments here."""
    return scene.proxies["front"]


def of(scene: Scene, source: str) -> list[Endpoint]:
    """Return where the replicas of a model really are."""
    return [
        member.replica.endpoint
        for member in scene.members()
        if member.group.template.model.source == source and member.replica.endpoint is not None
    ]


def used(scene: Scene, gateway: str = "front", name: str = "anchor") -> set[Endpoint]:
    """Return where a gateway really sends requests."""
    passages = scene.proxies[gateway].passages(hidden=True).get(name, {})
    return {endpoint for endpoint, passage in passages.items() if passage.serving}


def keep_busy(scene: Scene, takes: int | None) -> None:
    """Send so many requests that every replica has some."""
    for _ in range(40):
        front(scene).send("anchor", takes)


def stopped(decided: Plan) -> list[str]:
    """Return whom a plan stops."""
    return [name for step in decided.steps if isinstance(step, Shrink) for name in step.retire]


def reasons(decided: Plan) -> set[ReasonCode]:
    """Return why something of the deployment is held."""
    return {held.reason.code for held in decided.held if held.deployment == "anchor"}


# ---- a rollout ----


def test_a_replica_is_listed_once_its_model_is_available() -> None:
    """Nobody is sent to a server that still loads, and it is served as soon as it is ready."""
    scene = Scene(fleet(anchored(), gateways=("front",)), {"here": nodes(1)}, thorough=True)
    ready = 0
    for _ in range(8):
        decided = scene.turn()
        assert ready == len(decided.table.endpoints["anchor"]) == len(used(scene))
        ready = scene.serving().total()
    assert 2 == ready
    assert [] == scene.wrong


def test_a_rollout_grows_lists_waits_for_the_gateway_drains_and_stops() -> None:
    """The old replica leaves the table when the gateway uses the new one, and stops when it was seen idle and out."""
    scene = served(anchored(replicas=1))
    front(scene).faults.late = Duration(TURN_MS)
    (old,) = of(scene, "/m/1")
    front(scene).send("anchor", 10 * TURN_MS // 2)
    scene.declare(anchored(source="/m/2", replicas=1))
    story: list[str] = []
    for _ in range(20):
        decided = scene.turn()
        before = len(story)
        story += [type(step).__name__ for step in decided.steps if isinstance(step, Grow | Shrink)]
        listed = [entry.endpoint for entry in decided.table.endpoints["anchor"]]
        draining = [entry.endpoint for entry in decided.table.draining.get("anchor", ())]
        if len(listed) == 2 and "both listed" not in story:
            story.append("both listed")
        if draining == [old] and "old drains" not in story:
            assert used(scene) >= set(of(scene, "/m/2"))
            story.append("old drains")
        if used(scene) == set(of(scene, "/m/2")) and "new alone" not in story:
            story.append("new alone")
        assert before == len(story) or used(scene)
    assert ["Grow", "both listed", "old drains", "new alone", "Shrink"] == story
    assert {("here", "/m/2"): 1} == scene.serving()
    assert [] == scene.wrong


def test_what_is_idle_is_stopped_without_waiting_for_its_grace() -> None:
    """The gateway shows that nothing is in flight, so that nothing needs to be waited for."""
    scene = served(anchored())
    scene.declare(anchored(replicas=1))
    turns = [stopped(scene.turn()) for _ in range(4)]
    assert [0, 1, 0, 0] == [len(turn) for turn in turns]
    assert [] == scene.wrong


def test_a_request_is_waited_for_until_it_ends() -> None:
    """The replica stands as long as a request is in flight to it, and no longer."""
    scene = served(anchored())
    keep_busy(scene, 3 * TURN_MS)
    scene.declare(anchored(replicas=1))
    turns = [stopped(scene.turn()) for _ in range(6)]
    assert [0, 0, 0, 1, 0, 0] == [len(turn) for turn in turns]
    assert [] == scene.wrong


def test_a_request_that_never_ends_is_cut_off_when_the_grace_is_over_and_that_is_said() -> None:
    """The grace begins when the gateway was seen to have let go, not when it was asked to."""
    scene = served(anchored())
    keep_busy(scene, None)
    front(scene).faults.late = Duration(3 * TURN_MS)
    scene.declare(anchored(replicas=1))
    overdue: dict[int, tuple[str, ...]] = {}
    for turn in range(20):
        for step in scene.turn().steps:
            assert isinstance(step, Shrink)
            assert step.retire == step.overdue
            overdue[turn] = step.overdue
    assert [3 + DRAIN] == list(overdue)
    assert [] == scene.wrong


def test_recreate_drains_all_before_it_stops_any_and_makes_the_new_after_that() -> None:
    """The two revisions are never listed side by side, and no request is lost."""
    scene = served(anchored())
    keep_busy(scene, 3 * TURN_MS)
    scene.declare(anchored(source="/m/2", strategy=Strategy.RECREATE))
    for _ in range(20):
        decided = scene.turn()
        sources = {member.group.template.model.source for member in scene.members()}
        assert {"/m/1", "/m/2"} != sources
        assert not decided.table.endpoints["anchor"] or sources == {"/m/2"}
    assert set(of(scene, "/m/2")) == used(scene)
    assert [] == scene.wrong


def test_scaling_to_zero_drains() -> None:
    """The route stays and has nobody; the replicas are stopped when their requests ended."""
    scene = served(anchored())
    keep_busy(scene, 3 * TURN_MS)
    scene.declare(anchored(replicas=0))
    turns = [stopped(scene.turn()) for _ in range(6)]
    assert [0, 0, 0, 2, 0, 0] == [len(turn) for turn in turns]
    route = front(scene).in_force("anchor")
    assert route is not None
    assert () == route.destinations
    assert [] == scene.wrong


def test_a_deleted_deployment_drains_and_its_route_goes_last() -> None:
    """As long as something of it is left its address answers."""
    scene = served(anchored())
    keep_busy(scene, 3 * TURN_MS)
    scene.withdraw("anchor")
    scene.delete("anchor")
    scene.settle()
    assert () == scene.members()
    assert front(scene).in_force("anchor") is None
    assert [] == scene.wrong


# ---- a gateway that breaks ----


@pytest.mark.parametrize("fault", ["mute", "down", "refuses"])
def test_a_gateway_that_does_not_follow_stops_nothing_and_growth_goes_on(fault: str) -> None:
    """The new replicas are made, the old ones are all kept, and what is held says that the gateway is why."""
    scene = served(anchored(replicas=2))
    if fault == "down":
        front(scene).faults.down = True
        front(scene).die()
    else:
        setattr(front(scene).faults, fault, True)
    scene.declare(anchored(source="/m/2", replicas=2, max_surge=2))
    for _ in range(3 * DRAIN):
        assert [] == stopped(scene.turn())
    assert {("here", "/m/1"): 2, ("here", "/m/2"): 2} == scene.serving()
    decided = scene.turn()
    assert {ReasonCode.GATEWAY} == {held.reason.code for held in decided.held}
    front(scene).faults.clear()
    scene.settle()
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong


@pytest.mark.parametrize("fault", ["mute", "down", "refuses"])
def test_a_scale_down_waits_for_a_gateway_and_says_so(fault: str) -> None:
    """Nothing goes on, nothing is lost, and the deployment itself carries the reason."""
    scene = served(anchored(replicas=2))
    if fault == "down":
        front(scene).faults.down = True
        front(scene).die()
    else:
        setattr(front(scene).faults, fault, True)
    scene.declare(anchored(replicas=1))
    for _ in range(3 * DRAIN):
        assert [] == stopped(scene.turn())
    assert ReasonCode.GATEWAY in reasons(scene.turn())
    front(scene).faults.clear()
    scene.settle()
    assert {("here", "/m/1"): 1} == scene.serving()
    assert [] == scene.wrong


def test_a_gateway_that_falls_silent_between_the_decision_and_the_call_stops_nothing() -> None:
    """It was seen to have let go, and is asked again just before."""
    scene = served(anchored())
    before = {member.replica.id for member in scene.members()}

    def fall_silent() -> None:
        front(scene).faults.mute = True

    scene.declare(anchored(replicas=1))
    scene.turn()
    scene.drive.meanwhile = fall_silent
    assert 1 == len(stopped(scene.turn()))
    assert before == {member.replica.id for member in scene.members()}
    assert [] == scene.wrong


def test_a_gateway_that_never_answered_a_daemon_may_list_all_that_it_could() -> None:
    """A daemon that has just started and cannot ask it stops nothing behind it, and restarts nothing."""
    health = attrs.evolve(OLD.health, start_within=Duration(TURN_MS))
    declared = deployment(of=attrs.evolve(OLD, health=health), replicas=3, via="front")
    scene = served(declared)
    front(scene).faults.mute = True
    scene.start_again()
    scene.hung.add(scene.members()[0].replica.incarnation)
    scene.declare(attrs.evolve(declared, replicas=1))
    for _ in range(3 * DRAIN):
        assert () == scene.turn().steps
    assert [] == scene.wrong


def test_a_dead_gateway_comes_back_with_what_it_had() -> None:
    """Its process reads its tables back: nobody has to have changed anything for requests to flow again."""
    scene = served(anchored())
    before = used(scene)
    front(scene).die()
    assert set() == used(scene)
    scene.turn()
    assert before == used(scene)
    assert [] == scene.wrong


def test_a_daemon_without_memory_does_not_stop_what_an_earlier_one_offered() -> None:
    """What waits to be accepted counts as listed, whoever offered it."""
    scene = served(anchored(replicas=1))
    front(scene).faults.late = Duration(6 * TURN_MS)
    scene.declare(anchored(replicas=2))
    scene.turns(4)
    scene.declare(anchored(replicas=1))
    scene.start_again(forget=True)
    scene.settle()
    assert {("here", "/m/1"): 1} == scene.serving()
    assert [] == scene.wrong


# ---- who counts ----


def test_a_replica_that_the_gateway_sees_unhealthy_does_not_count_for_the_floor() -> None:
    """With one of two shunned the other one stays, however many new ones are ready and not yet listed."""
    scene = served(anchored(replicas=2))
    shunned, kept = of(scene, "/m/1")
    front(scene).faults.unhealthy.add(shunned)
    scene.declare(anchored(replicas=1))
    scene.settle()
    assert [kept] == of(scene, "/m/1")
    assert [] == scene.wrong


def test_new_replicas_that_the_gateway_sees_unhealthy_replace_nobody() -> None:
    """They are ready by their own word, and as no request gets to them the old ones stay."""
    scene = served(anchored(replicas=2))
    scene.declare(anchored(source="/m/2"))
    old = set(of(scene, "/m/1"))
    for _ in range(20):
        front(scene).faults.unhealthy.update(of(scene, "/m/2"))
        assert [] == stopped(scene.turn())
        assert old == used(scene)
    assert ReasonCode.GATEWAY in reasons(scene.turn())
    assert [] == scene.wrong


def test_what_was_taken_out_is_put_back_when_its_replacement_is_seen_unhealthy() -> None:
    """It still has requests in flight and is ready, and so it serves again instead of being stopped."""
    scene = served(anchored(replicas=1))
    (old,) = of(scene, "/m/1")
    front(scene).send("anchor", 3 * TURN_MS * DRAIN)
    scene.declare(anchored(source="/m/2", replicas=1))
    for _ in range(10):
        decided = scene.turn()
        if decided.table.draining:
            break
    (new,) = of(scene, "/m/2")
    assert {new} == used(scene)
    front(scene).faults.unhealthy.add(new)
    scene.turns(2 * DRAIN)
    assert {old} == used(scene)
    assert [] == scene.wrong


def test_shunned_replicas_are_not_taken_out_and_put_back_for_ever() -> None:
    """As long as the gateway sees one of them unhealthy, the table comes to rest."""
    scene = served(anchored(replicas=2))
    front(scene).faults.unhealthy.update(of(scene, "/m/1"))
    scene.declare(anchored(source="/m/2"))
    scene.settle()
    assert [] == scene.wrong


def test_a_ready_replica_that_was_never_listed_is_retired_the_same_way_with_the_memory_just_returned() -> None:
    """Going back at once, before the gateway has the new one: planning it twice gives the same."""
    scene = served(anchored(replicas=1))
    front(scene).faults.late = Duration(20 * TURN_MS)
    scene.declare(anchored(source="/m/2", replicas=1))
    scene.turns(3)
    scene.declare(anchored(replicas=1))
    front(scene).faults.clear()
    scene.settle()
    assert {("here", "/m/1"): 1} == scene.serving()
    assert [] == scene.wrong


# ---- a server that hangs ----


def test_a_hung_replica_is_restarted_only_when_it_is_out_and_its_grace_is_over() -> None:
    """It may still work on what is in flight, so that it has as long as any other that is stopped."""
    health = attrs.evolve(OLD.health, start_within=Duration(TURN_MS))
    scene = served(deployment(of=attrs.evolve(OLD, health=health), via="front"))
    keep_busy(scene, None)
    front(scene).faults.late = Duration(3 * TURN_MS)
    member = scene.members()[0]
    scene.hung.add(member.replica.incarnation)
    restarted = [turn for turn in range(20) if any(isinstance(step, Restart) for step in scene.turn().steps)]
    assert [3 + DRAIN] == restarted
    assert 2 == len(used(scene))
    assert [] == scene.wrong


def test_a_hung_replica_is_not_restarted_where_the_gateway_falls_silent_at_the_last_moment() -> None:
    """Nobody can say then that it is still out."""
    health = attrs.evolve(OLD.health, start_within=Duration(TURN_MS))
    scene = served(deployment(of=attrs.evolve(OLD, health=health), via="front"))
    hung = scene.members()[0].replica.incarnation
    scene.hung.add(hung)
    while not (decided := scene.turn()).steps:
        scene.drive.meanwhile = lambda: setattr(front(scene).faults, "mute", True)
        front(scene).faults.mute = False
    assert [Restart] == [type(step) for step in decided.steps]
    scene.turns(2)
    assert hung in {member.replica.incarnation for member in scene.members()}
    assert [] == scene.wrong


def test_a_hung_replica_that_answers_again_is_not_restarted() -> None:
    """Also when it does so at the very last moment, between the decision and the call."""
    scene = served(anchored())
    hung = scene.members()[0].replica.incarnation
    scene.hung.add(hung)
    scene.drive.meanwhile = scene.hung.clear
    decided = None
    for _ in range(40):
        scene.hung.add(hung)
        decided = scene.turn()
        if decided.steps:
            break
    assert decided is not None
    assert [Restart] == [type(step) for step in decided.steps]
    scene.settle()
    assert hung in {member.replica.incarnation for member in scene.members()}
    assert [] == scene.wrong


# ---- other ways in ----


def test_a_deployment_that_goes_to_another_gateway_loses_no_request() -> None:
    """The one that it leaves may still have requests in flight, and what they go to is not stopped before they end."""
    scene = served(anchored())
    keep_busy(scene, DRAIN * TURN_MS)
    scene.declare(anchored(via="side", replicas=1))
    scene.settle()
    assert 1 == len(used(scene, "side"))
    assert set() == used(scene, "front")
    assert [] == scene.wrong


def test_a_deployment_that_gives_up_its_gateway_loses_no_request() -> None:
    """Without one its endpoints are the table, and all of the grace is waited."""
    scene = served(anchored())
    keep_busy(scene, DRAIN * TURN_MS)
    scene.declare(anchored(via=None, replicas=1))
    scene.settle()
    assert 1 == len(scene.members())
    assert set() == used(scene, "front")
    assert [] == scene.wrong


def test_a_deployment_without_gateway_gets_one() -> None:
    """Its replicas stay as they are, and are listed there."""
    scene = served(anchored(via=None))
    before = {member.replica.incarnation for member in scene.members()}
    scene.declare(anchored())
    scene.settle()
    assert before == {member.replica.incarnation for member in scene.members()}
    assert set(of(scene, "/m/1")) == used(scene)
    assert [] == scene.wrong


def test_what_nobody_declares_any_more_keeps_its_route() -> None:
    """Nothing is stopped or unlisted; what stops being ready drains, and is listed again when it is ready."""
    scene = served(anchored())
    scene.withdraw("anchor")
    scene.turns(3)
    assert set(of(scene, "/m/1")) == used(scene)
    keep_busy(scene, None)
    crashed = scene.members()[0].replica
    scene.hung.add(crashed.incarnation)
    decided = scene.turn()
    assert [crashed.endpoint] == [entry.endpoint for entry in decided.table.draining["anchor"]]
    scene.hung.clear()
    scene.turns(3)
    assert set(of(scene, "/m/1")) == used(scene)
    assert [] == scene.wrong


def test_a_cluster_that_a_new_daemon_cannot_see_keeps_its_endpoints() -> None:
    """What the gateway has and nobody knows may be there, and stays listed."""
    first = fleet(
        deployment(on=("here", "there"), replicas=2, via="front"), clusters=("here", "there"), gateways=("front",)
    )
    scene = Scene(first, {"here": nodes(1, 1_000), "there": nodes(1)}, thorough=True)
    scene.settle()
    before = used(scene)
    assert 2 == len(before)
    scene.clusters["there"].faults.partitioned = True
    scene.start_again()
    scene.turns(5)
    assert before == used(scene)
    assert [] == scene.wrong


def test_replicas_are_given_up_one_by_one_where_the_cluster_picks_them() -> None:
    """A cluster that does not let us choose is asked for less only when whoever it picks has one to stand in."""
    first = fleet(anchored(replicas=3), gateways=("front",))
    able = attrs.evolve(NATIVE, exact_retire=False)
    scene = Scene(first, {"here": nodes(1, 8_000)}, {"here": able}, thorough=True)
    scene.settle()
    scene.declare(anchored(replicas=2))
    scene.settle()
    assert 2 == len(used(scene))
    assert [] == scene.wrong


@pytest.mark.parametrize("disabled_for", [1, 3])
def test_what_is_still_to_be_answered_on_a_cluster_that_was_disabled_is_known_when_it_comes_back(
    disabled_for: int,
) -> None:
    """Nobody looks at it meanwhile; its endpoints drain in the gateway, so that nothing is cut off after that."""
    declared = deployment(on=("here", "there"), replicas=2, of=template(cpu=500), via="front", rollout=QUICK)
    busy = Traffic(most=1, service=(500, 3_000, 9_000))
    scene = Scene(
        fleet(declared, clusters=("here", "there"), gateways=("front",)),
        {"here": nodes(1), "there": nodes(2)},
        {"there": NATIVE},
        traffic=busy,
    )
    scene.turns(12)
    put(scene, ClusterState.DISABLED)
    scene.turns(disabled_for)
    put(scene, ClusterState.DRAINING)
    scene.turns(25)
    assert [] == scene.wrong


QUICK = RolloutSpec(max_surge=2, max_unavailable=2)


def put(scene: Scene, state: ClusterState) -> None:
    """Declare that the first cluster is in this state."""
    clusters = scene.fleet.clusters
    scene.drive.fleet = attrs.evolve(
        scene.fleet, clusters={**clusters, "here": attrs.evolve(clusters["here"], state=state)}
    )
