"""What Marathon keeps of an app: what its own classes have a place for, and take, whatever was said."""

from __future__ import annotations

from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.documents.scala_order import members
from roadstead_backends.marathon.emulator.rules.uris import is_uri
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
        ([""], {"": 'A role name must not be "".'}),
        ([".."], {"": 'A role name must not be "..".'}),
        (["-a"], {"": "A role name must not start with a '-'."}),
        (["a b"], {"(1)": r"A role name must not include a space (\x20) character."}),
        (["*", "a/"], {"(1)": r"A role name must not include a slash (\x2f) character."}),
    ],
)
def test_a_role_that_is_accepted_has_a_name_that_mesos_takes(
    world: World, roles: list[str], violations: dict[str, str]
) -> None:
    """And is the app's own, or anybody's."""
    reply = world.ask("POST", "/v2/apps", {**_APP, "acceptedResourceRoles": roles})
    expected = {f"/acceptedResourceRoles{place}": [words] for place, words in violations.items()}
    expected.setdefault("/acceptedResourceRoles", []).append("acceptedResourceRoles can only contain *")
    assert (422, expected) == reply.said


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        ({"inactiveAfterSeconds": 10, "expungeAfterSeconds": 5}, "got 10 seconds, expected 5 seconds or less"),
        ({"inactiveAfterSeconds": 1}, "got 1 second, expected 0 seconds or less"),
    ],
)
def test_no_instance_is_forgotten_before_it_is_given_up(world: World, strategy: dict[str, int], words: str) -> None:
    """In an app of a group that is told at the app's id."""
    app = {**_APP, "unreachableStrategy": strategy}
    assert (422, {"/unreachableStrategy/inactiveAfter": [words]}) == world.ask("POST", "/v2/apps", app).said
    group = {"id": "/g", "apps": [{**app, "id": "a"}]}
    assert (422, {"/apps//g/a": [words]}) == world.ask("POST", "/v2/groups", group).said


def test_a_readiness_check_takes_some_time(world: World) -> None:
    """Less than lies between two of them, but some."""
    check = {"portName": "default", "intervalSeconds": 5, "timeoutSeconds": 0}
    found = world.ask("POST", "/v2/apps", {**_APP, "readinessChecks": [check]}).said
    assert (422, {"/readinessChecks(0)/timeout/toSeconds": ["got 0, expected more than 0"]}) == found


def test_a_check_by_command_has_neither_path_nor_port(world: World) -> None:
    """The original has no case for one that has: an error of the server."""
    check = {"protocol": "COMMAND", "command": {"value": "true"}, "path": "/x"}
    words = (
        "AppHealthCheck(Some(AppCommandCheck(true)),300,None,60,3,Some(/x),None,None,COMMAND,IPv4,20,15)"
        " (of class mesosphere.marathon.raml.AppHealthCheck)"
    )
    assert (500, words) == world.ask("POST", "/v2/apps", {**_APP, "healthChecks": [check]}).said


def test_disks_are_only_chosen_by_what_their_path_is_like() -> None:
    """Unlike is a rule that is allowed, and that the original has no case for."""
    persistent = {"size": 10, "type": "mount", "constraints": [["path", "UNLIKE", "/mnt/.*"]]}
    container = {"type": "MESOS", "volumes": [{"containerPath": "d", "mode": "RW", "persistent": persistent}]}
    reply = world_of("features").ask("POST", "/v2/apps", {**_APP, "id": "/r/a", "role": "r", "container": container})
    assert (500, "illegal volume constraint path,UNLIKE,/mnt/.*") == reply.said


@pytest.mark.parametrize(
    ("options", "violations"),
    [
        ({"dvdi/iops": "0"}, {'/"dvdi/iops"': "Expected a valid, positive integer instead of 0"}),
        ({"dvdi/iops": "many"}, {'/"dvdi/iops"': "Expected a valid, positive integer instead of many"}),
        ({"dvdi/overwritefs": "false"}, {'/"dvdi/overwritefs"': "Expected a valid boolean"}),
        (
            {"dvdi/newfstype": "X F S"},
            {'/"dvdi/newfstype"': "must match regular expression '^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$'"},
        ),
        ({"dvdi/iops": "100", "dvdi/overwritefs": "TRUE", "dvdi/volumetype": "io1"}, {}),
    ],
)
def test_a_volume_driver_s_options_are_checked(options: dict[str, str], violations: dict[str, str]) -> None:
    """Of the one that Marathon knows."""
    reply = world_of("features").ask("POST", "/v2/apps", _mounting("/a", {"dvdi/driver": "rexray", **options}))
    expected = {f"/container/volumes(0)/external/options{place}": [words] for place, words in violations.items()}
    assert ((422, expected) if violations else (201, None)) == reply.said


