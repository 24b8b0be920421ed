"""The right to act for a fleet: taken, kept while the daemon runs, and given back.

There are two: the lock of the state directory, which every session has, is enough on one machine; a lease in a store
that several machines see makes it one daemon among all of them. Whoever loses the lease goes on looking and stops
writing at once: no step is begun any more, nor is a table offered.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

import attrs

from roadstead.act.lease import LeaseTimes, Standing, claim, let_go, seen, won
from roadstead.errors import BackendError, StateError
from roadstead.spi.lease import LeaseStore

__all__ = ["Lead", "LeaseLead", "LockLead", "elapsed", "new_holder"]

_LOG = logging.getLogger(__name__)


class Lead(Protocol):
    """The right to act for one fleet."""

    def take(self) -> None:
        """Have it, or raise :class:`StateError` that names who does; a second time does nothing."""

    def must_hold(self) -> None:
        """Begin to act; raises :class:`StateError` where that is somebody else's right now."""

    def holds(self) -> bool:
        """Return whether what was begun by the last :meth:`must_hold` may still be carried out."""

    def release(self) -> None:
        """Give it back, so that another need not wait; a second time does nothing."""


class LockLead:
    """The right of whoever has locked the state directory: there is nothing more to ask for."""

    def take(self) -> None:
        """Have it."""

    def must_hold(self) -> None:
        """Begin to act."""

    def holds(self) -> bool:
        """Return that it is held."""
        return True

    def release(self) -> None:
        """Give it back with the lock."""


def new_holder() -> str:
    """Return a name for this process that no other has had: the machine, the process, and chance."""
    return f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"


def elapsed() -> float:
    """Return seconds on a clock that also counts while the machine sleeps, as others' clocks go on meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseLead:
    """The right of whoever holds a lease; a thread renews it from :meth:`take` to :meth:`release`.

    ``where`` says in words where the lease is. ``wake`` is called from that thread when the right was lost or regained.
    """

    def __init__(
        self,
        store: LeaseStore,
        where: str,
        *,
        wake: Callable[[], None] = lambda: None,
        holder: str | None = None,
        times: LeaseTimes | None = None,
        clock: Callable[[], float] = elapsed,
    ) -> None:
        self._store = store
        self._where = where
        self._wake = wake
        self._clock = clock
        self._standing = Standing(me=holder or new_holder(), times=times or LeaseTimes())
        self._term: int | None = None
        self._trouble = ""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Have the lease; waits for as long as it takes to know that its holder is gone, or is not.

        Raises :class:`StateError` where another renews it, or the store does not answer in that time.
        """
        if self._thread is not None:
            return
        times = self._standing.times
        give_up = self._clock() + times.duration.seconds + times.renew_within.seconds
        first_seen = ""
        while not self._standing.holds(self._clock()):
            self._try()
            stored = self._standing.stored
            if self._standing.holds(self._clock()):
                break
            renewed = f"{stored.holder} {stored.renewed}" if stored is not None and self._standing.other() else ""
            first_seen = first_seen or renewed
            if renewed != first_seen or self._clock() >= give_up:
                raise self._not_ours()
            self._ending.wait(times.every.seconds)
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def must_hold(self) -> None:
        """Begin to act in the present term; raises :class:`StateError` where it is over."""
        standing = self._standing
        if not standing.holds(self._clock()):
            self._term = None
            raise self._not_ours()
        self._term = standing.term

    def holds(self) -> bool:
        """Return whether the lease is held, and was all the time since the last :meth:`must_hold`."""
        standing = self._standing
        return self._term is not None and standing.term == self._term and standing.holds(self._clock())

    def release(self) -> None:
        """Stop renewing, and say in the store that nobody holds it."""
        if self._ending.is_set():
            return
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._term = None
        given_back = let_go(self._standing, _now())
        self._standing = attrs.evolve(self._standing, held_until=None)
        try:
            if given_back is not None:
                self._store.write(given_back)
        except BackendError as error:
            _LOG.warning("%s is not given back, and is free when it has run out: %s", self._where, error)
        finally:
            self._store.close()

    # ---- on its own thread ----

    def _keep(self) -> None:
        held = True
        while not self._ending.wait(self._standing.times.every.seconds):
            self._try()
            now_held = self._standing.holds(self._clock())
            if now_held != held:
                held = now_held
                _LOG.warning("%s is %s", self._where, "held again" if held else f"lost: {self._why()}")
                self._wake()

    def _try(self) -> None:
        """Read the lease, and write it where it is ours or may be; what the store says against that is kept."""
        try:
            self._standing = seen(self._standing, self._store.read(), self._clock())
            asked_at = self._clock()
            wanted = claim(self._standing, asked_at, _now())
            if wanted is not None:
                stored = self._store.write(wanted)
                self._standing = won(self._standing, stored, asked_at, self._clock())
            self._trouble = ""
        except BackendError as error:
            self._trouble = str(error)

    def _why(self) -> str:
        other = self._standing.other()
        return f"{other} holds it" if other else self._trouble or "it was not renewed in time"

    def _not_ours(self) -> StateError:
        return StateError(
            f"{self._where} is not ours: {self._why()}",
            hint="one daemon acts for a fleet: stop the other one, or wait until its lease has run out",
        )


def _now() -> int:
    return time.time_ns() // 1_000_000
