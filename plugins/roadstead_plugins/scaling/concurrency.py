"""The scaling policy ``concurrency``: a stable window for the rule, and a panic window for surges.

The rules are those of Knative's pod autoscaler (KPA), for any metric that adds up over replicas: as many replicas as
the average over the stable window divided by the target. When the average over the panic window makes twice as many as
are ready, it panics: the larger of both windows counts, and nothing goes down before a stable window without a surge
has passed.
"""

from __future__ import annotations

from roadstead.spi.policies import ScalingAnswer, ScalingQuestion

__all__ = ["Concurrency"]

_SURGE = 2
"""So many times the replicas that are ready, by the panic window, is a surge."""

_FEWEST = 2
"""At most so many times fewer than are ready are wanted at once."""


class Concurrency:
    """As many replicas as the load makes of the target, and quickly more in a surge."""

    def answer(self, question: ScalingQuestion) -> ScalingAnswer:
        """Return how many replicas; memory holds how long the panic lasts yet, in milliseconds, and its peak."""
        target, ready = question.target.target, max(1, question.ready)
        stable = _needed(question.stable, target)
        panic = _needed(question.panic, target)
        left, most = question.memory or (0, 0)
        left = max(0, left - question.elapsed_ms)
        surges = panic is not None and panic >= _SURGE * ready
        if surges:
            left = question.spec.windows.stable.ms
        needed = max(stable, question.ready // _FEWEST) if stable is not None else question.wanted
        if not left:
            return ScalingAnswer(wanted=needed, because=f"{_measured(question)}: {needed}")
        most = max(most, needed, panic or 0)
        return ScalingAnswer(
            wanted=most,
            because=f"{_measured(question)}: a surge for {ready} ready, {most}",
            memory=(left, most),
        )


def _needed(amount: int | None, target: int) -> int | None:
    return None if amount is None else -(-amount // target)


def _measured(question: ScalingQuestion) -> str:
    target, windows = question.target, question.spec.windows
    stable, panic = (
        target.shown(amount) if amount is not None else "unknown" for amount in (question.stable, question.panic)
    )
    return (
        f"{target.metric.value} {stable} over {windows.stable}, {panic} over {windows.panic}, "
        f"{target.shown(target.target)} for each"
    )
