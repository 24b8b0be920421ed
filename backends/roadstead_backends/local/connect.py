"""Makes a local cluster's backend from what the daemon knows of it."""

from __future__ import annotations

from roadstead.errors import StateError
from roadstead.shim.cgroup_place import CgroupPlace
from roadstead.spi.backend import BackendContext
from roadstead_backends.local.backend import LocalBackend
from roadstead_backends.local.devices import DeviceProvider, find_devices
from roadstead_backends.local.options import LocalOptions
from roadstead_backends.local.root import Root

__all__ = ["connect", "open_backend"]


def connect(context: BackendContext) -> LocalBackend:
    """Return the backend of this machine; raises :class:`StateError` when the root is in use or not ours."""
    return open_backend(context, devices=find_devices())


def open_backend(context: BackendContext, *, devices: DeviceProvider, place: CgroupPlace | None = None) -> LocalBackend:
    """Return a backend with the given devices, and with control groups at ``place`` where that is given."""
    options = context.options
    if not isinstance(options, LocalOptions):
        raise StateError(f"options of cluster {context.cluster!r} are {type(options).__name__}, not those of `local`")
    root = Root.open(context.root, context.cluster, place)
    try:
        return LocalBackend(context, options, root=root, devices=devices)
    except BaseException:
        root.release()
        raise
