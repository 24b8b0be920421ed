"""A cluster's folder in our hands: its records, and the locks that keep a second daemon away from them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import attrs

from roadstead.errors import StateError
from roadstead.shim.cgroup_place import CgroupPlace, find_place, is_usable
from roadstead_backends.local.records import ClusterRecord
from roadstead_backends.local.store import Lock, Store, lock_file, lock_folder

__all__ = ["Root"]

_LOCK = "lock"


class Root:
    """One cluster's folder, its record, and the place of its control groups, locked until :meth:`release`."""

    def __init__(self, store: Store, lock: Lock, cluster: str) -> None:
        self.store = store
        self._cluster = cluster
        self._lock = lock
        self._place_lock: Lock | None = None
        self.record: ClusterRecord

    @classmethod
    def open(cls, path: Path, cluster: str, place: CgroupPlace | None) -> Self:
        """Take hold of the folder at ``path``, with control groups at ``place`` where that is given.

        Raises :class:`StateError` where another daemon has it, or where it cannot be written.
        """
        try:
            store = Store(path)
            root = cls(store, lock_file(path / _LOCK, _described(cluster, path)), cluster)
            try:
                root._open(place)
            except BaseException:
                root.release()
                raise
        except OSError as error:
            raise StateError(
                f"{error.filename or path}: {error.strerror or error}",
                hint="make room on its disk, or make it writable for this user",
            ) from error
        return root

    def _open(self, place: CgroupPlace | None) -> None:
        known = self.store.cluster()
        record = known if known is not None else ClusterRecord(id=secrets.token_hex(4))
        if place is None:
            recorded = record.place
            place = recorded if recorded is not None and is_usable(recorded) else find_place(f"roadstead-{record.id}")
        self.record = attrs.evolve(record, place=place)
        if self.record != known:
            self.store.save_cluster(self.record)
        # A copied state directory must not make two daemons fight over one place.
        if place.folders:
            folder = place.folders[0]
            self._place_lock = lock_folder(Path(folder), f"control group {folder}")

    @property
    def place(self) -> CgroupPlace:
        """Where control groups are made."""
        assert self.record.place is not None, "an open root has found its place"
        return self.record.place

    def is_in_place(self) -> bool:
        """Tell whether the folder is still the one that we hold: somebody may have removed or replaced it."""
        return self._lock.is_in_place()

    @contextmanager
    def made_again(self) -> Iterator[None]:
        """Make the folder again, for the block to write what belongs into it.

        Where the block fails, nothing counts as done. Raises :class:`StateError` where somebody else has the folder by
        now, or where it holds another cluster's records.
        """
        path = self.store.root
        self.store.make_folders()
        lock = lock_file(path / _LOCK, _described(self._cluster, path))
        try:
            self._must_be_ours(self.store.cluster())
            self.store.save_cluster(self.record)
            yield
        except BaseException:
            lock.release()
            raise
        self._lock.release()
        self._lock = lock

    def _must_be_ours(self, found: ClusterRecord | None) -> None:
        if found is not None and found.id != self.record.id:
            raise StateError(
                f"{self.store.root} was replaced by another cluster's records while the daemon ran",
                hint="put the former folder back, or restart the daemon to go on with this one",
            )

    def release(self) -> None:
        """Give the locks back."""
        self._lock.release()
        if self._place_lock is not None:
            self._place_lock.release()


def _described(cluster: str, path: Path) -> str:
    return f"state of cluster {cluster!r} ({path})"
