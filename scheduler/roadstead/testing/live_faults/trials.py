"""A trial: one story told on one live cluster, without faults and then with each, and what that adds up to."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import attrs

from roadstead.testing.faults.verdicts import compared
from roadstead.testing.live_faults.calls import Call, Plan, Sort
from roadstead.testing.live_faults.stage import Left, Stage
from roadstead.testing.live_faults.stories import Act, Story, deployment
from roadstead.testing.live_faults.strikes import LastingStrike, Mark, Nothing, ProxyStrike, Strike
from roadstead.testing.live_faults.subject import Elects, LiveCluster
from roadstead.testing.live_faults.told import ToldRuntime, host_with
from roadstead.units import Duration

__all__ = ["Count", "Furnish", "Strikes", "Telling", "Trial", "Verdict", "counted", "judged"]

WITHIN: Final = Duration(120_000)
"""How long a story may take to come to rest, with a fault."""

DEPOSED: Final = Duration(2_000)
"""How long a server that led stays away: longer than it takes to elect another one."""

Furnish = Callable[[], AbstractContextManager[LiveCluster]]
"""Gives a cluster with nothing of ours on it, for one telling."""

Strikes = Callable[[LiveCluster], Strike]
"""Gives what goes wrong on a cluster in one telling."""


@attrs.frozen(kw_only=True)
class Telling:
    """What came of telling a story once.

    ``applied``: the fault really happened. ``rests`` are what was left each time that all came to rest. ``started`` is
    how many replicas there ever were, ``recovery`` the seconds from the last act to rest.
    """

    applied: bool
    calls: tuple[Call, ...]
    wrong: tuple[str, ...]
    rests: tuple[Left, ...]
    started: int
    recovery: float


@attrs.frozen(kw_only=True)
class Verdict:
    """What one telling showed, beside the one without faults; replicas are told as by the fault machine's verdicts.

    ``extra`` are replicas that were started and are not without the fault.
    """

    what: str
    applied: bool
    violations: tuple[str, ...]
    lost: int = 0
    duplicated: int = 0
    orphaned: int = 0
    extra: int = 0
    recovery: float = 0.0


@attrs.frozen(kw_only=True)
class Trial:
    """``story`` on the cluster that ``furnish`` gives, new for each telling."""

    story: Story
    furnish: Furnish
    within: Duration = WITHIN

    def told(self, strike: Strikes = lambda _: Nothing(), right: Telling | None = None) -> Telling:
        """Tell the story with one thing going wrong, and judge it by ``right``, which is without."""
        folder = Path(tempfile.mkdtemp(prefix="roadstead-story-"))
        try:
            with self.furnish() as cluster:
                return self._told(cluster, strike(cluster), right, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def planned(self, plan: Plan, right: Telling) -> Telling:
        """Tell the story with one fault of what goes through the proxy, or of whoever answers there."""
        return self.told(lambda cluster: _strike(plan, cluster), right)

    def _told(self, cluster: LiveCluster, strike: Strike, right: Telling | None, folder: Path) -> Telling:
        host = host_with(ToldRuntime(cluster.terms.launch, cluster.serves))
        begins = [deployment(cluster, self.story.replicas)] if self.story.replicas else []
        stage = Stage(cluster, begins, host, folder)
        try:
            stage.begin(self.within)
            strangers = cluster.standing().strangers
            mark = Mark.of(cluster.proxy)
            strike.arm()
            rests, took = self._enacted(stage, right, strike)
            calls = mark.calls(cluster.proxy, cluster.dialect)
            happened = strike.happened
            strike.disarm()
            stage.judge_rest()
        finally:
            strike.disarm()
            stage.close()
        after = cluster.standing().strangers
        if after != strangers:
            stage.wrong.append(f"what is others' has changed: {sorted(strangers ^ after)}")
        return Telling(
            applied=happened,
            calls=calls,
            wrong=tuple(dict.fromkeys(stage.wrong)),
            rests=rests,
            started=len(cluster.tally.started),
            recovery=took,
        )

    def _enacted(self, stage: Stage, right: Telling | None, strike: Strike) -> tuple[tuple[Left, ...], float]:
        """Let everything happen, each thing once all is at rest; the last rest is one after all that goes wrong."""
        rests: list[Left] = []
        began = time.monotonic()
        for number, act in enumerate(self.story.acts):
            stage.cluster.tally.begin()
            began = time.monotonic()
            act.do(stage)
            if act is self.story.acts[-1]:
                strike.finish()
            rests.append(stage.rest(self.within, right.rests[number] if right is not None else None))
            stage.wrong += _outside(act, stage.cluster)
        return tuple(rests), time.monotonic() - began


def _strike(plan: Plan, cluster: LiveCluster) -> Strike:
    if plan.point.sort is not Sort.LEADER:
        return ProxyStrike(plan, cluster.proxy, cluster.dialect)
    if not isinstance(cluster, Elects):
        raise TypeError(f"{cluster.spec.name} elects nobody; leave {plan} out")
    return LastingStrike(plan.point.nth, cluster.depose, DEPOSED, cluster.proxy, cluster.dialect)


def _outside(act: Act, cluster: LiveCluster) -> Iterable[str]:
    fewest, most = cluster.tally.range
    if fewest < act.floor:
        yield f"{fewest} replicas serve, and the floor is {act.floor}"
    if most > act.most:
        yield f"{most} replicas are there at once, and {act.most} are allowed"


def judged(what: str, told: Telling, right: Telling) -> Verdict:
    """Judge what came of a story with a fault by what came of it without any."""
    difference = compared(told.rests[-1].ending, right.rests[-1].ending)
    violations = list(told.wrong)
    if told.rests != right.rests:
        violations.append(f"it ends otherwise: {difference.words or told.rests[-1].beside ^ right.rests[-1].beside}")
    return Verdict(
        what=what,
        applied=told.applied,
        violations=tuple(violations),
        lost=difference.lost,
        duplicated=difference.duplicated,
        orphaned=difference.orphaned,
        extra=max(0, told.started - right.started),
        recovery=told.recovery,
    )


@attrs.frozen(kw_only=True)
class Count:
    """What many verdicts add up to; ``examples`` are the first that showed something wrong."""

    plans: int = 0
    applied: int = 0
    violations: int = 0
    lost: int = 0
    duplicated: int = 0
    orphaned: int = 0
    extra: int = 0
    recoveries: tuple[float, ...] = ()
    examples: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def median_recovery(self) -> float:
        """Seconds from the last act to rest, in the middle of all plans."""
        return sorted(self.recoveries)[len(self.recoveries) // 2] if self.recoveries else 0.0

    @property
    def longest_recovery(self) -> float:
        """Seconds from the last act to rest, in the worst plan."""
        return max(self.recoveries, default=0.0)


def counted(verdicts: Sequence[Verdict]) -> Count:
    """Return what these add up to."""
    wrong = [one for one in verdicts if one.violations]
    return Count(
        plans=len(verdicts),
        applied=sum(one.applied for one in verdicts),
        violations=len(wrong),
        lost=sum(one.lost for one in verdicts),
        duplicated=sum(one.duplicated for one in verdicts),
        orphaned=sum(one.orphaned for one in verdicts),
        extra=sum(one.extra for one in verdicts),
        recoveries=tuple(round(one.recovery, 2) for one in verdicts),
        examples=tuple((one.what, one.violations) for one in wrong[:20]),
    )
