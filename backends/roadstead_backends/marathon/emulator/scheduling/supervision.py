"""What becomes of instances: news from Mesos, kills, unreachable agents, overdue launches, and missing instances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from roadstead_backends.marathon.emulator.cluster.simulated import Offer, SimCluster
from roadstead_backends.marathon.emulator.cluster.tasks import TERMINAL as MESOS_TERMINAL
from roadstead_backends.marathon.emulator.cluster.tasks import TaskUpdate
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.backoff import COUNTED, RateLimiter
from roadstead_backends.marathon.emulator.scheduling.choosing import chosen
from roadstead_backends.marathon.emulator.scheduling.events import EventBus
from roadstead_backends.marathon.emulator.scheduling.health import HealthMonitor
from roadstead_backends.marathon.emulator.scheduling.instances import (
    TERMINAL,
    Instance,
    MarathonTask,
    Tracker,
    condition_of,
    is_given_up,
    together,
)
from roadstead_backends.marathon.emulator.scheduling.launching import Launcher
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.probing import Prober
from roadstead_backends.marathon.emulator.scheduling.readiness import ReadinessMonitor
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec
from roadstead_backends.marathon.emulator.settings import Settings

__all__ = ["Supervisor"]

_FAILURES: Final = frozenset(
    {"TASK_FAILED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE", "TASK_GONE_BY_OPERATOR", "TASK_UNKNOWN"}
)
_UNKILLABLE: Final = frozenset({"Unreachable", "UnreachableInactive"})
_ADDRESSED: Final = frozenset({"TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED", "TASK_FAILED"})


class Supervisor:
    """Keeps every instance where it is meant to be. It is Marathon's side of the cluster, and deployments' hands."""

    def __init__(
        self,
        *,
        cluster: SimCluster,
        settings: Settings,
        events: EventBus,
        prober: Prober,
        new_uuid: Callable[[], str],
    ) -> None:
        self._cluster = cluster
        self._timeline = cluster.timeline
        self._settings = settings
        self._events = events
        self.tracker = Tracker(new_uuid)
        self.limiter = RateLimiter()
        self.launcher = Launcher(
            cluster=cluster, settings=settings, tracker=self.tracker, limiter=self.limiter, events=events
        )
        self.health = HealthMonitor(
            timeline=self._timeline,
            events=events,
            tracker=self.tracker,
            prober=prober,
            kill=self._kill_unhealthy,
            changed=lambda instance: self._notify(instance.spec.id),
        )
        self._readiness = ReadinessMonitor(self._timeline, prober, lambda instance: self._notify(instance.spec.id))
        self._failures: dict[PathId, Document] = {}
        self._changed: Callable[[PathId], None] = lambda _path: None
        self._deploying: Callable[[PathId], bool] = lambda _path: False
        self._current: Callable[[], Iterable[RunSpec]] = tuple
        self._pending: set[PathId] = set()
        cluster.register(self)

    def attach(
        self,
        *,
        changed: Callable[[PathId], None],
        deploying: Callable[[PathId], bool],
        current: Callable[[], Iterable[RunSpec]],
    ) -> None:
        """Say whom to tell of changes, what is being deployed, and what there is to be."""
        self._changed, self._deploying, self._current = changed, deploying, current
        settings = self._settings
        self._timeline.after(settings.scale_apps_initial_delay, self._check_scale)
        self._timeline.after(settings.task_lost_expunge_initial_delay, self._check_unreachable)
        self._timeline.after(settings.kill_retry_timeout, self._retry)

    # What deployments need ------------------------------------------------------------------------------------------

    def of(self, path: PathId) -> list[Instance]:
        """The instances of an app or pod."""
        return self.tracker.of(path)

    def add(self, spec: RunSpec, count: int) -> list[Instance]:
        """Let new instances wait for offers."""
        added = self.launcher.add(spec, max(0, count))
        for instance in added:
            instance.ready = spec.readiness_check is None
        return added

    def give_up(self, instances: Iterable[Instance], *, stopped: bool = False) -> None:
        """Let instances end for good; ``stopped`` ones keep their place, for resident apps."""
        for instance in tuple(instances):
            instance.goal = "Stopped" if stopped else "Decommissioned"
            if instance.condition in ("Scheduled", *TERMINAL):
                if instance.incarnation:
                    self._tell_last_condition(instance)
                self._expunge(instance)
            else:
                self._events.instance_changed(instance)
                self._end(instance)

    def is_healthy(self, instance: Instance) -> bool:
        """Whether an instance runs, and its health checks, if any, pass."""
        if instance.condition != "Running":
            return False
        checks = instance.spec.health_checks
        if not checks:
            return all(task.healthy is not False for task in instance.tasks.values())
        return self.health.is_healthy(instance) is True

    def watch(self, spec: RunSpec) -> None:
        """Make the health checks of this version."""
        self.health.watch(spec)

    def unwatch(self, spec: RunSpec) -> None:
        """Make no more health checks of an app."""
        self.health.unwatch(spec)

    def forget(self, spec: RunSpec) -> None:
        """Drop what is kept of an app that is gone."""
        self.launcher.purge(spec.id)
        self.limiter.reset(spec)
        self._failures.pop(spec.id, None)

    def reset_delay(self, spec: RunSpec) -> None:
        """Launch at once again."""
        self.limiter.reset(spec)

    def readiness(self, path: PathId) -> list[Document]:
        """The results of running readiness checks."""
        return self._readiness.results(path)

    def forget_readiness(self, path: PathId) -> None:
        """Drop the results of readiness checks of an app."""
        self._readiness.forget(path)

    # What is asked from outside -------------------------------------------------------------------------------------

    def last_failure(self, path: PathId) -> Document | None:
        """The last failure of a task of an app."""
        return self._failures.get(path)

    def kill_and_replace(self, instances: Iterable[Instance], *, wipe: bool) -> None:
        """End instances that are replaced by their next incarnation; wiped ones by other instances."""
        for instance in tuple(instances):
            if wipe:
                self.give_up([instance])
            elif instance.condition not in ("Scheduled", *TERMINAL):
                self._end(instance)

    def change_leader(self) -> None:
        """Go on as another instance does, which knows only what was stored."""
        self.launcher.forget()
        self.health.clear()

    # News from Mesos ------------------------------------------------------------------------------------------------

    def offered(self, offers: Sequence[Offer]) -> None:
        """Use or decline what is offered."""
        self.launcher.offered(offers)

    def task_changed(self, update: TaskUpdate) -> None:
        """Hear of a task."""
        instance = self.tracker.by_task(update.task.id)
        if instance is None:
            if update.state not in MESOS_TERMINAL:
                self._cluster.kill(update.task.id)
            return
        task = instance.tasks[update.task.id]
        before, was_healthy = instance.condition, task.healthy
        self._apply(instance, task, update)
        self._tell_status(instance, task, update)
        if update.state in _FAILURES:
            self._failures[instance.spec.id] = self._failure(instance, task, update.state, update.message)
        if instance.condition != before:
            instance.since = update.at
            self._events.instance_changed(instance)
            self._moved(instance, before)
        if task.healthy != was_healthy:
            self._events.instance_health(instance, task.healthy)
            if task.healthy is not None and not instance.spec.is_pod:
                self.health.reported(instance, healthy=task.healthy)
        self._notify(instance.spec.id)

    @staticmethod
    def _apply(instance: Instance, task: MarathonTask, update: TaskUpdate) -> None:
        task.condition = condition_of(update.state)
        task.has_address = task.has_address or update.state in _ADDRESSED
        if update.state == "TASK_RUNNING":
            task.started_at = task.started_at if task.started_at is not None else update.at
            task.healthy = update.healthy if update.healthy is not None else task.healthy
        elif update.state == "TASK_KILLING":
            task.healthy = None
        instance.condition = together([each.condition for each in instance.tasks.values()])
        if instance.condition == "Running" and instance.active_since is None:
            instance.active_since = update.at
        if instance.condition != "Unreachable":
            instance.unreachable_since = None
        elif instance.unreachable_since is None:
            instance.unreachable_since = update.at
        if is_given_up(instance, update.at):
            instance.condition = "UnreachableInactive"

    def _tell_status(self, instance: Instance, task: MarathonTask, update: TaskUpdate) -> None:
        agent = update.task.agent
        addressed = update.state in _ADDRESSED
        self._events.publish(
            "status_update_event",
            slaveId=agent.id,
            taskId=task.id,
            taskStatus=update.state,
            message=update.message,
            appId=str(instance.spec.id),
            host=agent.hostname,
            ipAddresses=[{"ipAddress": agent.hostname, "protocol": "IPv4"}] if addressed else [],
            ports=list(task.ports),
            version=written(instance.spec.version),
        )

    def _moved(self, instance: Instance, before: str) -> None:
        """Do what follows from an instance's new condition."""
        condition, now = instance.condition, self._timeline.now
        if condition in ("Staging", "Starting", "Running"):
            self.limiter.progressed(instance.spec, now)
        if condition == "Running":
            self.launcher.add_token()
            if before != "Unreachable" and self._deploying(instance.spec.id):
                self._readiness.begin(instance)
        elif condition in TERMINAL:
            self._ended(instance)
        if "UnreachableInactive" in (before, condition):
            self._timeline.soon(self._scale_once)

    def _ended(self, instance: Instance) -> None:
        self._readiness.end(instance)
        if instance.condition in COUNTED:
            self.limiter.failed(instance.spec, self._timeline.now)
        for task in instance.tasks.values():
            if task.condition not in TERMINAL:
                self._cluster.kill(task.id)
        if instance.goal == "Running":
            instance.ready = instance.spec.readiness_check is None
            instance.active_since = None
            self.launcher.put_back(instance)
        else:
            self._expunge(instance)

    def _failure(self, instance: Instance, task: MarathonTask, state: str, message: str) -> Document:
        agent = instance.agent
        return {
            "appId": str(instance.spec.id),
            "host": agent.hostname if agent is not None else "",
            "message": message,
            "state": state,
            "taskId": task.id,
            "timestamp": written(self._timeline.now),
            "version": written(instance.spec.version),
            "slaveId": agent.id if agent is not None else "",
        }

    def _expunge(self, instance: Instance) -> None:
        self.launcher.remove(instance)
        self._readiness.end(instance)
        self.tracker.remove(instance)
        self.health.forget(instance)
        self._notify(instance.spec.id)

    def _tell_last_condition(self, instance: Instance) -> None:
        """Tell of an instance that waited after it ended as it ended, not as it waited."""
        waiting = instance.condition
        instance.condition = together([each.condition for each in instance.tasks.values()])
        self._events.instance_changed(instance)
        instance.condition = waiting

    def _notify(self, path: PathId) -> None:
        """Tell of a change, once, after all that happens at this moment."""
        if path in self._pending:
            return
        self._pending.add(path)

        def tell() -> None:
            self._pending.discard(path)
            self._changed(path)

        self._timeline.soon(tell)

    # Kills and checks by the clock ----------------------------------------------------------------------------------

    def _end(self, instance: Instance) -> None:
        """Kill an instance; who cannot be reached is forgotten, and killed once it is heard of (``KillAction``)."""
        if instance.condition in _UNKILLABLE:
            instance.goal = "Decommissioned"
            self._expunge(instance)
        else:
            self._kill(instance)

    def _kill(self, instance: Instance) -> None:
        instance.kill_requested = True
        for task in instance.tasks.values():
            self._cluster.kill(task.id)

    def _kill_unhealthy(self, instance: Instance, cause: str) -> None:
        task, agent = instance.task, instance.agent
        if task is None or agent is None or instance.condition != "Running":
            return
        self._events.publish(
            "unhealthy_instance_kill_event",
            appId=str(instance.spec.id),
            taskId=task.id,
            instanceId=instance.id,
            version=written(instance.spec.version),
            reason=cause,
            host=agent.hostname,
            slaveId=agent.id,
        )
        message = f"Task was killed since health check failed. Reason: {cause}"
        self._failures[instance.spec.id] = self._failure(instance, task, "TASK_KILLED", message)
        self._kill(instance)

    def _retry(self) -> None:
        """Ask again for kills that came to nothing, and kill what took too long to start."""
        now, settings = self._timeline.now, self._settings
        self.limiter.forget_old(now)
        for instance in self.tracker.all():
            staged = min((task.staged_at for task in instance.tasks.values()), default=now)
            provisioned = instance.condition == "Provisioned" and now - staged > settings.task_launch_confirm_timeout
            staging = instance.condition in ("Staging", "Starting") and now - staged > settings.task_launch_timeout
            if provisioned or staging or (instance.kill_requested and instance.is_active):
                self._kill(instance)
        self._timeline.after(settings.kill_retry_timeout, self._retry)

    def _check_unreachable(self) -> None:
        """Replace instances that were unreachable for long, and forget those that were for longer."""
        now = self._timeline.now
        for instance in self.tracker.all():
            strategy, since = instance.spec.unreachable, instance.unreachable_since
            if strategy is None or since is None:
                continue
            if instance.condition == "UnreachableInactive" and now >= since + strategy[1] * 1000:
                instance.condition, instance.goal = "Gone", "Decommissioned"
                self._events.instance_changed(instance)
                self._expunge(instance)
            elif is_given_up(instance, now):
                instance.condition = "UnreachableInactive"
                self._events.instance_changed(instance)
                self._notify(instance.spec.id)
        self._scale_once()
        self._timeline.after(self._settings.task_lost_expunge_interval, self._check_unreachable)

    def _check_scale(self) -> None:
        self._scale_once()
        self._timeline.after(self._settings.scale_apps_interval, self._check_scale)

    def _scale_once(self) -> None:
        """Start what is missing of apps that nobody deploys, and end what is too many."""
        for spec in self._current():
            if self._deploying(spec.id):
                continue
            present = [
                each
                for each in self.tracker.of(spec.id)
                if each.goal == "Running" and each.condition != "UnreachableInactive"
            ]
            missing = spec.instances - len(present)
            if missing > 0:
                self.add(spec, missing)
            elif missing < 0:
                self.give_up(chosen(present, spec, -missing))
