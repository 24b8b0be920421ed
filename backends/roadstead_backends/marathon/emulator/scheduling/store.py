"""What Marathon keeps of the past: versions of the tree, and of each app and pod."""

from __future__ import annotations

from roadstead_backends.marathon.emulator.paths import PathId
from roadstead_backends.marathon.emulator.scheduling.groups import RootGroup
from roadstead_backends.marathon.emulator.scheduling.specs import RunSpec

__all__ = ["Store"]

_TREES = 1000


class Store:
    """Versions by moment. Of each app or pod as many are kept as the flag says; of the tree rather more."""

    def __init__(self, root: RootGroup, longest: int) -> None:
        self._trees: dict[int, RootGroup] = {root.version: root}
        self._specs: dict[PathId, dict[int, RunSpec]] = {}
        self._repeated: dict[PathId, list[int]] = {}
        self._longest = longest

    def keep(self, root: RootGroup, changed: list[RunSpec], gone: list[PathId]) -> None:
        """Keep a new tree, and what changed in it; all versions of what is gone are forgotten."""
        self._trees[root.version] = root
        while len(self._trees) > _TREES:
            del self._trees[next(iter(self._trees))]
        for spec in changed:
            versions = self._specs.setdefault(spec.id, {})
            versions[spec.version] = spec
            while len(versions) > self._longest:
                del versions[next(iter(versions))]
        for path in gone:
            self._specs.pop(path, None)
            self._repeated.pop(path, None)

    def repeat(self, spec: RunSpec) -> None:
        """List a version once more: a rollback to the present version does that."""
        self._repeated.setdefault(spec.id, []).append(spec.version)

    def tree(self, version: int) -> RootGroup | None:
        """The tree of that version."""
        return self._trees.get(version)

    def trees(self) -> list[RootGroup]:
        """Every tree that is kept, oldest first."""
        return list(self._trees.values())

    def spec(self, path: PathId, version: int) -> RunSpec | None:
        """An app or pod in that version."""
        return self._specs.get(path, {}).get(version)

    def versions(self, path: PathId) -> list[int]:
        """The versions of an app or pod, newest first, and what a rollback repeated at the end."""
        return [*sorted(self._specs.get(path, {}), reverse=True), *self._repeated.get(path, ())]
