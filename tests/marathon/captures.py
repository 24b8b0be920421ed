"""The records that are no single answer: streams of events, counts over time, placements, plans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from roadstead_backends.marathon.emulator.http.streaming import EventStreams, head
from roadstead_backends.marathon.emulator.scheduling.probing import connection_refused
from tests.marathon.comparing import Comparison, Difference
from tests.marathon.preludes import answers, does, drop, fails
from tests.marathon.world import World

__all__ = ["CAPTURES"]

Capture = Callable[[World, Mapping[str, Any]], Iterable[Difference]]
_SMALL: Final = {"cmd": "sleep 222", "cpus": 0.1, "mem": 16, "instances": 1}


# Events ---------------------------------------------------------------------------------------------------------------


def _create(app: Mapping[str, Any], *, wait: int = 3_000, after: int = 0) -> Callable[[World], None]:
    """Create an app, let it live, and delete it again."""

    def act(world: World) -> None:
        does("POST", "/v2/apps", {**_SMALL, **app}, settle=False)(world)
        world.timeline.advance(wait + after)
        does("DELETE", f"/v2/apps{app['id']}", settle=False)(world)
        world.timeline.advance(wait)

    return act


def _asks(method: str, path: str, body: Any = None, *, wait: int = 3_000) -> Callable[[World], None]:
    def act(world: World) -> None:
        does(method, path, body, settle=False)(world)
        world.timeline.advance(wait)

    return act


def _kills_task(world: World) -> None:
    task = world.ask("GET", "/v2/apps/ev/one/tasks").json["tasks"][0]["id"]
    world.ask("DELETE", f"/v2/apps/ev/one/tasks/{task}")
    world.timeline.advance(4_000)


def _refused(world: World) -> None:
    assert world.ask("POST", "/v2/apps", {"id": "/ev/one", **_SMALL}).status == 409
    assert world.ask("POST", "/v2/apps", {"id": "/ev/none"}).status == 422
    world.timeline.advance(1_000)


def _killed_by_health(world: World) -> None:
    """Failures until two incarnations are gone, then no connection at all."""
    answers(500)(world)
    _until_incarnation(world, 3)
    fails(connection_refused)(world)
    _until_incarnation(world, 5)


def _until_incarnation(world: World, number: int) -> None:
    for _ in range(20_000):
        instance = world.marathon.supervisor.tracker.all()[0]
        if instance.incarnation >= number and instance.condition != "Scheduled":
            return
        world.timeline.advance(10)


_PATIENT: Final = {"backoffSeconds": 30}
_LOST: Final = {"unreachableStrategy": {"inactiveAfterSeconds": 1, "expungeAfterSeconds": 3}}
_SCRIPTS: Final[Mapping[str, Callable[[World], None]]] = {
    "connect only (5s)": lambda world: world.timeline.advance(5_000),
    "connect plan-format=light": lambda world: world.timeline.advance(5_000),
    "app create 1 instance": _asks("POST", "/v2/apps", {"id": "/ev/one", **_SMALL}),
    "app create light": _asks("POST", "/v2/apps", {"id": "/ev/light", **_SMALL}),
    "app scale up": _asks("PUT", "/v2/apps/ev/one", {"instances": 3}),
    "app scale down": _asks("PUT", "/v2/apps/ev/one", {"instances": 1}),
    "app update labels": _asks("PUT", "/v2/apps/ev/one", {"labels": {"x": "y"}}),
    "app no change put": _asks("PUT", "/v2/apps/ev/one", {"labels": {"x": "y"}}),
    "app restart": _asks("POST", "/v2/apps/ev/one/restart"),
    "kill task": _kills_task,
    "failed 409/422 requests": _refused,
    "app delete": _asks("DELETE", "/v2/apps/ev/one"),
    "app failing once": _create(
        {"id": "/ev/fail", "labels": {"SIM": "fail", "SIM_AFTER": "600"}, **_PATIENT}, wait=1_500
    ),
    "app finishing": _create(
        {"id": "/ev/fin", "labels": {"SIM": "finish", "SIM_AFTER": "600"}, **_PATIENT}, wait=1_500
    ),
    "task error (never starts)": _create({"id": "/ev/err", "labels": {"SIM": "error"}, **_PATIENT}, wait=1_000),
    "unreachable": _create(
        {"id": "/ev/unr", "labels": {"SIM": "unreachable", "SIM_AFTER": "300"}, **_PATIENT, **_LOST}, wait=1_500
    ),
    "mesos command health": _create(
        {
            "id": "/ev/hc",
            "labels": {"SIM_HEALTH": "true"},
            "healthChecks": [{"protocol": "COMMAND", "command": {"value": "true"}}],
        }
    ),
    "marathon tcp health failing": _create(
        {
            "id": "/ev/tcp",
            "healthChecks": [
                {
                    "protocol": "TCP",
                    "portIndex": 0,
                    "gracePeriodSeconds": 0,
                    "intervalSeconds": 1,
                    "timeoutSeconds": 1,
                    "maxConsecutiveFailures": 2,
                }
            ],
        }
    ),
    "http health kills after maxConsecutiveFailures": _killed_by_health,
}


def _events(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    data = record["data"]
    streams = EventStreams(world.marathon.events)
    stream = streams.attach("127.0.0.1")
    first = stream.taken()
    events: list[tuple[str, dict[str, Any]]] = []
    end = world.marathon.events.subscribe(lambda kind, event: events.append((kind, event)))
    world.marathon.events.publish("event_stream_attached", remoteAddress="127.0.0.1")
    _SCRIPTS[record["name"]](world)
    end()
    streams.detach(stream)
    yield from _bytes(world, data, first + stream.taken())
    recorded = _streams((each["event"], {**each["data"], "=keys": each["keys"]}) for each in data["events"])
    given = _streams((kind, {**event, "=keys": list(event)}) for kind, event in events)
    comparison = Comparison()
    for name in sorted(recorded | given):
        one, other = recorded.get(name, []), given.get(name, [])
        yield from comparison.differences([kind for kind, _ in one], [kind for kind, _ in other], f"{name}/kinds")
        for (kind, event), (_, shown) in zip(one, other, strict=False):
            yield from comparison.differences(event, shown, f"{name}/{kind}")


def _bytes(world: World, data: Mapping[str, Any], sent: bytes) -> Iterator[Difference]:
    comparison = Comparison()
    stated = (
        head(world.ensemble.skin(world.address).common(), "Sun, 22 Nov 2026 15:04:40 GMT")
        .decode("latin-1")
        .replace("\r\n", "\n")
    )
    recorded = data["response_header_exact"].replace("\r\n", "\n")
    yield from comparison.differences(recorded, stated.rstrip("\n"), "head")
    begun = data["first_bytes"].partition("\r\n\r\n")[0]
    yield from comparison.differences(begun, sent.decode().partition("\r\n\r\n")[0], "first frame")


def _streams(events: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Events in threads that keep their order: each instance's, the deployments', and one for each other kind.

    Between threads the original's order is that of its actors. A reader who leaves is of an earlier capture. The moment
    of an event is not compared with other moments.
    """
    threads: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for number, (kind, event) in enumerate(events):
        if kind == "event_stream_detached":
            continue
        thread = "deployments" if kind.startswith("deployment_") else kind
        instance = str(event.get("instanceId") or event.get("taskId") or "")
        if instance and kind not in ("api_post_event", "health_status_changed_event"):
            order = list(dict.fromkeys(_instances(threads)))
            name = instance.partition("._app")[0]
            place = order.index(name) if name in order else len(order)
            thread = f"instance {place}" + (" health" if "instance_health" in kind else "")
        threads.setdefault(thread, []).append((kind, {**event, "timestamp": "<ts#9>", "=number": number}))
    return {name: [(kind, _plain(event)) for kind, event in found] for name, found in threads.items()}


