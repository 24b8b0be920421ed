"""A trial: one story on one kind of clusters, told with every plan of a sort, and the numbers that come of that."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import attrs

from roadstead.model import Fleet
from roadstead.testing.faults.branches import Plan, branched, learnt
from roadstead.testing.faults.calls import Call
from roadstead.testing.faults.injector import Chooser
from roadstead.testing.faults.plans import Swarm, window
from roadstead.testing.faults.props import Props
from roadstead.testing.faults.telling import Rest, Scenario, Telling, tell
from roadstead.testing.faults.verdicts import Verdict, verdict

__all__ = ["Count", "Known", "Plan", "Trial", "Tried", "counted", "sample"]

T = TypeVar("T")
Known = dict[bytes, Rest]


@attrs.frozen
class Tried:
    """What came of a plan, and the calls after its last fault at which another one is to be tried."""

    verdict: Verdict
    after: tuple[Call, ...] = ()


@attrs.frozen(kw_only=True)
class Trial:
    """``scenario`` on what ``furnish`` gives; stores are kept in folders of ``scratch``, which are removed again."""

    scenario: Scenario
    furnish: Callable[[Fleet], Props]
    scratch: Path

    def told(self, faults: Plan = (), *, choose: Chooser | None = None) -> Telling:
        """Tell the story once."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            return tell(self.scenario, self.furnish(self.scenario.fleet), folder, faults, choose=choose)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def reference(self) -> Telling:
        """Tell the story without faults; raises :class:`ValueError` where it does not end well by itself."""
        told = self.told()
        if told.wrong or told.ending is None:
            raise ValueError(f"{self.scenario.name!r} does not end well without faults: {told.wrong[:3]}")
        return told

    def known(self) -> Known:
        """Return what comes of each moment of the story without faults."""
        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            return learnt(self.scenario, self.furnish(self.scenario.fleet), folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def tried(self, reference: Telling, plans: Iterable[Plan], known: Known | None = None) -> Mapping[Plan, Tried]:
        """Tell the story with each of the plans, sharing what is the same, and return what came of each.

        ``known`` is what comes of moments, from :meth:`known`; what comes of others is added to it.
        """

        def judge(plan: Plan, told: Telling | str) -> Tried:
            if isinstance(told, str):
                return Tried(Verdict(faults=plan, applied=0, violations=(told,)))
            return Tried(verdict(attrs.evolve(told, faults=plan), reference), window(plan, told))

        folder = Path(tempfile.mkdtemp(dir=self.scratch))
        try:
            return branched(self.scenario, self.furnish(self.scenario.fleet), folder, plans, judge, known)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def swarmed(self, reference: Telling, seeds: Iterable[int]) -> Iterator[Verdict]:
        """Yield what came of each swarm."""
        return (verdict(self.told(choose=Swarm(seed)), reference) for seed in seeds)


def sample(plans: Sequence[T], most: int, seed: int) -> Sequence[T]:
    """Return all of them, or ``most`` of them by chance that follows from ``seed``, in their order."""
    if len(plans) <= most:
        return plans
    chosen = random.Random(seed).sample(range(len(plans)), most)  # noqa: S311  # repeatable on purpose
    return [plans[index] for index in sorted(chosen)]


@attrs.frozen(kw_only=True)
class Count:
    """What many verdicts add up to; ``examples`` are the first plans that showed something wrong."""

    plans: int = 0
    applied: int = 0
    violations: int = 0
    lost: int = 0
    duplicated: int = 0
    orphaned: int = 0
    recoveries: tuple[int, ...] = ()
    examples: tuple[tuple[Plan, tuple[str, ...]], ...] = ()

    def __add__(self, other: Count) -> Count:
        """Return both together."""
        return Count(
            plans=self.plans + other.plans,
            applied=self.applied + other.applied,
            violations=self.violations + other.violations,
            lost=self.lost + other.lost,
            duplicated=self.duplicated + other.duplicated,
            orphaned=self.orphaned + other.orphaned,
            recoveries=self.recoveries + other.recoveries,
            examples=(self.examples + other.examples)[:20],
        )

    @property
    def median_recovery(self) -> int:
        """The turns to rest after the last fault, in the middle of all plans."""
        return sorted(self.recoveries)[len(self.recoveries) // 2] if self.recoveries else 0

    @property
    def longest_recovery(self) -> int:
        """The turns to rest after the last fault, in the worst plan."""
        return max(self.recoveries, default=0)


def counted(verdicts: Iterable[Verdict]) -> Count:
    """Return what these add up to."""
    seen = tuple(verdicts)
    wrong = [one for one in seen if one.violations]
    return Count(
        plans=len(seen),
        applied=sum(one.applied for one in seen),
        violations=len(wrong),
        lost=sum(one.lost for one in seen),
        duplicated=sum(one.duplicated for one in seen),
        orphaned=sum(one.orphaned for one in seen),
        recoveries=tuple(one.recovery for one in seen),
        examples=tuple((one.faults, one.violations) for one in wrong[:20]),
    )
