"""``/v2/apps``: apps, their tasks and their versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roadstead_backends.marathon.emulator.documents.app_types import APP, APP_UPDATE
from roadstead_backends.marathon.emulator.documents.reading import array
from roadstead_backends.marathon.emulator.http.intake import json_of, known, typed
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, deployed, json_answer
from roadstead_backends.marathon.emulator.http.views import ALWAYS, Views, app_embeds
from roadstead_backends.marathon.emulator.marathon import AppChange, Asked, Marathon
from roadstead_backends.marathon.emulator.paths import ROOT, PathId, path_of
from roadstead_backends.marathon.emulator.refusals import Refusal, illegal, invalid_json, unknown
from roadstead_backends.marathon.emulator.rules.labels import selector_of
from roadstead_backends.marathon.emulator.scheduling.groups import Group
from roadstead_backends.marathon.emulator.scheduling.instances import Instance
from roadstead_backends.marathon.emulator.scheduling.moments import moment_of, written
from roadstead_backends.marathon.emulator.scheduling.plans import Plan
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec
from roadstead_backends.marathon.emulator.scheduling.task_ids import instance_named

__all__ = ["Apps", "absolute"]


def absolute(text: str) -> PathId:
    """The path that an address names, from the root."""
    return path_of(text).within(ROOT)


def _asked(request: Request) -> Asked:
    return Asked(client=request.client, uri=request.uri or request.path)


def _deployed(plan: Plan, *, status: int = 200, location: str | None = None) -> Answer:
    return deployed(plan.id, written(plan.version), status=status, location=location)


class Apps:
    """The resource of apps."""

    def __init__(self, marathon: Marathon, views: Views) -> None:
        self._marathon = marathon
        self._views = views

    # Reading --------------------------------------------------------------------------------------------------------

    def index(self, request: Request) -> Answer:
        """List the apps that pass every filter."""
        cmd, app_id = (next(iter(request.values(name)), None) for name in ("cmd", "id"))
        label = next(iter(request.values("label")), None)
        fits = selector_of(label) if label is not None else None

        def wanted(spec: RunSpec) -> bool:
            by_cmd = cmd is None or cmd.lower() in (spec.document.get("cmd") or "").lower()
            if cmd is not None and "cmd" not in spec.document:
                by_cmd = False
            by_id = app_id is None or app_id.lower() in str(spec.id).lower()
            return by_cmd and by_id and (fits is None or fits(spec.labels))

        embeds = app_embeds(["counts", "deployments", *request.values("embed")])
        apps = [self._views.app(app, embeds) for app in self._marathon.root.tree.all_apps() if wanted(app)]
        return json_answer({"apps": apps})

    def show(self, request: Request, app_id: str) -> Answer:
        """Show an app, or with ``*`` at the end all in a group."""
        embeds = app_embeds([*ALWAYS, *request.values("embed")])
        if app_id == "*" or app_id.endswith("/*"):
            group = self._group(app_id)
            return json_answer({"*": [self._views.app(app, embeds) for app in group.all_apps()]})
        return json_answer({"app": self._views.app(self._app(absolute(app_id)), embeds)})

    def _group(self, pattern: str) -> Group:
        path = absolute(pattern.removesuffix("*"))
        group = self._marathon.root.group(path)
        if group is None:
            raise unknown("Group", path)
        return group

    def _app(self, path: PathId) -> RunSpec:
        spec = self._marathon.root.app(path)
        if spec is None:
            raise unknown("App", path)
        return spec

    def versions(self, _request: Request, app_id: str) -> Answer:
        """List an app's versions."""
        spec = self._app(absolute(app_id))
        return json_answer({"versions": [written(each) for each in self._marathon.manager.store.versions(spec.id)]})

    def version(self, _request: Request, app_id: str, version: str) -> Answer:
        """Show an app in one of its versions."""
        path, moment = absolute(app_id), moment_of(version)
        found = self._marathon.manager.store.spec(path, moment)
        if found is None:
            message = f"App '{path}' does not exist in version {written(moment)}"
            raise Refusal(404, {"message": message, "details": []})
        return json_answer(self._views.definition(found))

    # Changing -------------------------------------------------------------------------------------------------------

    def create(self, request: Request) -> Answer:
        """Add an app."""
        body = typed(known(json_of(request.body), self._marathon.settings.profile), APP)
        path = absolute(body["id"])
        document = self._marathon.intake(path).admitted(body)
        kept, plan = self._marathon.create_app(
            absolute(document["id"]), document, force=request.flag("force"), asked=_asked(request)
        )
        shown = self._views.definition(kept, with_info=False)
        shown.update(dict.fromkeys(("tasksStaged", "tasksRunning", "tasksHealthy", "tasksUnhealthy"), 0))
        shown["deployments"] = [{"id": plan.id}]
        return json_answer(shown, 201, {"Location": str(kept.id), "Marathon-Deployment-Id": plan.id})

    def replace(self, request: Request, app_id: str) -> Answer:
        """Change an app or add it; ``partialUpdate=false`` says that the body is all of it."""
        return self._change(request, app_id, partial=request.flag("partialUpdate", default=True))

    def patch(self, request: Request, app_id: str) -> Answer:
        """Change an app that there is."""
        return self._change(request, app_id, partial=True, creates=False)

    def _change(self, request: Request, app_id: str, *, partial: bool, creates: bool = True) -> Answer:
        path = absolute(app_id)
        body = known(json_of(request.body), self._marathon.settings.profile)
        new = self._marathon.root.app(path) is None
        whole = new or not partial
        if whole and not isinstance(body, dict):
            raise invalid_json([{"path": "", "errors": ["error.expected.jsobject"]}])
        update = typed({**body, "id": str(path)}, APP) if whole else typed(body, APP_UPDATE)
        change = AppChange(path=path, body=update, whole=whole, creates=creates)
        plan = self._marathon.change_apps([change], force=request.flag("force"), asked=_asked(request), single=True)
        return _deployed(plan, status=201 if new else 200, location=str(path) if new else None)

    def replace_many(self, request: Request) -> Answer:
        """Change or add several apps in one deployment."""
        return self._change_many(request, creates=True, whole=not request.flag("partialUpdate", default=True))

    def patch_many(self, request: Request) -> Answer:
        """Change several apps in one deployment."""
        return self._change_many(request, creates=False, whole=False)

    def _change_many(self, request: Request, *, creates: bool, whole: bool) -> Answer:
        body = known(json_of(request.body), self._marathon.settings.profile)
        updates: list[dict[str, Any]] = typed(body, array(APP if whole else APP_UPDATE))
        if any("id" not in update for update in updates):
            raise illegal("requirement failed: App Update must have app id set")
        changes = [
            AppChange(path=absolute(update["id"]), body=update, whole=whole, creates=creates) for update in updates
        ]
        plan = self._marathon.change_apps(changes, force=request.flag("force"), asked=_asked(request), single=False)
        return _deployed(plan)

    def restart(self, request: Request, app_id: str) -> Answer:
        """Replace all instances of an app."""
        return _deployed(self._marathon.restart_app(absolute(app_id), force=request.flag("force")))

    def delete(self, request: Request, app_id: str) -> Answer:
        """Remove an app; locks do not hold unless ``force=false`` is said."""
        return _deployed(self._marathon.delete_app(absolute(app_id), force=request.flag("force", default=True)))

    def delete_restart(self, request: Request, app_id: str) -> Answer:
        """Remove the app whose id ends in ``restart``."""
        return self.delete(request, f"{app_id}/restart")

    # Tasks ----------------------------------------------------------------------------------------------------------

    def tasks(self, _request: Request, app_id: str) -> Answer:
        """List the tasks of an app, or with ``*`` at the end of all in a group."""
        if app_id == "*" or app_id.endswith("/*"):
            apps = list(self._group(app_id).all_apps())
        else:
            apps = [self._app(absolute(app_id))]
        found = [task for app in apps for task in self._views.tasks(self._marathon.supervisor.of(app.id))]
        return json_answer({"tasks": found})

    def kill_tasks(self, request: Request, app_id: str) -> Answer:
        """End the tasks of an app, on one host or on all."""
        _check_ends(request)
        host = next(iter(request.values("host")), None)

        def meant(instance: Instance) -> bool:
            on_host = instance.agent is not None and instance.agent.hostname == host
            return bool(instance.tasks) and (host in (None, "*") or on_host)

        path = absolute(app_id)
        return self._scaled_down(request, path, meant) or json_answer({"tasks": self._killed(request, path, meant)})

    def kill_task(self, request: Request, app_id: str, task_id: str) -> Answer:
        """End one task of an app."""
        _check_ends(request)
        path = absolute(app_id)
        if not request.flag("scale"):
            self._app(path)
        named = instance_named(task_id)

        def meant(instance: Instance) -> bool:
            return instance.id == named

        answer = self._scaled_down(request, path, meant)
        if answer is not None:
            return answer
        shown = self._killed(request, path, meant)
        if not shown:
            raise unknown("Task", task_id)
        return json_answer({"task": shown[0]})

    def _scaled_down(self, request: Request, path: PathId, meant: Callable[[Instance], bool]) -> Answer | None:
        """End what is meant and want so many fewer, where that is asked."""
        if not request.flag("scale"):
            return None
        victims = [each for each in self._marathon.supervisor.of(path) if each.is_launched and meant(each)]
        return _deployed(self._marathon.kill_and_scale({path: victims}, force=request.flag("force")))

    def _killed(self, request: Request, path: PathId, meant: Callable[[Instance], bool]) -> list[dict[str, Any]]:
        """End what is meant, to be replaced; return the tasks."""
        spec = self._app(path)
        victims = [each for each in self._marathon.supervisor.of(spec.id) if meant(each)]
        shown = self._views.tasks(victims)
        self._marathon.supervisor.kill_and_replace(victims, wipe=request.flag("wipe"))
        return shown


def _check_ends(request: Request) -> None:
    if request.flag("scale") and request.flag("wipe"):
        raise Refusal(400, {"message": "You cannot use scale and wipe at the same time."})
