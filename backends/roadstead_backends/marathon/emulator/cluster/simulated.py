"""``SimCluster``: agents, an allocator of offers, and the life of tasks, with faults on request."""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs

from roadstead_backends.marathon.emulator.cluster.agents import Agent, Resources
from roadstead_backends.marathon.emulator.cluster.tasks import (
    TERMINAL,
    Course,
    Executor,
    KeepsSandboxes,
    Measured,
    Measures,
    Pretended,
    Task,
    TaskUpdate,
)
from roadstead_backends.marathon.emulator.cluster.timeline import Timeline, Timer

__all__ = ["Framework", "Habits", "Offer", "SimCluster"]

_KEPT: Final = 150
"""How many tasks that ended an agent knows of, of each framework: ``--max_completed_executors_per_framework``."""


@attrs.frozen(kw_only=True)
class Offer:
    """What an agent has free, for one framework to use or to decline."""

    id: str
    agent: Agent
    resources: Resources
    ports: tuple[tuple[int, int], ...]


@attrs.frozen(kw_only=True)
class Habits:
    """How the master and its allocator go about it, in milliseconds."""

    interval: int = 1_000
    """Between two rounds of offers."""
    agent_timeout: int = 75_000
    """Until a lost agent is noticed: in Mesos 5 pings of 15 s."""
    rest_after: int = 0
    """Until what is left of an offer that was used is offered again."""


class Framework(Protocol):
    """Who is offered resources and told of tasks."""

    def offered(self, offers: Sequence[Offer]) -> None:
        """Use or decline what is offered."""

    def task_changed(self, update: TaskUpdate) -> None:
        """Hear of a task."""


