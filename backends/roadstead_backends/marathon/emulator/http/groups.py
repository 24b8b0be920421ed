"""``/v2/groups``: the tree, whole and in parts, now and before."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs

from roadstead_backends.marathon.emulator.documents.group_types import GROUP_PARTIAL_UPDATE, GROUP_UPDATE
from roadstead_backends.marathon.emulator.http.apps import absolute
from roadstead_backends.marathon.emulator.http.intake import json_of, known, typed
from roadstead_backends.marathon.emulator.http.messages import Answer, Request, deployed, json_answer
from roadstead_backends.marathon.emulator.http.views import GroupEmbeds, Views
from roadstead_backends.marathon.emulator.marathon import Marathon
from roadstead_backends.marathon.emulator.paths import ROOT, PathId, path_of
from roadstead_backends.marathon.emulator.refusals import Refusal, Violations, illegal, not_found, unknown
from roadstead_backends.marathon.emulator.rules.apps import check_path
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.rules.groups import GroupIntake, Roles
from roadstead_backends.marathon.emulator.scheduling.groups import Group, RootGroup
from roadstead_backends.marathon.emulator.scheduling.moments import moment_of, written
from roadstead_backends.marathon.emulator.scheduling.plans import Plan, steps_between
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["Groups"]

_MOST: Final = 2**31 - 1
"""What an ``Int`` of Java holds: whatever is more becomes that."""


class Groups:
    """The resource of groups."""

    def __init__(self, marathon: Marathon, views: Views, pod_status: Callable[[RunSpec], Document]) -> None:
        self._marathon = marathon
        self._views = views
        self._pod_status = pod_status

    # Reading --------------------------------------------------------------------------------------------------------

    def root(self, request: Request) -> Answer:
        """Show the whole tree."""
        return self.show(request, "/")

    def show(self, request: Request, group_id: str) -> Answer:
        """Show a group, its apps (``/apps``), or its versions (``/versions``)."""
        parts = group_id.strip("/").split("/")
        if parts[-1] == "apps":
            return self._apps(request, "/".join(parts[:-1]))
        if parts[-1] == "versions":
            return self._versions("/".join(parts[:-1]))
        if len(parts) > 1 and parts[-2] == "versions":
            return self._version("/".join(parts[:-2]), parts[-1])
        group = self._group(absolute(group_id))
        return json_answer(self._views.group(group, GroupEmbeds.of(request.values("embed")), self._pod_status))

    def _group(self, path: PathId) -> Group:
        group = self._marathon.root.group(path)
        if group is None:
            raise unknown("Group", path)
        return group

    def _apps(self, request: Request, group_id: str) -> Answer:
        group = self._marathon.root.group(absolute(group_id))
        embeds = GroupEmbeds.of(request.values("embed")).of_apps
        apps = group.all_apps() if group is not None else ()
        return json_answer([self._views.app(app, embeds) for app in apps])

    def _versions(self, group_id: str) -> Answer:
        path = absolute(group_id)
        self._group(path)
        trees = self._marathon.manager.store.trees()
        groups = [group for group in (tree.group(path) for tree in trees) if group is not None]
        return json_answer([written(group.version) for group in groups])

    def _version(self, group_id: str, version: str) -> Answer:
        path = absolute(group_id)
        tree = self._marathon.manager.store.tree(moment_of(version))
        group = tree.group(path) if tree is not None else None
        if group is None:
            raise unknown("Group", path)
        return json_answer(self._views.past_group(group))

    # Changing -------------------------------------------------------------------------------------------------------

    def create(self, request: Request, group_id: str = "") -> Answer:
        """Add a group."""
        base, path, update = self._asked(request, group_id)
        normal = self._intake().normalized(update, path, base)
        if self._marathon.root.group(path) is not None:
            raise Refusal(409, {"message": f"Group {path} is already created. Use PUT to change this group."})
        if self._marathon.root.app(path) is not None:
            raise Refusal(409, {"message": f"An app with the path {path} already exists."})
        plan = self._deploy(base, path, normal, force=request.flag("force"))
        return _deployed(plan, status=201, location=str(path))

    def update_root(self, request: Request) -> Answer:
        """Change the whole tree."""
        return self.update(request, "")

    def update(self, request: Request, group_id: str) -> Answer:
        """Change a group or add it; with ``dryRun`` only say how."""
        base, path, update = self._asked(request, group_id)
        normal = self._intake().normalized(update, path, path)
        if request.flag("dryRun"):
            target = self._target(self._marathon.root, path, normal, self._marathon.manager.new_version())
            steps = steps_between(self._marathon.root, target)
            return json_answer({"steps": [step.shown() for step in steps]})
        return _deployed(self._deploy(base, path, normal, force=request.flag("force")))

    def _asked(self, request: Request, group_id: str) -> tuple[PathId, PathId, Document]:
        """The group that the address names, the one that is meant, and what is said of it; ids are checked at once."""
        base = absolute(group_id)
        _check_id(str(base))
        update: Document = typed(known(json_of(request.body), self._marathon.settings.profile), GROUP_UPDATE)
        _check_id(update.get("id", "/"))
        return base, path_of(update.get("id", "")).within(base), update

    def _intake(self) -> GroupIntake:
        def admit(path: PathId, app: Document, roles: Roles) -> Document:
            return self._marathon.intake_in_group(path, default=roles.default, enforced=roles.enforced).admitted(app)

        settings = self._marathon.settings
        return GroupIntake(
            root=self._marathon.root,
            knows_roles=settings.profile.roles,
            enforce_new=settings.new_group_enforce_role == "Top",
            own_role=settings.mesos_role,
            admit=admit,
        )

    def _deploy(self, base: PathId, path: PathId, update: Document, *, force: bool) -> Plan:
        """Change a group; events tell of the one around ``base``, which the address named."""
        version = self._marathon.manager.new_version()

        def change(root: RootGroup) -> RootGroup:
            return self._target(root, path, update, version)

        return self._marathon.manager.update(base.parent, change, version, force=force)

    def _target(self, root: RootGroup, path: PathId, update: Document, version: int) -> RootGroup:
        if "version" in update:
            tree = self._marathon.manager.store.tree(moment_of(update["version"]))
            old = tree.group(path) if tree is not None else None
            if old is None:
                raise illegal(f"Group {path} not available in version {update['version']}")
            return root.put_group(old, version)
        if "scaleBy" in update:
            factor = update["scaleBy"]
            group = root.group(path) or root.new_group(path)
            scaled = group.mapped_apps(lambda app: _scaled(app, factor))
            return root.put_group(scaled, version)
        return root.put_group(self._intake().group(update, path, version), version)

    def patch(self, request: Request, group_id: str) -> Answer:
        """Say whether a top-level group enforces its role."""
        update = typed(known(json_of(request.body), self._marathon.settings.profile), GROUP_PARTIAL_UPDATE)
        path = absolute(group_id)
        if not path.is_top_level:
            errors = [{"path": "/", "errors": ["Path needs to be top-level"]}]
            raise Refusal(422, {"message": "Object is not valid", "details": errors})
        group = self._group(path)
        default = self._marathon.settings.new_group_enforce_role == "Top"
        changed = attrs.evolve(group, enforce_role=update.get("enforceRole", default))
        self._marathon.manager.root = self._marathon.root.put_group(changed, group.version)
        return Answer(content_type=None)

    def delete_root(self, request: Request) -> Answer:
        """Remove everything."""
        version = self._marathon.manager.new_version()
        plan = self._marathon.manager.update(
            ROOT, lambda root: root.without_group(ROOT, version), version, force=request.flag("force")
        )
        return _deployed(plan)

    def delete(self, request: Request, group_id: str) -> Answer:
        """Remove a group and all in it."""
        path = absolute(group_id)
        version = self._marathon.manager.new_version()

        def change(root: RootGroup) -> RootGroup:
            if root.group(path) is None:
                raise not_found("Group", path)
            return root.without_group(path, version)

        plan = self._marathon.manager.update(path.parent, change, version, force=request.flag("force"))
        return _deployed(plan)


def _check_id(text: str) -> None:
    found = Violations()
    check_path(text, "/", found)
    found.raise_any()


def _scaled(app: RunSpec, factor: float) -> RunSpec:
    scaled = app.instances * factor
    instances = 0 if math.isnan(scaled) else math.ceil(min(scaled, _MOST))
    return app if instances == app.instances else app.with_instances(instances)


def _deployed(plan: Plan, *, status: int = 200, location: str | None = None) -> Answer:
    return deployed(plan.id, written(plan.version), status=status, location=location)
