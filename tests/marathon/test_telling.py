"""What events tell of who changed what."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.marathon.replay import world_of
from tests.marathon.world import World

_APP: Final[dict[str, Any]] = {"id": "/g/a", "cmd": "sleep 100", "instances": 0}


@pytest.fixture
def world() -> World:
    """A Marathon with one app in a group."""
    world = world_of("app-create")
    world.ask("POST", "/v2/apps", _APP)
    world.events.clear()
    return world


def _told(world: World, kind: str) -> list[dict[str, Any]]:
    return [event for each, event in world.events if each == kind]


@pytest.mark.parametrize(
    ("method", "path", "body", "group"),
    [
        ("POST", "/v2/groups", {"id": "/n/m"}, "/"),
        ("POST", "/v2/groups/g", {"id": "n"}, "/"),
        ("POST", "/v2/groups/g/n/m", {"apps": []}, "/g/n"),
        ("PUT", "/v2/groups/g", {"scaleBy": 2}, "/"),
        ("PUT", "/v2/groups/g/n", {"id": "m"}, "/g"),
        ("PUT", "/v2/groups", {"groups": []}, "/"),
        ("DELETE", "/v2/groups/g", None, "/"),
        ("PUT", "/v2/apps/g/a", {"cmd": "sleep 9"}, "/g"),
        ("PUT", "/v2/apps", [{"id": "/g/a", "cmd": "sleep 9"}], "/"),
    ],
)
def test_a_change_tells_the_group_around_the_address(
    world: World, method: str, path: str, body: Any, group: str
) -> None:
    """Not around what is meant by it, which may be further below."""
    assert world.ask(method, path, body).status < 300
    assert [group] == [event["groupId"] for event in _told(world, "group_change_success")]


def test_who_changed_several_apps_at_once_is_not_told(world: World) -> None:
    """Only of a single one there is an event with the address and the app."""
    world.ask("PUT", "/v2/apps", [{"id": "/g/a", "cmd": "sleep 9"}, {"id": "/g/b", "cmd": "sleep 9"}])
    world.settle()
    assert [] == _told(world, "api_post_event")
    world.ask("PATCH", "/v2/apps/g/a", {"cmd": "sleep 8"})
    assert ["/v2/apps/g/a"] == [event["uri"] for event in _told(world, "api_post_event")]
