"""What holds for every request: headers, deployment ids, suffixes, refusals, and JSON that is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.settings import Settings
from tests.marathon.replay import world_of
from tests.marathon.world import Reply, World

_APP: Final[dict[str, Any]] = {"id": "/g/a", "cmd": "sleep 100", "cpus": 0.1, "mem": 16}
_POD: Final[dict[str, Any]] = {
    "id": "/p",
    "containers": [{"name": "c", "resources": {"cpus": 0.1, "mem": 16}, "exec": {"command": {"shell": "sleep 1"}}}],
}
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_EXPECTED: Final = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


@pytest.fixture
def world() -> World:
    """A Marathon with one app that runs."""
    world = world_of("app-create")
    world.ask("POST", "/v2/apps", _APP)
    world.settle()
    return world


def _said(reply: Reply) -> tuple[int, Any]:
    return reply.status, reply.json.get("message")


@pytest.mark.parametrize(
    ("method", "path", "body", "query"),
    [
        ("POST", "/v2/apps", {**_APP, "id": "/g/b"}, ""),
        ("PUT", "/v2/apps/g/a", {"cmd": "sleep 2"}, ""),
        ("PUT", "/v2/apps/g/n", {"cmd": "sleep 2"}, ""),
        ("PATCH", "/v2/apps/g/a", {"cmd": "sleep 2"}, ""),
        ("PUT", "/v2/apps", [{"id": "/g/a", "cmd": "sleep 2"}], ""),
        ("PATCH", "/v2/apps", [{"id": "/g/a", "cmd": "sleep 2"}], ""),
        ("POST", "/v2/apps/g/a/restart", None, ""),
        ("DELETE", "/v2/apps/g/a", None, ""),
        ("DELETE", "/v2/apps/g/a/tasks", None, "scale=true"),
        ("POST", "/v2/groups", {"id": "/n", "apps": []}, ""),
        ("PUT", "/v2/groups/g", {"scaleBy": 2}, ""),
        ("DELETE", "/v2/groups/g", None, ""),
        ("POST", "/v2/pods", _POD, ""),
    ],
)
def test_whatever_begins_a_deployment_names_it_in_a_header(
    world: World, method: str, path: str, body: Any, query: str
) -> None:
    """And in the body, unless that is the app or the pod itself."""
    reply = world.ask(method, path, body, query=query)
    assert reply.status in (200, 201)
    identity = reply.headers["Marathon-Deployment-Id"]
    if "deploymentId" in reply.json:
        assert identity == reply.json["deploymentId"]
        assert _TIMESTAMP.fullmatch(reply.json["version"])
    elif "deployments" in reply.json:
        assert [{"id": identity}] == reply.json["deployments"]


def test_a_kill_of_one_task_that_scales_names_its_deployment(world: World) -> None:
    """Where the others answer with the task."""
    (task,) = world.ask("GET", "/v2/apps/g/a/tasks").json["tasks"]
    reply = world.ask("DELETE", f"/v2/apps/g/a/tasks/{task['id']}", query="scale=true")
    assert (200, reply.headers["Marathon-Deployment-Id"]) == (reply.status, reply.json["deploymentId"])
    world.settle()
    assert 0 == world.ask("GET", "/v2/apps/g/a").json["app"]["instances"]


def test_timestamps_always_have_their_milliseconds(world: World) -> None:
    """Also a whole second's."""
    world.timeline.advance(1_000 - world.timeline.now % 1_000 - 3)
    assert world.ask("PUT", "/v2/apps/g/a", {"labels": {"a": "b"}}).json["version"].endswith(".000Z")


def test_no_answer_of_the_leader_may_be_cached_or_framed(world: World) -> None:
    """Errors neither."""
    for path in ("/v2/apps", "/v2/apps/absent", "/nope"):
        headers = world.ask("GET", path).headers
        assert f"http://{world.address}" == headers["X-Marathon-Leader"]
        assert ("DENY", "1; mode=block") == (headers["X-Frame-Options"], headers["X-XSS-Protection"])
        stated = headers["Cache-Control"], headers["Pragma"], headers["Expires"]
        assert ("no-cache, no-store, must-revalidate", "no-cache", "0") == stated


