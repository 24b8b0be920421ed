"""Making what drives clusters and gateways, from plugins that may be a stranger's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from roadstead.act.holding import Strange
from roadstead.act.identity import Identity
from roadstead.act.leading import LeaseLead
from roadstead.act.state import StateDirectory
from roadstead.errors import RoadsteadError
from roadstead.model import ClusterSpec, GatewaySpec
from roadstead.spi.backend import Backend, BackendContext
from roadstead.spi.comparison import Rival
from roadstead.spi.gateway import Gateway, GatewayContext
from roadstead.spi.host import PluginError, PluginHost, resolve
from roadstead.spi.lease import LeaseStore
from roadstead.spi.records import BackendPlugin, GatewayPlugin, Lack

__all__ = ["lacking", "open_backend", "open_gateway", "open_lease", "open_rival"]

T = TypeVar("T")


def open_backend(spec: ClusterSpec, host: PluginHost, identity: Identity, state: StateDirectory) -> Backend:
    """Return what drives a cluster; raises :class:`RoadsteadError`, whatever its plugin raises."""
    plugin = host.get(BackendPlugin, spec.backend)
    _must_be_known(spec.options, f"cluster {spec.name}")
    make = resolve(plugin.factory, f"backend {spec.backend!r}")
    backend: Backend = _made(lambda: make(_context(spec, identity, state)), f"cluster {spec.name}")
    return backend


def open_rival(spec: ClusterSpec, host: PluginHost, identity: Identity, state: StateDirectory) -> Rival:
    """Return what a cluster has of its own to keep a model served; raises :class:`RoadsteadError`."""
    plugin = host.get(BackendPlugin, spec.backend)
    if plugin.rival is None:
        raise PluginError(f"backend {spec.backend!r} brings nothing to be compared with")
    make = resolve(plugin.rival, f"the rival of backend {spec.backend!r}")
    rival: Rival = _made(lambda: make(_context(spec, identity, state)), f"cluster {spec.name}")
    return rival


def open_lease(
    spec: ClusterSpec, host: PluginHost, identity: Identity, state: StateDirectory, wake: Callable[[], None]
) -> LeaseLead:
    """Return the right to act that a lease on a cluster gives, not taken yet; raises :class:`RoadsteadError`."""
    plugin = host.get(BackendPlugin, spec.backend)
    if plugin.leases is None:
        raise PluginError(f"backend {spec.backend!r} keeps no leases", hint="set daemon.lease to file")
    _must_be_known(spec.options, f"cluster {spec.name}")
    make = resolve(plugin.leases, f"the leases of backend {spec.backend!r}")
    context = _context(spec, identity, state)
    store: LeaseStore = _made(lambda: make(context, identity.fleet), f"the lease on cluster {spec.name}")
    return LeaseLead(store, f"the lease of fleet {identity.fleet} on cluster {spec.name}", wake=wake)


def lacking(spec: ClusterSpec, host: PluginHost, fleet: str, state: StateDirectory) -> tuple[Lack, ...] | None:
    """Return what a cluster would refuse this fleet, ``None`` where its backend cannot tell.

    Raises :class:`RoadsteadError` where the cluster does not answer.
    """
    plugin = host.get(BackendPlugin, spec.backend)
    if plugin.lacking is None:
        return None
    _must_be_known(spec.options, f"cluster {spec.name}")
    ask = resolve(plugin.lacking, f"the rights of backend {spec.backend!r}")
    nobody = Identity(fleet=fleet, owner_id="")
    lacks: tuple[Lack, ...] = _made(lambda: ask(_context(spec, nobody, state)), f"cluster {spec.name}")
    return lacks


def open_gateway(spec: GatewaySpec, host: PluginHost, identity: Identity, state: StateDirectory) -> Gateway:
    """Return what drives a gateway; raises :class:`RoadsteadError`, whatever its plugin raises."""
    plugin = host.get(GatewayPlugin, spec.kind)
    _must_be_known(spec.options, f"gateway {spec.name}")
    make = resolve(plugin.factory, f"gateway {spec.kind!r}")
    context = GatewayContext(
        name=spec.name,
        fleet=identity.fleet,
        owner_id=identity.owner_id,
        address=spec.address,
        tls=spec.tls,
        options=spec.options,
        root=state.gateway(spec.name),
    )
    gateway: Gateway = _made(lambda: make(context), f"gateway {spec.name}")
    return gateway


def _context(spec: ClusterSpec, identity: Identity, state: StateDirectory) -> BackendContext:
    return BackendContext(
        cluster=spec.name,
        fleet=identity.fleet,
        owner_id=identity.owner_id,
        options=spec.options,
        scheduling=spec.scheduling,
        root=state.cluster(spec.name),
        reach=spec.reach,
    )


def _must_be_known(options: object, what: str) -> None:
    if isinstance(options, Strange):
        raise PluginError(options.why, hint=f"name {what} in the fleet file again")


def _made(make: Callable[[], T], what: str) -> T:
    try:
        return make()
    except RoadsteadError:
        raise
    except Exception as error:  # a stranger's code: whatever it raises is why this cannot be driven
        raise PluginError(
            f"{what} cannot be opened: {type(error).__name__}: {error}",
            hint="this is an error of its plugin, or of the machine",
        ) from error
