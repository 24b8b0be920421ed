"""Noticing that a file changed, and that whoever changes it has finished. Pure, but for one call of ``stat``."""

from __future__ import annotations

from pathlib import Path

import attrs

from roadstead.units import Duration

__all__ = ["STILL_FOR", "Settling", "Stamp", "stamp"]

STILL_FOR = Duration(1_000)
"""How long a changed file must stand still before it is read: a half-saved file deletes nothing."""


@attrs.frozen(kw_only=True)
class Stamp:
    """What changes whenever a file is written or replaced."""

    inode: int
    size: int
    modified_ns: int


def stamp(path: Path) -> Stamp | None:
    """Return the stamp of the file at ``path``, following links, or ``None`` while it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Stamp(inode=found.st_ino, size=found.st_size, modified_ns=found.st_mtime_ns)


class Settling:
    """Decides when a changed file is to be read: once for each change, after it stood still.

    Times are seconds of one monotonic clock. A file that is missing is not a change: whoever saves it may be between
    removing and writing it.
    """

    def __init__(self, known: Stamp | None) -> None:
        self._known = known
        self._seen = known
        self._since = 0.0

    def is_ready(self, now_stamp: Stamp | None, now: float) -> bool:
        """Return whether the file is to be read now; each change is reported once."""
        if now_stamp is None or now_stamp == self._known:
            self._seen = now_stamp
            return False
        if now_stamp != self._seen:
            self._seen, self._since = now_stamp, now
            return False
        if now - self._since < STILL_FOR.seconds:
            return False
        self._known = now_stamp
        return True

    def read(self, now_stamp: Stamp | None) -> None:
        """Note that the file was read for another reason, as it is now."""
        self._known = self._seen = now_stamp
