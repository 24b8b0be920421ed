"""Which daemon follows a fleet file, in a place of its own: the file may be damaged or gone when somebody asks.

A record is only a hint about where to knock. One that a killed daemon left is passed over because nobody answers there,
and the next daemon of the same file writes over it.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs

from roadstead.act.documents import DocumentError, read_document, write_document
from roadstead.act.state import StateDirectory, state_home
from roadstead.errors import StateError
from roadstead.wire import from_wire, to_wire

__all__ = ["RECORD_VERSION", "Running", "record_path", "recorded", "records_folder", "running"]

_LOG = logging.getLogger(__name__)

RECORD_VERSION = 1
_KEY = "running"
_CONNECT_WITHIN = 1.0


@attrs.frozen(kw_only=True)
class Running:
    """A daemon that follows ``file`` for ``fleet`` and keeps its state in ``state``; both paths are absolute."""

    file: str
    fleet: str
    state: str


def records_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the user's folder of records, or ``None`` for a user who has no home.

    It stands beside the states of the fleets, under a name that no fleet can have.
    """
    try:
        return state_home(environment, Path.home()) / "running-daemons"
    except RuntimeError:
        return None


def record_path(file: Path, records: Path) -> Path:
    """Return where the daemon of ``file`` is recorded; the file need not exist, and may be a link itself."""
    known = file.parent.resolve() / file.name
    return records / f"{hashlib.sha256(os.fsencode(known)).hexdigest()[:32]}.json"


@contextmanager
def recorded(daemon: Running, records: Path | None) -> Iterator[None]:
    """Keep the record of ``daemon`` until the block ends; where it cannot be written, only the log says so."""
    path = record_path(Path(daemon.file), records) if records is not None else None
    try:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_document(path, RECORD_VERSION, {_KEY: to_wire(daemon)})
    except (OSError, StateError) as error:
        _LOG.warning("that this daemon follows %s cannot be recorded: %s", daemon.file, error)
    try:
        yield
    finally:
        # Another daemon may follow the same file by now, with a state of its own: its record is not ours to remove.
        if path is not None and _read(path) == daemon:
            with contextlib.suppress(OSError):
                path.unlink()


def running(file: Path, records: Path | None) -> Running | None:
    """Return the daemon that said that it follows ``file``, if somebody answers where it said that it would."""
    found = _read(record_path(file, records)) if records is not None else None
    return found if found is not None and _answers(StateDirectory(Path(found.state)).socket) else None


def _read(path: Path) -> Running | None:
    """Return what a record says; one that is missing, damaged or newer than we are says nothing."""
    try:
        document = read_document(path, RECORD_VERSION)
        return from_wire(document.get(_KEY), Running) if document is not None else None
    except (DocumentError, StateError, ValueError):
        return None


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_WITHIN)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
