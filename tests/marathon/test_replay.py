"""The recorded answers of a real Marathon 1.11, replayed: as many agree as ever did."""

from __future__ import annotations

from typing import Final

import pytest

from tests.marathon.replay import GROUPS, Result, replayed

#: How many records of a group agree. A number here may rise; one that falls is a rule broken.
AGREE: Final = {
    "app-create": 100,
    "app-invalid": 181,
    "auth": 23,
    "deploy": 16,
    "embed": 38,
    "empty": 142,
    "features": 33,
    "filter": 8,
    "follower": 1,
    "group": 69,
    "merge": 32,
    "options": 9,
    "plan": 23,
    "plan2": 20,
    "pod": 43,
    "queue": 7,
    "update": 83,
}


@pytest.mark.parametrize("group", GROUPS)
def test_as_many_recorded_answers_agree_as_ever_did(group: str) -> None:
    """Answers of the emulator are those of a real Marathon: status, headers and body, in their order."""
    found = list(replayed(group))
    agree = sum(each.agrees for each in found)
    assert agree >= AGREE.get(group, 0), _told(found)


def _told(found: list[Result]) -> str:
    return "\n".join(
        f"{each.group} #{each.index} {each.name}\n" + "\n".join(f"    {difference}" for difference in each.differences)
        for each in found
        if each.differences
    )
