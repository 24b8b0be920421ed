"""Steps that failed wait before they are tried again, longer each time.

What came of a step ends the wait or begins it. Where it is over and the step is not wanted any more, it is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.memory import BackOff, PlanMemory, cluster_of, place
from roadstead.plans import Step
from roadstead.reasons import Reason, ReasonCode
from roadstead.world import Outcome, OutcomeKind, Unreachable, World

__all__ = ["FIRST_WAIT_MS", "LONGEST_WAIT_MS", "counted", "waited_for", "waiting"]

FIRST_WAIT_MS = 1_000
LONGEST_WAIT_MS = 300_000


def counted(memory: PlanMemory, outcomes: tuple[Outcome, ...], now: int, longest_ms: int) -> PlanMemory:
    """Return the memory with the outcomes of turns not yet counted in it, and the waits brought forward to ``now``.

    A conflict or a lost reply says nothing against the step: the next observation decides, at once.
    """
    fresh = [outcome for outcome in outcomes if outcome.turn > memory.counted]
    if not fresh and not memory.back_off:
        return memory
    waits = {key: _brought_forward(wait, now, longest_ms) for key, wait in memory.back_off.items()}
    for outcome in sorted(fresh, key=lambda outcome: (outcome.turn, outcome.cluster, outcome.subject)):
        key = place(outcome.cluster, outcome.subject)
        if outcome.kind is OutcomeKind.DONE:
            waits.pop(key, None)
        elif outcome.kind in {OutcomeKind.FAILED, OutcomeKind.REJECTED, OutcomeKind.NO_CAPACITY}:
            waits[key] = _again(waits.get(key), outcome, now)
    newest = max((outcome.turn for outcome in fresh), default=memory.counted)
    return attrs.evolve(memory, counted=newest, back_off=_same_or(memory.back_off, waits))


def waiting(memory: PlanMemory, cluster: str, subject: str) -> Reason | None:
    """Return why a step about ``subject`` is not taken now, or ``None`` where it may be."""
    wait = memory.back_off.get(place(cluster, subject)) if memory.back_off else None
    if wait is None or wait.wait_ms <= 0:
        return None
    times = "once" if wait.failures == 1 else f"{wait.failures} times"
    return Reason(
        code=ReasonCode.REFUSED,
        detail=f"{cluster} refused {subject} {times} ({wait.code}); next try in {wait.wait_ms / 1000:.0f}s",
        count=wait.failures,
        raw=wait.text,
    )


def waited_for(memory: PlanMemory, world: World, steps: Iterable[Step]) -> Mapping[str, BackOff]:
    """Return the waits that are to be remembered after a plan for ``world`` with all these ``steps``.

    Whatever may be tried again and is not was wanted before, and is not any more: when it is next, that is no second
    failure in a row. Where a cluster does not answer, nothing is tried, and that says nothing.
    """
    waits = memory.back_off
    if all(wait.wait_ms > 0 for wait in waits.values()):
        return waits
    tried = {place(step.cluster, step.subject) for step in steps}
    kept = {
        key: wait
        for key, wait in waits.items()
        if wait.wait_ms > 0 or key in tried or isinstance(world.clusters.get(cluster_of(key)), Unreachable)
    }
    return _same_or(waits, kept)


def _brought_forward(wait: BackOff, now: int, longest_ms: int) -> BackOff:
    if wait.wait_ms <= 0:
        return wait
    elapsed = min(max(0, now - wait.at), longest_ms)
    return attrs.evolve(wait, wait_ms=max(0, wait.wait_ms - elapsed), at=now)


def _again(known: BackOff | None, outcome: Outcome, now: int) -> BackOff:
    failures = (known.failures if known is not None else 0) + 1
    wait_ms = min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** min(failures - 1, 20))
    return BackOff(
        failures=failures, wait_ms=max(wait_ms, outcome.retry_after or 0), at=now, code=outcome.code, text=outcome.text
    )


def _same_or(old: Mapping[str, BackOff], new: dict[str, BackOff]) -> Mapping[str, BackOff]:
    return old if new == dict(old) else MappingProxyType(new)
