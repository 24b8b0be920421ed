"""Points in time as Marathon writes them: whole milliseconds since the epoch inside, ISO 8601 with ``Z`` outside."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from roadstead_backends.marathon.emulator.refusals import illegal

__all__ = ["EPOCH", "moment_of", "written"]

_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)((?<=:\d\d:\d\d)\.\d{1,9})?(Z|[+-]\d\d:\d\d(?::\d\d)?)",
    re.IGNORECASE | re.ASCII,
)
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH: Final = 0


@lru_cache(maxsize=65_536)
def written(milliseconds: int) -> str:
    """Write a point in time; always three digits after the point."""
    moment = _START + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def moment_of(text: str) -> int:
    """Read a point in time, with its offset and at least the minute; refuse what is none (``OffsetDateTime.parse``)."""
    moment = _parsed(text)
    if moment is None:
        raise illegal(f"Invalid timestamp provided '{text}'. Expecting ISO-8601 datetime string.")
    return (moment - _START) // timedelta(milliseconds=1)


def _parsed(text: str) -> datetime | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}{(found[2] or '')[:7]}{found[3]}".upper())
    except ValueError:
        return None
