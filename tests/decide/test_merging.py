"""A plan for what may have changed, merged with the last one, is the plan for everything."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, rule

from roadstead.decide.merging import Planned, in_question, in_scope, merged
from roadstead.decide.planner import plan
from roadstead.plans import Plan
from roadstead.testing.driving import Drive
from roadstead.traffic import DataPath, GatewayState, GatewayView, Seen, Unseen
from roadstead.world import World
from roadstead_backends.simulated.faults import CallFault
from roadstead_backends.simulated.tempers import KUBERNETES
from tests.decide.scene import Scene, deployment, fleet, nodes
from tests.decide.test_always import COMMON, Fronted


@attrs.define
class Beside:
    """Plans each turn of a loop once more, for what may have changed only, and writes down where that differs.

    ``asked`` are the deployments that each of these plans was about.
    """

    drive: Drive
    wrong: list[str]
    asked: list[frozenset[str]] = attrs.field(factory=list)
    _last: Planned | None = attrs.field(default=None, init=False)

    @classmethod
    def of(cls, scene: Scene) -> Beside:
        """Begin to judge what a scene plans."""
        beside = cls(scene.drive, scene.wrong)
        scene.drive.judge = beside._judging(scene.drive.judge)
        return beside

    def _judging(self, judge: Callable[[World, Plan], None]) -> Callable[[World, Plan], None]:
        def both(world: World, whole: Plan) -> None:
            self._compare(world, whole)
            judge(world, whole)

        return both

    def _compare(self, world: World, whole: Plan) -> None:
        drive = self.drive
        last, self._last = self._last, Planned(fleet=drive.fleet, world=world, plan=whole)
        only = in_scope(last, drive.fleet, world, drive.saved, drive.now())
        if last is None or only is None:
            return
        self.asked.append(only)
        scoped = plan(drive.fleet, world, drive.saved, drive.now(), drive.policies, scalers=drive.scalers, only=only)
        together = merged(drive.fleet, last.plan, only, scoped)
        if together != whole:
            self.wrong.append(f"for {sorted(only)} only: {together} instead of {whole}")


class Merging(Fronted):
    """The same owner, clusters and daemon as for everything else that must always hold."""

    beside: Beside | None = None

    @rule()
    def rest(self) -> None:
        """Let the fleet come to rest, so that what breaks next breaks something that was passed over."""
        self.scene.turns(40)

    @invariant()
    def is_judged_from_the_beginning(self) -> None:
        """Every plan could have been made for what may have changed only; the scene says where it could not."""
        if self.beside is None:
            self.beside = Beside.of(self.scene)


TestMerging = Merging.TestCase
TestMerging.settings = settings(COMMON, max_examples=40)


def test_what_is_at_rest_is_not_asked_about() -> None:
    """With all as it should be nothing is in question, and after a loss the deployment that lost a replica only is."""
    three = [deployment(name) for name in ("anchor", "buoy", "cable")]
    scene = Scene(fleet(*three), {"here": nodes(4)})
    beside = Beside.of(scene)
    scene.settle()
    at_rest = beside.asked[-1]

    scene.clusters["here"].lose(scene.members("buoy")[0].replica.id)
    scene.turn()

    assert [] == scene.wrong
    assert frozenset() == at_rest
    assert frozenset({"buoy"}) == beside.asked[-1]


def test_what_becomes_of_a_route_of_a_deployment_at_rest_is_said_at_once() -> None:
    """The port is taken, and later it is free again: all that changes is what is held, and the merged plan says so."""
    scene = Scene(fleet(deployment("anchor", via="front"), deployment("buoy"), gateways=("front",)), {"here": nodes(2)})
    beside = Beside.of(scene)
    scene.settle()
    problems = scene.proxies["front"].faults.problems

    problems["anchor"] = "the port is taken"
    taken = scene.turn()
    asked = beside.asked[-1]
    problems.clear()
    free = scene.turn()

    assert [] == scene.wrong
    assert frozenset({"anchor"}) == asked
    assert [1, 0] == [len(taken.held), len(free.held)]


def test_requests_that_come_and_go_put_nothing_in_question() -> None:
    """As long as a replica is listed, how many requests it has makes nobody look at its deployment again."""
    scene = Scene(fleet(deployment("anchor", via="front"), gateways=("front",)), {"here": nodes(2)})
    beside = Beside.of(scene)
    scene.settle()
    del beside.asked[:]
    for _ in range(5):
        scene.proxies["front"].send("anchor", 3_000)
        scene.turn()
    assert [] == scene.wrong
    assert [frozenset()] * 5 == beside.asked


def test_what_could_not_be_removed_of_a_deployment_that_nobody_knows_is_asked_about_again() -> None:
    """The cluster refuses it, and nothing changes that would put it in question: it is tried on, and waited for."""
    scene = Scene(fleet(deployment()), {"here": nodes(2)}, {"here": KUBERNETES.able})
    beside = Beside.of(scene)
    scene.settle()
    scene.clusters["here"].unsettle("buoy", 1)
    scene.clusters["here"].faults.calls.append(CallFault.REJECTED)
    scene.turns(4)

    assert [] == scene.wrong
    assert frozenset({"buoy"}) in beside.asked
    assert "buoy" not in scene.clusters["here"].truth().settled


_REFUSING = Seen(GatewayView(settled=False, problem="no"))
_SILENT = Unseen(since=0, error="no")


@pytest.mark.parametrize(("before", "after"), [(_SILENT, _REFUSING), (_REFUSING, _SILENT)])
def test_a_gateway_that_answers_again_puts_everything_in_question_whatever_its_words(
    before: GatewayState, after: GatewayState
) -> None:
    """One that refuses a table with the words with which it was silent is another: what is held says so."""
    scene = Scene(fleet(deployment("anchor")), {"here": nodes(1)})
    at_rest = scene.settle()
    worlds = [World(clusters={}, data_path=DataPath(gateways={"front": state})) for state in (before, after)]

    assert in_question(worlds[0], at_rest, worlds[1]) is None
