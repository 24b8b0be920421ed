"""What the end of a deployment without force undoes of groups."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.marathon.replay import world_of
from tests.marathon.world import World

_SMALL: Final[dict[str, Any]] = {"cmd": "sleep 100", "cpus": 0.1, "mem": 16}
_CONTAINER: Final = {"name": "c", "resources": {"cpus": 0.1, "mem": 16}, "exec": {"command": {"shell": "sleep 1"}}}
_POD: Final = {"id": "/g/p", "scaling": {"kind": "fixed", "instances": 0}, "containers": [_CONTAINER]}


def _undo(world: World) -> None:
    (deployment,) = world.ask("GET", "/v2/deployments").json
    assert 200 == world.ask("DELETE", f"/v2/deployments/{deployment['id']}").status
    world.settle()


def test_what_is_undone_of_a_deletion_is_the_whole_group_again() -> None:
    """With the groups in it that were empty, and with what it depended on."""
    world = world_of("app-create")
    world.ask("PUT", "/v2/groups/needed", {"apps": []})
    group = {"apps": [{"id": "a", **_SMALL}], "groups": [{"id": "empty"}], "dependencies": ["/needed"]}
    world.ask("PUT", "/v2/groups/g", group)
    world.settle()
    world.ask("DELETE", "/v2/groups/g")
    _undo(world)
    shown = world.ask("GET", "/v2/groups/g").json
    assert ["/g/a"] == [app["id"] for app in shown["apps"]]
    assert (["/g/empty"], ["/needed"]) == ([each["id"] for each in shown["groups"]], shown["dependencies"])


@pytest.mark.parametrize(
    ("method", "path", "body"), [("PUT", "/v2/groups/g/other", {"apps": []}), ("POST", "/v2/pods", _POD)]
)
def test_what_is_undone_of_a_group_leaves_what_others_put_into_it(method: str, path: str, body: dict[str, Any]) -> None:
    """Groups are not locked by deployments."""
    world = world_of("app-create")
    world.ask("PUT", "/v2/groups/g", {"apps": [{"id": "a", **_SMALL, "cpus": 500}]})
    assert world.ask(method, path, body).status < 300
    world.timeline.advance(1_000)
    _undo(world)
    shown = world.ask("GET", "/v2/groups/g").json
    assert ([], 1) == (shown["apps"], len(shown["groups"]) + len(shown["pods"]))


def test_what_is_undone_of_a_change_gives_back_what_the_group_depended_on() -> None:
    """And takes what was added."""
    world = world_of("app-create")
    world.ask("PUT", "/v2/groups", {"groups": [{"id": "one"}, {"id": "two"}]})
    world.ask("PUT", "/v2/groups/g", {"apps": [{"id": "a", **_SMALL}], "dependencies": ["/one"]})
    world.settle()
    world.ask("PUT", "/v2/groups/g", {"apps": [{"id": "a", **_SMALL, "cpus": 500}], "dependencies": ["/two"]})
    _undo(world)
    assert ["/one"] == world.ask("GET", "/v2/groups/g").json["dependencies"]
