"""The tree of groups: immutable, changed as ``RootGroup`` changes it, each group on the way gets the new version."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import attrs

from roadstead_backends.marathon.emulator.paths import ROOT, PathId
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["Group", "RootGroup"]


@attrs.frozen(kw_only=True, eq=False)
class Group:
    """A folder of apps, pods and groups; children by their whole path, in the order in which they came."""

    id: PathId
    apps: Mapping[PathId, RunSpec] = attrs.field(factory=dict)
    pods: Mapping[PathId, RunSpec] = attrs.field(factory=dict)
    groups: Mapping[PathId, Group] = attrs.field(factory=dict)
    dependencies: tuple[PathId, ...] = ()
    version: int = 0
    enforce_role: bool | None = None

    def group(self, path: PathId) -> Group | None:
        """The group of that path at or below this one."""
        if path == self.id:
            return self
        if not self.id.contains(path):
            return None
        child = self.groups.get(PathId(path.segments[: len(self.id.segments) + 1]))
        return child.group(path) if child is not None else None

    def walk(self) -> Iterator[Group]:
        """This group and all below it."""
        yield self
        for child in self.groups.values():
            yield from child.walk()

    def all_apps(self) -> Iterator[RunSpec]:
        """The apps of this group and of all below it."""
        for group in self.walk():
            yield from group.apps.values()

    def all_pods(self) -> Iterator[RunSpec]:
        """The pods of this group and of all below it."""
        for group in self.walk():
            yield from group.pods.values()

    def stamped(self, version: int) -> Group:
        """The same tree with another version throughout."""
        return attrs.evolve(
            self, version=version, groups={path: child.stamped(version) for path, child in self.groups.items()}
        )

    def mapped_apps(self, change: Callable[[RunSpec], RunSpec]) -> Group:
        """The same tree with every app changed; where nothing changes, the same objects."""
        apps = {path: change(app) for path, app in self.apps.items()}
        groups = {path: child.mapped_apps(change) for path, child in self.groups.items()}
        same = all(apps[path] is app for path, app in self.apps.items()) and all(
            groups[path] is child for path, child in self.groups.items()
        )
        return self if same else attrs.evolve(self, apps=apps, groups=groups)


class RootGroup:
    """The whole tree."""

    def __init__(self, tree: Group, *, enforce_new: bool = False) -> None:
        self.tree = tree
        self._enforce_new = enforce_new

    @classmethod
    def empty(cls, *, enforce_new: bool = False) -> RootGroup:
        """A tree with nothing in it."""
        return cls(Group(id=ROOT), enforce_new=enforce_new)

    @property
    def version(self) -> int:
        """The version of the last change."""
        return self.tree.version

    def group(self, path: PathId) -> Group | None:
        """The group of that path."""
        return self.tree.group(path)

    def app(self, path: PathId) -> RunSpec | None:
        """The app of that path."""
        group = self.tree.group(path.parent)
        return group.apps.get(path) if group is not None else None

    def pod(self, path: PathId) -> RunSpec | None:
        """The pod of that path."""
        group = self.tree.group(path.parent)
        return group.pods.get(path) if group is not None else None

    def spec(self, path: PathId) -> RunSpec | None:
        """The app or pod of that path."""
        return self.app(path) or self.pod(path)

    @cached_property
    def specs(self) -> dict[PathId, RunSpec]:
        """Every app, then every pod, by path."""
        found = {app.id: app for app in self.tree.all_apps()}
        found.update((pod.id, pod) for pod in self.tree.all_pods())
        return found

    def new_group(self, path: PathId, version: int = 0) -> Group:
        """A group as it arises by itself."""
        return Group(id=path, version=version, enforce_role=self._enforce_new if path.is_top_level else None)

    def put_group(self, group: Group, version: int) -> RootGroup:
        """The tree with ``group`` added or replaced; missing parents arise."""
        result = group
        if group.id.is_root:
            return RootGroup(result.stamped(version), enforce_new=self._enforce_new)
        for path in group.id.parents:
            parent = self.tree.group(path) or self.new_group(path)
            result = attrs.evolve(parent, groups={**parent.groups, result.id: result})
        return RootGroup(result.stamped(version), enforce_new=self._enforce_new)

    def put_spec(self, spec: RunSpec, version: int) -> RootGroup:
        """The tree with an app or pod added or replaced; an empty group of its name gives way."""
        parent = self.tree.group(spec.id.parent) or self.new_group(spec.id.parent)
        groups = {
            path: child
            for path, child in parent.groups.items()
            if path != spec.id or any(child.all_apps()) or any(child.all_pods())
        }
        kept = attrs.evolve(parent, groups=groups)
        if spec.is_pod:
            return self.put_group(attrs.evolve(kept, pods={**parent.pods, spec.id: spec}), version)
        return self.put_group(attrs.evolve(kept, apps={**parent.apps, spec.id: spec}), version)

    def without_spec(self, path: PathId, version: int) -> RootGroup:
        """The tree without that app or pod; its group stays."""
        parent = self.tree.group(path.parent)
        if parent is None:
            return RootGroup(self.tree.stamped(version), enforce_new=self._enforce_new)
        apps = {each: app for each, app in parent.apps.items() if each != path}
        pods = {each: pod for each, pod in parent.pods.items() if each != path}
        return self.put_group(attrs.evolve(parent, apps=apps, pods=pods), version)

    def without_group(self, path: PathId, version: int) -> RootGroup:
        """The tree without that group; the root's children all go when it is the root."""
        if path.is_root:
            return RootGroup(Group(id=ROOT, version=version), enforce_new=self._enforce_new)
        parent = self.tree.group(path.parent)
        if parent is None:
            return RootGroup(self.tree.stamped(version), enforce_new=self._enforce_new)
        groups = {each: child for each, child in parent.groups.items() if each != path}
        return self.put_group(attrs.evolve(parent, groups=groups), version)

    def mapped_apps(self, change: Callable[[RunSpec], RunSpec]) -> RootGroup:
        """The tree with every app changed, versions of groups as they are."""
        return RootGroup(self.tree.mapped_apps(change), enforce_new=self._enforce_new)

    def dependencies(self) -> dict[PathId, set[PathId]]:
        """What each app waits for: by its own dependencies, and by those of the groups that it lies in."""
        found: dict[PathId, set[PathId]] = {path: set() for path in self.specs}
        groups = {group.id: group for group in self.tree.walk()}
        for group in groups.values():
            for dependency in group.dependencies:
                target = groups.get(dependency)
                if target is not None:
                    awaited = {app.id for app in target.all_apps()}
                    for app in group.all_apps():
                        found[app.id] |= awaited
            for app in group.apps.values():
                for dependency in _dependencies(app):
                    if self.app(dependency) is not None:
                        found[app.id].add(dependency)
                    elif dependency in groups:
                        found[app.id] |= {each.id for each in groups[dependency].all_apps()}
        return found

    def has_cycle(self) -> bool:
        """Whether some app waits, over others, for itself."""
        waits, done, open_ = self.dependencies(), set[PathId](), set[PathId]()

        def visit(path: PathId) -> bool:
            if path in open_:
                return True
            if path in done:
                return False
            open_.add(path)
            cyclic = any(visit(each) for each in waits[path])
            open_.discard(path)
            done.add(path)
            return cyclic

        return any(visit(path) for path in waits if waits[path])


def _dependencies(app: RunSpec) -> list[PathId]:
    return [PathId(tuple(part for part in text.split("/") if part)) for text in app.document.get("dependencies", [])]
