"""Deployments under way: their steps, their locks, and when each action is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from roadstead_backends.marathon.emulator.cluster.timeline import Timeline
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.refusals import Refusal
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.choosing import chosen
from roadstead_backends.marathon.emulator.scheduling.events import EventBus
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.plans import Action, ActionKind, Plan
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec
from roadstead_backends.marathon.emulator.scheduling.upgrade import RestartStrategy, launchable, restart_strategy

__all__ = ["Deployments", "Hands"]

_LOCKED = (
    "App is locked by one or more deployments. Override with the option '?force=true'."
    " View details at '/v2/deployments/<DEPLOYMENT_ID>'."
)
#: A stop waits for its instances no longer than until they are being killed, or cannot be.
_AS_GOOD_AS_GONE = ("Killing", "Unreachable", "UnreachableInactive")
_LOST = ("Unreachable", "UnreachableInactive")
#: When a scaling first looks whether instances are missing again, and how often then (``StartingBehavior``).
_FIRST_LOOK = 1_000
_LOOK_EVERY = 5_000


class Hands(Protocol):
    """What deployments do to instances."""

    def of(self, path: PathId) -> list[Instance]:
        """The instances of an app or pod."""

    def add(self, spec: RunSpec, count: int) -> list[Instance]:
        """Let new instances wait for offers."""

    def give_up(self, instances: Iterable[Instance], *, stopped: bool = False) -> None:
        """Let instances end for good."""

    def is_healthy(self, instance: Instance) -> bool:
        """Whether an instance runs, and its health checks, if any, pass."""

    def watch(self, spec: RunSpec) -> None:
        """Make the health checks of this version."""

    def unwatch(self, spec: RunSpec) -> None:
        """Make no more health checks of an app."""

    def forget(self, spec: RunSpec) -> None:
        """Drop what is kept of an app that is gone."""

    def reset_delay(self, spec: RunSpec) -> None:
        """Launch at once again."""

    def readiness(self, path: PathId) -> list[Document]:
        """The results of readiness checks, also of those that passed."""

    def forget_readiness(self, path: PathId) -> None:
        """Drop the results of readiness checks."""


@attrs.define(eq=False)
class _Progress:
    """One action of the current step."""

    action: Action
    strategy: RestartStrategy | None = None
    new: list[Instance] = attrs.field(factory=list)
    old: list[Instance] = attrs.field(factory=list)
    before: dict[str, tuple[str, int]] = attrs.field(factory=dict)
    """Condition and incarnation of each old instance when a restart began, to tell which ended by themselves since."""
    replaced: set[str] = attrs.field(factory=set)
    awaited: int = 0
    """How many new instances a scaling waits for; others may take the place of those that are lost meanwhile."""
    done: bool = False


@attrs.define(eq=False)
class _Running:
    plan: Plan
    index: int = -1
    current: list[_Progress] = attrs.field(factory=list)
    over: bool = False


class Deployments:
    """All deployments under way."""

    def __init__(self, *, timeline: Timeline, events: EventBus, hands: Hands) -> None:
        self._timeline = timeline
        self._events = events
        self._hands = hands
        self._running: dict[str, _Running] = {}
        self._by_spec: dict[PathId, list[_Running]] = {}

    @property
    def count(self) -> int:
        """How many are under way."""
        return len(self._running)

    def ids_of(self, path: PathId) -> list[str]:
        """The deployments that touch an app or pod."""
        return [running.plan.id for running in self._by_spec.get(path, [])]

    def plan(self, deployment_id: str) -> Plan | None:
        """The plan of a deployment under way."""
        running = self._running.get(deployment_id)
        return running.plan if running is not None else None

    def begin(self, plan: Plan, *, force: bool) -> None:
        """Start a plan; one that touches what another changes is refused, or with ``force`` ends the other."""
        conflicts = {running.plan.id: running for spec in plan.affected for running in self._by_spec.get(spec.id, [])}
        if conflicts and not force:
            raise Refusal(409, {"message": _LOCKED, "deployments": [{"id": each} for each in conflicts]})
        for running in conflicts.values():
            self._fail(running)
        running = _Running(plan)
        if not plan.steps:
            self._succeed(running)
            return
        self._running[plan.id] = running
        for spec in plan.affected:
            self._by_spec.setdefault(spec.id, []).append(running)
        self._next_step(running)

    def cancel(self, deployment_id: str) -> None:
        """End a deployment and leave everything as it is."""
        self._fail(self._running[deployment_id])

    def shown(self) -> list[Document]:
        """The deployments as they are answered."""
        return [self._shown(running) for running in self._running.values()]

    def _shown(self, running: _Running) -> Document:
        plan = running.plan
        actions = [
            {**one.action.shown(), "readinessCheckResults": self._hands.readiness(one.action.spec.id)}
            for one in running.current
        ]
        return {
            "id": plan.id,
            "steps": [step.shown() for step in plan.steps],
            "version": written(plan.version),
            "affectedApps": [str(spec.id) for spec in plan.affected if not spec.is_pod],
            "affectedPods": [str(spec.id) for spec in plan.affected if spec.is_pod],
            "currentActions": actions,
            "currentStep": running.index + 1,
            "totalSteps": len(plan.steps),
        }

    def changed(self, path: PathId) -> None:
        """Look again at what waits for instances of an app or pod."""
        for running in tuple(self._by_spec.get(path, [])):
            for progress in running.current:
                if progress.action.spec.id == path and not progress.done:
                    self._check(progress)
            self._advance(running)

    # Steps ----------------------------------------------------------------------------------------------------------

    def _next_step(self, running: _Running) -> None:
        running.index += 1
        self._forget_readiness(running)
        if running.index >= len(running.plan.steps):
            self._succeed(running)
            return
        step = running.plan.steps[running.index]
        running.current = [_Progress(action) for action in step.actions]
        self._tell("deployment_info", running)
        starts = [one for one in running.current if one.action.kind is ActionKind.START]
        for progress in starts:
            self._hands.watch(progress.action.spec)
            progress.done = True
        if len(starts) == len(running.current):
            self._advance(running)
        else:
            # Only after the request that began it is answered, so that its own events come first.
            self._timeline.soon(lambda: self._carry_out(running))

    def _carry_out(self, running: _Running) -> None:
        if running.over:
            return
        for progress in running.current:
            if not progress.done:
                self._start(progress)
                self._plan_look(running, progress, _FIRST_LOOK)
        self._advance(running)

    def _plan_look(self, running: _Running, progress: _Progress, delay: int) -> None:
        """Look again after a while whether instances of a scaling that waits for some were lost, and replace them."""

        def look() -> None:
            if running.over or progress.done or progress not in running.current:
                return
            spec = progress.action.spec
            progress.new += self._hands.add(spec, spec.instances - len(self._wanted(spec.id)))
            self._plan_look(running, progress, _LOOK_EVERY)

        if progress.awaited and not progress.done:
            self._timeline.after(delay, look)

    def _advance(self, running: _Running) -> None:
        if running.over or not all(progress.done for progress in running.current):
            return
        self._tell("deployment_step_success", running)
        self._next_step(running)

    def _succeed(self, running: _Running) -> None:
        self._end(running)
        plan = running.plan
        self._events.publish("deployment_success", id=plan.id, plan=plan.shown())

    def _fail(self, running: _Running) -> None:
        self._end(running)
        plan = running.plan
        self._events.publish(
            "deployment_failed", id=plan.id, plan=plan.shown(), reason="The upgrade has been cancelled"
        )

    def _forget_readiness(self, running: _Running) -> None:
        for spec in running.plan.affected:
            self._hands.forget_readiness(spec.id)

    def _end(self, running: _Running) -> None:
        running.over = True
        self._forget_readiness(running)
        self._running.pop(running.plan.id, None)
        for spec in running.plan.affected:
            others = [each for each in self._by_spec.get(spec.id, []) if each is not running]
            if others:
                self._by_spec[spec.id] = others
            else:
                self._by_spec.pop(spec.id, None)

    def _tell(self, kind: str, running: _Running) -> None:
        plan = running.plan
        step = plan.steps[running.index]
        self._events.publish(kind, plan=plan.shown(), currentStep=step.shown())

    # Actions --------------------------------------------------------------------------------------------------------

    def _start(self, progress: _Progress) -> None:
        begin: dict[ActionKind, Callable[[_Progress], None]] = {
            ActionKind.SCALE: self._begin_scale,
            ActionKind.STOP: self._begin_stop,
            ActionKind.RESTART: self._begin_restart,
        }
        begin[progress.action.kind](progress)
        self._check(progress)

    def _check(self, progress: _Progress) -> None:
        match progress.action.kind:
            case ActionKind.SCALE:
                up = sum(self._is_up(each) for each in progress.new)
                progress.done = up >= progress.awaited and not _present(self._hands, progress.old)
            case ActionKind.STOP:
                self._check_stop(progress)
            case ActionKind.RESTART:
                self._check_restart(progress)
            case ActionKind.START:
                progress.done = True

    def _is_up(self, instance: Instance) -> bool:
        return instance.condition == "Running" and instance.ready and self._hands.is_healthy(instance)

    def _wanted(self, path: PathId) -> list[Instance]:
        """The instances that count: those that are to run, and are not written off as unreachable."""
        return [
            each for each in self._hands.of(path) if each.goal == "Running" and each.condition != "UnreachableInactive"
        ]

    def _begin_scale(self, progress: _Progress) -> None:
        spec, victims = progress.action.spec, progress.action.victims
        self._hands.watch(spec)
        present = self._wanted(spec.id)
        sentenced = sum(each.id in victims for each in present)
        kills = max(len(present) - spec.instances, sentenced)
        progress.old = chosen(present, spec, kills, victims)
        self._hands.give_up(progress.old)
        if len(present) - kills < spec.instances or not kills:
            progress.new = [each for each in present if each not in progress.old and not each.is_active]
            progress.new += self._hands.add(spec, spec.instances - len(present) + kills)
            progress.awaited = len(progress.new)

    def _begin_stop(self, progress: _Progress) -> None:
        spec = progress.action.spec
        self._hands.unwatch(spec)
        progress.old = self._hands.of(spec.id)
        self._hands.give_up(progress.old)

    def _check_stop(self, progress: _Progress) -> None:
        spec = progress.action.spec
        alive = [each for each in _present(self._hands, progress.old) if each.condition not in _AS_GOOD_AS_GONE]
        if not alive and not progress.done:
            progress.done = True
            self._events.publish("app_terminated_event", appId=str(spec.id))
            self._hands.forget(spec)

    def _begin_restart(self, progress: _Progress) -> None:
        spec = progress.action.spec
        self._hands.watch(spec)
        self._hands.reset_delay(spec)
        present = self._hands.of(spec.id)
        progress.new = [each for each in present if each.spec.version == spec.version]
        progress.old = [each for each in present if each not in progress.new and each.goal == "Running"]
        progress.before = {each.id: (each.condition, each.incarnation) for each in progress.old}
        share, over = spec.upgrade
        progress.strategy = restart_strategy(
            wanted=spec.instances,
            running=sum(each.goal == "Running" and self._passes_as_healthy(each) for each in present),
            healthy_share=share,
            over_share=over,
            resident=spec.resident,
        )
        # What a deployment had started that this one cancels is too many, healthy or not.
        kill_now = max(progress.strategy.kill_now, len(present) - spec.instances)
        self._hands.give_up(self._next_victims(progress)[:kill_now])

    def _passes_as_healthy(self, instance: Instance) -> bool:
        """Whether an instance has no health checks, launched or not, or passes them (``consideredHealthy``)."""
        return not instance.spec.health_checks or self._hands.is_healthy(instance)

    def _next_victims(self, progress: _Progress) -> list[Instance]:
        """The old instances that nobody asked to end yet, unhealthy ones first."""
        left = [each for each in _present(self._hands, progress.old) if each.goal == "Running"]
        return sorted(left, key=self._passes_as_healthy)

    def _check_restart(self, progress: _Progress) -> None:
        spec, strategy = progress.action.spec, progress.strategy
        if strategy is None:
            return
        progress.new = [each for each in progress.new if each.goal == "Running"]
        self._hands.give_up(each for each in self._next_victims(progress) if _ended(each, progress.before[each.id]))
        present = _in_the_way(self._hands, progress.old)
        more = launchable(
            wanted=spec.instances,
            most=strategy.most,
            old_active=len(present),
            new_started=len(progress.new),
        )
        progress.new += self._hands.add(spec, more)
        for instance in progress.new:
            if self._is_up(instance) and instance.id not in progress.replaced:
                progress.replaced.add(instance.id)
                self._hands.give_up(self._next_victims(progress)[:1])
        up = sum(self._is_up(each) for each in progress.new)
        if up >= spec.instances and len(progress.new) >= spec.instances:
            self._hands.give_up(self._next_victims(progress))
            progress.done = not _in_the_way(self._hands, progress.old)


def _ended(instance: Instance, before: tuple[str, int]) -> bool:
    """Whether an instance ended, or was lost, since it was in that condition and incarnation."""
    changed = (instance.condition, instance.incarnation) != before
    return changed and instance.condition in ("Scheduled", *_LOST)


def _in_the_way(hands: Hands, old: Iterable[Instance]) -> list[Instance]:
    """The old instances that an upgrade counts: not those that are to go and cannot be reached, which are there yet."""
    return [each for each in _present(hands, old) if each.goal == "Running" or each.condition not in _LOST]


def _present(hands: Hands, instances: Iterable[Instance]) -> list[Instance]:
    """Those of the instances that are not gone yet."""
    wanted = list(instances)
    if not wanted:
        return []
    present = {each.id for each in hands.of(wanted[0].spec.id)}
    return [each for each in wanted if each.id in present]
