"""Stories that users of other systems told, each on simulated clusters, through the plan that runs in production.

The names say where each was told; what is shown is what happens here instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs
import pytest

from roadstead.model import GpuPart, Quota, RolloutSpec
from roadstead.plans import Plan
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.units import Cpus, Duration, GpuShare, Memory
from roadstead.world import Device, Node
from roadstead_backends.simulated.faults import ModelFault
from tests.decide.scene import DIRECTED, NATIVE, Scene, deployment, fleet, nodes, template

ABLE = pytest.mark.parametrize("able", [DIRECTED, NATIVE], ids=["directed", "native"])
GI = 2**30


def spec(*, max_surge: int = 1, max_unavailable: int = 0) -> RolloutSpec:
    """Return a rollout that gives up on a revision after 30 seconds without progress."""
    return RolloutSpec(max_surge=max_surge, max_unavailable=max_unavailable, progress_deadline=Duration(30_000))


def settled(able: object, there: Sequence[Node], *, rollout: RolloutSpec, replicas: int = 2) -> Scene:
    """Return a scene in which the first revision serves and is proven."""
    first = fleet(deployment(replicas=replicas, rollout=rollout))
    scene = Scene(first, {"here": tuple(there)}, {"here": able}, thorough=True)  # type: ignore[dict-item]
    scene.settle()
    return scene


def change(scene: Scene, source: str, rollout: RolloutSpec | None = None) -> None:
    """Write another revision to the file, and maybe another way to roll."""
    before = scene.fleet.deployments["anchor"]
    scene.declare(deployment(of=template(source), replicas=before.replicas, rollout=rollout or before.rollout))


def story(scene: Scene, turns: int = 200) -> list[Counter[str]]:
    """Return who served after every turn, until nothing has moved for a while."""
    told: list[Counter[str]] = []
    for _ in range(turns):
        scene.turn()
        told.append(Counter({source: count for (_, source), count in scene.serving().items()}))
    return told


def reason(plan: Plan, code: ReasonCode) -> Reason:
    """Return the only reason of that kind."""
    (found,) = {held.reason for held in plan.held if held.reason.code is code}
    return found


def suggested(plan: Plan, code: ReasonCode = ReasonCode.ROLLOUT_HELD) -> Change:
    """Return the change that is said to be enough."""
    change = reason(plan, code).change
    assert change is not None
    return change


@ABLE
@pytest.mark.parametrize("fault", [ModelFault.FAILS, ModelFault.CRASHES])
@pytest.mark.parametrize("max_unavailable", [0, 1])
def test_dstack_4186_a_replica_that_cannot_start_takes_no_healthy_one_with_it(
    able: object, fault: ModelFault, max_unavailable: int
) -> None:
    """Told as: a rolling deployment whose new replica cannot start terminates the healthy service."""
    scene = settled(able, nodes(2), rollout=spec(max_unavailable=max_unavailable))
    scene.clusters["here"].faults.models["/m/2"] = fault
    change(scene, "/m/2")
    told = story(scene, 60)
    assert 2 - max_unavailable <= min(turn["/m/1"] for turn in told)
    decided = scene.settle()
    assert {("here", "/m/1"): 2} == scene.serving()
    assert "serves instead" in reason(decided, ReasonCode.ROLLOUT_FAILED).detail
    assert [] == scene.wrong


@ABLE
def test_kuberay_4239_an_upgrade_without_spare_capacity_is_held_and_says_what_would_let_it_go_on(able: object) -> None:
    """Told as: how to turn off zero-downtime upgrades; without room for both, they stall and say nothing.

    What is suggested is then written to the file, and the upgrade ends.
    """
    scene = settled(able, nodes(1, 2_000), rollout=spec())
    change(scene, "/m/2")
    decided = scene.settle()
    assert {("here", "/m/1"): 2} == scene.serving()
    assert ChangeKind.RAISE_MAX_UNAVAILABLE is suggested(decided).kind
    change(scene, "/m/2", spec(max_unavailable=1))
    told = story(scene)
    assert 1 == min(turn.total() for turn in told)
    assert {"/m/2": 2} == told[-1]
    assert [] == scene.wrong


@ABLE
@pytest.mark.parametrize(
    ("cpu", "max_unavailable", "least"),
    [
        pytest.param(3_000, 1, 2, id="room: available all along, although it need not be"),
        pytest.param(2_000, 1, 1, id="no room: as many as there is room for"),
    ],
)
def test_kserve_4618_one_strategy_is_available_where_there_is_room_and_spares_resources_where_not(
    able: object, cpu: int, max_unavailable: int, least: int
) -> None:
    """Told as: choose between a strategy that needs more resources and one that is not available all the time."""
    scene = settled(able, nodes(1, cpu), rollout=spec(max_unavailable=max_unavailable))
    change(scene, "/m/2")
    told = story(scene)
    assert least == min(turn.total() for turn in told)
    assert {"/m/2": 2} == told[-1]
    assert [] == scene.wrong


@ABLE
def test_skypilot_4312_a_failed_rollout_ends_by_itself_and_is_not_tried_again(able: object) -> None:
    """Told as: better handling of failed rollouts; they went on launching replicas that fail.

    From the verdict on nothing is launched: the cluster is asked for nothing more.
    """
    scene = settled(able, nodes(2), rollout=spec())
    scene.clusters["here"].faults.models["/m/2"] = ModelFault.CRASHES
    change(scene, "/m/2")
    decided = scene.settle()
    asked = scene.calls()
    scene.turns(100)
    assert asked == scene.calls()
    assert ReasonCode.ROLLOUT_FAILED is reason(decided, ReasonCode.ROLLOUT_FAILED).code
    assert {("here", "/m/1"): 2} == scene.serving()
    assert [] == scene.wrong


@ABLE
def test_skypilot_4348_the_fall_back_is_the_last_version_that_was_ready_and_not_the_last_one(able: object) -> None:
    """Told as: fall back to the latest ready version; of three updates in a row, two fail."""
    scene = settled(able, nodes(2), rollout=spec())
    change(scene, "/m/2")
    scene.settle()
    for source in ("/m/3", "/m/4"):
        scene.clusters["here"].faults.models[source] = ModelFault.FAILS
        change(scene, source)
        scene.turns(5)
    scene.settle()
    assert {("here", "/m/2"): 2} == scene.serving()
    assert [] == scene.wrong


@ABLE
@pytest.mark.parametrize("forget", [False, True], ids=["remembering", "forgetting"])
def test_skypilot_3255_no_update_ever_asks_for_more_than_is_wanted_and_surges(able: object, forget: bool) -> None:
    """Told as: it keeps scaling up and exceeds the maximum after an update.

    Update follows update before the last one is done, replicas fail to start, and the daemon is started again and
    again: what exists never exceeds what is wanted and what may surge, and in the end it is what is wanted.
    """
    scene = settled(able, nodes(3, 8_000), rollout=spec(max_surge=2), replicas=3)
    scene.clusters["here"].faults.models["/m/3"] = ModelFault.CRASHES
    most = 0
    for number, source in enumerate(("/m/2", "/m/3", "/m/2", "/m/4", "/m/3", "/m/5")):
        change(scene, source)
        for _ in range(4):
            scene.turn()
            most = max(most, len(scene.members()))
        if number % 2:
            scene.start_again(forget=forget)
    scene.settle()
    assert 5 == most
    assert {("here", "/m/5"): 3} == scene.serving()
    assert 3 == len(scene.members())
    assert [] == scene.wrong


def test_gpustack_6044_memory_that_others_hold_on_a_gpu_is_not_given_away() -> None:
    """Told as: account for GPU memory used by processes outside; replicas were put on devices that were full.

    The device that is partly in foreign hands is passed over, and where no other is left it is said how much is
    missing; when the others let go of it, the replica comes.
    """
    free = Device(id="g0", model="A100", memory=Memory(80 * GI))
    taken = Device(id="g1", model="A100", memory=Memory(80 * GI), foreign=Memory(60 * GI))
    node = attrs.evolve(nodes(1, 8_000)[0], devices=(free, taken))
    wants = GpuPart(share=GpuShare(500), memory=Memory(40 * GI))
    needy = attrs.evolve(template(), resources=attrs.evolve(template().resources, gpu=wants))
    scene = Scene(
        fleet(deployment(of=needy, replicas=3), search=Quota(cpu=Cpus(8_000))), {"here": (node,)}, thorough=True
    )
    decided = scene.settle()
    assert [("g0",), ("g0",)] == [replica.devices for replica in scene.replicas() if replica.devices]
    assert "GPU" in reason(decided, ReasonCode.NO_CAPACITY).detail
    scene.clusters["here"].set_node(attrs.evolve(node, devices=(free, attrs.evolve(taken, foreign=Memory(0)))))
    scene.settle()
    assert {("here", "/m/1"): 3} == scene.serving()
    assert [] == scene.wrong
