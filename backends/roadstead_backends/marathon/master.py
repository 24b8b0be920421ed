"""Asks the master of a Mesos cluster, whichever of its masters leads, and its agents. Reads, and changes nothing.

Where the master is, a fleet file says, or Marathon, which is connected to the one that leads. Another one sends us on
to the leader. What we sign our requests with goes only to a master that the fleet file names, and only over TLS.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from roadstead.errors import BackendError, Forbidden, Rejected, Unreachable
from roadstead.units import Duration
from roadstead_backends.marathon.client import sign_in
from roadstead_backends.marathon.options import MarathonOptions, is_private
from roadstead_backends.marathon.transport import Answer, Limits, Missed, Refused, Session

__all__ = ["Master", "agent_url"]

_LIMITS: Final = Limits(connect=Duration(2_000), read=Duration(5_000), whole=Duration(15_000), body=64 << 20)
_AGENT_S: Final = (1.0, 3.0)
"""How long an agent may take to be connected with, and to answer: there are many, and others wait."""

_MOST_HOPS: Final = 3
_FAULTS: Final = "/emulator"


class Master:
    """Asks one Mesos cluster; safe to use from any thread, one request at a time.

    ``find`` returns the leader's address as Marathon knows it, or ``None``; it is asked when there is no other way to
    know. Every call raises a :class:`roadstead.errors.BackendError` for anything but an answer.
    """

    def __init__(
        self,
        options: MarathonOptions,
        *,
        cluster: str,
        find: Callable[[], str | None],
        limits: Limits = _LIMITS,
        leader: str = "",
    ) -> None:
        self._options = options
        self._cluster = cluster
        self._find = find
        self._limits = limits
        self._session = Session(limits)
        self._timeout = limits.connect.seconds, limits.read.seconds
        self._lock = threading.Lock()
        self._leader = leader

    def apart(self) -> Master:
        """Return another one with connections of its own, for whoever would keep others waiting."""
        return Master(self._options, cluster=self._cluster, find=self._find, limits=self._limits, leader=self._leader)

    def call(self, kind: str) -> bytes:
        """Return what the leader answers to a call of the operator API that needs nothing but its name."""
        body = json.dumps({"type": kind}).encode()
        with self._lock:
            if self._leader:
                try:
                    return self._led(self._leader, body)
                except Unreachable:
                    self._leader = ""  # another one may lead by now
            return self._led(self._start(), body)

    def read_agent(self, pid: str, path: str) -> bytes:
        """Return what an agent answers to ``GET path``; ``pid`` is where the master says that it is."""
        with self._lock:
            url = agent_url(pid, self._scheme) + path
            try:
                return self._ask("GET", url, None, timeout=_AGENT_S).body
            except Refused as error:
                if error.answer.status == 404:
                    raise Unreachable(f"no agent of Mesos answers at {url}", cluster=self._cluster) from error
                raise self._refusal(url, error.answer) from error

    def read_files(self, pid: str, path: str) -> bytes | None:
        """Return what an agent answers to ``GET /files...``, or ``None`` where it has no such file.

        Those pages are not below the agent's own name: several agents in one process share them.
        """
        with self._lock:
            url = f"{self._scheme}://{pid.rpartition('@')[2]}{path}"
            try:
                return self._ask("GET", url, None).body
            except Refused as error:
                if error.answer.status == 404:
                    return None
                raise self._refusal(url, error.answer) from error

    def is_emulated(self) -> bool:
        """Return whether this is what `roadstead emulate marathon` pretends: it alone can be asked for faults."""
        with self._lock:
            try:
                answer = self._ask("GET", f"{self._leader or self._start()}{_FAULTS}", None)
                return "controls" in json.loads(answer.body)
            except (Refused, ValueError, TypeError):
                return False

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            self._session.close()

    @property
    def _scheme(self) -> str:
        """How agents are talked to: as their masters are."""
        return urlsplit(self._leader or self._options.mesos or "").scheme or "http"

    def _start(self) -> str:
        url = self._options.mesos or self._find()
        if not url:
            raise Unreachable(
                "Marathon does not say where the master of Mesos is",
                cluster=self._cluster,
                hint="name it as `mesos` in the cluster's options",
            )
        return url.rstrip("/")

    def _led(self, url: str, body: bytes) -> bytes:
        """Ask a master, or whom it names instead, and keep who answered."""
        for _ in range(_MOST_HOPS):
            try:
                answer = self._ask("POST", f"{url}/api/v1", body)
            except Refused as error:
                elsewhere = _leader(url, error.answer)
                if elsewhere is None:
                    raise self._refusal(url, error.answer) from error
                url = elsewhere
            else:
                self._leader = url
                return answer.body
        raise Unreachable("the masters of Mesos send us around in circles", cluster=self._cluster)

    def _ask(self, method: str, url: str, body: bytes | None, *, timeout: tuple[float, float] | None = None) -> Answer:
        options = self._options
        certificate = options.client_certificate, options.client_key
        try:
            signed = options.signs_in and options.mesos is not None and is_private(url)
            self._session.request(
                method,
                url,
                data=body,
                headers={"Accept": "application/json", "Content-Type": "application/json"},
                auth=sign_in(options) if signed else None,
                verify=str(options.ca) if options.ca is not None else True,
                cert=(str(certificate[0]), str(certificate[1])) if options.client_certificate is not None else None,
                timeout=timeout or self._timeout,
            )
        except Missed as error:
            raise Unreachable(f"Mesos does not answer at {url}: {error}", cluster=self._cluster) from error
        except (OSError, ValueError) as error:
            raise Forbidden(f"the credentials cannot be read: {error}", cluster=self._cluster) from error
        return self._session.taken()

    def _refusal(self, url: str, answer: Answer) -> BackendError:
        text = answer.body[:500].decode(errors="replace").strip()
        said = f"{url} answered {answer.status}{': ' if text else ''}{text}"
        if answer.status in (401, 403):
            hint = "allow us to view agents and sandboxes; credentials are sent only where `mesos` is named, over https"
            return Forbidden(said, cluster=self._cluster, hint=hint)
        if answer.status >= 500 and answer.status != 501:
            return Unreachable(said, cluster=self._cluster)
        return Rejected(said, cluster=self._cluster, hint="see whether a Mesos master of 1.1 or later answers there")


def _leader(asked: str, answer: Answer) -> str | None:
    """Return the leader's address from the answer of a master that does not lead; never from TLS to none.

    A master names the whole address of what was asked for, with nothing before ``//``.
    """
    if answer.status not in (302, 307):
        return None
    ours, said = urlsplit(asked), urlsplit(answer.headers.get("Location", ""))
    scheme = said.scheme or ours.scheme
    if scheme not in ("http", "https") or not said.hostname or (ours.scheme == "https" and scheme != "https"):
        return None
    path = said.path.removesuffix("/").removesuffix("/api/v1").removesuffix("/master")
    return f"{scheme}://{said.netloc}{path}"


def agent_url(pid: str, scheme: str) -> str:
    """Return where an agent answers; several in one process differ in the name before the ``@``.

    >>> agent_url("slave(1)@10.0.0.3:5051", "http")
    'http://10.0.0.3:5051/slave(1)'
    """
    name, _, address = pid.partition("@")
    return f"{scheme}://{address}/{name}"
