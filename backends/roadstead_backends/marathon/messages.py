"""What Marathon answers, as far as we read it: structs that name the fields that something here looks at, no others.

Whatever else an answer has is skipped, so that one app with a field nobody knows does not hide all the others; and
every field that some version leaves out has a default. What is optional is absent since 1.5 and ``null`` before.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

__all__ = [
    "Action",
    "App",
    "AppId",
    "AppList",
    "Container",
    "Created",
    "CurrentAction",
    "Definition",
    "Definitions",
    "Delay",
    "Deployed",
    "Deployment",
    "Health",
    "HealthCheck",
    "Info",
    "LastFailure",
    "Network",
    "OfferSummary",
    "Port",
    "Queue",
    "QueueItem",
    "Readiness",
    "Refusal",
    "Rejection",
    "Step",
    "Task",
    "TaskAddress",
    "TaskList",
    "VersionInfo",
    "Wrapped",
    "millis",
]


class _Said(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Something that Marathon says."""


# ---- apps ----


class AppId(_Said, frozen=True, kw_only=True):
    """Something that is named and nothing more: a deployment that an app waits for."""

    id: str


class LastFailure(_Said, frozen=True, kw_only=True):
    """How the task of an app ended that failed last."""

    task_id: str = ""
    state: str = ""
    message: str = ""
    host: str = ""
    timestamp: dt.datetime | None = None
    version: str = ""


class Readiness(_Said, frozen=True, kw_only=True):
    """What a readiness check of one task found last."""

    task_id: str = ""
    name: str = ""
    ready: bool = False


class VersionInfo(_Said, frozen=True, kw_only=True):
    """When an app was last scaled, and when anything else of it was last changed."""

    last_scaling_at: str = ""
    last_config_change_at: str = ""


class Port(_Said, frozen=True, kw_only=True):
    """One port of a server; ``container_port`` is its own where it has a network of its own."""

    name: str | None = None
    container_port: int = 0


class Container(_Said, frozen=True, kw_only=True):
    """The container of an app."""

    port_mappings: tuple[Port, ...] | None = None


class Network(_Said, frozen=True, kw_only=True):
    """A network that the tasks of an app are on."""

    mode: str = "host"


class HealthCheck(_Said, frozen=True, kw_only=True):
    """A check of an app's tasks."""

    protocol: str = ""


class App(_Said, frozen=True, kw_only=True):
    """An app with what Marathon knows of its tasks; ``version`` changes with every change of the app."""

    id: str
    instances: int = 1
    labels: dict[str, str] = {}
    version: str = ""
    cpus: float = 0.0
    mem: float = 0.0
    disk: float = 0.0
    gpus: int = 0
    tasks_staged: int = 0
    tasks_running: int = 0
    tasks_healthy: int = 0
    tasks_unhealthy: int = 0
    deployments: tuple[AppId, ...] = ()
    last_task_failure: LastFailure | None = None
    version_info: VersionInfo = VersionInfo()
    port_definitions: tuple[Port, ...] = ()
    container: Container | None = None
    networks: tuple[Network, ...] = ()
    health_checks: tuple[HealthCheck, ...] = ()
    tasks: tuple[Task, ...] | None = None


class AppList(_Said, frozen=True, kw_only=True):
    """The answer to ``GET /v2/apps``."""

    apps: list[App]


class Wrapped(_Said, frozen=True, kw_only=True):
    """The answer to ``GET /v2/apps/ID``."""

    app: App


class Definitions(_Said, frozen=True, kw_only=True):
    """The answer to ``GET /v2/apps``, with each app as it was written."""

    apps: list[msgspec.Raw]


class Definition(_Said, frozen=True, kw_only=True):
    """The answer to ``GET /v2/apps/ID``, with the app as it was written."""

    app: msgspec.Raw


class Created(_Said, frozen=True, kw_only=True):
    """The answer to ``POST /v2/apps``: the app, with the deployment that starts it."""

    id: str
    version: str = ""
    deployments: tuple[AppId, ...] = ()


class Deployed(_Said, frozen=True, kw_only=True):
    """The answer to most other changes: the deployment that carries it out."""

    version: str = ""
    deployment_id: str = ""


# ---- tasks ----


class Health(_Said, frozen=True, kw_only=True):
    """What a health check of one task found."""

    alive: bool = False
    consecutive_failures: int = 0
    first_success: dt.datetime | None = None
    last_failure: dt.datetime | None = None
    last_failure_cause: str | None = None


