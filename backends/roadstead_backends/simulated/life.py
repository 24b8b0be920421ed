"""The life of simulated servers: what orders, faults and the passage of time do to them, each at its own moment."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from random import Random

from roadstead.reasons import Reason, ReasonCode
from roadstead.units import Duration
from roadstead.world import Endpoint, Exit, ModelState, ModelStatus, Phase
from roadstead_backends.simulated.faults import ModelFault
from roadstead_backends.simulated.network import Network
from roadstead_backends.simulated.room import Ground, Room
from roadstead_backends.simulated.servers import Server
from roadstead_backends.simulated.store import Store
from roadstead_backends.simulated.tempers import Temper, Timings

__all__ = ["Life"]

_SIGTERM, _SIGKILL = 15, 9
_LOOK_AGAIN = 1_000
_FATAL = frozenset({ModelFault.CRASHES, ModelFault.EATS_MEMORY})


class Life:
    """Time over the servers of one cluster.

    ``models`` says what models do to their servers, by source; ``listen`` gives a new server its address; ``launch`` is
    told of every slot whose time to be placed has come. ``drains_inside``: who is told to stop serves on.
    """

    def __init__(  # noqa: PLR0913  # made in one place, all by name
        self,
        *,
        store: Store,
        ground: Ground,
        temper: Temper,
        timings: Timings,
        models: Mapping[str, ModelFault],
        network: Network,
        listen: Callable[[Server], Endpoint],
        launch: Callable[[Server, int], None],
        chance: Random,
        drains_inside: bool = False,
    ) -> None:
        self._store = store
        self._ground = ground
        self._temper = temper
        self._timings = timings
        self._models = models
        self._network = network
        self._listen = listen
        self._launch = launch
        self._chance = chance
        self._drains_inside = drains_inside
        self._due: list[tuple[int, int, Server | Room]] = []

    # ---- reading ----

    def next_due(self) -> int | None:
        """Return when something may happen next by itself, or ``None`` where nothing will."""
        while self._due:
            due, _, thing = self._due[0]
            if isinstance(thing, Room) or thing.due == due:
                return due
            heapq.heappop(self._due)
        return None

    def model_state(self, server: Server, wanted: int) -> ModelState:
        """Return what a server would say of version ``wanted`` of its model."""
        if server.silent or server.phase is not Phase.RUNNING:
            error = "no route to host" if server.silent else "connection refused"
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error=error)
        if not server.well:
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error="deadline exceeded")
        versions = () if server.serves is None else (server.serves,)
        if server.loading == wanted and self._fault(server, wanted) is ModelFault.FAILS:
            error = "NOT_FOUND: Could not find SavedModel .pb"
            return ModelState(status=ModelStatus.FAILED, incarnation=server.incarnation, versions=versions, error=error)
        status = ModelStatus.AVAILABLE if wanted in versions else ModelStatus.LOADING
        return ModelState(status=status, incarnation=server.incarnation, versions=versions)

    def _fault(self, server: Server, version: int | None) -> ModelFault | None:
        """Return what is wrong with that version of a server's model, or with all of them."""
        source = server.template.model.source
        return self._models.get(f"{source}/{version}") or self._models.get(source)

    # ---- orders ----

    def wait_to_launch(self, server: Server, now: int) -> None:
        """Have a slot placed when its cluster comes to it, and not before its group's launches go on."""
        self._await(server, max(now + self._drawn(self._timings.place), self._store.group_of(server).launch_after))

    def start(self, server: Server, node: str, devices: tuple[str, ...], now: int) -> None:
        """Put a slot on a node: its image is pulled where it is missing, and its server started."""
        server.phase, server.node, server.devices, server.reason = Phase.STARTING, node, devices, None
        self._ground.take(server)
        room = self._ground.rooms[node]
        image = server.template.runtime.image or server.template.runtime.name
        if image not in room.images:
            room.images[image] = now + self._drawn(self._timings.pull)
        if room.down_since is not None:
            server.silent = True
            self._await(server, max(now, room.down_since + self._timings.notice.ms))
        else:
            self._await(server, max(now, room.images[image]) + self._drawn(self._timings.start))

    def stop(self, server: Server, grace: Duration, now: int) -> None:
        """Ask a server to stop, and kill it after ``grace``; a slot is simply gone."""
        if server.phase is Phase.STOPPING:
            return
        if server.phase in (Phase.SLOT, Phase.LOST):
            self.remove(server)
            return
        server.phase = Phase.STOPPING
        self._store.touch(self._store.group_of(server), stored=True)
        if not server.silent:
            serves = server.template.stop.drain_within.ms if self._drains_inside else 0
            longest = server.template.stop.kill_after if self._drains_inside else grace
            self._await(server, now + serves + min(self._drawn(self._timings.stop), longest.ms))

    def restart(self, server: Server, grace: Duration, now: int) -> None:
        """End a running server's process and start another in its place."""
        if server.phase is not Phase.RUNNING:
            return
        self._end_process(server, Exit(at=now, signal=_SIGTERM))
        self._await(server, now + min(self._drawn(self._timings.stop), grace.ms) + self._drawn(self._timings.start))

    def load(self, server: Server, version: int, now: int) -> None:
        """Have a running server load ``version`` beside what it serves."""
        if server.phase is Phase.RUNNING and version not in (server.serves, server.loading):
            server.loading = version
            self._await(server, now + self._drawn(self._timings.load))

    def remove(self, server: Server) -> None:
        """Forget a server, and the room and the address that it had."""
        if server.holds:
            self._ground.give_back(server)
        else:
            self._ground.changes += 1
        self._hang_up(server)
        self._store.remove(server)

    # ---- what happens by fault ----

    def crash(self, server: Server, now: int, *, out_of_memory: bool = False) -> None:
        """End a running server's process against its will; it starts again by itself, later every time."""
        if server.phase is not Phase.RUNNING:
            return
        exit_ = Exit(at=now, signal=_SIGKILL, out_of_memory=True) if out_of_memory else Exit(at=now, code=1)
        self._end_process(server, exit_)
        code = ReasonCode.OUT_OF_MEMORY if out_of_memory else ReasonCode.CRASH
        self._start_again(server, now, code)

    def _start_again(self, server: Server, now: int, code: ReasonCode) -> None:
        """Start an ended server again after a wait: where it was, or from its group's launch queue."""
        if not self._temper.relaunches:
            wait = self._timings.wait(server.restarts)
            detail = f"the server ended and starts again in {wait} ms"
            server.reason = Reason(code=code, detail=detail, count=1, total=1)
            self._await(server, now + wait + self._drawn(self._timings.start))
            return
        group = self._store.group_of(server)
        forgotten = now > group.launch_after + self._timings.longest_back_off.ms
        group.failures = 1 if forgotten else group.failures + 1
        wait = self._timings.wait(group.failures)
        group.launch_after = now + wait
        self._unseat(server)
        detail = f"the server ended and is launched again in {wait} ms, perhaps elsewhere"
        server.reason = Reason(code=code, detail=detail, count=1, total=1)
        self._await(server, group.launch_after)

    def _unseat(self, server: Server) -> None:
        self._ground.give_back(server)
        self._hang_up(server)
        server.phase, server.node, server.devices = Phase.SLOT, None, ()
        server.silent = server.noticed = False

    def lose(self, server: Server) -> None:
        """Make a replica one that never comes back; one that was on its way out is simply gone."""
        if server.phase is Phase.STOPPING:
            self.remove(server)
            return
        if server.phase is Phase.LOST:
            return
        if server.holds:
            self._ground.give_back(server)
        room = self._ground.rooms.get(server.node or "")
        if room is not None and room.parted and server.phase is Phase.RUNNING:
            room.away.append((server, server.serves))
        self._hang_up(server)
        server.phase, server.serves, server.probed, server.due = Phase.LOST, None, False, None
        server.reason = Reason(code=ReasonCode.LOST, detail=f"it was on {server.node} and is gone", count=1, total=1)
        self._store.write_off(server)

    def node_down(self, room: Room, now: int, *, parted: bool = False) -> None:
        """Let a node fall silent, with all that runs there; the cluster finds out in its own time.

        Where it is only ``parted``, all of that runs on.
        """
        room.down_since, room.parted = now, parted
        self._push(now + self._timings.notice.ms, room)
        for server in room.servers.values():
            server.silent = True
            self._await(server, now + self._timings.notice.ms)
        self.advance(now)

    def node_up(self, room: Room, now: int) -> None:
        """Let a silent node start again: its servers do too, but for those that were given up or told to stop."""
        parted, room.down_since, room.noticed, room.parted = room.parted, None, False, False
        self._ground.changed()
        if parted:
            self._rejoin(room, now)
            return
        for server in list(room.servers.values()):
            server.silent = server.noticed = False
            if server.phase is Phase.STOPPING:
                self.remove(server)
                continue
            if server.phase is Phase.RUNNING:
                self._end_process(server, Exit(at=now, detail="ended with its node, which was started again"))
            if self._temper.relaunches:
                self._unseat(server)
                self.wait_to_launch(server, now)
            else:
                self._await(server, now + self._drawn(self._timings.start))

    def _rejoin(self, room: Room, now: int) -> None:
        """Let the servers of a node be seen again that ran on all the time, those that were given up included."""
        for server in list(room.servers.values()):
            server.silent, server.noticed, server.reason = False, False, None
            self._await(server, now + (self._drawn(self._timings.start) if server.phase is Phase.STARTING else 0))
        away, room.away = room.away, []
        for server, serves in away:
            group = self._store.by_key.get(server.key)
            if group is None or group.condemned:
                continue
            if server.id in group.servers:
                self._store.remove(server)
            server.silent, server.noticed, server.reason = False, False, None
            server.phase, server.serves = Phase.RUNNING, serves
            server.endpoint = self._listen(server)
            self._store.readmit(server)
            self._ground.take(server)
            if self._temper.ends_returned:
                self.stop(server, server.template.stop.kill_after, now)
            else:
                self._await(server, now)

    def afflict(self, server: Server, now: int) -> None:
        """Let a server that serves feel at once what its model does to it now."""
        if server.phase is not Phase.RUNNING or server.serves is None or server.silent:
            return
        fault = self._fault(server, server.serves)
        if fault in _FATAL:
            self.crash(server, now, out_of_memory=fault is ModelFault.EATS_MEMORY)
        elif (fault is ModelFault.FLAPS) != (server.flap_at is not None):
            server.flap_at = now
            self._await(server, now)

    # ---- what time does ----

    def advance(self, now: int) -> None:
        """Carry out all that fell due up to ``now``, in its order."""
        while self._due and self._due[0][0] <= now:
            due, _, thing = heapq.heappop(self._due)
            if isinstance(thing, Room):
                self._notice(thing, due)
            elif thing.due == due:
                thing.due = None
                self._happen(thing, due)

    def _notice(self, room: Room, at: int) -> None:
        if room.down_since is not None and at >= room.down_since + self._timings.notice.ms:
            room.noticed = True
            self._ground.changed()

    def _happen(self, server: Server, at: int) -> None:
        group = self._store.group_of(server)
        if server.silent:
            self._stay_silent(server, at)
        elif server.phase is Phase.STOPPING:
            self.remove(server)
        elif server.phase is Phase.SLOT:
            self._launch(server, at)
        elif server.phase is Phase.STARTING:
            server.phase, server.process, server.started_at = Phase.RUNNING, server.process + 1, at
            server.endpoint, server.reason = server.endpoint or self._listen(server), None
            server.loading = server.template.model.version
            self._await(server, at + self._drawn(self._timings.load))
        elif server.phase is Phase.RUNNING and server.loading is not None:
            self._load(server, at)
        elif server.phase is Phase.RUNNING:
            self._flap(server, at)
        self._store.touch(group, stored=False)

    def _stay_silent(self, server: Server, at: int) -> None:
        """Take note that a server's node is silent, and later give it up."""
        if server.noticed:
            self.lose(server)
            return
        server.noticed = True
        detail = f"{server.node} has been silent for {self._timings.notice.ms // 1000}s"
        server.reason = Reason(code=ReasonCode.UNREACHABLE, detail=detail, count=1, total=1)
        self._await(server, at + server.template.health.node_lost_after.ms)

    def _load(self, server: Server, at: int) -> None:
        fault = self._fault(server, server.loading)
        if fault in _FATAL:
            self.crash(server, at, out_of_memory=fault is ModelFault.EATS_MEMORY)
        elif fault in (None, ModelFault.FLAPS):
            server.serves, server.loading, server.well = server.loading, None, True
            server.flap_at = at + self._timings.flap.ms if fault is ModelFault.FLAPS else None
            self._probe(server, at)
        else:
            self._await(server, at + max(self._timings.load.ms, _LOOK_AGAIN))

    def _flap(self, server: Server, at: int) -> None:
        if server.flap_at is not None and at >= server.flap_at:
            flaps = self._fault(server, server.serves) is ModelFault.FLAPS
            server.well = not server.well if flaps else True
            server.flap_at = at + self._timings.flap.ms if flaps else None
        self._probe(server, at)

    def _probe(self, server: Server, at: int) -> None:
        """Let the cluster's own probe find what is so, when its next one is due."""
        period = self._timings.probe.ms
        since = (at - (server.started_at or 0)) % period if period else 0
        if server.probed != server.loaded and since == 0:
            server.probed, server.ready_at = server.loaded, at
        moments = [] if server.flap_at is None else [server.flap_at]
        if server.probed != server.loaded:
            moments.append(at + period - since)
        if moments:
            self._await(server, min(moments))

    def _end_process(self, server: Server, how: Exit) -> None:
        server.phase, server.serves, server.loading, server.last_exit = Phase.STARTING, None, None, how
        server.probed, server.well, server.flap_at = False, True, None
        server.template = self._store.group_of(server).template
        server.restarts += 1

    def _hang_up(self, server: Server) -> None:
        if server.endpoint is not None:
            self._network.forget(server.endpoint)
            server.endpoint = None

    # ---- the queue ----

    def _await(self, server: Server, due: int) -> None:
        server.due = due
        self._push(due, server)
        self._store.touch(self._store.group_of(server), stored=False)

    def _push(self, due: int, thing: Server | Room) -> None:
        heapq.heappush(self._due, (due, self._store.tick(), thing))

    def _drawn(self, duration: Duration) -> int:
        """Return how long it takes this time, in milliseconds."""
        reach = duration.ms * self._timings.vary // 100
        return duration.ms + self._chance.randint(-reach, reach) if reach else duration.ms
