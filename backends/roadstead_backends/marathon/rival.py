"""What Marathon has of its own to keep a model served: a plain app with its upgrade strategy, to be compared with.

Its tasks are what ours are (:mod:`roadstead_backends.marathon.translate`), so that only who looks after them differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from roadstead.errors import Conflict, Rejected
from roadstead.model import Reach
from roadstead.spi.backend import BackendContext, GroupOrder
from roadstead.spi.comparison import Standing, Work
from roadstead.template import revision
from roadstead.world import GroupKey
from roadstead_backends.marathon import names, translate
from roadstead_backends.marathon.client import Client
from roadstead_backends.marathon.connect import options_of
from roadstead_backends.marathon.messages import App, Task
from roadstead_backends.marathon.options import MarathonOptions
from roadstead_backends.marathon.reading import is_active

__all__ = ["PlainApp", "plain_app", "upgrade_strategy"]

_LESS_THAN_ONE: Final = 0.001
"""What a share is given so that its product with the number of instances rounds to the number that is meant."""


def plain_app(context: BackendContext) -> PlainApp:
    """Return what makes a plain app on that cluster; nothing is asked of it yet."""
    options = options_of(context)
    return PlainApp(Client(options, cluster=context.cluster), options, context)


def upgrade_strategy(replicas: int, *, surge: int, unavailable: int) -> Mapping[str, float]:
    """Return as shares of all instances how many more, and how many fewer, there may be while they are replaced.

    >>> upgrade_strategy(4, surge=1, unavailable=1)
    {'minimumHealthCapacity': 0.74975, 'maximumOverCapacity': 0.25025}
    """
    healthy, over = replicas - unavailable - _LESS_THAN_ONE, surge + _LESS_THAN_ONE
    return {
        "minimumHealthCapacity": 1.0 if not unavailable else max(0.0, round(healthy / replicas, 6)),
        "maximumOverCapacity": 0.0 if not surge else min(1.0, round(over / replicas, 6)),
    }


class PlainApp:
    """An app with nobody's eyes on it but Marathon's own."""

    def __init__(self, client: Client, options: MarathonOptions, context: BackendContext) -> None:
        self._client = client
        self._options = options
        self._context = context
        self._id = ""

    def ask(self, work: Work) -> None:
        """Have the app be that, which begins or rolls it."""
        key = GroupKey(work.name, revision(work.template))
        self._id = f"{names.fleet_path(self._options.path, self._context.fleet)}/{work.name}"
        order = GroupOrder(
            key=key,
            fleet=self._context.fleet,
            owner="comparison",
            owner_id=self._context.owner_id,
            generation=1,
            template=work.template,
            launch=work.launch,
        )
        try:
            made = translate.rendering(order, self._options, reaches=self._context.reach is Reach.DIRECT)
        except ValueError as error:
            raise Rejected(str(error), cluster=self._context.cluster, subject=self._id) from error
        strategy = upgrade_strategy(work.replicas, surge=work.max_surge, unavailable=work.max_unavailable)
        changed: dict[str, Any] = {"id": self._id, "instances": work.replicas, "upgradeStrategy": dict(strategy)}
        self._client.replace({**made, **changed})

    def standing(self) -> Standing:
        """Return what the tasks are."""
        app = self._found()
        if app is None:
            return Standing()
        tasks = [task for task in app.tasks or () if is_active(task)]
        ready = [task for task in tasks if _is_ready(task)]
        return Standing(
            current=frozenset(task.id for task in ready if _is_current(task, app)),
            ready=len(ready),
            others=sum(not _is_current(task, app) for task in tasks),
        )

    def lose(self) -> str:
        """Have Marathon kill a ready task: it has no way to end one without asking it first."""
        app = self._found()
        ready = [task.id for task in (app.tasks or () if app is not None else ()) if _is_ready(task)]
        if not ready:
            raise Conflict("no task is ready", cluster=self._context.cluster, subject=self._id, hint="observe again")
        self._client.kill((ready[0],), scale=False)
        return ready[0]

    def end(self) -> bool:
        """Remove the app and its tasks; return whether none is left."""
        if self._id:
            self._client.delete(self._id, force=True)
        return not any(task.app_id == self._id for task in self._client.tasks())

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _found(self) -> App | None:
        return self._client.app(self._id) if self._id else None


def _is_ready(task: Task) -> bool:
    """Return whether Marathon takes a task for one that serves."""
    return (
        task.state == "TASK_RUNNING"
        and bool(task.health_check_results)
        and all(one.alive for one in task.health_check_results)
    )


def _is_current(task: Task, app: App) -> bool:
    return task.version == (app.version_info.last_config_change_at or app.version)
