"""What is known of a Marathon's apps beyond their own answers: where they run, why they lack tasks, who else writes.

Everything here is on top of what decisions rest on, so nothing of it may hold them up: a question that is not answered
leaves what was known, and what takes long goes on at the next look.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from roadstead.errors import BackendError
from roadstead.reasons import Reason, ReasonCode
from roadstead.units import Duration
from roadstead.world import Group, Phase, Snapshot, Usage
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.crowding import crowded
from roadstead_backends.marathon.funnel import Lacking, amounts_of
from roadstead_backends.marathon.ground import Ground
from roadstead_backends.marathon.master import Master
from roadstead_backends.marathon.mesos import NOTHING, Agent, Amounts
from roadstead_backends.marathon.messages import App, Deployment, QueueItem, Task, millis
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.reading import instance_of, is_active
from roadstead_backends.marathon.usage import UsageReader
from roadstead_backends.marathon.view import Known
from roadstead_backends.marathon.why import NO_REASON, Ending, Missing, Why, missing_reason, task_reason
from roadstead_backends.marathon.writers import Writers

__all__ = ["Insight"]

_QUEUE_EVERY: Final = Duration(2_000)
_PATIENCE: Final = Duration(5_000)
"""How long a task may wait to be launched before it is asked why; most are launched sooner."""

_AGAIN: Final = Duration(5_000)
"""After how long a reason is looked for again, of an app that did not change meanwhile."""

_TURN: Final = Duration(100)
"""How much of one look may go into finding reasons; the others wait for the next one."""

_UNKNOWN: Final = Usage()
_LAUNCHING: Final = Reason(code=ReasonCode.STARTING, detail="it is in Marathon's launch queue")
_NOT_WELL: Final = frozenset({"TASK_STAGING", "TASK_STARTING", "TASK_UNREACHABLE", "TASK_LOST"})


@attrs.define
class _Looked:
    """What was found of one app, as it was then; ``at`` is when it was last asked why (monotonic)."""

    app: App
    lacks: int
    watched: bool
    why: Why = NO_REASON
    at: float = -1e9


@attrs.frozen(kw_only=True)
class _Placed:
    """Which replicas run, and at which agent's address each task is; made from these groups and agents."""

    groups: tuple[Group, ...] = ()
    agents: Mapping[str, Agent] = attrs.field(factory=dict)
    replicas: Mapping[str, str] = attrs.field(factory=dict)
    tasks: Mapping[str, str] = attrs.field(factory=dict)


def _placed(groups: tuple[Group, ...], agents: Mapping[str, Agent]) -> _Placed:
    pids = {agent.name: agent.pid for agent in agents.values() if agent.pid}
    running = [one for group in groups for one in group.replicas if one.phase is Phase.RUNNING]
    return _Placed(
        groups=groups,
        agents=agents,
        replicas={one.id: one.incarnation for one in running},
        tasks={one.incarnation: pids[one.node] for one in running if one.node in pids},
    )


