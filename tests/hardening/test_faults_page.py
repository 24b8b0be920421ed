"""The page of faults names tests that exist, and every test of this folder stands on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "faults.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def _tests(file: Path) -> frozenset[str]:
    """Return the names of the tests in a file, those in classes included."""
    if not file.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def _rows() -> Iterator[list[str]]:
    """Yield the cells of every fault on the page; a table of faults begins with the words `what was done`."""
    of_faults = False
    for line in PAGE.read_text().splitlines():
        if line.startswith("| what was done |"):
            of_faults = True
        elif not line.startswith("|"):
            of_faults = False
        elif of_faults and not line.startswith("|-"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_every_test_that_the_page_names_exists() -> None:
    """In the file that is named; a test that gets another name takes the page along."""
    named = NAMED.findall(PAGE.read_text())
    assert [] == [f"{file}::{name}" for file, name in named if name not in _tests(ROOT / file)]


def test_every_test_of_this_folder_stands_on_the_page() -> None:
    """Whoever shows one more fault says there what the operator sees of it; this file is about no fault."""
    folder = Path(__file__).parent
    named = set(NAMED.findall(PAGE.read_text()))
    ours = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in folder.glob("test_*.py")
        if path != Path(__file__)
        for name in _tests(path)
    }
    assert set() == ours - named


def test_every_fault_says_what_was_done_what_is_seen_what_comes_of_it_and_which_test_shows_it() -> None:
    """Four cells, none empty, the last with a test."""
    rows = list(_rows())
    assert [] == [cells[0] for cells in rows if len(cells) != 4 or not all(cells) or not NAMED.search(cells[3])]
    assert len(rows) >= 20
