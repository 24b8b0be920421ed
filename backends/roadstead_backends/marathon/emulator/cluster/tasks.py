"""Tasks as Mesos sees them: what is to be run, what becomes of it, and who runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import attrs

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.cluster.timeline import Timeline

__all__ = [
    "TERMINAL",
    "Course",
    "Executor",
    "KeepsSandboxes",
    "Measured",
    "Measures",
    "Pretended",
    "Task",
    "TaskUpdate",
    "steady",
]

TERMINAL: Final = frozenset(
    {
        "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED", "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    }
)  # fmt: skip


@attrs.define(eq=False, kw_only=True)
class Task:
    """One task on one agent; ``state`` as Mesos names it."""

    id: str
    name: str
    agent: Agent
    resources: Resources
    ports: tuple[int, ...] = ()
    command: str | None = None
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = attrs.field(factory=dict)
    labels: Mapping[str, str] = attrs.field(factory=dict)
    health_checks: tuple[Mapping[str, Any], ...] = ()
    """The checks that the executor makes itself."""
    grace: float | None = None
    """Seconds from the request to stop until it is forced; None for the agent's own."""
    fetch: tuple[Mapping[str, Any], ...] = ()
    user: str | None = None
    limits: Mapping[str, Any] = attrs.field(factory=dict)
    """Amounts of ``cpus`` and ``mem`` up to which it may go beyond its resources, or ``unlimited``."""
    state: str = "TASK_STAGING"
    since: int = 0
    swept: bool = False
    """Whether its sandbox was removed."""


@attrs.frozen(kw_only=True)
class TaskUpdate:
    """News of a task, on its way to the framework."""

    task: Task
    state: str
    message: str = ""
    healthy: bool | None = None
    reason: str | None = None
    at: int = 0


Report = Callable[[Task, str, str, bool | None], None]
"""Called with a task, its new state, a message, and whether its own checks pass."""


class Executor(Protocol):
    """What runs tasks on agents."""

    def start(self, task: Task, report: Report) -> None:
        """Begin to run a task and report what becomes of it."""

    def stop(self, task: Task, report: Report) -> None:
        """Ask a task to end, by force if it does not in time."""

    def abandon(self, task: Task) -> None:
        """End a task at once, without a word: its agent is gone."""

    def close(self) -> None:
        """End everything that still runs."""


@attrs.frozen(kw_only=True)
class Measured:
    """What a task used until ``at`` (ms): seconds of CPU since it began, bytes of memory now."""

    at: int
    cpu_seconds: float
    memory: int


@runtime_checkable
class Measures(Protocol):
    """An executor that knows what its tasks use."""

    def measured(self, task: Task) -> Measured | None:
        """Return what a task uses; None for one that does not run."""


@runtime_checkable
class KeepsSandboxes(Protocol):
    """An executor whose tasks have a folder each that they are started in."""

    def sandbox(self, task: Task) -> Path:
        """Return the folder of a task, which may have none yet."""

    def sweep(self, task: Task) -> None:
        """Remove the folder of a task that has ended."""


@attrs.frozen(kw_only=True)
class Course:
    """What befalls a pretended task, in milliseconds after it was launched."""

    starting: int | None = 60
    running: int | None = 150
    healthy: int | None = None
    """When the executor's own checks first pass; None for never."""
    end: int | None = None
    final: str = "TASK_FINISHED"
    message: str = ""
    stopping: int = 20
    """How long it takes from the request to stop until the task is being stopped."""
    stop: int = 120
    """How long it takes from the request to stop until it has."""


def steady(task: Task) -> Course:
    """A task that starts quickly and runs until it is stopped."""
    return Course(healthy=300 if task.health_checks else None)


class Pretended:
    """An executor that only keeps up appearances, each task on its course.

    ``courses`` are those of the tasks of some apps, by the id of the app or of a group that it is in; a task that runs
    already stays on its own.
    """

    def __init__(self, timeline: Timeline, course: Callable[[Task], Course] = steady) -> None:
        self.courses: dict[str, Course] = {}
        self._timeline = timeline
        self._usual = course

    def _course(self, task: Task) -> Course:
        place = task.environment.get("MARATHON_APP_ID", "")
        while place and place not in self.courses:
            place = place.rpartition("/")[0]
        return self.courses[place] if place else self._usual(task)

    def start(self, task: Task, report: Report) -> None:
        """Let the task go its course."""
        course = self._course(task)

        def later(delay: int | None, state: str, message: str = "", *, healthy: bool | None = None) -> None:
            if delay is None:
                return

            def tell() -> None:
                if task.state not in TERMINAL and task.state != "TASK_KILLING":
                    report(task, state, message, healthy)

            self._timeline.after(delay, tell)

        later(course.starting, "TASK_STARTING")
        later(course.running, "TASK_RUNNING")
        if course.healthy is not None and course.running is not None:
            later(course.healthy, "TASK_RUNNING", healthy=True)
        later(course.end, course.final, course.message)

    def stop(self, task: Task, report: Report) -> None:
        """Let the task end after a while."""
        course = self._course(task)

        def killing() -> None:
            if task.state not in TERMINAL and task.state != "TASK_KILLING":
                report(task, "TASK_KILLING", "", None)

        def killed() -> None:
            if task.state not in TERMINAL:
                report(task, "TASK_KILLED", "Command terminated with signal Terminated", None)

        self._timeline.after(course.stopping, killing)
        self._timeline.after(course.stop, killed)

    def abandon(self, task: Task) -> None:
        """Nothing runs."""

    def measured(self, task: Task) -> Measured | None:
        """A pretended task uses half of what it may, from the moment when it runs."""
        if task.state != "TASK_RUNNING":
            return None
        seconds = (self._timeline.now - task.since) / 1000
        used = task.resources.cpus / 2 * seconds
        return Measured(at=self._timeline.now, cpu_seconds=used, memory=int(task.resources.mem / 2 * (1 << 20)))

    def close(self) -> None:
        """Nothing runs."""
