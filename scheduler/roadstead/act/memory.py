"""The planner's memory on disk: one small file, written before the plan that it belongs to is carried out."""

from __future__ import annotations

from pathlib import Path

import attrs

from roadstead.act.documents import DocumentError, read_document, write_document
from roadstead.errors import StateError
from roadstead.memory import PlanMemory
from roadstead.wire import from_wire, to_wire

__all__ = ["MEMORY_VERSION", "MemoryStore", "Remembered"]

MEMORY_VERSION = 1


@attrs.frozen(kw_only=True)
class Remembered:
    """What was found at start.

    ``lost`` says what was wrong with a file that was set aside, and is empty when nothing was.
    """

    memory: PlanMemory
    lost: str = ""


def _without_numbers(memory: PlanMemory) -> PlanMemory:
    return attrs.evolve(memory, turn=0, counted=0)


class MemoryStore:
    """Keeps one :class:`PlanMemory` in one file.

    Memory may be lost: that costs at most one repeated attempt and one stable window. So a damaged file is set aside
    and said, and work goes on; a file of a newer program is not ours to judge, and is refused.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: PlanMemory | None = None

    def load(self) -> Remembered:
        """Return what was saved last; raises :class:`StateError` for a newer or unreadable file."""
        try:
            document = read_document(self._path, MEMORY_VERSION)
            if document is None:
                return Remembered(memory=PlanMemory())
            memory = from_wire(document.get("memory"), PlanMemory)
        except (DocumentError, ValueError) as error:
            return Remembered(memory=PlanMemory(), lost=self._set_aside(error))
        self._written = _without_numbers(memory)
        return Remembered(memory=memory)

    def save(self, memory: PlanMemory, *, acts: bool) -> bool:
        """Make ``memory`` durable if it has to be, and return whether it was written; raises :class:`StateError`.

        A plan that acts always has its memory written first. One that does not act is worth a write only if more than
        the number of the turn moved on: a fleet at rest writes nothing. What an unwritten number costs is nothing,
        because outcomes are numbered and counted within one process.
        """
        content = _without_numbers(memory)
        if not acts and content == self._written:
            return False
        write_document(self._path, MEMORY_VERSION, {"memory": to_wire(memory)})
        self._written = content
        return True

    def _set_aside(self, error: Exception) -> str:
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
        except OSError as failed:
            raise StateError(
                f"{self._path} is damaged and cannot be set aside: {failed.strerror or failed}",
                hint="move it away by hand",
            ) from failed
        return f"{error}; kept as {aside.name}, starting with an empty memory"
