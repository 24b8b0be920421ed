"""The planner's memory on disk: one row for each thing remembered, written before the plan that it belongs to.

It is an SQLite file of its own, apart from the journal: the journal may be lost at any time, and this is what the
next plan is made with. A transaction costs one write that is forced to disk, however large the fleet is.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from roadstead.errors import StateError
from roadstead.memory import BackOff, Claim, DeploymentMemory, PlanMemory, ScalingMemory
from roadstead.wire import from_wire, to_wire

__all__ = ["MEMORY_VERSION", "MemoryStore", "Remembered"]

MEMORY_VERSION = 1

_SCHEMA = """
CREATE TABLE entry (kind TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (kind, name))
WITHOUT ROWID
"""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Remembered:
    """What was found at start.

    ``lost`` says what was wrong with a file that was set aside, and is empty when nothing was.
    """

    memory: PlanMemory
    lost: str = ""


class _DamagedError(Exception):
    """The file is no memory of ours, or not a whole one."""


@attrs.frozen
class _Numbers:
    """What the memory counts."""

    turn: int
    counted: int


@attrs.frozen
class _Kind:
    """One kind of rows: what is remembered, by name, and the type of one of it."""

    name: str
    values: Callable[[PlanMemory], Mapping[str, Any]]
    type: Any


_NUMBERS = _Kind("numbers", lambda memory: {"": _Numbers(memory.turn, memory.counted)}, _Numbers)
_DEPLOYMENTS = _Kind("deployment", lambda memory: memory.deployments, DeploymentMemory)
_CLAIMS = _Kind("claims", lambda memory: memory.claims, tuple[Claim, ...])
_BACK_OFF = _Kind("back-off", lambda memory: memory.back_off, BackOff)
_SCALING = _Kind("scaling", lambda memory: memory.scaling, ScalingMemory)
_KINDS = (_NUMBERS, _DEPLOYMENTS, _CLAIMS, _BACK_OFF, _SCALING)


class MemoryStore:
    """Keeps one :class:`PlanMemory` in one file, and writes what changed since it was last written.

    Whenever the process or the machine dies, the file holds the memory as it was before or after a :meth:`save`, never
    a mixture. Memory may be lost all the same: that costs at most one repeated attempt and one stable window. So a
    damaged file is set aside and said, and work goes on; a file of a newer program is not ours to judge, and is
    refused. ``check`` is called before every :meth:`save`, and raises :class:`StateError` where its folder is not ours
    any more.
    """

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._check = check
        self._connection: sqlite3.Connection | None = None
        # What the file holds; ``None`` before the first write, and after one that failed: it may have been done or not.
        self._written: PlanMemory | None = None

    def load(self) -> Remembered:
        """Return what was saved last; raises :class:`StateError` for a newer or unreadable file."""
        if not os.path.lexists(self._path):
            return Remembered(memory=PlanMemory())
        try:
            memory = self._read()
        except _DamagedError as error:
            aside = self._set_aside()
            return Remembered(memory=PlanMemory(), lost=f"{error}; kept as {aside.name}, starting with an empty memory")
        self._written = memory
        return Remembered(memory=memory)

    def save(self, memory: PlanMemory, *, acts: bool) -> bool:
        """Make ``memory`` durable if it has to be, and return whether anything was written; raises :class:`StateError`.

        A plan that acts always has its memory written first. One that does not act is worth a write only if more than
        the number of the turn moved on: a fleet at rest writes nothing. What an unwritten number costs is nothing,
        because outcomes are numbered and counted within one process.
        """
        self._check()
        if self._connection is not None and not self._path.exists():
            # Somebody removed the file: what is written to it from now on is seen by nobody.
            self.close()
            self._written = None
        if not acts and self._written is not None and not _differs(self._written, memory):
            return False
        try:
            self._write(memory)
        except _DamagedError:
            # All that is worth keeping is at hand: the damaged file is kept for whoever wants to know why.
            self._set_aside()
            try:
                self._write(memory)
            except _DamagedError as error:
                raise self._unwritable(str(error)) from error
        return True

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---- reading ----

    def _read(self) -> PlanMemory:
        try:
            with _damage(self._path):
                connection = self._open()
                _check_version(connection, self._path)
                problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if problem != "ok":
                    raise _DamagedError(f"{self._path} is damaged: {problem}")
                return _memory(connection.execute("SELECT kind, name, content FROM entry").fetchall())
        except ValueError as error:
            raise _DamagedError(f"{self._path} is damaged: {error}") from error
        except (sqlite3.Error, OSError) as error:
            raise StateError(
                f"{self._path} cannot be read: {_words(error)}", hint="give it back to this user"
            ) from error

    # ---- writing ----

    def _write(self, memory: PlanMemory) -> None:
        """Write what differs, in one transaction, or everything where it is not known what the file holds."""
        before, self._written = self._written, None
        try:
            with _damage(self._path):
                connection = self._open()
                if before is None:
                    connection.execute("PRAGMA journal_mode=WAL")
                with _transaction(connection):
                    if before is None:
                        _begin_anew(connection)
                    for kind in _KINDS:
                        known = kind.values(before) if before is not None else _NOTHING
                        _bring_up_to_date(connection, kind, known, kind.values(memory))
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise self._unwritable(_words(error)) from error
        self._written = memory

    def _unwritable(self, why: str) -> StateError:
        return StateError(
            f"{self._path} cannot be written: {why}",
            hint="make room on its disk, or make it writable for this user",
        )

    # ---- the file ----

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            # Made by the thread that opens a session and used by the one that runs its turns, never by two at once.
            connection = sqlite3.connect(self._path, timeout=1.0, check_same_thread=False, isolation_level=None)
            try:
                self._path.chmod(0o600)
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA cache_size=-512")
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _set_aside(self) -> Path:
        """Rename what is there, with what belongs to it, and return its new name; raises :class:`StateError`."""
        self.close()
        self._written = None
        aside = self._path.with_name(f"{self._path.name}.damaged")
        try:
            self._path.replace(aside)
            for suffix in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    self._path.with_name(f"{self._path.name}{suffix}").replace(aside.with_name(f"{aside.name}{suffix}"))
        except OSError as failed:
            raise StateError(
                f"{self._path} is damaged and cannot be set aside: {failed.strerror or failed}",
                hint="move it away by hand",
            ) from failed
        return aside


def _words(error: sqlite3.Error | OSError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _differs(before: PlanMemory, memory: PlanMemory) -> bool:
    """Return whether anything differs but the numbers, and how long ago groups were put back."""
    if before is memory:
        return False
    return _moved_on(before.deployments, memory.deployments) or any(
        kind.values(before) is not kind.values(memory) and kind.values(before) != kind.values(memory)
        for kind in (_CLAIMS, _BACK_OFF, _SCALING)
    )


def _moved_on(before: Mapping[str, DeploymentMemory], after: Mapping[str, DeploymentMemory]) -> bool:
    if before is after:
        return False
    return before.keys() != after.keys() or any(
        known is not before[name] and known != before[name] and not known.has_only_aged(before[name])
        for name, known in after.items()
    )


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Tell a file that is broken from one that is busy, forbidden, or on a full disk."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # What is asked is right for tables and texts that are ours, so SQLITE_ERROR, which is also what Python's module
        # raises for itself, says that these are not.
        code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}:
            raise _DamagedError(f"{path} is damaged: {error}") from error
        raise


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has ended the transaction by itself after some errors.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _begin_anew(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE IF EXISTS entry")
    connection.execute(_SCHEMA)
    connection.execute(f"PRAGMA user_version={MEMORY_VERSION}")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found < 1:
        raise _DamagedError(f"{path} does not say its format version")
    if found > MEMORY_VERSION:
        raise StateError(
            f"{path} has format version {found}, this program knows {MEMORY_VERSION}",
            hint="use the newer roadstead that wrote it, or another state directory",
        )


def _bring_up_to_date(
    connection: sqlite3.Connection, kind: _Kind, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Write the rows of one kind that are new or differ, and delete those that are no more.

    What did not change is the same object as a rule, so that a comparison costs next to nothing.
    """
    if before is after:
        return
    connection.executemany(
        "INSERT OR REPLACE INTO entry (kind, name, content) VALUES (?, ?, ?)",
        [
            (kind.name, name, json.dumps(to_wire(value), separators=(",", ":")))
            for name, value in after.items()
            if (was := before.get(name)) is not value and was != value
        ],
    )
    connection.executemany(
        "DELETE FROM entry WHERE kind = ? AND name = ?", [(kind.name, name) for name in before.keys() - after.keys()]
    )


def _memory(rows: list[tuple[str, str, str]]) -> PlanMemory:
    """Return the memory that these rows are; raises :class:`ValueError` for anything else."""
    kinds = {kind.name: kind for kind in _KINDS}
    found: dict[str, dict[str, Any]] = {name: {} for name in kinds}
    for kind, name, content in rows:
        if kind not in kinds:
            raise ValueError(f"it has rows of an unknown kind {kind!r}")
        found[kind][name] = from_wire(json.loads(content), kinds[kind].type)
    numbers = found[_NUMBERS.name].get("")
    if numbers is None:
        raise ValueError("it does not say its turn")
    return PlanMemory(
        turn=numbers.turn,
        counted=numbers.counted,
        deployments=MappingProxyType(found[_DEPLOYMENTS.name]),
        claims=MappingProxyType(found[_CLAIMS.name]),
        back_off=MappingProxyType(found[_BACK_OFF.name]),
        scaling=MappingProxyType(found[_SCALING.name]),
    )
