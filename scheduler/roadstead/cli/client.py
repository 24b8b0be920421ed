"""The daemon's control API as typed calls, over its unix socket."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import attrs

from roadstead.act.events import Event
from roadstead.act.state import SOCKET_PATH_LIMIT
from roadstead.cli.errors import NoDaemon, Refused, Silent
from roadstead.cli.exits import Exit
from roadstead.decide.report import Explanation, FleetDrift, FleetLimits, FleetStatus, PlanView, Replay
from roadstead.errors import Denied
from roadstead.shim.identity import is_stopped
from roadstead.wire import from_wire

__all__ = ["FORMAT_VERSION", "Client"]

FORMAT_VERSION = 1

T = TypeVar("T")

_CHUNK = 65536
_ALIVE_WITHIN = 10.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid and gid, as the kernel writes them
_EXITS: Mapping[int, Exit] = {
    400: Exit.USAGE,
    401: Exit.DENIED,
    403: Exit.DENIED,
    422: Exit.INVALID,
    502: Exit.UNREACHABLE,
    503: Exit.UNREACHABLE,
    504: Exit.TIMED_OUT,
}


class _Connection(http.client.HTTPConnection):
    """HTTP/1.1 to a unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@attrs.frozen
class Client:
    """One daemon, by the path of its socket; ``timeout`` is in seconds, for everything but what is followed.

    A daemon of another fleet than ``fleet`` refuses every call; an empty name is any fleet's.

    Every call raises :class:`NoDaemon` where none answers, and :class:`Refused` with the daemon's own words where it
    says no.
    """

    socket: Path
    timeout: float = 30.0
    fleet: str = ""

    # ---- looking ----

    def alive(self) -> bool:
        """Return whether a daemon answers.

        Raises :class:`Refused` for one of another fleet, and :class:`Silent` for one that is there and does not answer.
        """
        try:
            with self._answer("GET", "/healthz", within=min(self.timeout, _ALIVE_WITHIN)):
                return True
        except Silent:
            raise
        except NoDaemon:
            return False
        except Refused as error:
            if error.exits is Exit.INVALID:
                raise
            return True  # it answers, and is not well

    def pid(self) -> int | None:
        """Return which process listens, as the kernel knows it; also of a daemon that we do not understand."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(self.timeout)
            try:
                probe.connect(str(self.socket))
                pid, _, _ = _CREDENTIALS.unpack(
                    probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                )
            except OSError:
                return None
        return int(pid) or None

    def status(self) -> FleetStatus:
        """Return how the fleet is."""
        return _read(self._get("/v1/status"), FleetStatus)

    def limits(self) -> FleetLimits:
        """Return what everything may use, has and uses."""
        return _read(self._get("/v1/limits"), FleetLimits)

    def drift(self) -> FleetDrift:
        """Return what others changed of our objects."""
        return _read(self._get("/v1/drift"), FleetDrift)

    def plan(self) -> PlanView:
        """Return what would be done, a changed file that is not in force yet included."""
        return _read(self._get("/v1/plan", staged="1"), PlanView)

    def why(self, deployment: str) -> Explanation:
        """Return why a deployment is as it is."""
        return _read(self._get(f"/v1/why/{quote(deployment, safe='')}"), Explanation)

    def scaling(self, deployment: str, at: int) -> Replay:
        """Return the last change that load made of a deployment until ``at`` (ms since the epoch), asked again."""
        return _read(self._get(f"/v1/scaling/{quote(deployment, safe='')}", at=str(at)), Replay)

    def events(self, *, since: int, follow: bool, deployment: str | None) -> Iterator[Event]:
        """Yield what happened after the event numbered ``since``, and with ``follow`` what happens from now on."""
        query = {"since": str(since), **({"follow": "1"} if follow else {})}
        if deployment is not None:
            query["deployment"] = deployment
        with self._answer("GET", "/v1/events", query=query, endless=follow) as answer:
            while line := answer.readline():
                if line.strip():
                    yield _read(_parsed(line), Event)

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield what the replica's server printed, and with ``follow`` what it prints from now on."""
        query = {**({"tail": str(tail)} if tail is not None else {}), **({"follow": "1"} if follow else {})}
        path = f"/v1/logs/{quote(replica, safe='')}"
        with self._answer("GET", path, query=query, endless=follow) as answer:
            while chunk := answer.read1(_CHUNK):
                yield chunk

    # ---- changing ----

    def apply(self, *, confirm_removals: bool) -> int:
        """Make the file as it is now the fleet, and return the turn that first knows it."""
        return _turn(self._post("/v1/apply", {"confirm_removals": confirm_removals}))

    def scale(self, deployment: str, replicas: int) -> int:
        """Ask for that many replicas, and return the turn that first knows it."""
        return _turn(self._post("/v1/scale", {"deployment": deployment, "replicas": replicas}))

    def delete(self, deployment: str) -> int:
        """Ask for the deployment to go, and return the turn that first knows it."""
        return _turn(self._post("/v1/delete", {"deployment": deployment}))

    def migrate(self, deployment: str, to: str | None) -> int:
        """Send all of a deployment to cluster ``to``, or back to where the file says; return the turn that knows it."""
        return _turn(self._post("/v1/migrate", {"deployment": deployment, "to": to}))

    def rollout(self, deployment: str, asked: str, to: str | None = None) -> int:
        """Ask a rollout to ``pause``, ``resume``, ``promote``, ``undo`` or ``clear``.

        Return the turn that first knows it. ``to`` names a revision or version to go back to.
        """
        return _turn(self._post("/v1/rollout", {"deployment": deployment, "asked": asked, "to": to}))

    def stop(self, *, stop_replicas: bool) -> None:
        """Ask the daemon to end, leaving replicas as they are or taking them down first."""
        self._post("/v1/stop", {"stop_replicas": stop_replicas})

    # ---- the wire ----

    def _silent(self, seconds: float) -> Silent:
        pid = self.pid()
        text = f"the daemon{'' if pid is None else f' (process {pid})'} does not answer within {seconds:g} seconds"
        if pid is not None and is_stopped(pid):
            return Silent(text, hint=f"its process is stopped: `kill -CONT {pid}` lets it go on")
        return Silent(text, hint="it may be busy: try again, or look into daemon.log in its state directory")

    def _get(self, path: str, **query: str) -> Any:
        with self._answer("GET", path, query=query) as answer:
            return _object(answer.read())

    def _post(self, path: str, body: object) -> Any:
        with self._answer("POST", path, body=json.dumps(body).encode()) as answer:
            return _object(answer.read())

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        endless: bool = False,
        within: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Yield the response to one request; a status of 400 and up is raised."""
        seconds = self.timeout if within is None else within
        length = len(os.fsencode(self.socket))
        if length > SOCKET_PATH_LIMIT:
            raise NoDaemon(
                f"no daemon can listen at {self.socket}: that has {length} bytes, "
                f"the system allows {SOCKET_PATH_LIMIT}",
                hint="set daemon.state to a shorter path",
            )
        connection = _Connection(self.socket, None if endless else seconds)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.fleet:
            headers["Roadstead-Fleet"] = self.fleet
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, body, headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                raise _refused(answer.status, answer.read())
            yield answer
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NoDaemon(
                "no daemon runs for this fleet", hint="`roadstead daemon start --background` starts one"
            ) from error
        except PermissionError as error:
            raise Denied(f"{self.socket} belongs to another user", hint="run this as the daemon's user") from error
        except (ConnectionError, http.client.HTTPException) as error:
            raise NoDaemon(
                f"the daemon hung up: {str(error) or type(error).__name__}",
                hint="`roadstead daemon status` says how it is",
            ) from error
        except TimeoutError as error:
            raise self._silent(seconds) from error
        finally:
            connection.close()


def _object(data: bytes) -> dict[str, Any]:
    found = _parsed(data)
    version = found.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise NoDaemon(
            f"the daemon speaks version {version!r} of the control API, this command version {FORMAT_VERSION}",
            hint="restart the daemon: it and the command are of different releases",
        )
    return found


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise NoDaemon(f"the daemon's answer is cut off, or is none of ours: {data[:60]!r}") from error
    if not isinstance(found, dict):
        raise NoDaemon(f"the daemon's answer is none of ours: {data[:60]!r}")
    return found


def _read(found: dict[str, Any], kind: type[T]) -> T:
    found.pop("format_version", None)
    try:
        return from_wire(found, kind)
    except ValueError as error:
        raise NoDaemon(
            f"the daemon's answer is not understood: {error}",
            hint="restart the daemon: it and the command are of different releases",
        ) from error


def _turn(found: dict[str, Any]) -> int:
    return int(found["turn"])


def _refused(status: int, data: bytes) -> Refused:
    try:
        told = json.loads(data)["error"]
        message, code, hint = str(told["message"]), str(told["code"]), told.get("hint")
    except (ValueError, KeyError, TypeError):
        message, code, hint = f"the daemon answered {status}: {data[:200].decode(errors='replace')}", Refused.code, None
    return Refused(message, told=code, exits=_EXITS.get(status, Exit.ERROR), hint=hint)
