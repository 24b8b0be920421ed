"""Who was asked what, and what came of it: clusters as columns, abilities and parts of the kit as rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import attrs
import pytest

from roadstead.errors import BackendError
from roadstead.testing.conformance.abilities import Ability, abilities_of
from roadstead.testing.subject import Subject

__all__ = ["Matrix", "cluster_of"]


@attrs.define
class _Column:
    abilities: frozenset[Ability] | None = None
    outcomes: dict[str, Counter[str]] = attrs.field(factory=dict)


@attrs.define
class Matrix:
    """What became of the kit's tests, by cluster and part."""

    _columns: dict[str, _Column] = attrs.field(factory=dict)

    def note(self, cluster: str, area: str, outcome: str, subject: Subject | None) -> None:
        """Note one test's outcome: ``passed``, ``failed`` or ``skipped``; ``subject`` is looked at the first time."""
        column = self._columns.setdefault(cluster, _Column())
        column.outcomes.setdefault(area, Counter())[outcome] += 1
        if column.abilities is None and subject is not None:
            try:
                column.abilities = abilities_of(subject)
            except BackendError:
                return  # this test left it without an answer; the next one is asked

    def lines(self) -> Iterator[str]:
        """Yield the table as text.

        A part is shown as how many of its tests passed, of those that were asked, and ``-`` where none was.
        """
        areas = dict.fromkeys(area for column in self._columns.values() for area in column.outcomes)
        rows: dict[str, list[str]] = {
            ability.value: ["yes" if ability in (column.abilities or ()) else "-" for column in self._columns.values()]
            for ability in Ability
        }
        rows |= {
            area: [_share(column.outcomes.get(area, Counter())) for column in self._columns.values()] for area in areas
        }
        yield from _table(list(self._columns), rows)


def _share(outcomes: Counter[str]) -> str:
    asked = outcomes["passed"] + outcomes["failed"]
    return f"{outcomes['passed']}/{asked}" if asked else "-"


def _table(heads: list[str], rows: Mapping[str, list[str]]) -> Iterator[str]:
    first = max(map(len, rows), default=0)
    widths = [max(len(head), 7) for head in heads]
    yield "  ".join([" " * first, *(head.rjust(width) for head, width in zip(heads, widths, strict=True))])
    for name, cells in rows.items():
        yield "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])


def cluster_of(item: pytest.Function) -> str:
    """Return what a test's cluster is called: its parameter, or the class that stands for it."""
    called = getattr(item, "callspec", None)
    return str(called.id) if called is not None else item.parent.name if item.parent is not None else item.name
