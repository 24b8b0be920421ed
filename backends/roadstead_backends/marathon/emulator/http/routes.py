"""Every address that Marathon answers, in the order in which Jersey tries them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from roadstead_backends.marathon.emulator.http.apps import Apps
from roadstead_backends.marathon.emulator.http.groups import Groups
from roadstead_backends.marathon.emulator.http.pods import Pods
from roadstead_backends.marathon.emulator.http.routing import Handler, Method, Param, Route
from roadstead_backends.marathon.emulator.http.system import System

__all__ = ["routes"]

_EMBED: Final = Param("embed")
_FORCE: Final = Param("force", "false")
_FORCED: Final = Param("force", "true")
_PARTIAL: Final = Param("partialUpdate", "true")
_DRY: Final = Param("dryRun", "false")
_WIPE: Final = Param("wipe", "false")
_SCALE: Final = Param("scale", "false")
_JSON: Final = ("application/json",)
_ANY: Final = ("*/*",)


def _route(template: str, pattern: str, *methods: Method, within: str | None = None) -> Route:
    return Route(pattern=re.compile(pattern), template=template, methods=methods, within=within)


def _get(name: str, handler: Handler, *query: Param) -> Method:
    return Method(verb="GET", name=name, handler=handler, query=query)


def _prompt(name: str, handler: Handler, *, produces: tuple[str, ...] = _JSON, described: str = _JSON[0]) -> Method:
    return Method(verb="GET", name=name, handler=handler, produces=produces, described=described)


def _method(verb: str, name: str, handler: Handler, *query: Param, consumes: bool = False) -> Method:
    return Method(verb=verb, name=name, handler=handler, query=query, consumes_json=consumes)


def routes(apps: Apps, groups: Groups, pods: Pods, system: System) -> Sequence[Route]:
    """Return the routes to these resources."""
    return (*_apps(apps), *_groups(groups), *_pods(pods), *_work(system), *_system(system))


def _apps(apps: Apps) -> Sequence[Route]:
    return (
        _route(
            "/v2/apps",
            "/v2/apps",
            _get("index", apps.index, Param("cmd"), Param("id"), Param("label"), _EMBED),
            _method("POST", "create", apps.create, _FORCE, consumes=True),
            _method("PUT", "replaceMultiple", apps.replace_many, _FORCE, _PARTIAL, consumes=True),
            _method("PATCH", "patchMultiple", apps.patch_many, _FORCE, consumes=True),
        ),
        _route(
            "/v2/apps/{id:.+}",
            "/v2/apps/(?P<app_id>.+)",
            _method("PUT", "replace", apps.replace, _FORCE, _PARTIAL, consumes=True),
            _method("DELETE", "delete", apps.delete, _FORCED),
            _method("PATCH", "patch", apps.patch, _FORCE, consumes=True),
            _get("show", apps.show, _EMBED),
            within="/v2/apps",
        ),
        _route(
            "/v2/apps/{id:.+}/restart",
            "/v2/apps/(?P<app_id>.+)/restart",
            _method("POST", "restart", apps.restart, _FORCE),
            _method("DELETE", "deleteRestart", apps.delete_restart, _FORCED),
            within="/v2/apps",
        ),
        _route(
            "/v2/apps/{appId:.+}/tasks",
            "/v2/apps/(?P<app_id>.+)/tasks",
            _get("indexJson", apps.tasks),
            _method("DELETE", "deleteMany", apps.kill_tasks, Param("host"), _SCALE, _FORCE, _WIPE),
            within="/v2/apps",
        ),
        _route(
            "/v2/apps/{appId:.+}/tasks/{taskId}",
            "/v2/apps/(?P<app_id>.+)/tasks/(?P<task_id>[^/]+)",
            _method("DELETE", "deleteOne", apps.kill_task, _SCALE, _FORCE, _WIPE),
            within="/v2/apps/{appId:.+}/tasks",
        ),
        _route(
            "/v2/apps/{appId:.+}/versions",
            "/v2/apps/(?P<app_id>.+)/versions",
            _get("index", apps.versions),
            within="/v2/apps",
        ),
        _route(
            "/v2/apps/{appId:.+}/versions/{version}",
            "/v2/apps/(?P<app_id>.+)/versions/(?P<version>[^/]+)",
            _get("show", apps.version),
            within="/v2/apps/{appId:.+}/versions",
        ),
    )


def _groups(groups: Groups) -> Sequence[Route]:
    return (
        _route(
            "/v2/groups",
            "/v2/groups",
            _method("DELETE", "delete", groups.delete_root, _FORCE),
            _get("root", groups.root, _EMBED),
            _method("POST", "create", groups.create, _FORCE),
            _method("PUT", "updateRoot", groups.update_root, _FORCE, _DRY),
        ),
        _route(
            "/v2/groups/{id:.+}",
            "/v2/groups/(?P<group_id>.+)",
            _get("group", groups.show, _EMBED),
            _method("PUT", "update", groups.update, _FORCE, _DRY),
            _method("DELETE", "delete", groups.delete, _FORCE),
            _method("POST", "createWithPath", groups.create, _FORCE),
            _method("PATCH", "patchGroup", groups.patch),
            within="/v2/groups",
        ),
    )


def _pods(pods: Pods) -> Sequence[Route]:
    return (
        _route(
            "/v2/pods",
            "/v2/pods",
            _method("POST", "create", pods.create, _FORCE, consumes=True),
            _get("findAll", pods.index),
            _method("HEAD", "capability", pods.capability),
        ),
        _route(
            "/v2/pods/{id:.+}",
            "/v2/pods/(?P<pod_id>.+)",
            _method("DELETE", "remove", pods.remove, _FORCE),
            _method("PUT", "update", pods.update, _FORCE, consumes=True),
            _get("find", pods.show),
            within="/v2/pods",
        ),
        _route(
            "/v2/pods/{id:.+}::versions/{version}",
            "/v2/pods/(?P<pod_id>.+)::versions/(?P<version>[^/]+)",
            _get("version", pods.version),
            within="/v2/pods",
        ),
        _route(
            "/v2/pods/{id:.+}::status",
            "/v2/pods/(?P<pod_id>.+)::status",
            _get("status", pods.status),
            within="/v2/pods",
        ),
        _route(
            "/v2/pods/{id:.+}::versions",
            "/v2/pods/(?P<pod_id>.+)::versions",
            _get("versions", pods.versions),
            within="/v2/pods",
        ),
        _route("/v2/pods/::status", "/v2/pods/::status", _get("allStatus", pods.all_status), within="/v2/pods"),
        _route(
            "/v2/pods/{id:.+}::instances/{instanceId}",
            "/v2/pods/(?P<pod_id>.+)::instances/(?P<instance_id>[^/]+)",
            _method("DELETE", "killInstance", pods.kill_instance, _WIPE),
            within="/v2/pods",
        ),
        _route(
            "/v2/pods/{id:.+}::instances",
            "/v2/pods/(?P<pod_id>.+)::instances",
            _method("DELETE", "killInstances", pods.kill_instances, _WIPE, consumes=True),
            within="/v2/pods",
        ),
    )


def _work(system: System) -> Sequence[Route]:
    return (
        _route("/v2/tasks", "/v2/tasks", _get("indexJson", system.tasks, Param("status"), Param("status[]"))),
        _route(
            "/v2/tasks/delete",
            "/v2/tasks/delete",
            _method("POST", "killTasks", system.delete_tasks, _SCALE, _FORCE, _WIPE, consumes=True),
            within="/v2/tasks",
        ),
        _route("/v2/deployments", "/v2/deployments", _get("running", system.deployments)),
        _route(
            "/v2/deployments/{id}",
            "/v2/deployments/(?P<deployment_id>[^/]+)",
            _method("DELETE", "cancel", system.delete_deployment, _FORCE),
            within="/v2/deployments",
        ),
        _route("/v2/queue", "/v2/queue", _get("index", system.queue, _EMBED)),
        _route(
            "/v2/queue/{runSpecId:.+}/delay",
            "/v2/queue/(?P<spec_id>.+)/delay",
            _method("DELETE", "resetDelay", system.reset_delay),
            within="/v2/queue",
        ),
    )


def _system(system: System) -> Sequence[Route]:
    return (
        _route("/v2/info", "/v2/info", _get("index", system.info)),
        _route(
            "/v2/leader",
            "/v2/leader",
            _get("index", system.leader),
            _method("DELETE", "delete", system.abdicate, Param("backup"), Param("restore")),
        ),
        _route("/v2/plugins", "/v2/plugins", _get("plugins", system.plugins)),
        _route("/ping", "/ping", _prompt("ping", system.ping, produces=_ANY, described="*/*")),
        _route("/metrics", "/metrics", _prompt("metrics", system.metrics)),
        _route(
            "/metrics/prometheus",
            "/metrics/prometheus",
            _prompt("metricsPrometheus", system.prometheus, produces=_ANY, described="text/plain"),
        ),
        _route("/logging", "/logging", _prompt("showLoggers", system.logging)),
        _route("/config", "/config", _prompt("config", system.config)),
        _route("/", "/", _prompt("index", system.to_ui, produces=_ANY)),
        _route("/help", "/help", _prompt("help", system.to_console, produces=_ANY)),
    )
