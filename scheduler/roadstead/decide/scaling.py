"""How many replicas a deployment should have: the declared number, what a command said since, or what its load makes.

Load is looked at once in each turn that is due, which is when :func:`is_due` says so, and remembered in windows. The
policy that the file names is asked for each metric, and the largest of its answers counts. It is kept within the
bounds; nothing is lowered while something is not measured, nor before fewer were enough for all of
``scale_down_after``. What stands against the number (room, a quota) is found by those who make it so, and says so
itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from roadstead.autoscaling import Asked, AutoscalingSpec, Metric, MetricTarget, Peak, Scaling, ScalingQuestion
from roadstead.decide.demand import Demand
from roadstead.decide.windows import averages, fed, highest, peaked
from roadstead.mappings import with_changes
from roadstead.memory import Measured, PlanMemory, ScalingMemory, Series
from roadstead.model import Deployment, Fleet
from roadstead.plans import Held
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.spi.policies import ScalingPolicy
from roadstead.units import Duration
from roadstead.world import Shard, World

__all__ = ["Numbers", "Scaled", "Scaler", "Sight", "decided", "due", "is_removed", "replayed", "wanted"]


def is_removed(fleet: Fleet, name: str) -> bool:
    """Return whether somebody confirmed that the deployment goes away, and the file did not change it since."""
    intent = fleet.intents.remove_of.get(name)
    if intent is None:
        return False
    declared = fleet.deployments.get(name)
    return intent.declared == (declared.targets[0].revision if declared is not None else None)


def wanted(fleet: Fleet, deployment: Deployment) -> int:
    """Return the declared number of replicas over all clusters; an intent holds until the file's own number changes."""
    intent = fleet.intents.scale_of.get(deployment.name)
    return intent.replicas if intent is not None and intent.declared == deployment.replicas else deployment.replicas


def due(memory: PlanMemory, turn: Duration, now: int) -> frozenset[str]:
    """Return the deployments whose load is to be looked at; a clock that was set back makes it so, too."""
    return frozenset(name for name, known in memory.scaling.items() if _is_due(known, turn, now))


def _is_due(known: ScalingMemory, turn: Duration, now: int) -> bool:
    # A turn may begin a moment early.
    return not 0 <= now - known.at < turn.ms * 9 // 10


class Numbers:
    """How many replicas each deployment should have in one turn: collects what was measured and decided."""

    def __init__(
        self, fleet: Fleet, world: World, memory: PlanMemory, now: int, policies: Mapping[str, ScalingPolicy]
    ) -> None:
        self._fleet = fleet
        self._known = memory.scaling
        self._unseen = frozenset(name for name, view in world.clusters.items() if view.snapshot is None)
        self._scaler = Scaler(world, policies, fleet.daemon.turn, now)
        self._changed: dict[str, ScalingMemory | None] = {}
        self.decisions: list[Scaling] = []

    def of(self, declared: Deployment, shard: Shard, held: list[Held]) -> int:
        """Return how many replicas ``declared`` should have; what stands against knowing it is added to ``held``."""
        spec = declared.autoscaling
        if spec is None:
            self.forget(declared.name)
            return wanted(self._fleet, declared)
        known = self._known.get(declared.name)
        if known is not None and self._scaler.stands(known, spec):
            return known.wanted
        scaled = self._scaled(declared, spec, shard, known)
        if scaled.memory is not known:
            self._changed[declared.name] = scaled.memory
        if scaled.held is not None:
            held.append(scaled.held)
        if scaled.decision is not None:
            self.decisions.append(scaled.decision)
        return scaled.wanted

    def foreseen(self, name: str) -> int:
        """Return how many replicas a deployment should have, and remember nothing of it; 0 where nobody declares it."""
        declared = self._fleet.deployments.get(name)
        if declared is None or is_removed(self._fleet, name):
            return 0
        spec = declared.autoscaling
        if spec is None:
            return wanted(self._fleet, declared)
        shard = self._scaler.world.shards.get(name) or Shard(deployment=name)
        return self._scaled(declared, spec, shard, self._known.get(name)).wanted

    def _scaled(self, declared: Deployment, spec: AutoscalingSpec, shard: Shard, known: ScalingMemory | None) -> Scaled:
        seen = not self._unseen or self._unseen.isdisjoint(target.cluster for target in declared.targets)
        return self._scaler.scaled(declared, spec, shard, known, seen=seen)

    def forget(self, name: str) -> None:
        """Remember nothing of a deployment whose load decides nothing any more."""
        if name in self._known:
            self._changed[name] = None

    @property
    def memory(self) -> Mapping[str, ScalingMemory]:
        """What to remember; the same object where that is nothing new."""
        return with_changes(self._known, self._changed)


# ---- one deployment ----


@attrs.frozen(kw_only=True)
class Scaled:
    """How many replicas load makes of a deployment; ``memory`` is ``None`` where that is not to be remembered.

    ``decision`` is there where it is another number than before.
    """

    wanted: int
    memory: ScalingMemory | None
    decision: Scaling | None = None
    held: Held | None = None


