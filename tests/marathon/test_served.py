"""The emulator on sockets: what only bytes on a connection can show."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from roadstead_backends.marathon.emulator.http.ensemble import Ensemble
from roadstead_backends.marathon.emulator.http.messages import Answer, Request
from roadstead_backends.marathon.emulator.serving.server import Handler, Serving
from roadstead_backends.marathon.emulator.testing import Emulated, Plan, Settings, emulated

APP = {"id": "/web", "cmd": "sleep 1000", "cpus": 0.1, "mem": 16, "instances": 2}


def _connected(url: str) -> socket.socket:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    connection = socket.create_connection((parts.hostname, parts.port or 0), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _until(connection: socket.socket, end: bytes) -> bytes:
    found = b""
    while end not in found:
        data = connection.recv(65_536)
        assert data, found
        found += data
    return found


def _listening(url: str, query: str = "") -> socket.socket:
    connection = _connected(url)
    request = f"GET /v2/events{query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
    connection.sendall(request.encode())
    return connection


def test_the_stream_of_events_has_neither_length_nor_chunks(marathon: Emulated) -> None:
    """It is the rest of the connection, its lines end in CR LF, and the first event tells of the listener itself."""
    with _listening(marathon.url) as connection:
        found = _until(connection, b"\r\n\r\nevent: event_stream_attached\r\n")
        head = found.partition(b"\r\n\r\n")[0].decode().splitlines()
    assert head[0] == "HTTP/1.1 200 OK"
    assert head[-2:] == ["Content-Type: text/event-stream;charset=utf-8", "Connection: close"]
    assert not [line for line in head if line.startswith(("Content-Length", "Transfer-Encoding"))]


def test_a_listener_gets_only_the_events_that_it_asked_for(marathon: Emulated) -> None:
    """So one that names kinds is not even told that it listens."""
    with _listening(marathon.url, "?event_type=deployment_success") as connection:
        _until(connection, b"\r\n\r\n")
        marathon.ask("POST", "/v2/apps", APP)
        marathon.advance(5)
        found = _until(connection, b"\r\n\r\n")
    assert found.startswith(b"event: deployment_success\r\ndata: {")
    assert found.count(b"event: ") == 1


def test_whoever_reads_too_slowly_is_cut_off() -> None:
    """After a thousand events that he did not read, as the original does."""

    def burst(one: Ensemble) -> None:
        for _ in range(50):
            one.marathon.events.publish("test_event", text="x" * 100)

    plan = Plan(by_hand=True, settings=Settings(event_buffer=5))
    with emulated(plan) as running, _listening(running.url) as connection:
        _until(connection, b"event_stream_attached")
        running.do(burst)
        assert b"".join(iter(lambda: _or_nothing(connection), b"")).count(b"event: test_event") < 50


def test_several_requests_go_over_one_connection(marathon: Emulated) -> None:
    """Also when the second is sent before the first was answered; and the words of a status line are Marathon's."""
    with _connected(marathon.url) as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
        found = _until(connection, b"URI not found")
    assert b"\r\n\r\npongHTTP/1.1 500 Internal Server Error\r\n" in found


def test_what_is_no_http_is_refused_and_the_connection_closed(marathon: Emulated) -> None:
    """Nobody waits for more of it."""
    with _connected(marathon.url) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        found = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert found.startswith(b"HTTP/1.1 400 ")


