"""A small API server on a real socket: lists in pages, watches with bookmarks, forgets its history when it is told to.

It does what a real one does with one collection, in order and when a test says so. What goes wrong on the way is the
business of :mod:`roadstead.testing.http_faults`.
"""

from __future__ import annotations

import json
import queue
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs

from roadstead.units import Duration

__all__ = ["PATH", "ApiServer", "Asked", "api_server", "gone"]

PATH = "/api/v1/namespaces/models/things"


@attrs.frozen(kw_only=True)
class Asked:
    """A request as it came; ``at`` is on the monotonic clock."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float


def gone(message: str = "too old resource version") -> bytes:
    """Return the event by which a watch says that it cannot go on, as a line."""
    status = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": message}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


class ApiServer:
    """One collection of things, at :data:`PATH`; every change is one more resource version."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []
        self.tokens: set[str] | None = None
        self.answers: dict[str, list[tuple[int, bytes]]] = {}
        self.version = 100
        self._forgotten = 0
        self._things: dict[str, dict[str, Any]] = {}
        self._history: list[tuple[int, bytes]] = []
        self._watchers: list[queue.SimpleQueue[bytes | None]] = []
        self._snapshots: dict[str, tuple[int, list[dict[str, Any]]]] = {}
        self._uids = 0
        self.lock = threading.Condition()

    # ---- what a test does ----

    def put(self, name: str, **data: str) -> dict[str, Any]:
        """Add a thing, or change it; return it."""
        with self.lock:
            known = self._things.get(name)
            self.version += 1
            if known is None:
                self._uids += 1
            uid = known["metadata"]["uid"] if known is not None else f"uid-{self._uids}"
            metadata = {"name": name, "namespace": "models", "uid": uid, "resourceVersion": str(self.version)}
            thing = {"kind": "Thing", "metadata": metadata, "data": data}
            self._things[name] = thing
            self._tell("ADDED" if known is None else "MODIFIED", thing)
            return thing

    def delete(self, name: str) -> dict[str, Any]:
        """Remove a thing; return it as it went."""
        with self.lock:
            self.version += 1
            thing = self._things.pop(name)
            thing = {**thing, "metadata": {**thing["metadata"], "resourceVersion": str(self.version)}}
            self._tell("DELETED", thing)
            return thing

    def bookmark(self) -> None:
        """Tell every watch how far it is."""
        with self.lock:
            thing = {"kind": "Thing", "metadata": {"resourceVersion": str(self.version)}}
            self._send(_event("BOOKMARK", thing))

    def pass_time(self) -> None:
        """Let something happen elsewhere: a version more, and no event here."""
        with self.lock:
            self.version += 1

    def forget(self) -> None:
        """Forget all history, and every list that is half read."""
        with self.lock:
            self._forgotten = self.version
            self._history.clear()
            self._snapshots.clear()

    def say(self, line: bytes) -> None:
        """Send every watch a line as it is."""
        with self.lock:
            self._send(line)

    def end_watches(self) -> None:
        """End every watch well."""
        with self.lock:
            for watcher in self._watchers:
                watcher.put(None)

    def answer(self, path: str, *answers: tuple[int, bytes]) -> None:
        """Answer requests for another path with these, one after the other, and the last one again and again."""
        with self.lock:
            self.answers[path] = list(answers)

    def next_answer(self, path: str) -> tuple[int, bytes]:
        """Return what is answered to a request for another path."""
        with self.lock:
            answers = self.answers.get(
                path, [(404, b'{"kind": "Status", "reason": "NotFound", "message": "not found"}')]
            )
            return answers.pop(0) if len(answers) > 1 else answers[0]

    @property
    def listed(self) -> dict[str, Mapping[str, str]]:
        """What there is, by name."""
        with self.lock:
            return {name: thing["data"] for name, thing in self._things.items()}

    @property
    def lists(self) -> list[Asked]:
        """The requests for a list, first pages only."""
        return [one for one in self.asked if "watch" not in one.query and "continue" not in one.query]

    @property
    def watches(self) -> list[Asked]:
        """The requests for a watch."""
        return [one for one in self.asked if "watch" in one.query]

    def wait_for_watch(self, count: int = 1, timeout: Duration = Duration(60_000)) -> None:
        """Wait until so many watches were begun, and one is open."""
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.watches) >= count and bool(self._watchers), timeout.seconds)

    # ---- what it answers ----

    def note(self, asked: Asked) -> bool:
        """Remember a request; return whether whoever asks may."""
        with self.lock:
            self.asked.append(asked)
            self.lock.notify_all()
            return self.tokens is None or asked.headers.get("authorization", "").removeprefix("Bearer ") in self.tokens

    def page(self, query: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the status and the body of the answer to a list."""
        with self.lock:
            token, limit = query.get("continue"), int(query.get("limit", 0))
            if token is None:
                version, rest = self.version, list(self._things.values())
            elif token in self._snapshots:
                version, rest = self._snapshots.pop(token)
            else:
                return 410, {
                    "kind": "Status",
                    "code": 410,
                    "reason": "Expired",
                    "message": "the continue token is too old",
                }
            page, rest = (rest[:limit], rest[limit:]) if limit else (rest, [])
            metadata = {"resourceVersion": str(version)}
            if rest:
                metadata["continue"] = f"{version}-{len(rest)}"
                self._snapshots[metadata["continue"]] = (version, rest)
            return 200, {"kind": "ThingList", "metadata": metadata, "items": page}

    def watch(self, since: int) -> queue.SimpleQueue[bytes | None]:
        """Return the lines of a watch as they come, ``None`` at its end."""
        watcher: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with self.lock:
            if since < self._forgotten:
                watcher.put(gone())
                watcher.put(None)
                return watcher
            for version, line in self._history:
                if version > since:
                    watcher.put(line)
            self._watchers.append(watcher)
            self.lock.notify_all()
        return watcher

    def unwatch(self, watcher: queue.SimpleQueue[bytes | None]) -> None:
        """Forget a watch that ended."""
        with self.lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def _tell(self, kind: str, thing: dict[str, Any]) -> None:
        line = _event(kind, thing)
        self._history.append((self.version, line))
        self._send(line)

    def _send(self, line: bytes) -> None:
        for watcher in self._watchers:
            watcher.put(line)


def _event(kind: str, thing: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


class _Handler(BaseHTTPRequestHandler):
    """One connection to the server; ``served`` is set in a class for each."""

    protocol_version = "HTTP/1.1"
    served: ApiServer

    def do_GET(self) -> None:
        """Answer a list, or a watch."""
        asked = self._asked()
        if not self.served.note(asked):
            self._answer(401, {"kind": "Status", "code": 401, "message": "Unauthorized"})
        elif asked.path != PATH:
            self._send(*self.served.next_answer(asked.path))
        elif "watch" in asked.query:
            self._watch(int(asked.query["resourceVersion"]))
        else:
            self._answer(*self.served.page(asked.query))

    def do_POST(self) -> None:
        """Add a thing."""
        asked = self._asked()
        self.served.note(asked)
        self._answer(201, self.served.put(json.loads(asked.body)["metadata"]["name"]))

    def do_DELETE(self) -> None:
        """Remove a thing."""
        asked = self._asked()
        self.served.note(asked)
        self._answer(200, self.served.delete(asked.path.rpartition("/")[2]))

    def _asked(self) -> Asked:
        url = urlsplit(self.path)
        return Asked(
            method=self.command,
            path=url.path,
            query=dict(parse_qsl(url.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("content-length", 0))),
            at=time.monotonic(),
        )

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        self._send(status, json.dumps(document).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _watch(self, since: int) -> None:
        watcher = self.served.watch(since)
        try:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while (line := watcher.get()) is not None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True
        finally:
            self.served.unwatch(watcher)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class calls it so
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    """Every client has a thread; one that goes away in the middle of things is nothing to tell of."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of what went wrong here, and not of what did in between."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def api_server(tls: ssl.SSLContext | None = None) -> Iterator[ApiServer]:
    """Run an API server on loopback meanwhile."""

    class Handler(_Handler):
        """Those of this server."""

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    served = ApiServer(f"{'https' if tls is not None else 'http'}://127.0.0.1:{server.server_port}")
    Handler.served = served
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.end_watches()
        server.shutdown()
        server.server_close()
        thread.join()
