"""Readiness checks: asked of new instances during a deployment until they pass (``ReadinessCheckExecutor``)."""

from __future__ import annotations

from collections.abc import Callable

from roadstead_backends.marathon.emulator.cluster.timeline import Timeline, Timer
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document, container_of
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.matching import wanted_ports
from roadstead_backends.marathon.emulator.scheduling.probing import Outcome, Prober, Target

__all__ = ["ReadinessMonitor"]


class ReadinessMonitor:
    """The running readiness checks, and their last results."""

    def __init__(self, timeline: Timeline, prober: Prober, ready: Callable[[Instance], None]) -> None:
        self._timeline = timeline
        self._prober = prober
        self._ready = ready
        self._timers: dict[str, Timer] = {}
        self._results: dict[str, tuple[PathId, Document]] = {}

    def begin(self, instance: Instance) -> None:
        """Ask an instance that has just begun to run, until it is ready."""
        check, task = instance.spec.readiness_check, instance.task
        if check is None or task is None or instance.id in self._timers:
            return
        instance.ready = False
        self._timers[instance.id] = self._timeline.soon(lambda: self._ask(instance, check, task.id))

    def end(self, instance: Instance) -> None:
        """Ask no more; what was found so far stays."""
        timer = self._timers.pop(instance.id, None)
        if timer is not None:
            timer.cancel()

    def results(self, path: PathId) -> list[Document]:
        """The last result of each task of an app that was asked in the present step of its deployment."""
        return [result for owner, result in self._results.values() if owner == path]

    def forget(self, path: PathId) -> None:
        """Drop the results of an app: a step of its deployment begins or is over."""
        self._results = {task: found for task, found in self._results.items() if found[0] != path}

    def _ask(self, instance: Instance, check: Document, task_id: str) -> None:
        target = _target(instance, check)
        if target is None:
            return

        def done(outcome: Outcome) -> None:
            task = instance.task
            if instance.id not in self._timers or task is None or task.id != task_id:
                return
            self._take_in(instance, check, _result(check, task_id, target, outcome))

        self._prober.probe(target, done)

    def _take_in(self, instance: Instance, check: Document, result: Document) -> None:
        task_id = result["taskId"]
        self._results[task_id] = (instance.spec.id, result)
        if result["ready"]:
            self.end(instance)
            instance.ready = True
            self._ready(instance)
            return
        delay = check["intervalSeconds"] * 1000
        self._timers[instance.id] = self._timeline.after(delay, lambda: self._ask(instance, check, task_id))


def _result(check: Document, task_id: str, target: Target, outcome: Outcome) -> Document:
    answer = outcome.answer
    ready = answer is not None and answer.status in check["httpStatusCodesForReady"]
    result: Document = {"name": check["name"], "taskId": task_id, "ready": ready}
    if check["preserveLastResponse"]:
        result["lastResponse"] = _response(target, outcome)
    return result


def _response(target: Target, outcome: Outcome) -> Document:
    """The last answer as it is shown; its type is never known, and that none came is told as a gateway would."""
    if outcome.answer is not None:
        return {"status": outcome.answer.status, "contentType": "", "body": outcome.answer.body}
    words = f"Marathon could not query {target.scheme}://{target.host}:{target.port}{target.path}: {outcome.failure}"
    return {"status": 504, "contentType": "text/plain", "body": words}


def _target(instance: Instance, check: Document) -> Target | None:
    task, agent = instance.task, instance.agent
    if task is None or agent is None:
        return None
    document = instance.spec.document
    mappings = container_of(document).get("portMappings")
    named = mappings if mappings is not None else document.get("portDefinitions") or []
    asked = [port for port, wanted in zip(named, wanted_ports(instance.spec), strict=False) if wanted is not None]
    for port, number in zip(asked, task.ports, strict=False):
        if port.get("name") == check["portName"]:
            return Target(
                scheme=check["protocol"].lower(),
                host=agent.hostname,
                port=number,
                path=check["path"],
                timeout=check["timeoutSeconds"],
            )
    return None
