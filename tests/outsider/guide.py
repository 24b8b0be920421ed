"""A how-to page as a program: what it quotes from files, and what it has its reader type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import attrs

__all__ = ["Quotation", "commands", "quotations"]

_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Quotation:
    """Some lines that are said to stand in a file."""

    file: str
    lines: str


def quotations(page: Path) -> Iterator[Quotation]:
    """Yield every block that names a file after its language."""
    for block in _BLOCK.finditer(page.read_text()):
        _, _, file = block["info"].partition(" ")
        if file:
            yield Quotation(file, block["body"])


def commands(page: Path) -> Iterator[list[str]]:
    """Yield what stands behind each prompt, as words."""
    for block in _BLOCK.finditer(page.read_text()):
        if block["info"] == "console":
            for line in block["body"].splitlines():
                assert line.startswith("$ "), f"{line!r} is no command"
                yield shlex.split(line.removeprefix("$ "))
