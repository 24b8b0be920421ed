"""The calls that a daemon makes to the outside, and what can go wrong with each of them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType

import attrs

__all__ = ["EFFECTS", "MOST_STALE", "Call", "Fault", "Kind", "What", "kinds_of"]

MOST_STALE = 3
"""How many versions old a list may be at most."""


@enum.unique
class What(enum.Enum):
    """What a call is for."""

    OBSERVE = "observe"
    USAGE = "usage"
    APPLY = "apply"
    DELETE = "delete"
    BIND = "bind"
    RESTART = "restart"
    EVICT = "evict"
    REVERT = "revert"
    SETTLE = "settle"
    CHECK_MODEL = "check model"
    RELOAD = "reload"
    ROUTE = "route"
    VIEW = "view"
    PROBE = "probe"
    MEMORY = "save memory"
    JOURNAL = "write journal"
    CLOCK = "read clock"
    WATCH = "watch event"


@enum.unique
class Kind(enum.Enum):
    """What goes wrong.

    Before: the call has no effect. After: it has, and its reply is not heard. A crash is the daemon's, and a new one is
    started on the stores as they are then. What lasts (a partition, a node that is away, a second daemon) ends by
    itself after a while.
    """

    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    MEMORY_LOST = "crash, memory lost"
    MEMORY_CORRUPTED = "crash, memory corrupted"
    MEMORY_REMOVED = "memory removed while it runs"
    JOURNAL_LOST = "crash, journal lost"
    JOURNAL_CORRUPTED = "crash, journal corrupted"
    JOURNAL_OVERWRITTEN = "journal corrupted while it runs"
    DISK_FULL = "disk full"
    LOST_BEFORE = "lost before"
    LOST_AFTER = "lost after"
    FAILS = "500"
    THROTTLED = "429 with Retry-After"
    THROTTLED_LONG = "429 with a long Retry-After"
    CONFLICT = "409"
    STALE_1 = "list 1 version old"
    STALE_2 = "list 2 versions old"
    STALE_3 = "list 3 versions old"
    PARTITION = "partition for a while"
    NODE_AWAY = "node away for a while"
    GATEWAY_DIES = "gateway dies"
    SECOND_DAEMON = "second daemon"
    CLOCK_FORTH = "clock jumps forth"
    CLOCK_BACK = "clock jumps back"
    DROPPED = "event dropped"
    DUPLICATED = "event duplicated"
    REORDERED = "event after the next one"


@attrs.frozen(kw_only=True)
class Call:
    """One call: the ``number``-th of its run, to ``where`` (a cluster or a gateway, empty for a store or the clock).

    ``older`` is how many older answers it might have given: lists of the past, as far as the contract allows them.
    """

    number: int
    what: What
    where: str = ""
    older: int = 0


@attrs.frozen
class Fault:
    """That the ``number``-th call of a run goes wrong."""

    number: int
    kind: Kind


_ANY = (Kind.CRASH_BEFORE, Kind.CRASH_AFTER)
_READ = (*_ANY, Kind.LOST_BEFORE, Kind.FAILS, Kind.THROTTLED)
_WRITE = (
    *_ANY,
    Kind.MEMORY_LOST,
    Kind.LOST_BEFORE,
    Kind.LOST_AFTER,
    Kind.FAILS,
    Kind.THROTTLED,
    Kind.THROTTLED_LONG,
    Kind.CONFLICT,
    Kind.PARTITION,
    Kind.NODE_AWAY,
    Kind.SECOND_DAEMON,
)

EFFECTS: Mapping[What, tuple[Kind, ...]] = MappingProxyType(
    {
        What.OBSERVE: (*_READ, Kind.MEMORY_LOST, Kind.PARTITION, Kind.NODE_AWAY, Kind.SECOND_DAEMON),
        What.USAGE: _READ,
        What.APPLY: _WRITE,
        What.DELETE: _WRITE,
        What.BIND: _WRITE,
        What.RESTART: _WRITE,
        What.EVICT: _WRITE,
        What.REVERT: _WRITE,
        What.SETTLE: _WRITE,
        What.CHECK_MODEL: (*_ANY, Kind.LOST_BEFORE, Kind.FAILS),
        What.RELOAD: (*_ANY, Kind.MEMORY_LOST, Kind.LOST_BEFORE, Kind.LOST_AFTER, Kind.SECOND_DAEMON),
        What.ROUTE: (
            *_ANY,
            Kind.MEMORY_LOST,
            Kind.LOST_BEFORE,
            Kind.LOST_AFTER,
            Kind.GATEWAY_DIES,
            Kind.SECOND_DAEMON,
        ),
        What.VIEW: (*_ANY, Kind.LOST_BEFORE, Kind.PARTITION, Kind.GATEWAY_DIES),
        What.PROBE: (*_ANY, Kind.LOST_BEFORE, Kind.FAILS),
        What.MEMORY: (
            *_ANY,
            Kind.MEMORY_LOST,
            Kind.MEMORY_CORRUPTED,
            Kind.MEMORY_REMOVED,
            Kind.DISK_FULL,
            Kind.SECOND_DAEMON,
        ),
        What.JOURNAL: (*_ANY, Kind.JOURNAL_LOST, Kind.JOURNAL_CORRUPTED, Kind.JOURNAL_OVERWRITTEN, Kind.DISK_FULL),
        What.CLOCK: (Kind.CLOCK_FORTH, Kind.CLOCK_BACK),
        What.WATCH: (Kind.DROPPED, Kind.DUPLICATED, Kind.REORDERED),
    }
)
"""What is tried on each call; what is not listed has no meaning there."""

_STALE = (Kind.STALE_1, Kind.STALE_2, Kind.STALE_3)


def kinds_of(call: Call) -> tuple[Kind, ...]:
    """Return what can go wrong with ``call``, each a plan of its own; old answers only as far as there are some."""
    return (*EFFECTS[call.what], *_STALE[: call.older])
