"""What can go wrong, as types: each with a stable code, where it happened, and the next thing to do.

Codes are public: scripts match on them and ``roadstead explain CODE`` documents them. A code is never reused for
another meaning.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BackendError",
    "Conflict",
    "Denied",
    "Forbidden",
    "OutOfCapacity",
    "OutcomeUnknown",
    "Rejected",
    "Retryable",
    "RoadsteadError",
    "StateError",
    "Unreachable",
]


class RoadsteadError(Exception):
    """A failure that a person is told about.

    ``code`` is stable, ``hint`` is the smallest next step (or ``None``), ``exit_code`` is what a command ends with.
    """

    code: ClassVar[str] = "RS001"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class StateError(RoadsteadError):
    """The state directory cannot be used: not ours, in use, newer than this program, unreadable or full."""

    code = "RS010"


class Denied(RoadsteadError):
    """The machine or a server refuses us: permissions, not reachability."""

    code = "RS011"
    exit_code = 77


class BackendError(RoadsteadError):
    """A cluster's answer to one call.

    ``cluster`` names the cluster and ``subject`` the object (a group, a replica, a node) that the call was about.
    """

    code = "RS100"

    def __init__(self, message: str, *, cluster: str, subject: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.cluster = cluster
        self.subject = subject

    def __str__(self) -> str:
        where = f"{self.cluster}/{self.subject}" if self.subject else self.cluster
        return f"{where}: {super().__str__()}"


class Retryable(BackendError):
    """Not now: the same call may succeed after ``after_ms`` milliseconds, without anything else having changed."""

    code = "RS101"

    def __init__(
        self, message: str, *, cluster: str, subject: str = "", hint: str | None = None, after_ms: int | None = None
    ) -> None:
        super().__init__(message, cluster=cluster, subject=subject, hint=hint)
        self.after_ms = after_ms


class Unreachable(BackendError):
    """No answer from the cluster: nothing is known about it now, and nothing was changed by this call."""

    code = "RS102"
    exit_code = 69


class Conflict(BackendError):
    """The precondition no longer holds: somebody changed the object since it was observed. Observe again."""

    code = "RS103"


class Forbidden(BackendError):
    """The cluster does not allow us this call: credentials or permissions."""

    code = "RS104"
    exit_code = 77


class Rejected(BackendError):
    """The cluster understood the call and will never accept it as it is: the request itself is wrong there."""

    code = "RS105"


class OutOfCapacity(BackendError):
    """The cluster has no room for it now."""

    code = "RS106"
    exit_code = 3


class OutcomeUnknown(BackendError):
    """The reply was lost after the call was sent: it may or may not have happened. Observe again, assume neither."""

    code = "RS107"
