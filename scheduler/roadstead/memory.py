"""What the world cannot say and a decision needs: the planner's memory, as one frozen value.

It goes into ``plan`` and a new one comes out; :mod:`roadstead.act.memory` keeps it on disk. Losing it costs at most one repeated
attempt and one stable window. Times are accumulators in milliseconds, fed with clamped intervals, never instants: a clock that jumps,
or a weekend without a daemon, expires nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import attrs

from roadstead.model import Resources

__all__ = ["BackOff", "Claim", "GroupMemory", "PlanMemory", "place"]

V = TypeVar("V")


def place(cluster: str, name: object) -> str:
    """Return the key under which memory keeps something of one cluster: ``cluster/name``."""
    return f"{cluster}/{name}"


@attrs.frozen(kw_only=True)
class GroupMemory:
    """What was learnt of a group: how long it has been ready without a restart, how long it has tried, and the verdicts.

    ``restarts`` is the sum of its replicas' restart counts when ``ready_ms`` began. ``best`` is the largest number of them that were
    ready at once: reaching a new best is progress, and starts ``trying_ms`` again.
    """

    ready_ms: int = 0
    trying_ms: int = 0
    restarts: int = 0
    best: int = 0
    proven: bool = False
    failed: bool = False


@attrs.frozen(kw_only=True)
class Claim:
    """Room on a node that a dip freed, kept for ``deployment`` until its rollout ends."""

    deployment: str
    cluster: str
    node: str
    resources: Resources


@attrs.frozen(kw_only=True)
class BackOff:
    """A step that failed ``failures`` times in a row and waits ``wait_ms`` more before it is tried again; ``text`` is the last error."""

    failures: int
    wait_ms: int
    code: str
    text: str


_NONE: Mapping[str, int] = MappingProxyType({})
_NO_GROUPS: Mapping[str, GroupMemory] = MappingProxyType({})
_NO_BACK_OFF: Mapping[str, BackOff] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class PlanMemory:
    """The planner's memory; mappings are keyed by :func:`place`.

    ``last`` is when the last plan was made (ms since the epoch), ``None`` for a new or lost memory. ``leaving`` holds, for every
    replica that was taken out of the table, for how many milliseconds it has been out; ``unready`` for how many a running server has
    not been ready. ``counted`` is the newest turn whose outcomes are in here.
    """

    turn: int = 0
    last: int | None = None
    counted: int = 0
    groups: Mapping[str, GroupMemory] = _NO_GROUPS
    leaving: Mapping[str, int] = _NONE
    unready: Mapping[str, int] = _NONE
    claims: tuple[Claim, ...] = ()
    back_off: Mapping[str, BackOff] = _NO_BACK_OFF
