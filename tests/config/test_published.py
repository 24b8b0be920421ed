"""What is published of the fleet file's keys is what the program has."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml

from roadstead.config import ProblemCode, fleet_schema, publish, read_fleet
from tests.config.corpus import HERE, built_in

ROOT = HERE.parent.parent
EXAMPLES = sorted((ROOT / "configs").glob("*.yaml"))
GOOD = [*EXAMPLES, *sorted((HERE / "good").glob("*.yaml"))]


def test_the_published_schema_is_that_of_the_program() -> None:
    """``python -m roadstead.config.publish`` makes it anew."""
    assert publish.published_schema() == (ROOT / "configs/fleet.schema.json").read_text(encoding="utf-8")


def test_the_published_page_is_that_of_the_program() -> None:
    """``python -m roadstead.config.publish`` makes it anew."""
    assert publish.published_page() == (ROOT / "docs/reference/fleet-file.md").read_text(encoding="utf-8")


def test_publishing_writes_both_files(tmp_path: Path) -> None:
    """The command writes the schema and the page to the paths that it is given."""
    publish.main([str(tmp_path / "schema.json"), str(tmp_path / "page.md")])
    assert publish.published_schema() == (tmp_path / "schema.json").read_text(encoding="utf-8")
    assert publish.published_page() == (tmp_path / "page.md").read_text(encoding="utf-8")


def test_the_schema_is_a_schema() -> None:
    """Draft 7, which is what editors understand."""
    jsonschema.Draft7Validator.check_schema(fleet_schema(built_in()))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_file_is_read_and_fits_the_schema(path: Path) -> None:
    """Reader and schema agree on what we publish ourselves, the first thing that a newcomer opens included."""
    text = path.read_text(encoding="utf-8")
    assert read_fleet(path, built_in()).deployments
    document = json.loads(json.dumps(yaml.safe_load(text)))
    assert [] == [error.message for error in jsonschema.Draft7Validator(fleet_schema(built_in())).iter_errors(document)]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_names_the_schema_on_its_first_line(path: Path) -> None:
    """An editor finds the schema beside the file without being told."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    assert "# yaml-language-server: $schema=fleet.schema.json" == first
    assert (ROOT / "configs" / first.partition("$schema=")[2]).is_file()


def test_every_code_has_its_page() -> None:
    """``roadstead explain`` knows each code that reading a fleet file can end in."""
    pages = {entry.name.removesuffix(".md") for entry in files("roadstead.cli.pages").iterdir()}
    assert set() == {code.value for code in ProblemCode} - pages
