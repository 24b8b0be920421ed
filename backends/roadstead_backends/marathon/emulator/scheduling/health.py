"""Health checks: when they are made, what they mean, and when an instance is killed for them (``HealthCheckActor``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.cluster.timeline import Timeline, Timer
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document, container_of, off_host
from roadstead_backends.marathon.emulator.scheduling.events import EventBus, as_play
from roadstead_backends.marathon.emulator.scheduling.instances import Instance, Tracker
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.probing import Outcome, Prober, Target
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["Health", "HealthMonitor", "judged"]

MARATHON_CHECKS: Final = frozenset({"HTTP", "HTTPS", "TCP"})
_FIRST_TICK: Final = 5_000


@attrs.frozen(kw_only=True)
class Health:
    """What is known of one instance by one check; moments in milliseconds."""

    consecutive_failures: int = 0
    first_success: int | None = None
    last_success: int | None = None
    last_failure: int | None = None
    cause: str | None = None

    @property
    def alive(self) -> bool:
        """Whether the last answer was a good one."""
        if self.last_success is None:
            return False
        return self.last_failure is None or self.last_success > self.last_failure

    def after_success(self, now: int) -> Health:
        """What is known after one more good answer."""
        first = self.first_success if self.first_success is not None else now
        return attrs.evolve(self, consecutive_failures=0, first_success=first, last_success=now)

    def after_failure(self, now: int, cause: str) -> Health:
        """What is known after one more failure."""
        failures = self.consecutive_failures + 1
        return attrs.evolve(self, consecutive_failures=failures, last_failure=now, cause=cause)

    def shown(self, instance: Instance) -> Document:
        """The result as it is answered."""
        moments = {
            "firstSuccess": self.first_success,
            "lastSuccess": self.last_success,
            "lastFailure": self.last_failure,
        }
        shown: Document = {"alive": self.alive, "consecutiveFailures": self.consecutive_failures}
        shown.update((name, written(moment)) for name, moment in moments.items() if moment is not None)
        shown["instanceId"] = instance.full_id
        if self.cause is not None:
            shown["lastFailureCause"] = self.cause
        return shown


def judged(check: Document, outcome: Outcome) -> str | None:
    """Why an outcome is a failure of the check; None for a success, an empty text for what does not count."""
    if outcome.failure is not None:
        return outcome.failure
    answer = outcome.answer
    if answer is None:
        return None if outcome.connected else "no answer"
    if 200 <= answer.status <= 399:
        return None
    if 100 <= answer.status <= 199 and check.get("ignoreHttp1xx"):
        return ""
    return f"{answer.status} {answer.reason}"


class HealthMonitor:
    """The checks of all apps, and what they found, by instance."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        events: EventBus,
        tracker: Tracker,
        prober: Prober,
        kill: Callable[[Instance, str], None],
        changed: Callable[[Instance], None],
    ) -> None:
        self._timeline = timeline
        self._events = events
        self._tracker = tracker
        self._prober = prober
        self._kill = kill
        self._changed = changed
        self._watched: dict[PathId, tuple[RunSpec, list[Timer]]] = {}
        self._health: dict[tuple[str, int], Health] = {}

    def watch(self, spec: RunSpec) -> None:
        """Make the checks of this version of an app from now on, instead of those of an older one."""
        old = self._watched.get(spec.id)
        if old is not None and old[0].health_checks == spec.health_checks:
            self._watched[spec.id] = (spec, old[1])
            return
        self.unwatch(spec)
        if not spec.health_checks:
            return
        timers: list[Timer] = []
        self._watched[spec.id] = (spec, timers)
        for index, check in enumerate(spec.health_checks):
            self._events.publish(
                "add_health_check_event",
                appId=str(spec.id),
                healthCheck=as_play(check),
                version=written(spec.version),
            )
            if check["protocol"] in MARATHON_CHECKS:
                self._schedule(spec.id, index, min(check["intervalSeconds"] * 1000, _FIRST_TICK))

    def unwatch(self, spec: RunSpec) -> None:
        """Make no more checks of an app."""
        old = self._watched.pop(spec.id, None)
        if old is None:
            return
        for timer in old[1]:
            timer.cancel()
        for _ in old[0].health_checks:
            self._events.publish("remove_health_check_event", appId=str(spec.id))

    def results(self, instance: Instance) -> list[Document]:
        """What the checks found of an instance, as it is answered."""
        return [health.shown(instance) for health in self._states(instance)]

    def is_healthy(self, instance: Instance) -> bool | None:
        """Whether all checks found an instance alive; None where it has none, or none spoke yet."""
        if not instance.spec.health_checks:
            return None
        states = self._states(instance)
        return all(state.alive for state in states) if states else None

    def _states(self, instance: Instance) -> list[Health]:
        checks = range(len(instance.spec.health_checks))
        found = [self._health.get((instance.id, index)) for index in checks]
        if all(state is None for state in found):
            running = instance.condition == "Running"
            return [Health() for _ in checks] if running else []
        return [state or Health() for state in found]

    def clear(self) -> None:
        """Forget what was found of every instance."""
        self._health.clear()

    def forget(self, instance: Instance) -> None:
        """Forget what was found of an instance that is gone for good."""
        for index in range(len(instance.spec.health_checks)):
            self._health.pop((instance.id, index), None)

    def reported(self, instance: Instance, *, healthy: bool) -> None:
        """Take in what an executor's own check found."""
        for index, check in enumerate(instance.spec.health_checks):
            if check["protocol"] not in MARATHON_CHECKS:
                self._found(instance, index, check, None if healthy else "Mesos health check failed")

    def _schedule(self, path: PathId, index: int, delay: int) -> None:
        watched = self._watched.get(path)
        if watched is not None:
            watched[1][:] = [timer for timer in watched[1] if not timer.cancelled and timer.due > self._timeline.now]
            watched[1].append(self._timeline.after(delay, lambda: self._tick(path, index)))

    def _tick(self, path: PathId, index: int) -> None:
        watched = self._watched.get(path)
        if watched is None or index >= len(watched[0].health_checks):
            return
        check = watched[0].health_checks[index]
        for instance in self._tracker.of(path):
            if instance.condition == "Running" and instance.spec.health_checks == watched[0].health_checks:
                self._probe(instance, index, check)
        self._schedule(path, index, max(1, check["intervalSeconds"]) * 1000)

    def _probe(self, instance: Instance, index: int, check: Document) -> None:
        target = _target(instance, check)
        if target is None:
            return

        def done(outcome: Outcome) -> None:
            cause = judged(check, outcome)
            if cause != "" and instance.condition == "Running":
                self._found(instance, index, check, cause)

        self._prober.probe(target, done)

    def _found(self, instance: Instance, index: int, check: Document, cause: str | None) -> None:
        now, key = self._timeline.now, (instance.id, index)
        before = self._health.get(key, Health())
        if cause is None:
            self._health[key] = before.after_success(now)
        elif self._in_grace(instance, before, check, now):
            return
        else:
            self._health[key] = before.after_failure(now, cause)
            self._events.publish(
                "failed_health_check_event",
                appId=str(instance.spec.id),
                healthCheck=as_play(check),
                taskId=instance.id,
            )
        self._tell_change(instance, before, self._health[key])
        if cause is not None and 0 < check["maxConsecutiveFailures"] <= before.consecutive_failures:
            self._kill(instance, cause)
        self._changed(instance)

    def _tell_change(self, instance: Instance, before: Health, after: Health) -> None:
        if before.alive != after.alive:
            self._events.publish(
                "health_status_changed_event",
                appId=str(instance.spec.id),
                instanceId=instance.id,
                version=written(instance.spec.version),
                alive=after.alive,
            )
            self._events.instance_health(instance, self.is_healthy(instance))

    def _in_grace(self, instance: Instance, health: Health, check: Document, now: int) -> bool:
        """Whether failures do not count yet: within the grace period since it ran, and before the first success."""
        task = instance.task
        started = task.started_at if task is not None else None
        return (
            health.first_success is None and started is not None and started + check["gracePeriodSeconds"] * 1000 > now
        )


def _target(instance: Instance, check: Document) -> Target | None:
    task, agent = instance.task, instance.agent
    if task is None or agent is None:
        return None
    port = check.get("port") or _port_at(instance, task.ports, check.get("portIndex", 0))
    if port is None:
        return None
    return Target(
        scheme=check["protocol"].lower(),
        host=agent.hostname,
        port=port,
        path=check.get("path", "/"),
        timeout=check["timeoutSeconds"],
    )


def _port_at(instance: Instance, ports: tuple[int, ...], index: int) -> int | None:
    """The port of that index: on the host, or in the container where the instance has an address of its own."""
    document = instance.spec.document
    mappings = container_of(document).get("portMappings") or []
    if off_host(document["networks"]) and index < len(mappings) and "hostPort" not in mappings[index]:
        return int(mappings[index]["containerPort"]) or None
    mapped = [position for position, mapping in enumerate(mappings) if "hostPort" in mapping]
    position = mapped.index(index) if index in mapped else index
    return ports[position] if position < len(ports) else None
