"""Requests to one API server, raw: bytes in, bytes out, and every failure as one of our errors.

The official client brings credentials, TLS and connections; what it would do by itself is off: its retries (a lost
answer to a write is not a reason to write again), its typed objects (a list of 5,000 pods takes it seconds), and its
waiting without end. Every wait here has a limit.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

import attrs
import urllib3
from kubernetes.client.rest import RESTClientObject
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

import roadstead
from roadstead.errors import BackendError, Forbidden, Unreachable
from roadstead.spi.asked import Request
from roadstead.units import Duration
from roadstead_backends.kubernetes.access import Access, Login
from roadstead_backends.kubernetes.faults import failure, refusal
from roadstead_backends.kubernetes.kubeconfig import Unusable

__all__ = ["APPLY", "JSON", "MERGE", "PLAIN", "Answer", "Limits", "Lines", "Transport"]

JSON: Final = "application/json"
PLAIN: Final = "*/*"
APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
_CHUNK: Final = 1 << 16
_BIG_CHUNK: Final = 1 << 20


@attrs.frozen(kw_only=True)
class Limits:
    """How long is waited for what, and how much is taken.

    ``connect``: for a connection. ``read``: for the next bytes of an answer. ``whole``: for all of an answer. ``body``
    and ``line`` in bytes.
    """

    connect: Duration = Duration(3_000)
    read: Duration = Duration(15_000)
    whole: Duration = Duration(60_000)
    body: int = 256 << 20
    line: int = 16 << 20


@attrs.frozen(kw_only=True)
class Answer:
    """What the API server answered, with a status below 300; the names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """Asks one API server; safe to use from any thread.

    Every call raises a :class:`roadstead.errors.BackendError` for anything but success, as
    :mod:`~roadstead_backends.kubernetes.faults` says, and none is repeated, but for one that was refused with 401 where
    there are other credentials by now.
    """

    def __init__(self, login: Login, *, cluster: str, limits: Limits | None = None) -> None:
        self._login = login
        self._cluster = cluster
        self._limits = limits if limits is not None else Limits()
        self._lock = threading.Lock()
        self._pools: tuple[Access, urllib3.PoolManager] | None = None
        self._open: set[Lines] = set()
        self._closed = False

    @property
    def cluster(self) -> str:
        """The cluster's name in the fleet file."""
        return self._cluster

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about how it is reached."""
        return self._login.notes

    def call(  # noqa: PLR0913  # a request has so many parts
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: Duration | None = None,
        subject: str = "",
    ) -> Answer:
        """Ask once and return the answer.

        ``path`` is absolute, and its parts are quoted already; ``subject`` is the object that errors are about.
        ``timeout`` is for all of it, where the usual limit is not right.
        """
        request = Request(cluster=self._cluster, method=method, path=path, subject=subject)
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        whole = timeout if timeout is not None else self._limits.whole
        asked = _Asked(request=request, target=_target(path, query), headers=headers, body=body)
        read = min(whole, self._limits.read, key=lambda limit: limit.ms)
        response = self._accepted(asked, read)
        try:
            taken = _read_all(response, time.monotonic() + whole.seconds, self._limits.body)
        except (HTTPError, OSError, TooMuch) as error:
            raise failure(request, error) from error
        finally:
            response.close()
        return Answer(status=response.status, headers=_headers(response), body=taken)

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        idle: Duration | None,
        accept: str = JSON,
        subject: str = "",
    ) -> Lines:
        """Ask with GET for an answer that goes on, and return its lines as they come.

        ``idle`` is how long the server may be silent once it has begun to answer. After that it counts as gone, which
        is how a connection is found out that only looks alive. ``None`` is for what may be silent for ever. Use it as a
        context, or close it.
        """
        request = Request(cluster=self._cluster, method="GET", path=path, subject=subject)
        asked = _Asked(request=request, target=_target(path, query), headers={"Accept": accept}, body=None)
        response = self._accepted(asked, self._limits.read)
        _be_patient(response, idle)
        lines = Lines(response, request, self._limits.line, self._forget)
        with self._lock:
            if not self._closed:
                self._open.add(lines)
                return lines
        lines.close()
        raise self._away(request)

    def close(self) -> None:
        """End every stream, and let go of the connections; what is asked afterwards finds nobody."""
        with self._lock:
            self._closed = True
            streams, pools, self._pools = tuple(self._open), self._pools, None
        for lines in streams:
            lines.close()
        if pools is not None:
            pools[1].clear()

    # ---- how it asks ----

    def _accepted(self, asked: _Asked, read: Duration) -> urllib3.BaseHTTPResponse:
        """Return an answer with a status below 300, its body unread."""
        access, response = self._ask(asked, read)
        if response.status == 401:
            refused = self._refusal(asked.request, response)
            if not self._login.renew(access):
                raise refused
            _, response = self._ask(asked, read)
        if response.status >= 300:
            raise self._refusal(asked.request, response)
        return response

    def _ask(self, asked: _Asked, read: Duration) -> tuple[Access, urllib3.BaseHTTPResponse]:
        access, pool = self._pool(asked.request)
        headers = {**asked.headers, "User-Agent": _USER_AGENT}
        if access.authorization is not None:
            headers["Authorization"] = access.authorization
        try:
            response = pool.request(
                asked.request.method,
                access.entry.server + asked.target,
                body=asked.body,
                headers=headers,
                timeout=urllib3.Timeout(connect=self._limits.connect.seconds, read=read.seconds),
                preload_content=False,
                redirect=False,
                retries=False,
            )
        except (HTTPError, OSError) as error:
            raise failure(asked.request, error) from error
        return access, response

    def _refusal(self, request: Request, response: urllib3.BaseHTTPResponse) -> BackendError:
        try:
            said = _read_all(response, time.monotonic() + self._limits.read.seconds, _BIG_CHUNK)
        except (HTTPError, OSError, TooMuch):
            said = b""  # the status says enough
        finally:
            response.close()
        return refusal(request, response.status, _headers(response), said)

    def _pool(self, request: Request) -> tuple[Access, urllib3.PoolManager]:
        try:
            access = self._login.current()
        except Unusable as error:
            raise Forbidden(str(error), cluster=self._cluster, subject=request.subject, hint=error.hint) from error
        with self._lock:
            if self._closed:
                raise self._away(request)
            if self._pools is None or self._pools[0] is not access:
                # The pool before this one is let go of: its connections end with the requests that they carry.
                self._pools = access, RESTClientObject(access.configuration).pool_manager
            return self._pools

    def _away(self, request: Request) -> Unreachable:
        return Unreachable("the connection to it is closed", cluster=self._cluster, subject=request.subject)

    def _forget(self, lines: Lines) -> None:
        with self._lock:
            self._open.discard(lines)


class Lines(Iterator[bytes]):
    """The lines of an answer that goes on, without their ends.

    It ends where the server ends it well, and where it was closed here, from any thread; else it raises what happened.
    """

    def __init__(
        self,
        response: urllib3.BaseHTTPResponse,
        request: Request,
        longest: int,
        closed: Callable[[Lines], None],
    ) -> None:
        self._response = response
        self._request = request
        self._on_close = closed
        self._closed = False
        self._reading = threading.RLock()
        self._pieces = _lines(response, longest)

    def __next__(self) -> bytes:
        with self._reading:
            try:
                if not self._closed:
                    return next(self._pieces)
            except StopIteration:
                pass
            except (HTTPError, OSError, TooMuch) as error:
                if not self._closed:
                    self.close()
                    raise failure(self._request, error) from error
        self.close()
        raise StopIteration

    def close(self) -> None:
        """End it; whoever waits for a line gets none."""
        self._closed = True
        self._on_close(self)
        with contextlib.suppress(ValueError, RuntimeError, OSError):  # nothing left to hang up
            self._response.shutdown()
        with self._reading:  # whoever waits for a line does not any more
            self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# ---- answers, byte by byte ----

_USER_AGENT: Final = f"roadstead/{roadstead.__version__}"


@attrs.frozen(kw_only=True)
class _Asked:
    request: Request
    target: str
    headers: Mapping[str, str]
    body: bytes | None


class TooMuch(Exception):
    """An answer is longer, or takes longer, than anything that we ask for."""


def _target(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _headers(response: urllib3.BaseHTTPResponse) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _be_patient(response: urllib3.BaseHTTPResponse, idle: Duration | None) -> None:
    """Wait from now on so long for the next bytes of an answer; the head of it was waited for less long.

    Where the server ends the connection with this answer there is no way to say so, and the first limit stays.
    """
    connection = response.connection
    if isinstance(connection, HTTPConnection) and connection.sock is not None:
        connection.sock.settimeout(idle.seconds if idle is not None else None)


def _read_all(response: urllib3.BaseHTTPResponse, deadline: float, most: int) -> bytes:
    pieces: list[bytes] = []
    taken = 0
    while piece := response.read1(_BIG_CHUNK):
        pieces.append(piece)
        taken += len(piece)
        if taken > most:
            raise TooMuch(f"more than {most} bytes")
        if time.monotonic() > deadline:
            raise TooMuch("it goes on after its time is over")
    return b"".join(pieces)


def _lines(response: urllib3.BaseHTTPResponse, longest: int) -> Iterator[bytes]:
    begun: list[bytes] = []
    length = 0
    while piece := response.read1(_CHUNK):
        first, *others = piece.split(b"\n")
        begun.append(first)
        length += len(first)
        if others:
            yield b"".join(begun)
            *whole, last = others
            yield from whole
            begun, length = [last], len(last)
        if length > longest:
            raise TooMuch(f"a line of more than {longest} bytes")
    if length:
        yield b"".join(begun)
