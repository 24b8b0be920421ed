"""Deployments and the lives of instances: force, order, relaunches, delays, checks."""

from __future__ import annotations

from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.cluster.tasks import Course
from roadstead_backends.marathon.emulator.scheduling.probing import HttpAnswer, Outcome
from roadstead_backends.marathon.emulator.scheduling.upgrade import launchable, restart_strategy
from roadstead_backends.marathon.emulator.settings import Settings
from tests.marathon.world import World

_APP: Final[dict[str, Any]] = {"id": "/a", "cmd": "sleep 100", "cpus": 0.1, "mem": 16}
_HOURS: Final = 2 * 3_600_000


@pytest.fixture
def world() -> World:
    """Three agents, and a Marathon that looks for unreachable instances every second."""
    settings = Settings(task_lost_expunge_initial_delay=1_000, task_lost_expunge_interval=1_000)
    return World(settings, hosts=("h1", "h2", "h3"), gpus=(0, 0, 0))


def _tasks(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.ask("GET", "/v2/apps/a/tasks").json["tasks"]
    return found


def _states(world: World) -> list[str]:
    return sorted(task["state"] for task in _tasks(world))


def _kinds(world: World) -> list[str]:
    return [kind for kind, _ in world.events]


def _runs(world: World, **more: Any) -> None:
    assert 201 == world.ask("POST", "/v2/apps", {**_APP, **more}).status
    world.settle()


# Deployments --------------------------------------------------------------------------------------------------------


def test_a_deployment_never_gives_up(world: World) -> None:
    """What fits nowhere is deployed for ever, and the app is locked as long."""
    world.ask("POST", "/v2/apps", {**_APP, "cpus": 500})
    world.timeline.advance(_HOURS)
    assert 1 == len(world.ask("GET", "/v2/deployments").json)
    assert 409 == world.ask("PUT", "/v2/apps/a", {"instances": 2}).status


def test_who_forces_cancels_what_is_in_the_way_and_leaves_it_as_it_is(world: World) -> None:
    """The cancelled one fails with a reason, before the other begins."""
    world.ask("POST", "/v2/apps", {**_APP, "cpus": 500})
    (stuck,) = world.ask("GET", "/v2/deployments").json
    world.events.clear()
    forced = world.ask("PUT", "/v2/apps/a", {"cpus": 0.1}, query="force=true").json["deploymentId"]
    (failed,) = [event for kind, event in world.events if kind == "deployment_failed"]
    assert (stuck["id"], "The upgrade has been cancelled") == (failed["id"], failed["reason"])
    world.settle()
    assert ["TASK_RUNNING"] == _states(world)
    succeeded = [event["id"] for kind, event in world.events if kind == "deployment_success"]
    assert [forced] == succeeded


@pytest.mark.parametrize(
    ("wanted", "running", "healthy", "over", "resident", "kill", "most"),
    [
        (4, 4, 1.0, 1.0, False, 0, 8),
        (4, 4, 0.5, 0.0, False, 2, 4),
        (4, 4, 0.0, 0.0, False, 4, 4),
        (3, 3, 1.0, 0.0, False, 0, 4),
        (3, 3, 1.0, 0.0, True, 1, 3),
        (3, 3, 0.5, 0.0, True, 1, 3),
        (3, 3, 0.34, 0.34, False, 1, 4),
        (2, 5, 1.0, 1.0, False, 3, 4),
        (5, 2, 1.0, 0.0, False, 0, 5),
        (1, 1, 1.0, 0.5, False, 0, 2),
    ],
)
def test_an_upgrade_begins_with_so_many_kills_and_bears_so_many_instances(  # noqa: PLR0917  # a row of figures
    wanted: int, running: int, healthy: float, over: float, resident: bool, kill: int, most: int
) -> None:
    """The share that stays is rounded up, the share beyond down; without any room one is made."""
    found = restart_strategy(wanted=wanted, running=running, healthy_share=healthy, over_share=over, resident=resident)
    assert (kill, most) == (found.kill_now, found.most)
    assert launchable(wanted=wanted, most=most, old_active=most, new_started=0) == 0


def test_an_upgrade_ends_an_old_instance_for_each_new_one_that_is_ready(world: World) -> None:
    """Readiness counts, not only that it runs; the answer decides, and is shown."""
    check: dict[str, Any] = {
        "portName": "default",
        "intervalSeconds": 2,
        "timeoutSeconds": 1,
        "httpStatusCodesForReady": [201],
    }
    check["preserveLastResponse"] = True
    _runs(world, instances=2, readinessChecks=[check])
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=201))
    world.settle()
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=200))
    world.ask("PUT", "/v2/apps/a", {"labels": {"a": "b"}})
    world.timeline.advance(60_000)
    assert 4 == len(_tasks(world))
    (deployment,) = world.ask("GET", "/v2/deployments").json
    results = [one for action in deployment["currentActions"] for one in action["readinessCheckResults"]]
    assert {(False, 200)} == {(one["ready"], one["lastResponse"]["status"]) for one in results}
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=201))
    world.settle()
    assert 2 == len(_tasks(world))


