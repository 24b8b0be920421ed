"""What Marathon keeps of an app: what its own classes have a place for, whatever was said."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.marathon.replay import world_of
from tests.marathon.world import World

_APP: Final[dict[str, Any]] = {"id": "/a", "cmd": "sleep 100", "instances": 0}


@pytest.fixture
def world() -> World:
    """A Marathon without features."""
    return world_of("app-create")


def _kept(world: World, **fields: Any) -> dict[str, Any]:
    reply = world.ask("POST", "/v2/apps", {**_APP, **fields})
    assert (201, None) == (reply.status, reply.json.get("details"))
    kept: dict[str, Any] = world.ask("GET", "/v2/apps/a").json["app"]
    return kept


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS", "TCP"])
def test_checks_of_marathon_itself_have_no_delay_of_their_own(world: World, protocol: str) -> None:
    """The default is shown, whatever was asked for."""
    check = {"protocol": protocol, "portIndex": 0, "delaySeconds": 3}
    assert [15] == [each["delaySeconds"] for each in _kept(world, healthChecks=[check])["healthChecks"]]


@pytest.mark.parametrize("protocol", ["MESOS_HTTP", "MESOS_TCP"])
def test_checks_of_the_agents_keep_their_delay(world: World, protocol: str) -> None:
    """Mesos waits that long."""
    check = {"protocol": protocol, "portIndex": 0, "delaySeconds": 3}
    assert [3] == [each["delaySeconds"] for each in _kept(world, healthChecks=[check])["healthChecks"]]


def test_docker_has_no_use_for_what_is_said_of_linux(world: World) -> None:
    """Seccomp and shared memory are Mesos' own containers'."""
    docker = {"image": "i", "privileged": True, "parameters": [{"key": "a", "value": "b"}]}
    stated = {"type": "DOCKER", "docker": docker, "linuxInfo": {"ipcInfo": {"mode": "PRIVATE", "shmSize": 3}}}
    shown = {"type": "DOCKER", "docker": {"forcePullImage": False, **docker}, "volumes": []}
    assert shown == _kept(world, container=stated)["container"]


def test_mesos_has_no_use_for_docker_s_privileges(world: World) -> None:
    """It takes the image, and runs it without."""
    stated = {"type": "MESOS", "docker": {"image": "i", "privileged": True, "forcePullImage": True}}
    shown = {"forcePullImage": True, "image": "i", "parameters": [], "privileged": False}
    assert shown == _kept(world, container=stated)["container"]["docker"]


def test_the_index_of_a_check_s_port_is_not_shown(world: World) -> None:
    """The port is."""
    assert {} == _kept(world, check={"tcp": {"portIndex": 0}})["check"]["tcp"]


@pytest.mark.parametrize(
    ("roles", "violations"),
    [
        ([""], {"(0)": 'A role name must not be "".'}),
        ([".."], {"(0)": 'A role name must not be "..".'}),
        (["-a"], {"(0)": "A role name must not start with a '-'."}),
        (["a b"], {"(0)(1)": r"A role name must not include a space (\x20) character."}),
        (["*", "a/"], {"(1)(1)": r"A role name must not include a slash (\x2f) character."}),
    ],
)
def test_a_role_that_is_accepted_has_a_name_that_mesos_takes(
    world: World, roles: list[str], violations: dict[str, str]
) -> None:
    """And is the app's own, or anybody's."""
    reply = world.ask("POST", "/v2/apps", {**_APP, "acceptedResourceRoles": roles})
    expected = {f"/acceptedResourceRoles{place}": [words] for place, words in violations.items()}
    expected["/acceptedResourceRoles"] = ["acceptedResourceRoles can only contain *"]
    assert (422, expected) == (reply.status, {each["path"]: each["errors"] for each in reply.json["details"]})
