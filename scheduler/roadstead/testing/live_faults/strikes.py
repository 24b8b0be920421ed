"""Carrying out one fault at its point, while a story goes on."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, Protocol, Self

import attrs

from roadstead.testing.http_faults import (
    Cut,
    Delay,
    Fault,
    FaultProxy,
    LoseReply,
    LoseRequest,
    Rule,
    Silence,
    Stale,
    Truncate,
)
from roadstead.testing.live_faults.calls import Call, Dialect, Kind, Plan, Point, Sort
from roadstead.units import Duration

__all__ = ["AFTER_S", "LastingStrike", "Mark", "Nothing", "ProxyStrike", "Strike"]

AFTER_S: Final = 1
"""What ``Retry-After`` says, in seconds."""

_DELAY: Final = Duration(800)
"""Longer than an observation stays fresh, and than a turn."""

_BIT: Final = 10
"""Bytes of an answer that arrive before it breaks off: less than any has."""

_PATIENCE: Final = Duration(60_000)
_COMES_WITHIN: Final = Duration(10_000)


_SHAPES: Final[Mapping[Kind, Fault]] = MappingProxyType(
    {
        Kind.DELAYED: Delay(_DELAY),
        Kind.LOST_BEFORE: LoseRequest(),
        Kind.LOST_AFTER: LoseReply(),
        Kind.TRUNCATED: Truncate(_BIT),
        Kind.CUT: Cut(_BIT),
        Kind.STALE: Stale(),
        Kind.SILENT: Silence(),
    }
)
_STATUSES: Final[Mapping[Kind, int]] = MappingProxyType(
    {Kind.FAILS: 500, Kind.THROTTLED: 429, Kind.CONFLICT: 409, Kind.EXPIRED: 410}
)


class Strike(Protocol):
    """Something that goes wrong once while a story is told; a thread may wait for its moment."""

    def arm(self) -> None:
        """Begin to wait for the moment; the story begins now."""

    @property
    def happened(self) -> bool:
        """Whether it went wrong, and all that belongs to it is over."""

    def finish(self) -> None:
        """Wait until what lasts is over."""

    def disarm(self) -> None:
        """Have nothing go wrong any more."""


class Nothing:
    """No strike at all."""

    happened = True

    def arm(self) -> None:
        """Wait for nothing."""

    def finish(self) -> None:
        """Return at once."""

    def disarm(self) -> None:
        """End nothing."""


@attrs.frozen(kw_only=True)
class _Named(Rule):
    """A rule for the calls of one name."""

    dialect: Dialect
    name: str

    def matches(self, method: str, target: str) -> bool:
        """Return whether a request is such a call."""
        call = self.dialect.call(method, target)
        return call is not None and call.name == self.name


@attrs.frozen
class Mark:
    """A moment of what goes through a proxy: how many requests had ended, and which were under way."""

    ended: int
    open: tuple[str, ...]

    @classmethod
    def of(cls, proxy: FaultProxy) -> Self:
        """Return this moment."""
        return cls(len(proxy.exchanges), proxy.under_way)

    def calls(self, proxy: FaultProxy, dialect: Dialect) -> tuple[Call, ...]:
        """Return the calls that were begun since, those first that have ended."""
        before = Counter(call for target in self.open if (call := dialect.call("GET", target)) is not None)
        ended = (dialect.call(one.method, one.target) for one in proxy.exchanges[self.ended :])
        begun = (dialect.call("GET", target) for target in proxy.under_way)
        made = Counter(call for call in (*ended, *begun) if call is not None)
        # What was open then and has ended, or is open still, was not begun since.
        return tuple((made - before).elements())

    def writes(self, proxy: FaultProxy, dialect: Dialect) -> tuple[str, ...]:
        """Return the writes that were answered since, or will never be, by method and path."""
        ended = ((one, dialect.call(one.method, one.target)) for one in proxy.exchanges[self.ended :])
        return tuple(
            f"{one.method} {one.target}" for one, call in ended if call is not None and call.sort is Sort.WRITE
        )


class ProxyStrike:
    """One fault of what goes through a proxy."""

    def __init__(self, plan: Plan, proxy: FaultProxy, dialect: Dialect) -> None:
        self._plan = plan
        self._proxy = proxy
        self._dialect = dialect
        self._rules: list[Rule] = []
        self._cut = plan.point.sort is not Sort.WATCHED
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="strike", daemon=True)

    def arm(self) -> None:
        """Have the fault wait for its call, or for the writes after which a watch is to break."""
        point = self._plan.point
        self._mark = Mark.of(self._proxy)
        self._before = len(self._proxy.applied)
        if point.sort is Sort.WATCHED:
            self._thread.start()
        else:
            self._add(point.name, self._plan.kind, skip=point.nth)

    @property
    def happened(self) -> bool:
        """Whether the watch was cut, and every rule applied."""
        applied = {id(one.rule) for one in self._proxy.applied[self._before :]}
        return self._cut and all(id(rule) in applied for rule in self._rules)

    def finish(self) -> None:
        """Wait a little for a call that has not come: turns go on, and watches are opened again in their time."""
        self._proxy.wait_for(lambda _: self.happened, _COMES_WITHIN)

    def disarm(self) -> None:
        """Take the rules away."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        for rule in self._rules:
            self._proxy.remove(rule)
        self._rules.clear()

    # ---- open watches ----

    def _wait(self) -> None:
        """Break the open watch once so many writes were answered."""
        point = self._plan.point
        self._proxy.wait_for(lambda _: self._over.is_set() or self._has_come(point.nth), _PATIENCE)
        if self._over.is_set():
            return
        for name, kind in self._when_it_comes_back():
            self._add(name, kind, skip=0)
        self._cut = self._break(point) > 0

    def _when_it_comes_back(self) -> Iterator[tuple[str, Kind]]:
        """Yield what is to happen to whoever opens the watch again."""
        name, kind = self._plan.point.name, self._plan.kind
        if kind is Kind.STALE:
            yield name, Kind.EXPIRED
            yield self._dialect.list_of(name), Kind.STALE
        elif kind not in (Kind.CUT, Kind.SILENT):
            yield name, kind

    def _has_come(self, writes: int) -> bool:
        return len(self._mark.writes(self._proxy, self._dialect)) >= writes

    def _break(self, point: Point) -> int:
        """End the watch of that name that is under way, or let nothing more through; return how many there were."""
        break_ = self._proxy.silence if self._plan.kind is Kind.SILENT else self._proxy.cut
        broken = 0
        for target in set(self._proxy.under_way):
            call = self._dialect.call("GET", target)
            if call is not None and call.name == point.name:
                broken += break_(_exactly(target))
        return broken

    # ---- rules ----

    def _add(self, name: str, kind: Kind, *, skip: int) -> None:
        rule = _Named(_fault(kind, self._dialect), dialect=self._dialect, name=name, skip=skip)
        self._rules.append(self._proxy.add(rule))


