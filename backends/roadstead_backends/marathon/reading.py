"""From the tasks of an app to what a snapshot says of its replicas. Pure.

A replica is an *instance* of Marathon: a task that ended is followed by another one of the same instance, perhaps on
another agent, and that is the same replica, launched again. An instance that was never launched is in no answer; those
that an app lacks are shown as slots with names of our own.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs

from roadstead.reasons import Reason, ReasonCode
from roadstead.world import Endpoint, Exit, Phase, Replica
from roadstead_backends.marathon.messages import App, LastFailure, Port, Task, millis
from roadstead_backends.marathon.why import NO_REASON, Why

__all__ = ["Around", "active_tasks", "exit_of", "instance_of", "is_active", "is_unseen", "replicas_of", "tasks_of"]

_TASK: Final = re.compile(r"(.+\.instance-.+?)\._app\.(\d+)")
_PHASES: Final[Mapping[str, Phase]] = {
    "TASK_STAGING": Phase.STARTING,
    "TASK_STARTING": Phase.STARTING,
    "TASK_RUNNING": Phase.RUNNING,
    "TASK_UNREACHABLE": Phase.RUNNING,
    "TASK_LOST": Phase.RUNNING,
    "TASK_KILLING": Phase.STOPPING,
}
_UNSEEN: Final = frozenset({"TASK_UNREACHABLE", "TASK_LOST"})
_CODE: Final = re.compile(r"exited with status (\d+)")
_SIGNAL: Final = re.compile(r"terminated with signal ([A-Za-z0-9 ]+)")
_NO_MEMORY: Final = re.compile(r"[Mm]emory limit exceeded|OOM|[Oo]ut of memory")
_NOT_BEGUN: Final = "Failed to launch"
"""How it is said that there was no server: a status that follows is of whoever was to prepare it."""

_KILLED: Final = 128
"""A server that a signal ended within a container has this and the signal's number as its exit code."""

_SIGNALS: Final[Mapping[str, int]] = {
    **{(signal.strsignal(one) or one.name).lower(): one.value for one in signal.Signals},
    **{one.name.lower(): one.value for one in signal.Signals},
}


@attrs.frozen(kw_only=True)
class Around:
    """What is known of an app's tasks besides its own answer.

    ``reports_ready``: Marathon's readiness is what counts, for nobody of ours can ask the server. ``unready`` are the
    tasks that a deployment still waits for. ``exits`` is how instances ended before, as far as that was seen.
    ``node_of`` names the node of an agent, by its id and its host. ``going`` are tasks that were told to end: Marathon
    shows that once their agents have said so. ``why`` is what was found out of what is missing, or does not run well.
    """

    node_of: Callable[[str | None, str], str] = attrs.field(default=lambda _agent, host: host)
    reports_ready: bool = False
    unready: frozenset[str] = frozenset()
    exits: Mapping[str, Exit] = attrs.field(factory=dict)
    going: frozenset[str] = frozenset()
    why: Why = NO_REASON


def instance_of(task_id: str) -> tuple[str, int]:
    """Return the instance that a task is of, and which of its tasks it is, from 1.

    >>> instance_of("web.instance-7b3f._app.3"), instance_of("web.7b3f")
    (('web.instance-7b3f', 3), ('web.7b3f', 1))
    """
    found = _TASK.fullmatch(task_id)
    return (found[1], int(found[2])) if found is not None else (task_id, 1)


def is_active(task: Task) -> bool:
    """Return whether something of a task may be running."""
    return task.state in _PHASES


def is_unseen(task: Task) -> bool:
    """Return whether nobody knows if a task still runs: its agent cannot be reached."""
    return task.state in _UNSEEN


def active_tasks(app: App) -> frozenset[str]:
    """Return the tasks of which something may be running."""
    return frozenset(task.id for task in app.tasks or () if is_active(task))


