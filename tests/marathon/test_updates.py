"""What PUT and PATCH make of an app, in whole and in part: Marathon reads, completes and checks the two differently."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.marathon.replay import world_of
from tests.marathon.world import World

_APP: Final[dict[str, Any]] = {"id": "/a", "cmd": "sleep 100", "instances": 0}
_IMAGE: Final = {"type": "DOCKER", "docker": {"image": "img:1"}}


@pytest.fixture
def world() -> World:
    """A Marathon with one app that has no instances."""
    world = world_of("app-create")
    assert 201 == world.ask("POST", "/v2/apps", _APP).status
    return world


def _changed(world: World, update: dict[str, Any]) -> dict[str, Any]:
    assert 200 == world.ask("PUT", "/v2/apps/a", update).status
    app: dict[str, Any] = world.ask("GET", "/v2/apps/a").json["app"]
    return app


def test_a_patch_adds_no_app(world: World) -> None:
    """It is read as a whole app all the same, so one that lacks a command is told so first."""
    assert (404, "App '/absent' does not exist") == world.ask("PATCH", "/v2/apps/absent", {"cmd": "sleep 1"}).said
    status, violations = world.ask("PATCH", "/v2/apps/absent", {"instances": 1}).said
    assert (422, ["/"]) == (status, list(violations))


@pytest.mark.parametrize(("path", "query"), [("/v2/apps/absent", ""), ("/v2/apps/a", "partialUpdate=false")])
@pytest.mark.parametrize("body", ["null", "3", '"x"', "[]"])
def test_a_whole_app_has_to_be_an_object(world: World, path: str, query: str, body: str) -> None:
    """Where a part of an app may be anything: what has no fields changes none."""
    assert (422, {"": ["error.expected.jsobject"]}) == world.ask("PUT", path, raw=body.encode(), query=query).said


def test_a_part_that_is_no_object_changes_nothing(world: World) -> None:
    """Not even the version."""
    before = world.ask("GET", "/v2/apps/a").json["app"]["version"]
    assert 200 == world.ask("PUT", "/v2/apps/a", raw=b"3").status
    assert before == world.ask("GET", "/v2/apps/a").json["app"]["version"]


@pytest.mark.parametrize(
    ("path", "query", "status"), [("/v2/apps/n", "", 201), ("/v2/apps/a", "partialUpdate=false", 200)]
)
def test_the_version_of_a_whole_app_is_overlooked(world: World, path: str, query: str, status: int) -> None:
    """Only a part with a version is a roll-back."""
    body = {"cmd": "sleep 7", "instances": 0, "version": "2015-02-16T10:42:44.812Z"}
    assert status == world.ask("PUT", path, body, query=query).status
    assert "sleep 7" == world.ask("GET", path).json["app"]["cmd"]


def test_a_list_of_whole_apps_needs_their_ids_as_a_list_of_parts_does(world: World) -> None:
    """In other words, because it is read as apps."""
    whole = world.ask("PUT", "/v2/apps", [{"cmd": "sleep 1"}], query="partialUpdate=false")
    assert (422, {"(0)/id": ['\'id\' is undefined on object: {"cmd":"sleep 1"}']}) == whole.said
    part = world.ask("PUT", "/v2/apps", [{"cmd": "sleep 1"}])
    assert (422, "requirement failed: App Update must have app id set") == part.said


def test_a_whole_app_in_a_list_replaces_all_of_the_old_one(world: World) -> None:
    """What it does not name has its default again."""
    _changed(world, {"cpus": 0.5, "labels": {"a": "b"}})
    assert 200 == world.ask("PUT", "/v2/apps", [_APP], query="partialUpdate=false").status
    app = world.ask("GET", "/v2/apps/a").json["app"]
    assert (1.0, {}) == (app["cpus"], app["labels"])


def test_the_id_in_a_part_is_read_and_overlooked(world: World) -> None:
    """Read means that one with a wrong form is refused; the address says which app it is."""
    assert (422, {"/id": ["error.pattern"]}) == world.ask("PUT", "/v2/apps/a", {"id": "/Bad Id"}).said
    assert 200 == world.ask("PUT", "/v2/apps/a", {"id": "/other", "cpus": 0.2}).status
    assert 404 == world.ask("GET", "/v2/apps/other").status


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"uris": ["http://a/b"], "fetch": [{"uri": "http://a/b"}]}, "cannot specify both uris and fetch fields"),
        ({"ipAddress": {}, "networks": [{"mode": "host"}]}, "cannot mix deprecated and canonical network APIs"),
        ({"networks": [{"mode": "container"}]}, "container network name is not defined"),
        (
            {"container": {**_IMAGE, "docker": {"image": "i", "network": "NONE"}}},
            "unsupported docker network type NONE",
        ),
    ],
)
def test_deprecated_fields_of_a_part_are_translated_unchecked(
    world: World, update: dict[str, Any], message: str
) -> None:
    """So what a whole app is told as a violation is an error of the server here."""
    assert (500, message) == world.ask("PUT", "/v2/apps/a", update).said


def test_another_network_brings_a_container_of_its_own(world: World) -> None:
    """Even in the place of the one that the app has: the update names none, and such networks need one."""
    assert 200 == world.ask("PUT", "/v2/apps/a", {"container": _IMAGE}).status
    app = _changed(world, {"networks": [{"mode": "container/bridge"}]})
    assert "MESOS" == app["container"]["type"]
    assert [0] == [mapping["hostPort"] for mapping in app["container"]["portMappings"]]
    assert "portDefinitions" not in app


def test_an_address_on_the_network_that_is_called_as_the_bridge_is_on_the_bridge(world: World) -> None:
    """The name is Marathon's own flag."""
    found = world.ask("POST", "/v2/apps", {**_APP, "id": "/b", "ipAddress": {"networkName": "mesos-bridge"}})
    assert [{"mode": "container/bridge"}] == found.json["networks"]