class Insight:
    """Looks around a Marathon for one fleet; for one thread. ``epoch`` is the time in seconds since 1970."""

    def __init__(
        self,
        client: Client,
        options: MarathonOptions,
        *,
        cluster: str,
        now: Callable[[], float] = time.monotonic,
        epoch: Callable[[], float] = time.time,
    ) -> None:
        self.writers = Writers()
        self.role = "*"
        """The role that Marathon registers with, unless an app has its own."""
        self.emulated = False
        """Whether this is no Marathon but what stands in for one."""
        self._client = client
        self._options = options
        self._now = now
        self._epoch = epoch
        self._master = Master(options, cluster=cluster, find=self._find)
        self.ground = Ground(self._master, gpu_attribute=options.gpu_attribute, now=now)
        self._usage = UsageReader(self._master, now=now)
        self._placed = _Placed()
        self._measured: Mapping[str, Usage] = {}
        self._measured_at = self._placed
        self._usage_of: Mapping[str, Usage] = {}
        self._looked: dict[str, _Looked] = {}
        self._crowded: Mapping[str, Reason] = {}
        self._crowded_at: Mapping[str, Agent] = {}
        self._queue: Mapping[str, QueueItem] = {}
        self._read_at = 0
        self._queue_due = -1e9
        self._unread = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What cannot be known now, a sentence each."""
        unread = (f"the launch queue cannot be read: {self._unread}",) if self._unread else ()
        return (*self.ground.notes, *unread, *self._usage.notes)

    def look(self, apps: Mapping[str, Known], deployments: Sequence[Deployment]) -> Mapping[str, Why]:
        """Return why apps are not as they were asked, by id; those not named are as they should be.

        A :class:`Why` that did not change is the same object.
        """
        if self.ground.is_due:
            is_first = not self.ground.agents
            self.ground.read(self.role, _held(apps))
            if is_first and self.ground.agents:
                self.emulated = self._is_emulated()
        self.writers.see((one.app for one in apps.values()), deployments, self._epoch_ms())
        moved = self._crowded_at is not self.ground.agents
        for app_id, view in apps.items():
            known = self._looked.get(app_id)
            if known is None or known.app is not view.app:
                why = known.why if known is not None else NO_REASON
                self._looked[app_id] = _Looked(view.app, _lacks(view.app), _is_watched(view.app), why)
                moved = True
        for app_id in self._looked.keys() - apps.keys():
            del self._looked[app_id]
            moved = True
        if moved:
            self._crowded, self._crowded_at = crowded(apps, self._place), self.ground.agents
        self._explain(apps, deployments)
        return {app_id: one.why for app_id, one in self._looked.items() if one.why is not NO_REASON}

    def usage(self, snapshot: Snapshot) -> Mapping[str, Usage]:
        """Return the use of every replica that runs; what of it nobody measures is unknown."""
        if self._placed.groups is not snapshot.groups or self._placed.agents is not self.ground.agents:
            self._placed = _placed(snapshot.groups, self.ground.agents)
        known = self._usage.read(self._placed.tasks)
        if known is not self._measured or self._placed is not self._measured_at:
            self._measured, self._measured_at = known, self._placed
            self._usage_of = {one: known.get(task, _UNKNOWN) for one, task in self._placed.replicas.items()}
        return self._usage_of

    def apart(self) -> Master:
        """Return who asks this Mesos as we do, with connections of its own."""
        return self._master.apart()

    def close(self) -> None:
        """Let go of every connection."""
        self._master.close()

    # ---- how it looks ----

    def _find(self) -> str | None:
        return self._client.info().marathon_config.mesos_leader_ui_url

    def _is_emulated(self) -> bool:
        try:
            return self._master.is_emulated()
        except BackendError:
            return False

    def _place(self, task: Task, attribute: str) -> str:
        if attribute == "hostname":
            return self.ground.node_of(task.slave_id, task.host)
        agent = self.ground.agents.get(task.slave_id or "")
        return agent.attributes.get(attribute, "") if agent is not None else ""

    def _epoch_ms(self) -> int:
        return int(self._epoch() * 1000)

    def _explain(self, apps: Mapping[str, Known], deployments: Sequence[Deployment]) -> None:
        """Bring reasons up to date: those first that were not looked into for the longest time."""
        lacking = [app_id for app_id, one in self._looked.items() if one.lacks]
        if lacking:
            self._read_queue()
        else:
            self._unread = ""  # nobody needs it
        until, suspected = self._now() + _TURN.seconds, self.writers.suspected
        concerned = (
            (one.at, app_id)
            for app_id, one in self._looked.items()
            if one.lacks or one.watched or one.why is not NO_REASON or app_id in suspected or app_id in self._crowded
        )
        for _, app_id in sorted(concerned):
            looked = self._looked[app_id]
            whole = self.writers.reason(app_id, self._epoch_ms()) or self._crowded.get(app_id)
            missing, now = looked.why.missing, self._now()
            if not looked.lacks:
                missing = None
            elif now < until and now >= looked.at + _AGAIN.seconds:
                missing = self._missing(apps[app_id], looked.lacks, deployments)
                looked.at = now
            elif missing is None:
                missing = _LAUNCHING
            made = Why(app=whole, missing=missing, tasks=self._tasks(apps[app_id]) if looked.watched else {})
            if made != looked.why:
                looked.why = made if made != NO_REASON else NO_REASON

    def _read_queue(self) -> None:
        if self._now() < self._queue_due:
            return
        self._queue_due = self._now() + _QUEUE_EVERY.seconds
        try:
            found = self._client.queue()
        except BackendError as error:
            self._unread = str(error)  # what was there last is told until it is read again
            return
        self._unread = ""
        self._queue = {one.app.id: one for one in found if one.app is not None}
        self._read_at = self._epoch_ms()

    def _missing(self, view: Known, count: int, deployments: Sequence[Deployment]) -> Reason:
        app, item = view.app, self._queue.get(view.app.id)
        ending = _ending(view)
        young = item is not None and item.since is not None and self._read_at - millis(item.since) < _PATIENCE.ms
        if young and ending is None:
            return _LAUNCHING
        placed = tuple(self.ground.node_of(one.slave_id, one.host) for one in app.tasks or () if is_active(one))
        lacking = Lacking(
            template=view.stored.template, count=count, placed=placed, gpu_attribute=self._options.gpu_attribute
        )
        missing = Missing(
            app_id=app.id,
            lacking=lacking,
            item=item,
            read_at=self._read_at,
            deployments=deployments,
            ending=ending,
            agents=self.ground.agents.values(),
            unread=self._unread if not self._read_at else "",
        )
        return missing_reason(missing)

    def _tasks(self, view: Known) -> Mapping[str, Reason]:
        template, now = view.stored.template, self._epoch_ms()
        found = ((task.id, task_reason(task, view.app, template, now)) for task in view.app.tasks or ())
        return {task_id: reason for task_id, reason in found if reason is not None}


def _lacks(app: App) -> int:
    return max(0, app.instances - sum(map(is_active, app.tasks or ())))


def _is_watched(app: App) -> bool:
    """Return whether there may be something to say of its tasks: not all run, or a check of them fails."""
    return any(
        task.state in _NOT_WELL or any(not one.alive for one in task.health_check_results) for task in app.tasks or ()
    )


def _ending(view: Known) -> Ending | None:
    """Return how the task ended that waits to be started again; of several, the one that ended last."""
    waiting = [task for task in view.app.tasks or () if not is_active(task)]
    found = [(view.exits[instance], task) for task in waiting if (instance := instance_of(task.id)[0]) in view.exits]
    if not found:
        return None
    ended, task = max(found, key=lambda one: one[0].at)
    return Ending(exit=ended, host=task.host, number=len(waiting))


def _held(apps: Mapping[str, Known]) -> Mapping[str, Amounts]:
    """Return what our tasks have on each agent, by its id."""
    held: dict[str, Amounts] = {}
    for agent, amounts in _holdings(apps):
        held[agent] = held.get(agent, NOTHING) + amounts
    return held


def _holdings(apps: Mapping[str, Known]) -> Iterator[tuple[str, Amounts]]:
    for view in apps.values():
        tasks: Sequence[Task] = view.app.tasks or ()
        amounts = amounts_of(view.stored.template.resources) if tasks else NOTHING
        yield from ((task.slave_id, amounts) for task in tasks if task.slave_id and is_active(task))
