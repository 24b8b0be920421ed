"""Options of a plugin as they are said on a command line."""

from __future__ import annotations

import enum
from pathlib import Path

import attrs
import pytest

from roadstead.cli.errors import NotUnderstood
from roadstead.cli.said import options_said
from roadstead.spi.records import BackendPlugin
from roadstead.units import Duration


class Kind(enum.Enum):
    """One of two."""

    ONE = "one"
    TWO = "two"


@attrs.frozen(kw_only=True)
class Options:
    """Options of every type."""

    urls: tuple[str, ...]
    file: Path | None = None
    kind: Kind = Kind.ONE
    count: int = 1
    loud: bool = False
    every: Duration = Duration(0)

    def __attrs_post_init__(self) -> None:
        if self.loud and self.count > 1:
            raise ValueError("one may be loud")


PLUGIN = BackendPlugin(name="plain", factory="nowhere:made", options=Options, summary="for tests")


def test_a_text_becomes_what_its_option_is() -> None:
    """Lists have commas between their items, files are absolute."""
    said = ["urls=a,b", "file=x", "kind=two", "count=3", "loud=false", "every=5s"]
    assert Options(
        urls=("a", "b"), file=Path("x").absolute(), kind=Kind.TWO, count=3, every=Duration(5_000)
    ) == options_said(PLUGIN, said)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "plain needs urls"),
        (["urls=a", "colour=red"], "'colour=red' is no option of plain"),
        (["urls=a", "loud"], "'loud' is no option of plain"),
        (["urls=a", "loud=yes"], "it must be true or false"),
        (["urls=a", "kind=three"], "'three' is not a valid Kind"),
        (["urls=a", "count=x"], "cannot be taken for count"),
        (["urls=a", "loud=true", "count=2"], "one may be loud"),
    ],
)
def test_what_is_no_option_is_refused_with_the_reason(said: list[str], why: str) -> None:
    """And nothing is guessed."""
    with pytest.raises(NotUnderstood, match=why):
        options_said(PLUGIN, said)
