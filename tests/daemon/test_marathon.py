"""A daemon, a fleet file and an emulated Marathon whose tasks are real processes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadstead.decide.report import DeploymentStatus, RolloutState
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated
from tests.daemon.conftest import Daemon, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FLEET = """
version: 1
fleet: shop
clusters:
  old: {backend: marathon, options: {urls: ["URL"], path: /models, containers: none}}
quotas: {search: {}}
defaults:
  owner: search
  runtime: {name: tiny}
  resources: {cpu: 200m, memory: 64Mi}
  health: {every: 500ms, node_lost_after: 1s}
  stop: {drain_within: 0s, kill_after: 1s}
deployments:
  minilm:
    model: {source: /models/minilm, version: 1}
    replicas: 1
daemon: {http: "127.0.0.1:PORT", state: state, turn: 500ms}
"""
PREFIX = "127.77"
GIVEN_UP_S = 240
"""Mesos pings an agent five times, 15 s apart, before it says that it is lost."""


@pytest.fixture
def marathon(tmp_path: Path, installed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulated]:
    """A Marathon whose agents have the tiny server; it soon looks for tasks that were on lost agents."""
    monkeypatch.setenv("PATH", installed["PATH"])
    settings = Settings(
        min_revive_offers_interval=200, task_lost_expunge_initial_delay=500, task_lost_expunge_interval=500
    )
    with emulated(Plan(settings=settings, processes=tmp_path / "sandboxes", prefix=PREFIX)) as running:
        yield running


def answers(found: DeploymentStatus) -> dict[int, int]:
    """Ask every server that clients may use; return the version of each, by its process."""
    said: dict[int, int] = {}
    for replica in found.replicas:
        assert replica.host is not None
        assert replica.rest is not None
        connection = http.client.HTTPConnection(replica.host, replica.rest, timeout=60)
        connection.request("GET", "/")
        answer = json.loads(connection.getresponse().read())
        said[answer["pid"]] = int(answer["version"])
        connection.close()
    return said


def until_settled(daemon: Daemon, count: int, within: float = 180) -> DeploymentStatus:
    """Wait until there are exactly so many, all of them used, and nothing is under way."""

    def settled() -> DeploymentStatus | None:
        found = daemon.deployment()
        done = found.state is RolloutState.SETTLED and found.listed == len(found.replicas) == count
        return found if done else None

    return until(settled, within=within)


def test_a_fleet_lives_on_a_marathon(marathon: Emulated, daemon: Daemon) -> None:
    """Deployed, made larger and smaller, rolled, healed after a lost agent, beside a daemon that is killed, removed."""
    text = FLEET.replace("URL", marathon.url)
    daemon.write(text)
    daemon.start()
    first = answers(until_settled(daemon, 1))
    assert [1] == list(first.values())

    daemon.write(text.replace("replicas: 1", "replicas: 4"))
    four = answers(until_settled(daemon, 4))
    assert first.items() < four.items()
    assert 4 == len(four)

    daemon.kill()
    daemon.start()
    assert four == answers(until_settled(daemon, 4))

    daemon.write(text.replace("replicas: 1", "replicas: 2"))
    two = answers(until_settled(daemon, 2))
    assert two.items() < four.items()

    rolled = text.replace("replicas: 1", "replicas: 2").replace("version: 1}", "version: 2}")
    daemon.write(rolled)
    until(lambda: {2} == {said for one in daemon.deployment().replicas for said in one.versions or ()}, within=180)
    second = answers(until_settled(daemon, 2))
    assert [2, 2] == list(second.values())
    assert second.keys().isdisjoint(two)

    lost = daemon.deployment().replicas[0].host
    agents = marathon.ask("GET", "/slaves", url=marathon.mesos_url)[1]["slaves"]
    (agent,) = (one["id"] for one in agents if one["hostname"] == lost)
    marathon.control("lose-agent", agent=agent)
    until(lambda: lost not in {one.host for one in daemon.deployment().replicas}, within=GIVEN_UP_S)
    healed = answers(until_settled(daemon, 2, within=GIVEN_UP_S))
    assert [2, 2] == list(healed.values())

    apps = marathon.ask("GET", "/v2/apps")[1]["apps"]
    assert {"/models/shop/minilm"} == {app["id"].rpartition("/")[0] for app in apps}
    daemon.write(rolled.partition("deployments:")[0] + "deployments: {}\n" + FLEET[FLEET.index("daemon:") :])
    daemon.client.apply(confirm_removals=True)
    until(lambda: marathon.ask("GET", "/v2/apps") == (200, {"apps": []}), within=180)


def test_a_fleet_at_rest_writes_nothing(marathon: Emulated, daemon: Daemon) -> None:
    """Turn after turn; not even a deployment that changes nothing, which would be a new version."""
    daemon.write(FLEET.replace("URL", marathon.url).replace("replicas: 1", "replicas: 2"))
    daemon.start()
    until_settled(daemon, 2)
    until(lambda: marathon.ask("GET", "/v2/deployments") == (200, []))
    versions = {app["id"]: app["version"] for app in marathon.ask("GET", "/v2/apps")[1]["apps"]}
    turns = daemon.status().service.turn
    until(lambda: daemon.status().service.turn > turns + 8)
    assert versions == {app["id"]: app["version"] for app in marathon.ask("GET", "/v2/apps")[1]["apps"]}
    assert (200, []) == marathon.ask("GET", "/v2/deployments")


def test_what_a_server_prints_can_be_read_through_the_daemon(marathon: Emulated, daemon: Daemon) -> None:
    """From the sandbox of its task; and where the agent is away, that is what comes."""
    daemon.write(FLEET.replace("URL", marathon.url))
    daemon.start()
    answers(until_settled(daemon, 1))
    (replica,) = daemon.deployment().replicas
    until(lambda: b"asked /\n" in b"".join(daemon.client.logs(replica.id, tail=None, follow=False)))
    assert 1 == b"".join(daemon.client.logs(replica.id, tail=1, follow=False)).count(b"\n")
    (task,) = marathon.ask("GET", "/v2/tasks")[1]["tasks"]
    marathon.control("lose-agent", agent=task["slaveId"], partition=True)
    said = b"".join(daemon.client.logs(replica.id, tail=1, follow=False)).decode()
    assert said.startswith(f"roadstead: old/{replica.id}: no agent of Mesos answers at ")
    assert "; hint: only its agent has what a task prints" in said
    marathon.control("return-agent", agent=task["slaveId"])
