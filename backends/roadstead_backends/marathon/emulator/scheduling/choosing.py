"""Which instances are given up when there are too many, pure (``ScalingProposition``, ``Constraints``)."""

from __future__ import annotations

from collections.abc import Sequence

from roadstead_backends.marathon.emulator.scheduling.constraints import value_of
from roadstead_backends.marathon.emulator.scheduling.instances import Instance, kill_order
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["chosen"]

_Group = dict[str, Instance]


def chosen(present: Sequence[Instance], spec: RunSpec, count: int, victims: Sequence[str] = ()) -> list[Instance]:
    """Return the ``count`` instances to give up.

    Those come first that were asked for by id, then those without which the rest is spread more evenly over what
    ``GROUP_BY`` names, then the others by condition and age.
    """
    sentenced = [each for each in present if each.id in victims]
    others = [each for each in present if each.id not in victims]
    balanced = _balancing(others, spec.constraints, max(0, count - len(sentenced)))
    rest = kill_order(
        (each for each in others if each not in balanced), oldest_first=spec.kill_selection == "OLDEST_FIRST"
    )
    return [*sentenced, *balanced, *rest][:count]


def _balancing(present: Sequence[Instance], constraints: Sequence[Sequence[str]], count: int) -> list[Instance]:
    """Up to ``count`` instances, each of which leaves every distribution even, or more even than it was."""
    fields = [constraint[0] for constraint in constraints if constraint[1] == "GROUP_BY"]
    if not fields or count >= len(present):
        return []
    distributions = [_grouped(present, field) for field in fields]
    found: _Group = {}
    while len(found) < count:
        crowded = [each for groups in _widest_first(distributions, found) for each in _crowded(groups, found)]
        tried = [*crowded, *(each for each in present if each.id not in found)]
        fitting = next((each for each in tried if _evens(distributions, {**found, each.id: each})), None)
        if fitting is None:
            break
        found[fitting.id] = fitting
    return list(found.values())


def _grouped(present: Sequence[Instance], field: str) -> list[_Group]:
    groups: dict[str | None, _Group] = {}
    for each in present:
        value = value_of(each.agent.place, field) if each.agent is not None else None
        groups.setdefault(value, {})[each.id] = each
    return list(groups.values())


def _sizes(groups: Sequence[_Group], without: _Group) -> list[int]:
    return [len(group.keys() - without.keys()) for group in groups]


def _difference(groups: Sequence[_Group], without: _Group) -> int:
    sizes = _sizes(groups, without)
    return max(sizes) - min(sizes)


def _widest_first(distributions: Sequence[list[_Group]], without: _Group) -> list[list[_Group]]:
    return sorted(distributions, key=lambda groups: -_difference(groups, without))


def _crowded(groups: Sequence[_Group], without: _Group) -> list[Instance]:
    """What is left in the largest groups, unless all are of one size."""
    sizes = _sizes(groups, without)
    if len(set(sizes)) == 1:
        return []
    largest = [group for group, size in zip(groups, sizes, strict=True) if size == max(sizes)]
    return [each for group in largest for each in group.values() if each.id not in without]


def _evens(distributions: Sequence[list[_Group]], without: _Group) -> bool:
    return all(
        _difference(groups, without) <= 1 or _difference(groups, without) < _difference(groups, {})
        for groups in distributions
    )