@pytest.mark.parametrize(("selection", "left"), [("YOUNGEST_FIRST", 0), ("OLDEST_FIRST", 1), (None, 0)])
def test_who_goes_first_is_chosen_by_age(world: World, selection: str | None, left: int) -> None:
    """The youngest, unless the app says otherwise."""
    _runs(world, **({"killSelection": selection} if selection else {}))
    (old,) = (task["id"] for task in _tasks(world))
    world.ask("PUT", "/v2/apps/a", {"instances": 2})
    world.settle()
    ids = [old, *(task["id"] for task in _tasks(world) if task["id"] != old)]
    world.ask("PUT", "/v2/apps/a", {"instances": 1})
    world.settle()
    assert [ids[left]] == [task["id"] for task in _tasks(world)]


def test_who_cannot_be_reached_goes_before_who_runs(world: World) -> None:
    """And who only begins goes before who runs, however old."""
    _runs(world, instances=3, killSelection="OLDEST_FIRST", unreachableStrategy="disabled")
    lost = _tasks(world)[-1]["id"]
    world.cluster.fail_task(lost, "TASK_UNREACHABLE", "Agent unreachable")
    world.ask("PUT", "/v2/apps/a", {"instances": 2})
    world.settle()
    assert ["TASK_RUNNING"] * 2 == _states(world)
    world.cluster.set_course("/a", Course(running=40_000))
    before = {task["id"] for task in _tasks(world)}
    world.ask("PUT", "/v2/apps/a", {"instances": 3})
    world.timeline.advance(3_000)
    assert 3 == len(_tasks(world))
    world.ask("PUT", "/v2/apps/a", {"instances": 2}, query="force=true")
    world.settle()
    assert before == {task["id"] for task in _tasks(world)}


def test_apps_start_after_those_that_they_depend_on(world: World) -> None:
    """One step each."""
    apps = [
        {**_APP, "id": "/g/c", "dependencies": ["/g/b"]},
        {**_APP, "id": "/g/b", "dependencies": ["/g/a"]},
        {**_APP, "id": "/g/a"},
    ]
    steps = world.ask("PUT", "/v2/groups/g", {"apps": apps}, query="dryRun=true").json["steps"]
    shown = [[(one["action"], one["app"]) for one in step["actions"]] for step in steps]
    assert [("ScaleApplication", f"/g/{name}") for name in "abc"] == [step[0] for step in shown[1:]]


def test_the_stamps_of_an_app_tell_scaling_from_other_changes(world: World) -> None:
    """A restart is a change of what runs."""
    _runs(world)

    def stamps() -> tuple[str, str, str]:
        app = world.ask("GET", "/v2/apps/a").json["app"]
        info = app["versionInfo"]
        return app["version"], info["lastScalingAt"], info["lastConfigChangeAt"]

    made = stamps()
    assert 1 == len(set(made))
    world.ask("PUT", "/v2/apps/a", {"instances": 2})
    world.settle()
    version, scaled, changed = stamps()
    assert (version, made[0]) == (scaled, changed)
    assert version != made[0]
    world.ask("POST", "/v2/apps/a/restart")
    world.settle()
    assert (scaled, True) == (stamps()[1], stamps()[2] == stamps()[0])
    world.ask("PUT", "/v2/apps/a", {"cmd": "sleep 7"})
    world.settle()
    assert 1 == len(set(stamps()))


# Instances ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["TASK_FAILED", "TASK_FINISHED", "TASK_KILLED", "TASK_GONE", "TASK_DROPPED"])
def test_an_instance_whose_task_ended_is_launched_again(world: World, end: str) -> None:
    """Also one that has done what it was to do: Marathon runs services."""
    _runs(world)
    (before,) = _tasks(world)
    world.cluster.fail_task(before["id"], end, "x")
    world.timeline.advance(10_000)
    (after,) = _tasks(world)
    assert ("TASK_RUNNING", before["id"].removesuffix("1") + "2") == (after["state"], after["id"])


