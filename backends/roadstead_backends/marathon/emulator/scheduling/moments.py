"""Points in time as Marathon writes them: whole milliseconds since the epoch inside, ISO 8601 with ``Z`` outside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from roadstead_backends.marathon.emulator.refusals import illegal

__all__ = ["EPOCH", "moment_of", "written"]

_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH: Final = 0


@lru_cache(maxsize=65_536)
def written(milliseconds: int) -> str:
    """Write a point in time; always three digits after the point."""
    moment = _START + timedelta(milliseconds=milliseconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def moment_of(text: str) -> int:
    """Read a point in time; refuse what is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = f"Invalid timestamp provided '{text}'. Expecting ISO-8601 datetime string."
        raise illegal(message) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _START) // timedelta(milliseconds=1)