@attrs.frozen
class Scaler:
    """Decides by load in one turn."""

    world: World
    policies: Mapping[str, ScalingPolicy]
    turn: Duration
    now: int

    def stands(self, known: ScalingMemory, spec: AutoscalingSpec) -> bool:
        """Return whether all of what is known stands as it is, and nothing is to be said: the usual case, at once."""
        return known.measured.spec is spec and not known.measured.blind and not _is_due(known, self.turn, self.now)

    def scaled(
        self, declared: Deployment, spec: AutoscalingSpec, shard: Shard, known: ScalingMemory | None, *, seen: bool
    ) -> Scaled:
        """Return how many replicas ``declared`` should have.

        Where nothing is ``known``, it goes on with as many as there are; unless all of its clusters were ``seen``, that
        is no number to remember.
        """
        was = spec.bounded(known.wanted if known is not None else sum(group.target for _, group in shard.groups))
        if known is None and not seen:
            return Scaled(wanted=was, memory=None)
        if known is not None and not _is_due(known, self.turn, self.now) and known.measured.spec == spec:
            return Scaled(wanted=was, memory=known, held=_held(declared.name, known.measured))
        elapsed, before = self._before(known, spec)
        demand = Demand(shard, self.world, self.now, elapsed, before.requests)
        amounts = [demand.of(metric.metric) for metric in spec.metrics]
        if before.idle and known is not None and was == known.wanted and not any(amounts) and None not in amounts:
            return Scaled(wanted=was, memory=ScalingMemory(wanted=was, at=self.now, measured=before))
        sight = Sight(
            deployment=declared.name,
            was=was,
            ready=len(shard.serving),
            elapsed_ms=elapsed,
            amounts=tuple(amounts),
            requests=demand.counted,
            blind=bool(shard.ready),
        )
        decision, measured = decided(self.policies.get(spec.policy), sight, before)
        return Scaled(
            wanted=decision.wanted,
            memory=ScalingMemory(wanted=decision.wanted, at=self.now, measured=measured),
            decision=decision if decision.wanted != was else None,
            held=_held(declared.name, measured),
        )

    def _before(self, known: ScalingMemory | None, spec: AutoscalingSpec) -> tuple[int, Measured]:
        """Return what was measured so far, as far as it says something of ``spec`` now, and for how long to go on.

        What is older than two turns leaves a gap, and says nothing.
        """
        elapsed = self.now - known.at if known is not None else self.turn.ms
        if known is None or not 0 <= elapsed <= 2 * self.turn.ms:
            return self.turn.ms, Measured(spec=spec, series=(Series(),) * len(spec.metrics))
        before = known.measured
        if before.spec is spec:
            return elapsed, before
        if before.spec == spec:
            return elapsed, attrs.evolve(before, spec=spec)
        return elapsed, attrs.evolve(before, spec=spec, series=_matching(before, spec), idle=False)


@attrs.frozen(kw_only=True)
class Sight:
    """What was seen of one deployment: an amount for each metric, in the order of its spec, over ``elapsed_ms``.

    ``was`` were wanted until now, ``ready`` serve, ``requests`` the gateway has counted, where one counts. ``blind``:
    that an amount is not known is worth saying.
    """

    deployment: str
    was: int
    ready: int
    elapsed_ms: int
    amounts: tuple[int | None, ...]
    requests: int | None = None
    blind: bool = False


def decided(policy: ScalingPolicy | None, sight: Sight, before: Measured) -> tuple[Scaling, Measured]:
    """Return what comes of ``sight`` after what was measured ``before``, and what to go on with."""
    spec = before.spec
    series = tuple(
        Series(fed(one.buckets, amount, sight.elapsed_ms, spec.windows), one.memory)
        for one, amount in zip(before.series, sight.amounts, strict=True)
    )
    asked = tuple(_asked(policy, spec, target, one, sight) for target, one in zip(spec.metrics, series, strict=True))
    verdict = _verdict(spec, sight.was, asked, before.peaks, sight.elapsed_ms)
    decision = Scaling(
        deployment=sight.deployment,
        spec=spec,
        was=sight.was,
        wanted=verdict.wanted,
        asked=asked,
        peaks=before.peaks,
        elapsed_ms=sight.elapsed_ms,
        because=verdict.because,
    )
    measured = Measured(
        spec=spec,
        series=tuple(map(_with_answer, series, asked)),
        peaks=verdict.peaks,
        requests=sight.requests,
        because=verdict.because,
        blind=_blind(spec, series) if sight.blind else (),
        idle=_is_idle(spec, verdict, asked),
    )
    return decision, measured


def _asked(
    policy: ScalingPolicy | None, spec: AutoscalingSpec, target: MetricTarget, series: Series, sight: Sight
) -> Asked:
    found = averages(series.buckets, spec.windows)
    question = ScalingQuestion(
        spec=spec,
        target=target,
        stable=found.stable,
        panic=found.panic,
        ready=sight.ready,
        wanted=sight.was,
        elapsed_ms=sight.elapsed_ms,
        memory=series.memory,
    )
    answer = policy.answer(question) if policy is not None and found.stable is not None else None
    return Asked(question=question, answer=answer, complete=found.complete)


