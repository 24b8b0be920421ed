"""A cluster that lives in the machine's own time, as a subject of the kit."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import attrs

from roadstead.errors import Conflict, Retryable
from roadstead.spi.backend import Backend, Expect, Settles
from roadstead.spi.runtime import Launch
from roadstead.testing.subject import OWNER_ID, SERVER, STRANGER
from roadstead.units import Duration
from roadstead.world import Endpoint, Phase, Replica, Snapshot

__all__ = ["LiveSubject"]

_PAUSE_S = 0.005


@attrs.define(kw_only=True)
class LiveSubject:
    """A cluster that is looked at again and again until what is waited for is so, or patience is at its end.

    ``connect`` makes the backend of the daemon of a fleet with that owner id; one is closed before another is made.
    With ``asks_servers``, a replica counts as running once something accepts connections at its endpoint: a process is
    there before it can do anything, such as to stop in its own way.
    """

    cluster: str
    connect: Callable[[str], Backend]
    runtime: str = "tests"
    launch: Launch = SERVER
    patience_s: float = 60.0
    asks_servers: bool = True
    _backend: Backend | None = attrs.field(default=None, init=False)
    _answered: set[str] = attrs.field(factory=set, init=False)

    @property
    def backend(self) -> Backend:
        """The backend of now."""
        if self._backend is None:
            self._backend = self.connect(OWNER_ID)
        return self._backend

    def until(self, holds: Callable[[Snapshot], bool]) -> Snapshot:
        """Return the first observation of which ``holds`` is true."""
        pause, deadline = threading.Event(), time.monotonic() + self.patience_s
        while True:
            seen = self.backend.observe()
            if holds(seen) and all(map(self._answers, _running(seen))):
                return seen
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {self.patience_s:g} s; last seen: {seen.groups}")
            pause.wait(_PAUSE_S)

    def reopen(self) -> None:
        """Let go of the cluster as a daemon that ends does; the next call is the next daemon's."""
        self.backend.close()
        self._backend = None

    @contextmanager
    def as_owner(self, owner_id: str) -> Iterator[Backend]:
        """Give a backend for another owner id; ours is closed meanwhile."""
        self.reopen()
        theirs = self.connect(owner_id)
        try:
            yield theirs
        finally:
            theirs.close()

    def take_down(self, owner_ids: Iterable[str] = (OWNER_ID, STRANGER)) -> None:
        """Remove every group of these owners, wait until nothing is left of them, and close."""
        self.reopen()
        for owner_id in owner_ids:
            self._backend = self.connect(owner_id)
            self.until(self._is_cleared)
            self.reopen()

    def _is_cleared(self, seen: Snapshot) -> bool:
        for group in seen.groups:
            with suppress(Conflict, Retryable):  # it changes while it ends, and is asked again
                self.backend.delete(group.key, grace=Duration(0), expect=Expect(group.version))
        backend = self.backend
        if isinstance(backend, Settles):
            for deployment in seen.settled:
                with suppress(Conflict, Retryable):
                    backend.settle(deployment, None)
        return not seen.groups and not seen.settled

    def _answers(self, replica: Replica) -> bool:
        if not self.asks_servers or replica.endpoint is None or replica.incarnation in self._answered:
            return True
        if not _accepts(replica.endpoint):
            return False
        self._answered.add(replica.incarnation)
        return True


def _running(seen: Snapshot) -> Iterator[Replica]:
    for group in seen.groups:
        yield from (replica for replica in group.replicas if replica.phase is Phase.RUNNING)


def _accepts(endpoint: Endpoint) -> bool:
    port = endpoint.rest if endpoint.rest is not None else endpoint.grpc
    if port is None:
        return True
    try:
        with socket.create_connection((endpoint.host, port), timeout=1.0):
            return True
    except OSError:
        return False