@pytest.mark.parametrize("prefix", ["apps.", "app.", "group.apps.", ""])
def test_the_word_before_what_is_embedded_does_not_matter(world: World, prefix: str) -> None:
    """And tasks bring the deployments along, counts are there anyway."""
    (app,) = world.ask("GET", "/v2/apps", query=f"embed={prefix}tasks").json["apps"]
    assert (1, [], 1) == (len(app["tasks"]), app["deployments"], app["tasksRunning"])


def test_what_is_wrong_with_an_app_is_told_before_that_it_exists(world: World) -> None:
    """422 before 409."""
    assert 422 == world.ask("POST", "/v2/apps", {"id": "/g/a", "cpus": -1, "cmd": "x"}).status
    assert (409, "An app with id [/g/a] already exists.") == _said(world.ask("POST", "/v2/apps", _APP))


def test_a_deletion_overrides_a_lock_unless_it_is_told_not_to(world: World) -> None:
    """Of an app; that of a group does not."""
    world.ask("POST", "/v2/apps", {**_APP, "id": "/g/stuck", "cpus": 500})
    assert 409 == world.ask("DELETE", "/v2/groups/g").status
    assert 409 == world.ask("DELETE", "/v2/apps/g/stuck", query="force=false").status
    assert 200 == world.ask("DELETE", "/v2/apps/g/stuck").status


def test_tasks_are_killed_by_the_host_that_they_are_on(world: World) -> None:
    """All of them, or those on one; who is on another stays."""
    world.ask("PUT", "/v2/apps/g/a", {"instances": 4, "constraints": [["hostname", "MAX_PER", "2"]]})
    world.settle()
    tasks = world.ask("GET", "/v2/apps/g/a/tasks").json["tasks"]
    host = tasks[0]["host"]
    here = {task["id"] for task in tasks if task["host"] == host}
    killed = world.ask("DELETE", "/v2/apps/g/a/tasks", query=f"host={host}").json["tasks"]
    assert here == {task["id"] for task in killed}
    assert [] == world.ask("DELETE", "/v2/apps/g/a/tasks", query="host=elsewhere").json["tasks"]


def test_a_killed_task_comes_back_as_the_next_incarnation_of_its_instance(world: World) -> None:
    """By its own name."""
    (before,) = world.ask("GET", "/v2/apps/g/a/tasks").json["tasks"]
    reply = world.ask("DELETE", f"/v2/apps/g/a/tasks/{before['id']}")
    assert (200, before["id"]) == (reply.status, reply.json["task"]["id"])
    world.timeline.advance(5_000)
    (after,) = world.ask("GET", "/v2/apps/g/a/tasks").json["tasks"]
    assert re.fullmatch(r"g_a\.instance-[0-9a-f-]{36}\._app\.1", before["id"])
    assert before["id"].removesuffix("1") + "2" == after["id"]


def test_tasks_that_are_to_be_killed_are_named_by_ids_that_could_be_some(world: World) -> None:
    """What is none is refused; what is unknown is overlooked."""
    unknown = "g_a.instance-0f0f0f0f-0000-11e9-9fcd-0242ac110002._app.1"
    assert 200 == world.ask("POST", "/v2/tasks/delete", {"ids": [unknown]}).status
    status, words = _said(world.ask("POST", "/v2/tasks/delete", {"ids": ["no id"]}))
    assert (400, True) == (status, words.startswith("Invalid task id 'no id'"))
    assert 404 == world.ask("DELETE", f"/v2/apps/g/a/tasks/{unknown}").status
    assert 1 == world.ask("GET", "/v2/apps/g/a").json["app"]["tasksRunning"]


def test_statistics_have_the_higher_of_two_medians_and_the_age_of_what_has_ended(world: World) -> None:
    """Whatever once ran has an age, also while it waits to be launched again."""
    world.timeline.advance(10_000)
    world.ask("PUT", "/v2/apps/g/a", {"instances": 2})
    world.settle()
    (_, ended) = (task["id"] for task in world.ask("GET", "/v2/apps/g/a/tasks").json["tasks"])
    world.cluster.fail_task(ended)
    app = world.ask("GET", "/v2/apps/g/a", query="embed=app.taskStats").json["app"]
    ages = app["tasksStats"]["totalSummary"]["stats"]["lifeTime"]
    assert (1, True) == (app["tasksRunning"], ages["medianSeconds"] > ages["averageSeconds"])


