"""What is neither app, group nor pod: tasks, deployments, the queue, the leader, and the system itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from roadstead_backends.marathon.emulator.documents.reading import Field, ObjectOf, Unreadable, array, string
from roadstead_backends.marathon.emulator.http.apps import absolute
from roadstead_backends.marathon.emulator.http.intake import json_of, typed
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, deployed, html_error, json_answer
from roadstead_backends.marathon.emulator.http.negotiation import accepted, fits
from roadstead_backends.marathon.emulator.http.views import Views
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.refusals import Refusal, Violations
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.rules.uris import is_uri
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.moments import written
from roadstead_backends.marathon.emulator.scheduling.task_ids import instance_named

__all__ = ["Elections", "System"]

_DELETE: Final = ObjectOf(fields=(Field(name="ids", read=array(string()), required=True),))
_MASTER: Final = "mesos_leader_ui_url"


class Elections:
    """Who leads, as answers say it; a single Marathon always leads itself."""

    def __init__(self, leader: Callable[[], str | None], abdicate: Callable[[], None]) -> None:
        self.leader = leader
        self.abdicate = abdicate


class System:
    """Everything around the apps."""

    def __init__(self, marathon: Marathon, views: Views, elections: Elections) -> None:
        self._marathon = marathon
        self._views = views
        self._elections = elections

    # Tasks ----------------------------------------------------------------------------------------------------------

    def tasks(self, request: Request) -> Answer:
        """List the tasks of all apps, running or staging ones if asked."""
        asked = [value.lower() for value in (*request.values("status"), *request.values("status[]"))]
        wanted = {state for state in ("running", "staging") if state in asked}
        instances = [each for each in self._marathon.supervisor.tracker.all() if not each.spec.is_pod]
        if wanted:
            conditions = {"running": ("Running",), "staging": ("Staging", "Provisioned")}
            allowed = {condition for state in wanted for condition in conditions[state]}
            instances = [each for each in instances if each.condition in allowed]
        return json_answer({"tasks": self._views.tasks(instances, service_ports=True)})

    def delete_tasks(self, request: Request) -> Answer:
        """End tasks of any apps."""
        scale, wipe = request.flag("scale"), request.flag("wipe")
        if scale and wipe:
            raise Refusal(400, {"message": "You cannot use scale and wipe at the same time."})
        named = [_named(task_id) for task_id in typed(json_of(request.body), _ids)]
        victims: dict[PathId, list[Instance]] = {}
        for instance in self._marathon.supervisor.tracker.all():
            if instance.id in named:
                victims.setdefault(instance.spec.id, []).append(instance)
        if scale:
            plan = self._marathon.kill_and_scale(victims, force=request.flag("force"))
            return deployed(plan.id, written(plan.version))
        instances = [each for group in victims.values() for each in group if not each.spec.is_pod]
        shown = self._views.tasks(instances, health=False)
        self._marathon.supervisor.kill_and_replace(instances, wipe=wipe)
        return json_answer({"tasks": shown})

    # Deployments and queue ------------------------------------------------------------------------------------------

    def deployments(self, _request: Request) -> Answer:
        """List the deployments under way."""
        return json_answer(self._marathon.deployments.shown())

    def delete_deployment(self, request: Request, deployment_id: str) -> Answer:
        """Undo a deployment by another; with ``force`` only end it."""
        plan = self._marathon.deployments.plan(deployment_id)
        if plan is None:
            message = f"DeploymentPlan {deployment_id} does not exist"
            raise Refusal(404, {"message": message, "details": []})
        if request.flag("force"):
            self._marathon.deployments.cancel(deployment_id)
            return Answer(status=202, content_type=None)
        undone = self._marathon.roll_back(deployment_id)
        return deployed(undone.id, written(undone.version))

    def queue(self, request: Request) -> Answer:
        """List what waits to be launched."""
        unused = "lastUnusedOffers" in request.values("embed")
        launcher = self._marathon.supervisor.launcher
        return json_answer({"queue": launcher.shown(self._marathon.root.spec, unused=unused)})

    def reset_delay(self, _request: Request, spec_id: str) -> Answer:
        """Launch an app or pod at once again."""
        path = absolute(spec_id)
        if not self._marathon.supervisor.launcher.reset_delay(path):
            body = {"message": f"Application {path} not found in tasks queue.", "details": []}
            answer = json_answer(body, 404)
            return Answer(status=404, body=answer.body, content_type="application/octet-stream")
        return Answer(status=204, content_type=None)

    # The system -----------------------------------------------------------------------------------------------------

    def leader(self, _request: Request) -> Answer:
        """Say who leads."""
        leader = self._elections.leader()
        if leader is None:
            raise Refusal(404, {"message": "There is no leader", "details": []})
        return json_answer({"leader": leader})

    def abdicate(self, request: Request) -> Answer:
        """Give up leading; what is to be stored before, and read after, is looked at and left alone."""
        if self._elections.leader() is None:
            raise Refusal(404, {"message": "There is no leader", "details": []})
        for name in ("backup", "restore"):
            for uri in request.values(name)[:1]:
                _check_store(uri)
        self._elections.abdicate()
        return json_answer({"message": "Leadership abdicated", "details": []})

    def info(self, _request: Request) -> Answer:
        """Say what this is and how it was started."""
        settings = self._marathon.settings
        return json_answer(
            {
                "name": "marathon",
                "version": settings.profile.version,
                "buildref": settings.profile.buildref,
                "elected": self._elections.leader() is not None,
                "leader": self._elections.leader(),
                "frameworkId": self._marathon.framework_id,
                "marathon_config": self._config(),
                "zookeeper_config": {
                    "zk": settings.zookeeper,
                    "zk_compression": True,
                    "zk_compression_threshold": 65536,
                    "zk_connection_timeout": 10000,
                    "zk_max_node_size": 1024000,
                    "zk_max_versions": settings.zk_max_versions,
                    "zk_session_timeout": 10000,
                    "zk_timeout": 10000,
                },
                "http_config": {"http_port": settings.http_port, "https_port": 8443},
            }
        )

    def _config(self) -> Document:
        settings = self._marathon.settings
        origin = settings.allow_origin
        return {
            "access_control_allow_origin": list(origin) if origin is not None else None,
            "checkpoint": True,
            "decline_offer_duration": settings.decline_offer_duration,
            "default_network_name": settings.default_network_name,
            "env_vars_prefix": None,
            "executor": "//cmd",
            "failover_timeout": 604800,
            "features": [name for name in _FEATURES if name in settings.features],
            "framework_name": "marathon",
            "ha": True,
            "hostname": settings.hostname,
            "launch_token": settings.launch_token,
            "launch_token_refresh_interval": settings.launch_token_refresh_interval,
            "leader_proxy_connection_timeout_ms": 5000,
            "leader_proxy_read_timeout_ms": 10000,
            "local_port_max": settings.local_port_max,
            "local_port_min": settings.local_port_min,
            "master": settings.mesos_master,
            "max_instances_per_offer": settings.max_instances_per_offer,
            "mesos_bridge_name": settings.mesos_bridge_name,
            "mesos_heartbeat_failure_threshold": 5,
            "mesos_heartbeat_interval": 15000,
            _MASTER: settings.mesos_leader_ui,
            "mesos_role": settings.mesos_role,
            "mesos_user": "root",
            "new_group_enforce_role": settings.new_group_enforce_role,
            "min_revive_offers_interval": settings.min_revive_offers_interval,
            "offer_matching_timeout": 3000,
            "on_elected_prepare_timeout": 180000,
            "reconciliation_initial_delay": 15000,
            "reconciliation_interval": settings.reconciliation_interval,
            "scale_apps_initial_delay": settings.scale_apps_initial_delay,
            "scale_apps_interval": settings.scale_apps_interval,
            "store_cache": True,
            "task_launch_confirm_timeout": settings.task_launch_confirm_timeout,
            "task_launch_timeout": settings.task_launch_timeout,
            "task_lost_expunge_initial_delay": settings.task_lost_expunge_initial_delay,
            "task_lost_expunge_interval": settings.task_lost_expunge_interval,
            "task_reservation_timeout": 20000,
            "webui_url": None,
            "maintenance_mode": True,
        }

    def plugins(self, _request: Request) -> Answer:
        """List plugins; there are none."""
        return json_answer({"plugins": []})

    @staticmethod
    def ping(request: Request) -> Answer:
        """Say that it is there, in the form that is liked best; to who accepts none of them, say nothing."""
        for wanted in accepted(request.header("accept")):
            kind = next((kind for kind in _PONGS if fits([wanted], kind)), None)
            if kind is not None:
                return Answer(body=_PONGS[kind], content_type=kind, varies="Accept")
        return Answer(status=204, content_type=None, varies="Accept")

    def metrics(self, _request: Request) -> Answer:
        """Count what there is; the original counts much more."""
        counts = self._gauges()
        return json_answer(
            {
                "version": "4.0.0",
                "counters": {},
                "gauges": {name: {"value": value} for name, value in counts.items()},
                "histograms": {},
                "meters": {},
                "timers": {},
            }
        )

    def prometheus(self, _request: Request) -> Answer:
        """Count what there is, for Prometheus."""
        lines = []
        for name, value in self._gauges().items():
            metric = re.sub(r"[^a-zA-Z0-9]", "_", name)
            lines.append(f"# TYPE {metric} gauge\n{metric} {value}\n")
        return Answer(body="\n".join(lines).encode(), content_type="text/plain")

    def _gauges(self) -> dict[str, int]:
        root, instances = self._marathon.root, self._marathon.supervisor.tracker.all()
        conditions = [instance.condition for instance in instances]
        return {
            "marathon.apps.active.gauge": sum(1 for _ in root.tree.all_apps()),
            "marathon.groups.active.gauge": sum(1 for _ in root.tree.walk()),
            "marathon.pods.active.gauge": sum(1 for _ in root.tree.all_pods()),
            "marathon.deployments.active.gauge": self._marathon.deployments.count,
            "marathon.instances.running.gauge": conditions.count("Running"),
            "marathon.instances.staged.gauge": conditions.count("Staging") + conditions.count("Provisioned"),
            "marathon.leadership.duration.gauge.seconds": self._marathon.timeline.now // 1000,
        }

    def logging(self, _request: Request) -> Answer:
        """List loggers; an emulator has one."""
        return json_answer({"ROOT": "INFO"})

    def config(self, _request: Request) -> Answer:
        """Show the flags."""
        return json_answer(self._config())

    @staticmethod
    def to_ui(_request: Request) -> Answer:
        """Lead to the user interface, which is not part of Marathon's own program."""
        return Answer(status=302, headers={"Location": "/ui/"}, content_type=None)

    @staticmethod
    def to_console(_request: Request) -> Answer:
        """Lead to the page about the API."""
        return Answer(status=302, headers={"Location": "api-console/index.html"}, content_type=None)

    @staticmethod
    def to_console_folder(_request: Request) -> Answer:
        """Lead to the folder of the page about the API."""
        return Answer(status=302, headers={"Location": "/api-console/"}, content_type=None)

    @staticmethod
    def no_file(request: Request, _rest: Any = None) -> Answer:
        """Say that there is no such file."""
        return html_error(404, request.path)


