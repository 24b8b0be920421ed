"""Replays the recorded answers of a real Marathon 1.11 against the emulator, in their order and in virtual time.

A part of the recording is not here, so what happened between two records is sometimes made up for (``preludes``), and
each group begins on a system of its own. What a request names by a placeholder is looked up in the emulator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from roadstead_backends.marathon.emulator.settings import Settings
from tests.marathon.captures import CAPTURES
from tests.marathon.comparing import Comparison, Difference
from tests.marathon.preludes import AFTER, BEFORE, EACH, PREPARE
from tests.marathon.world import STARTED, Reply, World

__all__ = ["GROUPS", "Result", "replayed"]

RECORDINGS: Final = Path(__file__).parent / "recordings"
GROUPS: Final = tuple(sorted(path.stem for path in RECORDINGS.glob("*.jsonl")))
_LOCAL: Final = ("127.0.0.110", "127.0.0.111", "127.0.0.112")
_OTHER: Final = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
_SECOND: Final = frozenset({"backoff", "health", "readiness", "placement", "deploy-arithmetic"})
_DEFAULT: Final = {
    "http_port": 18080,
    "zookeeper": "zk://127.0.0.1:22181/m1795357862",
    "mesos_master": "zk://127.0.0.1:22181/mesos",
    "min_revive_offers_interval": 500,
}
_FLAGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "features": {
        "features": frozenset({"secrets", "external_volumes", "vips", "gpu_resources", "task_killing"}),
        "default_network_name": "defnet",
        "mesos_bridge_name": "br-x",
        "zookeeper": "zk://127.0.0.1:22181/m1795360389",
    },
    "follower": {"zookeeper": "zk://127.0.0.1:22181/m1795360472"},
    "auth": {
        "zookeeper": "zk://127.0.0.1:22181/m1795360453",
        "credentials": "usr:pw",
        "allow_origin": ("*",),
        "new_group_enforce_role": "Top",
    },
}


@attrs.frozen(kw_only=True)
class Result:
    """One record, and where the emulator's answer differs; ``skipped`` says why it cannot be compared."""

    group: str
    index: int
    name: str
    differences: tuple[Difference, ...] = ()
    skipped: str | None = None

    @property
    def agrees(self) -> bool:
        """Whether the answer is the recorded one."""
        return not self.differences and self.skipped is None


def world_of(group: str) -> World:
    """The system that a group was recorded on."""
    settings = Settings(**{**_DEFAULT, **_FLAGS.get(group, {})})
    if group in _SECOND:
        return World(settings, hosts=_OTHER, gpus=(0, 0, 0))
    if group == "follower":
        return World(settings, hosts=_LOCAL, gpus=(0, 0, 2), ports=(18081,))
    started = "Sun, 22 Nov 2026 15:14:25 UTC" if group == "auth" else STARTED
    return World(settings, hosts=_LOCAL, gpus=(0, 0, 2), started=started)


def records(group: str) -> list[dict[str, Any]]:
    """The records of a group."""
    return [json.loads(line) for line in (RECORDINGS / f"{group}.jsonl").read_text().splitlines()]


def replayed(group: str) -> Iterator[Result]:
    """Replay a group and tell of each record."""
    world = world_of(group)
    prepare = PREPARE.get(group)
    if prepare is not None:
        prepare(world)
    for index, record in enumerate(records(group)):
        for step in BEFORE.get((group, index), ()):
            step(world)
        reason = _INCOMPARABLE.get((group, index))
        if reason is not None:
            yield Result(group=group, index=index, name=record["name"], skipped=reason)
            continue
        if "data" in record:
            capture = CAPTURES.get(group)
            if capture is None:
                yield Result(group=group, index=index, name=record["name"], skipped="no way to capture it")
            else:
                found = capture(world, record)
                yield Result(group=group, index=index, name=record["name"], differences=tuple(found))
            continue
        yield _replayed(world, group, index, record)


def _replayed(world: World, group: str, index: int, record: dict[str, Any]) -> Result:
    before = EACH.get(group)
    if before is not None:
        before(world, record)
    elif not _in_progress(record):
        world.settle(1_000 if record["path"].startswith("/v2/deployments/") else 12_000)
    reply = _asked(world, record)
    comparison = Comparison()
    found = list(_answer_differences(comparison, record, reply))
    after = AFTER.get(group)
    if after is not None:
        after(world, record, reply)
    return Result(group=group, index=index, name=record["name"], differences=tuple(found))


def _in_progress(record: Mapping[str, Any]) -> bool:
    """Whether the record shows a deployment under way, or refuses something because of one."""
    if record["status"] == 409 and "locked" in str(record["body"]):
        return True
    body = record["body"]
    if record["path"] == "/v2/deployments" and record["method"] == "GET":
        return bool(body)
    return isinstance(body, dict) and bool((body.get("app") or {}).get("deployments"))


