"""What a deployment under way does about instances that are lost meanwhile."""

from __future__ import annotations

from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.cluster.tasks import Course
from roadstead_backends.marathon.emulator.scheduling.probing import HttpAnswer, Outcome
from roadstead_backends.marathon.emulator.settings import Settings
from tests.marathon.world import World

_APP: Final[dict[str, Any]] = {
    "id": "/a",
    "cmd": "sleep 100",
    "cpus": 0.1,
    "mem": 16,
    "unreachableStrategy": {"inactiveAfterSeconds": 1, "expungeAfterSeconds": 2},
}
_SLOW: Final = Course(running=40_000)


@pytest.fixture
def world() -> World:
    """Three agents, and a Marathon that looks for unreachable instances every second."""
    settings = Settings(task_lost_expunge_initial_delay=1_000, task_lost_expunge_interval=1_000)
    return World(settings, hosts=("h1", "h2", "h3"), gpus=(0, 0, 0))


def _lose_one(world: World) -> None:
    running = next(task for task in _tasks(world) if task["state"] == "TASK_RUNNING")
    world.cluster.fail_task(running["id"], "TASK_UNREACHABLE", "Agent unreachable")


def _tasks(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.ask("GET", "/v2/apps/a/tasks").json["tasks"]
    return found


def _states(world: World) -> list[str]:
    return sorted(task["state"] for task in _tasks(world))


def test_a_scaling_replaces_an_instance_that_is_lost_while_it_goes_on(world: World) -> None:
    """It looks again every five seconds; the look at all apps leaves alone what is being deployed."""
    world.ask("POST", "/v2/apps", {**_APP, "instances": 2})
    world.settle()
    world.cluster.set_course("/a", _SLOW)
    world.ask("PUT", "/v2/apps/a", {"instances": 3})
    world.timeline.advance(3_000)
    _lose_one(world)
    world.timeline.advance(10_000)
    assert ["TASK_RUNNING", "TASK_STARTING", "TASK_STARTING"] == _states(world)
    assert 1 == world.marathon.deployments.count
    world.timeline.advance(40_000)
    assert ["TASK_RUNNING"] * 3 == _states(world)
    assert 0 == world.marathon.deployments.count


def test_a_scaling_that_only_ends_instances_starts_none(world: World) -> None:
    """There is nothing that it waits for, so it never looks."""
    world.ask("POST", "/v2/apps", {**_APP, "instances": 3})
    world.settle()
    world.ask("PUT", "/v2/apps/a", {"instances": 1})
    world.timeline.advance(20_000)
    assert ["TASK_RUNNING"] == _states(world)


def test_a_cancelled_scaling_looks_no_more(world: World) -> None:
    """What was missing stays missing until all apps are looked at."""
    world.ask("POST", "/v2/apps", {**_APP, "instances": 2})
    world.settle()
    world.cluster.set_course("/a", Course(running=None))
    world.ask("PUT", "/v2/apps/a", {"instances": 3})
    (running,) = world.ask("GET", "/v2/deployments").json
    assert 202 == world.ask("DELETE", f"/v2/deployments/{running['id']}", query="force=true").status
    before = len(world.marathon.supervisor.tracker.all())
    world.timeline.advance(6_000)
    assert before == len(world.marathon.supervisor.tracker.all())


@pytest.mark.parametrize(("query", "left"), [("wipe=true", 1), ("", 1), ("scale=true", 1)])
def test_an_instance_that_cannot_be_reached_is_forgotten_when_it_is_to_be_killed(
    world: World, query: str, left: int
) -> None:
    """Nobody would answer to a kill; one whose task is heard of again is killed then."""
    app = {**_APP, "unreachableStrategy": {"inactiveAfterSeconds": 300, "expungeAfterSeconds": 600}}
    world.ask("POST", "/v2/apps", {**app, "instances": 2})
    world.settle()
    _lose_one(world)
    (lost,) = (task["id"] for task in _tasks(world) if task["state"] == "TASK_UNREACHABLE")
    world.ask("POST", "/v2/tasks/delete", {"ids": [lost]}, query=query)
    assert ["TASK_RUNNING"] * left == _states(world)


def test_a_forced_upgrade_ends_though_the_one_before_has_started_one_more_that_is_not_healthy_yet(
    world: World,
) -> None:
    """The one too many goes first; else there would be room for no new one, and nobody to wait for."""
    check = {"protocol": "MESOS_TCP", "portIndex": 0, "gracePeriodSeconds": 60}
    gently = {"minimumHealthCapacity": 1, "maximumOverCapacity": 0}
    world.ask("POST", "/v2/apps", {**_APP, "instances": 2, "healthChecks": [check], "upgradeStrategy": gently})
    world.settle()
    world.cluster.set_course("/a", Course(running=150, healthy=20_000))
    world.ask("PUT", "/v2/apps/a", {"mem": 17})
    world.timeline.advance(10_000)
    assert ["TASK_RUNNING"] * 3 == _states(world)
    assert 200 == world.ask("PUT", "/v2/apps/a", {"mem": 18}, query="force=true").status
    world.timeline.advance(120_000)
    assert ["TASK_RUNNING"] * 2 == _states(world)
    assert 0 == world.marathon.deployments.count


def _queued(world: World) -> dict[str, Any]:
    (item,) = world.ask("GET", "/v2/queue").json["queue"]
    return dict(item)


def test_an_upgrade_leaves_an_instance_that_waits_in_the_queue_until_its_successor_runs(world: World) -> None:
    """Without health checks one that was never launched passes as healthy, so it is not in the way."""
    world.ask("POST", "/v2/apps", {**_APP, "cpus": 500})
    world.ask("PUT", "/v2/apps/a", {"cpus": 400}, query="force=true")
    assert (2, 400.0) == (_queued(world)["count"], _queued(world)["app"]["cpus"])
    world.ask("PUT", "/v2/apps/a", {"cpus": 0.1}, query="force=true")
    world.settle()
    assert (["TASK_RUNNING"], []) == (_states(world), world.ask("GET", "/v2/queue").json["queue"])


def test_an_upgrade_may_end_at_once_what_waits_in_the_queue(world: World) -> None:
    """Where no instance has to stay healthy."""
    strategy = {"minimumHealthCapacity": 0, "maximumOverCapacity": 0}
    world.ask("POST", "/v2/apps", {**_APP, "cpus": 500, "upgradeStrategy": strategy})
    world.ask("PUT", "/v2/apps/a", {"cpus": 400}, query="force=true")
    assert 1 == _queued(world)["count"]


def test_an_upgrade_waits_for_no_old_instance_that_was_to_end_and_cannot_be_reached(world: World) -> None:
    """It is there until it is forgotten, and counts no more."""
    app = {**_APP, "unreachableStrategy": {"inactiveAfterSeconds": 300, "expungeAfterSeconds": 600}}
    world.cluster.set_course("/a", Course(stopping=60_000, stop=60_000))
    world.ask("POST", "/v2/apps", app)
    world.settle()
    (old,) = _tasks(world)
    world.ask("PUT", "/v2/apps/a", {"mem": 17})
    world.timeline.advance(5_000)
    assert 1 == world.marathon.deployments.count
    world.cluster.fail_task(old["id"], "TASK_UNREACHABLE", "Agent unreachable")
    world.timeline.advance(5_000)
    assert ["TASK_RUNNING", "TASK_UNREACHABLE"] == _states(world)
    assert 0 == world.marathon.deployments.count


def test_an_upgrade_never_relaunches_an_old_instance_that_ends_meanwhile(world: World) -> None:
    """It is given up, and a new one takes its place."""
    world.ask("POST", "/v2/apps", {**_APP, "instances": 2})
    world.settle()
    world.cluster.set_course("/a", _SLOW)
    world.ask("PUT", "/v2/apps/a", {"mem": 17})
    world.timeline.advance(1_000)
    before = {task["id"] for task in _tasks(world)}
    old = next(task for task in _tasks(world) if task["state"] == "TASK_RUNNING")
    world.cluster.fail_task(old["id"], "TASK_FAILED", "it ended")
    world.timeline.advance(5_000)
    assert before - {old["id"]} == {task["id"] for task in _tasks(world)}


def test_a_scaling_ends_those_that_run_before_those_that_wait(world: World) -> None:
    """Whatever is neither unreachable nor on its way nor running comes last."""
    world.ask("POST", "/v2/apps", {**_APP, "cpus": 5, "instances": 5})
    world.timeline.advance(10_000)
    assert (3, 2) == (len(_tasks(world)), _queued(world)["count"])
    world.ask("PUT", "/v2/apps/a", {"instances": 3}, query="force=true")
    world.timeline.advance(300)
    assert 1 == sum(task["state"] == "TASK_RUNNING" for task in _tasks(world))


def test_the_queue_shows_what_is_wanted_now(world: World) -> None:
    """Not what the waiting instances were made for."""
    world.ask("POST", "/v2/apps", {**_APP, "cpus": 500, "instances": 3})
    world.ask("PUT", "/v2/apps/a", {"instances": 2}, query="force=true")
    assert (2, 2) == (_queued(world)["count"], _queued(world)["app"]["instances"])
    assert [] == world.ask("GET", "/v2/deployments").json


_READY: Final[dict[str, Any]] = {
    "name": "r",
    "path": "/ready",
    "portName": "web",
    "intervalSeconds": 2,
    "timeoutSeconds": 1,
    "preserveLastResponse": True,
}
_WEB: Final[dict[str, Any]] = {**_APP, "portDefinitions": [{"port": 0, "name": "web"}], "readinessChecks": [_READY]}


def _checked(world: World) -> list[dict[str, Any]]:
    (deployment,) = world.ask("GET", "/v2/deployments").json
    found: list[dict[str, Any]] = deployment["currentActions"][0]["readinessCheckResults"]
    return sorted(found, key=lambda each: bool(each["ready"]))


def test_a_readiness_check_that_gets_no_answer_shows_one_as_of_a_gateway(world: World) -> None:
    """With what was asked and why that failed."""
    world.prober.outcome = lambda _target: Outcome(failure="it is deaf")
    world.ask("POST", "/v2/apps", _WEB)
    world.timeline.advance(3_000)
    (task,) = _tasks(world)
    words = f"Marathon could not query http://{task['host']}:{task['ports'][0]}/ready: it is deaf"
    (result,) = _checked(world)
    assert {"status": 504, "contentType": "text/plain", "body": words} == result["lastResponse"]


def test_a_readiness_check_that_passed_is_shown_until_the_step_is_over(world: World) -> None:
    """Beside those that did not; the type of an answer is never known."""
    answers = iter((200, *[500] * 99))
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=next(answers), body="b"))
    world.ask("POST", "/v2/apps", {**_WEB, "instances": 2})
    world.timeline.advance(3_000)
    assert [(False, 500), (True, 200)] == [(each["ready"], each["lastResponse"]["status"]) for each in _checked(world)]
    assert {""} == {each["lastResponse"]["contentType"] for each in _checked(world)}
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=200))
    world.settle()
    assert [] == world.ask("GET", "/v2/apps/a", query="embed=app.readiness").json["app"]["readinessCheckResults"]
