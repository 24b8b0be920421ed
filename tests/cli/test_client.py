"""The client against a real server on a real unix socket."""

from __future__ import annotations

import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import attrs
import pytest

from roadstead.act.events import Event, EventKind
from roadstead.cli.client import Client
from roadstead.cli.errors import NoDaemon, Refused
from roadstead.cli.exits import Exit
from roadstead.errors import Denied
from roadstead.wire import to_wire
from tests.cli.stage import Stage, declared, fleet_of

EVENT = Event(at=5, kind=EventKind.READY, text="minilm.1 is ready", deployment="minilm", seq=7)


@attrs.define
class Daemon:
    """A server that answers with what the test put into ``answers``, by path, and keeps what it was asked."""

    socket: Path
    answers: dict[str, tuple[int, bytes]] = attrs.field(factory=dict)
    asked: list[tuple[str, str, bytes]] = attrs.field(factory=list)
    streams: dict[str, Callable[[Callable[[bytes], None]], None]] = attrs.field(factory=dict)

    def says(self, path: str, content: dict[str, Any], status: int = 200) -> None:
        """Answer ``path`` with that object."""
        self.answers[path] = (status, json.dumps({"format_version": 1, **content}).encode())

    @property
    def client(self) -> Client:
        """The client of this daemon."""
        return Client(self.socket, timeout=5.0)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A server on a unix socket."""
    made = Daemon(tmp_path / "control.sock")

    class Handler(BaseHTTPRequestHandler):
        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:  # the library's name
            path, _, _ = self.path.partition("?")
            made.asked.append((self.command, self.path, self.rfile.read(int(self.headers.get("Content-Length", 0)))))
            if path in made.streams:
                self.send_response(200)
                self.end_headers()
                made.streams[path](self.send)
                return
            status, body = made.answers.get(path, (404, b"{}"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # the library's name

        def send(self, data: bytes) -> None:
            self.wfile.write(data)
            self.wfile.flush()

    with _Server(str(made.socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_what_the_daemon_sends_is_what_the_client_returns(daemon: Daemon) -> None:
    """Status, plan and explanation come through as the values that they are."""
    stage = Stage(fleet_of(declared()))
    stage.turn()
    daemon.says("/v1/status", to_wire(stage.status()))
    daemon.says("/v1/plan", to_wire(stage.plan()))
    daemon.says("/v1/why/minilm", to_wire(stage.why()))
    assert stage.status() == daemon.client.status()
    assert stage.plan() == daemon.client.plan()
    assert stage.why() == daemon.client.why("minilm")
    assert ["/v1/status", "/v1/plan?staged=1", "/v1/why/minilm"] == [path for _, path, _ in daemon.asked]


def test_commands_are_sent_as_objects(daemon: Daemon) -> None:
    """Each names what it changes, and returns the turn that first knows of it."""
    for verb in ("apply", "scale", "delete"):
        daemon.says(f"/v1/{verb}", {"turn": 42})
    daemon.says("/v1/stop", {"stopping": True})
    client = daemon.client
    assert [42, 42, 42] == [client.apply(confirm_removals=True), client.scale("minilm", 3), client.delete("minilm")]
    client.stop(stop_replicas=False)
    assert [
        {"confirm_removals": True},
        {"deployment": "minilm", "replicas": 3},
        {"deployment": "minilm"},
        {"stop_replicas": False},
    ] == [json.loads(body) for _, _, body in daemon.asked]


def test_events_come_one_by_one_while_the_answer_goes_on(daemon: Daemon) -> None:
    """An event is there as soon as it was sent, and not only when the stream ends."""
    goes_on = threading.Event()

    def stream(send: Callable[[bytes], None]) -> None:
        send(json.dumps(to_wire(EVENT)).encode() + b"\n")
        assert goes_on.wait(10)
        send(b"\n" + json.dumps(to_wire(attrs.evolve(EVENT, seq=8))).encode() + b"\n")

    daemon.streams["/v1/events"] = stream
    events = daemon.client.events(since=6, follow=True, deployment="minilm")
    assert EVENT == next(events)
    goes_on.set()
    assert [8] == [event.seq for event in events]
    assert "/v1/events?since=6&follow=1&deployment=minilm" == daemon.asked[0][1]


def test_logs_are_passed_on_as_the_bytes_that_they_are(daemon: Daemon) -> None:
    """Whatever a server prints, text or not."""
    daemon.answers["/v1/logs/here.minilm.1"] = (200, b"one\n\xff\x00two\n")
    assert b"one\n\xff\x00two\n" == b"".join(daemon.client.logs("here.minilm.1", tail=5, follow=False))
    assert "/v1/logs/here.minilm.1?tail=5" == daemon.asked[0][1]


def test_a_name_is_only_ever_a_name(daemon: Daemon) -> None:
    """What a person types cannot become another path."""
    daemon.says("/v1/why/..%2Fstop%3Fx", {}, status=404)
    with pytest.raises(Refused):
        daemon.client.why("../stop?x")
    assert "/v1/why/..%2Fstop%3Fx" == daemon.asked[0][1]


@pytest.mark.parametrize(
    ("status", "exits"),
    [
        (400, Exit.USAGE),
        (403, Exit.DENIED),
        (404, Exit.ERROR),
        (409, Exit.ERROR),
        (422, Exit.INVALID),
        (500, Exit.ERROR),
        (503, Exit.UNREACHABLE),
    ],
)
def test_a_refusal_keeps_the_daemons_words(daemon: Daemon, status: int, exits: Exit) -> None:
    """Message, code and hint are the daemon's; the exit code follows from the HTTP status."""
    error = {"code": "RS999", "message": "no", "hint": "do this"}
    daemon.says("/v1/status", {"error": error}, status=status)
    with pytest.raises(Refused) as refused:
        daemon.client.status()
    assert ("no", "RS999", "do this", exits) == (
        str(refused.value),
        refused.value.told,
        refused.value.hint,
        refused.value.exits,
    )


