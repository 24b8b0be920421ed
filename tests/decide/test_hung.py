"""A server that runs and does not answer: it is drained, restarted, and given all of its time again."""

from __future__ import annotations

import attrs

from roadstead.model import HealthSpec, Template
from roadstead.plans import Restart
from roadstead.testing.proxy import Traffic
from roadstead.units import Duration
from tests.decide.scene import TURN_MS, Scene, deployment, fleet, nodes, template

START = 5 * TURN_MS


def slow(drain: int = 2 * TURN_MS) -> Template:
    """Return a template whose servers may take five turns to start."""
    health = HealthSpec(every=Duration(TURN_MS), failures=2, start_within=Duration(START))
    return attrs.evolve(template(drain=drain), health=health)


def hang(scene: Scene, number: int = 0) -> str:
    """Let one server hang and return its replica."""
    replica = scene.members()[number].replica
    scene.hung.add(replica.incarnation)
    return replica.id


def restarts(scene: Scene, turns: int) -> list[int]:
    """Return in which of so many turns something was restarted."""
    return [turn for turn in range(turns) if any(isinstance(step, Restart) for step in scene.turn().steps)]


def test_a_server_that_hangs_is_restarted_once_and_serves_again() -> None:
    """The new process runs by the next turn, is not ready yet, and is not blamed for how long the old one was not."""
    scene = Scene(fleet(deployment(of=slow())), {"here": nodes(1)}, thorough=True)
    scene.settle()
    hang(scene)
    assert [START // TURN_MS] == restarts(scene, 20)
    assert {("here", "/m/1"): 2} == scene.serving()
    assert [] == scene.wrong


def test_a_server_that_hangs_is_restarted_also_where_somebody_else_decides_how_many_there_are() -> None:
    """No count is sent then, and this is none; nobody else knows that it hangs."""
    scene = Scene(fleet(deployment(of=slow())), {"here": nodes(1)}, thorough=True)
    scene.settle()
    (group,) = scene.clusters["here"].truth().groups
    scene.clusters["here"].scale(group.key, "hpa/anchor", 2)
    hang(scene)
    assert [START // TURN_MS] == restarts(scene, 20)
    assert {("here", "/m/1"): 2} == scene.serving()
    assert [] == scene.wrong


def test_a_server_that_hangs_with_requests_in_flight_is_told_to_have_been_ended_with_them() -> None:
    """They have had all of their time; that they are cut off is said, as of any other replica."""
    scene = Scene(
        fleet(deployment(of=slow(), via="front"), gateways=("front",)),
        {"here": nodes(1)},
        traffic=Traffic(most=1, service=(500,)),
    )
    scene.settle()
    hung = {hang(scene, number) for number in (0, 1)}
    for _ in hung:
        scene.proxies["front"].send("anchor", None)
    steps = [step for _ in range(20) for step in scene.turn().steps if isinstance(step, Restart)]
    assert hung == {replica for step in steps for replica in step.overdue}
    assert [] == scene.wrong
