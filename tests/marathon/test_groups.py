"""Which updates of a group are accepted, and what they say of the roles in it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.settings import Settings, profile_named
from tests.marathon.replay import world_of
from tests.marathon.world import World

_NONE: Final[dict[str, Any]] = {"cmd": "sleep 100", "instances": 0}
_ALONE: Final = (
    "enforceRole cannot be modified in a request that adds, removes or modifies services; please make these changes in"
    " separate requests."
)
_RESERVED: Final = "must not end with any of the following reserved keywords: restart, tasks, versions, ., .."


@pytest.fixture
def world() -> World:
    """A Marathon with a group ``/g`` and one in it."""
    world = world_of("app-create")
    update = {"id": "/g", "groups": [{"id": "in", "apps": [{"id": "a", **_NONE}]}]}
    assert 201 == world.ask("POST", "/v2/groups", update).status
    return world


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_the_id_in_the_address_is_checked_before_the_body_is_read(world: World, method: str) -> None:
    """As is the one in the body before anything else in it."""
    status, violations = world.ask(method, "/v2/groups/Bad", raw=b"{").said
    assert (422, ["/"]) == (status, list(violations))
    assert (422, {"/": [_RESERVED]}) == world.ask(method, "/v2/groups/x/restart", {}).said
    assert (422, {"/": [_RESERVED]}) == world.ask(
        method, "/v2/groups", {"id": "/x/tasks", "scaleBy": 2, "apps": []}
    ).said


def test_a_group_within_a_group_needs_an_id(world: World) -> None:
    """The original looks for it without asking whether it is there."""
    assert (500, "None.get") == world.ask("PUT", "/v2/groups/h", {"groups": [{"apps": []}]}).said


def test_an_inner_group_that_there_is_cannot_be_changed_from_above(world: World) -> None:
    """The update says of it that no role is enforced, and the group itself says nothing: that counts as a change."""
    inner = {"id": "in", "apps": [{"id": "a", **_NONE}]}
    assert (422, {"/groups(0)/enforceRole": [_ALONE]}) == world.ask("PUT", "/v2/groups/g", {"groups": [inner]}).said
    assert 200 == world.ask("PUT", "/v2/groups/g", {"groups": [{**inner, "id": "new"}]}).status
    assert 200 == world.ask("PUT", "/v2/groups/g/new", {"apps": [{"id": "a", **_NONE}]}).status


def test_who_names_the_group_again_has_to_say_of_roles_what_it_says(world: World) -> None:
    """What is not said counts as what new groups get, whatever the group says."""
    assert 200 == world.ask("PATCH", "/v2/groups/g", {"enforceRole": True}).status
    update = {"id": "/g", "apps": [{"id": "b", **_NONE}]}
    assert (422, {"/enforceRole": [_ALONE]}) == world.ask("PUT", "/v2/groups/g", update).said
    assert 200 == world.ask("PUT", "/v2/groups/g", {**update, "enforceRole": True}).status
    assert "g" == world.ask("GET", "/v2/apps/g/b").json["app"]["role"]


def test_a_roll_back_names_no_group(world: World) -> None:
    """Neither by its right to stand alone, nor by what it does not say of roles."""
    version = world.ask("GET", "/v2/groups/g").json["version"]
    alone = "not allowed in conjunction with other properties."
    found = world.ask("PUT", "/v2/groups/g", {"id": "/g", "version": version}).said
    assert (422, {"/version": [alone], "/enforceRole": [_ALONE]}) == found


def test_the_update_of_a_group_knows_fewer_roles_than_an_app_alone(world: World) -> None:
    """The group's own role is one only where it is enforced, or where the app has it already."""
    app = {"id": "b", **_NONE, "role": "g"}
    found = world.ask("PUT", "/v2/groups/g", {"apps": [app]}).said
    assert (422, {"/role": ["got g, expected one of: [*]"]}) == found
    assert 201 == world.ask("POST", "/v2/apps", {**app, "id": "/g/b"}).status
    assert 200 == world.ask("PUT", "/v2/groups/g", {"apps": [app]}).status


def test_a_relative_id_is_taken_twice_from_the_address_where_a_group_is_changed(world: World) -> None:
    """So its apps are of another group than the rules look for; one that is added has no such trouble."""
    update = {"id": "deep", "apps": [{"id": "a", **_NONE}]}
    found = world.ask("PUT", "/v2/groups/g", update).said
    assert (422, {"/apps(0)/id": ["Identifier is not child of '/g/deep/deep'"]}) == found
    assert 201 == world.ask("POST", "/v2/groups/g", update).status


def test_only_a_top_level_group_enforces_a_role(world: World) -> None:
    """Neither one below nor the root."""
    words = "enforceRole can only be set for top-level groups, and /g/low is not top-level"
    found = world.ask("POST", "/v2/groups/g", {"id": "low", "enforceRole": True}).said
    assert (422, {"/enforceRole": [words]}) == found


def test_1_8_knows_nothing_of_roles() -> None:
    """So nothing is wrong with naming a group again."""
    world = World(Settings(profile=profile_named("1.8")), hosts=("h",), gpus=(0,))
    for _ in range(2):
        update = {"id": "/g", "groups": [{"id": "in", "apps": [{"id": "a", **_NONE}]}]}
        assert 200 == world.ask("PUT", "/v2/groups/g", update).status
