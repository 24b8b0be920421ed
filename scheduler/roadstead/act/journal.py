"""The event log and the decision journal: one SQLite file of bounded size that survives a killed process.

It is for people. Nothing that the scheduler does depends on it: a full disk or a damaged file stops the writing and
not the work, and :attr:`Journal.problem` says so.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self, TypeVar

import attrs

from roadstead.act.decisions import Decision, KeptScaling, packed, packed_scaling, unpacked, unpacked_scaling
from roadstead.act.events import Event, EventKind

__all__ = ["EVENTS_KEPT", "JOURNAL_VERSION", "Journal", "Selection"]

R = TypeVar("R")
_LOG = logging.getLogger(__name__)

JOURNAL_VERSION = 1
"""Of the tables. A kind of event that is not known is no reason for a new one: its words are shown all the same."""

EVENTS_KEPT = 20_000
TEXT_KEPT = 1000
_KINDS = frozenset(kind.value for kind in EventKind)
DECISIONS_KEPT = 500
DECISION_BYTES_KEPT = 8 * 1024**2
SCALINGS_KEPT = 5_000
_PAGES_KEPT = 8192  # of 4096 bytes: the file never grows beyond 32 MiB, whatever the numbers above allow

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
    cluster TEXT NOT NULL, deployment TEXT NOT NULL, subject TEXT NOT NULL, reason TEXT NOT NULL,
    UNIQUE (subject, kind, at, cluster)
);
CREATE INDEX IF NOT EXISTS event_of ON event (deployment, seq);
CREATE TABLE IF NOT EXISTS decision (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER NOT NULL, at INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS scaling (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment TEXT NOT NULL, at INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS scaling_of ON scaling (deployment, at);
"""


class _NewerError(sqlite3.DatabaseError):
    """A newer program wrote the journal: it is neither ours to change nor damaged."""


@attrs.frozen(kw_only=True)
class Selection:
    """Which events are asked for: those after ``since``, of one deployment or all, the newest ``limit`` of them."""

    since: int = 0
    deployment: str | None = None
    limit: int = 1000