def _instances(threads: Mapping[str, Sequence[tuple[str, dict[str, Any]]]]) -> Iterator[str]:
    found = [(event["=number"], event) for thread in threads.values() for _, event in thread]
    for _, event in sorted(found, key=lambda each: each[0]):
        name = str(event.get("instanceId") or event.get("taskId") or "")
        if name:
            yield name.partition("._app")[0]


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item for key, item in event.items() if key not in ("=number", "timestamp")}


# Placement ------------------------------------------------------------------------------------------------------------


def _placement(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    data = record["data"]
    app = {"id": "/pl", **_SMALL, "instances": data["instances"], "constraints": json.loads(record["name"])}
    does("POST", "/v2/apps", app, settle=False)(world)
    world.timeline.advance(6_000)
    hosts = sorted(task["host"] for task in world.ask("GET", "/v2/apps/pl/tasks").json["tasks"])
    queue = world.ask("GET", "/v2/queue").json["queue"]
    waiting = [[each["count"], each["processedOffersSummary"]["rejectSummaryLastOffers"]] for each in queue]
    drop(world, "/v2/apps/pl")
    yield from Comparison().differences(data["hosts"], hosts, "hosts")
    yield from Comparison().differences(data["still_queued"], waiting, "queue")


# Upgrades -------------------------------------------------------------------------------------------------------------


def _arithmetic(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    stated = dict(part.split("=") for part in record["name"].split() if "=" in part)
    app = {
        "id": "/da",
        **_SMALL,
        "instances": int(stated["instances"]),
        "upgradeStrategy": {
            "minimumHealthCapacity": float(stated["min"]),
            "maximumOverCapacity": float(stated["over"]),
        },
    }
    does("POST", "/v2/apps", app)(world)
    world.settle()
    does("PUT", "/v2/apps/da", {"cmd": "sleep 333"}, settle=False)(world)
    seen = [[int(stated["instances"]), 0, 0, 0]]
    for _ in range(4_000):
        counts = _counted(world)
        if counts != seen[-1]:
            seen.append(counts)
        if not world.marathon.deployments.count:
            break
        world.timeline.advance(5)
    seen.append(_counted(world))
    drop(world, "/v2/apps/da")
    yield from Comparison().differences(_moves(next(iter(record["data"].values()))), _moves(seen), "moves")


def _counted(world: World) -> list[int]:
    """Old alive, new staging, new running, being killed."""
    counts = [0, 0, 0, 0]
    for instance in world.marathon.supervisor.tracker.all():
        if instance.condition in ("Killing", "Killed"):
            counts[3] += instance.condition == "Killing"
        elif instance.spec.document["cmd"] == "sleep 222":
            counts[0] += 1
        elif instance.condition == "Running":
            counts[2] += 1
        elif instance.condition != "Scheduled":
            counts[1] += 1
    return counts


def _moves(counts: Sequence[Sequence[int]]) -> list[list[Any]]:
    """What happened, whatever it took: how many were launched, ran, were retired, were gone, in runs of the same."""
    moves: list[list[Any]] = []
    for before, after in pairwise(counts):
        steps = (
            ("launched", after[1] + after[2] - before[1] - before[2]),
            ("ran", after[2] - before[2]),
            ("retired", before[0] - after[0]),
            ("gone", before[0] + before[3] - after[0] - after[3]),
        )
        for name, count in steps:
            if count <= 0:
                continue
            if moves and moves[-1][0] == name:
                moves[-1][1] += count
            else:
                moves.append([name, count])
    return moves


# Plans ----------------------------------------------------------------------------------------------------------------


def _real_plan(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    data, name = record["data"], record["name"]
    if name.startswith("PUT /v2/apps/w "):
        yield from _changed_app(world, name, data)
        return
    world.settle()
    world.ask("DELETE", "/v2/groups/t", query="force=true")
    world.settle()
    if data["before"] is not None:
        does("PUT", "/v2/groups/t", {"apps": data["before"]})(world)
        world.settle()
    body = {"apps": data["after"]}
    shown = _planned(world, does("PUT", "/v2/groups/t", body, settle=False))
    yield from Comparison().differences(data["steps"], shown, "steps")


def _changed_app(world: World, name: str, data: Mapping[str, Any]) -> Iterator[Difference]:
    if world.ask("GET", "/v2/apps/w").status == 404:
        does("POST", "/v2/apps", {"id": "/w", **_SMALL})(world)
    field, _, value = name.partition("change of ")[2].partition(" = ")
    change = {field: json.loads(value)}
    shown = _planned(world, does("PUT", "/v2/apps/w", change, "force=true", settle=False))
    world.settle()
    yield from Comparison().differences(data["steps seen in GET /v2/deployments right after"], shown, "steps")


def _planned(world: World, act: Callable[[World], None]) -> list[list[str]]:
    """The steps of the deployments that an action began, however soon they ended."""
    plans: dict[str, list[str]] = {}

    def note(kind: str, event: dict[str, Any]) -> None:
        if kind == "deployment_info":
            steps = event["plan"]["steps"]
            plans[event["plan"]["id"]] = [
                " + ".join(f"{each['action']}:{each['app']}" for each in step["actions"]) for step in steps
            ]

    end = world.marathon.events.subscribe(note)
    act(world)
    end()
    return list(plans.values())


def _scaled_by(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    apps = [{"id": name.removeprefix("/t/"), **_SMALL, "instances": int(name[-1])} for name in record["data"]]
    world.settle()
    world.ask("DELETE", "/v2/groups/t", query="force=true")
    world.settle()
    does("PUT", "/v2/groups/t", {"apps": apps})(world)
    world.settle()
    does("PUT", "/v2/groups/t", {"scaleBy": float(record["name"].rpartition(" ")[2])}, settle=False)(world)
    shown = {app["id"]: app["instances"] for app in world.ask("GET", "/v2/groups/t").json["apps"]}
    yield from Comparison().differences(record["data"], shown, "instances")


# The rest -------------------------------------------------------------------------------------------------------------


def _backoff(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    """Gaps between launches, within what the stand-in's offers and failures took; shorter ones were its races."""
    slow = record["name"].startswith("1s x2")
    strategy = (
        {"backoffFactor": 2, "backoffSeconds": 1, "maxLaunchDelaySeconds": 8}
        if slow
        else {"backoffFactor": 1, "backoffSeconds": 2}
    )
    drop(world, "/v2/apps/bo")
    launches: list[int] = []
    end = world.marathon.events.subscribe(
        lambda _kind, event: launches.append(world.timeline.now) if event.get("condition") == "Provisioned" else None
    )
    labels = {"SIM": "failfast", "SIM_DELAY": "150"}
    does("POST", "/v2/apps", {"id": "/bo", **_SMALL, **strategy, "labels": labels}, settle=False)(world)
    enough = len(record["data"]["launch_times_s"])
    while len(launches) < enough:
        world.timeline.advance(100)
    world.timeline.advance(1_000)
    end()
    least = strategy["backoffSeconds"]
    gaps = [gap for gap in record["data"]["gaps_s"] if gap >= least]
    found = [(after - before) / 1000 for before, after in pairwise(launches)]
    for index, (gap, given) in enumerate(zip(gaps, found, strict=False)):
        if abs(gap - given) > 0.6:
            yield Difference(f"gaps[{index}]", gap, given)
    if len(found) < len(gaps):
        yield Difference("gaps", gaps, found)


def _health(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    if "requests" not in record["data"]:
        answers(200)(world)
        world.timeline.advance(2_500)
        yield from _events(world, record)
        return
    seen = world.prober.asked[-2:]
    yield from Comparison().differences(
        [path for path, _headers in record["data"]["requests"]], [target.path for target in seen], "paths"
    )


def _follower(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    """What a follower says of the stream; and of the leader, until another leads."""
    data = record["data"]
    if "seq" not in data:
        reply = world.ask("GET", "/v2/events", headers={"accept": "text/event-stream"})
        recorded = dict(line.split(": ") for line in data["response_header_exact"].splitlines()[2:])
        yield from Comparison().differences("302 Found", f"{reply.status} Found", "status")
        yield from Comparison().differences(recorded, dict(reply.headers), "headers")
        return
    begun, seen = world.timeline.now, [world.ask("GET", "/v2/leader").json]
    while world.ask("GET", "/v2/leader").json == seen[0] or world.ensemble.leader is None:
        world.timeline.advance(50)
    seen.append(world.ask("GET", "/v2/leader").json)
    yield from Comparison().differences([json.loads(text) for _, _, text in data["seq"]], seen, "leaders")
    took = (world.timeline.now - begun) / 1000
    if abs(took - data["seq"][-1][0]) > 0.5:
        yield Difference("seconds", data["seq"][-1][0], took)


def _rolled_back(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    versions = world.ask("GET", "/v2/apps/f/alpha/versions").json["versions"]
    does("PUT", "/v2/apps/f/alpha", {"version": versions[-1]})(world)
    after = world.ask("GET", "/v2/apps/f/alpha/versions").json["versions"]
    yield from Comparison().differences(record["data"], {"before": len(versions), "after": len(after)}, "versions")


def _metrics(world: World, record: Mapping[str, Any]) -> Iterator[Difference]:
    """The form of the metrics; which there are, and their values, are the original's own."""
    data = record["data"]
    reply = world.ask("GET", record["name"].partition(" ")[2])
    yield from Comparison().differences(data["status"], reply.status, "status")
    yield from Comparison().differences(data["content-type"], reply.headers["Content-Type"], "content type")
    start = (
        data["head"].partition('"counters"')[0] if data["content-type"] == "application/json" else "# TYPE marathon_"
    )
    yield from Comparison().differences(start, reply.text[: len(start)], "start")


CAPTURES: Final[Mapping[str, Capture]] = {
    "events": _events,
    "placement": _placement,
    "deploy-arithmetic": _arithmetic,
    "realplan": _real_plan,
    "plan": _scaled_by,
    "backoff": _backoff,
    "health": _health,
    "filter": _rolled_back,
    "follower": _follower,
    "empty": _metrics,
}
"""How each group's captures are made again."""