@pytest.mark.parametrize(
    ("end", "delayed"),
    [
        ("TASK_FAILED", True),
        ("TASK_FINISHED", True),
        ("TASK_ERROR", True),
        ("TASK_DROPPED", True),
        ("TASK_GONE", True),
        ("TASK_KILLED", False),
    ],
)
def test_most_ends_delay_the_next_launch(world: World, end: str, *, delayed: bool) -> None:
    """A kill does not; that of a failed health check is one."""
    _runs(world, backoffSeconds=100)
    world.cluster.fail_task(_tasks(world)[0]["id"], end, "x")
    world.timeline.advance(100)
    waiting = [item["delay"] for item in world.ask("GET", "/v2/queue").json["queue"]]
    assert delayed == any(delay["timeLeftSeconds"] > 90 for delay in waiting)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v2/apps/a/restart", None),
        ("PUT", "/v2/apps/a", {"labels": {"a": "b"}}),
        ("DELETE", "/v2/queue/a/delay", None),
    ],
)
def test_a_delay_is_forgotten(world: World, method: str, path: str, body: Any) -> None:
    """Once the app is changed or restarted, or somebody says so."""
    _runs(world, backoffSeconds=100)
    world.cluster.fail_task(_tasks(world)[0]["id"], "TASK_FAILED", "x")
    world.timeline.advance(100)
    assert world.ask(method, path, body, query="force=true").status in (200, 204)
    world.settle()
    assert ["TASK_RUNNING"] == _states(world)


def test_a_task_that_stays_in_staging_is_killed_after_five_minutes(world: World) -> None:
    """And its instance launched again."""
    world.cluster.set_course("/a", Course(starting=None, running=None))
    world.ask("POST", "/v2/apps", _APP)
    world.timeline.advance(290_000)
    (before,) = _tasks(world)
    world.cluster.set_course("/a", None)
    world.timeline.advance(60_000)
    (after,) = _tasks(world)
    assert ("TASK_STAGING", "TASK_RUNNING") == (before["state"], after["state"])


def test_an_instance_that_was_given_up_is_killed_if_it_comes_back(world: World) -> None:
    """Its place is taken."""
    _runs(world, unreachableStrategy={"inactiveAfterSeconds": 1, "expungeAfterSeconds": 2})
    (lost,) = _tasks(world)
    world.cluster.lose_agent(lost["slaveId"], partition=True)
    world.timeline.advance(400_000)
    (task,) = _tasks(world)
    assert lost["id"] != task["id"]
    world.cluster.return_agent(lost["slaveId"])
    world.timeline.advance(60_000)
    assert [task["id"]] == [each["id"] for each in _tasks(world)]
    agent = next(agent for agent in world.cluster.agents.values() if agent.id == lost["slaveId"])
    assert agent.total.cpus == agent.free.cpus


def test_an_instance_without_a_strategy_is_waited_for(world: World) -> None:
    """For as long as it takes, and it is the same again then."""
    _runs(world, unreachableStrategy="disabled")
    (lost,) = _tasks(world)
    world.cluster.lose_agent(lost["slaveId"], partition=True)
    world.timeline.advance(_HOURS)
    assert ["TASK_UNREACHABLE"] == _states(world)
    world.cluster.return_agent(lost["slaveId"])
    world.timeline.advance(5_000)
    assert [(lost["id"], "TASK_RUNNING")] == [(task["id"], task["state"]) for task in _tasks(world)]


def test_a_task_has_the_grace_of_its_app(world: World) -> None:
    """That is the agent's part, so it is sent along."""
    _runs(world, taskKillGracePeriodSeconds=7)
    assert [7] == [task.grace for task in world.cluster.tasks.values()]


# Checks -------------------------------------------------------------------------------------------------------------

_CHECK: Final[dict[str, Any]] = {
    "protocol": "HTTP",
    "path": "/",
    "portIndex": 0,
    "gracePeriodSeconds": 0,
    "intervalSeconds": 10,
    "timeoutSeconds": 1,
}


def _first_seen(world: World, kind: str, most: int) -> int:
    """After how many ms there is such an event."""
    began = world.timeline.now
    while kind not in _kinds(world):
        assert world.timeline.now - began < most, _kinds(world)
        world.timeline.advance(100)
    return world.timeline.now - began


