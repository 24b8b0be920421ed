"""The stream of events, and that TLS and secrets are left to others."""

from __future__ import annotations

from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.settings import Settings
from tests.marathon.world import World

_APP: Final[dict[str, Any]] = {"id": "/a", "cmd": "sleep 100", "cpus": 0.1, "mem": 16}


def _world(*features: str) -> World:
    return World(Settings(features=frozenset(features)), hosts=("h",), gpus=(0,))


@pytest.mark.parametrize("accepted", [None, "*/*", "text/html", "application/json", "text/event-stream;q=1"])
def test_only_who_asks_for_a_stream_gets_one(accepted: str | None) -> None:
    """In exactly that word."""
    headers = {} if accepted is None else {"Accept": accepted}
    reply = _world().ask("GET", "/v2/events", headers=headers)
    assert 405 == reply.status


def test_a_deletion_is_no_post() -> None:
    """Creating and changing an app are told of as API calls, deleting it only as what comes of it."""
    world = _world()
    world.ask("POST", "/v2/apps", _APP)
    world.settle()
    assert ["api_post_event"] == [kind for kind, _ in world.events if kind == "api_post_event"]
    world.events.clear()
    world.ask("DELETE", "/v2/apps/a")
    world.settle()
    kinds = {kind for kind, _ in world.events}
    assert {"group_change_success", "deployment_info", "deployment_success", "app_terminated_event"} <= kinds
    assert "api_post_event" not in kinds


def test_events_of_deployments_have_their_plan_and_those_of_tasks_their_words() -> None:
    """With its steps and version; a task's with the message and the addresses."""
    world = _world()
    world.ask("POST", "/v2/apps", _APP)
    world.settle()
    for kind, event in world.events:
        if kind in ("deployment_info", "deployment_success", "deployment_step_success"):
            assert {"id", "steps", "version"} <= event["plan"].keys()
        if kind == "status_update_event":
            assert {"message", "ipAddresses", "taskStatus", "slaveId"} <= event.keys()


def test_what_is_created_is_told_of_from_the_first_step_to_the_last() -> None:
    """Each step begins with news of the deployment, and instances go through their conditions."""
    world = _world()
    world.ask("POST", "/v2/apps", _APP)
    world.settle()
    conditions = [event["condition"] for kind, event in world.events if kind == "instance_changed_event"]
    assert ["Scheduled", "Provisioned", "Starting", "Running"] == conditions
    states = [event["taskStatus"] for kind, event in world.events if kind == "status_update_event"]
    assert ["TASK_STARTING", "TASK_RUNNING"] == states
    deployment = [kind for kind, _ in world.events if kind.startswith("deployment_")]
    assert ["deployment_info", "deployment_step_success"] * 2 + ["deployment_success"] == deployment


def test_secrets_are_refused_unless_they_are_enabled() -> None:
    """As without the flag of the original; with it they are kept, and nobody fills them in."""
    app = {**_APP, "instances": 0, "secrets": {"s": {"source": "/x"}}, "env": {"PASSWORD": {"secret": "s"}}}
    refused = _world().ask("POST", "/v2/apps", app)
    assert (422, True) == (refused.status, "Feature secrets is not enabled" in refused.text)
    kept = _world("secrets").ask("POST", "/v2/apps", app)
    assert (201, {"s": {"source": "/x"}}) == (kept.status, kept.json["secrets"])
    world = _world("secrets")
    world.ask("POST", "/v2/apps", {**app, "instances": 1})
    world.settle()
    (task,) = world.cluster.tasks.values()
    assert "PASSWORD" not in task.environment


_VOLUME: Final = {"containerPath": "data", "mode": "RW", "persistent": {"size": 16}}
_RESIDENT: Final[dict[str, Any]] = {
    "id": "/g/a",
    "cmd": "sleep 100",
    "cpus": 0.1,
    "mem": 16,
    "role": "g",
    "instances": 0,
    "container": {"type": "MESOS", "volumes": [_VOLUME]},
}


def test_a_persistent_volume_ties_an_app_to_its_agents() -> None:
    """So its upgrades kill first, and who cannot be reached is waited for."""
    world = _world()
    reply = world.ask("POST", "/v2/apps", _RESIDENT)
    assert 201 == reply.status, reply.text
    app = world.ask("GET", "/v2/apps/g/a").json["app"]
    assert {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0} == app["upgradeStrategy"]
    assert "disabled" == app["unreachableStrategy"]


@pytest.mark.parametrize(
    "change",
    [
        {"cpus": 0.2},
        {"requirePorts": True},
        {"portDefinitions": [{"port": 0}, {"port": 0}]},
        {"container": {"type": "MESOS", "volumes": [{**_VOLUME, "persistent": {"size": 17}}]}},
        {"upgradeStrategy": {"minimumHealthCapacity": 1, "maximumOverCapacity": 1}},
        {"unreachableStrategy": {"inactiveAfterSeconds": 1, "expungeAfterSeconds": 2}},
    ],
)
def test_what_is_kept_for_a_resident_app_cannot_be_changed(change: dict[str, Any]) -> None:
    """Its resources and volumes are reserved, and it can be nowhere else."""
    world = _world()
    world.ask("POST", "/v2/apps", _RESIDENT)
    assert 422 == world.ask("PUT", "/v2/apps/g/a", change).status


def test_a_resident_app_may_be_scaled_and_have_another_command() -> None:
    """Whatever was not reserved."""
    world = _world()
    world.ask("POST", "/v2/apps", _RESIDENT)
    assert 200 == world.ask("PUT", "/v2/apps/g/a", {"cmd": "sleep 7", "labels": {"a": "b"}}).status


def test_a_resident_pod_is_told_each_of_its_resources() -> None:
    """Where an app is told one sentence for all."""
    container: dict[str, Any] = {
        "name": "c",
        "resources": {"cpus": 0.1, "mem": 16},
        "exec": {"command": {"shell": "sleep 1"}},
    }
    container["volumeMounts"] = [{"name": "v", "mountPath": "data"}]
    pod = {
        "id": "/g/p",
        "role": "g",
        "scaling": {"kind": "fixed", "instances": 0},
        "containers": [container],
        "volumes": [{"name": "v", "persistent": {"size": 16}}],
    }
    world = _world()
    assert 201 == (reply := world.ask("POST", "/v2/pods", pod)).status, reply.text
    changed = {**pod, "containers": [{**container, "resources": {"cpus": 0.2, "mem": 17}}]}
    reply = world.ask("PUT", "/v2/pods/g/p", changed)
    told = [f"{field} cannot be updated if a pod has persistent volumes" for field in ("cpus", "mem")]
    assert (422, [{"path": "/pod(0)", "errors": told}]) == (reply.status, reply.json["details"])


def test_a_resident_app_needs_a_role_of_its_own() -> None:
    """Nothing can be reserved for everybody."""
    assert 422 == _world().ask("POST", "/v2/apps", {**_RESIDENT, "id": "/a", "role": "*"}).status
