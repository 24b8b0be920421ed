"""Which request meets which fault, and what really happened: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import attrs

from roadstead.units import Duration

__all__ = [
    "Applied",
    "Cut",
    "Delay",
    "Exchange",
    "Fault",
    "Insert",
    "LoseReply",
    "LoseRequest",
    "NotApplied",
    "Reply",
    "Rule",
    "Script",
    "Silence",
    "Stale",
    "Truncate",
]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_KEPT_EXCHANGES = 100_000


# ---- faults ----


@attrs.frozen
class Delay:
    """The request is passed on ``by`` later."""

    by: Duration


@attrs.frozen
class LoseRequest:
    """The connection ends; the server never hears of the request."""


@attrs.frozen
class Reply:
    """The proxy answers in the server's place, which never hears of the request: 429 with Retry-After, 500, 409."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(default=_NO_HEADERS)


@attrs.frozen
class LoseReply:
    """The server carries the request out; the client gets no answer, or ``instead``."""

    instead: Reply | None = None


@attrs.frozen
class Cut:
    """The connection ends after so many bytes of the answer's body, in the middle of it."""

    after: int = 0


@attrs.frozen
class Truncate:
    """The answer ends well after so many bytes of its body, and lacks the rest."""

    after: int = 0


@attrs.frozen
class Silence:
    """After so many bytes of the body nothing comes any more; the connection stays open."""

    after: int = 0


@attrs.frozen
class Insert:
    """After so many whole lines of the body come ``lines``, and then its end: as a watch that the server breaks off."""

    lines: bytes
    after: int = 0


@attrs.frozen
class Stale:
    """The answer is one that the same GET got before: the newest for ``back=1``, the one before that for 2."""

    back: int = 1


Fault = Delay | LoseRequest | Reply | LoseReply | Cut | Truncate | Silence | Insert | Stale


# ---- when ----


@attrs.frozen
class Rule:
    """One fault, and the requests that meet it.

    Those with the ``method`` (any where it is empty) whose path and query ``path``, a regular expression, is found in.
    The first ``skip`` of them pass, the next ``times`` meet it; all from then on for ``None``.
    """

    fault: Fault
    method: str = attrs.field(default="", kw_only=True)
    path: str = attrs.field(default="", kw_only=True)
    skip: int = attrs.field(default=0, kw_only=True)
    times: int | None = attrs.field(default=1, kw_only=True)

    def matches(self, method: str, target: str) -> bool:
        """Return whether it is about such a request."""
        return self.method in ("", method) and re.search(self.path, target) is not None


@attrs.frozen
class Applied:
    """That a request met a rule's fault, and it happened."""

    rule: Rule
    method: str
    target: str


@attrs.frozen(kw_only=True)
class Exchange:
    """A request that arrived: ``status`` is what the client was told, ``None`` where it was told nothing."""

    method: str
    target: str
    status: int | None
    fault: Fault | None = None


class NotApplied(AssertionError):
    """A rule was not applied as often as it says."""


@attrs.define
class Script:
    """The rules, how many requests each has seen, and what was applied; where several match, the first one counts."""

    _rules: list[Rule] = attrs.field(factory=list)
    _seen: dict[int, int] = attrs.field(factory=dict, init=False)
    applied: list[Applied] = attrs.field(factory=list, init=False)
    exchanges: list[Exchange] = attrs.field(factory=list, init=False)

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Script:
        """Return a script with these rules."""
        return cls(list(rules))

    def add(self, rule: Rule) -> None:
        """Add a rule, that sees the requests from now on."""
        self._rules.append(rule)

    def remove(self, rule: Rule) -> None:
        """Take a rule away; what it did stays applied."""
        at = next(at for at, one in enumerate(self._rules) if one is rule)
        del self._rules[at]
        self._seen.pop(id(rule), None)

    def meets(self, method: str, target: str) -> Rule | None:
        """Count a request, and return the rule whose fault it meets."""
        met: Rule | None = None
        for rule in self._rules:
            if not rule.matches(method, target):
                continue
            seen = self._seen.get(id(rule), 0)
            due = seen >= rule.skip and (rule.times is None or seen < rule.skip + rule.times)
            if due and met is not None:
                continue  # it is not its turn: the request is another rule's
            self._seen[id(rule)] = seen + 1
            if due:
                met = rule
        return met

    def note_applied(self, rule: Rule, method: str, target: str) -> None:
        """Remember that a fault happened."""
        self.applied.append(Applied(rule, method, target))

    def note_exchange(self, exchange: Exchange) -> None:
        """Remember how a request ended; the first hundred thousand of them."""
        if len(self.exchanges) < _KEPT_EXCHANGES:
            self.exchanges.append(exchange)

    def times_applied(self, rule: Rule) -> int:
        """Return how often a rule's fault happened."""
        return sum(1 for one in self.applied if one.rule is rule)

    def check(self) -> None:
        """Raise :class:`NotApplied` where a rule was not applied as often as it says, or at least once for all."""
        missing = [
            f"{rule.fault} on {rule.method or 'any'} {rule.path or 'path'!r}: "
            f"{self.times_applied(rule)} of {'at least 1' if rule.times is None else rule.times}"
            for rule in self._rules
            if self.times_applied(rule) < (1 if rule.times is None else rule.times)
        ]
        if missing:
            raise NotApplied(f"these faults did not happen: {'; '.join(missing)}")