def _matching(before: Measured, spec: AutoscalingSpec) -> tuple[Series, ...]:
    """Return what was measured for the metrics of another ``spec``; what a policy kept is no other policy's."""
    known = {
        target.metric: one if before.spec.policy == spec.policy else Series(buckets=one.buckets)
        for target, one in zip(before.spec.metrics, before.series, strict=True)
    }
    return tuple(known.get(target.metric, Series()) for target in spec.metrics)


def _with_answer(series: Series, asked: Asked) -> Series:
    return series if asked.answer is None else Series(series.buckets, asked.answer.memory)


def _is_idle(spec: AutoscalingSpec, verdict: _Verdict, asked: tuple[Asked, ...]) -> bool:
    """Return whether the next answers are these again as long as nothing is to do: there is nothing left to forget."""
    return (
        verdict.wanted == spec.min
        and all(one.complete and one.question.stable == 0 for one in asked)
        and all(one.answer is not None and one.answer.wanted <= spec.min and not one.answer.memory for one in asked)
        and highest(verdict.peaks, spec.windows) == spec.min
    )


# ---- from answers to a number ----


@attrs.frozen
class _Verdict:
    """What is wanted, the peaks to go on with, and why, in a sentence."""

    wanted: int
    peaks: tuple[Peak, ...]
    because: str


def _verdict(
    spec: AutoscalingSpec, was: int, asked: tuple[Asked, ...], peaks: tuple[Peak, ...], elapsed: int
) -> _Verdict:
    """Return the largest answer within the bounds, and not less than before as long as that would be too early."""
    answers = [one.answer for one in asked if one.answer is not None]
    top = max(answers, key=lambda one: one.wanted, default=None)
    needed, said = (top.wanted, [top.because]) if top is not None else (was, [f"nothing is measured: {was} as before"])
    unknown = [one.question.target.metric.value for one in asked if not one.complete]
    if needed < was and unknown:
        said.append(f"not lowered from {was} before {' and '.join(unknown)} was measured for {spec.windows.stable}")
        needed = was
    bounded = spec.bounded(needed)
    if bounded != needed:
        said.append(f"{'max' if needed > bounded else 'min'} is {bounded}")
    peaks = peaked(peaks, bounded, elapsed, spec.windows)
    if bounded >= was:
        return _Verdict(bounded, peaks, "; ".join(said))
    lowest = highest(peaks, spec.windows)
    wanted = was if lowest is None else max(bounded, min(was, lowest))
    if wanted > bounded:
        said.append(f"not lowered below {wanted} before fewer were enough for {spec.windows.scale_down_after}")
    return _Verdict(wanted, peaks, "; ".join(said))


def replayed(decision: Scaling, policies: Mapping[str, ScalingPolicy]) -> tuple[str, ...]:
    """Return how the same questions are answered now otherwise than they were; nothing where all is the same."""
    policy = policies.get(decision.spec.policy)
    if policy is None:
        return (f"there is no policy {decision.spec.policy!r} any more",)
    again = tuple(
        attrs.evolve(one, answer=policy.answer(one.question) if one.answer is not None else None)
        for one in decision.asked
    )
    found = [
        f"{one.question.target.metric.value}: {_told(one)}, then {_told(before)}"
        for before, one in zip(decision.asked, again, strict=True)
        if one != before
    ]
    verdict = _verdict(decision.spec, decision.was, again, decision.peaks, decision.elapsed_ms)
    if (verdict.wanted, verdict.because) != (decision.wanted, decision.because):
        found.append(f"{verdict.wanted} would be wanted ({verdict.because}), then {decision.wanted}")
    return tuple(found)


def _told(asked: Asked) -> str:
    return f"{asked.answer.wanted} ({asked.answer.because})" if asked.answer is not None else "no answer"


# ---- what is not measured ----


def _blind(spec: AutoscalingSpec, series: tuple[Series, ...]) -> tuple[Metric, ...]:
    """Return the metrics of which nothing was measured for all of the panic window."""
    return tuple(
        target.metric
        for target, one in zip(spec.metrics, series, strict=True)
        if sum(bucket.ms for bucket in one.buckets) >= spec.windows.panic.ms
        and averages(one.buckets, spec.windows).panic is None
    )


def _held(name: str, measured: Measured) -> Held | None:
    if not measured.blind:
        return None
    metrics = " and ".join(metric.value for metric in measured.blind)
    reason = Reason(
        code=ReasonCode.UNMEASURED,
        detail=f"{metrics} of {name} cannot be measured now: it is not scaled down until that was so again for "
        f"{measured.spec.windows.stable}",
        count=len(measured.blind),
        total=len(measured.spec.metrics),
        change=_MEASURE,
    )
    return Held(deployment=name, cluster="", reason=reason)


_MEASURE = Change(
    ChangeKind.WAIT, "it is scaled down again once its gateway and its cluster measure; `roadstead status` shows both"
)
