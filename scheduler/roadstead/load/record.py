"""What became of every request: nothing that was sent is ever out of the accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from roadstead.load.histogram import Histogram
from roadstead.load.timeline import Timeline
from roadstead.spi.load import OK

__all__ = ["MISSING", "WRONG", "Account", "Outcome", "Record"]

WRONG: Final = "WRONG"
"""The code of an answer that is not the one that was expected."""
MISSING: Final = "MISSING"
"""The code of a request of which nothing was heard again, not even that its deadline was over."""


@attrs.frozen(kw_only=True)
class Outcome:
    """How one request ended: :data:`~roadstead.spi.load.OK` or a failure's code, and what was said of it."""

    code: str
    detail: str = ""
    version: int | None = None


class Account:
    """Requests that were sent, and what they ended as; ``sent = ok + failed + in_flight`` at any time."""

    def __init__(self) -> None:
        self._sent = 0
        self._ok = 0
        self._failures: Counter[str] = Counter()
        self._details: dict[str, str] = {}
        self._versions: Counter[int] = Counter()

    def send(self) -> None:
        """Count a request that goes out."""
        self._sent += 1

    def end(self, outcome: Outcome) -> None:
        """Count how one of them ended; raises ``ValueError`` where none is on its way."""
        if not self.in_flight:
            raise ValueError(f"{outcome.code} ends a request, and none is on its way")
        if outcome.code == OK:
            self._ok += 1
        else:
            self._failures[outcome.code] += 1
            self._details.setdefault(outcome.code, outcome.detail)
        if outcome.version is not None:
            self._versions[outcome.version] += 1

    @property
    def sent(self) -> int:
        """Requests that went out."""
        return self._sent

    @property
    def ok(self) -> int:
        """Requests that got a right answer."""
        return self._ok

    @property
    def failed(self) -> int:
        """Requests that ended without one."""
        return self._failures.total()

    @property
    def in_flight(self) -> int:
        """Requests that are on their way."""
        return self._sent - self._ok - self.failed

    @property
    def failures(self) -> Mapping[str, int]:
        """How many failed, by code."""
        return MappingProxyType(self._failures)

    @property
    def versions(self) -> Mapping[int, int]:
        """How many answers came from which version of the model, the wrong ones included."""
        return MappingProxyType(self._versions)

    def detail(self, code: str) -> str:
        """Return what was said of the first request that failed so."""
        return self._details[code]


class Record:
    """One measurement: the accounts of its warm-up and of itself, how long answers took, and when.

    ``due`` is always when a request should have been sent, which is what its time is counted from: a request that waits
    because another one is slow is slow as well.
    """

    def __init__(self, *, every: float) -> None:
        self.warm_up = Account()
        self.account = Account()
        self.latency = Histogram()
        self.lateness = Histogram()
        self.timeline = Timeline(every)

    def sent(self, due: float) -> None:
        """Note that a request goes out."""
        if due < 0:
            self.warm_up.send()
            return
        self.account.send()
        self.timeline.sent(due)

    def handed_over(self, due: float, at: float) -> None:
        """Note when a request really went out: how late it was is the fault of this program, not of the server."""
        if due >= 0:
            self.lateness.record(at - due)

    def ended(self, due: float, at: float, outcome: Outcome) -> None:
        """Note how a request ended."""
        if due < 0:
            self.warm_up.end(outcome)
            return
        self.account.end(outcome)
        if outcome.code == OK:
            self.latency.record(at - due)
            self.timeline.answered(due, at - due)
        else:
            self.timeline.failed(due, outcome.code)
