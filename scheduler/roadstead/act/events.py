"""What can happen, and the turn in which it did, as values."""

from __future__ import annotations

import enum

import attrs

from roadstead.model import Fleet
from roadstead.plans import Plan
from roadstead.world import Outcome, World

__all__ = ["Event", "EventKind", "Timing", "Turn"]


@enum.unique
class EventKind(enum.Enum):
    """The closed list of what can happen; the value is what people and programs read.

    ``OTHER`` is never told: it stands for what a newer program told and this one does not know.
    """

    DAEMON_STARTED = "daemon-started"
    DAEMON_STOPPED = "daemon-stopped"
    MEMORY_LOST = "memory-lost"
    STATE_RESTORED = "state-restored"
    TURN_FAILED = "turn-failed"
    TURNS_WORK = "turns-work-again"
    FLEET_CHANGED = "fleet-changed"
    FLEET_STAGED = "fleet-staged"
    FLEET_REFUSED = "fleet-refused"
    INTENT = "intent"
    CLUSTER_LOST = "cluster-unreachable"
    CLUSTER_BACK = "cluster-reachable"
    GATEWAY_LOST = "gateway-unreachable"
    GATEWAY_BACK = "gateway-reachable"
    GATEWAY_PROBLEM = "gateway-problem"
    TABLE_REJECTED = "table-rejected"
    ROUTE_PROBLEM = "route-problem"
    GROUP_CREATED = "group-created"
    GROUP_DELETED = "group-deleted"
    ADOPTED = "replica-adopted"
    CREATED = "replica-created"
    PLACED = "replica-placed"
    STARTED = "replica-started"
    RESTARTED = "replica-restarted"
    READY = "replica-ready"
    UNREADY = "replica-not-ready"
    CRASHED = "replica-crashed"
    OUT_OF_MEMORY = "replica-out-of-memory"
    MODEL_FAILED = "model-failed"
    STOPPING = "replica-stopping"
    STOPPED = "replica-stopped"
    OVERDUE = "replica-overdue"
    SCALED = "scaled-by-load"
    LOST = "replica-lost"
    STEP_DONE = "step-done"
    STEP_FAILED = "step-failed"
    HELD = "held"
    RELEASED = "released"
    OTHER = "other"


@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened.

    ``at`` is in milliseconds since the epoch. ``subject`` is a replica, a group, a cluster or a file; ``reason`` is a
    code of :class:`~roadstead.reasons.ReasonCode` or of an error, or empty. ``seq`` is given by the journal, 0
    before.
    """

    at: int
    kind: EventKind
    text: str
    cluster: str = ""
    deployment: str = ""
    subject: str = ""
    reason: str = ""
    seq: int = 0


@attrs.frozen(kw_only=True)
class Timing:
    """How long the parts of a turn took, in seconds; ``act`` includes making memory durable."""

    observe: float = 0.0
    plan: float = 0.0
    act: float = 0.0


_UNTIMED = Timing()


@attrs.frozen(kw_only=True)
class Turn:
    """Everything that one turn saw, decided and did; ``at`` is in milliseconds since the epoch.

    ``undone`` says why none of the plan's steps was taken, and is empty where they were.
    """

    number: int
    at: int
    fleet: Fleet
    world: World
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    undone: str = ""
    timing: Timing = _UNTIMED