class Journal:
    """The journal of one state directory.

    Any thread may call. ``problem`` says why nothing can be written, and is ``None`` while it can. ``counts`` is how
    many events of each kind this process has told, kept or not.

    One event of a kind for a subject and a moment is kept once, so that what is told again after a restart is no
    second event.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._listeners: list[Callable[[], None]] = []
        self._cannot_write = False
        self.counts: Counter[EventKind] = Counter()
        self.problem: str | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make the journal at ``path``.

        A damaged one is set aside, and one that cannot be used is reported by ``problem``.
        """
        journal = cls(path)
        try:
            journal._connect()
        except sqlite3.DatabaseError as error:
            journal._start_again(error)
        return journal

    def record(
        self, events: tuple[Event, ...], decision: Decision | None = None, scalings: tuple[KeptScaling, ...] = ()
    ) -> bool:
        """Keep these events and, where there are any, the decisions behind them; return whether that worked."""
        self.counts.update(event.kind for event in events)
        if not events and decision is None and not scalings:
            return self.problem is None
        # More would be deleted again, and would not even fit: a large fleet that is adopted is that many at once.
        newest = events[-EVENTS_KEPT:]
        kept = self._do(lambda connection: _insert(connection, newest, decision, scalings), writes=True)
        if kept:
            for listener in tuple(self._listeners):
                listener()
        return bool(kept)

    def events(self, selection: Selection) -> tuple[Event, ...]:
        """Return the selected events, oldest first; none while the journal cannot be read."""
        found = self._do(lambda connection: _select(connection, selection))
        return found if found is not None else ()

    def decision(self, turn: int) -> Decision | None:
        """Return the newest decision that was kept of turn ``turn``."""
        return self._do(lambda connection: _decision(connection, turn))

    def scaling(self, deployment: str, at: int) -> KeptScaling | None:
        """Return the last change that load made of a deployment at ``at`` or before (ms since the epoch)."""
        return self._do(lambda connection: _scaling(connection, deployment, at))

    @contextlib.contextmanager
    def listening(self, heard: Callable[[], None]) -> Iterator[None]:
        """Call ``heard`` after every addition, from the thread that made it, until the block ends."""
        self._listeners.append(heard)
        try:
            yield
        finally:
            self._listeners.remove(heard)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _do(self, work: Callable[[sqlite3.Connection], R], *, writes: bool = False) -> R | None:
        """Return what ``work`` returns, in one transaction, or ``None`` with ``problem`` set.

        A later success clears it; that it can be read says nothing about whether it can be written.
        """
        with self._lock:
            try:
                result = self._tried(work)
            except sqlite3.DatabaseError as error:
                self._cannot_write |= writes
                self._failed(error)
                return None
            if self.problem is not None and (writes or not self._cannot_write):
                _LOG.info("the journal works again")
                self.problem, self._cannot_write = None, False
            return result

    def _tried(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Do ``work`` in one transaction, in a new file where the one that is there proves to be damaged."""
        try:
            with self._opened() as connection:
                return work(connection)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            self._start_again(error)
        with self._opened() as connection:
            return work(connection)

    def _opened(self) -> sqlite3.Connection:
        """Return the open file; one that somebody removed is made again."""
        if self._connection is not None and not self._path.exists():
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        return self._connection

    def _failed(self, error: sqlite3.DatabaseError) -> None:
        said = f"the journal {self._path} cannot be used: {error}; events are not kept"
        if said != self.problem:
            _LOG.warning("%s", said)
        self.problem = said

    def _connect(self) -> None:
        # Any thread may call, one at a time: the lock is ours. What waits for another process gives up soon.
        connection = sqlite3.connect(self._path, timeout=1.0, check_same_thread=False)
        try:
            _check_version(connection)
            self._path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            # In WAL mode NORMAL survives the death of the process; only that of the machine may take the last moments.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA cache_size=-512")
            connection.execute(f"PRAGMA max_page_count={_PAGES_KEPT}")
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version={JOURNAL_VERSION}")
        except OSError as error:
            connection.close()
            raise sqlite3.OperationalError(f"{error.strerror or error}") from error
        except sqlite3.DatabaseError:
            connection.close()
            raise
        self._connection = connection

    def _start_again(self, error: sqlite3.DatabaseError) -> None:
        """Set a damaged journal aside and begin a new one; where that fails, say so and go on without."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not _is_damage(error):
            self.problem = f"the journal {self._path} cannot be used: {error}; events are not kept"
            _LOG.warning("%s", self.problem)
            return
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(f"{self._path.name}{suffix}").unlink(missing_ok=True)
            self._connect()
        except (sqlite3.DatabaseError, OSError) as failed:
            self.problem = f"the journal {self._path} is damaged ({error}) and cannot be made again: {failed}"
            _LOG.warning("%s", self.problem)
            return
        _LOG.warning("the journal was damaged (%s); kept as %s, a new one was begun", error, aside.name)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Return whether the file itself is broken, rather than busy, full or forbidden.

    What is asked is right for tables that are ours, so SQLITE_ERROR says that these are not. What Python's module
    raises for itself has no code.
    """
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def _check_version(connection: sqlite3.Connection) -> None:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > JOURNAL_VERSION:
        raise _NewerError(f"it has format version {found}, this program knows {JOURNAL_VERSION}")


def _insert(
    connection: sqlite3.Connection,
    events: tuple[Event, ...],
    decision: Decision | None,
    scalings: tuple[KeptScaling, ...],
) -> bool:
    connection.executemany(
        "INSERT OR IGNORE INTO event (at, kind, text, cluster, deployment, subject, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(e.at, e.kind.value, e.text[:TEXT_KEPT], e.cluster, e.deployment, e.subject, e.reason) for e in events],
    )
    connection.execute("DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?", (EVENTS_KEPT,))
    if decision is not None:
        connection.execute(
            "INSERT INTO decision (turn, at, content) VALUES (?, ?, ?)", (decision.turn, decision.at, packed(decision))
        )
        _forget_decisions(connection)
    if scalings:
        connection.executemany(
            "INSERT INTO scaling (deployment, at, content) VALUES (?, ?, ?)",
            [(one.decided.deployment, one.at, packed_scaling(one)) for one in scalings[-SCALINGS_KEPT:]],
        )
        connection.execute("DELETE FROM scaling WHERE id <= (SELECT max(id) FROM scaling) - ?", (SCALINGS_KEPT,))
    return True


def _forget_decisions(connection: sqlite3.Connection) -> None:
    """Delete the oldest decisions until the rest is within its number and its bytes."""
    kept = connection.execute("SELECT id, length(content) FROM decision ORDER BY id DESC").fetchall()
    size = 0
    for position, (id_, length) in enumerate(kept):
        size += length
        if position >= DECISIONS_KEPT or (size > DECISION_BYTES_KEPT and position > 0):
            connection.execute("DELETE FROM decision WHERE id <= ?", (id_,))
            return


def _select(connection: sqlite3.Connection, selection: Selection) -> tuple[Event, ...]:
    rows = connection.execute(
        "SELECT seq, at, kind, text, cluster, deployment, subject, reason FROM event"
        " WHERE seq > ? AND (? IS NULL OR deployment = ?) ORDER BY seq DESC LIMIT ?",
        (selection.since, selection.deployment, selection.deployment, selection.limit),
    ).fetchall()
    return tuple(_event(row) for row in reversed(rows))


def _event(row: tuple[int, int, str, str, str, str, str, str]) -> Event:
    seq, at, kind, text, cluster, deployment, subject, reason = row
    return Event(
        seq=seq,
        at=at,
        kind=EventKind(kind) if kind in _KINDS else EventKind.OTHER,
        text=text,
        cluster=cluster,
        deployment=deployment,
        subject=subject,
        reason=reason,
    )


def _scaling(connection: sqlite3.Connection, deployment: str, at: int) -> KeptScaling | None:
    row = connection.execute(
        "SELECT content FROM scaling WHERE deployment = ? AND at <= ? ORDER BY at DESC, id DESC LIMIT 1",
        (deployment, at),
    ).fetchone()
    return unpacked_scaling(row[0]) if row is not None else None


def _decision(connection: sqlite3.Connection, turn: int) -> Decision | None:
    row = connection.execute("SELECT content FROM decision WHERE turn = ? ORDER BY id DESC LIMIT 1", (turn,)).fetchone()
    return unpacked(row[0]) if row is not None else None
