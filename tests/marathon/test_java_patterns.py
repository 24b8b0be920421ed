"""Regular expressions of constraints: Java's, where Python's are others."""

from __future__ import annotations

import pytest

from roadstead_backends.marathon.emulator.documents.java_patterns import NoPattern, java_pattern
from tests.marathon.replay import world_of


@pytest.mark.parametrize(
    "text",
    [
        "a{",
        "a{,3}",
        "{",
        "a{2,1}",
        "(?P<n>x)",
        "(?#c)a",
        "(?<1>a)",
        "(?j)a",
        r"\y",
        r"\p{Nope}",
        "[[a]",
        "[]",
        "a**",
        "\\",
    ],
)
def test_what_java_does_not_read_is_no_pattern(text: str) -> None:
    """Though Python may."""
    with pytest.raises(NoPattern):
        java_pattern(text)


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        (r"(?<n>x)\k<n>", "xx", "xy"),
        (r"\p{L}+", "ab", "a1"),
        (r"\pL[\p{Digit}-]\P{Digit}", "a-b", "a-1"),
        (r"\Qa*(\E+", "a*((", "aa("),
        ("[a-c[x-z]]+", "ax", "am"),
        ("[a-z&&[^b]]", "a", "aa"),
        ("[]a]", "]", "b"),
        ("a(?i)b", "aB", "ac"),
        ("(?i-s:a)b", "Ab", "AB"),
        (r"\h\R", "\t\n", "\tn"),
        (r"\x{41}\0102\z", "AB", "ab"),
        ("a{2}", "aa", "a"),
    ],
)
def test_what_only_java_reads_finds_what_it_finds_there(text: str, matching: str, other: str) -> None:
    """As a whole, as constraints do."""
    pattern = java_pattern(text)
    assert pattern.fullmatch(matching) is not None
    assert pattern.fullmatch(other) is None


@pytest.mark.parametrize(("value", "status"), [(r"\p{L}+.*", 201), ("a{", 422)])
def test_constraints_are_read_so(value: str, status: int) -> None:
    """Where an app is taken."""
    app = {"id": "/a", "cmd": "sleep 1", "instances": 1, "constraints": [["hostname", "LIKE", value]]}
    assert world_of("app-create").ask("POST", "/v2/apps", app).status == status
