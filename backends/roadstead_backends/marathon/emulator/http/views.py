"""Apps, groups, tasks and pods as they are answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median_high
from typing import Any, Final

import attrs

from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.events import as_play
from roadstead_backends.marathon.emulator.scheduling.groups import Group
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["ALWAYS", "AppEmbeds", "GroupEmbeds", "Views", "app_embeds"]

_PREFIXES: Final = ("", "apps.", "app.", "group.apps.")


@attrs.frozen(kw_only=True)
class AppEmbeds:
    """What is shown of an app beside its definition."""

    counts: bool = False
    deployments: bool = False
    tasks: bool = False
    readiness: bool = False
    last_failure: bool = False
    statistics: bool = False


ALWAYS: Final = ("counts", "tasks", "lastTaskFailure", "deployments")


def app_embeds(names: Iterable[str]) -> AppEmbeds:
    """What these names ask for; unknown ones ask for nothing."""
    asked = set()
    for name in names:
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                asked.add(name.removeprefix(prefix))
    failures = "failures" in asked
    return AppEmbeds(
        counts="counts" in asked,
        deployments=bool({"deployments", "tasks"} & asked) or failures,
        tasks="tasks" in asked or failures,
        readiness="readiness" in asked,
        last_failure="lastTaskFailure" in asked or failures,
        statistics="taskStats" in asked,
    )


@attrs.frozen(kw_only=True)
class GroupEmbeds:
    """What is shown of a group."""

    groups: bool
    apps: bool
    pods: bool
    of_apps: AppEmbeds

    @classmethod
    def of(cls, names: Sequence[str]) -> GroupEmbeds:
        """What these names ask for; without any, everything but details of apps."""
        if not names:
            return cls(groups=True, apps=True, pods=True, of_apps=AppEmbeds())
        details = [name for name in names if name.startswith("group.apps.")]
        return cls(
            groups="group.groups" in names,
            apps="group.apps" in names,
            pods="group.pods" in names,
            of_apps=app_embeds(details),
        )


class Views:
    """Shows what a Marathon has."""

    def __init__(self, marathon: Marathon) -> None:
        self._marathon = marathon
        self._supervisor = marathon.supervisor

    def app(self, spec: RunSpec, embeds: AppEmbeds) -> Document:
        """An app with what was asked for."""
        shown = self.definition(spec)
        instances = self._supervisor.of(spec.id)
        if embeds.counts:
            shown.update(zip(_COUNTS, self._counts(instances), strict=True))
        if embeds.deployments:
            shown["deployments"] = [{"id": each} for each in self._marathon.deployments.ids_of(spec.id)]
        if embeds.readiness:
            shown["readinessCheckResults"] = self._supervisor.readiness(spec.id)
        if embeds.tasks:
            shown["tasks"] = self.tasks(instances)
        failure = self._supervisor.last_failure(spec.id)
        if embeds.last_failure and failure is not None:
            shown["lastTaskFailure"] = failure
        if embeds.statistics:
            shown[self._marathon.settings.profile.statistics] = self._statistics(spec, instances)
        return shown

    def definition(self, spec: RunSpec, *, with_info: bool = True) -> Document:
        """An app or pod as it was asked for, with its versions."""
        return self._marathon.settings.profile.seen(spec.shown(with_info=with_info))

    def tasks(
        self, instances: Iterable[Instance], *, service_ports: bool = False, health: bool = True
    ) -> list[Document]:
        """The tasks of instances, with what is known of their health unless that is not wanted."""
        found: list[Document] = []
        for instance in instances:
            ports = self._current(instance).service_ports if service_ports else ()
            results = self._supervisor.health.results(instance) if health else []
            found.extend(instance.shown_tasks(results, service_ports=ports))
        if not self._marathon.settings.profile.roles:
            for task in found:
                task.pop("role", None)
        return found

    def _current(self, instance: Instance) -> RunSpec:
        return self._marathon.root.spec(instance.spec.id) or instance.spec

    def _counts(self, instances: Sequence[Instance]) -> tuple[int, int, int, int]:
        """Staged, running, healthy and unhealthy ones."""
        shown = [each.task for each in instances]
        staged = sum(task is not None and task.condition in ("Provisioned", "Staging") for task in shown)
        running = sum(task is not None and task.condition == "Running" for task in shown)
        verdicts = [self._supervisor.health.is_healthy(each) for each in instances if each.tasks]
        return staged, running, verdicts.count(True), verdicts.count(False)

    def _statistics(self, spec: RunSpec, instances: Sequence[Instance]) -> Document:
        stamps = spec.stamps
        with_tasks = [each for each in instances if each.tasks]
        parts = {
            "startedAfterLastScaling": [e for e in with_tasks if e.spec.version >= stamps.last_scaling],
            "withOutdatedConfig": [e for e in with_tasks if e.spec.version < stamps.last_config_change],
            "withLatestConfig": [e for e in with_tasks if e.spec.version >= stamps.last_config_change],
            "totalSummary": with_tasks,
        }
        return {name: {"stats": self._stats(part)} for name, part in parts.items() if part}

    def _stats(self, instances: Sequence[Instance]) -> Document:
        names = ("staged", "running", "healthy", "unhealthy")
        stats: Document = {"counts": dict(zip(names, self._counts(instances), strict=True))}
        now = self._marathon.timeline.now
        lives = [
            (now - task.started_at) / 1000
            for task in (each.task for each in instances)
            if task is not None and task.started_at is not None
        ]
        if lives:
            stats["lifeTime"] = {"averageSeconds": sum(lives) / len(lives), "medianSeconds": median_high(lives)}
        return stats

    def group(self, group: Group, embeds: GroupEmbeds, pods: Any) -> Document:
        """A group with what was asked for; ``pods`` shows the status of one pod."""
        shown: Document = {
            "id": str(group.id),
            "apps": [self.app(app, embeds.of_apps) for app in group.apps.values()] if embeds.apps else [],
            "pods": [pods(pod) for pod in group.pods.values()] if embeds.pods else [],
            "groups": [self.group(child, embeds, pods) for child in group.groups.values()] if embeds.groups else [],
            "dependencies": [str(path) for path in group.dependencies],
            "version": written(group.version),
        }
        if group.id.is_top_level and self._marathon.settings.profile.roles:
            shown["enforceRole"] = bool(group.enforce_role)
        return shown

    def past_group(self, group: Group) -> Document:
        """A group of an earlier tree: definitions only."""
        return self.group(group, GroupEmbeds.of(()), lambda pod: as_play(self.definition(pod)))


_COUNTS: Final = ("tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy")
