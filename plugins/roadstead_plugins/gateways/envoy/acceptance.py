"""Which files Envoy has taken, since when, and which it should be offered once more; pure but for what it remembers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from roadstead_plugins.gateways.envoy.translate import File, subscription_of

__all__ = ["Acceptance"]

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0


@attrs.define
class _Taken:
    version: str
    since: float


@attrs.define
class _Waiting:
    version: str
    since: float
    next_try: float
    wait: float = _FIRST_WAIT_S


class Acceptance:
    """Remembers when each file was first seen in force. Times are monotonic seconds, and arguments."""

    def __init__(self) -> None:
        self._taken: dict[str, _Taken] = {}
        self._waiting: dict[str, _Waiting] = {}

    def look(self, files: Mapping[str, File], versions: Mapping[str, str], now: float) -> None:
        """Take in which versions Envoy shows."""
        for name, file in files.items():
            subscription = subscription_of(name)
            if subscription is None:
                continue
            if versions.get(subscription) == file.version:
                self._waiting.pop(name, None)
                if not self._is_taken(file):
                    self._taken[name] = _Taken(file.version, now)
            else:
                self._taken.pop(name, None)
                if name not in self._waiting or self._waiting[name].version != file.version:
                    self._waiting[name] = _Waiting(file.version, now, now + _FIRST_WAIT_S)
        for gone in [name for name in (*self._taken, *self._waiting) if name not in files]:
            self._taken.pop(gone, None)
            self._waiting.pop(gone, None)

    def in_force(self) -> Mapping[str, str]:
        """Return the version of each file that is in force as it was when last looked at."""
        return {name: taken.version for name, taken in self._taken.items()}

    def quiet(self, now: float, *, after: float) -> Mapping[str, str]:
        """Return the version of each file that has been in force for at least ``after`` seconds."""
        return {name: taken.version for name, taken in self._taken.items() if now - taken.since >= after}

    def overdue(self, files: Mapping[str, File], now: float) -> Iterator[File]:
        """Yield the files to be offered once more now; the wait for the next time doubles with each."""
        for name, waiting in self._waiting.items():
            file = files.get(name)
            if file is not None and file.version == waiting.version and now >= waiting.next_try:
                waiting.next_try = now + waiting.wait
                waiting.wait = min(2 * waiting.wait, _LONGEST_WAIT_S)
                yield file

    def late(self, now: float) -> tuple[str, ...]:
        """Return the files that should have been taken by now."""
        return tuple(sorted(name for name, one in self._waiting.items() if now - one.since >= _FIRST_WAIT_S))

    def is_late(self, name: str, now: float) -> bool:
        """Tell whether a file should have been taken by now."""
        return name in self.late(now)

    def _is_taken(self, file: File) -> bool:
        taken = self._taken.get(file.name)
        return taken is not None and taken.version == file.version
