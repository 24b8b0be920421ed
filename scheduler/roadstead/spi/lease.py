"""Where a lease can be kept that daemons on several machines see: what is stored, and how it is read and written.

A store knows nothing of whose turn it is: it compares and sets. Who may take the lease, and for how long it is held, is
decided by :mod:`roadstead.act.lease`, from the changes that are seen and never from what a clock elsewhere said.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from roadstead.units import Duration

__all__ = ["Lease", "LeaseStore"]


@attrs.frozen(kw_only=True)
class Lease:
    """What is stored: who holds it, and how often it went from hand to hand.

    ``holder`` is empty where somebody let go of it. ``renewed`` is in milliseconds since the epoch on the holder's
    clock: for people, and for others to see that it changed. ``version`` is the store's token for compare-and-set,
    empty for one that is not there yet.
    """

    holder: str
    transitions: int
    duration: Duration
    renewed: int
    version: str = ""


class LeaseStore(Protocol):
    """One lease of one fleet; called from one thread at a time, and raises :class:`roadstead.errors.BackendError`."""

    def read(self) -> Lease | None:
        """Return what is stored now, read consistently; ``None`` where nothing is."""

    def write(self, lease: Lease) -> Lease:
        """Store ``lease`` if what is there still has its ``version``, and return it with its new one.

        Raises ``Conflict`` where somebody else wrote meanwhile, and ``OutcomeUnknown`` where the answer was lost.
        """

    def close(self) -> None:
        """Let go of connections; what is stored stays."""
