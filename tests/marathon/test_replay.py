"""The recorded answers of a real Marathon 1.11, replayed one by one against the emulator."""

from __future__ import annotations

from typing import Final

import pytest

from tests.marathon.replay import GROUPS, Result, replayed

#: Records that no emulator can be held to; all others agree.
INCOMPARABLE: Final = {"empty": 1, "group": 1, "merge": 1}


@pytest.mark.parametrize("group", GROUPS)
def test_every_recorded_answer_agrees(group: str) -> None:
    """Answers of the emulator are those of a real Marathon: status, headers and body, in their order."""
    found = list(replayed(group))
    assert not [each for each in found if each.differences], _told(found)
    assert sum(each.skipped is not None for each in found) == INCOMPARABLE.get(group, 0)


def _told(found: list[Result]) -> str:
    return "\n".join(
        f"{each.group} #{each.index} {each.name}\n" + "\n".join(f"    {difference}" for difference in each.differences)
        for each in found
        if each.differences
    )
