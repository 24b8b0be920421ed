"""Which tasks are meant by their ids, and what is said to ids that are none."""

from __future__ import annotations

from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.refusals import Refusal
from roadstead_backends.marathon.emulator.scheduling.task_ids import instance_named
from tests.marathon.replay import world_of
from tests.marathon.world import World

_UUID: Final = "0f0f0f0f-0000-11e9-9fcd-0242ac110002"
_APP: Final[dict[str, Any]] = {"id": "/g/a", "cmd": "sleep 100", "cpus": 0.1, "mem": 16}


@pytest.fixture
def world() -> World:
    """A Marathon with one app that runs."""
    world = world_of("app-create")
    world.ask("POST", "/v2/apps", _APP)
    world.settle()
    return world


def _task(world: World) -> str:
    return str(world.ask("GET", "/v2/apps/g/a/tasks").json["tasks"][0]["id"])


@pytest.mark.parametrize(
    ("task_id", "named"),
    [
        (f"g_a.instance-{_UUID}._app.1", f"g_a.instance-{_UUID}"),
        (f"g_a.instance-{_UUID}.web.12", f"g_a.instance-{_UUID}"),
        (f"g_a.instance-{_UUID}.$anon", f"g_a.instance-{_UUID}"),
        (f"g_a.marathon-{_UUID}.web", f"g_a.marathon-{_UUID}"),
        (f"g_a.{_UUID}.3", f"g_a.marathon-{_UUID}"),
        (f"g_a.{_UUID}", f"g_a.marathon-{_UUID}"),
        (f"g_a_{_UUID}", f"g_a.marathon-{_UUID}"),
        ("nothing", None),
    ],
)
def test_a_task_names_its_instance_in_every_form_that_ids_ever_had(task_id: str, named: str | None) -> None:
    """With and without a container, with and without an incarnation, and as before there were instances."""
    assert named == instance_named(task_id)


@pytest.mark.parametrize(
    ("task_id", "taken"), [("g_a.xyz", "xyz"), ("g_a", "a"), (f"g.instance-{_UUID}", f"instance-{_UUID}")]
)
def test_where_an_id_has_no_uuid_that_is_what_is_said(task_id: str, taken: str) -> None:
    """The id of an instance is none of a task."""
    with pytest.raises(Refusal) as refused:
        instance_named(task_id)
    assert (422, {"message": f"Invalid UUID string: {taken}"}) == (refused.value.status, refused.value.body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "'ids' is undefined on object: {}"),
        ({"ids": "x"}, "error.expected.jsarray"),
        ([1], "[1] is not an object"),
    ],
)
def test_errors_of_the_list_of_ids_are_told_without_the_field_s_name(world: World, body: Any, message: str) -> None:
    """It is taken out of the object before it is read."""
    reply = world.ask("POST", "/v2/tasks/delete", body)
    assert (422, [{"path": "", "errors": [message]}]) == (reply.status, reply.json["details"])


def test_what_cannot_be_an_id_is_refused_with_the_reason(world: World) -> None:
    """In the words of Scala's own error."""
    reply = world.ask("POST", "/v2/tasks/delete", {"ids": ["x"]})
    words = "Invalid task id 'x'. [taskId x no valid identifier (of class java.lang.String)]"
    assert (400, words) == (reply.status, reply.json["message"])


def test_the_id_of_an_earlier_incarnation_ends_the_present_one(world: World) -> None:
    """It is the instance that is meant."""
    first = _task(world)
    world.ask("POST", "/v2/tasks/delete", {"ids": [first]})
    world.settle(3_000)
    second = _task(world)
    reply = world.ask("DELETE", f"/v2/apps/g/a/tasks/{first}")
    assert (200, second) == (reply.status, reply.json["task"]["id"])
    assert (f"{first[:-1]}1", f"{first[:-1]}2") == (first, second)
