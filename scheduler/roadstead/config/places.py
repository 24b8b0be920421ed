"""Finds where a value of the fleet file stands, for checks that look at values and not at nodes."""

from __future__ import annotations

import attrs

from roadstead.config.nodes import Entries, Items, Node, Scalar
from roadstead.config.problems import Path
from roadstead.config.source import Spot

__all__ = ["Places"]


@attrs.frozen
class Places:
    """The places of one file, whose tree is ``root``."""

    root: Node

    def written(self, path: Path) -> bool:
        """Return whether the file itself has a value at ``path``; what comes from ``defaults`` does not count."""
        return self._walk(path)[0] == len(path)

    def key_of(self, path: Path) -> Spot:
        """Return the spot of the last key of ``path``, which the file has."""
        above, name = self._node(path[:-1]), path[-1]
        return above.by_key[name].key.spot if isinstance(above, Entries) and isinstance(name, str) else above.spot

    def of(self, path: Path) -> tuple[Path, Spot]:
        """Return the path that the value at ``path`` was written under, and its spot.

        A deployment's value may stand in ``defaults``. Where it stands nowhere, the spot is that of what it is missing
        from.
        """
        depth, spot = self._walk(path)
        if depth < len(path) and path[:1] == ("deployments",):
            default = ("defaults", *path[2:])
            if len(default) > 1 and self._walk(default)[0] == len(default):
                return default, self._walk(default)[1]
        return path, spot

    def _walk(self, path: Path) -> tuple[int, Spot]:
        """Return how many steps of ``path`` there are, and the spot of the last one's value, or of its key."""
        node, spot = self.root, self.root.spot
        for depth, part in enumerate(path):
            below = _below(node, part)
            if below is None:
                return depth, spot
            at_value = isinstance(node, Items) or isinstance(below, Scalar)
            spot = below.spot if at_value else self.key_of(path[: depth + 1])
            node = below
        return len(path), spot

    def _node(self, path: Path) -> Node:
        node = self.root
        for part in path:
            node = _below(node, part) or node
        return node


def _below(node: Node, part: str | int) -> Node | None:
    if isinstance(node, Entries) and isinstance(part, str) and part in node.by_key:
        return node.by_key[part].value
    if isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
        return node.items[part]
    return None
