"""The gateway: a route table becomes files, and what Envoy shows becomes a view."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from roadstead.errors import Rejected, Retryable
from roadstead.shim.files import make_private_folder, read_json, remove_if_there, write_json
from roadstead.spi.gateway import GatewayContext, RouteTable
from roadstead.traffic import GatewayView, RouteLoad, RouteView
from roadstead.wire import from_wire, to_wire
from roadstead_plugins.gateways.envoy.acceptance import Acceptance
from roadstead_plugins.gateways.envoy.access_log import link_log, unlink_log
from roadstead_plugins.gateways.envoy.addresses import Obstacles, obstacles
from roadstead_plugins.gateways.envoy.admin import Admin
from roadstead_plugins.gateways.envoy.bootstrap import arguments
from roadstead_plugins.gateways.envoy.certificate import Certificate
from roadstead_plugins.gateways.envoy.folder import Folder
from roadstead_plugins.gateways.envoy.loads import Meter, reading
from roadstead_plugins.gateways.envoy.observer import Look, Observer
from roadstead_plugins.gateways.envoy.offer import NO_OFFER, Offer, next_offer, without
from roadstead_plugins.gateways.envoy.options import EnvoyOptions
from roadstead_plugins.gateways.envoy.process import Process, count_workers, most_open_files
from roadstead_plugins.gateways.envoy.settings import Settings
from roadstead_plugins.gateways.envoy.stages import Progress, drained, files_wanted, is_taken, may_be_written
from roadstead_plugins.gateways.envoy.translate import (
    BOOTSTRAP,
    LDS,
    RENEWAL,
    File,
    bootstrap_file,
    clusters_named,
    rds_name,
    renewal_file,
)
from roadstead_plugins.gateways.envoy.view import Sight, passages
from roadstead_plugins.gateways.envoy.watches import LEFT_OUT, free_instances, left_out, watches

__all__ = ["EnvoyGateway", "connect"]

_CONFIG = "config"
_OFFER = "offer.json"
_QUIET_AFTER_S = 0.2
_STOP_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.02
_SPARE_WATCHES = 4  # for a moment, a file that replaces another is watched twice, and so is a certificate
_OTHER_FILES = 256
_NO_OBSTACLES = Obstacles({}, gone=False)


def connect(context: GatewayContext) -> EnvoyGateway:
    """Return the gateway of ``context``; Envoy is started when it is first given a table."""
    if not isinstance(context.options, EnvoyOptions):
        raise Rejected(f"options are {type(context.options).__name__}, not those of `envoy`", cluster=context.name)
    return EnvoyGateway(context, context.options)


class EnvoyGateway:
    """One Envoy. What it was offered lies on disk, so that the next object goes on where this one ends."""

    def __init__(self, context: GatewayContext, options: EnvoyOptions) -> None:
        self._name = context.name
        with _files_needed(context.name):
            make_private_folder(str(context.root))
            self._process = Process(context.name, context.root)
            self._folder = Folder(context.root / _CONFIG)
            self._offer_file = str(context.root / _OFFER)
            self._offer = self._last_offer()
        self._settings = _settings(context, options, self._process.program)
        self._observer = Observer(context.name, Admin(context.name, context.root), self._process)
        self._certificate = Certificate(context.tls) if context.tls is not None else None
        self._access_log = options.access_log
        self._acceptance = Acceptance()
        self._progress = Progress()
        self._routed: dict[str, frozenset[str]] = {}
        self._routes: Mapping[str, RouteView] = {}
        self._meter = Meter()
        self._left_out: frozenset[str] = frozenset()
        self._made: tuple[Offer | None, tuple[File, ...]] = (None, ())

    # ---- the protocol ----

    def route(self, table: RouteTable) -> None:
        """Offer ``table``, starting Envoy where it does not run."""
        with _files_needed(self._name):
            self._keep(next_offer(self._offer, table))
            self._write(runs=self._observer.is_answered())
            self._process.start(arguments(self._settings, str(self._folder.path_of(BOOTSTRAP))))

    def view(self) -> GatewayView:
        """Return what Envoy does now; raises ``Unreachable``."""
        self._process.tend()
        look = self._observer.look()
        now = time.monotonic()
        self._take_in(look, now)
        held = self._obstacles(look)
        trouble = self._go_on(look, held, now)
        return GatewayView(
            settled=self._is_settled(held),
            routes=self._route_views(look, held),
            loads=self._loads(look, now),
            problem="; ".join([*trouble, *self._problems(look, held, now)]),
        )

    def ports(self) -> Mapping[str, int]:
        """Return the ports of the last table offered, by deployment."""
        return {name: route.port for name, route in self._offer.routes.items()}

    def stop(self) -> None:
        """Take Envoy down, with its shim, and forget what it was offered; raises ``Retryable`` if that takes long."""
        with _files_needed(self._name):
            self._process.stop()
            pause = threading.Event()
            deadline = time.monotonic() + _STOP_WITHIN_S
            while not self._process.is_gone():
                if time.monotonic() > deadline:
                    raise Retryable("envoy has not ended yet", cluster=self._name)
                pause.wait(_LOOK_EVERY_S)
                self._process.tend()
            self._process.forget()
            for name in tuple(self._folder.files):
                self._folder.remove(name)
            remove_if_there(self._offer_file)
        if self._access_log is not None:
            unlink_log(self._access_log, self._process.log)
        self._offer, self._progress, self._acceptance = NO_OFFER, Progress(), Acceptance()
        self._routed, self._routes, self._meter = {}, {}, Meter()

    def close(self) -> None:
        """Let go of Envoy; it serves on."""
        self._process.close()

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` soon after Envoy was started or has ended."""
        self._process.watch(wake)

    # ---- what is offered ----

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

    def _write(self, *, runs: bool) -> None:
        """Bring the files as near to the offer as may be now; while Envoy ``runs`` it watches those that are there."""
        self._left_out = self._without_room(runs=runs)
        files = [bootstrap_file(self._settings), *self._files_wanted()]
        if self._certificate is not None:
            self._certificate.refresh()
            if self._certificate.digest:
                files.append(renewal_file(self._certificate.digest))
        for file in [*may_be_written(self._offer, files, self._folder.files, self._progress)]:
            self._folder.write(file)
        wanted = {RENEWAL, *(file.name for file in files)}
        for name in [name for name in self._folder.files if name not in wanted]:
            self._folder.remove(name)

    def _go_on(self, look: Look, held: Obstacles, now: float) -> list[str]:
        """Take the next step towards the offer, and return what keeps us from it: looking goes on with a full disk."""
        try:
            with _files_needed(self._name):
                busy = {cluster for cluster, hosts in look.hosts.items() if any(host.in_flight for host in hosts)}
                gone = drained(self._offer, self._folder.files, self._progress, busy)
                self._keep(without(self._offer, gone))
                self._write(runs=True)
                self._offer_again(held, now)
        except Retryable as error:
            return [str(error)]
        return []

    def _files_wanted(self) -> tuple[File, ...]:
        """Return the files of all that there is room for; they are made once, and looked at many times a second."""
        offer = self._offer
        if self._left_out:
            kept = {name: route for name, route in offer.routes.items() if name not in self._left_out}
            offer = attrs.evolve(offer, routes=kept)
        known, files = self._made
        if known != offer:
            files = files_wanted(offer, self._settings)
            self._made = (offer, files)
        return files

    def _without_room(self, *, runs: bool) -> frozenset[str]:
        """Return the deployments whose files Envoy could not watch; what it watches while it ``runs``, it has."""
        watched = self._folder.files.keys() if runs else frozenset[str]()
        more = len(watches(self._offer, self._settings) - watched)
        if not more:
            return frozenset()
        free = free_instances(more + _SPARE_WATCHES) - _SPARE_WATCHES
        return left_out(self._offer, self._settings, watched, free) if free < more else frozenset()

    def _offer_again(self, held: Obstacles, now: float) -> None:
        """Write files once more that Envoy did not take: what was in the way may be gone."""
        again = {file.name: file for file in self._acceptance.overdue(self._folder.files, now)}
        if held.gone and self._acceptance.is_late(LDS, now):
            again[LDS] = self._folder.files[LDS]
        for file in again.values():
            self._folder.write(file)

    # ---- what is in force ----

    def _take_in(self, look: Look, now: float) -> None:
        files = self._folder.files
        self._acceptance.look(files, look.stats.versions, now)
        self._progress = Progress(
            in_force=self._acceptance.in_force(),
            quiet=self._acceptance.quiet(now, after=_QUIET_AFTER_S),
            ready=look.hosts.keys(),
        )
        for deployment in self._offer.routes:
            routes = files.get(rds_name(deployment))
            if routes is not None and is_taken(routes, self._progress.in_force):
                self._routed[deployment] = clusters_named(routes)

    def _obstacles(self, look: Look) -> Obstacles:
        offered = self._folder.files.get(LDS)
        if offered is None or (is_taken(offered, self._progress.in_force) and not look.stats.warming):
            return _NO_OBSTACLES
        routes = {name: route for name, route in self._offer.routes.items() if name not in self._left_out}
        return obstacles(routes, self._settings.address, offered, self._observer.listeners())

    def _is_settled(self, held: Obstacles) -> bool:
        return not (held.problems or self._left_out) and all(
            is_taken(file, self._progress.in_force) for file in self._files_wanted()
        )

    def _route_views(self, look: Look, held: Obstacles) -> Mapping[str, RouteView]:
        """Return every route; one that is as it was is the same object, and so are all of them together."""
        sight = Sight(
            offer=self._offer,
            files=self._folder.files,
            progress=self._progress,
            hosts=look.hosts,
            routed=frozenset().union(*self._routed.values()),
        )
        routes = {}
        for deployment, found in passages(sight).items():
            problem = LEFT_OUT if deployment in self._left_out else held.problems.get(deployment, "")
            known = self._routes.get(deployment)
            port = self._offer.port_of(deployment) or (known.port if known is not None else 0)
            route = RouteView(port=port, passages=found, problem=problem)
            routes[deployment] = known if known == route else route
        if routes.keys() != self._routes.keys() or any(routes[name] is not self._routes[name] for name in routes):
            self._routes = routes
        return self._routes

    def _loads(self, look: Look, now: float) -> Mapping[str, RouteLoad]:
        times = self._observer.times() if self._meter.is_due(now, look.incarnation) else {}
        return self._meter.loads(reading(look.hosts, look.stats.refused, times, at=now, incarnation=look.incarnation))

    def _problems(self, look: Look, held: Obstacles, now: float) -> Iterator[str]:
        """Yield what is wrong, each in a sentence."""
        if self._certificate is not None and self._certificate.problem:
            yield self._certificate.problem
        if self._left_out:
            yield f"{', '.join(sorted(self._left_out))}: {LEFT_OUT}"
        for deployment, problem in held.problems.items():
            yield f"{deployment}: {problem}"
        late = [name for name in self._acceptance.late(now) if name != LDS or not held.problems]
        if late:
            yield f"envoy has not taken {', '.join(late)}: {self._process.last_refusal() or 'it does not say why'}"
        if look.bootstrap != bootstrap_file(self._settings).version:
            state = self._process.state()
            shim = state.shim.pid if state is not None and state.shim is not None else 0
            yield (
                "max_connections, or the way envoy is started, is not what envoy was started with; that changes at its "
                f"next start: `kill {shim}` starts it anew within seconds, and breaks what is in flight"
            )
        wanted, most = self._settings.max_connections, most_open_files()
        if most < wanted + _OTHER_FILES:
            yield (
                f"max_connections is {wanted}, and envoy may have only {most} files open; lower it, or raise the hard "
                "limit of the daemon (`ulimit -Hn`, LimitNOFILE= under systemd)"
            )
        if self._access_log is not None and (problem := link_log(self._access_log, self._process.log)):
            yield problem


@contextlib.contextmanager
def _files_needed(gateway: str) -> Iterator[None]:
    """Say in the contract's words that a file cannot be used."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise Retryable(
            f"{where}{(error.strerror or str(error)).lower()}",
            cluster=gateway,
            hint="free the disk, or give the folder to the user that the daemon runs as",
        ) from error


def _settings(context: GatewayContext, options: EnvoyOptions, program: Path) -> Settings:
    return Settings(
        name=context.name,
        fleet=context.fleet,
        address=context.address,
        folder=str(context.root / _CONFIG),
        program=str(program),
        workers=count_workers(),
        tls=context.tls,
        max_connections=options.max_connections,
        max_request=options.max_request.bytes,
        access_log=options.access_log is not None,
    )
