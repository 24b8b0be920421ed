"""From the update of a group to a tree of groups (``GroupNormalization``, ``GroupConversion``)."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from roadstead_backends.marathon.emulator.paths import PathId, path_of
from roadstead_backends.marathon.emulator.refusals import Refusal, Violations
from roadstead_backends.marathon.emulator.rules.apps import check_path
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.groups import Group, RootGroup
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec, Stamps

__all__ = ["GroupIntake", "Roles"]

Admit = Callable[[PathId, Document, "Roles"], Document]
"""Takes the path of an app, its JSON, and the roles around it; returns what is kept of it."""

_ENFORCE_ALONE = (
    "enforceRole cannot be modified in a request that adds, removes or modifies services; please make these changes in"
    " separate requests."
)
_ALONE = "not allowed in conjunction with other properties."


@attrs.frozen
class Roles:
    """What a group says of its apps' roles: the one that they get by themselves, and whether no other is allowed."""

    default: str
    enforced: bool


@attrs.frozen(kw_only=True)
class GroupIntake:
    """Turns updates into groups, seen from the present tree; ``own_role`` is Marathon's own."""

    root: RootGroup
    knows_roles: bool
    """Whether this version of Marathon has groups that enforce one."""
    enforce_new: bool
    own_role: str
    admit: Admit

    def normalized(self, update: Document, path: PathId, base: PathId) -> Document:
        """The update with roles and with every app as it is kept; refuse what breaks a rule.

        ``path`` is the group that the address and the update's own id name together, ``base`` the one that the rules
        take the id from: the same group again where one is changed, the address where one is added.
        """
        normal = update if "version" in update or "scaleBy" in update else self._with_roles(update, path)
        found = Violations()
        self._check(normal, base, "", found, modifies=_modifies(update))
        found.raise_any()
        return normal

    def _with_roles(self, update: Document, path: PathId) -> Document:
        if path.is_root:
            normal = self._with_children(update, path, Roles(self.own_role, enforced=False), self._top_level)
            return {**normal, "enforceRole": False}
        if path.is_top_level:
            return self._top_level(update, path, Roles(self.own_role, enforced=False))
        top = self.root.group(path.top)
        role = path.top.segments[0] if top is not None and top.enforce_role else self.own_role
        return self._below(update, path, Roles(role, enforced=False))

    def _top_level(self, update: Document, path: PathId, _above: Roles) -> Document:
        """A top-level group: what it does not say of roles is as for a new one, whatever it said before."""
        enforced = bool(update.get("enforceRole", self.enforce_new))
        roles = Roles(path.top.segments[0] if enforced else self.own_role, enforced)
        return {**self._with_children(update, path, roles, self._below), "enforceRole": enforced}

    def _below(self, update: Document, path: PathId, above: Roles) -> Document:
        """A group below the top level: it has the role from above, and enforces it only if it says so itself."""
        enforced = bool(update.get("enforceRole", False))
        roles = Roles(above.default, enforced)
        return {**self._with_children(update, path, roles, self._below), "enforceRole": enforced}

    def _with_children(
        self, update: Document, path: PathId, roles: Roles, child: Callable[[Document, PathId, Roles], Document]
    ) -> Document:
        normal = dict(update)
        if "groups" in update:
            if any("id" not in each for each in update["groups"]):
                raise Refusal(500, {"message": "None.get"})
            normal["groups"] = [child(each, path_of(each["id"]).within(path), roles) for each in update["groups"]]
        if "apps" in update:
            normal["apps"] = [
                self.admit(app_path, {**app, "id": str(app_path)}, roles)
                for app_path, app in ((path_of(app["id"]).within(path), app) for app in update["apps"])
            ]
        return normal

    def _check(self, update: Document, base: PathId, where: str, found: Violations, *, modifies: bool) -> None:
        stated = [key for key in update if update[key] is not None]
        for key in ("version", "scaleBy"):
            found.check(key not in update or len(stated) == 1, f"{where}/{key}", _ALONE)
        path = path_of(update.get("id", "")).within(base)
        enforced = update.get("enforceRole")
        found.check(
            not enforced or path.is_top_level,
            f"{where}/enforceRole",
            f"enforceRole can only be set for top-level groups, and {path} is not top-level",
        )
        if "id" in update:
            check_path(update["id"], f"{where}/id", found)
            present = self.root.group(path)
            same = present is None or not self.knows_roles or enforced == present.enforce_role
            found.check(same or not modifies, f"{where}/enforceRole", _ENFORCE_ALONE)
        for index, app in enumerate(update.get("apps", [])):
            own = path_of(app["id"])
            message = f"Identifier is not child of '{path}'"
            found.check(own.parent == path, f"{where}/apps({index})/id", message)
        for index, child in enumerate(update.get("groups", [])):
            self._check(child, path, f"{where}/groups({index})", found, modifies=modifies)

    def group(self, update: Document, path: PathId, version: int) -> Group:
        """The group after a normalized update: what it does not name stays; lists replace what was there."""
        old = self.root.group(path) or Group(id=path)
        apps = dict(old.apps)
        if "apps" in update:
            specs = (
                RunSpec(id=path_of(app["id"]), document=app, stamps=Stamps.of_new(version)) for app in update["apps"]
            )
            apps = {spec.id: spec for spec in specs}
        groups = dict(old.groups)
        if "groups" in update:
            children = ((path_of(child.get("id", "")).within(path), child) for child in update["groups"])
            groups = {inner: self.group(child, inner, version) for inner, child in children}
        dependencies = old.dependencies
        if "dependencies" in update:
            dependencies = tuple(path_of(each).within(path) for each in update["dependencies"])
        enforced = update.get("enforceRole", old.enforce_role)
        return Group(
            id=path,
            apps=apps,
            pods=old.pods,
            groups=groups,
            dependencies=dependencies,
            version=version,
            enforce_role=bool(enforced) if path.is_top_level else None,
        )


def _modifies(update: Document) -> bool:
    return (
        "version" in update
        or "scaleBy" in update
        or "apps" in update
        or any(_modifies(child) for child in update.get("groups", []))
    )