def test_a_volume_is_mounted_by_one_app() -> None:
    """Both are told of the other, where they stand in the tree."""
    world = world_of("features")
    assert 201 == world.ask("POST", "/v2/apps", _mounting("/g/a", {"dvdi/driver": "rexray"})).status
    expected = {
        "/groups(0)/apps(0)/container": [
            "Volume name 'v' in /g/a conflicts with volume(s) of same name in app(s): /g/b"
        ],
        "/groups(0)/apps(1)/container": [
            "Volume name 'v' in /g/b conflicts with volume(s) of same name in app(s): /g/a"
        ],
    }
    assert (422, expected) == world.ask("POST", "/v2/apps", _mounting("/g/b", {"dvdi/driver": "rexray"})).said


def _mounting(app_id: str, options: dict[str, str]) -> dict[str, Any]:
    external = {"name": "v", "provider": "dvdi", "options": options}
    container = {"type": "MESOS", "volumes": [{"containerPath": "d", "mode": "RW", "external": external}]}
    return {**_APP, "id": app_id, "container": container}


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("2015-02-16T10:42:44.812Z", 201),
        ("2015-02-16T10:42+01:00", 201),
        ("2015-02-16T10:42:44.812", 422),
        ("2015-02-16", 422),
        ("2015-02-30T10:42:44Z", 422),
        ("2015-02-16T10:42:44+0100", 422),
    ],
)
def test_a_point_in_time_has_its_offset(world: World, version: str, status: int) -> None:
    """And is one that was, or will be."""
    reply = world.ask("POST", "/v2/apps", {**_APP, "version": version})
    expected = None if status == 201 else {"/version": ["error.expected.date.isoformat"]}
    assert (status, expected) == reply.said


@pytest.mark.parametrize(
    "text",
    [
        "http://a/b.tgz?x=[1]#f", "hdfs://h:9000/x", "mailto:x@y", "http://[::1]:80/x", "//h/p", "?q", "#f", "",
        "http://user:pw@h/%20", "s3a://b_u/x", "///x", "./a:b", "http:a", "é/ü",
    ],
)  # fmt: skip
def test_what_java_takes_for_a_uri(text: str) -> None:
    """With a scheme or without, of a hierarchy or opaque."""
    assert is_uri(text)


@pytest.mark.parametrize(
    "text",
    [
        "a b", "a^b", "http://a/%zz", "http://", "http:", "1http://x", ":x", "a#b#c", "http://a/[x]", "a|b",
        "http://[::1", "//", "a\tb", "a:b c", "{x}",
    ],
)  # fmt: skip
def test_what_java_takes_for_none(text: str) -> None:
    """Signs that are not allowed where they stand, and what lacks a part."""
    assert not is_uri(text)


def test_members_of_a_set_stand_in_the_order_of_their_hashes_once_they_are_more_than_four(world: World) -> None:
    """As Scala's sets do; whichever way an app names what it depends on."""
    codes = {"portName": "default", "httpStatusCodesForReady": [1, 2, 3, 4, 5, 6, 1]}
    app = {"id": "/set", "cmd": "sleep 1", "instances": 0, "dependencies": ["b", "a"], "readinessChecks": [codes]}
    kept = world.ask("POST", "/v2/apps", app).json
    assert kept["readinessChecks"][0]["httpStatusCodesForReady"] == [5, 1, 6, 2, 3, 4]
    assert kept["dependencies"] == ["/b", "/a"]
    assert members(list("abcdef")) == list("efabcd")
    constraints = [[name, "UNIQUE"] for name in "abcdef"]
    world.ask("PUT", "/v2/apps//set", {"constraints": constraints, "dependencies": list("abcdef")})
    kept = world.ask("GET", "/v2/apps//set").json["app"]
    assert kept["dependencies"] == members([f"/{name}" for name in "abcdef"])
    assert sorted(kept["constraints"]) == constraints != kept["constraints"]
