"""A state directory in our hands and in nobody else's, and what makes it this fleet's: its lock and its identity.

Whoever has lost its lock writes nothing. What somebody removes while the daemon runs is written again, because all of
it is known; what somebody puts in its place is left alone.
"""

from __future__ import annotations

from typing import Self

from roadstead.act.identity import IdentityStore
from roadstead.act.lock import StateLock
from roadstead.act.state import StateDirectory

__all__ = ["StateHold"]


class StateHold:
    """The lock and the identity of one state directory, until :meth:`release`."""

    def __init__(self, state: StateDirectory, purpose: str, lock: StateLock, identity: IdentityStore) -> None:
        self._state = state
        self._purpose = purpose
        self._lock = lock
        self.identity = identity

    @classmethod
    def take(cls, state: StateDirectory, purpose: str, fleet: str) -> Self:
        """Take hold of the directory for ``purpose``; raises :class:`StateError` with nothing held."""
        lock = StateLock.acquire(state.lock, purpose)
        try:
            return cls(state, purpose, lock, IdentityStore.open(state.identity, fleet))
        except BaseException:
            lock.release()
            raise

    def keep(self) -> bool:
        """Make sure that the directory is still ours, and return whether something had to be written again.

        Raises :class:`StateError` where another process, or another identity, is there now.
        """
        if not self._lock.is_in_place():
            self._lock = self._taken_again()
            return True
        if not self._state.identity.exists():
            self.identity.keep_on()
            return True
        return False

    def _taken_again(self) -> StateLock:
        StateDirectory.open(self._state.path)
        lock = StateLock.acquire(self._state.lock, self._purpose)
        try:
            self.identity.keep_on()
        except BaseException:
            lock.release()
            raise
        self._lock.release()
        return lock

    def release(self) -> None:
        """Let go of the directory; a second time does nothing."""
        self._lock.release()
