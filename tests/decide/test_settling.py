"""What stands on a cluster for a deployment as a whole follows what it was asked for, and never blocks a drain."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from roadstead.decide.merging import in_question
from roadstead.decide.report import StepKind, plan_view
from roadstead.decide.settling import _sure
from roadstead.memory import GroupMemory
from roadstead.model import Quota, RolloutSpec, Strategy
from roadstead.plans import Grow, Settle, Shrink
from roadstead.reasons import ReasonCode
from roadstead.units import Cpus, Duration
from roadstead_backends.simulated.faults import CallFault, ModelFault
from roadstead_backends.simulated.tempers import KUBERNETES
from tests.decide.scene import DIRECTED, Scene, deployment, fleet, nodes, template, with_source


def rollout(*, max_unavailable: int = 0, strategy: Strategy = Strategy.AUTO) -> RolloutSpec:
    """Return how many may be missing."""
    return RolloutSpec(strategy=strategy, max_unavailable=max_unavailable, progress_deadline=Duration(60_000))


def scene_of(replicas: int = 3, spec: RolloutSpec | None = None, quota: Quota | None = None) -> Scene:
    """Return a scene of one deployment on a cluster like Kubernetes, with nothing done yet."""
    declared = deployment(replicas=replicas, elsewhere=("there",), rollout=spec if spec is not None else rollout())
    return Scene(
        fleet(declared, clusters=("here", "there"), search=quota or Quota()),
        {"here": nodes(2, 8_000), "there": nodes(2, 8_000)},
        {"here": KUBERNETES.able, "there": KUBERNETES.able},
        thorough=True,
    )


def settled(replicas: int = 3, spec: RolloutSpec | None = None) -> Scene:
    """Return the same at rest."""
    scene = scene_of(replicas, spec)
    scene.settle()
    return scene


def standing(scene: Scene, cluster: str = "here") -> Mapping[str, int]:
    """Return what really stands."""
    return scene.clusters[cluster].truth().settled


@pytest.mark.parametrize(
    ("replicas", "max_unavailable", "floor"),
    [(3, 0, 2), (3, 1, 2), (3, 2, 1), (2, 0, 1), (1, 0, 0), (0, 0, 0), (2, 2, 0)],
)
def test_at_rest_all_but_one_or_but_those_that_may_be_missing_stay(
    replicas: int, max_unavailable: int, floor: int
) -> None:
    """With one replica or none anybody may be disturbed: there is no such rule that a drain would wait for."""
    scene = settled(replicas, rollout(max_unavailable=max_unavailable))
    assert ({"anchor": floor} if replicas else {}) == dict(standing(scene))
    assert [] == scene.wrong


def test_it_stands_before_the_first_replica_is_asked_for_and_rises_after() -> None:
    """The first step of all: whoever connects finds an address; the floor follows when all were asked for."""
    scene = scene_of()
    first, second = scene.turn().steps[:2]
    assert isinstance(first, Settle)
    assert isinstance(second, Grow)
    assert (None, 0) == (first.was, first.floor)
    scene.settle()
    assert {"anchor": 2} == standing(scene)
    assert [] == scene.wrong


def test_it_is_lowered_before_fewer_are_asked_for() -> None:
    """In one plan it comes first; nobody finds a moment in which no replica may be disturbed."""
    scene = settled(4)
    scene.scale("anchor", 2)
    lowered = shrunk = None
    for turn in range(20):
        for step in scene.turn().steps:
            if isinstance(step, Settle) and lowered is None:
                lowered = turn, step.floor
            if isinstance(step, Shrink) and shrunk is None:
                shrunk = turn
    assert (0, 1) == lowered
    assert shrunk is not None
    assert shrunk > 0
    assert [] == scene.wrong


def of_fewer(scene: Scene, refusals: int) -> list[tuple[int, int]]:
    """Return how many were asked for after each turn, and what stood, with lowering that refused so often."""
    scene.declare(deployment(of=template(drain=0), replicas=4, rollout=rollout()))
    scene.settle()
    scene.clusters["here"].faults.calls.extend([CallFault.FORBIDDEN] * refusals)
    scene.scale("anchor", 2)
    found = []
    for _ in range(40):
        scene.turn()
        groups = scene.clusters["here"].truth().groups
        found.append((sum(group.target for group in groups), standing(scene)["anchor"]))
    return found


@pytest.mark.parametrize("refusals", [1, 2])
def test_no_fewer_are_asked_for_before_it_could_be_lowered(refusals: int) -> None:
    """A refusal or two are no reason to leave an administrator with replicas of which none may be disturbed."""
    scene = scene_of(4)

    found = of_fewer(scene, refusals)

    assert (2, 1) == found[-1]
    assert [] == [one for one in found if one[0] <= one[1]]
    assert [] == scene.wrong


def test_what_a_cluster_refuses_again_and_again_holds_nothing_up() -> None:
    """In the end a deployment is as large as it should be, whether the cluster lets us say who stays or not."""
    scene = scene_of(4)

    found = of_fewer(scene, 3)

    assert (2, 3) in found
    assert (2, 1) == found[-1]
    assert [] == scene.wrong


def test_what_a_cluster_refuses_holds_nothing_else_up() -> None:
    """A daemon that may not write such rules still runs models; what was refused is said."""
    scene = scene_of()
    scene.clusters["here"].faults.calls.extend([CallFault.FORBIDDEN])
    scene.turn()
    decided = scene.turn()
    assert ReasonCode.REFUSED in {held.reason.code for held in decided.held}
    assert 3 == len(scene.members())
    scene.settle()
    assert [] == scene.wrong


def test_it_goes_after_the_last_group_is_gone() -> None:
    """While any replica ends it stands; then nothing of ours is left."""
    scene = settled()
    scene.delete("anchor")
    for _ in range(30):
        scene.turn()
        assert bool(scene.members()) <= ("anchor" in standing(scene))
    assert {} == standing(scene)
    scene.settle()
    assert [] == scene.wrong


def test_what_is_left_of_a_deployment_that_nobody_knows_is_removed() -> None:
    """As when a daemon was killed between the last group and this."""
    scene = settled()
    scene.clusters["here"].unsettle("buoy", 2)
    scene.settle()
    assert {"anchor": 2} == standing(scene)
    assert [] == scene.wrong


@pytest.mark.parametrize("theirs", [None, 0, 3])
def test_what_somebody_else_changed_is_put_back(theirs: int | None) -> None:
    """Also for a deployment that is otherwise as it should be, and by one step."""
    scene = settled()
    scene.clusters["here"].unsettle("anchor", theirs)
    (step,) = scene.turn().steps
    assert isinstance(step, Settle)
    assert (theirs, 2) == (step.was, step.floor)
    scene.settle()
    assert [] == scene.wrong


def test_a_replica_that_is_lost_does_not_lower_it() -> None:
    """What nobody may disturb is what was asked for: or nodes taken away one by one would take all."""
    scene = settled()
    scene.clusters["here"].lose(scene.members()[0].replica.id)
    floors = set()
    for _ in range(20):
        scene.turn()
        floors.add(standing(scene)["anchor"])
    assert {2} == floors
    assert [] == scene.wrong


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_an_administrator_can_disturb_every_replica_one_after_the_other(replicas: int) -> None:
    """Each is allowed once those before it were made anew, and where there are more than one all but one serve."""
    scene = settled(replicas)
    before, fewest = {member.replica.id for member in scene.members()}, replicas
    for replica in sorted(before):
        for _ in range(40):
            if scene.clusters["here"].disturb(replica):
                break
            scene.turn()
            fewest = min(fewest, scene.serving().total())
        else:
            scene.wrong.append(f"{replica} cannot be disturbed")
    scene.settle()
    assert set() == before & {member.replica.id for member in scene.members()}
    assert replicas == 1 or fewest >= replicas - 1
    assert [] == scene.wrong


def test_while_revisions_change_the_floor_stays() -> None:
    """No write for each replica that moves over; the new ones count once they serve."""
    scene = settled()
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    steps = [step for _ in range(80) for step in scene.turn().steps if isinstance(step, Settle)]
    assert [] == steps
    assert {("here", "/m/2"): 3} == scene.serving()
    scene.settle()
    assert [] == scene.wrong


def test_a_new_revision_that_does_not_serve_leaves_the_floor_to_the_old() -> None:
    """All but one of the old are kept from being disturbed, as if there were no new one."""
    scene = settled()
    scene.clusters["here"].afflict("/m/2", ModelFault.FAILS)
    scene.declare(with_source(scene.fleet.deployments["anchor"], "/m/2"))
    for _ in range(40):
        scene.turn()
        assert {"anchor": 2} == standing(scene)
    assert [] == scene.wrong


def test_when_a_deployment_moves_each_cluster_has_what_it_can_be_counted_on() -> None:
    """It begins there with nothing, goes here with the last, and never are fewer protected than there were."""
    scene = settled()
    scene.migrate("anchor", "there")
    least = 2
    for _ in range(120):
        scene.turn()
        least = min(least, standing(scene).get("anchor", 0) + standing(scene, "there").get("anchor", 0))
    assert {("there", "/m/1"): 3} == scene.serving()
    assert (0, 2) == (standing(scene).get("anchor", 0), standing(scene, "there")["anchor"])
    assert least >= 1
    scene.settle()
    assert [] == scene.wrong


def test_where_all_may_be_missing_anybody_may_be_disturbed() -> None:
    """To recreate is to have none for a while."""
    scene = settled(3, rollout(strategy=Strategy.RECREATE))
    assert {"anchor": 0} == standing(scene)
    assert [] == scene.wrong


def test_a_cluster_without_such_things_is_never_asked() -> None:
    """Not even where another one has them."""
    scene = Scene(
        fleet(deployment(on={"here": 1, "there": 1}, replicas=4), clusters=("here", "there")),
        {"here": nodes(2), "there": nodes(2)},
        {"here": DIRECTED, "there": KUBERNETES.able},
        thorough=True,
    )
    scene.settle()
    assert {"settle"} == {call.name for call in scene.clusters["there"].calls if call.subject == "anchor"}
    assert [] == [call for call in scene.clusters["here"].calls if call.name == "settle"]
    assert ({}, {"anchor": 1}) == (dict(standing(scene)), dict(standing(scene, "there")))
    assert [] == scene.wrong


def test_what_waits_for_room_in_the_quota_is_counted_when_it_is_asked_for() -> None:
    """Two of four are allowed: one of the two may be disturbed."""
    scene = scene_of(4, quota=Quota(cpu=Cpus(2_000)))
    scene.turns(40)
    assert {"anchor": 1} == standing(scene)
    assert [] == scene.wrong


def test_a_scoped_plan_sees_that_something_else_stands() -> None:
    """What was passed over is planned for again when only that changed."""
    scene = settled()
    before = scene.drive.observe()
    decided = scene.drive.decide(before)
    scene.clusters["here"].unsettle("anchor", 0)
    after = scene.drive.observe()
    assert frozenset({"anchor"}) == in_question(before, decided, after)


def test_a_first_revision_that_gets_ready_and_loses_it_again_is_no_reason_to_write() -> None:
    """It never counts as proven, and what stands for it is written when more get ready than ever before."""
    scene = scene_of()
    scene.clusters["here"].afflict("/m/1", ModelFault.FLAPS)
    scene.turns(100)
    assert [] == [step for _ in range(100) for step in scene.turn().steps if isinstance(step, Settle)]
    assert [] == scene.wrong


def test_the_plan_tells_what_is_to_stand() -> None:
    """As a step like any other: without numbers where it is made or removed, and with both where it changes."""
    scene = scene_of()
    world = scene.drive.observe()
    (told,) = plan_view(scene.fleet, world, scene.drive.decide(world), scene.clock.now()).deployments
    first = told.steps[0]
    assert (StepKind.SETTLE, "anchor", None, None) == (first.kind, first.subject, first.was, first.target)
    scene.settle()
    scene.clusters["here"].unsettle("anchor", 0)
    world = scene.drive.observe()
    (told,) = plan_view(scene.fleet, world, scene.drive.decide(world), scene.clock.now()).deployments
    (only,) = told.steps
    assert (0, 2) == (only.was, only.target)


def test_a_first_revision_whose_replicas_get_ready_one_by_one_is_written_about_a_few_times() -> None:
    """It is counted on in powers of two until all are ready: not a write for each of them."""
    written = {_sure(GroupMemory(best=best), 20, alone=True) for best in range(21)}
    assert {0, 1, 2, 4, 8, 16, 20} == written
    assert set(range(21)) == {_sure(GroupMemory(best=best), 20, alone=False) for best in range(21)}
