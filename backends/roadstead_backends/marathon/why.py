"""Why an app has not what it was asked for: what Marathon and Mesos say, in our words, with theirs beside them. Pure.

No source says it all. For a task that is not there: how the last one ended, the launch queue with its delay and its
funnel of offers, the agents as Mesos counts them, and the deployment that has to come to it. For one that is there: how
long its agent has been preparing it, and what its health checks found. What a moment makes of it is said as that
moment, never as a time that passes, so that a reason stays the same for as long as nothing happens.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import attrs

from roadstead.model import Template
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.units import Duration
from roadstead.world import Exit
from roadstead_backends.marathon.endings import ended_reason
from roadstead_backends.marathon.funnel import Lacking, waiting_reason
from roadstead_backends.marathon.mesos import Agent
from roadstead_backends.marathon.messages import App, Deployment, Health, QueueItem, Task, millis

__all__ = ["LAUNCH_TIMEOUT", "NO_REASON", "OVERDUE", "Ending", "Missing", "Why", "missing_reason", "task_reason"]

LAUNCH_TIMEOUT: Final = Duration(300_000)
"""How long Marathon lets an agent prepare a task, by its own default (``--task_launch_timeout``)."""

OVERDUE: Final = Duration(60_000)
"""For how long an agent prepares a task before that is worth a word."""

_COARSE_S: Final = 10


@attrs.frozen(kw_only=True)
class Why:
    """Why an app is not as it was asked: the app itself, the tasks that it lacks, and those that it has, by task id."""

    app: Reason | None = None
    missing: Reason | None = None
    tasks: Mapping[str, Reason] = attrs.field(factory=dict)


NO_REASON: Final = Why()


@attrs.frozen(kw_only=True)
class Ending:
    """How a task of an app ended, and on which agent; ``number`` of its instances wait to be started again for it."""

    exit: Exit
    host: str
    number: int = 1


@attrs.frozen(kw_only=True)
class Missing:
    """What is known of an app that has fewer tasks than it was asked for.

    ``item`` is of the launch queue, ``None`` where the app is not in it; ``read_at`` (ms since the epoch) is when that
    was read. ``deployments`` are all that Marathon carries out. ``ending`` is how a task of it ended that waits to be
    started again, ``None`` where none does. ``agents`` are empty where nobody knows them.
    ``unread`` says why the queue could not be read, where that is so and it never could be before.
    """

    app_id: str
    lacking: Lacking
    item: QueueItem | None
    read_at: int
    deployments: Sequence[Deployment] = ()
    ending: Ending | None = None
    agents: Iterable[Agent] = ()
    unread: str = ""


def missing_reason(missing: Missing) -> Reason:
    """Return why tasks of an app are not there."""
    item = missing.item
    delayed = item is not None and item.delay.time_left_seconds > 0 and not item.delay.overdue
    if item is None or delayed:
        return _ended(missing, delayed=delayed) or _not_begun(missing)
    reason = waiting_reason(missing.lacking, item.processed_offers_summary, missing.agents)
    if reason.code is ReasonCode.STARTING:
        return _ended(missing, delayed=False) or reason
    since = f"in the launch queue since {item.since:%Y-%m-%d %H:%M:%SZ}" if item.since is not None else ""
    return attrs.evolve(reason, raw="\n".join(filter(None, (reason.raw, since))))


def _ended(missing: Missing, *, delayed: bool) -> Reason | None:
    """Return how a task ended that is to be started again."""
    if missing.ending is None:
        return None
    reason = ended_reason(missing.ending.exit, missing.lacking.template, missing.ending.host)
    until = f", not before {_until(missing.item, missing.read_at)}" if missing.item is not None and delayed else ""
    return attrs.evolve(reason, detail=reason.detail + until)


def _not_begun(missing: Missing) -> Reason:
    if missing.item is None:
        return _not_queued(missing)
    detail = f"tasks of it failed, and Marathon starts none before {_until(missing.item, missing.read_at)}"
    return Reason(code=ReasonCode.BACK_OFF, detail=detail, change=Change(ChangeKind.WAIT, "wait"))


def _until(item: QueueItem, read_at: int) -> str:
    """Return when a delay ends, to some seconds: what is read twice of one delay should say the same."""
    at = read_at // 1000 + item.delay.time_left_seconds
    return f"{dt.datetime.fromtimestamp(-(-at // _COARSE_S) * _COARSE_S, tz=dt.UTC):%H:%M:%SZ}"


def _not_queued(missing: Missing) -> Reason:
    """Return what Marathon does instead of starting tasks."""
    if missing.unread:
        detail = "why it is not started is not known: Marathon's launch queue cannot be read"
        return Reason(code=ReasonCode.STARTING, detail=detail, raw=missing.unread)
    for deployment in missing.deployments:
        if missing.app_id not in deployment.affected_apps:
            continue
        now = sorted({f"{one.action} {one.app}" for one in deployment.current_actions if one.app is not None})
        step = f"step {deployment.current_step} of {deployment.total_steps} of its deployment {deployment.id}"
        if any(one.app == missing.app_id for one in deployment.current_actions):
            return Reason(code=ReasonCode.STARTING, detail=f"Marathon is at {step}", raw=", ".join(now))
        return Reason(code=ReasonCode.STARTING, detail=f"Marathon comes to it after {step}", raw=", ".join(now))
    detail = "Marathon has not put it into its launch queue; it looks for what is missing every few minutes"
    return Reason(code=ReasonCode.STARTING, detail=detail, change=Change(ChangeKind.WAIT, "wait"))


# ---- tasks that are there ----


def task_reason(task: Task, app: App, template: Template, now: int) -> Reason | None:
    """Return why a task that its agent has does not serve as it should; ``None`` where there is nothing to say.

    Changes with time only when a task has been prepared for :data:`OVERDUE`, and for the whole :data:`LAUNCH_TIMEOUT`.
    """
    if task.state in ("TASK_STAGING", "TASK_STARTING"):
        return _preparing(task, template, now)
    if task.state in ("TASK_UNREACHABLE", "TASK_LOST"):
        return _unreachable(task, template)
    failing = next((one for one in task.health_check_results if not one.alive), None)
    if task.state != "TASK_RUNNING" or failing is None or not failing.consecutive_failures:
        return None
    return _unhealthy(task, app, failing)


def _preparing(task: Task, template: Template, now: int) -> Reason | None:
    if task.staged_at is None:
        return None
    passed = now - millis(task.staged_at)
    if passed < OVERDUE.ms:
        return Reason(code=ReasonCode.STARTING, detail="its agent prepares it")
    until = task.staged_at + dt.timedelta(milliseconds=LAUNCH_TIMEOUT.ms)
    what, code, subject = _prepared(template)
    since = f"agent {task.host} has been preparing it since {task.staged_at:%H:%M:%SZ}{what}"
    after = "Marathon has it killed and started elsewhere"
    detail = f"{since}; {after} at {until:%H:%M:%SZ}" if passed < LAUNCH_TIMEOUT.ms else f"{since}; {after} now"
    fix = f"let {task.host} reach {_from(template)}, or look into the task's `stderr` there"
    return Reason(code=code, detail=detail, raw=task.state, change=Change(ChangeKind.FIX_INPUT, fix, subject))


def _unreachable(task: Task, template: Template) -> Reason:
    silent = f"its agent {task.host} does not answer to Mesos"
    detail = f"{silent}; Marathon starts another task {template.health.node_lost_after} after that, when it looks"
    change = Change(ChangeKind.WAIT, f"wait for that, or bring {task.host} back")
    return Reason(code=ReasonCode.UNREACHABLE, detail=detail, raw=task.state, change=change)


def _prepared(template: Template) -> tuple[str, ReasonCode, str]:
    """Return what an agent has to get before it can start a server, what it is when that fails, and where it is set."""
    image, source = template.runtime.image, template.model.source
    fetched = urlsplit(source).scheme in ("http", "https")
    if image is not None:
        model = f" and the model from {source}" if fetched else ""
        return f": it needs image {image}{model}", ReasonCode.IMAGE, "runtime.image"
    if fetched:
        return f": it needs the model from {source}", ReasonCode.MODEL, "model.source"
    return "", ReasonCode.STARTING, ""


def _from(template: Template) -> str:
    image, source = template.runtime.image, urlsplit(template.model.source)
    found = ["the registry of the image"] if image is not None else []
    if source.scheme in ("http", "https"):
        found.append(source.netloc)
    return " and ".join(found) or "Mesos' master"


def _unhealthy(task: Task, app: App, failing: Health) -> Reason:
    """Return what a health check finds; how often it did so is left out, for that changes all the time."""
    check = next((one.protocol for one in app.health_checks), "")
    name = f"its {check} health check" if check else "its health check"
    before = "fails, after it had passed" if failing.first_success is not None else "has not passed once"
    detail = f"{name} on {task.host} {before}; the task is killed if that goes on"
    return Reason(code=ReasonCode.NOT_READY, detail=detail, raw=failing.last_failure_cause or "")
