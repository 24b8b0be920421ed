"""One cluster in our hands: its backend, the one thread that calls it, and what it last looked like."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from roadstead.act.clock import Clock
from roadstead.act.worker import Hire, hire
from roadstead.errors import BackendError, Unreachable
from roadstead.model import ClusterSpec
from roadstead.spi.backend import Backend, MeasuresUsage, Watches
from roadstead.units import Duration
from roadstead.world import ClusterView, Reachable, Snapshot, Usage
from roadstead.world import Unreachable as Away

__all__ = ["USAGE_EVERY", "Cluster"]

R = TypeVar("R")
_LOG = logging.getLogger(__name__)

USAGE_EVERY = Duration(5_000)
_HANGS = "a call to it does not come back"


class Cluster:
    """Calls one backend from one thread, as its contract says, and never waits for it longer than asked.

    A call that does not come back keeps the thread. Nothing else is then asked of that cluster, it counts as
    unreachable, and the others are not held up by it.
    """

    def __init__(self, spec: ClusterSpec, backend: Backend, clock: Clock, *, hiring: Hire = hire) -> None:
        self.spec = spec
        self.backend = backend
        self._clock = clock
        self._worker = hiring(f"cluster-{spec.name}", chore=None, pause=lambda: 1.0)
        self._observing: Future[Snapshot] | None = None
        self._view: ClusterView = Away(since=clock.now(), error="it has not been observed yet")
        self._usage: dict[str, Usage] = {}
        self._measured_at: float | None = None

    @property
    def name(self) -> str:
        """The cluster's name in the fleet file."""
        return self.spec.name

    @property
    def usage(self) -> dict[str, Usage]:
        """What its replicas used when that was last measured, by replica id; empty where nobody can tell."""
        return self._usage

    def watch(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called when something changes there, where the backend can tell."""
        if isinstance(self.backend, Watches):
            self.backend.watch(wake)

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Have ``call`` made on the cluster's thread, after those before it."""
        return self._worker.submit(call)

    def observe(self, *, anew: bool = False) -> Future[Snapshot]:
        """Ask for a snapshot; while one is under way, or came too late for whoever asked, that one is it.

        With ``anew`` no word counts that was asked for before now: one that is still under way is no answer.
        """
        if anew and self._observing is not None:
            if not self._observing.done():
                silent: Future[Snapshot] = Future()
                silent.set_exception(Unreachable(_HANGS, cluster=self.name))
                return silent
            self._observing = None
        if self._observing is None:
            self._observing = self.submit(self._observe)
        return self._observing

    def view(self, asked: Future[Snapshot], timeout: float) -> ClusterView:
        """Return what the cluster looks like after at most ``timeout`` seconds; no answer by then is an answer too.

        A call that is still under way is left to end by itself, and its result is what the next caller gets.
        """
        try:
            snapshot = asked.result(timeout)
        except BackendError as error:
            self._answered(asked)
            return self._keep(self._lost(str(error)))
        except Exception as error:  # noqa: BLE001  # a stranger's code: its faults are its cluster's alone
            if isinstance(error, TimeoutError) and not asked.done():
                return self._keep(self._lost(_HANGS))
            self._answered(asked)
            _LOG.warning("the backend of cluster %s failed", self.name, exc_info=True)
            return self._keep(self._lost(f"its backend failed: {type(error).__name__}: {error}"))
        self._answered(asked)
        before = self._view
        if isinstance(before, Reachable) and before.snapshot is snapshot:
            return before
        return self._keep(Reachable(snapshot))

    def close(self) -> None:
        """Close the backend once its calls are done; does not wait for one that hangs."""
        closed = self.submit(self.backend.close)
        self._worker.end()
        try:
            closed.result(timeout=5.0)
        except TimeoutError:
            _LOG.warning("the backend of cluster %s does not close: a call is still under way", self.name)
        except Exception:  # noqa: BLE001  # a stranger's code, and the last thing asked of it
            _LOG.warning("the backend of cluster %s failed to close", self.name, exc_info=True)

    def _observe(self) -> Snapshot:
        snapshot = self.backend.observe()
        now = self._clock.monotonic()
        if isinstance(self.backend, MeasuresUsage) and (
            self._measured_at is None or now - self._measured_at >= USAGE_EVERY.seconds
        ):
            self._measured_at = now
            try:
                self._usage = dict(self.backend.usage())
            except BackendError as error:
                self._usage = {}
                _LOG.info("the use of replicas on cluster %s is not known: %s", self.name, error)
        return snapshot

    def _lost(self, error: str) -> Away:
        """Return that there is no answer, since the first time that there was none."""
        before = self._view
        since = before.since if isinstance(before, Away) else self._clock.now()
        return Away(since=since, error=error, snapshot=before.snapshot)

    def _answered(self, asked: Future[Snapshot]) -> None:
        if asked is self._observing:
            self._observing = None

    def _keep(self, view: ClusterView) -> ClusterView:
        self._view = view
        return view
