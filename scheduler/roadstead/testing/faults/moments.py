# ruff: noqa: SLF001  # to look into everything is what this is for
"""What a stage is like at a moment, as a digest: two of the same digest go on in the same way.

All that may make a difference is taken in, field by field, and by content: whether two equal values are one object is
not. Instants are counted from now, and turns from the newest one, so that what happens later than it did elsewhere is
the same all the same. What is left out is named in :data:`_LEFT_OUT`, with the reason.
"""

from __future__ import annotations

import bisect
import enum
import functools
import hashlib
import itertools
import marshal
import random
import threading
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import PurePath
from types import MappingProxyType
from typing import Any

import attrs

from roadstead.act.cluster import Cluster
from roadstead.act.events import Turn
from roadstead.act.gateway import DrivenGateway
from roadstead.act.observer import Observer
from roadstead.act.prober import Prober
from roadstead.act.probing import ProbeBook
from roadstead.memory import DeploymentMemory, PlanMemory
from roadstead.testing.faults.daemon import Daemon
from roadstead.testing.faults.injector import Injector
from roadstead.testing.faults.judgement import Judgement
from roadstead.testing.faults.stage import Stage
from roadstead.testing.faults.wires import WiredJournal, WiredMemory
from roadstead.world import Outcome, World

__all__ = ["Moments"]

_GRID_MS = 500
"""Sums of seconds are rounded in the same way where times differ by a multiple of this: an exact number of binary
fractions of a second, in the range that they are in."""

_LASTS_S = 1_800
"""No story lasts so long."""

_INSTANT_MS = 10**12
_INSTANT_S = 10.0**9

_LEFT_OUT: Mapping[type, frozenset[str]] = MappingProxyType(
    {
        # Where files are, and what is counted or written down for the reader of a telling.
        Stage: frozenset({"_folder", "_stores", "_outside", "turns", "writes", "started", "injector", "last"}),
        Judgement: frozenset({"wrong", "_truth"}),
        # The plan in hand matters within a turn, what was found at the start to whoever looks at the start.
        Daemon: frozenset({"_judge", "decided", "remembered", "store", "journal"}),
        # Servers use half of what they may, whenever that is measured.
        Cluster: frozenset({"_usage", "_measured_at"}),
        Observer: frozenset({"_usage"}),
        # Words that are in the log already.
        Prober: frozenset({"_said"}),
        DrivenGateway: frozenset({"_said"}),
    }
)
_LEFT_OUT_BY_NAME: Mapping[str, frozenset[str]] = MappingProxyType({"Pretence": frozenset({"calls"})})
"""The same for classes that this package does not import: a log of calls that only tests read."""

_BEGAN = frozenset({"started_at", "ready_at"})
"""When a server began to run, or to serve: who did so before whom matters, and at which part of a probe's period."""

_OPENS = frozenset({"images", "warm"})
"""From when on something may be used: once it may, since when makes no difference."""

Token = Any


