"""How many replicas on which cluster: in the declared order, or by weight.

Two things are kept apart. Replicas that stand nowhere yet go wherever there is room, at once. Replicas that stand are
moved to a better cluster, too; but one that was found full must first have had room for a while (:data:`STOOD`), so
that room which comes and goes moves nothing back and forth.

A cluster's own scheduler does not say beforehand what it has room for, nor does its own quota. It is tried; where it
makes or places nothing in time, it counts as full until more of it is free, or allowed, than was then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from roadstead.decide.fit import Fit, No, Yes
from roadstead.units import Duration

__all__ = ["STOOD", "Option", "Spread", "assign", "shares"]

STOOD = Duration(60_000)
"""For how long a cluster that was full must have had room before replicas that stand elsewhere are moved to it."""


@attrs.frozen(kw_only=True)
class Option:
    """One cluster that may take replicas.

    ``standing`` counts the deployment's replicas that have a place there, of whatever revision: a rollout there
    replaces them in place. ``open`` is false where nothing may grow now (it does not answer). ``room`` says how many of
    ``n`` more than stand there have a place; those that wait there for one are among them. Where not ``trusted``, the
    cluster was full and has not had room for long. A ``reserve`` takes only what has room nowhere else, while another
    is silent.
    """

    cluster: str
    standing: int
    open: bool = True
    room: Callable[[int], Fit]
    weight: int | None = None
    trusted: bool = True
    reserve: bool = False


@attrs.frozen(kw_only=True)
class Spread:
    """How many each cluster should end with, and ``left``: so many have room nowhere and no cluster to wait on.

    ``lacking`` are the clusters that should have more than they have room for now; ``at_best``: no cluster has less, or
    more, than if all had room.
    """

    counts: Mapping[str, int]
    left: int = 0
    lacking: frozenset[str] = frozenset()
    at_best: bool = True


def shares(wanted: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Return ``wanted`` cut by ``weights``: whole numbers by the largest remainder, the first of equal ones first.

    >>> shares(10, (70, 30)), shares(3, (1, 1)), shares(2, (90, 5, 5))
    ((7, 3), (2, 1), (2, 0, 0))
    """
    total = sum(weights)
    whole = [wanted * weight // total for weight in weights]
    remainders = sorted(range(len(weights)), key=lambda place: (-(wanted * weights[place] % total), place))
    for place in remainders[: wanted - sum(whole)]:
        whole[place] += 1
    return tuple(whole)


def assign(wanted: int, options: Sequence[Option]) -> Spread:
    """Return how many of ``wanted`` replicas each cluster should end with.

    Those that have room nowhere wait on the first cluster that is open, or, by weight, the first one that has less than
    its share.
    """
    own = [option for option in options if not option.reserve]
    cut_off = not all(option.open for option in own) or not own
    line = options if cut_off else own
    if len(line) == 1:
        return _all_on(line[0], wanted, options)
    filling = _Filling(wanted, options, line)
    if any(option.weight is not None for option in line):
        filling.by_weight()
    else:
        filling.in_order()
    return filling.result()


def _all_on(only: Option, wanted: int, options: Sequence[Option]) -> Spread:
    """Return everything on the only cluster that counts, or as much as stands there where nothing may grow."""
    count = wanted if only.open else min(wanted, only.standing)
    counts = {option.cluster: count if option is only else 0 for option in options}
    return Spread(counts=counts, left=wanted - count)


class _Filling:
    """The counts as they grow.

    ``line`` are the clusters that count now: the reserve stands in only while one of the others is silent, or none of
    them can be used. ``ideal`` is how many each would have if all had room, ``new`` so many of those ``left`` stand
    nowhere yet.
    """

    def __init__(self, wanted: int, options: Sequence[Option], line: Sequence[Option]) -> None:
        self.line = line
        self.counts = {option.cluster: 0 for option in options}
        self.left = wanted
        self.new = max(0, wanted - sum(option.standing for option in self.line))
        self.ideal: dict[str, int] = {}

    def in_order(self) -> None:
        """Fill one after the other: each keeps what stands there, and takes what is new, or stands on later ones."""
        for option in self.line:
            self.ideal[option.cluster] = self.left
            self._add(option, option.standing)
            self._place_new(option, self.left)
            if option.trusted:
                self._add(option, self._fitting(option, self.left))

    def by_weight(self) -> None:
        """Give each its share; what one has no room for stays where it stands, or goes where there is room."""
        parts = shares(self.left, [option.weight or 0 for option in self.line])
        self.ideal = dict(zip((option.cluster for option in self.line), parts, strict=True))
        for option in self.line:
            self._add(option, min(option.standing, self._lack(option)))
        for option in self.line:
            self._place_new(option, self._lack(option))
        for option in self.line:
            if option.trusted:
                self._add(option, self._fitting(option, min(self.left, self._lack(option))))
        for option in self.line:
            self._add(option, option.standing - self.counts[option.cluster])
        for option in self.line:
            self._place_new(option, self.left)

    def result(self) -> Spread:
        """Return the counts, with what has no room waiting where it would be best."""
        lacking = frozenset(option.cluster for option in self.line if option.open and self._lack(option) > 0)
        at_best = all(self.counts[option.cluster] == self.ideal[option.cluster] for option in self.line)
        waiting = [option for option in self.line if option.open]
        first = next((option for option in waiting if self._lack(option) > 0), waiting[0] if waiting else None)
        if first is not None:
            self._add(first, self.left)
        return Spread(counts=self.counts, left=self.left, lacking=lacking, at_best=at_best)

    def _place_new(self, option: Option, count: int) -> None:
        given = self._fitting(option, min(self.new, self.left, count))
        self._add(option, given)
        self.new -= given

    def _fitting(self, option: Option, count: int) -> int:
        """Return how many of ``count`` more than those counted already have room; all, where nobody can tell."""
        if count <= 0 or not option.open:
            return 0
        more = self.counts[option.cluster] - option.standing
        match option.room(more + count):
            case Yes(count=fitting):
                return max(0, min(count, fitting - more))
            case No():
                return 0
            case _:
                return count

    def _add(self, option: Option, count: int) -> None:
        given = max(0, min(count, self.left))
        self.counts[option.cluster] += given
        self.left -= given

    def _lack(self, option: Option) -> int:
        return max(0, self.ideal[option.cluster] - self.counts[option.cluster])
