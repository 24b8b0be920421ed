"""The reference page, held to the commands that it describes."""

from __future__ import annotations

from pathlib import Path

from roadstead.cli.exits import Exit
from roadstead.cli.group import COMMANDS, cli
from roadstead.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_page_is_what_the_commands_say() -> None:
    """Write it anew with `python -m roadstead.cli.reference > docs/reference/cli.md`."""
    assert reference() == PAGE.read_text(encoding="utf-8")


def test_the_line_in_help_is_the_commands_own() -> None:
    """Help is written from a table, without importing a command; the table does not drift."""
    context = cli.make_context("roadstead", [], resilient_parsing=True)
    for section in COMMANDS.values():
        for name, lazy in section.items():
            command = cli.get_command(context, name)
            assert command is not None
            assert command.help is not None
            assert lazy.summary == command.help.splitlines()[0], name
            assert name == command.name


def test_every_exit_code_has_a_meaning() -> None:
    """And the numbers are those that scripts know."""
    assert [0, 1, 2, 3, 4, 5, 64, 65, 69, 77, 130] == [one.value for one in Exit]
    assert all(one.meaning for one in Exit)
