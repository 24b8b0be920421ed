"""The contest: every contestant is asked for the same work in turn, and watched until it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from roadstead.act.clock import Clock
from roadstead.bench.comparison.figures import Measure, Sample
from roadstead.errors import RoadsteadError
from roadstead.model import Template, Variable
from roadstead.spi.comparison import Rival, Standing, Work
from roadstead.spi.runtime import Launch
from roadstead.units import Duration

__all__ = ["Contestant", "NotDone", "contest", "revised"]

LOOK_EVERY = Duration(50)
"""How often a standing is looked at: the resolution of every figure."""
_MARK = "ROADSTEAD_COMPARED"


class NotDone(RoadsteadError):
    """A contestant did not come to where the next measurement can begin."""

    code = "RS080"


@attrs.frozen(kw_only=True)
class Contestant:
    """Somebody who does the work: ``rival`` is ours or an orchestrator's own, ``name`` stands in the table."""

    name: str
    rival: Rival


def revised(template: Template, number: int) -> Template:
    """Return a template that differs from ``template`` in one variable that no server reads: a change to roll."""
    return attrs.evolve(template, env=(*template.env, Variable(_MARK, str(number))))


@attrs.frozen(kw_only=True)
class _Watch:
    """One passage under observation."""

    contestant: Contestant
    clock: Clock
    within: Duration

    def until(self, is_done: Callable[[Standing], bool]) -> tuple[float | None, int]:
        """Return after how many seconds it was done, ``None`` if not in time, and the fewest ready seen on the way."""
        began = self.clock.monotonic()
        fewest = None
        while True:
            standing = self.contestant.rival.standing()
            fewest = standing.ready if fewest is None else min(fewest, standing.ready)
            passed = self.clock.monotonic() - began
            if is_done(standing):
                return passed, fewest
            if passed >= self.within.seconds:
                return None, fewest
            self.clock.sleep(LOOK_EVERY.seconds)


def contest(
    contestants: Sequence[Contestant],
    work: Work,
    render: Callable[[Template], Launch],
    *,
    repeats: int,
    within: Duration,
    clock: Clock,
) -> Iterator[Sample]:
    """Yield what each contestant needed, in ``repeats`` rounds: begin with nothing, roll, lose a replica, take down.

    ``within`` bounds each passage; one that does not end in time is a sample without a time, and the contestant's round
    ends there. Raises :class:`NotDone` where one cannot be taken down.
    """
    for _ in range(repeats):
        for contestant in contestants:
            watch = _Watch(contestant=contestant, clock=clock, within=within)
            try:
                yield from _round(watch, work, render)
            finally:
                _end(watch)


def _round(watch: _Watch, work: Work, render: Callable[[Template], Launch]) -> Iterator[Sample]:
    rival, name = watch.contestant.rival, watch.contestant.name

    def is_whole(standing: Standing) -> bool:
        return len(standing.current) == work.replicas and not standing.others

    def asked(number: int) -> Work:
        template = revised(work.template, number)
        return attrs.evolve(work, template=template, launch=render(template))

    rival.ask(asked(1))
    seconds, _ = watch.until(is_whole)
    yield Sample(contestant=name, measure=Measure.COLD_START, seconds=seconds)
    if seconds is None:
        return
    rival.ask(asked(2))
    seconds, fewest = watch.until(is_whole)
    yield Sample(contestant=name, measure=Measure.ROLL, seconds=seconds, fewest=fewest)
    if seconds is None:
        return
    lost = rival.lose()
    seconds, _ = watch.until(lambda standing: is_whole(standing) and lost not in standing.current)
    yield Sample(contestant=name, measure=Measure.HEAL, seconds=seconds)


def _end(watch: _Watch) -> None:
    """Take a contestant down, and wait until nothing of it is left to disturb the next."""
    began = watch.clock.monotonic()
    while not watch.contestant.rival.end():
        if watch.clock.monotonic() - began >= watch.within.seconds:
            raise NotDone(
                f"what {watch.contestant.name} started is still there after {watch.within}",
                hint="look at its cluster, take it down, and begin again",
            )
        watch.clock.sleep(LOOK_EVERY.seconds)
