"""Reading a node by the description of its key: the entrance, and what every shape's reader needs.

A value that was refused is :data:`roadstead.config.sections.INVALID`: reading goes on beside it, and nothing is said
about what only follows from it. The readers are in :mod:`roadstead.config.read_values` and
:mod:`roadstead.config.read_mappings`.
"""

from __future__ import annotations

from functools import singledispatch

import attrs

from roadstead.config.nodes import Broken, Entries, Items, Node, Scalar
from roadstead.config.problems import Path, ProblemCode, Problems
from roadstead.config.scalars import Kind, meaning, said
from roadstead.config.sections import INVALID
from roadstead.config.shapes import Shape
from roadstead.config.source import UNFILLED, Spot, shown

__all__ = ["Place", "misread", "read", "wrong_kind"]


@attrs.frozen
class Place:
    """Where reading is: the path, and where the key of it stands."""

    problems: Problems
    path: Path
    spot: Spot

    def under(self, part: str | int, spot: Spot) -> Place:
        """Return the place of one key or list item below."""
        return Place(self.problems, (*self.path, part), spot)

    def refuse(self, code: ProblemCode, node: Node, what: str, hint: str) -> object:
        """Tell about the value ``node`` and return :data:`INVALID`.

        A mapping is pointed at by its key: in block style it starts on another line.
        """
        spot = self.spot if isinstance(node, Entries | Items) else node.spot
        self.problems.add(code, self.path, spot, what, hint)
        return INVALID


@singledispatch
def read(shape: Shape, _node: Node, _place: Place) -> object:
    """Return what ``node`` says, read as ``shape``, or :data:`INVALID` after telling why not."""
    raise TypeError(f"{shape!r} is no shape")


def wrong_kind(node: Node, wanted: str, place: Place, hint: str = "") -> object:
    """Refuse a node that is of another kind than wanted; one with something refused before is passed over."""
    if isinstance(node, Broken) or (isinstance(node, Entries) and node.incomplete):
        place.problems.distrust(place.path)
        return INVALID
    if isinstance(node, Scalar):
        means = meaning(node)
        if means.kind is Kind.NOTHING:
            what, hint = f"nothing stands here, {wanted} is wanted", hint or "give a value, or take the key out"
            return place.refuse(ProblemCode.TYPE, node, what, hint)
        if means.kind is Kind.AMBIGUOUS:
            what = f"{shown(node.text)} is {means.reading}; {wanted} is wanted"
            return place.refuse(ProblemCode.AMBIGUOUS, node, what, hint or f"write {wanted}")
        kind = "text" if means.kind is Kind.TEXT else means.kind.value
        if means.kind is Kind.TEXT:
            hint = misread(node, place) or hint
        what = f"{said(node)} is {kind}, {wanted} is wanted"
    else:
        what = f"this is {'a list' if isinstance(node, Items) else 'a mapping'}, {wanted} is wanted"
    return place.refuse(ProblemCode.TYPE, node, what, hint or f"write {wanted}")


def misread(node: Scalar, place: Place) -> str:
    """Return the hint for a text that is there by mistake, or nothing."""
    if not place.path:
        return "is this a fleet file? it starts with `version: 1`"
    if UNFILLED.search(node.text):
        return "nothing is filled in here: write the value itself"
    return ""
