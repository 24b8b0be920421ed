"""Follows a Marathon's events for as long as anybody wants to know, and notes what they are about.

There is no replay: what happened while nobody listened is never told. So a new connection means that everything may
have changed, and an event only that one app has; what it has become is read. Where the stream is silent for longer than
Marathon ever is, nothing is taken on its word until it is heard again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import msgspec

from roadstead.units import Duration
from roadstead_backends.marathon.listening import Listening
from roadstead_backends.marathon.messages import AppId, Step
from roadstead_backends.marathon.stream import Event, EventReader, pause_s
from roadstead_backends.marathon.transport import Missed, Refused

__all__ = ["SILENT", "Follower", "News", "apps_of"]

_LOG = logging.getLogger(__name__)

SILENT: Final = Duration(12_000)
"""How long the stream may be silent until it counts for nothing: Marathon sends something every ten seconds."""

_ENDS_WITHIN_S: Final = 5.0


@attrs.frozen
class News:
    """What may have changed: ``everything``, or the apps of these ids."""

    everything: bool
    apps: frozenset[str] = frozenset()


class _Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A deployment's plan, in either format: the heavy one has whole groups beside its steps."""

    steps: tuple[Step, ...] = ()


class _Told(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What an event of any kind may name."""

    app_id: str | None = None
    run_spec_id: str | None = None
    app_definition: AppId | None = None
    plan: _Plan | None = None


_READ: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(_Told)


def apps_of(event: Event) -> frozenset[str] | None:
    """Return the apps that an event names; ``None`` for one that cannot be read.

    >>> sorted(apps_of(Event("status_update_event", '{"appId": "/a", "taskStatus": "TASK_RUNNING"}')) or ())
    ['/a']
    """
    try:
        told: _Told = _READ.decode(event.data)
    except msgspec.DecodeError:
        return None
    return frozenset(_named(told))


def _named(told: _Told) -> Iterator[str]:
    for one in (told.app_id, told.run_spec_id, told.app_definition.id if told.app_definition is not None else None):
        if one is not None:
            yield one
    for step in told.plan.steps if told.plan is not None else ():
        yield from (action.app for action in step.actions if action.app is not None)


class Follower:
    """Listens in a thread of its own, from :meth:`watch` until :meth:`close`.

    ``connect`` asks for the stream once. ``concerns`` is asked of each app that an event names, from that thread.
    """

    def __init__(
        self,
        connect: Callable[[], Listening],
        concerns: Callable[[str], bool],
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._connect = connect
        self._concerns = concerns
        self._chance = chance
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._wake: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None
        self._stream: Listening | None = None
        self._everything = True
        self._apps: set[str] = set()
        self._heard: float | None = None
        self.connections = 0

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` whenever there is news from now on."""
        self._wake = wake
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="marathon-events", daemon=True)
            self._thread.start()

    def take(self) -> News:
        """Return what may have changed since this was asked last; everything, while nobody listens."""
        with self._lock:
            listens = self._heard is not None and time.monotonic() - self._heard < SILENT.seconds
            news = News(self._everything or not listens, frozenset(self._apps))
            self._everything = False
            self._apps.clear()
        return news

    def put_back(self, news: News) -> None:
        """Take news back that could not be looked into."""
        with self._lock:
            self._everything = self._everything or news.everything
            self._apps |= news.apps

    def close(self) -> None:
        """Hang up and wait until nothing listens any more."""
        self._closed.set()
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.close()
        if self._thread is not None:
            self._thread.join(_ENDS_WITHIN_S)

    # ---- in the thread ----

    def _follow(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                stream = self._connect()
            except (Missed, Refused, OSError, ValueError) as error:
                failures += 1
                _LOG.debug("no events from Marathon, for the %d. time in a row: %s", failures, error)
            else:
                failures = 0 if self._listen(stream) else failures + 1
            self._closed.wait(pause_s(max(1, failures), self._chance()))

    def _listen(self, stream: Listening) -> bool:
        """Read one stream to its end; return whether anything came over it."""
        with self._lock:
            self._stream = stream
        if self._closed.is_set():
            stream.close()
        reader, came = EventReader(), False
        try:
            self._hear_everything()
            self.connections += 1
            for piece in stream.pieces():
                with self._lock:
                    self._heard = time.monotonic()
                for event in reader.fed(piece):
                    self._hear(event, first=not came)
                    came = True
        except (Missed, ValueError) as error:
            _LOG.debug("the stream of events ended: %s", error)
        finally:
            stream.close()
            with self._lock:
                self._stream, self._heard = None, None
        return came

    def _hear(self, event: Event, *, first: bool) -> None:
        """Note what an event is about; the first tells that Marathon has begun to send us every one."""
        apps = apps_of(event)
        if apps is None or first:
            self._hear_everything()
            return
        ours = frozenset(filter(self._concerns, apps))
        if ours:
            with self._lock:
                self._apps |= ours
            self._wake()

    def _hear_everything(self) -> None:
        with self._lock:
            self._everything = True
        self._wake()
