"""The arithmetic of an upgrade: how many old instances may go at once, and how many new ones may come.

Source: ``TaskReplaceActor.computeRestartStrategy`` and ``launchInstances``.
"""

from __future__ import annotations

import math

import attrs

__all__ = ["RestartStrategy", "launchable", "restart_strategy"]


@attrs.frozen(kw_only=True)
class RestartStrategy:
    """How many to kill at once, and how many instances there may be at any time."""

    kill_now: int
    most: int


def restart_strategy(
    *, wanted: int, running: int, healthy_share: float, over_share: float, resident: bool
) -> RestartStrategy:
    """Return how a restart of ``wanted`` instances begins while ``running`` old ones are active and healthy.

    A capacity that leaves no room is widened by one: by starting one more, or, where instances are tied to their
    agents, by killing one more.
    """
    least = math.ceil(wanted * healthy_share)
    most = math.floor(wanted * (1 + over_share))
    kill_now = max(0, running - least)
    if least == most and most <= running:
        if resident:
            kill_now = max(1, kill_now + 1)
        else:
            most += 1
    if wanted < running:
        kill_now = max(kill_now, running - wanted)
    return RestartStrategy(kill_now=min(kill_now, running), most=most)


def launchable(*, wanted: int, most: int, old_active: int, new_started: int) -> int:
    """How many new instances may be started now."""
    return max(0, min(wanted - new_started, most - old_active - new_started))
