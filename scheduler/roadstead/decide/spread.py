"""How many replicas on which cluster: in the declared order, each taking what it can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from roadstead.decide.fit import Fit, No, Yes

__all__ = ["Option", "assign"]


@attrs.frozen(kw_only=True)
class Option:
    """One cluster that may take replicas.

    ``alive`` counts the deployment's standing replicas there, of whatever revision: a rollout there replaces them in
    place. ``open`` is false where nothing may grow now (unreachable). ``room`` says how many more of ``n`` fit.
    """

    cluster: str
    alive: int
    open: bool
    room: Callable[[int], Fit]


def assign(wanted: int, options: Sequence[Option]) -> Mapping[str, int]:
    """Return how many of ``wanted`` replicas each cluster should end with.

    Filled in order: a cluster takes what stands there already and what else fits. What fits nowhere is left waiting on
    the first cluster that is open.
    """
    counts = {option.cluster: 0 for option in options}
    left = wanted
    if len(options) == 1:
        (only,) = options
        counts[only.cluster] = wanted if only.open else min(wanted, only.alive)
        return counts
    for option in options:
        take = min(left, option.alive)
        if option.open and take < left:
            match option.room(left - take):
                case Yes(count=count):
                    take += min(count, left - take)
                case No():
                    pass
                case _:
                    take = left
        counts[option.cluster] = take
        left -= take
    first_open = next((option.cluster for option in options if option.open), None)
    if left and first_open is not None:
        counts[first_open] += left
    return counts
