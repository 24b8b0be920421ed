"""From the update of a group to a tree of groups (``GroupNormalization``, ``GroupConversion``)."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from roadstead_backends.marathon.emulator.paths import PathId, path_of
from roadstead_backends.marathon.emulator.refusals import Violations
from roadstead_backends.marathon.emulator.rules.documents import Document
from roadstead_backends.marathon.emulator.scheduling.groups import Group, RootGroup
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec, Stamps

__all__ = ["GroupIntake"]

Admit = Callable[[PathId, Document, "bool | None"], Document]
"""Takes the path of an app, its JSON, and whether its top-level group enforces a role; returns what is kept of it."""

_ENFORCE_ALONE = (
    "enforceRole cannot be modified in a request that adds, removes or modifies services; please make these changes in"
    " separate requests."
)
_ALONE = "not allowed in conjunction with other properties."


@attrs.frozen(kw_only=True)
class GroupIntake:
    """Turns updates into groups, seen from the present tree."""

    root: RootGroup
    enforce_new: bool
    admit: Admit

    def normalized(self, update: Document, path: PathId) -> Document:
        """The update with roles and with every app as it is kept; refuse what breaks a rule.

        ``path`` is the group that the address and the update's own id name together.
        """
        if "version" in update or "scaleBy" in update:
            normal = update
        else:
            enforced = self._enforced(update, path)
            normal = self._with_apps({**update, "enforceRole": enforced}, path, enforced=enforced)
        found = Violations()
        self._check(normal, path, "", found, modifies=_modifies(update), named="id" in update)
        found.raise_any()
        return normal

    def _enforced(self, update: Document, path: PathId) -> bool:
        if "enforceRole" in update:
            return bool(update["enforceRole"])
        if not path.is_top_level:
            return False
        present = self.root.group(path)
        return bool(present.enforce_role) if present is not None else self.enforce_new

    def _with_apps(self, update: Document, path: PathId, *, enforced: bool | None) -> Document:
        normal = dict(update)
        role = enforced if path.is_top_level else None
        if "apps" in update:
            normal["apps"] = [
                self.admit(app_path, {**app, "id": str(app_path)}, role)
                for app_path, app in ((path_of(app["id"]).within(path), app) for app in update["apps"])
            ]
        if "groups" in update:
            normal["groups"] = [self._with_child(child, path) for child in update["groups"]]
        return normal

    def _with_child(self, child: Document, parent: PathId) -> Document:
        path = path_of(child.get("id", "")).within(parent)
        enforced = self._enforced(child, path)
        return self._with_apps({**child, "enforceRole": enforced}, path, enforced=enforced)

    def _check(
        self, update: Document, path: PathId, where: str, found: Violations, *, modifies: bool, named: bool
    ) -> None:
        stated = [key for key in update if update[key] is not None]
        for key in ("version", "scaleBy"):
            found.check(key not in update or len(stated) == 1, f"{where}/{key}", _ALONE)
        enforced = update.get("enforceRole")
        found.check(
            not enforced or path.is_top_level,
            f"{where}/enforceRole",
            f"enforceRole can only be set for top-level groups, and {path} is not top-level",
        )
        present = self.root.group(path) if named else None
        if modifies and present is not None and "version" not in update and "scaleBy" not in update:
            same = enforced == (bool(present.enforce_role) if path.is_top_level else _none_as(enforced, path))
            found.check(same, f"{where}/enforceRole", _ENFORCE_ALONE)
        for index, app in enumerate(update.get("apps", [])):
            own = path_of(app["id"])
            message = f"Identifier is not child of '{path}'"
            found.check(own.parent == path, f"{where}/apps({index})/id", message)
        for index, child in enumerate(update.get("groups", [])):
            inner = path_of(child.get("id", "")).within(path)
            self._check(child, inner, f"{where}/groups({index})", found, modifies=modifies, named=True)

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


def _none_as(enforced: bool | None, path: PathId) -> bool | None:  # noqa: FBT001  # the value is what is compared
    """What groups below the top compare equal to; the root never does, having no such value."""
    return None if path.is_root else enforced


def _modifies(update: Document) -> bool:
    return (
        "version" in update
        or "scaleBy" in update
        or "apps" in update
        or any(_modifies(child) for child in update.get("groups", []))
    )
