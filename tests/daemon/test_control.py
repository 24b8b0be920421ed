"""What the control API answers, and what commands through it come to; on a simulated cluster."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.act.events import Event, EventKind
from roadstead.cli.errors import Refused
from tests.daemon.conftest import WAIT_S, Daemon, until
from tests.daemon.fleets import SIMULATED

pytestmark = pytest.mark.slow


@pytest.fixture
def running(daemon: Daemon) -> Daemon:
    """A daemon with two replicas that clients may use."""
    daemon.write(SIMULATED)
    daemon.start()
    daemon.until_listed(2)
    return daemon


def _ask(daemon: Daemon, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    """Return the status and the object that the control socket answers, without our own client in between."""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(WAIT_S)
        plain.connect(str(daemon.state.socket))
        connection = http.client.HTTPConnection("x")
        connection.sock = plain
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_scaling_by_command_holds_over_a_restart(running: Daemon) -> None:
    """More replicas by command, then fewer; a killed daemon knows the number again."""
    running.client.scale("minilm", 4)
    running.until_listed(4)
    running.client.scale("minilm", 1)
    running.until_listed(1)

    running.kill()
    running.start()

    assert 1 == running.until_listed(1).wanted


def test_another_fleet_with_the_same_state_is_refused(running: Daemon) -> None:
    """Two files may name one state directory: the daemon answers for its own fleet only, and says which that is."""
    stranger = attrs.evolve(running.client, fleet="other")

    for call in (stranger.alive, stranger.status, stranger.plan, partial(stranger.scale, "minilm", 1)):
        with pytest.raises(Refused, match=r"runs fleet .*, not other") as refused:
            call()
        assert ("RS053", 65) == (refused.value.told, refused.value.exits)


def test_a_plan_shows_what_the_next_turn_would_do(running: Daemon) -> None:
    """At rest nothing; the answer is a plan all the same."""
    plan = running.client.plan()

    assert () == plan.deployments
    assert 1 == plan.unchanged


def test_deleting_takes_a_declared_deployment_down(running: Daemon) -> None:
    """The file still has it; the command's word holds until the file changes it."""
    running.client.delete("minilm")

    assert until(lambda: not running.deployment().replicas)


def test_a_disk_that_is_full_when_a_removal_ends_does_not_end_the_daemon(daemon: Daemon) -> None:
    """What cannot be forgotten is said, tried again, and forgotten when there is room."""
    daemon.write(SIMULATED.replace("drain_within: 0s", "drain_within: 2s"))
    daemon.start()
    daemon.until_listed(2)
    daemon.write(SIMULATED.replace("drain_within: 0s", "drain_within: 2s").replace("  minilm:\n", "  other:\n"))
    until(lambda: daemon.status().deployment("other"))
    daemon.client.delete("minilm")
    full = daemon.state.path / ".identity.json.new"
    full.mkdir()
    said = until(lambda: [text for text in daemon.health()["problems"] if "identity.json" in text])
    assert "cannot be written" in said[0]

    full.rmdir()

    until(lambda: [event for event in daemon.events(EventKind.RELEASED) if event.text == "nothing is left of minilm"])
    until(lambda: not daemon.health()["problems"])


