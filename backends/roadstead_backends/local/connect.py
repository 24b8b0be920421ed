"""Makes a local cluster's backend from what the daemon knows of it."""

from __future__ import annotations

from pathlib import Path

import attrs

from roadstead.errors import StateError
from roadstead.spi.backend import BackendContext
from roadstead_backends.local.backend import LocalBackend
from roadstead_backends.local.cgroups import CgroupPlace, find_place, is_usable
from roadstead_backends.local.devices import DeviceProvider, find_devices
from roadstead_backends.local.options import LocalOptions
from roadstead_backends.local.store import Lock, Store, lock_file, lock_folder

__all__ = ["connect", "open_backend"]


def connect(context: BackendContext) -> LocalBackend:
    """Return the backend of this machine; raises :class:`StateError` when the root is in use or not ours."""
    return open_backend(context, devices=find_devices())


def open_backend(context: BackendContext, *, devices: DeviceProvider, place: CgroupPlace | None = None) -> LocalBackend:
    """Return a backend with the given devices, and with control groups at ``place`` where that is given."""
    options = context.options
    if not isinstance(options, LocalOptions):
        raise StateError(f"options of cluster {context.cluster!r} are {type(options).__name__}, not those of `local`")
    store = Store(context.root)
    locks = [lock_file(context.root / "lock", f"state of cluster {context.cluster!r} ({context.root})")]
    try:
        record = store.cluster()
        if place is None:
            recorded = record.place
            place = recorded if recorded is not None and is_usable(recorded) else find_place(f"roadstead-{record.id}")
        if place != record.place:
            store.save_cluster(attrs.evolve(record, place=place))
        locks.extend(_lock_place(place))
        return LocalBackend(context, options, store=store, place=place, devices=devices, locks=tuple(locks))
    except BaseException:
        for lock in locks:
            lock.release()
        raise


def _lock_place(place: CgroupPlace) -> tuple[Lock, ...]:
    """Take the lock of the control groups' place: a copied state directory must not make two daemons fight over it."""
    if not place.folders:
        return ()
    folder = place.folders[0]
    return (lock_folder(Path(folder), f"control group {folder}"),)
