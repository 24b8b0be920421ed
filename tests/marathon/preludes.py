"""What was done between the records of a replay, as far as the records let it be known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from roadstead_backends.marathon.emulator.scheduling.probing import (
    HttpAnswer,
    Outcome,
    Target,
    connection_refused,
    idle_timeout,
)
from tests.marathon.world import Reply, World

__all__ = ["AFTER", "BEFORE", "EACH", "PREPARE", "Step", "answers", "does", "drop", "fails"]

Step = Callable[[World], None]
_FIRST: Final = {"id": "/first", "cmd": "sleep 700"}
_SMALL: Final = {"cmd": "sleep 222", "cpus": 0.1, "mem": 16, "instances": 1}
_CHAIN: Final = [
    {"id": name, **_SMALL, "dependencies": waits} for name, waits in (("a", []), ("b", ["/dp/a"]), ("c", ["/dp/b"]))
]


def does(method: str, path: str, body: Any = None, query: str = "", *, settle: bool = True) -> Step:
    """A request that must succeed."""

    def step(world: World) -> None:
        reply = world.ask(method, path, body, query=query)
        assert reply.status < 300, (method, path, reply.text)
        if settle:
            world.settle(3_000)

    return step


def _waits(milliseconds: int) -> Step:
    return lambda world: world.timeline.advance(milliseconds)


def _counts(path: str, processed: int) -> Step:
    """Wait until so many offers were looked at."""

    def step(world: World) -> None:
        for _ in range(200):
            items = world.ask("GET", "/v2/queue").json["queue"]
            seen = [
                each["processedOffersSummary"]["processedOffersCount"] for each in items if each["app"]["id"] == path
            ]
            if seen and seen[0] >= processed:
                return
            world.timeline.advance(250)

    return step


def answers(status: int, body: str = "") -> Step:
    """What a probe is answered from now on."""

    def step(world: World) -> None:
        world.prober.outcome = lambda _target: Outcome(
            connected=True, answer=HttpAnswer(status=status, reason=_REASONS.get(status, ""), body=body)
        )

    return step


def fails(cause: Callable[[Target], str]) -> Step:
    """How a probe fails from now on."""

    def step(world: World) -> None:
        world.prober.outcome = lambda target: Outcome(failure=cause(target))

    return step


def _until_failures(count: int) -> Step:
    """Wait until the app's instance failed so many checks in a row."""

    def step(world: World) -> None:
        for _ in range(100):
            results = world.ask("GET", "/v2/apps/h/ok/tasks").json["tasks"][0].get("healthCheckResults", [])
            if results and results[0]["consecutiveFailures"] == count:
                return
            world.timeline.advance(200)

    return step