@pytest.mark.parametrize(("failures", "after"), [(1, 10_000), (3, 30_000)])
def test_one_failure_more_than_allowed_ends_a_task(world: World, failures: int, after: int) -> None:
    """Of the checks that Marathon makes itself: it looks at the count before it adds to it."""
    _runs(world, healthChecks=[{**_CHECK, "maxConsecutiveFailures": failures}])
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=500))
    _first_seen(world, "failed_health_check_event", 20_000)
    found = _first_seen(world, "unhealthy_instance_kill_event", 60_000)
    assert after == pytest.approx(found, abs=200)
    world.timeline.advance(5_000)
    assert "TASK_KILLED" in {event.get("taskStatus") for kind, event in world.events if kind == "status_update_event"}


def test_a_check_that_allows_any_number_of_failures_ends_nothing(world: World) -> None:
    """The task is unhealthy, and that is all."""
    _runs(world, healthChecks=[{**_CHECK, "maxConsecutiveFailures": 0}])
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=500))
    world.timeline.advance(600_000)
    assert 1 == world.ask("GET", "/v2/apps/a").json["app"]["tasksUnhealthy"]
    assert "unhealthy_instance_kill_event" not in _kinds(world)


def test_failures_in_the_grace_period_do_not_count_until_one_check_has_passed(world: World) -> None:
    """It begins when the task runs."""
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=500))
    check = {**_CHECK, "gracePeriodSeconds": 100, "maxConsecutiveFailures": 1}
    world.ask("POST", "/v2/apps", {**_APP, "healthChecks": [check]})
    world.timeline.advance(95_000)
    assert "unhealthy_instance_kill_event" not in _kinds(world)
    world.timeline.advance(40_000)
    assert "unhealthy_instance_kill_event" in _kinds(world)
    world.events.clear()
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=200))
    world.settle(100_000)
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=500))
    _first_seen(world, "unhealthy_instance_kill_event", 40_000)


@pytest.mark.parametrize(("status", "ignore", "healthy"), [(100, True, 0), (100, False, 0), (399, False, 1)])
def test_an_answer_that_is_none_yet_may_be_overlooked(world: World, status: int, *, ignore: bool, healthy: int) -> None:
    """One of the hundreds is no success, and with the flag no failure either."""
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=status))
    check = {**_CHECK, "ignoreHttp1xx": ignore, "maxConsecutiveFailures": 0}
    world.ask("POST", "/v2/apps", {**_APP, "healthChecks": [check]})
    world.timeline.advance(60_000)
    app = world.ask("GET", "/v2/apps/a").json["app"]
    assert healthy == app["tasksHealthy"]
    assert ("failed_health_check_event" in _kinds(world)) == (not ignore and not healthy)


@pytest.mark.parametrize(("interval", "first"), [(1, 1_000), (60, 5_000)])
def test_the_first_check_is_made_soon(world: World, interval: int, first: int) -> None:
    """After the interval, but no longer than five seconds."""
    _runs(world, healthChecks=[{**_CHECK, "intervalSeconds": interval, "gracePeriodSeconds": 1}])
    world.ask("PUT", "/v2/apps/a", {"instances": 2})
    world.ask("DELETE", "/v2/apps/a")
    world.settle()
    world.prober.asked.clear()
    world.ask("POST", "/v2/apps", {**_APP, "healthChecks": [{**_CHECK, "intervalSeconds": interval}]})
    began = world.timeline.now
    while not world.prober.asked:
        assert world.timeline.now - began < 20_000
        world.timeline.advance(100)
    assert first <= world.timeline.now - began <= first + 6_000


def test_an_instance_that_cannot_be_reached_is_not_ended_for_its_health(world: World) -> None:
    """Nobody knows how it is."""
    _runs(world, healthChecks=[{**_CHECK, "maxConsecutiveFailures": 1}], unreachableStrategy="disabled")
    world.cluster.fail_task(_tasks(world)[0]["id"], "TASK_UNREACHABLE", "Agent unreachable")
    world.prober.outcome = lambda _target: Outcome(connected=True, answer=HttpAnswer(status=500))
    world.timeline.advance(600_000)
    assert ("unhealthy_instance_kill_event" in _kinds(world), ["TASK_UNREACHABLE"]) == (False, _states(world))


def test_only_one_check_of_an_app_may_be_an_agent_s_over_the_network(world: World) -> None:
    """Commands are not counted, and the same check twice is one."""
    command = {"protocol": "COMMAND", "command": {"value": "true"}}
    over = {"protocol": "MESOS_TCP", "portIndex": 0}
    app = {**_APP, "instances": 0}
    assert 422 == world.ask("POST", "/v2/apps", {**app, "healthChecks": [over, {**over, "intervalSeconds": 7}]}).status
    assert 201 == world.ask("POST", "/v2/apps", {**app, "healthChecks": [over, over, command]}).status
