"""The gateway: a route table becomes files, and what Envoy shows becomes a view."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping

import attrs

from roadstead.errors import Rejected, Retryable, Unreachable
from roadstead.shim.files import make_private_folder, read_json, remove_if_there, write_json
from roadstead.spi.gateway import GatewayContext, RouteTable
from roadstead.traffic import GatewayView, RouteView
from roadstead.wire import from_wire, to_wire
from roadstead_plugins.gateways.envoy.acceptance import Acceptance
from roadstead_plugins.gateways.envoy.admin import Admin
from roadstead_plugins.gateways.envoy.downstream import listener_name
from roadstead_plugins.gateways.envoy.folder import Folder
from roadstead_plugins.gateways.envoy.offer import NO_OFFER, Offer, next_offer, without
from roadstead_plugins.gateways.envoy.options import EnvoyOptions
from roadstead_plugins.gateways.envoy.process import Process
from roadstead_plugins.gateways.envoy.readings import (
    CLUSTERS,
    LISTENERS,
    STATS,
    Host,
    ListenerState,
    Stats,
    hosts_by_cluster,
    listeners_in_force,
    read_stats,
)
from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.stages import Progress, drained, files_wanted, may_be_written
from roadstead_plugins.gateways.envoy.translate import (
    BOOTSTRAP,
    LDS,
    bootstrap_file,
    clusters_named,
    listener_digests,
    rds_name,
)
from roadstead_plugins.gateways.envoy.view import Sight, passages

__all__ = ["EnvoyGateway", "connect"]

_CONFIG = "config"
_OFFER = "offer.json"
_QUIET_AFTER_S = 0.2
_STOP_WITHIN_S = 10.0


def connect(context: GatewayContext) -> EnvoyGateway:
    """Return the gateway of ``context``; Envoy is started when it is first given a table."""
    if not isinstance(context.options, EnvoyOptions):
        raise Rejected(f"options are {type(context.options).__name__}, not those of `envoy`", cluster=context.name)
    return EnvoyGateway(context, context.options)


@attrs.frozen(kw_only=True)
class _Look:
    """What Envoy showed at one moment."""

    stats: Stats
    hosts: Mapping[str, tuple[Host, ...]]
    listeners: Mapping[str, ListenerState]


class EnvoyGateway:
    """One Envoy. What it was offered lies on disk, so that the next object goes on where this one ends."""

    def __init__(self, context: GatewayContext, options: EnvoyOptions) -> None:
        make_private_folder(str(context.root))
        self._name = context.name
        self._offer_file = str(context.root / _OFFER)
        self._folder = Folder(context.root / _CONFIG)
        self._settings = Settings(
            name=context.name,
            fleet=context.fleet,
            address=context.address,
            folder=str(context.root / _CONFIG),
            tls=context.tls,
            max_connections=options.max_connections,
            max_request=options.max_request.bytes,
            access_log=options.access_log is not None,
        )
        self._process = Process(context.name, context.root, self._folder.path_of(BOOTSTRAP))
        self._admin = Admin(context.name, context.root)
        self._acceptance = Acceptance()
        self._progress = Progress()
        self._routed: dict[str, frozenset[str]] = {}
        self._routes: Mapping[str, RouteView] = {}
        self._offer = self._last_offer()

    # ---- the protocol ----

    def route(self, table: RouteTable) -> None:
        """Offer ``table``, starting Envoy where it does not run."""
        self._keep(next_offer(self._offer, table))
        self._write()
        self._process.start()

    def view(self) -> GatewayView:
        """Return what Envoy does now; raises ``Unreachable``."""
        self._process.tend()
        look = self._look()
        now = time.monotonic()
        self._take_in(look, now)
        self._write()
        for file in [*self._acceptance.overdue(self._folder.files, now)]:
            self._folder.write(file)
        return self._view(look, now)

    def ports(self) -> Mapping[str, int]:
        """Return the ports of the last table offered, by deployment."""
        return {name: route.port for name, route in self._offer.routes.items()}

    def stop(self) -> None:
        """Take Envoy down, with its shim, and forget what it was offered; raises ``Retryable`` if that takes long."""
        self._process.stop()
        pause = threading.Event()
        deadline = time.monotonic() + _STOP_WITHIN_S
        while not self._process.is_gone():
            if time.monotonic() > deadline:
                raise Retryable("envoy has not ended yet", cluster=self._name)
            pause.wait(0.02)
            self._process.tend()
        self._process.forget()
        for name in tuple(self._folder.files):
            self._folder.remove(name)
        remove_if_there(self._offer_file)
        self._offer, self._progress, self._acceptance = NO_OFFER, Progress(), Acceptance()

    def close(self) -> None:
        """Let go of Envoy; it serves on."""
        self._process.close()

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` soon after Envoy was started or has ended."""
        self._process.watch(wake)

    # ---- what was offered ----

    def _last_offer(self) -> Offer:
        value = read_json(self._offer_file)
        if value is None:
            return NO_OFFER
        try:
            return from_wire(value, Offer)
        except ValueError as error:
            raise Rejected(
                f"{self._offer_file} cannot be read: {error}",
                cluster=self._name,
                hint="it was written by a newer version, or damaged; move it away",
            ) from error

    def _keep(self, offer: Offer) -> None:
        """Write down an offer before anything of it is in a file: what may be in force is always known."""
        if offer != self._offer:
            write_json(self._offer_file, to_wire(offer), durable=True)
            self._offer = offer

    def _write(self) -> None:
        """Bring the files as near to the offer as may be now."""
        files = (bootstrap_file(self._settings), *files_wanted(self._offer, self._settings))
        for file in [*may_be_written(self._offer, files, self._folder.files, self._progress)]:
            self._folder.write(file)
        wanted = {file.name for file in files}
        for name in [name for name in self._folder.files if name not in wanted]:
            self._folder.remove(name)

    # ---- what is in force ----

    def _look(self) -> _Look:
        # Versions first: whatever is shown after them is theirs, or newer.
        stats = read_stats(self._ask(STATS))
        if not stats.live:
            raise Unreachable("envoy is starting", cluster=self._name)
        hosts = hosts_by_cluster(self._ask(CLUSTERS))
        listeners = listeners_in_force(self._ask(LISTENERS))
        return _Look(stats=stats, hosts=hosts, listeners=listeners)

    def _ask(self, question: str) -> bytes:
        try:
            return self._admin.get(question)
        except Unreachable as error:
            trouble = self._process.trouble()
            if trouble:
                raise Unreachable(trouble, cluster=self._name) from error
            raise

    def _take_in(self, look: _Look, now: float) -> None:
        self._acceptance.look(self._folder.files, look.stats.versions, now)
        settled = self._acceptance.settled(self._folder.files)
        quiet = self._acceptance.quiet(self._folder.files, now, after=_QUIET_AFTER_S)
        self._progress = Progress(settled=settled, quiet=quiet, ready=look.hosts.keys())
        for deployment in self._offer.routes:
            name = rds_name(deployment)
            if name in settled:
                self._routed[deployment] = clusters_named(self._folder.files[name])
        busy = {cluster for cluster, hosts in look.hosts.items() if any(host.in_flight for host in hosts)}
        self._keep(without(self._offer, drained(self._offer, self._folder.files, self._progress, busy)))

    def _view(self, look: _Look, now: float) -> GatewayView:
        files = self._folder.files
        settled = self._acceptance.settled(files)
        sight = Sight(
            offer=self._offer,
            files=files,
            settled=settled,
            quiet=self._acceptance.quiet(files, now, after=_QUIET_AFTER_S),
            hosts=look.hosts,
            routed=frozenset().union(*self._routed.values()),
        )
        routes = {}
        for deployment, found in passages(sight).items():
            route = RouteView(
                port=self._port(deployment), passages=found, problem=self._problem(deployment, look, settled)
            )
            known = self._routes.get(deployment)
            routes[deployment] = known if known == route else route
        self._routes = routes
        wanted = files_wanted(self._offer, self._settings)
        return GatewayView(
            settled=all(file.name in settled and files[file.name].version == file.version for file in wanted),
            routes=routes,
        )

    def _port(self, deployment: str) -> int:
        """Return a route's port; of one that nobody remembers, because our own record was lost, it is 0."""
        route = self._offer.routes.get(deployment)
        if route is not None:
            return route.port
        return next((one.port for one in self._offer.former if one.cluster.deployment == deployment), 0)

    def _problem(self, deployment: str, look: _Look, settled: Collection[str]) -> str:
        route = self._offer.routes.get(deployment)
        if route is None or LDS in settled:
            return ""
        name = listener_name(route)
        state = look.listeners.get(name)
        if state is not None and state.digest == listener_digests(self._folder.files[LDS]).get(name):
            return ""
        return state.error if state is not None else "envoy has not opened the port yet"
