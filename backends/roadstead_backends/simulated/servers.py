"""What really is in a simulated cluster: groups, servers and what time does to them.

Nothing here can fail and nothing is hidden: faults of calls, old answers and preconditions are the business of
:mod:`roadstead_backends.simulated.cluster`, which stands in front.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping

import attrs

from roadstead.model import Reloading, Template
from roadstead.reasons import Reason, ReasonCode
from roadstead.units import Duration
from roadstead.world import Endpoint, Exit, GroupKey, ModelState, ModelStatus, Phase, Replica
from roadstead_backends.simulated.faults import ModelFault

__all__ = ["Groups", "Server", "StoredGroup", "Timings"]

_SIGTERM, _SIGKILL = 15, 9


@attrs.frozen(kw_only=True)
class Timings:
    """How long things take there.

    ``place`` is what a native cluster needs to put a slot on a node, ``start`` goes from there to a running server,
    ``load`` from there to an available model, ``stop`` from the order to the end. ``back_off`` is doubled with every
    restart of the same replica, up to ``longest_back_off``.
    """

    place: Duration = Duration(200)
    start: Duration = Duration(1_000)
    load: Duration = Duration(2_000)
    stop: Duration = Duration(1_000)
    back_off: Duration = Duration(1_000)
    longest_back_off: Duration = Duration(300_000)


@attrs.define(kw_only=True, eq=False)
class Server:
    """One replica as it really is; ``due`` is when time next does something to it."""

    id: str
    key: GroupKey
    template: Template
    phase: Phase = Phase.SLOT
    node: str | None = None
    devices: tuple[str, ...] = ()
    endpoint: Endpoint | None = None
    process: int = 0
    restarts: int = 0
    started_at: int | None = None
    serves: int | None = None
    loading: int | None = None
    reason: Reason | None = None
    last_exit: Exit | None = None
    due: int | None = None

    @property
    def incarnation(self) -> str:
        """Which process this is, empty before the first."""
        return f"{self.id}#{self.process}" if self.process else ""

    @property
    def loaded(self) -> bool:
        """Whether it serves any version of its model."""
        return self.serves is not None

    @property
    def holds(self) -> bool:
        """Whether it takes room on its node."""
        return self.node is not None and self.phase is not Phase.LOST

    @property
    def counts(self) -> bool:
        """Whether it is one of those that its group was asked for."""
        return self.phase not in (Phase.STOPPING, Phase.LOST)

    def seen(self, *, reports_ready: bool) -> Replica:
        """Return it as an observation shows it."""
        return Replica(
            id=self.id,
            phase=self.phase,
            node=self.node,
            devices=self.devices,
            endpoint=self.endpoint,
            incarnation=self.incarnation,
            ready=(self.phase is Phase.RUNNING and self.loaded) if reports_ready else None,
            restarts=self.restarts,
            started_at=self.started_at,
            reason=self.reason,
            last_exit=self.last_exit,
        )


@attrs.define(kw_only=True, eq=False)
class StoredGroup:
    """What is stored about a group; ``servers`` by id, in the order in which they were made."""

    key: GroupKey
    owner: str
    owner_id: str
    generation: int
    target: int
    template: Template
    version: int
    reloading: Reloading | None = None
    condemned: bool = False
    servers: dict[str, Server] = attrs.field(factory=dict)

    def counting(self) -> list[Server]:
        """Return the servers that are among those asked for."""
        return [server for server in self.servers.values() if server.counts]


class Groups:
    """Every group of one cluster, and the passage of time over them.

    ``models`` says what models do to their servers, by source; ``listen`` gives a new server its address,
    ``find_place`` a slot its node and devices where the cluster does that by itself.
    """

    def __init__(
        self,
        cluster: str,
        timings: Timings,
        models: Mapping[str, ModelFault],
        listen: Callable[[Server], Endpoint],
        find_place: Callable[[Template], tuple[str, tuple[str, ...]] | Reason] | None,
    ) -> None:
        self.by_key: dict[GroupKey, StoredGroup] = {}
        self._cluster = cluster
        self._timings = timings
        self._models = models
        self._listen = listen
        self._find_place = find_place
        self._due: list[tuple[int, int, Server]] = []
        self._made = 0
        self._version = 0
        self._touched: set[GroupKey] = set()

    # ---- reading ----

    def servers(self) -> Iterator[Server]:
        """Yield every server of every group."""
        for group in self.by_key.values():
            yield from group.servers.values()

    def find(self, replica: str) -> Server | None:
        """Return the server of that id."""
        return next((group.servers[replica] for group in self.by_key.values() if replica in group.servers), None)

    def take_touched(self) -> set[GroupKey]:
        """Return the groups that changed since this was last asked."""
        touched, self._touched = self._touched, set()
        return touched

    def model_state(self, server: Server, wanted: int) -> ModelState:
        """Return what a server would say of version ``wanted`` of its model."""
        if server.phase is not Phase.RUNNING:
            return ModelState(status=ModelStatus.UNKNOWN, incarnation=server.incarnation, error="connection refused")
        versions = () if server.serves is None else (server.serves,)
        if server.loading == wanted and self._fault(server) is ModelFault.FAILS:
            error = "NOT_FOUND: Could not find SavedModel .pb"
            return ModelState(status=ModelStatus.FAILED, incarnation=server.incarnation, versions=versions, error=error)
        status = ModelStatus.AVAILABLE if wanted in versions else ModelStatus.LOADING
        return ModelState(status=status, incarnation=server.incarnation, versions=versions)

    def _fault(self, server: Server) -> ModelFault | None:
        """Return what is wrong with what a server loads: with that version, or with all of the model."""
        source = server.template.model.source
        return self._models.get(f"{source}/{server.loading}") or self._models.get(source)

    # ---- orders ----

    def create(self, group: StoredGroup) -> None:
        """Store a new group, without servers yet."""
        self.by_key[group.key] = group
        self.touch(group, stored=True)

    def touch(self, group: StoredGroup, *, stored: bool) -> None:
        """Note that a group looks different; ``stored`` where its version token must change too."""
        if stored:
            self._version += 1
            group.version = self._version
        self._touched.add(group.key)

    def add_slot(self, group: StoredGroup, now: int | None) -> None:
        """Make one more replica, without a node; ``now`` is ``None`` where nobody is ever to place it."""
        self._made += 1
        server = Server(id=f"{self._cluster}.{group.key}.{self._made}", key=group.key, template=group.template)
        group.servers[server.id] = server
        self.touch(group, stored=True)
        if now is not None and self._find_place is not None:
            self._await(server, now + self._timings.place.ms)

    def retry_slots(self, now: int) -> None:
        """Try again to place the slots for which there was no room."""
        for server in list(self.servers()):
            if server.phase is Phase.SLOT and server.due is None and server.reason is not None:
                self._place(server, now)

    def start(self, server: Server, node: str, devices: tuple[str, ...], now: int) -> None:
        """Put a slot on a node."""
        server.phase, server.node, server.devices, server.reason = Phase.STARTING, node, devices, None
        self._await(server, now + self._timings.start.ms)

    def stop(self, server: Server, grace: Duration, now: int) -> None:
        """Ask a server to stop, and kill it after ``grace``; a slot is simply gone."""
        if server.phase is Phase.STOPPING:
            return
        if server.phase in (Phase.SLOT, Phase.LOST):
            self.remove(server)
            return
        server.phase = Phase.STOPPING
        self.touch(self.by_key[server.key], stored=True)
        self._await(server, now + min(self._timings.stop.ms, grace.ms))

    def remove(self, server: Server) -> None:
        """Forget a server, and its group if it was the last of a condemned one."""
        group = self.by_key[server.key]
        del group.servers[server.id]
        server.due = None
        self.touch(group, stored=True)
        self.bury(group)

    def bury(self, group: StoredGroup) -> None:
        """Forget a condemned group that has no server left."""
        if group.condemned and not group.servers:
            self.by_key.pop(group.key, None)

    def restart(self, server: Server, grace: Duration, now: int) -> None:
        """End a running server's process and start another in its place."""
        if server.phase is not Phase.RUNNING:
            return
        self._end_process(server, Exit(at=now, signal=_SIGTERM))
        self._await(server, now + min(self._timings.stop.ms, grace.ms) + self._timings.start.ms)

    def load(self, server: Server, version: int, now: int) -> None:
        """Have a running server load ``version`` beside what it serves."""
        if server.phase is Phase.RUNNING and version not in (server.serves, server.loading):
            server.loading = version
            self._await(server, now + self._timings.load.ms)

    # ---- what happens by itself or by fault ----

    def crash(self, server: Server, now: int, *, out_of_memory: bool = False) -> None:
        """End a running server's process against its will; it starts again by itself, later every time."""
        if server.phase is not Phase.RUNNING:
            return
        exit_ = Exit(at=now, signal=_SIGKILL, out_of_memory=True) if out_of_memory else Exit(at=now, code=1)
        self._end_process(server, exit_)
        wait = min(self._timings.back_off.ms << min(server.restarts - 1, 20), self._timings.longest_back_off.ms)
        code = ReasonCode.OUT_OF_MEMORY if out_of_memory else ReasonCode.CRASH
        server.reason = Reason(code=code, detail=f"the server ended and starts again in {wait} ms", count=1, total=1)
        self._await(server, now + wait + self._timings.start.ms)

    def lose(self, server: Server) -> None:
        """Make a replica one that never comes back; one that was on its way out is simply gone."""
        if server.phase is Phase.STOPPING:
            self.remove(server)
            return
        server.phase, server.endpoint, server.serves, server.due = Phase.LOST, None, None, None
        server.reason = Reason(code=ReasonCode.LOST, detail=f"it was on {server.node} and is gone", count=1, total=1)
        self.touch(self.by_key[server.key], stored=True)

    def advance(self, now: int) -> None:
        """Carry out all that fell due up to ``now``, in its order."""
        while self._due and self._due[0][0] <= now:
            due, _, server = heapq.heappop(self._due)
            if server.due == due:
                server.due = None
                self._happen(server, due)

    def _happen(self, server: Server, at: int) -> None:
        group = self.by_key[server.key]
        if server.phase is Phase.STOPPING:
            self.remove(server)
        elif server.phase is Phase.SLOT:
            self._place(server, at)
        elif server.phase is Phase.STARTING:
            server.phase, server.process, server.started_at = Phase.RUNNING, server.process + 1, at
            server.endpoint, server.reason = server.endpoint or self._listen(server), None
            server.loading = server.template.model.version
            self._await(server, at + self._timings.load.ms)
        elif server.phase is Phase.RUNNING:
            self._load(server, at)
        self.touch(group, stored=False)

    def _place(self, server: Server, at: int) -> None:
        found = self._find_place(server.template) if self._find_place is not None else None
        if isinstance(found, tuple):
            self.start(server, *found, at)
        elif server.reason != found:
            server.reason = found
            self.touch(self.by_key[server.key], stored=False)

    def _load(self, server: Server, at: int) -> None:
        fault = self._fault(server)
        if fault in (ModelFault.CRASHES, ModelFault.EATS_MEMORY):
            self.crash(server, at, out_of_memory=fault is ModelFault.EATS_MEMORY)
        elif fault is None:
            server.serves, server.loading = server.loading, None
        else:
            self._await(server, at + self._timings.load.ms)

    def _end_process(self, server: Server, how: Exit) -> None:
        server.phase, server.serves, server.loading, server.last_exit = Phase.STARTING, None, None, how
        server.template = self.by_key[server.key].template
        server.restarts += 1

    def _await(self, server: Server, due: int) -> None:
        server.due = due
        heapq.heappush(self._due, (due, self._tick(), server))
        self.touch(self.by_key[server.key], stored=False)

    def _tick(self) -> int:
        self._version += 1
        return self._version