class LastingStrike:
    """Something that begins once so many ``writes`` of the story were answered, and ends by itself after a while.

    ``begins`` does it, and returns what undoes it.
    """

    def __init__(
        self,
        writes: int,
        begins: Callable[[], Callable[[], None]],
        lasts: Duration,
        proxy: FaultProxy,
        dialect: Dialect,
    ) -> None:
        self._writes = writes
        self._begins = begins
        self._lasts = lasts
        self._proxy = proxy
        self._dialect = dialect
        self._given_up = threading.Event()
        self._error: BaseException | None = None
        self.happened = False
        self._thread = threading.Thread(target=self._run, name="strike", daemon=True)

    def arm(self) -> None:
        """Begin to count writes."""
        self._mark = Mark.of(self._proxy)
        self._thread.start()

    def finish(self) -> None:
        """Wait until it is over; raises what kept it from being undone."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def disarm(self) -> None:
        """Have it be over soon."""
        self._given_up.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._proxy.wait_for(lambda _: self._given_up.is_set() or self._has_come(), _PATIENCE)
            if self._has_come():
                undo = self._begins()
                self._given_up.wait(self._lasts.seconds)
                undo()
                self.happened = True
        except BaseException as error:  # noqa: BLE001  # whoever waits for the end gets it
            self._error = error

    def _has_come(self) -> bool:
        return len(self._mark.writes(self._proxy, self._dialect)) >= self._writes


def _fault(kind: Kind, dialect: Dialect) -> Fault:
    """Return what a kind is in the words of the proxy."""
    if kind in _SHAPES:
        return _SHAPES[kind]
    if kind is Kind.FAILS_AFTER:
        return LoseReply(dialect.refusal(500))
    return dialect.refusal(_STATUSES[kind], after_s=AFTER_S if kind is Kind.THROTTLED else None)


def _exactly(target: str) -> str:
    return f"^{re.escape(target)}$"
