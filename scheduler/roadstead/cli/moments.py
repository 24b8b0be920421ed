"""Moments as people write them: a time of day, a day with a time, or how long ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from roadstead.cli.errors import NotUnderstood
from roadstead.units import Duration, UnitError

__all__ = ["moment"]

_ROUNDED = {"%H:%M:%S": timedelta(seconds=1), "%H:%M": timedelta(minutes=1)}
_DAY = "%Y-%m-%d"


def moment(text: str, now: datetime) -> int:
    """Return what ``text`` means at ``now``, in milliseconds since the epoch; raises :class:`NotUnderstood`.

    A duration (``5m``) is so long ago. A time of day is the last one that has begun, in the zone of ``now`` or, with
    ``Z``, in UTC. What is not said is all over: ``03:12`` is the end of that minute.

    >>> now = datetime(2026, 3, 9, 8, 0, tzinfo=UTC)
    >>> [datetime.fromtimestamp(moment(one, now) // 1000, UTC).isoformat(" ") for one in ("03:12", "09:30:05", "90m")]
    ['2026-03-09 03:12:59+00:00', '2026-03-08 09:30:05+00:00', '2026-03-09 06:30:00+00:00']
    """
    try:
        return int(now.timestamp() * 1000) - Duration.parse(text).ms
    except UnitError:
        local = now.astimezone(UTC) if text.endswith("Z") else now
    for form, rounded in _ROUNDED.items():
        for day in (f"{_DAY} ", f"{_DAY}T", ""):
            found = _read(text.removesuffix("Z"), day + form, local)
            if found is not None:
                begun = found if day or found <= local else found - timedelta(days=1)
                return int((begun + rounded).timestamp() * 1000) - 1
    raise NotUnderstood(f"{text!r} is no moment", hint="write 03:12, '2026-03-09 03:12', or 5m for five minutes ago")


def _read(text: str, form: str, now: datetime) -> datetime | None:
    """Return the moment in the zone of ``now``, on its day where the form has none; ``None`` for another form."""
    try:
        found = datetime.strptime(text, form).replace(tzinfo=now.tzinfo)
    except ValueError:
        return None
    return found if _DAY in form else found.replace(year=now.year, month=now.month, day=now.day)