class SimCluster:
    """A Mesos cluster with one framework.

    Offers go out now and then as long as the framework has not suppressed them. What was declined is not offered again
    before the time given with it, unless the framework revives offers. An agent that is lost is noticed after a while,
    its tasks are then unreachable.
    """

    def __init__(
        self,
        timeline: Timeline,
        agents: Iterable[Agent] = (),
        *,
        executor: Executor | None = None,
        master_id: str | None = None,
        habits: Habits | None = None,
    ) -> None:
        self.timeline = timeline
        self.master_id = master_id or str(uuid.uuid4())
        self.agents: dict[str, Agent] = {agent.id: agent for agent in agents}
        self.tasks: dict[str, Task] = {}
        self.ended: dict[str, int] = {}
        self.past: dict[str, deque[Task]] = {}
        self._executor = executor or Pretended(timeline)
        self._framework: Framework | None = None
        self._habits = habits or Habits()
        self._filters: dict[str, int] = {}
        self._suppressed = True
        self._cycle: Timer | None = None
        self._numbers = itertools.count()
        self._losses: dict[str, Timer] = {}
        self._held: dict[str, list[TaskUpdate]] = {}

    def register(self, framework: Framework) -> None:
        """Take in the framework."""
        self._framework = framework

    def add(self, agent: Agent) -> None:
        """Let an agent join."""
        self.agents[agent.id] = agent

    # Offers ---------------------------------------------------------------------------------------------------------

    def revive(self) -> None:
        """Offer again what was declined, soon."""
        self._filters.clear()
        self._suppressed = False
        self._plan_cycle()

    def suppress(self) -> None:
        """Offer nothing until offers are revived."""
        self._suppressed = True

    def decline(self, offer: Offer, milliseconds: int) -> None:
        """Do not offer this agent's resources for a while."""
        self._filters[offer.agent.id] = self.timeline.now + milliseconds
        if not self._suppressed:
            self.timeline.after(milliseconds, self._plan_cycle)

    def give_back(self, offer: Offer) -> None:
        """Take back what is left of an offer that was used."""
        self.decline(offer, self._habits.rest_after)

    def _plan_cycle(self) -> None:
        if self._cycle is None and not self._suppressed:
            now = self.timeline.now
            self._cycle = self.timeline.at(now + self._habits.interval - now % self._habits.interval, self._allocate)

    def _allocate(self) -> None:
        self._cycle = None
        if self._suppressed or self._framework is None:
            return
        now = self.timeline.now
        offers = [
            self._offer(agent)
            for agent in self.agents.values()
            if agent.active and agent.connected and self._filters.get(agent.id, 0) <= now
        ]
        if offers:
            self._framework.offered(offers)
            self._plan_cycle()

    def _offer(self, agent: Agent) -> Offer:
        return Offer(
            id=f"{self.master_id}-O{next(self._numbers)}",
            agent=agent,
            resources=agent.free,
            ports=tuple(agent.free_ports()),
        )

    # Tasks ----------------------------------------------------------------------------------------------------------

    def launch(self, tasks: Sequence[Task]) -> None:
        """Start tasks on their agents."""
        for task in tasks:
            self.tasks[task.id] = task
            task.since = self.timeline.now
            task.agent.take(task.resources, task.ports)
            self._executor.start(task, self._report)

    def kill(self, task_id: str) -> None:
        """Ask a task to end; of one that nobody knows, tell that it is gone."""
        task = self.tasks.get(task_id)
        reachable = task is not None and task.agent.connected and task.state != "TASK_UNREACHABLE"
        if task is not None and reachable and task.state not in TERMINAL:
            self._executor.stop(task, self._report)

    def _report(self, task: Task, state: str, message: str, healthy: bool | None) -> None:  # noqa: FBT001
        """Take in what became of a task and pass it on, unless its agent is cut off."""
        if task.id not in self.tasks:
            return
        update = TaskUpdate(task=task, state=state, message=message, healthy=healthy, at=self.timeline.now)
        if not task.agent.connected:
            held = self._held.setdefault(task.agent.id, [])
            if not any(one.task is task and one.state in TERMINAL for one in held):
                held.append(update)
            return
        task.state, task.since = state, self.timeline.now
        if state in TERMINAL:
            self._forget(task)
        self._tell(update)

    def _forget(self, task: Task) -> None:
        del self.tasks[task.id]
        task.agent.release(task.resources, task.ports)
        self.ended[task.state] = self.ended.get(task.state, 0) + 1
        self.past.setdefault(task.agent.id, deque(maxlen=_KEPT)).append(task)

    def _tell(self, update: TaskUpdate) -> None:
        if self._framework is not None:
            self._framework.task_changed(update)

    # Faults ---------------------------------------------------------------------------------------------------------

    def lose_agent(self, agent_id: str, *, partition: bool = False) -> None:
        """Cut an agent off; with ``partition`` its tasks go on running there, otherwise they die with it."""
        agent = self.agents[agent_id]
        agent.connected = False
        if not partition:
            for task in self._on(agent):
                self._held.setdefault(agent_id, []).append(self._gone(task))
                self._executor.abandon(task)
        self._losses[agent_id] = self.timeline.after(self._habits.agent_timeout, lambda: self._notice_loss(agent))

    def _gone(self, task: Task) -> TaskUpdate:
        return TaskUpdate(task=task, state="TASK_FAILED", message="Agent restarted", at=self.timeline.now)

    def _notice_loss(self, agent: Agent) -> None:
        agent.registered = False
        for task in self._on(agent):
            self._tell(
                TaskUpdate(
                    task=task,
                    state="TASK_UNREACHABLE",
                    message="Agent unreachable",
                    reason="REASON_SLAVE_REMOVED",
                    at=self.timeline.now,
                )
            )

    def return_agent(self, agent_id: str) -> None:
        """Let a lost agent come back, with the news that it kept."""
        agent = self.agents[agent_id]
        agent.connected = agent.registered = True
        self._losses.pop(agent_id).cancel()
        for update in self._held.pop(agent_id, []):
            update.task.state = update.state
            if update.state in TERMINAL and update.task.id in self.tasks:
                self._forget(update.task)
            self._tell(update)
        for task in self._on(agent):
            self._tell(TaskUpdate(task=task, state=task.state, at=self.timeline.now))
        self._plan_cycle()

    def fail_task(
        self, task_id: str, state: str = "TASK_FAILED", message: str = "Command exited with status 1"
    ) -> None:
        """End a task that did nothing wrong."""
        task = self.tasks.get(task_id)
        if task is not None:
            self._report(task, state, message, None)

    def set_course(self, app: str, course: Course | None) -> None:
        """Have tasks of an app that start from now on go this course; None for the usual one."""
        if not isinstance(self._executor, Pretended):
            raise TypeError("tasks are real processes here; have the command do it")
        self._executor.courses.pop(app, None)
        if course is not None:
            self._executor.courses[app] = course

    def measured(self, task: Task) -> Measured | None:
        """Return what a task uses, if whoever runs it can tell."""
        return self._executor.measured(task) if isinstance(self._executor, Measures) else None

    def sandbox(self, task: Task) -> Path | None:
        """Return the folder of a task; None where tasks are only pretended."""
        return self._executor.sandbox(task) if isinstance(self._executor, KeepsSandboxes) else None

    def collect_garbage(self) -> None:
        """Remove the sandboxes of tasks that have ended, as agents do after a while."""
        for task in [task for ended in self.past.values() for task in ended if not task.swept]:
            task.swept = True
            if isinstance(self._executor, KeepsSandboxes):
                self._executor.sweep(task)

    def _on(self, agent: Agent) -> list[Task]:
        return [task for task in self.tasks.values() if task.agent is agent]

    def reconcile(self, task_ids: Iterable[str]) -> None:
        """Tell the state of each task; of an unknown one that it is lost or gone."""
        for task_id in task_ids:
            task = self.tasks.get(task_id)
            if task is not None and task.agent.connected:
                self._tell(
                    TaskUpdate(task=task, state=task.state, reason="REASON_RECONCILIATION", at=self.timeline.now)
                )

    def close(self) -> None:
        """End what still runs."""
        self._executor.close()
