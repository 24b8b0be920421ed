"""Bringing a running server to another version, in an order in which no request finds nothing to answer it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from roadstead.world import ModelStatus
from roadstead_plugins.runtimes.tf_serving.answers import Answer, NoAnswer, VersionState, verdict

__all__ = ["NotReloaded", "Steps"]

_POLL: Final = 0.05
"""Seconds between two looks at what the server does."""


class NotReloaded(Exception):
    """The version does not serve alone; the text says why, and what serves now."""


@attrs.frozen(kw_only=True)
class Steps:
    """How one server is asked and told, and how a reload goes.

    ``look`` returns the versions' states. ``tell`` has the server serve exactly some versions from now on, and returns
    why it refused, or nothing; both get the seconds that are left. A server may show an old failure for up to ``stale``
    seconds after it was told to try again.
    """

    look: Callable[[float], Answer]
    tell: Callable[[Iterable[int], float], str]
    stale: float

    def reload(self, version: int, *, deadline: float) -> None:
        """Have the server serve ``version`` and nothing else; ``deadline`` is on the monotonic clock.

        First beside what it serves, then alone: a server that is told a version alone which it cannot find would stop
        serving. If the version cannot be loaded, the server is told to serve what it served, so that it does not go
        over to the version by itself when somebody mends it. Raises ``NotReloaded``.
        """
        answer = self._answer(deadline)
        served = verdict(answer, version).versions
        if version not in served:
            self._tell({*served, version}, deadline)
            self._until_available(version, served, answer, deadline)
        self._tell({version}, deadline)
        while (found := verdict(self._answer(deadline), version)).versions != (version,):
            if time.monotonic() >= deadline:
                raise NotReloaded(f"beside version {version} it still serves {found.versions}")
            time.sleep(_POLL)

    def _until_available(
        self, version: int, served: tuple[int, ...], before: tuple[VersionState, ...], deadline: float
    ) -> None:
        old_failures = [entry for entry in before if entry.version == version and entry.error]
        told = time.monotonic()
        while True:
            answer = self._answer(deadline)
            found = verdict(answer, version)
            if found.status is ModelStatus.AVAILABLE:
                return
            is_new = not any(entry in answer for entry in old_failures) or time.monotonic() > told + self.stale
            if found.status is ModelStatus.FAILED and is_new:
                refusal = self.tell(served, self._left(deadline)) if served else ""
                raise NotReloaded(f"{found.error}{f'; and it did not go back: {refusal}' if refusal else ''}")
            if time.monotonic() >= deadline:
                raise NotReloaded(found.error)
            time.sleep(_POLL)

    def _answer(self, deadline: float) -> tuple[VersionState, ...]:
        """Return the versions' states, asking again until the deadline where there is no answer: it may be busy."""
        while isinstance(answer := self.look(self._left(deadline)), NoAnswer):
            if time.monotonic() >= deadline:
                raise NotReloaded(answer.text)
            time.sleep(_POLL)
        return answer

    def _tell(self, versions: Iterable[int], deadline: float) -> None:
        refusal = self.tell(versions, self._left(deadline))
        if refusal:
            raise NotReloaded(refusal)

    @staticmethod
    def _left(deadline: float) -> float:
        return max(0.001, deadline - time.monotonic())