def test_why_explains_a_deployment(running: Daemon) -> None:
    """The explanation has the numbers of the deployment."""
    found = running.client.why("minilm")

    assert (2, 2) == (found.wanted, found.ready)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "text"),
    [
        ("GET", "/v1/why/minlm", None, 404, "RS052", "there is no deployment 'minlm'"),
        ("GET", "/v1/logs/nobody", None, 404, "RS052", "there is no replica 'nobody'"),
        ("GET", "/v1/nothing", None, 404, "RS052", "GET /v1/nothing: not found"),
        ("DELETE", "/v1/status", None, 405, "RS052", "DELETE /v1/status: method not allowed"),
        ("GET", "/v1/events?since=x", None, 400, "RS054", "since='x' is no number"),
        ("POST", "/v1/scale", b"{", 400, "RS054", "the request is not understood"),
        ("POST", "/v1/scale", b'{"deployment": "minilm"}', 400, "RS054", "the request is not understood"),
        ("POST", "/v1/scale", b'{"deployment": "minilm", "replicas": "2"}', 400, "RS054", "not understood"),
        ("POST", "/v1/scale", b'{"deployment": "minilm", "replicas": -1}', 400, "RS054", "-1 is no number of replicas"),
        ("POST", "/v1/scale", b'{"deployment": "other", "replicas": 1}', 404, "RS052", "no deployment 'other'"),
        ("POST", "/v1/delete", b'{"deployment": "other"}', 404, "RS052", "there is no deployment 'other'"),
        ("POST", "/v1/stop", b" " * 70_000, 400, "RS054", "the request is larger than 65536 bytes"),
    ],
)
def test_what_is_refused_says_why(  # noqa: PLR0917  # one row of a table
    shared: Daemon, method: str, path: str, body: bytes | None, status: int, code: str, text: str
) -> None:
    """Every refusal has a fitting status, a stable code and a sentence, in the one form of the API."""
    answered, content = _ask(shared, method, path, body)

    assert (status, 1, code) == (answered, content["format_version"], content["error"]["code"])
    assert text in content["error"]["message"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, installed: dict[str, str]) -> Iterator[Daemon]:
    """One daemon for many questions that change nothing."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "models" / "minilm" / "1").mkdir(parents=True)
    made = Daemon(folder, installed)
    made.write(SIMULATED)
    made.start()
    made.until_listed(2)
    yield made
    assert 0 == made.terminate()


def test_the_table_of_endpoints_is_answered(shared: Daemon) -> None:
    """Every deployment with where it answers, in the form of the wire."""
    _, content = _ask(shared, "GET", "/v1/endpoints")

    endpoints = content["endpoints"]["minilm"]
    assert ["here", "here"] == [one["cluster"] for one in endpoints]
    assert [8500, 8500] == [one["endpoint"]["grpc"] for one in endpoints]


def test_only_the_owner_may_use_the_socket(shared: Daemon) -> None:
    """The socket is readable and writable by its owner, and by nobody else."""
    assert 0o600 == shared.state.socket.stat().st_mode & 0o777


def test_health_and_metrics_are_on_tcp_and_nothing_else_is(shared: Daemon) -> None:
    """Monitoring needs no access to the socket, and cannot change anything."""
    assert "ok" == shared.health()["status"]
    metrics = shared.http("/metrics").decode()
    assert 'roadstead_replicas_ready{cluster="here",deployment="minilm"} 2.0' in metrics
    assert 'roadstead_replicas_wanted{deployment="minilm"} 2.0' in metrics
    assert 'roadstead_cluster_reachable{cluster="here"} 1.0' in metrics
    assert b"RS052" in shared.http("/v1/status")


def test_events_can_be_followed(running: Daemon) -> None:
    """A follower hears of what happens after it came, as it happens, and its stream ends with the daemon."""
    last = max(event.seq for event in running.client.events(since=0, follow=False, deployment=None))
    heard: list[Event] = []
    scaled = threading.Event()

    def follow() -> None:
        for event in running.client.events(since=last, follow=True, deployment="minilm"):
            heard.append(event)
            if event.kind is EventKind.READY:
                scaled.set()

    follower = threading.Thread(target=follow)
    follower.start()
    running.client.scale("minilm", 3)

    assert scaled.wait(WAIT_S)
    assert EventKind.INTENT is heard[0].kind
    assert 0 == running.terminate()
    follower.join(WAIT_S)
    assert not follower.is_alive()


def test_a_follower_that_leaves_is_not_held(shared: Daemon) -> None:
    """A caller that hangs up in the middle leaves the daemon as well as before."""
    for _ in range(5):
        stream = shared.client.events(since=0, follow=True, deployment=None)
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator

    assert "ok" == shared.health()["status"]


def test_commands_are_refused_while_replicas_are_taken_down(daemon: Daemon) -> None:
    """Once the daemon is on its way out, nothing new is taken on."""
    daemon.write(SIMULATED.replace("drain_within: 0s", "drain_within: 20s"))
    daemon.start()
    daemon.until_listed(2)
    daemon.client.stop(stop_replicas=True)

    with pytest.raises(Refused, match="taking its replicas down"):
        daemon.client.scale("minilm", 3)
    assert 0 == daemon.terminate()


def test_the_reference_page_has_every_metric_and_no_other(shared: Daemon) -> None:
    """Whoever writes an alert finds the names where they are documented."""
    served = re.findall(r"^# TYPE (roadstead_\w+) (\w+)$", shared.http("/metrics").decode(), re.MULTILINE)
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
    documented = re.findall(r"^\| `(roadstead_\w+)` \| (\w+) \|", page, re.MULTILINE)

    assert sorted(served) == sorted(documented)