def _ids(value: Any) -> Any:
    """Read the ids of tasks; the field is taken out first, so that errors are told as if there were nothing around."""
    read = _DELETE(value)
    if isinstance(read, Unreadable):
        return Unreadable(tuple((path[1:], messages) for path, messages in read.errors))
    return read["ids"]


def _named(task_id: str) -> str:
    """The instance that a task's id names; what is none is refused."""
    named = instance_named(task_id)
    if named is None:
        why = f"taskId {task_id} no valid identifier (of class java.lang.String)"
        raise Refusal(400, {"message": f"Invalid task id '{task_id}'. [{why}]"})
    return named


def _check_store(uri: str) -> None:
    """Refuse an address that no state can be stored at: there are files and S3 (``UriIO``)."""
    found = Violations()
    parts = urlsplit(uri) if is_uri(uri) else None
    found.check(parts is not None, "/", "URI has invalid syntax.")
    if parts is not None:
        whole = (parts.scheme == "file" and len(parts.path) > 1) or (
            parts.scheme == "s3" and bool(parts.hostname) and bool(parts.path)
        )
        found.check(whole, "/", f"Invalid URI or unsupported scheme: {uri}")
    found.raise_any()


_PONGS: Final = {"text/plain": b"pong", "text/html": b"pong", "application/json": b'"pong"'}
_FEATURES: Final = ("secrets", "external_volumes", "vips", "gpu_resources", "task_killing")
