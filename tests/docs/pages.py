"""A page of documentation as something that can be carried out: its blocks, and what they have in common with output.

A block marked ``sh`` is typed as it stands; one marked ``text`` is a part of what the last one printed.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from roadstead.decide.report import Life

__all__ = ["ROOT", "Block", "blocks_of", "is_course", "is_part_of", "likeness"]

ROOT = Path(__file__).parents[2]

_FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_COURSE = re.compile(r"\S+: (?:(?P<before>[a-z]+) -> (?P<after>[a-z]+)|[a-z-]+, \d+/\d+ serving|starting: .+)$")
_LIVES: frozenset[str | None] = frozenset({"gone", *(life.value for life in Life)})

# Ids before numbers, because there are digits in them; what nobody has measured yet is as good as a number.
_LIKE = (
    (re.compile(r"\b([a-z][a-z0-9]*)-[a-z2-7]{10}(-[0-9a-f]{6})?\b"), r"\1-ID"),
    (re.compile(r"\brevision [a-z2-7]{10}\b"), "revision ID"),
    (re.compile(r"(?<![\w.])(?=[a-z2-7]*\d)[a-z2-7]{10}(?![\w.])"), "ID"),
    (re.compile(r"(?<![\w.])[<~-]?\d[\d.,:]*[a-zA-Z%]*(\d+[a-z]+)*"), "N"),
    (re.compile(r"(?<!\S)\?"), "N"),
)


@attrs.frozen
class Block:
    """One fenced block: what is in it, how it is marked, and in which line of the page it begins."""

    text: str
    language: str
    line: int


def blocks_of(page: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a page, in their order."""
    text = page.read_text()
    return tuple(
        Block(found["text"], found["language"], text.count("\n", 0, found.start()) + 2)
        for found in _FENCED.finditer(text)
    )


def likeness(line: str) -> str:
    """Return a line without what is another one on every machine: ids, numbers with their units, and space.

    >>> likeness("minilm-tz3palhzzr-6989af  listed  vm  127.78.165.23:8500/8501  3m/500m  274Mi/1Gi  17s")
    'minilm-ID listed vm N/N N/N N/N N'
    >>> likeness("minilm      minilm:1      2/2  settled  tz3palhzzr  here  me")
    'minilm minilm:N N/N settled ID here me'
    >>> likeness("127.0.0.1:18000  minilm      edge         0      0          0    ?    ?    ?")
    'N minilm edge N N N N N N'
    """
    for what, instead in _LIKE:
        line = what.sub(instead, line)
    return " ".join(line.split())


def is_part_of(said: str, printed: str) -> bool:
    r"""Return whether a page's lines are all among those that were printed, in their order; others may stand between.

    >>> is_part_of("2 serve", "begin\n3 serve\nend"), is_part_of("end\nbegin", "begin\nend")
    (True, False)
    """
    found = iter([likeness(line) for line in printed.splitlines()])
    return all(any(likeness(line) == other for other in found) for line in said.splitlines() if line.strip())


def is_course(line: str) -> bool:
    """Return whether a line is one that tells a change while somebody follows; which of them come is chance.

    >>> [is_course(line) for line in ("minilm: settled, 2/2 serving", "minilm-x: ready -> listed", "x: ready -> done")]
    [True, True, False]
    """
    found = _COURSE.match(line)
    return found is not None and {found["before"], found["after"]} <= _LIVES | {None}