def test_an_error_that_is_no_json_is_still_an_error(daemon: Daemon) -> None:
    """Its first words are shown."""
    daemon.answers["/v1/status"] = (502, b"<html>bad gateway")
    with pytest.raises(Refused, match="502: <html>bad gateway"):
        daemon.client.status()


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"format_version": 2}', b'{"format_version": 1, "x": 1}'])
def test_an_answer_of_another_release_is_not_guessed_at(daemon: Daemon, body: bytes) -> None:
    """A field that is unknown or missing means two releases, and that is said."""
    daemon.answers["/v1/status"] = (200, body)
    with pytest.raises(NoDaemon):
        daemon.client.status()


def test_without_a_socket_there_is_no_daemon(tmp_path: Path) -> None:
    """And the next step is said."""
    client = Client(tmp_path / "control.sock")
    assert not client.alive()
    with pytest.raises(NoDaemon) as error:
        client.status()
    assert "`roadstead daemon start --background` starts one" == error.value.hint


def test_where_no_daemon_can_listen_there_is_none(tmp_path: Path) -> None:
    """A unix socket's path is short: the way to a shorter one is said, and commands that need no daemon do without."""
    client = Client(tmp_path / ("deep" * 30) / "control.sock")
    assert not client.alive()
    with pytest.raises(NoDaemon, match="the system allows 107") as error:
        client.status()
    assert "set daemon.state to a shorter path" == error.value.hint


def test_a_socket_that_a_killed_daemon_left_is_no_daemon(tmp_path: Path) -> None:
    """The file is still there, and nobody answers on it."""
    path = tmp_path / "control.sock"
    with _Server(str(path), BaseHTTPRequestHandler):
        pass
    assert path.exists()
    assert not Client(path).alive()


def test_a_daemon_that_hangs_is_given_up(daemon: Daemon) -> None:
    """After the timeout, with words that say so."""
    ends = threading.Event()

    def hang(_: Callable[[bytes], None]) -> None:
        ends.wait(10)

    daemon.streams["/v1/status"] = hang
    with pytest.raises(NoDaemon, match=r"does not answer within 0\.2 seconds"):
        attrs.evolve(daemon.client, timeout=0.2).status()
    ends.set()


def test_a_daemon_that_dies_in_the_middle_is_told_as_that(daemon: Daemon) -> None:
    """Half an answer is none."""
    daemon.answers["/v1/status"] = (200, b"")
    daemon.streams["/v1/events"] = lambda send: send(b'{"half')
    with pytest.raises(NoDaemon):
        list(daemon.client.events(since=0, follow=False, deployment=None))


def test_the_process_behind_a_socket_is_known_without_understanding_it(daemon: Daemon, tmp_path: Path) -> None:
    """A daemon of another release can still be waited for until it is gone; where nobody listens there is none."""
    daemon.says("/v1/status", {"of": "another release"})
    assert os.getpid() == daemon.client.pid()
    assert None is Client(tmp_path / "nobody.sock").pid()


def test_somebody_elses_socket_is_said_to_be_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permissions are another thing than an absent daemon, and have an exit code of their own."""
    import socket  # noqa: PLC0415  # the real one, made to refuse as the kernel does for another user

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse, raising=False)
    with pytest.raises(Denied) as error:
        Client(tmp_path / "control.sock").status()
    assert Exit.DENIED == error.value.exit_code