class TaskAddress(_Said, frozen=True, kw_only=True):
    """An address that a task has for itself."""

    ip_address: str
    protocol: str = "IPv4"


class Task(_Said, frozen=True, kw_only=True):
    """A task as the API shows it; one that waits for its next start has no ``ports`` and no ``staged_at``."""

    id: str
    app_id: str = ""
    state: str = ""
    host: str = ""
    slave_id: str | None = None
    ports: tuple[int, ...] = ()
    staged_at: dt.datetime | None = None
    started_at: dt.datetime | None = None
    version: str = ""
    health_check_results: tuple[Health, ...] = ()
    ip_addresses: tuple[TaskAddress, ...] = ()
    zone: str | None = None
    region: str | None = None
    role: str | None = None


class TaskList(_Said, frozen=True, kw_only=True):
    """The answer to ``GET /v2/tasks`` and ``GET /v2/apps/ID/tasks``."""

    tasks: list[Task]


# ---- deployments ----


class Action(_Said, frozen=True, kw_only=True):
    """One action of a step, on an app or a pod; before 1.8 the key was ``type``."""

    action: str = ""
    type: str = ""
    app: str | None = None
    pod: str | None = None


class Step(_Said, frozen=True, kw_only=True):
    """What is done at once."""

    actions: tuple[Action, ...] = ()


class CurrentAction(_Said, frozen=True, kw_only=True):
    """An action that is going on."""

    action: str = ""
    app: str | None = None
    readiness_check_results: tuple[Readiness, ...] = ()


class Deployment(_Said, frozen=True, kw_only=True):
    """A change that Marathon is carrying out; it locks what it affects, and never gives up."""

    id: str
    version: str = ""
    affected_apps: tuple[str, ...] = ()
    affected_pods: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    current_actions: tuple[CurrentAction, ...] = ()
    current_step: int = 0
    total_steps: int = 0


# ---- the launch queue ----


class Rejection(_Said, frozen=True, kw_only=True):
    """How many offers passed one test of the funnel, and how many failed it."""

    reason: str
    declined: int = 0
    processed: int = 0


class OfferSummary(_Said, frozen=True, kw_only=True):
    """What became of the offers that were looked at for an app."""

    processed_offers_count: int = 0
    unused_offers_count: int = 0
    last_unused_offer_at: dt.datetime | None = None
    last_used_offer_at: dt.datetime | None = None
    reject_summary_last_offers: tuple[Rejection, ...] = ()
    reject_summary_launch_attempt: tuple[Rejection, ...] = ()


class Delay(_Said, frozen=True, kw_only=True):
    """How long the next start waits, and whether one takes too long."""

    time_left_seconds: int = 0
    overdue: bool = False


class QueueItem(_Said, frozen=True, kw_only=True):
    """What waits to be started: an app's tasks, or a pod's, which we do not look at."""

    count: int = 0
    delay: Delay = Delay()
    since: dt.datetime | None = None
    processed_offers_summary: OfferSummary = OfferSummary()
    app: AppId | None = None


class Queue(_Said, frozen=True, kw_only=True):
    """The answer to ``GET /v2/queue``."""

    queue: list[QueueItem]


# ---- the rest ----


class MarathonConfig(_Said, frozen=True, kw_only=True):
    """What a Marathon was started with; both names of the master's address are in use."""

    features: tuple[str, ...] = ()
    mesos_leader_ui_url: str | None = msgspec.field(default=None, name="mesos_leader_ui_url")
    mesos_role: str | None = msgspec.field(default=None, name="mesos_role")


class Info(_Said, frozen=True, kw_only=True):
    """The answer to ``GET /v2/info``."""

    version: str
    leader: str | None = None
    elected: bool | None = None
    framework_id: str | None = None
    marathon_config: MarathonConfig = msgspec.field(default=MarathonConfig(), name="marathon_config")


class Refusal(_Said, frozen=True, kw_only=True):
    """What Marathon says of an error: ``details`` is a text, or a list of paths and what is wrong there."""

    message: str = ""
    details: Any = None
    deployments: tuple[AppId, ...] = ()


def millis(at: dt.datetime) -> int:
    """Return a moment as milliseconds since the epoch.

    >>> millis(dt.datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=dt.UTC))
    1500
    """
    return (at - _EPOCH) // dt.timedelta(milliseconds=1)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