def test_only_so_many_versions_of_an_app_are_kept() -> None:
    """The oldest go."""
    world = World(Settings(zk_max_versions=3), hosts=("h",), gpus=(0,))
    world.ask("POST", "/v2/apps", {**_APP, "instances": 0})
    first = world.ask("GET", "/v2/apps/g/a/versions").json["versions"]
    for count in range(5):
        world.ask("PUT", "/v2/apps/g/a", {"cmd": f"sleep {count}"})
    kept = world.ask("GET", "/v2/apps/g/a/versions").json["versions"]
    assert (3, False) == (len(kept), first[0] in kept)


def test_more_than_so_many_deployments_are_refused_before_anything_else() -> None:
    """403, also where the request itself would be locked out."""
    world = world_of("app-create")
    for count in range(100):
        assert 201 == world.ask("POST", "/v2/apps", {**_APP, "id": f"/stuck-{count}", "cpus": 500}).status
    told = "Max number (100) of running deployments is achieved. Wait for existing deployments to complete or cancel"
    for path, body in (("/v2/apps", {**_APP, "id": "/one-more"}), ("/v2/apps/stuck-1/restart", None)):
        status, words = _said(world.ask("POST", path, body))
        assert (403, True) == (status, words.startswith(told))


@pytest.mark.parametrize(
    ("text", "details"),
    [
        (b"+1", "Unexpected character ('1' (code 49)) in numeric value: expected digit (0-9) to follow minus sign,"),
        (b"-x", "Unexpected character ('x' (code 120)) in numeric value: expected digit (0-9) to follow minus sign,"),
        (b"[1e]", "Unexpected character (']' (code 93)) in numeric value: Exponent indicator not followed by a digit"),
        (b"[1.]", "Unexpected character (']' (code 93)) in numeric value: Decimal point not followed by a digit"),
        (b"[01]", "Invalid numeric value: Leading zeroes not allowed"),
        (b"-Infinity", "Non-standard token '-Infinity': enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow"),
        (b"NaN", "Non-standard token 'NaN': enable JsonParser.Feature.ALLOW_NON_NUMERIC_NUMBERS to allow"),
        (b"tru", f"Unrecognized token 'tru': was expecting {_EXPECTED}"),
        (b'{"a" 1}', "Unexpected character ('1' (code 49)): was expecting a colon to separate field name and value"),
        (b'{"a": 1 "b": 2}', "Unexpected character ('\"' (code 34)): was expecting comma to separate Object entries"),
        (b"[1 2]", "Unexpected character ('2' (code 50)): was expecting comma to separate Array entries"),
        (b"{a: 1}", "Unexpected character ('a' (code 97)): was expecting double-quote to start field name"),
        (b'["\\x"]', "Unrecognized character escape 'x' (code 120)"),
        (b'["a\nb"]', "Illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash"),
        (b'["\xff"]', "Invalid UTF-8 start byte 0xff"),
        (b'["\xc3("]', "Invalid UTF-8 middle byte 0x28"),
    ],
)
def test_what_is_no_json_is_told_in_the_words_of_the_parser(world: World, text: bytes, details: str) -> None:
    """400, and the details are its first sentence."""
    reply = world.ask("POST", "/v2/apps", raw=text)
    assert (400, "Invalid JSON") == _said(reply)
    assert details == reply.json["details"][: len(details)]


def test_an_empty_body_is_asked_for_json(world: World) -> None:
    """Wherever one is needed."""
    for method, path in (("POST", "/v2/apps"), ("PUT", "/v2/apps/g/a"), ("POST", "/v2/groups"), ("POST", "/v2/pods")):
        assert (400, "Please specify data in JSON format") == _said(world.ask(method, path, raw=b""))


def _walked(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walked(item)


def test_what_is_not_there_is_left_out_instead_of_null(world: World) -> None:
    """Neither are fields there that older versions had."""
    app = world.ask("GET", "/v2/apps/g/a").json["app"]
    assert not [value for value in _walked(app) if value is None]
    assert {"ports", "uris", "ipAddress", "container"}.isdisjoint(app)
