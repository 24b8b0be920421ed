"""Everything of one kind, kept as the API server tells it: listed once, then watched, whatever happens in between.

A reflector never shows less than what it has shown before, and says how far it is: ``expect`` what was just written,
and ``catch_up`` waits until that is in what it shows. It may be late, and then it says so (:attr:`Reflector.trouble`).
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Generic, TypeVar

import attrs
import msgspec

from roadstead.errors import BackendError, Rejected, Retryable, Unreachable
from roadstead.spi.asked import Request
from roadstead.units import Duration
from roadstead_backends.kubernetes.faults import Expired, refusal, status
from roadstead_backends.kubernetes.meta import Event, ListMeta, Meta, Object, Page
from roadstead_backends.kubernetes.pace import BackOff, Pace
from roadstead_backends.kubernetes.store import Changes, Key, Store, version_number
from roadstead_backends.kubernetes.transport import Lines, Transport

__all__ = ["Following", "Reflector", "Trouble"]

_LOG = logging.getLogger(__name__)
_AT_EASE: Final = 5_000

T = TypeVar("T", bound=Object)


@attrs.frozen(kw_only=True)
class Following:
    """How a reflector goes about it.

    ``page``: objects asked for at once. ``idle``: a watch that is silent for so long is dead; the server sends a
    bookmark every minute. ``lasts``: how long the server is asked to keep a watch, drawn between the two.
    ``steady``: a watch that lived so long was no failure. ``listed_again``: how often everything is listed although
    nothing is wrong, for up to 5,000 objects; in proportion more seldom for more.
    """

    page: int = 500
    idle: Duration = Duration(90_000)
    lasts: tuple[Duration, Duration] = (Duration(240_000), Duration(300_000))
    steady: Duration = Duration(5_000)
    listed_again: Duration = Duration(600_000)
    pace: Pace = attrs.field(factory=Pace)


@attrs.frozen
class Trouble:
    """Why a reflector is not up to date, and since when, on the monotonic clock, in seconds."""

    error: BackendError
    since: float

    def lasts(self) -> Duration:
        """Return for how long."""
        return Duration(max(0, round((time.monotonic() - self.since) * 1000)))


@attrs.define
class _Known(Generic[T]):
    """What a reflector's thread and its callers share, under one lock.

    ``begun`` and ``finished`` count lists. What is expected is known by the ``version`` of the store, or by an object's
    being gone.
    """

    store: Store[T] = attrs.field(factory=Store)
    trouble: Trouble | None = None
    begun: int = 0
    finished: int = 0
    to_list: bool = True
    expected: int = 0
    expected_gone: dict[Key, str] = attrs.field(factory=dict)

    def has_caught_up(self) -> bool:
        """Return whether nothing that is expected is missing."""
        objects = self.store.objects
        for key, uid in tuple(self.expected_gone.items()):
            found = objects.get(key)
            if found is None or found.metadata.uid != uid:
                del self.expected_gone[key]
        return not self.expected_gone and self.store.version >= self.expected


class Reflector(Generic[T]):
    """Keeps the objects at ``path`` that ``query`` selects (``labelSelector``, ``fieldSelector``), each as a ``kind``.

    It works on a thread of its own from ``start`` to ``close``; everything else may be called from any thread, and
    ``changes`` from one. ``wake`` is called on its thread after something changed.
    """

    def __init__(  # noqa: PLR0913  # what it follows, each after the first three by name
        self,
        transport: Transport,
        path: str,
        kind: type[T],
        *,
        query: Mapping[str, str] | None = None,
        wake: Callable[[], None] = lambda: None,
        following: Following | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._transport = transport
        self._path = path
        self._query = dict(query or {})
        self._wake = wake
        self._following = following if following is not None else Following()
        self._chance = chance if chance is not None else random.Random()  # noqa: S311  # spreads load, guards nothing
        self._back_off = BackOff(self._following.pace, self._chance)
        self._decode_page = msgspec.json.Decoder(Page[kind])  # type: ignore[valid-type]
        self._decode_object = msgspec.json.Decoder(kind)
        self._decode_event = msgspec.json.Decoder(Event)
        self._decode_bookmark = msgspec.json.Decoder(_Bookmark)
        self._listed_at = -math.inf
        self._expired = False
        self._request = Request(cluster=transport.cluster, method="GET", path=path)
        self._moved = threading.Condition()
        self._known = _Known[T]()
        self._lines: Lines | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reflector-{path}", daemon=True)

    # ---- what it shows ----

    @property
    def is_synced(self) -> bool:
        """Whether it ever had a whole list."""
        return self._known.finished > 0

    @property
    def trouble(self) -> Trouble | None:
        """Why it is behind, ``None`` while it follows."""
        return self._known.trouble

    @property
    def version(self) -> int:
        """Up to which resource version it knows everything; 0 before the first list."""
        return self._known.store.version

    def objects(self) -> Mapping[Key, T]:
        """Return all objects, by namespace and name, as they are known now."""
        with self._moved:
            return MappingProxyType(dict(self._known.store.objects))

    def get(self, key: Key) -> T | None:
        """Return one object as it is known now."""
        return self._known.store.objects.get(key)

    def changes(self) -> Changes[T]:
        """Return what changed since this was last called, the first time everything; for one caller."""
        with self._moved:
            return self._known.store.take()

    # ---- what it is asked ----

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def close(self) -> None:
        """End it; what it shows stays."""
        self._closing.set()
        self._interrupt()
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)

    def wait_until_synced(self, timeout: Duration) -> bool:
        """Wait for the first whole list; return whether it is there."""
        return self._wait(lambda: self._known.finished > 0, timeout)

    def expect(self, written: Meta) -> None:
        """Remember what the server answered to a write of ours, so that `catch_up` waits for it."""
        with self._moved:
            self._known.expected = max(self._known.expected, version_number(written.resource_version))

    def expect_gone(self, key: Key, uid: str) -> None:
        """Remember that the server has removed an object for us; one that is only being deleted is for `expect`."""
        with self._moved:
            self._known.expected_gone[key] = uid

    def catch_up(self, timeout: Duration) -> bool:
        """Wait until it shows all that is expected; return whether it does."""
        return self._wait(self._known.has_caught_up, timeout)

    def refresh(self, timeout: Duration) -> bool:
        """List everything anew, now, and wait for that; return whether it was done."""
        with self._moved:
            begun = self._known.begun
            self._known.to_list = True
        self._interrupt()
        return self._wait(lambda: self._known.finished > begun, timeout)

    def _wait(self, until: Callable[[], bool], timeout: Duration) -> bool:
        with self._moved:
            self._moved.wait_for(lambda: until() or self._closing.is_set(), timeout.seconds)
            return until()

    def _interrupt(self) -> None:
        """End the watch that is open, and have whoever waits look again."""
        with self._moved:
            lines = self._lines
            self._moved.notify_all()
        if lines is not None:
            lines.close()

    # ---- how it goes on, on its own thread ----

    def _run(self) -> None:
        while not self._closing.is_set():
            failed: BackendError | None = None
            lived = 0.0
            try:
                if self._known.to_list or self._is_time_to_list():
                    self._list()
                with self._opened() as lines:
                    began = time.monotonic()
                    try:
                        self._follow(lines)
                    finally:
                        lived = time.monotonic() - began
            except BackendError as error:
                failed = error
            except msgspec.ValidationError as error:
                failed = self._not_understood(error)
            except msgspec.DecodeError as error:
                failed = Unreachable(f"an answer about {self._path} was cut: {error}", cluster=self._transport.cluster)
            except Exception as error:  # noqa: BLE001  # one that ends in silence looks like a cluster at rest
                _LOG.exception("following %s failed", self._path)
                failed = self._not_understood(f"{type(error).__name__}: {error}")
            if not self._closing.is_set():
                self._recover(failed, lived)

    def _recover(self, failed: BackendError | None, lived: float) -> None:
        """Note what went wrong, and wait before the next attempt: longer after each that came to nothing."""
        with self._moved:
            if failed is not None:
                since = self._known.trouble.since if self._known.trouble is not None else time.monotonic()
                self._known.trouble = Trouble(failed, since)
                self._known.to_list |= isinstance(failed, (Expired, Rejected))
                self._moved.notify_all()
            elif self._known.to_list:
                return  # somebody asked for a list
        if lived >= self._following.steady.seconds:
            self._back_off.reset()
            if failed is None:
                return
        expired = isinstance(failed, Expired)
        if expired and not self._expired:
            # It answers, and a list is not what failed before; whoever always forgets waits longer each time.
            self._back_off.reset()
        self._expired = expired
        pause = self._back_off.next(asked_ms=failed.after_ms if isinstance(failed, Retryable) else None)
        if failed is not None:
            _LOG.info("%s: %s; tried again in %s", self._path, failed, pause)
        self._closing.wait(pause.seconds)

    def _is_time_to_list(self) -> bool:
        share = max(1.0, len(self._known.store.objects) / _AT_EASE)
        return time.monotonic() - self._listed_at >= self._following.listed_again.seconds * share

    def _list(self) -> None:
        """Take over everything that there is; raises where what is listed is older than what was shown before."""
        with self._moved:
            self._known.begun += 1
            begun, gone = self._known.begun, tuple(self._known.expected_gone.items())
            self._known.to_list = False
        try:
            listed, version = self._pages_of_one_list()
        except BaseException:
            self._known.to_list = True
            raise
        with self._moved:
            changed = self._known.store.replace(listed, version)
            self._known.finished = begun
            self._known.trouble = None
            for key, uid in gone:
                if self._known.expected_gone.get(key) == uid:
                    del self._known.expected_gone[key]
            self._moved.notify_all()
        self._listed_at = time.monotonic()
        if changed:
            self._wake()

    def _pages_of_one_list(self) -> tuple[list[T], int]:
        """Return all objects as of one resource version, and that version."""
        listed: list[T] = []
        version, following = 0, ""
        while not version or following:
            query = {**self._query, "limit": str(self._following.page)}
            if following:
                query["continue"] = following
            page = self._decode_page.decode(self._transport.call("GET", self._path, query=query).body)
            version = version or self._number(page.metadata.resource_version)
            if version < self._known.store.version:
                raise Retryable(
                    f"a list of {self._path} is as of {version}, older than {self._known.store.version} shown before",
                    cluster=self._transport.cluster,
                    hint="where the cluster was set back to an older state, start the daemon again",
                )
            listed += map(self._known.store.known, page.items or ())
            following = page.metadata.next
        return listed, version

    def _opened(self) -> Lines:
        """Return the lines of a watch from where we are."""
        least, most = self._following.lasts
        query = {
            **self._query,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._known.store.version),
            "timeoutSeconds": str(self._chance.randint(least.ms, most.ms) // 1000),
        }
        lines = self._transport.stream(self._path, query=query, idle=self._following.idle)
        with self._moved:
            self._lines = lines
            self._known.trouble = None
            self._moved.notify_all()
            stop = self._closing.is_set() or self._known.to_list  # asked for while there was nothing to interrupt
        if stop:
            lines.close()
        return lines

    def _follow(self, lines: Lines) -> None:
        """Take over one event after the other until there are no more."""
        for line in lines:
            event = self._decode_event.decode(line)
            if event.type == "ERROR":
                raise self._refused(event)
            changed = self._take(event)
            with self._moved:
                self._moved.notify_all()
            if changed:
                self._wake()

    def _take(self, event: Event) -> bool:
        """Take over one event; return whether it changed anything."""
        if event.type == "BOOKMARK":
            metadata = self._decode_bookmark.decode(event.object).metadata
            with self._moved:
                self._known.store.advance(self._number(metadata.resource_version))
            return False
        one = self._decode_object.decode(event.object)
        self._number(one.metadata.resource_version)
        with self._moved:
            match event.type:
                case "ADDED" | "MODIFIED":
                    self._known.store.put(one)
                case "DELETED":
                    self._known.store.drop(one)
                case _:
                    raise self._not_understood(f"an event of type {event.type!r}")
        return True

    def _refused(self, event: Event) -> BackendError:
        return refusal(self._request, status(bytes(event.object)).code or 500, {}, bytes(event.object))

    def _number(self, resource_version: str) -> int:
        try:
            return version_number(resource_version)
        except ValueError as error:
            raise self._not_understood(error) from error

    def _not_understood(self, what: object) -> Rejected:
        return Rejected(f"what {self._path} answers is not understood: {what}", cluster=self._transport.cluster)


class _Bookmark(msgspec.Struct, frozen=True):
    """The object of a bookmark, of which only the resource version says anything."""

    metadata: ListMeta
