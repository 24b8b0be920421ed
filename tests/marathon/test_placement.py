"""Where instances go, on which ports and with what in their environment; and how agents are compared."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, Final

import pytest

from roadstead_backends.marathon.emulator.cluster.tasks import Course, Task
from roadstead_backends.marathon.emulator.scheduling.constraints import Attribute, Place, meets
from roadstead_backends.marathon.emulator.settings import Settings
from tests.marathon.world import World

_APP: Final[dict[str, Any]] = {"id": "/a", "cmd": "sleep 100", "cpus": 0.1, "mem": 16}
_SLOW: Final = Course(running=100_000)
_IMAGE: Final = {"type": "MESOS", "docker": {"image": "img:1"}}
_GPU: Final = Settings(features=frozenset({"gpu_resources"}))


def _world(settings: Settings | None = None, *, hosts: int = 1, gpus: tuple[int, ...] | None = None) -> World:
    return World(
        settings or Settings(),
        hosts=tuple(f"h{index}" for index in range(hosts)),
        gpus=gpus if gpus is not None else (0,) * hosts,
    )


def _launched(world: World, **more: Any) -> list[Task]:
    reply = world.ask("POST", "/v2/apps", {**_APP, **more})
    assert 201 == reply.status, reply.text
    world.settle()
    return list(world.cluster.tasks.values())


def _rejected(world: World) -> dict[str, int]:
    """Offers per reason, of those that were declined last."""
    (item,) = world.ask("GET", "/v2/queue").json["queue"]
    summary = item["processedOffersSummary"]["rejectSummaryLastOffers"]
    return {each["reason"]: each["declined"] for each in summary if each["declined"]}


# Constraints --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (3.0, "3"),
        (1.23456, "1.235"),
        (0.0005, "0"),
        (0.0015, "0.002"),
        (((30, 40), (1, 2)), "[1-2,30-40]"),
        (frozenset({"b", "a"}), "{a,b}"),
        ("text", "text"),
    ],
)
def test_whatever_an_attribute_is_its_text_is_compared(attribute: Attribute, text: str) -> None:
    """Numbers to a thousandth, ties to even; ranges and sets sorted."""
    place = Place(hostname="h", attributes={"x": attribute})
    assert meets(place, ["x", "CLUSTER", text], [], 1, quota=True)
    assert not meets(place, ["x", "CLUSTER", text + "0"], [], 1, quota=True)


@pytest.mark.parametrize(
    ("wanted", "holds"), [("1.234", False), ("1.2346", True), ("1.23456", True), ("1.235", True), ("1", False)]
)
def test_a_number_is_rounded_before_it_is_compared(wanted: str, *, holds: bool) -> None:
    """That of the constraint as that of the agent."""
    place = Place(hostname="h", attributes={"x": 1.23456})
    assert holds == meets(place, ["x", "IS", wanted], [], 1, quota=True)


@pytest.mark.parametrize("operator", ["UNIQUE", "CLUSTER", "LIKE", "MAX_PER", "IS", "GROUP_BY"])
def test_an_agent_without_the_attribute_meets_nothing_but_unlike(operator: str) -> None:
    """Not even what anything would meet."""
    value = {"UNIQUE": [], "LIKE": [".*"], "MAX_PER": ["9"], "GROUP_BY": ["9"]}.get(operator, ["x"])
    assert not meets(Place(hostname="h"), ["x", operator, *value], [], 5, quota=True)
    assert meets(Place(hostname="h"), ["x", "UNLIKE", "x"], [], 5, quota=True)


def test_a_pattern_is_to_match_all_of_the_text() -> None:
    """A part is not enough."""
    place = Place(hostname="agent-12")
    assert not meets(place, ["hostname", "LIKE", "agent"], [], 1, quota=True)
    assert meets(place, ["hostname", "UNLIKE", "agent"], [], 1, quota=True)
    assert meets(place, ["hostname", "LIKE", "agent-[0-9]+"], [], 1, quota=True)


def test_before_1_11_groups_are_filled_from_the_smallest() -> None:
    """A new value is always fine, a known one only if enough are known and none is smaller."""
    first, second = (Place(hostname=name) for name in "ab")
    rule = ["hostname", "GROUP_BY", "2"]
    assert meets(second, rule, [first, first], 9, quota=False)
    assert not meets(first, rule, [first], 9, quota=False)
    assert not meets(first, rule, [first, first, second], 9, quota=False)
    assert meets(first, rule, [first, second], 9, quota=False)
    assert meets(Place(hostname="c"), rule, [first, second], 9, quota=False)
    assert not meets(Place(hostname="c"), rule, [first, second], 9, quota=True)


def test_instances_of_another_configuration_do_not_count() -> None:
    """So an upgrade may put a new one beside each old one."""
    world = _world(hosts=2)
    _launched(world, instances=2, constraints=[["hostname", "UNIQUE"]])
    world.cluster.set_course("/a", _SLOW)
    world.ask("PUT", "/v2/apps/a", {"labels": {"a": "b"}})
    world.timeline.advance(10_000)
    assert {"h0": 2, "h1": 2} == Counter(task.agent.hostname for task in world.cluster.tasks.values())


def test_a_cluster_is_where_the_first_instance_is() -> None:
    """Whichever agent that was."""
    tasks = _launched(_world(hosts=3), instances=4, constraints=[["hostname", "CLUSTER"]])
    assert (4, 1) == (len(tasks), len({task.agent.hostname for task in tasks}))


# Offers -------------------------------------------------------------------------------------------------------------


def test_of_one_offer_only_so_many_instances_are_launched() -> None:
    """Five; the others wait for the next."""
    world = _world()
    world.ask("POST", "/v2/apps", {**_APP, "instances": 12})
    seen = [0]
    for _ in range(400):
        world.timeline.advance(50)
        seen.append(len(world.cluster.tasks))
    assert [0, 5, 10, 12] == sorted(set(seen))


def test_launches_need_tokens() -> None:
    """A hundred at once and a hundred more every half minute; who runs gives his back."""
    world = _world(hosts=30)
    world.cluster.set_course("/a", _SLOW)
    world.ask("POST", "/v2/apps", {**_APP, "cpus": 0.01, "mem": 1, "instances": 120})
    world.timeline.advance(25_000)
    assert 100 == len(world.cluster.tasks)
    world.timeline.advance(10_000)
    assert 120 == len(world.cluster.tasks)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"cpus": 100}, "InsufficientCpus"),
        ({"mem": 1e6}, "InsufficientMemory"),
        ({"disk": 1e6}, "InsufficientDisk"),
        ({"gpus": 9, "container": _IMAGE}, "InsufficientGpus"),
        ({"portDefinitions": [{"port": 80}], "requirePorts": True}, "InsufficientPorts"),
        ({"constraints": [["hostname", "LIKE", "x"]]}, "UnfulfilledConstraint"),
        ({"constraints": [["hostname", "LIKE", "x"]], "cpus": 100}, "UnfulfilledConstraint"),
        ({"mem": 1e6, "cpus": 100}, "InsufficientCpus"),
        ({"acceptedResourceRoles": ["*"], "mem": 1e6}, "InsufficientMemory"),
    ],
)
def test_the_queue_tells_the_first_reason_against_each_offer(more: dict[str, Any], reason: str) -> None:
    """Of several, the one that comes first in the funnel."""
    world = _world(_GPU, hosts=2)
    world.ask("POST", "/v2/apps", {**_APP, **more})
    world.timeline.advance(5_000)
    assert {reason: 2} == _rejected(world)


def test_gpus_are_kept_for_those_who_want_some() -> None:
    """Unless the flag or the app's label says otherwise."""
    world = _world(_GPU, gpus=(2,))
    world.ask("POST", "/v2/apps", _APP)
    world.timeline.advance(5_000)
    assert {"DeclinedScarceResources": 1} == _rejected(world)
    assert [] == list(world.cluster.tasks)
    label = {"GPU_SCHEDULING_BEHAVIOR": "unrestricted"}
    assert ["/b"] == [f"/{task.name}" for task in _launched(world, id="/b", labels=label)]
    assert 1 == len(_launched(_world(Settings(gpu_scheduling_behavior="unrestricted"), gpus=(2,))))