class Moments:
    """Looks at one stage again and again; what cannot change is looked at once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._known: dict[int, tuple[object, bytes]] = {}
        self._passing: dict[int, tuple[object, bytes]] = {}
        self._fields: dict[type, tuple[str, ...]] = {}
        self._met: dict[int, tuple[int, object]] = {}
        self._special: dict[type, Mapping[str, Callable[[Any], Token]]] = {
            PlanMemory: {"turn": self._since_turn, "counted": self._counted},
            Outcome: {"turn": self._since_turn},
            Turn: {"number": self._since_turn},
            DeploymentMemory: {"at": self._accounted},
            World: {"usage": lambda _: None},
        }
        self._omitted: dict[type[Any], frozenset[str]] = {}
        self._starts: list[int] = []
        self._fleeting = 0
        self._now = 0
        self._turn = 0
        self._by_type: dict[type, Callable[[Any], Token]] = {
            type(None): _as_is,
            bool: _as_is,
            str: _as_is,
            bytes: _as_is,
            int: self._number,
            float: self._fraction,
            tuple: self._values,
            list: self._list,
            deque: self._list,
            dict: self._mapping,
            defaultdict: self._mapping,
            OrderedDict: self._mapping,
            Counter: self._mapping,
            MappingProxyType: self._mapping,
            set: self._set,
            frozenset: self._set,
            random.Random: lambda chance: ("chance", chance.getstate()),
            itertools.count: repr,
            types.FunctionType: self._function,
            types.MethodType: lambda method: (method.__func__.__qualname__, self._token(method.__self__)),
            types.BuiltinMethodType: lambda method: (method.__qualname__, self._token(method.__self__)),
            functools.partial: lambda one: ("partial", self._token(one.func), self._values(one.args)),
            type(threading.Lock()): lambda _: "lock",
            type(threading.RLock()): lambda _: "lock",
            types.ModuleType: lambda module: module.__name__,
            Future: lambda future: (
                "future",
                future._state,
                self._token(future._result),
                repr(future._exception),
            ),
            Injector: lambda _: "calls",  # how many there were decides nothing, once nothing goes wrong any more
            ProbeBook: self._book,
            WiredMemory: lambda store: ("memory", self._token(store.saved), self._token(store._written)),
            WiredJournal: lambda journal: ("journal", journal.problem is None, journal._cannot_write),
        }

    def digest(self, place: object) -> bytes:
        """Return what the stage is like now, ``place`` being how far its story is."""
        stage = self._stage
        self._now = stage.props.time.now()
        self._turn = stage.daemon.reconciler.memory.turn
        self._starts = sorted(set(stage.props.began()))
        self._met.clear()
        self._passing.clear()
        last = stage.last
        seen = (
            repr(place),
            self._now % _GRID_MS,
            None if last is None else (bool(last.outcomes), bool(last.undone)),
            stage.is_strict,
            self._token(stage),
        )
        return hashlib.blake2b(marshal.dumps(seen, 0), digest_size=16).digest()

    # ---- what is what ----

    def _token(self, value: object) -> Token:
        handle = self._by_type.get(type(value))
        return handle(value) if handle is not None else self._another(value)

    def _number(self, value: int) -> Token:
        if value >= _INSTANT_MS:
            self._fleeting += 1
            return ("ms", value - self._now)
        return value

    def _fraction(self, value: float) -> Token:
        if value >= _INSTANT_S:
            self._fleeting += 1
            return ("s", value - self._now / 1000)
        return value

    def _values(self, values: tuple[object, ...]) -> Token:
        return tuple([self._token(one) for one in values])

    def _list(self, values: Any) -> Token:
        self._fleeting += 1
        return ("list", *[self._token(one) for one in values])

    def _mapping(self, values: Mapping[object, object]) -> Token:
        self._fleeting += type(values) is not MappingProxyType
        return ("map", *[(self._token(key), self._token(one)) for key, one in values.items()])

    def _set(self, values: Any) -> Token:
        self._fleeting += type(values) is set
        return ("set", *sorted([self._token(one) for one in values], key=repr))

    def _function(self, function: types.FunctionType) -> Token:
        cells = function.__closure__ or ()
        return ("function", function.__qualname__, *[self._token(cell.cell_contents) for cell in cells])

    def _book(self, book: ProbeBook) -> Token:
        """Return who is asked when: in which order those were noted is all that their numbers are for."""
        due = sorted(book._order, key=lambda one: one[:2])
        place = {id(entry): number for number, (at, _, entry) in enumerate(due) if entry.due == at}
        entries = [
            (name, self._token(entry.due), place.get(id(entry)), self._entry(entry))
            for name, entry in book._entries.items()
        ]
        return ("book", tuple(entries), self._set(book._in_flight), self._token(book._states))

    # ---- objects ----

    def _another(self, value: object) -> Token:
        """Find out what to do with a class of values that is met for the first time; an unknown one is an error."""
        kind = type(value)
        if isinstance(value, enum.Enum):
            self._by_type[kind] = lambda one: one.name
        elif isinstance(value, type):
            self._by_type[kind] = lambda one: one.__qualname__
        elif isinstance(value, PurePath):
            self._by_type[kind] = lambda _: "path"
        elif isinstance(value, BaseException):
            self._by_type[kind] = repr
        elif attrs.has(kind):
            self._fields[kind] = names = tuple(field.name for field in attrs.fields(kind))
            if (_BEGAN | _OPENS) & set(names):
                self._special[kind] = {**dict.fromkeys(_BEGAN, self._began), **dict.fromkeys(_OPENS, self._opens)}
            frozen = kind.__setattr__ is not object.__setattr__
            self._by_type[kind] = self._frozen if frozen else self._object
        elif hasattr(value, "__dict__"):
            if _OPENS & vars(value).keys():
                self._special[kind] = dict.fromkeys(_OPENS, self._opens)
            self._by_type[kind] = self._object
        else:
            raise TypeError(f"{kind.__name__} is met on a stage, and nobody knows what of it makes a difference")
        return self._by_type[kind](value)

    def _frozen(self, value: object) -> Token:
        """Return the digest of a value that cannot change, and keep it: for good if nothing in it counts from now."""
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        passing = self._passing.get(id(value))
        if passing is not None:
            self._fleeting += 1
            return passing[1]
        before = self._fleeting
        token = self._content(value, self._fields[type(value)])
        digest = hashlib.blake2b(marshal.dumps(token, 0), digest_size=16).digest()
        (self._known if self._fleeting == before else self._passing)[id(value)] = (value, digest)
        return digest

    def _object(self, value: object) -> Token:
        """Return what is in something that may change, once: where it is met again, that it is the same."""
        self._fleeting += 1
        met = self._met.get(id(value))
        if met is not None:
            return ("met", met[0])
        self._met[id(value)] = (len(self._met), value)
        kind: type[Any] = type(value)
        names = self._fields.get(kind)
        if names is None:
            left_out = self._omitted.get(kind)
            if left_out is None:
                left_out = self._omitted[kind] = _left_out(kind)
            names = tuple(sorted(name for name in vars(value) if name not in left_out))
        return self._content(value, names)

    def _content(self, value: object, names: tuple[str, ...]) -> Token:
        kind = type(value)
        special = self._special.get(kind)
        if special is None:
            return (kind.__name__, *[self._token(getattr(value, name)) for name in names])
        self._fleeting += 1
        tokens = [
            special[name](getattr(value, name)) if name in special else self._token(getattr(value, name))
            for name in names
        ]
        return (kind.__name__, *tokens)

    # ---- what counts of instants and numbers ----

    def _entry(self, entry: Any) -> Token:
        """Return what is known of one server: since when matters only once it was asked for long."""
        within = entry.asked.server.template.health.start_within
        soon = self._now / 1000 - entry.since + _LASTS_S < within.seconds
        since = "lately" if soon else self._token(entry.since)
        return (since, *[self._token(one) for one in (entry.asked, entry.due, entry.state, entry.unknown, entry.heard)])

    def _since_turn(self, turn: int) -> Token:
        return self._turn - turn

    def _counted(self, turn: int) -> Token:
        """Return whether the outcomes of the newest turn were counted: there are no older ones."""
        return turn < self._turn

    def _began(self, at: int | None) -> Token:
        if not at:
            return at
        period = self._stage.props.period_ms
        phase = (self._now - at) % period if period else 0
        return (bisect.bisect_left(self._starts, at), at in self._starts, phase)

    def _opens(self, at: Mapping[object, int]) -> Token:
        return tuple([(self._token(key), max(0, one - self._now)) for key, one in at.items()])

    def _accounted(self, at: int) -> Token:
        """Return since when accumulators wait for more time: they take two turns at most."""
        longest = 2 * self._stage.fleet.daemon.turn.ms
        skew = self._stage.daemon.clock.skew_ms
        return at - self._now if skew else max(at - self._now, -longest)


def _as_is(value: object) -> Token:
    return value


def _left_out(kind: type[Any]) -> frozenset[str]:
    named = (_LEFT_OUT_BY_NAME.get(one.__name__, frozenset[str]()) for one in kind.__mro__)
    return frozenset().union(*(_LEFT_OUT.get(one, ()) for one in kind.__mro__), *named)
