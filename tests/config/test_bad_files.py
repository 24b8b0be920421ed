"""Every bad fleet file with exactly what is said of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from roadstead.config import FleetFileError, ProblemCode, fleet_schema, read_fleet
from tests.config.corpus import BAD, built_in, said_of

SEEN_BY_EDITORS = {
    ProblemCode.UNKNOWN_KEY,
    ProblemCode.MISSING_KEY,
    ProblemCode.TYPE,
    ProblemCode.NAME,
    ProblemCode.NOT_BUILT,
}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_answered_with_exactly_this(path: Path) -> None:
    """Positions, words, carets, hints and codes of every problem of the file, in the order of the file."""
    assert path.with_suffix(".txt").read_text(encoding="utf-8") == said_of(path)


def test_every_bad_file_has_its_answer_and_every_answer_its_file() -> None:
    """The folder holds pairs, and at least the sixty that are promised."""
    answers = {path.stem for path in BAD[0].parent.glob("*.txt")}
    assert {path.stem for path in BAD} == answers
    assert len(answers) >= 60


def test_every_code_is_met_by_a_bad_file() -> None:
    """No problem is without an example, except a file that cannot be read at all."""
    told = {code for path in BAD for code in re.findall(r"code: (RS\d+)", path.with_suffix(".txt").read_text("utf-8"))}
    assert {code.value for code in ProblemCode} - {ProblemCode.UNREADABLE.value} == told


@pytest.mark.parametrize(
    "name",
    [
        *("backend-options", "gpu", "kubernetes-habits", "missing-keys", "names", "not-in-this-version"),
        *("gateway-options", "gateway-ports", "gateway-tls", "kubernetes-resources", "wrong-level"),
        *("not-a-mapping", "nothing-there", "quickstart-with-mistakes", "unknown-keys", "wrong-types"),
    ],
)
def test_an_editor_sees_what_a_schema_can_say(name: str) -> None:
    """A file whose mistakes are of shape, names or keys fails the published schema too."""
    path = next(path for path in BAD if path.stem == name)
    with pytest.raises(FleetFileError) as caught:
        read_fleet(path, built_in())
    assert SEEN_BY_EDITORS & {problem.code for problem in caught.value.problems}
    validator = jsonschema.Draft7Validator(fleet_schema(built_in()))
    assert not validator.is_valid(json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str)))