def test_an_agent_whose_gpus_are_all_taken_is_as_one_without() -> None:
    """Then there is nothing to keep."""
    world = _world(_GPU, gpus=(2,))
    assert 1 == len(_launched(world, id="/wants", gpus=2, container=_IMAGE))
    assert 2 == len(_launched(world))


def test_a_gpu_is_a_whole_one_of_mesos_own_containers_and_only_where_they_are_enabled() -> None:
    """Each its own refusal."""
    docker = {"type": "DOCKER", "docker": {"image": "img:1"}}
    assert 422 == _world(_GPU).ask("POST", "/v2/apps", {**_APP, "gpus": 1, "container": docker}).status
    assert 422 == _world(_GPU).ask("POST", "/v2/apps", {**_APP, "gpus": 0.5}).status
    refused = _world().ask("POST", "/v2/apps", {**_APP, "gpus": 1})
    assert (422, True) == (refused.status, "gpu_resources" in refused.text)


def test_resources_of_roles_that_are_not_the_app_s_are_refused() -> None:
    """Since 1.10; before, they were left out."""
    refused = _world().ask("POST", "/v2/apps", {**_APP, "acceptedResourceRoles": ["other"]})
    assert (422, True) == (refused.status, "acceptedResourceRoles" in refused.text)


# Ports and environment ----------------------------------------------------------------------------------------------


