"""Instances: what one app or pod runs once, over all its incarnations on whatever agents."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.cluster.agents import Agent
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = [
    "ACTIVE",
    "TERMINAL",
    "Instance",
    "MarathonTask",
    "Tracker",
    "condition_of",
    "is_given_up",
    "kill_order",
    "mesos_state",
    "together",
]

TERMINAL: Final = frozenset({"Error", "Failed", "Finished", "Killed", "Gone", "Dropped", "Unknown"})
ACTIVE: Final = frozenset({"Staging", "Starting", "Running", "Unreachable", "Killing"})
_CONDITIONS: Final = {
    "TASK_STAGING": "Staging",
    "TASK_STARTING": "Starting",
    "TASK_RUNNING": "Running",
    "TASK_KILLING": "Killing",
    "TASK_FINISHED": "Finished",
    "TASK_FAILED": "Failed",
    "TASK_KILLED": "Killed",
    "TASK_ERROR": "Error",
    "TASK_LOST": "Unreachable",
    "TASK_DROPPED": "Dropped",
    "TASK_UNREACHABLE": "Unreachable",
    "TASK_GONE": "Gone",
    "TASK_GONE_BY_OPERATOR": "Gone",
    "TASK_UNKNOWN": "Unknown",
}
_SHOWN: Final = {
    "Scheduled": "TASK_STAGING",
    "Provisioned": "TASK_STAGING",
    "UnreachableInactive": "TASK_UNREACHABLE",
}
_KILL_RANK: Final = {"Unreachable": 1, "Staging": 2, "Starting": 3, "Running": 4}
_KILLED_LAST: Final = 5
"""Of whatever is in none of those conditions: also of those that still wait to be launched (``ScalingProposition``)."""


def condition_of(state: str) -> str:
    """What a state of Mesos is called here."""
    return _CONDITIONS.get(state, "Unknown")


def mesos_state(condition: str) -> str:
    """What a condition is called in answers."""
    return _SHOWN.get(condition, f"TASK_{condition.upper()}")


@attrs.define(eq=False, kw_only=True)
class MarathonTask:
    """One task of an instance; an app's instance has one, a pod's one per container."""

    id: str
    container: str | None
    ports: tuple[int, ...]
    condition: str = "Provisioned"
    staged_at: int = 0
    started_at: int | None = None
    healthy: bool | None = None
    has_address: bool = False


@attrs.define(eq=False, kw_only=True)
class Instance:
    """An instance; ``condition`` and ``goal`` as Marathon names them."""

    id: str
    spec: RunSpec
    condition: str = "Scheduled"
    goal: str = "Running"
    since: int = 0
    active_since: int | None = None
    agent: Agent | None = None
    incarnation: int = 0
    tasks: dict[str, MarathonTask] = attrs.field(factory=dict)
    unreachable_since: int | None = None
    kill_requested: bool = False
    ready: bool = True
    """Whether its readiness check has passed, or it has none to pass."""
    number: int = 0
    """In what order instances arose."""

    @property
    def is_active(self) -> bool:
        """Whether a task of it is, or may be, running."""
        return self.condition in ACTIVE

    @property
    def is_launched(self) -> bool:
        """Whether a task of it is on its way, or more than that: what Marathon itself calls active."""
        return self.is_active or self.condition == "Provisioned"

    @property
    def is_scheduled(self) -> bool:
        """Whether it waits for an offer."""
        return self.condition == "Scheduled" and self.goal == "Running"

    @property
    def task(self) -> MarathonTask | None:
        """Its first task."""
        return next(iter(self.tasks.values()), None)

    @property
    def full_id(self) -> str:
        """Its id as results of health checks show it."""
        return f"instance [{self.id}]"

    def shown_tasks(self, health: Sequence[Document], *, service_ports: Sequence[int] = ()) -> list[Document]:
        """Its tasks as they are answered."""
        if self.agent is None:
            return []
        agent = self.agent
        return [self._shown(task, agent, health, service_ports) for task in self.tasks.values()]

    def _shown(
        self, task: MarathonTask, agent: Agent, health: Sequence[Document], service_ports: Sequence[int]
    ) -> Document:
        alive = task.condition in ACTIVE or task.condition == "Provisioned"
        addresses = [{"ipAddress": agent.hostname, "protocol": "IPv4"}] if task.has_address else []
        shown: Document = {
            "appId": str(self.spec.id),
            "healthCheckResults": list(health),
            "host": agent.hostname,
            "id": task.id,
            "ipAddresses": addresses,
            "ports": list(task.ports) if alive else [],
            "servicePorts": list(service_ports),
            "slaveId": agent.id,
            "state": mesos_state(task.condition),
        }
        if alive:
            shown["stagedAt"] = written(task.staged_at)
            if task.started_at is not None:
                shown["startedAt"] = written(task.started_at)
            shown["version"] = written(self.spec.version)
        shown["localVolumes"] = []
        if agent.region is not None:
            shown["region"] = agent.region
        if agent.zone is not None:
            shown["zone"] = agent.zone
        shown["role"] = self.spec.role
        return shown


def kill_order(candidates: Iterable[Instance], *, oldest_first: bool) -> list[Instance]:
    """The order in which instances are given up: unreachable, staging, starting, running, others; then by age."""

    def rank(instance: Instance) -> tuple[int, int, int]:
        age = instance.active_since if instance.active_since is not None else instance.since
        by_age = (age, instance.number) if oldest_first else (-age, -instance.number)
        return _KILL_RANK.get(instance.condition, _KILLED_LAST), *by_age

    return sorted(candidates, key=rank)


def is_given_up(instance: Instance, now: int) -> bool:
    """Whether an instance could not be reached for so long that another is to take its place; with 0, it is at once."""
    strategy, since = instance.spec.unreachable, instance.unreachable_since
    if instance.condition != "Unreachable" or strategy is None or since is None:
        return False
    return now >= since + strategy[0] * 1000


def together(conditions: list[str]) -> str:
    """The condition of an instance whose tasks have these conditions."""
    for condition in (
        "Error",
        "Failed",
        "Gone",
        "Dropped",
        "Unreachable",
        "Killing",
        "Staging",
        "Starting",
        "Provisioned",
    ):
        if condition in conditions:
            return condition
    if "Running" in conditions:
        return "Running"
    return conditions[0] if conditions else "Scheduled"


class Tracker:
    """All instances, by app or pod, in the order in which they arose."""

    def __init__(self, new_uuid: Callable[[], str]) -> None:
        self._by_spec: dict[PathId, dict[str, Instance]] = {}
        self._by_task: dict[str, Instance] = {}
        self._numbers = itertools.count()
        self._new_uuid = new_uuid

    def new(self, spec: RunSpec, now: int) -> Instance:
        """Take in one more instance, scheduled."""
        instance = Instance(
            id=f"{spec.id.safe}.instance-{self._new_uuid()}", spec=spec, since=now, number=next(self._numbers)
        )
        self._by_spec.setdefault(spec.id, {})[instance.id] = instance
        return instance

    def remove(self, instance: Instance) -> None:
        """Forget an instance."""
        instances = self._by_spec.get(instance.spec.id, {})
        instances.pop(instance.id, None)
        if not instances:
            self._by_spec.pop(instance.spec.id, None)
        for task_id in instance.tasks:
            self._by_task.pop(task_id, None)

    def provision(self, instance: Instance, tasks: Iterable[MarathonTask]) -> None:
        """Give an instance new tasks in place of its old ones."""
        for task_id in instance.tasks:
            self._by_task.pop(task_id, None)
        instance.tasks = {task.id: task for task in tasks}
        self._by_task.update(dict.fromkeys(instance.tasks, instance))

    def of(self, path: PathId) -> list[Instance]:
        """The instances of one app or pod."""
        return list(self._by_spec.get(path, {}).values())

    def by_id(self, path: PathId, instance_id: str) -> Instance | None:
        """The instance of that id."""
        return self._by_spec.get(path, {}).get(instance_id)

    def by_task(self, task_id: str) -> Instance | None:
        """The instance that has a task of that id."""
        return self._by_task.get(task_id)

    def all(self) -> list[Instance]:
        """Every instance."""
        return [instance for instances in self._by_spec.values() for instance in instances.values()]