def test_a_fault_of_the_emulator_is_answered_too(caplog: pytest.LogCaptureFixture) -> None:
    """With 500 and a line in the log; the connection goes on."""

    class Broken(Handler):
        def answer(self, request: Request) -> Answer:
            raise KeyError(request.path)

    async def asked() -> bytes:
        serving = Serving(Broken())
        host, port = await serving.open("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        found = await reader.readuntil(b"</html>\n") + await reader.readuntil(b"</html>\n")
        writer.close()
        await serving.close()
        return found

    found = asyncio.run(asked())
    assert found.count(b"HTTP/1.1 500 Server Error\r\n") == 2
    assert "no answer to GET /a" in caplog.text


def test_a_follower_passes_requests_on_and_sends_listeners_away(ensemble: Emulated) -> None:
    """It says that it was on the way; the stream is the leader's alone."""
    follower = ensemble.urls[1]
    with _connected(follower) as connection:
        connection.sendall(b"GET /v2/leader HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = _until(connection, b"}").decode()
    assert f"X-Marathon-Via: 1.1 {follower.removeprefix('http://')}" in answer
    assert f"X-Marathon-Leader: {ensemble.url}" in answer
    with _listening(follower) as connection:
        assert _until(connection, b"\r\n\r\n").startswith(b"HTTP/1.1 302 Found\r\n")


def test_when_the_leader_is_lost_another_leads_and_streams_end(ensemble: Emulated) -> None:
    """In between nobody does; afterwards the apps are still there."""
    ensemble.ask("POST", "/v2/apps", APP)
    with _listening(ensemble.url) as connection:
        _until(connection, b"event_stream_attached")
        ensemble.control("lose-leader")
        rest = b"".join(iter(lambda: _or_nothing(connection), b""))
    assert b"event_stream_detached" not in rest
    status, text = ensemble.ask("GET", "/v2/leader", url=ensemble.urls[1])
    assert (status, "Could not determine the current leader" in text) == (503, True)
    ensemble.advance(2)
    status, answer = ensemble.ask("GET", "/v2/apps/web", url=ensemble.urls[1])
    assert (status, answer["app"]["id"]) == (200, "/web")


def _or_nothing(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionError:
        return b""


def test_credentials_are_asked_for() -> None:
    """With the page that Jetty shows."""
    with emulated(Plan(by_hand=True, settings=Settings(credentials="usr:pw"))) as running:
        assert running.ask("GET", "/v2/apps")[0] == 401
        secret = base64.b64encode(b"usr:pw")
        with _connected(running.url) as connection:
            connection.sendall(b"GET /v2/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + secret + b"\r\n\r\n")
            assert _until(connection, b'{"apps":[]}').startswith(b"HTTP/1.1 200 OK")


def test_the_operators_of_mesos_see_agents_and_what_is_used(marathon: Emulated) -> None:
    """By both of its interfaces, and by its metrics."""
    marathon.ask("POST", "/v2/apps", APP)
    marathon.advance(5)
    _, state = marathon.ask("GET", "/state", url=marathon.mesos_url)
    used = sum(agent["used_resources"]["cpus"] for agent in state["slaves"])
    _, answer = marathon.ask("POST", "/api/v1", {"type": "GET_AGENTS"}, url=marathon.mesos_url)
    _, metrics = marathon.ask("GET", "/metrics/snapshot", url=marathon.mesos_url)
    assert used == pytest.approx(0.2)
    assert len(answer["get_agents"]["agents"]) == len(state["slaves"]) == 3
    assert metrics["master/tasks_running"] == 2.0
    assert {task["state"] for task in state["frameworks"][0]["tasks"]} == {"TASK_RUNNING"}


def test_a_lost_agent_is_noticed_and_its_tasks_are_replaced(marathon: Emulated) -> None:
    """Mesos says so after 75 s; with the default strategy they are replaced then, and forgotten at the next look."""
    marathon.ask("POST", "/v2/apps", APP)
    marathon.advance(5)
    first = marathon.ask("GET", "/v2/apps/web/tasks")[1]["tasks"]
    marathon.control("lose-agent", agent=first[0]["slaveId"])
    marathon.advance(74)
    assert _states(marathon) == ["TASK_RUNNING", "TASK_RUNNING"]
    marathon.advance(10)
    assert sorted(_states(marathon)) == ["TASK_RUNNING"] * 2 + ["TASK_UNREACHABLE"] * 2
    marathon.advance(330)
    assert _states(marathon) == ["TASK_RUNNING"] * 2


def test_tasks_of_an_app_can_be_made_to_stay_in_staging_or_to_end_with_words(marathon: Emulated) -> None:
    """What befalls an image that cannot be had: Marathon gives up after five minutes, or is told by the agent."""
    marathon.control("set-course", app="/web", starting=None, running=None)
    marathon.ask("POST", "/v2/apps", {**APP, "instances": 1})
    marathon.advance(290)
    assert ["TASK_STAGING"] == _states(marathon)
    words = "Failed to launch container: Failed to fetch all URIs for container 'c': exited with status 1"
    marathon.control("set-course", app="/web", starting=None, running=None, end=500, final="TASK_FAILED", message=words)
    marathon.advance(60)
    app = marathon.ask("GET", "/v2/apps/web?embed=app.lastTaskFailure")[1]["app"]
    assert words == app["lastTaskFailure"]["message"]
    marathon.control("set-course", app="/web")
    marathon.control("set-course", app="/elsewhere", end=1)
    marathon.advance(60)
    assert ["TASK_RUNNING"] == _states(marathon)


def _states(marathon: Emulated) -> list[str]:
    tasks: list[dict[str, Any]] = marathon.ask("GET", "/v2/apps/web/tasks")[1]["tasks"]
    return [task["state"] for task in tasks]


@pytest.mark.slow
def test_tasks_can_be_real_processes(tmp_path: Path) -> None:
    """With their port, checked over the network, and ended by a signal."""
    server = "exec python3 -m http.server $PORT0 --bind $HOST"
    check = {"protocol": "HTTP", "path": "/", "gracePeriodSeconds": 20, "intervalSeconds": 1}
    with emulated(Plan(processes=tmp_path)) as running:
        running.ask("POST", "/v2/apps", {**APP, "cmd": server, "instances": 1, "healthChecks": [check]})
        app = _awaited(running, lambda: running.ask("GET", "/v2/apps/web")[1]["app"], "tasksHealthy", 1)
        task = app["tasks"][0]
        with socket.create_connection((task["host"], task["ports"][0]), timeout=30):
            pass
        _, (used,) = running.ask("GET", f"/slave({_number(task)})/monitor/statistics", url=running.mesos_url)
        assert 1 << 20 < used["statistics"]["mem_rss_bytes"] < 1 << 30
        assert 0 < used["statistics"]["cpus_user_time_secs"] < 30
        running.ask("POST", "/v2/apps", {"id": "/ends", "cmd": "exit 3", "cpus": 0.1, "mem": 16})
        failed = _awaited(
            running,
            lambda: running.ask("GET", "/v2/apps/ends?embed=app.lastTaskFailure")[1]["app"].get("lastTaskFailure", {}),
            "message",
            "Command exited with status 3",
        )
        assert failed["state"] == "TASK_FAILED"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((task["host"], task["ports"][0]), timeout=30)


def _number(task: dict[str, Any]) -> int:
    """Return which of Mesos' agents a task is on, from 1."""
    return int(task["slaveId"].rpartition("-S")[2]) + 1


def _awaited(_running: Emulated, look: Any, key: str, value: Any) -> dict[str, Any]:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        found: dict[str, Any] = look()
        if found.get(key) == value:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{key} is not {value!r}: {look()}")
