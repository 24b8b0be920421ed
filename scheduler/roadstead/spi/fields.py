"""A foreign object that is read field by field, so that in the end every field is accounted for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roadstead.spi.importing import Carried, Fate

__all__ = ["Fields", "Path", "dotted"]

Path = tuple[str | int, ...]


class Fields:
    """One object's fields; whoever reads one says what becomes of it.

    ``is_nobodys`` tells of a field and its value whether nobody chose it: a default, or what a server writes by itself.
    """

    def __init__(self, document: Mapping[str, Any], is_nobodys: Callable[[Path, object], bool]) -> None:
        self._document = document
        self._is_nobodys = is_nobodys
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
        if found is not None and not self._is_accounted_for(path) and not self._is_nobodys(path, found):
            self._carried[path] = Carried(field=dotted(path), fate=fate, key=key, detail=detail)
        return found

    def account(self) -> tuple[Carried, ...]:
        """Return what became of every field that somebody wrote: what nobody read is lost."""
        left = {
            path: Carried(field=dotted(path), fate=Fate.LOST, detail="has no place in a fleet file")
            for path, value in _leaves(self._document, ())
            if not self._is_accounted_for(path) and value not in (None, {}, []) and not self._is_nobodys(path, value)
        }
        return tuple(sorted({**self._carried, **left}.values(), key=lambda one: one.field))

    def _is_accounted_for(self, path: Path) -> bool:
        return any(path[: len(done)] == done for done in self._carried)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for name, part in value.items():
            yield from _leaves(part, (*path, name))
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from _leaves(part, (*path, index))
    else:
        yield path, value


def dotted(path: Path) -> str:
    """Return a path as people write it.

    >>> dotted(("spec", "containers", 0, "image"))
    'spec.containers[0].image'
    """
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