def test_what_is_wrong_with_one_change_is_told_to_nobody_else(world: World) -> None:
    """It is found before the tree is touched; of several changes only the form is."""
    kinds = [kind for kind, _ in world.events]
    assert 422 == world.ask("PUT", "/v2/apps/a", {"args": ["x"]}).status
    assert kinds == [kind for kind, _ in world.events]
    assert 422 == world.ask("PUT", "/v2/apps", [{"id": "/a", "args": ["x"]}]).status
    assert "group_change_failed" == world.events[-1][0]


# Kills ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2/apps/absent/tasks", "/v2/apps/a/tasks", "/v2/apps/a/tasks/zzz"])
def test_to_scale_down_what_has_no_instance_is_to_name_no_path(world: World, path: str) -> None:
    """In words of its own, and without details, whether there is such an app or not."""
    found = world.ask("DELETE", path, query="scale=true")
    app = path.split("/")[3]
    assert (404, {"message": f"Path '/{app}' does not exist"}) == (found.status, found.json)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v2/apps/absent/tasks"), ("DELETE", "/v2/apps/absent/tasks/x"), ("POST", "/v2/tasks/delete")],
)
def test_nobody_scales_and_wipes_at_the_same_time(world: World, method: str, path: str) -> None:
    """That is told before anything else is looked at."""
    found = world.ask(method, path, query="scale=true&wipe=true")
    assert (400, "You cannot use scale and wipe at the same time.") == (found.status, found.json["message"])


def test_an_instance_that_is_being_killed_already_is_not_missed_twice(world: World) -> None:
    """Two requests to kill and scale the same instance make the app smaller by one."""
    world.ask("POST", "/v2/apps", {**_APP, "id": "/b", "instances": 3, "cpus": 0.1, "mem": 16})
    world.settle()
    task = world.ask("GET", "/v2/apps/b/tasks").json["tasks"][0]["id"]
    world.ask("DELETE", f"/v2/apps/b/tasks/{task}")
    world.timeline.advance(30)
    world.ask("DELETE", f"/v2/apps/b/tasks/{task}", query="scale=true")
    assert 3 == world.ask("GET", "/v2/apps/b").json["app"]["instances"]


@pytest.mark.parametrize(
    ("query", "message"),
    [("backup=ftp://a/b", "ftp://a/b"), ("backup=file:///ok&restore=file:x", "file:x"), ("restore=x", "x")],
)
def test_a_leader_stores_its_state_in_files_or_in_s3(world: World, query: str, message: str) -> None:
    """Anything else is refused, and it goes on to lead."""
    found = world.ask("DELETE", "/v2/leader", query=query).said
    assert (422, {"/": [f"Invalid URI or unsupported scheme: {message}"]}) == found
    world.timeline.advance(3_000)
    assert 200 == world.ask("GET", "/v2/leader").status