def test_ports_follow_a_random_one() -> None:
    """Those of a task follow each other, to the end of what is offered and from its beginning."""
    world = _world()
    tasks = _launched(world, instances=8, portDefinitions=[{"port": 0}] * 3)
    ports = [task.ports for task in tasks]
    assert all(high == low + 1 or (low, high) == (31_099, 31_000) for one in ports for low, high in pairwise(one))
    assert 24 == len({port for one in ports for port in one})
    assert sorted(ports) != ports


def test_ports_that_are_required_are_exactly_those() -> None:
    """Otherwise they are only names."""
    definitions = [{"port": 31_050, "name": "main"}]
    (exact,) = _launched(_world(), portDefinitions=definitions, requirePorts=True)
    (other,) = _launched(_world(), portDefinitions=definitions)
    assert (31_050,) == exact.ports
    assert (31_050,) != other.ports
    assert str(other.ports[0]) == other.environment["PORT_31050"] == other.environment["PORT_MAIN"]


@pytest.mark.parametrize(
    ("mode", "mapping", "taken", "known"),
    [
        ("container/bridge", {"containerPort": 80}, 1, "host"),
        ("container/bridge", {"containerPort": 80, "hostPort": 31_007}, 1, "host"),
        ("container/bridge", {"containerPort": 0, "hostPort": 0}, 1, "host"),
        ("container", {"containerPort": 80}, 0, "container"),
        ("container", {"containerPort": 80, "hostPort": 0}, 1, "container"),
    ],
)
def test_what_is_mapped_has_a_port_on_the_host_if_it_asks_for_one(
    mode: str, mapping: dict[str, Any], taken: int, known: str
) -> None:
    """On the bridge always; the task is told of the port that it is reached at."""
    network = {"mode": mode} | ({"name": "net"} if mode == "container" else {})
    (task,) = _launched(_world(), networks=[network], container={**_IMAGE, "portMappings": [mapping]})
    assert taken == len(task.ports)
    expected = {"host": str(task.ports[0]) if task.ports else "", "container": "80"}[known]
    assert expected == task.environment["PORT0"]


def test_a_task_is_told_what_it_is_and_what_it_has() -> None:
    """And what the app itself says of its environment prevails."""
    labels = {"team-name": "x", "team": "y"}
    (task,) = _launched(
        _world(),
        labels=labels,
        env={"PORT0": "mine", "OWN": "1"},
        container=_IMAGE,
        portDefinitions=[{"port": 12_000, "name": "web-ui"}, {"port": 0}],
    )
    first, second = (str(port) for port in task.ports)
    stated = task.environment
    assert ("mine", "1") == (stated["PORT0"], stated["OWN"])
    assert (first, second, f"{first},{second}") == (stated["PORT"], stated["PORT1"], stated["PORTS"])
    assert (first, first) == (stated["PORT_12000"], stated["PORT_WEB_UI"])
    assert ("/a", task.id, "h0") == (stated["MARATHON_APP_ID"], stated["MESOS_TASK_ID"], stated["HOST"])
    assert ("img:1", "0.1", "16.0") == (
        stated["MARATHON_APP_DOCKER_IMAGE"],
        stated["MARATHON_APP_RESOURCE_CPUS"],
        stated["MARATHON_APP_RESOURCE_MEM"],
    )
    assert ("x", "y") == (stated["MARATHON_APP_LABEL_TEAM_NAME"], stated["MARATHON_APP_LABEL_TEAM"])
    assert {"TEAM", "TEAM_NAME"} == set(stated["MARATHON_APP_LABELS"].split())


def test_each_service_port_is_the_only_one_and_stays() -> None:
    """From the first on, through every change of the app."""
    world = _world()
    for name in "abc":
        world.ask("POST", "/v2/apps", {**_APP, "id": f"/{name}", "instances": 0})

    def ports() -> list[int]:
        apps = world.ask("GET", "/v2/apps").json["apps"]
        return [one["portDefinitions"][0]["port"] for one in sorted(apps, key=lambda app: app["id"])]

    before = ports()
    assert 3 == len(set(before))
    assert all(10_000 <= port <= 20_000 for port in before)
    world.ask("PUT", "/v2/apps/b", {"cmd": "sleep 2"})
    assert before == ports()