def tasks_of(app: App, replicas: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tasks that these replicas are now, in this order; who is on its way out is none."""
    now = {instance_of(task.id)[0]: task.id for task in app.tasks or () if task.state != "TASK_KILLING"}
    return tuple(now[replica] for replica in replicas if replica in now)


def replicas_of(app: App, around: Around) -> tuple[Replica, ...]:
    """Return what an app has: its instances by age, then as many slots as it lacks."""
    found = [_replica(task, app, around) for task in sorted(app.tasks or (), key=_age)]
    standing = sum(one.phase is not Phase.STOPPING for one in found)
    return (*found, *_slots(app, app.instances - standing, around.why.missing))


def exit_of(failure: LastFailure) -> Exit:
    """Return how a task ended; its words are all that tells a code from a signal, if there was a process at all.

    >>> exit_of(LastFailure(state="TASK_FAILED", message="Command terminated with signal Killed")).signal
    9
    """
    said = failure.message
    begun = not said.startswith(_NOT_BEGUN)
    code, name = (_CODE.search(said), _SIGNAL.search(said)) if begun else (None, None)
    status = int(code[1]) if code is not None else None
    number = _SIGNALS.get(name[1].strip().lower()) if name is not None else None
    if status is not None and status > _KILLED:
        number, status = status - _KILLED, None
    return Exit(
        at=millis(failure.timestamp) if failure.timestamp is not None else 0,
        code=status,
        signal=number,
        out_of_memory=_NO_MEMORY.search(said) is not None,
        detail=said.strip() or f"ended as {failure.state}",
    )


def _age(task: Task) -> tuple[float, str]:
    return task.staged_at.timestamp() if task.staged_at is not None else 0.0, task.id


def _slots(app: App, count: int, reason: Reason | None) -> Iterator[Replica]:
    name = app.id.strip("/").replace("/", "_")
    yield from (Replica(id=f"{name}.slot-{number}", phase=Phase.SLOT, reason=reason) for number in range(count))


def _replica(task: Task, app: App, around: Around) -> Replica:
    instance, number = instance_of(task.id)
    phase = _PHASES.get(task.state, Phase.SLOT)
    if phase is not Phase.SLOT and (app.instances == 0 or task.id in around.going):
        phase = Phase.STOPPING
    started = task.started_at if task.started_at is not None else task.staged_at
    runs = phase in (Phase.RUNNING, Phase.STOPPING) and started is not None
    ended = around.exits.get(instance) if number > 1 or phase is Phase.SLOT else None
    return Replica(
        id=instance,
        phase=phase,
        node=None if phase is Phase.SLOT else around.node_of(task.slave_id, task.host),
        endpoint=None if around.reports_ready or phase is Phase.SLOT else _endpoint(task, app),
        incarnation=task.id if runs else "",
        ready=_is_ready(task, app, around) if around.reports_ready and phase is Phase.RUNNING else None,
        restarts=number - 1,
        started_at=millis(started) if runs and started is not None else None,
        reason=_reason(task, phase, ended, around.why),
        last_exit=ended if ended is not None else _unseen_exit(phase, number),
    )


def _unseen_exit(phase: Phase, number: int) -> Exit | None:
    """Return what is known of an end that nobody saw: that there was one."""
    if phase is Phase.SLOT or number > 1:
        return Exit(at=0, detail="ended, and how it ended is not known any more")
    return None


def _is_ready(task: Task, app: App, around: Around) -> bool:
    """Return whether Marathon finds a task well, and no deployment waits for it any more."""
    if is_unseen(task) or task.id in around.unready:
        return False
    results = task.health_check_results
    return not app.health_checks or (bool(results) and all(one.alive for one in results))


def _endpoint(task: Task, app: App) -> Endpoint | None:
    """Return where a task answers: on its agent, or at an address of its own."""
    mappings = app.container.port_mappings if app.container is not None else None
    mode = app.networks[0].mode if app.networks else "host"
    if mode == "container":
        if not task.ip_addresses or not mappings:
            return None
        ports = tuple(one.container_port for one in mappings)
        return _at(task.ip_addresses[0].ip_address, mappings, ports)
    return _at(task.host, mappings if mappings is not None else app.port_definitions, task.ports)


def _at(host: str, named: tuple[Port, ...], ports: tuple[int, ...]) -> Endpoint | None:
    known = {one.name: port for one, port in zip(named, ports, strict=False)}
    if not host or not known:
        return None
    return Endpoint(host=host, grpc=known.get("grpc"), rest=known.get("rest"))


def _reason(task: Task, phase: Phase, ended: Exit | None, why: Why) -> Reason | None:
    if phase is not Phase.SLOT:
        return why.tasks.get(task.id)
    if why.missing is not None:
        return why.missing
    code = ReasonCode.OUT_OF_MEMORY if ended is not None and ended.out_of_memory else ReasonCode.CRASH
    detail = "the server ended and is launched again after a while, perhaps elsewhere"
    return Reason(code=code, detail=detail, count=1, total=1, raw=ended.detail if ended is not None else task.state)
