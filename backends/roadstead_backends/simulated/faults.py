"""What can go wrong in a simulated cluster, and how a test orders it."""

from __future__ import annotations

import enum
from collections import deque

import attrs

from roadstead.errors import (
    BackendError,
    Conflict,
    Forbidden,
    OutcomeUnknown,
    OutOfCapacity,
    Rejected,
    Retryable,
    Unreachable,
)
from roadstead.spi.simulation import ModelFault
from roadstead.world import GroupKey

__all__ = ["CallFault", "Faults", "ModelFault"]


@enum.unique
class CallFault(enum.Enum):
    """What becomes of one call that would change something; all but ``REPLY_LOST`` change nothing."""

    NONE = "none"
    REQUEST_LOST = "request-lost"
    REPLY_LOST = "reply-lost"
    CONFLICT = "conflict"
    RETRYABLE = "retryable"
    OUT_OF_CAPACITY = "out-of-capacity"
    REJECTED = "rejected"
    FORBIDDEN = "forbidden"
    UNREACHABLE = "unreachable"


_ERRORS: dict[CallFault, type[BackendError]] = {
    CallFault.REQUEST_LOST: OutcomeUnknown,
    CallFault.REPLY_LOST: OutcomeUnknown,
    CallFault.CONFLICT: Conflict,
    CallFault.RETRYABLE: Retryable,
    CallFault.OUT_OF_CAPACITY: OutOfCapacity,
    CallFault.REJECTED: Rejected,
    CallFault.FORBIDDEN: Forbidden,
    CallFault.UNREACHABLE: Unreachable,
}


@attrs.define(kw_only=True)
class Faults:
    """The faults in force; a test sets them, the cluster reads them.

    ``calls`` and ``stale`` are used up one per changing call and one per observation: the front of ``stale`` says how
    many looks old the answer is, as far as it may be. ``models`` is keyed by the template's ``model.source``, with or
    without a ``/VERSION``. ``locked`` are groups of which somebody else keeps the lock, where the cluster has any.
    """

    partitioned: bool = False
    locked: set[GroupKey] = attrs.field(factory=set)
    calls: deque[CallFault] = attrs.field(factory=deque)
    stale: deque[int] = attrs.field(factory=deque)
    models: dict[str, ModelFault] = attrs.field(factory=dict)

    def clear(self) -> None:
        """End every fault that lasts and forget every one that was still to come."""
        self.partitioned = False
        self.locked.clear()
        self.calls.clear()
        self.stale.clear()
        self.models.clear()

    def next_call(self) -> CallFault:
        """Return and use up what becomes of the next changing call."""
        return self.calls.popleft() if self.calls else CallFault.NONE

    def next_age(self) -> int:
        """Return and use up how many looks old the next observation is; 0 is fresh."""
        return self.stale.popleft() if self.stale else 0


def error_of(fault: CallFault, cluster: str, subject: str) -> BackendError:
    """Return the error that a call ends with under ``fault``."""
    return _ERRORS[fault](f"simulated fault: {fault.value}", cluster=cluster, subject=subject)
