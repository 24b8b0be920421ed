"""The table of rules names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.marathon.replay import GROUPS

_HERE = Path(__file__).parent
_ROWS = [line for line in (_HERE / "RULES.md").read_text().splitlines() if line.startswith("| ")][1:]
_NAMED = re.compile(r"`(\w+)::(\w+)`")
_RECORDED = re.compile(r"`([\w-]+)\.jsonl`")


@pytest.mark.parametrize("row", _ROWS, ids=range(len(_ROWS)))
def test_each_rule_names_tests_that_exist(row: str) -> None:
    """At least one of them, or a recording."""
    shown = row.split("|")[3]
    named, recorded = _NAMED.findall(shown), _RECORDED.findall(shown)
    assert named or recorded
    for module, test in named:
        assert f"\ndef {test}(" in (_HERE / f"{module}.py").read_text()
    assert set(recorded) <= set(GROUPS)


def test_no_recording_is_left_out() -> None:
    """Each shows something."""
    assert set(GROUPS) == {name for row in _ROWS for name in _RECORDED.findall(row)}
