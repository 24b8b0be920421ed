"""How load decides about a deployment, on a screen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from roadstead.autoscaling import Asked, Metric, MetricTarget, Scaling
from roadstead.cli.text.words import age, labelled
from roadstead.decide.report import MetricStatus, Replay, ScalingStatus

__all__ = ["replay_view", "scaling_cell", "scaling_rows"]


def scaling_cell(wanted: int, scaling: ScalingStatus | None) -> str:
    """Return how many are wanted, with the bounds where load decides."""
    return str(wanted) if scaling is None else f"{wanted} ({scaling.min}..{scaling.max})"


def scaling_rows(scaling: ScalingStatus) -> Iterator[tuple[RenderableType, RenderableType]]:
    """Yield what load makes, how it came to that, and what is known of each metric."""
    capped = f", not all of them for now: {', '.join(scaling.capped_by)}" if scaling.capped_by else ""
    yield "scaling", f"{scaling.wanted} of {scaling.min}..{scaling.max} by policy {scaling.policy}{capped}"
    if scaling.because:
        yield "", scaling.because
    for one in scaling.metrics:
        yield "measured", _metric(one)


def _metric(one: MetricStatus) -> str:
    target = MetricTarget(Metric(one.metric), one.target)
    if one.stable is None:
        return f"{one.metric}: not known"
    recent = target.shown(one.panic) if one.panic is not None else "not known"
    return (
        f"{one.metric}: {target.shown(one.stable)} on average, lately {recent}; {target.shown(one.target)} for each "
        f"(measured for {age(one.measured)})"
    )


def replay_view(replay: Replay) -> RenderableType:
    """Return one change that load made: the number, the sentence, every question with its answer, and the replay."""
    decided = replay.decided
    at = datetime.fromtimestamp(replay.at / 1000).astimezone()
    headline = Text.assemble(
        (decided.deployment, "bold"),
        f"  {decided.wanted} wanted since {at:%Y-%m-%d %H:%M:%S} (turn {replay.turn}), {decided.was} before",
    )
    rows: list[tuple[RenderableType, RenderableType]] = [("because", decided.because)]
    rows += [("asked", _asked(one)) for one in decided.asked]
    rows += [("bounds", _bounds(decided))]
    same = "the same questions have the same answers today"
    rows += [("replay", text) for text in replay.differences or (same,)]
    return Group(headline, labelled(rows, indent=2))


def _asked(one: Asked) -> str:
    question, target = one.question, one.question.target
    stable, panic = (
        target.shown(amount) if amount is not None else "not known" for amount in (question.stable, question.panic)
    )
    answer = f"{one.answer.wanted}" if one.answer is not None else "none"
    part = "" if one.complete else ", not all of the window measured"
    return (
        f"{target.metric.value}: {stable} over {question.spec.windows.stable}, {panic} over "
        f"{question.spec.windows.panic}{part}; {target.shown(target.target)} for each, {question.ready} ready: {answer}"
    )


def _bounds(decided: Scaling) -> str:
    needed = ", ".join(str(peak.most) for peak in decided.peaks)
    lately = f"; needed before that, in steps: {needed}" if needed else ""
    return f"{decided.spec.min}..{decided.spec.max}{lately}"
