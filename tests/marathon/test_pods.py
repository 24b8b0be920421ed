"""Which pods are accepted, in what words others are refused, and what Marathon adds to them."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.marathon.replay import world_of
from tests.marathon.world import World

_CONTAINER: Final[dict[str, Any]] = {"name": "c", "resources": {"cpus": 0.1, "mem": 32}}
_POD: Final[dict[str, Any]] = {
    "id": "/p",
    "scaling": {"kind": "fixed", "instances": 0},
    "networks": [{"mode": "host"}],
    "containers": [_CONTAINER],
}
_VOLUME: Final = {"name": "v", "persistent": {"size": 16}}
_MOUNTED: Final = {**_CONTAINER, "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
_RESIDENT: Final[dict[str, Any]] = {**_POD, "volumes": [_VOLUME], "containers": [_MOUNTED]}
_SECCOMP: Final = "Seccomp unconfined can NOT be true when Profile is defined"
_CONFINED: Final = "Seccomp unconfined must be true when Profile is NOT defined"
_BELOW: Final = "resource limit must be greater than or equal to requested resource"
_SHARED: Final = "ipcInfo shmSize can NOT be set when mode is SHARE_PARENT"
_SEVERAL: Final = (
    "networkNames must be a single item list when hostPort is specified and more than 1 container network is defined"
)


@pytest.fixture
def world() -> World:
    """A Marathon without features."""
    return world_of("app-create")


def _with(**container: Any) -> dict[str, Any]:
    return {**_POD, "containers": [{**_CONTAINER, **container}]}


@pytest.mark.parametrize(
    ("pod", "violations"),
    [
        ({**_POD, "linuxInfo": {"seccomp": {"unconfined": True}}}, {
            "/linuxInfo/seccomp": ["Seccomp configuration on executor level is not supported"],
        }),
        ({**_POD, "linuxInfo": {"ipcInfo": {"mode": "SHARE_PARENT", "shmSize": 1}}}, {"/linuxInfo/ipcInfo": [_SHARED]}),
        (_with(linuxInfo={"seccomp": {"profileName": "p", "unconfined": True}}), {
            "/containers(0)/linuxInfo/seccomp": [_SECCOMP],
        }),
        (_with(linuxInfo={"seccomp": {"unconfined": False}}), {"/containers(0)/linuxInfo/seccomp": [_CONFINED]}),
        ({**_with(resourceLimits={"cpus": "unlimited"}), "legacySharedCgroups": True}, {
            "/containers(0)/resourceLimits": [
                "resourceLimits cannot be defined if legacySharedCgroups is enabled"
            ],
        }),
        ({**_POD, "secrets": {"s": {"source": "x"}}}, {
            "/secrets": ["must be empty", "Feature secrets is not enabled. Enable with --enable_features secrets)"],
        }),
        ({**_POD, "scheduling": {"placement": {"constraints": [{"fieldName": "a", "operator": "MAX_PER"}]}}}, {
            "/scheduling/placement/constraints": ["must be empty"],
            "/scheduling/placement/constraints(0)": ["MAX_PER requires an integer value"],
        }),
        ({**_POD, "scheduling": {"placement": {"acceptedResourceRoles": ["*", "x"]}}}, {
            "/acceptedResourceRoles": ["acceptedResourceRoles can only contain *"],
        }),
        (_with(endpoints=[{"name": "e"}, {"name": "e"}]), {
            "/": ["endpoint names nust be unique across all containers"],
        }),
        (_with(healthCheck={"exec": {"command": {"shell": ""}}}), {
            "/containers(0)/healthCheck/exec/command/argv": ["'argv' is undefined on object: {\"shell\":\"\"}"],
        }),
        (_with(exec={"command": {"argv": []}}), {"/containers(0)/exec/command/argv": ["error.minLength"]}),
        (_with(endpoints=[{"name": "e", "protocol": []}]), {
            "/containers(0)/endpoints(0)/protocol": ["error.minLength"],
        }),
        (_with(linuxInfo={"ipcInfo": {}}), {"/containers(0)/linuxInfo/ipcInfo/mode": ["error.path.missing"]}),
        (_with(linuxInfo={"seccomp": {"unconfined": "x"}}), {"/containers(0)/linuxInfo/seccomp": [_CONFINED]}),
        ({**_POD, "scaling": {"kind": "fixed", "instances": -1}}, {
            "/scaling/instances": ["got -1, expected 0 or more"],
        }),
        (_with(resources={"cpus": 0.0001, "mem": 2e7}, resourceLimits={"cpus": 0.00001, "mem": 1}), {
            "/containers(0)/resourceLimits/cpus": [f"{_BELOW} (1.0E-4)"],
            "/containers(0)/resourceLimits/mem": [f"{_BELOW} (2.0E7)"],
        }),
        (_with(environment={"P": {"secret": "s"}}), {
            "/containers(0)/environment": [
                "use of secret-references in the environment requires the secrets feature to be enabled"
            ],
            "/containers(0)/environment/P/secret": ["references an undefined secret"],
        }),
        ({**_POD, "volumes": [{"name": "v", "secret": "s"}], "containers": [_MOUNTED]}, {
            "/podSecretVolumes(pod)": [
                "must be empty",
                "Feature secrets is not enabled. Enable with --enable_features secrets)",
                "volume.secret must refer to an existing secret",
            ],
        }),
        ({**_RESIDENT, "scheduling": {"upgrade": {"maximumOverCapacity": 0.5}}}, {
            "/upgrade/maximumOverCapacity": ["got 0.5, expected 0.0"],
        }),
        ({**_RESIDENT, "scheduling": {"placement": {"acceptedResourceRoles": ["*", "x"]}}}, {
            "/acceptedResourceRoles": [
                "must be empty", 'A resident pod must have `acceptedResourceRoles = ["*"]`.'
            ],
        }),
        (_RESIDENT, {
            "/role": ["Resident pods cannot have the role *"],
        }),
        (
            {
                **_RESIDENT,
                "scheduling": {"unreachableStrategy": {"inactiveAfterSeconds": 1, "expungeAfterSeconds": 2}},
            },
            {"/": ["unreachableStrategy must be disabled for pods with persistent volumes"]},
        ),
        (
            {
                **_with(endpoints=[{"name": "e", "containerPort": 80, "hostPort": 0}]),
                "networks": [{"mode": "container", "name": "a"}, {"mode": "container", "name": "b"}],
            },
            {"/containers(0)/endpoints(0)": [_SEVERAL]},
        ),
    ],
)  # fmt: skip
def test_a_pod_that_breaks_a_rule_is_told_which(world: World, pod: dict[str, Any], violations: dict[str, Any]) -> None:
    """Every rule that it breaks, by path."""
    assert (422, violations) == world.ask("POST", "/v2/pods", pod).said


def test_a_check_over_https_is_one_that_the_conversion_does_not_know(world: World) -> None:
    """Of pods and of apps: an error of the server."""
    words = "HTTPS (of class mesosphere.marathon.raml.HttpScheme$Https$)"
    endpoints = [{"name": "e", "hostPort": 0}]
    pod = _with(check={"http": {"endpoint": "e", "scheme": "HTTPS"}}, endpoints=endpoints)
    assert (500, words) == world.ask("POST", "/v2/pods", pod).said
    app = {"id": "/a", "cmd": "sleep 1", "instances": 0, "check": {"http": {"portIndex": 0, "scheme": "HTTPS"}}}
    assert (500, words) == world.ask("POST", "/v2/apps", app).said
    app["check"] = {"http": {"port": 8080}}
    assert {"port": 8080, "scheme": "HTTP"} == world.ask("POST", "/v2/apps", app).json["check"]["http"]


@pytest.mark.parametrize(("mode", "given"), [("host", 0), ("container/bridge", 0), ("container", None)])
def test_an_endpoint_gets_a_port_on_the_host_unless_the_pod_has_an_address_of_its_own(
    world: World, mode: str, given: int | None
) -> None:
    """Zero stands for any."""
    endpoint = {"name": "e"} if mode == "host" else {"name": "e", "containerPort": 80}
    network = {"mode": mode, "name": "n"} if mode == "container" else {"mode": mode}
    found = world.ask("POST", "/v2/pods", {**_with(endpoints=[endpoint]), "networks": [network]})
    assert given == found.json["containers"][0]["endpoints"][0].get("hostPort")


def test_the_container_of_an_app_has_the_same_rules_of_linux(world: World) -> None:
    """Where seccomp is, and where it is said which."""
    container = {"type": "MESOS", "linuxInfo": {"seccomp": {"unconfined": False}, "ipcInfo": {"mode": "PRIVATE"}}}
    app = {"id": "/a", "cmd": "sleep 1", "instances": 0, "container": container}
    assert (422, {"/container/linuxInfo/seccomp": [_CONFINED]}) == world.ask("POST", "/v2/apps", app).said


def test_a_mount_says_whether_it_can_only_be_read(world: World) -> None:
    """Even where nobody asked."""
    mounted = _with(volumeMounts=[{"name": "v", "mountPath": "/m"}])
    found = world.ask("POST", "/v2/pods", {**mounted, "volumes": [{"name": "v", "host": "/h"}]}).json
    assert [{"name": "v", "mountPath": "/m", "readOnly": False}] == found["containers"][0]["volumeMounts"]


def test_a_pod_is_checked_before_its_id_is_compared_with_the_address(world: World) -> None:
    """Which is asked only of one that is right otherwise."""
    twice = {**_POD, "containers": [_CONTAINER, _CONTAINER]}
    assert (422, {"/containers": ["container names must be unique"]}) == world.ask("PUT", "/v2/pods/q", twice).said
    assert (400, "'/q' does not match definition's id ('/p')") == world.ask("PUT", "/v2/pods/q", _POD).said


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/pods/Bad"),
        ("DELETE", "/v2/pods/Bad"),
        ("GET", "/v2/pods/Bad::status"),
        ("GET", "/v2/pods/Bad::versions"),
        ("DELETE", "/v2/pods/Bad::instances/x"),
    ],
)
def test_an_id_that_no_pod_can_have_is_not_looked_for(world: World, method: str, path: str) -> None:
    """Of apps it would be: they are only not found."""
    status, violations = world.ask(method, path).said
    assert (422, ["/"]) == (status, list(violations))
    assert "must fully match regular expression" in violations["/"][0]


@pytest.mark.parametrize("name", ["1st", "a-b", "a.b", ""])
def test_the_variables_of_a_pod_have_names_that_a_shell_takes(world: World, name: str) -> None:
    """Those of an app have any name that is not empty."""
    words = {f"/environment/{name}": ["error.pattern"]}
    assert (422, words) == world.ask("POST", "/v2/pods", {**_POD, "environment": {name: "x"}}).said
    app = {"id": "/a", "cmd": "sleep 1", "instances": 0, "env": {name: "x"}}
    expected = (201, None) if name else (422, {"/env/keys(0)": ["must not be empty"]})
    assert expected == world.ask("POST", "/v2/apps", app).said


def test_the_number_of_a_pods_instances_is_one_where_it_cannot_be_read(world: World) -> None:
    """Its reader has no words for what is wrong, and knows no largest number."""
    pod = {**_POD, "scaling": {"kind": "fixed", "instances": "x", "maxInstances": 3}}
    assert {"instances": 1, "kind": "fixed"} == world.ask("POST", "/v2/pods", pod).json["scaling"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1e300, "Duration DSL not applicable to 1.0E300"),
        (1e10, "trying to construct too large duration with 1.0E19ns"),
    ],
)
def test_a_pod_waits_for_whole_milliseconds_and_not_for_ever(world: World, seconds: float, words: str) -> None:
    """What is less is cut off; what no duration holds is refused."""
    pod = {**_POD, "scheduling": {"backoff": {"backoff": 1.23456, "backoffFactor": 2, "maxLaunchDelay": 0.0004}}}
    kept = world.ask("POST", "/v2/pods", pod).json["scheduling"]["backoff"]
    assert kept == {"backoff": 1.234, "backoffFactor": 2, "maxLaunchDelay": 0}
    pod = {**_POD, "id": "/long", "scheduling": {"backoff": {"maxLaunchDelay": seconds}}}
    assert (422, words) == world.ask("POST", "/v2/pods", pod).said
