"""What faults do to a daemon's stores and clocks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from roadstead.testing.faults.calls import Kind
from roadstead.testing.faults.daemon import Stores

__all__ = ["AGES", "JOURNAL_FAULTS", "JUMPS_MS", "STORE_FAULTS", "WITH_A_CRASH", "copied"]

AGES: Mapping[Kind, int] = MappingProxyType({Kind.STALE_1: 1, Kind.STALE_2: 2, Kind.STALE_3: 3})
"""How many versions old a list is."""

JUMPS_MS: Mapping[Kind, int] = MappingProxyType({Kind.CLOCK_FORTH: 3_600_000, Kind.CLOCK_BACK: -3_600_000})
"""How far a wall clock is set."""


def _files(path: Path) -> list[Path]:
    return [path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))]


def _remove(path: Path) -> None:
    for file in _files(path):
        file.unlink(missing_ok=True)


def _corrupt(path: Path) -> None:
    """Write rubbish over the first pages of a database, and over what was still to be taken into it."""
    for file in _files(path)[:2]:
        if file.exists():
            with file.open("r+b") as opened:
                opened.write(b"rubbish " * min(1_024, 1 + file.stat().st_size // 8))


def copied(stores: Stores, to: Stores) -> None:
    """Copy all that is in the folder of ``stores``, which nobody writes to now; what only the living share is left."""
    to.folder.mkdir(parents=True)
    for file in stores.folder.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, to.folder / file.name)


STORE_FAULTS: Mapping[Kind, Callable[[Stores], None]] = MappingProxyType(
    {
        Kind.MEMORY_LOST: lambda stores: _remove(stores.memory),
        Kind.MEMORY_CORRUPTED: lambda stores: _corrupt(stores.memory),
        Kind.JOURNAL_LOST: lambda stores: _remove(stores.journal),
        Kind.JOURNAL_CORRUPTED: lambda stores: _corrupt(stores.journal),
        Kind.MEMORY_REMOVED: lambda stores: _remove(stores.memory),
        Kind.JOURNAL_OVERWRITTEN: lambda stores: _corrupt(stores.journal),
    }
)
"""What is done to the stores."""

WITH_A_CRASH = STORE_FAULTS.keys() - {Kind.MEMORY_REMOVED, Kind.JOURNAL_OVERWRITTEN}
"""Those of them that are done when the daemon's process has ended."""

JOURNAL_FAULTS = frozenset({Kind.JOURNAL_LOST, Kind.JOURNAL_CORRUPTED, Kind.JOURNAL_OVERWRITTEN})
"""Those of them after which events are missing."""