def _answer_differences(comparison: Comparison, record: Mapping[str, Any], reply: Reply) -> Iterator[Difference]:
    if record["status"] != reply.status:
        yield Difference("status", record["status"], f"{reply.status} {reply.text[:300]}")
        return
    yield from comparison.differences(record["reason"], reply.reason, "reason")
    headers = dict(record["headers"] or {})
    for name, value in headers.items():
        unlike = "<" in str(record["body"]) or record["method"] == "HEAD" or "{" in str(record["body"])
        if name in ("Content-Length", "Transfer-Encoding") and (unlike or "Content-Encoding" in headers):
            continue  # the length of what a placeholder stands for
        given = {key.lower(): item for key, item in reply.headers.items()}.get(name.lower(), "")
        yield from comparison.differences(value, given, f"header {name}")
    if headers.get("Content-Encoding") == "gzip":
        return
    body = record["body"]
    given = reply.json if record.get("body_is_json", isinstance(body, dict | list)) else reply.text
    yield from comparison.differences(body if body is not None else "", given, "body")


# Requests -------------------------------------------------------------------------------------------------------------


def _asked(world: World, record: dict[str, Any]) -> Reply:
    path = _resolved(world, record["path"], record)
    query = _resolved(world, record["query"] or "", record)
    raw = None
    body = record.get("request")
    if isinstance(record.get("request_raw"), str) and body is None:
        text = record["request_raw"]
        raw = text.encode() if text is not None else b""
    if body is not None:
        body = json.loads(_resolved(world, json.dumps(body), record))
    headers = dict(record.get("request_headers") or {})
    return world.ask(record["method"], path, body, raw=raw, query=query, headers=headers)


_TIMESTAMP: Final = re.compile(r"<ts#(\d+)>")
_UUID: Final = re.compile(r"<uuid#(\d+)>")
_PORT: Final = re.compile(r'"?<servicePort#(\d+)>"?')
_LITERAL: Final = re.compile(r"2026-11-22T15:02:18\.360(%2B|\+)00:00")
_ABSENT: Final = "2020-01-01T00:00:00.000Z"


def _resolved(world: World, text: str, record: Mapping[str, Any]) -> str:
    """The text with placeholders filled in with what they stand for here."""
    text = _TIMESTAMP.sub(lambda found: _version(world, record, found[0]), text)
    text = _LITERAL.sub(lambda found: _first_version(world).replace("Z", f"{found[1]}00:00"), text)
    text = _UUID.sub(lambda found: _uuid(world, text, found[0]), text)
    return _PORT.sub(lambda found: str(18_000 + int(found[1])), text)


def _version(world: World, record: Mapping[str, Any], _placeholder: str) -> str:
    """The version that a record asks for: where it found one, the version whose definition it shows."""
    if record["status"] == 404 or "unknown" in record["name"] or "absent" in record["name"]:
        return _ABSENT
    path = record["path"].removeprefix("/v2/apps").removeprefix("/v2/groups").removeprefix("/v2/pods")
    owner = re.split(r"/versions|::versions", path)[0] or "/"
    if record["path"].startswith("/v2/groups"):
        return _group_version(world, record, owner)
    listing = "::versions" if record["path"].startswith("/v2/pods") else "/versions"
    base = "/v2/pods" if listing.startswith("::") else "/v2/apps"
    found = world.ask("GET", f"{base}{owner}{listing}").json
    versions: list[str] = found["versions"] if isinstance(found, dict) and "versions" in found else found
    if not isinstance(versions, list) or not versions:
        return _ABSENT
    for version in versions:
        shown = world.ask("GET", f"{base}{owner}{listing}/{version}").json
        if not list(Comparison().differences(record["body"], shown)):
            return str(version)
    return str(versions[0])


def _first_version(world: World) -> str:
    """The version that a record names by its own time: the app's first."""
    return str(world.ask("GET", "/v2/apps/f/alpha/versions").json["versions"][-1])


def _group_version(world: World, record: Mapping[str, Any], owner: str) -> str:
    versions: list[str] = world.ask("GET", f"/v2/groups{owner}/versions").json
    return versions[0] if versions else _ABSENT


def _uuid(world: World, text: str, placeholder: str) -> str:
    deployments = world.marathon.deployments.shown()
    if text.startswith("/v2/deployments") and deployments:
        return str(deployments[-1]["id"])
    for instance in world.marathon.supervisor.tracker.all():
        if f".instance-{placeholder}" in text and text.partition(".instance-")[0].endswith(instance.spec.id.safe):
            return instance.id.partition(".instance-")[2]
    return "0f0f0f0f-0000-11e9-9fcd-0242ac110002"


_INCOMPARABLE: Final[Mapping[tuple[str, int], str]] = {
    ("group", 16): "lists every version of the tree since the start, over groups that are recorded elsewhere",
    ("empty", 21): "lists the loggers of a Java program",
    ("merge", 32): "is what the group's changes begin with, and no answer",
}
