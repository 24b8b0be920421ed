"""Commands that pages for people show exist, with the flags that they show."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import click
import pytest

from roadstead.cli.group import cli
from tests.docs import pages
from tests.docs.pages import ROOT, blocks_of, likeness

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_INLINE = re.compile(r"`roadstead ([^`]+)`")
_TYPED = re.compile(r"(?:^|[|;(&] *)roadstead ([^|;)&#\n]+)", re.MULTILINE)


def _shown(page: Path) -> list[str]:
    """Return what follows the word `roadstead` in every command that a page shows."""
    typed = [found for block in blocks_of(page) if block.language == "sh" for found in _TYPED.findall(block.text)]
    return [*typed, *(one for found in _INLINE.findall(page.read_text()) for one in found.split(", "))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_only_commands_and_flags_that_exist(page: Path) -> None:
    """Whoever types what stands there is not told that there is no such thing."""
    for shown in _shown(page):
        context = click.Context(cli, info_name="roadstead")
        command: click.Command = cli
        flags = {option for parameter in cli.params for option in parameter.opts}
        for word in shlex.split(shown.replace("[", "").replace("]", "")):
            if word.startswith("-"):
                assert word.partition("=")[0] in flags | {"-h", "--help"}, f"{page.name}: roadstead {shown}"
            elif isinstance(command, click.Group):
                found = command.get_command(context, word)
                assert found is not None, f"{page.name}: roadstead {shown}"
                command = found
                flags |= {option for one in found.params for option in (*one.opts, *one.secondary_opts)}


def test_the_readme_shows_commands() -> None:
    """Else the test above could not fail."""
    assert {"status", "plan", "load"} <= {shown.split()[0] for shown in _shown(ROOT / "README.md")}


def test_two_outputs_are_alike_but_for_ids_and_numbers() -> None:
    """As its own examples say; a word that is another one is a difference."""
    assert 0 == doctest.testmod(pages).failed
    assert likeness("failed  0") != likeness("ok  0")
