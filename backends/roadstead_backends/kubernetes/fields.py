"""A foreign object that is read field by field, so that in the end every field is accounted for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from roadstead.spi.importing import Carried, Fate

__all__ = ["Fields"]

Path = tuple[str | int, ...]

_SERVERS_OWN: Final = frozenset(
    {
        *("apiVersion", "kind", "status", "metadata.name", "metadata.namespace", "metadata.uid"),
        *("metadata.resourceVersion", "metadata.generation", "metadata.creationTimestamp", "metadata.managedFields"),
        *("metadata.selfLink", "metadata.ownerReferences", "spec.template.metadata.creationTimestamp", "spec.selector"),
        *("metadata.annotations.deployment.kubernetes.io/revision", "metadata.labels.pod-template-hash"),
        "metadata.annotations.kubectl.kubernetes.io/last-applied-configuration",
    }
)
"""What every object has, or the API server and its tools write: nobody chose it."""

_DEFAULTS: Final[Mapping[str, object]] = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "protocol": "TCP",
    "successThreshold": 1,
    "paused": False,
}
"""What fields are that nobody wrote."""


class Fields:
    """One object's fields; whoever reads one says what becomes of it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._carried: dict[Path, Carried] = {}

    def get(self, *path: str | int) -> Any:
        """Return what stands at a path, ``None`` where nothing does, and leave open what becomes of it."""
        found: Any = self._document
        for step in path:
            if isinstance(found, Mapping):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int) and step < len(found):
                found = found[step]
            else:
                return None
        return found

    def keep(self, *path: str | int, key: str, detail: str = "") -> Any:
        """Return what stands at a path, and note that it stands at ``key`` with us."""
        return self._note(path, Fate.KEPT, key, detail)

    def change(self, *path: str | int, key: str, detail: str) -> Any:
        """Return what stands at a path, and note that with us it is something else, and why."""
        return self._note(path, Fate.CHANGED, key, detail)

    def lose(self, *path: str | int, detail: str) -> None:
        """Note that what stands at a path has no place with us, and why."""
        self._note(path, Fate.LOST, "", detail)

    def _note(self, path: Path, fate: Fate, key: str, detail: str) -> Any:
        found = self.get(*path)
        if found is not None and not any(path[: len(done)] == done for done in self._carried):
            self._carried[path] = Carried(field=_dotted(path), fate=fate, key=key, detail=detail)
        return found

    def account(self) -> tuple[Carried, ...]:
        """Return what became of every field that somebody wrote: what nobody read is lost."""
        left = {
            path: Carried(field=_dotted(path), fate=Fate.LOST, detail="has no place in a fleet file")
            for path, value in _leaves(self._document, ())
            if not any(path[: len(done)] == done for done in self._carried) and not _is_nobodys(path, value)
        }
        return tuple(sorted({**self._carried, **left}.values(), key=lambda one: one.field))


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _leaves(part, (*path, name))
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from _leaves(part, (*path, index))
    else:
        yield path, value


def _is_nobodys(path: Path, value: object) -> bool:
    if value in (None, {}, []) or any(_dotted(path[:end]) in _SERVERS_OWN for end in range(1, len(path) + 1)):
        return True
    name = path[-1]
    return isinstance(name, str) and name in _DEFAULTS and _DEFAULTS[name] == value


def _dotted(path: Path) -> str:
    """Return a path as people write it.

    >>> _dotted(("spec", "containers", 0, "image"))
    'spec.containers[0].image'
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
