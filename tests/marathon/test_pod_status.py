"""How pods do, and what is said to those who end their instances."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.marathon.replay import world_of
from tests.marathon.world import World

_RUNS_AFTER: Final = 500
"""Milliseconds, and as many again until a container's own check has passed."""
_UUID: Final = "0f0f0f0f-0000-11e9-9fcd-0242ac110002"
_CONTAINER: Final[dict[str, Any]] = {
    "name": "c",
    "resources": {"cpus": 0.1, "mem": 16},
    "exec": {"command": {"shell": "sleep 100"}},
}
_POD: Final[dict[str, Any]] = {"id": "/p", "networks": [{"mode": "host"}], "containers": [_CONTAINER]}
_ENDPOINTS: Final = [{"name": "web", "hostPort": 0}, {"name": "ui", "hostPort": 0}]


@pytest.fixture
def world() -> World:
    """A Marathon without features."""
    return world_of("app-create")


def _status(world: World) -> dict[str, Any]:
    return dict(world.ask("GET", "/v2/pods/p::status").json)


def _runs(world: World, **container: Any) -> None:
    assert 201 == world.ask("POST", "/v2/pods", {**_POD, "containers": [{**_CONTAINER, **container}]}).status
    world.timeline.advance(_RUNS_AFTER)


def test_an_instance_that_was_never_launched_is_shown_without_an_agent(world: World) -> None:
    """It is pending, and has what its executor alone needs."""
    _runs(world, resources={"cpus": 500, "mem": 16})
    (instance,) = _status(world)["instances"]
    assert ("PENDING", [], [], None) == tuple(
        instance.get(key) for key in ("status", "containers", "networks", "agentId")
    )
    assert {"cpus": 0.1, "mem": 32, "disk": 10, "gpus": 0} == instance["resources"]


@pytest.mark.parametrize(
    ("check", "later", "status", "reason"),
    [
        ({"exec": {"command": {"shell": "true"}}}, 0, "DEGRADED", "health-unreported-by-mesos"),
        ({"exec": {"command": {"shell": "true"}}}, 500, "STABLE", "health-reported-by-mesos"),
        ({"tcp": {"endpoint": "web"}}, 500, "STABLE", "health-reported-by-mesos"),
        ({"http": {"endpoint": "web"}}, 0, "DEGRADED", "health-unreported-by-mesos"),
    ],
)
def test_a_container_is_healthy_only_when_somebody_said_so(
    world: World, check: dict[str, Any], later: int, status: str, reason: str
) -> None:
    """And an instance is as its containers are."""
    _runs(world, healthCheck=check, endpoints=_ENDPOINTS)
    world.timeline.advance(later)
    (instance,) = _status(world)["instances"]
    (container,) = instance["containers"]
    (condition,) = container["conditions"]
    assert (status, reason) == (instance["status"], condition["reason"])
    assert ("at least one container is not healthy" if status == "DEGRADED" else None) == instance.get("message")
    names = ["web", "ui"] if "exec" in check else ["ui", "web"]
    assert names == [each["name"] for each in container["endpoints"]]


def test_an_instance_that_cannot_be_reached_says_so(world: World) -> None:
    """In words, and as degraded."""
    _runs(world)
    (instance,) = _status(world)["instances"]
    world.cluster.fail_task(instance["containers"][0]["containerId"], "TASK_UNREACHABLE", "Agent unreachable")
    first, *_ = _status(world)["instances"]
    assert (instance["id"], "DEGRADED") == (first["id"], first["status"])
    assert "pod instance has become unreachable" == first["message"]


def test_instances_are_ended_of_whatever_there_is_at_that_path(world: World) -> None:
    """An app as well; where there is nothing, the path is what does not exist."""
    _runs(world)
    world.ask("POST", "/v2/apps", {"id": "/a", "cmd": "sleep 100"})
    world.settle()
    task: str = world.ask("GET", "/v2/apps/a/tasks").json["tasks"][0]["id"]
    instance = task.removesuffix("._app.1")
    assert instance == world.ask("DELETE", f"/v2/pods/a::instances/{instance}").json["instanceId"]
    reply = world.ask("DELETE", f"/v2/pods/no::instances/no.instance-{_UUID}")
    assert (404, {"message": "Path '/no' does not exist"}) == (reply.status, reply.json)


@pytest.mark.parametrize("ids", [["p.instance-x"], [f"p.instance-{_UUID}", "p.marathon-x"]])
def test_an_instance_is_named_by_a_uuid(world: World, ids: list[str]) -> None:
    """The form of the whole id is looked at first."""
    _runs(world)
    reply = world.ask("DELETE", "/v2/pods/p::instances", ids)
    assert (422, {"message": "Invalid UUID string: x"}) == (reply.status, reply.json)


def test_the_removal_of_a_pod_leads_to_a_deployment_s_name_below_the_root(world: World) -> None:
    """A location that is only a name is taken from the root, as the original's own framework does."""
    _runs(world)
    reply = world.ask("DELETE", "/v2/pods/p")
    assert f"http://{world.address}/{reply.headers['Marathon-Deployment-Id']}" == reply.headers["Location"]