_REASONS: Final = {
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def _merge_base(world: World, record: Mapping[str, Any]) -> None:
    """Begin each change from the base app; a GET looks at the change before it."""
    if record["method"] == "PUT":
        world.settle()
        world.ask("DELETE", "/v2/apps/mg")
        world.settle()
        world.ask("POST", "/v2/apps", _MERGED)
    world.settle()


def _plan_base(world: World, record: Mapping[str, Any]) -> None:
    """Put the group into the state that the name tells."""
    world.settle()
    world.ask("DELETE", "/v2/groups/t", query="force=true")
    world.settle()
    found = re.search(r"before state: request is PUT /v2/groups/t (.*)\]$", record["name"])
    if found is not None and found[1] != "null":
        reply = world.ask("PUT", "/v2/groups/t", json.loads(found[1]))
        assert reply.status == 200, reply.text
        world.settle()


def _clean_up(world: World, record: Mapping[str, Any], reply: Reply) -> None:
    if reply.status == 201 and record["method"] == "POST":
        world.ask("DELETE", f"/v2/apps{reply.json['id']}")


def _filter_apps(world: World) -> None:
    none = {"cpus": 0.1, "mem": 16, "instances": 0}
    apps = [
        {"id": "/f/alpha", "cmd": "run alpha --x", "labels": {"env": "prod", "tier": "web", "empty": ""}, **none},
        {"id": "/f/beta", "cmd": "RUN beta", "labels": {"env": "test"}, **none},
        {"id": "/f/sub/gamma", "cmd": "other", "labels": {"env": "prod", "z.y/x": "v-1"}, **none},
        {"id": "/f/delta", "args": ["run"], "instances": 0},
    ]
    for app in apps:
        does("POST", "/v2/apps", app)(world)


def _versions(world: World) -> None:
    """Four more versions, the last like the first."""
    for instances in (1, 0):
        does("PUT", "/v2/apps/f/alpha", {"cmd": f"run alpha {instances}"})(world)
    does("PUT", "/v2/apps/f/alpha", {"cmd": "run alpha --y"})(world)
    does("PUT", "/v2/apps/f/alpha", {"cmd": "run alpha --x"})(world)


def _without_offers(world: World) -> None:
    for agent in world.cluster.agents.values():
        agent.active = False
    does("POST", "/v2/apps", {"id": "/nooffer", **_SMALL}, settle=False)(world)
    world.timeline.advance(3_000)


def _fresh(variant: Mapping[str, Any], processed: int) -> tuple[Step, ...]:
    """Put another app in the place of the waiting one; its statistics go on."""
    return (
        lambda world: drop(world, "/v2/apps/q-x"),
        does("POST", "/v2/apps", {"id": "/q-x", **_SMALL, **variant}, settle=False),
        _counts("/q-x", processed),
    )


def drop(world: World, path: str) -> None:
    """Delete an app, by force."""
    world.ask("DELETE", path, query="force=true")
    world.timeline.advance(2_000)


_MERGED: Final = {
    "id": "/mg",
    "cmd": "sleep 1",
    "instances": 0,
    "labels": {"a": "1", "b": "2"},
    "env": {"X": "1", "Y": "2"},
    "constraints": [["hostname", "UNIQUE"]],
    "healthChecks": [{"protocol": "HTTP", "path": "/h"}],
    "portDefinitions": [{"port": 18500, "name": "p1"}, {"port": 18501, "name": "p2"}],
    "fetch": [{"uri": "http://a/b"}],
    "upgradeStrategy": {"minimumHealthCapacity": 0.5, "maximumOverCapacity": 0.5},
    "user": "u",
    "taskKillGracePeriodSeconds": 4,
    "acceptedResourceRoles": ["*"],
    "unreachableStrategy": {"inactiveAfterSeconds": 1, "expungeAfterSeconds": 2},
    "readinessChecks": [{"portName": "p1"}],
    "dependencies": ["/mgdep"],
    "cpus": 0.3,
    "mem": 17,
    "killSelection": "OLDEST_FIRST",
}
_CHECK: Final = {"gracePeriodSeconds": 2, "intervalSeconds": 1, "timeoutSeconds": 1, "portIndex": 0}
_HTTP: Final = {"id": "/h/ok", **_SMALL, "healthChecks": [{**_CHECK, "protocol": "HTTP", "path": "/hp?x=1"}]}
_TCP: Final = {
    "id": "/h/grace",
    **_SMALL,
    "healthChecks": [{**_CHECK, "protocol": "TCP", "gracePeriodSeconds": 30, "maxConsecutiveFailures": 1}],
}
_READY: Final = {
    "id": "/r/one",
    **_SMALL,
    "portDefinitions": [{"port": 0, "name": "web"}],
    "readinessChecks": [
        {
            "name": "rr",
            "path": "/rdy",
            "portName": "web",
            "intervalSeconds": 2,
            "timeoutSeconds": 1,
            "preserveLastResponse": True,
        }
    ],
}
_NOWHERE: Final = {"constraints": [["hostname", "LIKE", "nope"]]}
_PORT_80: Final = {"portDefinitions": [{"port": 80, "protocol": "tcp"}], "requirePorts": True}


def _cycle(status: int) -> tuple[Step, ...]:
    """Healthy again, then this status for two checks."""
    return (answers(200), _waits(2_500), answers(status), _until_failures(2))


PREPARE: Final[Mapping[str, Step]] = {
    "app-invalid": does("POST", "/v2/apps", _FIRST),
    "embed": does("POST", "/v2/apps", _FIRST),
    "merge": does("POST", "/v2/apps", {"id": "/mgdep", "cmd": "sleep 1", "instances": 0}),
    "filter": _filter_apps,
    "health": does("POST", "/v2/apps", _HTTP),
    "readiness": answers(500, "not yet"),
}
"""Before the first record of a group."""

BEFORE: Final[Mapping[tuple[str, int], tuple[Step, ...]]] = {
    ("update", 29): (does("PUT", "/v2/apps/up/one", {"instances": 3}),),
    ("deploy", 0): (does("PUT", "/v2/groups/dp", {"apps": _CHAIN}, settle=False),),
    ("filter", 26): (_versions,),
    ("follower", 17): (does("PUT", "/v2/apps/via", {"labels": {"q": "r"}}),),
    ("queue", 1): (_counts("/big", 24),),
    ("queue", 2): (_counts("/big", 27),),
    ("queue", 8): (_counts("/big", 36),),
    ("queue", 9): (lambda world: drop(world, "/v2/apps/big"),),
    ("queue", 10): _fresh(_NOWHERE, 30),
    ("queue", 11): _fresh(_PORT_80, 54),
    ("queue", 13): (_counts("/q-x", 57), *_fresh({"mem": 99_999_999}, 84)),
    ("queue", 14): _fresh({"disk": 99_999_999}, 108),
    ("queue", 15): _fresh({"instances": 5, "constraints": [["hostname", "UNIQUE"]]}, 137),
    ("queue", 16): (lambda world: drop(world, "/v2/apps/q-x"), _without_offers),
    ("health", 0): (_waits(8_000),),
    ("health", 3): (answers(204), _waits(2_500)),
    ("health", 4): (answers(301), _waits(2_500)),
    ("health", 5): (answers(399), _waits(2_500)),
    ("health", 6): _cycle(400),
    ("health", 7): _cycle(404),
    ("health", 8): _cycle(500),
    ("health", 9): _cycle(503),
    ("health", 10): (answers(200), _waits(2_500), fails(idle_timeout), _until_failures(2)),
    ("health", 13): (
        lambda world: drop(world, "/v2/apps/h/ok"),
        fails(connection_refused),
        does("POST", "/v2/apps", _TCP, settle=False),
        _waits(3_000),
    ),
    ("readiness", 0): (does("POST", "/v2/apps", _READY, settle=False), _waits(4_000)),
    ("readiness", 3): (answers(200), _waits(4_000)),
}
"""Before a certain record."""

EACH: Final[Mapping[str, Callable[[World, Mapping[str, Any]], None]]] = {
    "merge": _merge_base,
    "plan": _plan_base,
    "plan2": _plan_base,
    "queue": lambda _world, _record: None,
    "health": lambda _world, _record: None,
    "readiness": lambda _world, _record: None,
    "backoff": lambda _world, _record: None,
}
"""Before every record of a group, instead of letting deployments end."""

AFTER: Final[Mapping[str, Callable[[World, Mapping[str, Any], Reply], None]]] = {"app-invalid": _clean_up}
"""After every record of a group."""
