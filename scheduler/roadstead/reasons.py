"""Why something is not as it was asked: one closed list, shared by every backend.

A backend translates what its orchestrator says into these codes and keeps the raw words beside them, so that ``why``
reads the same everywhere and nothing that the orchestrator said is lost.
"""

from __future__ import annotations

import enum

import attrs

__all__ = ["Amount", "Change", "ChangeKind", "Reason", "ReasonCode"]


@enum.unique
class ReasonCode(enum.Enum):
    """The closed list of reasons; the value is what people and programs read."""

    NO_CAPACITY = "no-capacity"
    NO_MATCHING_NODE = "no-matching-node"
    UNSUPPORTED = "unsupported"
    QUOTA = "quota"
    IMAGE = "image"
    CONFIG = "config"
    MODEL = "model"
    CRASH = "crash"
    OUT_OF_MEMORY = "out-of-memory"
    OVER_LIMIT = "over-limit"
    STARTING = "starting"
    NOT_READY = "not-ready"
    BACK_OFF = "back-off"
    GATED = "gated"
    GATEWAY = "gateway"
    DRAINING = "draining"
    UNREACHABLE = "unreachable"
    DISABLED = "disabled"
    CONTESTED = "contested"
    DRIFT = "drift"
    FOREIGN_OWNER = "foreign-owner"
    ROLLOUT_HELD = "rollout-held"
    ROLLOUT_FAILED = "rollout-failed"
    PAUSED = "paused"
    ORPHANED = "orphaned"
    LOST = "lost"
    UNMEASURED = "unmeasured"
    REFUSED = "refused"


@enum.unique
class ChangeKind(enum.IntEnum):
    """What can be changed so that it fits, cheapest first; the order is the cost order of ``why`` and ``plan``."""

    WAIT = 0
    LOWER_REPLICAS = 1
    RAISE_MAX_UNAVAILABLE = 2
    LOWER_REQUEST = 3
    DROP_CONSTRAINT = 4
    RAISE_QUOTA = 5
    FREE_ON_NODE = 6
    ADD_NODE = 7
    FIX_INPUT = 8


@attrs.frozen(order=True)
class Amount:
    """A number in a change, in the smallest unit: milli-cores, bytes, thousandths of a GPU, replicas, nodes."""

    what: str
    value: int


@attrs.frozen(order=True)
class Change:
    """One change that would be enough by itself; ``text`` says it with its numbers.

    For programs, ``subject`` is what is changed (a key of the fleet file, a node, a cluster, an owner), and ``amounts``
    are the values that it should have, or for a node what has to become free there; both are empty where only a person
    can do it.
    """

    kind: ChangeKind
    text: str
    subject: str = ""
    amounts: tuple[Amount, ...] = ()


@attrs.frozen(kw_only=True)
class Reason:
    """Why, with counts and the orchestrator's own words.

    ``count`` of ``total`` things (nodes, replicas) are concerned; both are 0 where nothing was counted. ``detail`` is
    our sentence, ``raw`` is what the orchestrator, the kernel or the server said, unabridged, or empty. ``change`` is
    the smallest sufficient change.
    """

    code: ReasonCode
    detail: str
    count: int = 0
    total: int = 0
    raw: str = ""
    change: Change | None = None

    def __str__(self) -> str:
        counted = f" ({self.count}/{self.total})" if self.total else ""
        return f"{self.code.value}{counted}: {self.detail}"
