"""The cluster's root on disk: private, written in whole files, locked against a second daemon.

What lies here is the cluster itself (world), not a memory of it: groups and replicas exist because their files do.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from roadstead.errors import StateError
from roadstead.shim.files import flush_folder, make_private_folder, write_json
from roadstead.wire import from_wire, to_wire
from roadstead.world import GroupKey
from roadstead_backends.local.records import ClusterRecord, GroupRecord, ReplicaRecord

__all__ = ["Lock", "Store", "lock_file", "lock_folder"]

T = TypeVar("T")
_CLUSTER = "cluster.json"
_GROUP = "group.json"
_REPLICA = "replica.json"


class Lock:
    """A lock on a file or folder that ends with this process, however it ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def is_in_place(self) -> bool:
        """Tell whether whoever looks for it by name finds this one: it may have been removed, or replaced."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def release(self) -> None:
        """Give the lock back."""
        # Closing is not enough: a shim that was just started may not have closed what it inherits.
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def lock_file(path: Path, what: str) -> Lock:
    """Take the lock in a file and write into it who holds it; raises :class:`StateError` that names the holder."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    _take(descriptor, what)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return Lock(path, descriptor)


def lock_folder(path: Path, what: str) -> Lock:
    """Take the lock of a folder in which no file can be made, such as a control group's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _take(descriptor, what)
    return Lock(path, descriptor)


def _take(descriptor: int, what: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise StateError(
            f"{what} is in use by {holder}", hint="stop that one first, or use another state directory"
        ) from error


def _holder(descriptor: int) -> str:
    """Return who holds the lock on an open file, from the kernel's table of locks (proc(5))."""
    status = os.fstat(descriptor)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "FLOCK" in fields and fields[-3] == place:
            pid = fields[-4]
            return f"process {pid} ({_command(pid)})"
    return "another process"


def _command(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone meanwhile"
    return b" ".join(words).decode(errors="replace").strip() or "unknown"


class Store:
    """Reads and writes one cluster's root. Whoever makes one should hold its lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._groups = root / "groups"
        self._replicas = root / "replicas"
        self.make_folders()

    def make_folders(self) -> None:
        """Make the folders that are missing; raises :class:`StateError`."""
        try:
            for folder in (self.root, self._groups, self._replicas):
                make_private_folder(str(folder))
        except OSError as error:
            raise StateError(
                f"{error.filename or self.root}: {error.strerror}", hint="choose another state directory"
            ) from error

    # ---- the cluster ----

    def cluster(self) -> ClusterRecord | None:
        """Return the cluster's record, ``None`` before it has one."""
        return _read(self.root / _CLUSTER, ClusterRecord)

    def save_cluster(self, record: ClusterRecord) -> None:
        """Write the cluster's record, durably."""
        write_json(str(self.root / _CLUSTER), to_wire(record), durable=True)

    # ---- groups ----

    def groups(self) -> Iterator[GroupRecord]:
        """Yield every group's record; a folder without one was being made or removed."""
        for folder in sorted(self._groups.iterdir()):
            record = _read(folder / _GROUP, GroupRecord)
            if record is not None:
                yield record

    def save_group(self, record: GroupRecord) -> None:
        """Write a group's record, durably."""
        folder = self._group_folder(record)
        make_private_folder(str(folder))
        write_json(str(folder / _GROUP), to_wire(record), durable=True)
        flush_folder(str(self._groups))

    def remove_group(self, record: GroupRecord) -> None:
        """Remove a group's record."""
        shutil.rmtree(self._group_folder(record), ignore_errors=True)

    def _group_folder(self, record: GroupRecord) -> Path:
        return self._groups / f"{record.fleet}-{record.key}"

    # ---- replicas ----

    def replicas(self) -> Iterator[ReplicaRecord]:
        """Yield every replica's record."""
        for folder in sorted(self._replicas.iterdir()):
            record = _read(folder / _REPLICA, ReplicaRecord)
            if record is not None:
                yield record

    def add_slot(self, key: GroupKey) -> ReplicaRecord:
        """Make a replica without a node, durably, and return it."""
        record = ReplicaRecord(id=f"{key}-{secrets.token_hex(3)}", group=key)
        self.save_replica(record)
        flush_folder(str(self._replicas))
        return record

    def save_replica(self, record: ReplicaRecord) -> None:
        """Write a replica's record, durably."""
        folder = self.replica_folder(record.id)
        make_private_folder(str(folder))
        write_json(str(folder / _REPLICA), to_wire(record), durable=True)

    def has_replica(self, replica: str) -> bool:
        """Tell whether a replica's record is there."""
        return (self.replica_folder(replica) / _REPLICA).exists()

    def remove_replica(self, replica: str) -> None:
        """Remove a replica with all that belongs to it; its record goes first, so that half of it is never seen."""
        folder = self.replica_folder(replica)
        (folder / _REPLICA).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def replica_folder(self, replica: str) -> Path:
        """Return where a replica's files are."""
        return self._replicas / replica


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return from_wire(json.loads(text), kind)
    except ValueError as error:
        raise StateError(
            f"{path} cannot be read: {error}", hint="it was written by a newer version, or damaged; move it away"
        ) from error
