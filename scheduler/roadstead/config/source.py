"""The text of a fleet file: bytes made into text, and the excerpt under a message."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import Final, NamedTuple

import attrs

__all__ = ["UNFILLED", "Source", "Spot", "invisible", "printable", "shown"]

UNFILLED: Final = re.compile(r"\$[A-Za-z_{(]")
"""What a shell or a template would fill in, and we do not."""


_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_WINDOW = 96


class Spot(NamedTuple):
    """Where something stands: line and column, from 1 and in characters, and how many of them it takes on that line."""

    line: int
    column: int
    width: int = 1


@attrs.frozen
class Source:
    """One fleet file's text, under the name that messages call it; lines end where YAML says that they end."""

    file: str
    text: str

    @cached_property
    def lines(self) -> list[str]:
        """The text line by line, without the line breaks."""
        return _BREAK.split(self.text)

    def spot_at(self, offset: int) -> Spot:
        """Return where the character number ``offset`` stands."""
        before = _BREAK.split(self.text[:offset])
        return Spot(len(before), len(before[-1]) + 1)

    def within(self, spot: Spot) -> Spot:
        """Return ``spot``, or the end of the text where it lies behind that: parsers count one line more."""
        if spot.line <= len(self.lines):
            return spot
        return Spot(len(self.lines), len(self.lines[-1]) + 1)

    def excerpt(self, spot: Spot) -> str:
        """Return the line at ``spot`` with its number, and below it a caret for every character concerned.

        A long line is cut around the caret. What a terminal would not show, or would obey, is shown as a dot. Where
        there is no such line, the excerpt is empty.
        """
        if not self.text or not 0 < spot.line <= len(self.lines):
            return ""
        line = self.lines[spot.line - 1]
        start = max(0, spot.column - 1 - _WINDOW // 2) if len(line) > _WINDOW else 0
        shown = printable(line[start : start + _WINDOW].rstrip())
        before = _columns(printable(line[start : spot.column - 1]))
        under = _columns(
            printable(line[spot.column - 1 : spot.column - 1 + spot.width][: start + _WINDOW - spot.column + 1])
        )
        number = f"{spot.line:>5}"
        return f"{number} | {shown}".rstrip() + f"\n{'':>5} | {' ' * before}{'^' * max(1, under)}"


def printable(text: str) -> str:
    """Return ``text`` as a terminal can show it on one line, whatever a file has in it."""
    return "".join(
        character if character.isprintable() else " " if character == "\t" else "\N{MIDDLE DOT}" for character in text
    )


def invisible(text: str) -> str | None:
    """Return the first character of ``text`` that nobody sees, or takes for a space, as messages name it."""
    found = next((one for one in text if not one.isprintable()), None)
    return f"U+{ord(found):04X}" if found is not None else None


def _columns(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    marks = sum(unicodedata.combining(character) > 0 for character in text)
    return len(text) + wide - marks


def shown(text: str) -> str:
    """Return ``text`` quoted for a message, and shortened where it is long."""
    return repr(text if len(text) <= 64 else text[:61] + "...")
