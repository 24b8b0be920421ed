"""The pages of `roadstead explain`: one for whatever a person may be told."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

import roadstead
import roadstead_backends
import roadstead_plugins
from roadstead.cli.errors import NoPage
from roadstead.cli.pages import codes, page, titles
from roadstead.config import ProblemCode
from roadstead.errors import RoadsteadError
from roadstead.reasons import ReasonCode

PACKAGES = (roadstead, roadstead_backends, roadstead_plugins)
SERVER = (
    "roadstead_plugins.runtimes.tf_serving.server"  # a program of its own, on TensorFlow: no command shows its errors
)


def errors_of(kind: type[RoadsteadError]) -> Iterator[type[RoadsteadError]]:
    """Yield ``kind`` and every error below it that is ours."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__.partition(".")[0] in {package.__name__ for package in PACKAGES}:
            yield from errors_of(below)


@pytest.fixture(scope="module")
def told() -> set[str]:
    """Every code that any module of the tree can tell a person."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(SERVER) and not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    return {kind.code for kind in errors_of(RoadsteadError)} | {one.value for one in ProblemCode}


def test_every_code_has_a_page(told: set[str]) -> None:
    """Whoever adds an error writes its page: an error without one says `explain` and explains nothing."""
    assert set() == told - set(codes())


def test_every_reason_has_a_page() -> None:
    """The words of `why` can be looked up as they stand there."""
    assert set() == {one.value for one in ReasonCode} - set(codes())


def test_no_page_is_about_nothing(told: set[str]) -> None:
    """A page whose code is gone goes with it; RS000 is what the outermost frame says."""
    assert set() == set(codes()) - told - {one.value for one in ReasonCode} - {"RS000"}


def test_a_code_that_is_written_anywhere_has_a_page() -> None:
    """Also one that belongs to no class: in a text, a command's summary, or what the control API sends."""
    roots = [Path(root) for package in PACKAGES for root in package.__path__]
    texts = [path.read_text(encoding="utf-8") for root in roots for path in root.rglob("*.py")]
    written = {code for text in texts for code in re.findall(r"\bRS\d{3}\b", text)}
    assert len(written) > 50
    assert set() == written - set(codes())


@pytest.mark.parametrize("code", codes())
def test_a_page_says_what_it_is_why_it_happens_and_what_to_do(code: str) -> None:
    """A title, at least a sentence or two about it, and then the next step."""
    head, _, action = page(code).partition("\n\nWhat to do: ")
    title, _, about = head.partition("\n\n")
    assert title.startswith(f"# {code}: ")
    assert len(about.split()) >= 8
    assert action.strip().endswith((".", "sha256sum"))
    assert all(len(line) <= 110 for line in page(code).splitlines())


def test_codes_are_found_in_any_case() -> None:
    """Nobody retypes a code letter by letter."""
    assert page("RS102") == page("rs102")
    assert page("out-of-memory") == page("OUT-OF-MEMORY")


def test_a_misspelt_code_names_its_neighbours() -> None:
    """And one like nothing at all says where the list is."""
    with pytest.raises(NoPage) as near:
        page("out-of-memmory")
    with pytest.raises(NoPage) as far:
        page("%%%")
    assert "did you mean out-of-memory?" == near.value.hint
    assert "`roadstead explain` lists them" == far.value.hint


def test_errors_come_before_reasons() -> None:
    """The list reads as two lists, each in order."""
    listed = [code for code, _ in titles()]
    assert sorted(listed, key=lambda code: (not code.startswith("RS"), code)) == listed


def test_pages_are_data_of_the_package() -> None:
    """They are found by the package and not by a path, so that an installed wheel has them."""
    assert files("roadstead.cli.pages").joinpath("RS001.md").is_file()
