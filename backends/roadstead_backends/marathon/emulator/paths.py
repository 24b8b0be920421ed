"""Ids of apps, pods and groups: paths, absolute or relative (Marathon's ``PathId``)."""

from __future__ import annotations

import re
from typing import Final, Self

import attrs

__all__ = ["ROOT", "PathId", "path_of"]

SEGMENT_PATTERN: Final = (
    r"^(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])|(\.|\.\.)$"
)
_SEGMENT: Final = re.compile(
    r"(([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9\-]*[a-z0-9])|\.|\.\."
)
RESERVED: Final = ("restart", "tasks", "versions", ".", "..")


@attrs.frozen(order=True)
class PathId:
    """A path of segments; relative ones are resolved against a group."""

    segments: tuple[str, ...]
    absolute: bool = True

    def __str__(self) -> str:
        return ("/" if self.absolute else "") + "/".join(self.segments)

    @property
    def is_root(self) -> bool:
        """Whether it names nothing below the root."""
        return not self.segments

    @property
    def is_top_level(self) -> bool:
        """Whether it is a direct child of the root."""
        return len(self.segments) == 1

    @property
    def parent(self) -> PathId:
        """The path above; the root's is the root."""
        return PathId(self.segments[:-1], self.absolute)

    @property
    def top(self) -> PathId:
        """The top-level path that this one lies in."""
        return PathId(self.segments[:1])

    @property
    def parents(self) -> tuple[PathId, ...]:
        """Every path above, nearest first, the root last."""
        return tuple(PathId(self.segments[:length]) for length in range(len(self.segments) - 1, -1, -1))

    def within(self, base: Self) -> PathId:
        """The absolute path, with ``.`` and ``..`` resolved; a relative one is taken from ``base``."""
        found: list[str] = []
        for segment in self.segments if self.absolute else (*base.segments, *self.segments):
            if segment == "..":
                del found[-1:]
            elif segment != ".":
                found.append(segment)
        return PathId(tuple(found))

    def contains(self, other: Self) -> bool:
        """Whether ``other`` lies at or below this path."""
        return other.segments[: len(self.segments)] == self.segments

    @property
    def has_legal_characters(self) -> bool:
        """Whether every segment is a name, ``.`` or ``..``."""
        return all(_SEGMENT.fullmatch(segment) for segment in self.segments)

    @property
    def ends_reserved(self) -> bool:
        """Whether the last segment means something else in an address."""
        return bool(self.segments) and self.segments[-1] in RESERVED

    @property
    def safe(self) -> str:
        """The path as it stands in ids of tasks."""
        return "_".join(self.segments)


ROOT: Final = PathId(())


def path_of(text: str) -> PathId:
    """The path that ``text`` writes; empty segments are dropped."""
    return PathId(tuple(segment for segment in text.split("/") if segment), text.startswith("/"))
