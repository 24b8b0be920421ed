"""What really is in a simulated cluster, and what a test or a simulation does to it from outside the contract."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType

import attrs

from roadstead.capabilities import Capabilities
from roadstead.model import Quota, Reach, Scheduling
from roadstead.units import Cpus, Memory
from roadstead.world import Drift, Endpoint, Group, GroupKey, ModelState, Node, Phase, Snapshot
from roadstead_backends.simulated.clock import Clock
from roadstead_backends.simulated.controller import Controller
from roadstead_backends.simulated.faults import Faults, ModelFault
from roadstead_backends.simulated.life import Life
from roadstead_backends.simulated.network import Network
from roadstead_backends.simulated.past import Past
from roadstead_backends.simulated.room import Ground, Room
from roadstead_backends.simulated.servers import Server, StoredGroup
from roadstead_backends.simulated.standing import Standing
from roadstead_backends.simulated.store import Store
from roadstead_backends.simulated.tempers import DIRECTED, NATIVE, Temper, Timings

__all__ = ["Call", "Pretence"]


_REMEMBERED_CALLS = 10_000


@attrs.frozen(kw_only=True)
class Call:
    """One call that could have changed something, for whoever checks what was asked; made even if it then failed."""

    at: int
    name: str
    subject: str


class Pretence:
    """One cluster in memory, as it really is.

    Time passes when a method is called, up to what ``clock`` says then. The same calls at the same times with the same
    ``seed`` give the same answers. ``temper`` is how it behaves; ``able``, ``timings`` and ``reports_ready`` are taken
    instead of what is said there. ``reach`` is whether anybody of ours connects to its
    replicas. ``faults`` may be changed at any time; ``calls`` is what was asked of it.
    """

    def __init__(  # noqa: PLR0913  # all but the first by name
        self,
        name: str,
        *,
        owner_id: str,
        nodes: Iterable[Node],
        clock: Clock,
        network: Network,
        able: Capabilities | None = None,
        temper: Temper | None = None,
        timings: Timings | None = None,
        reports_ready: bool | None = None,
        quota: Quota | None = None,
        seed: int = 0,
        reach: Reach = Reach.DIRECT,
    ) -> None:
        self.name = name
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=_REMEMBERED_CALLS)
        self._owner_id = owner_id
        self._clock = clock
        self._network = network
        self._temper = _temper(temper, able)
        said = self._temper.reports_ready if reports_ready is None else reports_ready
        self._reports_ready = said or (reach is Reach.NONE and self._temper.able.reports_ready)
        self._able = self._temper.able
        chance = random.Random(f"{name}/{seed}")  # noqa: S311  # repeatable on purpose
        self._store = Store(name)
        self._ground = Ground(nodes, quota)
        self._controller = Controller(self._store, self._ground, self._temper, owner_id, chance)
        self._life = self._controller.life = Life(
            store=self._store,
            ground=self._ground,
            temper=self._temper,
            timings=timings if timings is not None else self._temper.timings,
            models=self.faults.models,
            network=network,
            listen=self._listen,
            launch=self._controller.launch,
            chance=chance,
            drains_inside=reach is Reach.NONE or self._temper.serves_on,
        )
        self._seen: dict[GroupKey, Group] = {}
        self._states: dict[str, ModelState] = {}
        self._shown_states: Mapping[str, ModelState] = MappingProxyType(self._states)
        self._spoke: dict[GroupKey, tuple[str, ...]] = {}
        self._unasked: dict[GroupKey, None] = {}
        self._afflicted: dict[str, ModelFault] = {}
        self._groups: tuple[Group, ...] | None = None
        self._standing = Standing()
        self._past = Past()
        self._wakes: list[Callable[[], None]] = []
        self._lock = threading.RLock()

    # ---- what is ----

    def truth(self) -> Snapshot:
        """Return what is really there now, whatever the faults in force."""
        with self._lock:
            self._catch_up()
            snapshot = self._snapshot()
            self._past.add(snapshot)
            return snapshot

    def model_states(self) -> Mapping[str, ModelState]:
        """Return what every running server would say of its model, by replica id; the same object while none changed.

        A server that is asked for another version than its group's would say something else.
        """
        with self._lock:
            self._catch_up()
            self._snapshot()
            if self._afflicted != self.faults.models:
                self._afflicted = dict(self.faults.models)
                self._unasked.update(dict.fromkeys(self._store.by_key))
            told: dict[str, ModelState | None] = {}
            for key in self._unasked:
                told.update(self._told(key))
            self._unasked = {}
            if told:
                self._states = self._states.copy()  # who was shown them keeps what they were
                for name, state in told.items():
                    if state is None:
                        del self._states[name]
                    else:
                        self._states[name] = state
                self._shown_states = MappingProxyType(self._states)
            return self._shown_states

    def running(self, deployment: str) -> tuple[str, ...]:
        """Return the replicas of a deployment whose servers run, the oldest first."""
        with self._lock:
            self._catch_up()
            running = (one for one in self._store.servers() if one.phase is Phase.RUNNING)
            return tuple(one.id for one in running if one.key.deployment == deployment)

    def next_due(self) -> int | None:
        """Return when something happens here next by itself, in milliseconds since the epoch, ``None`` for never."""
        with self._lock:
            self._catch_up()
            return self._life.next_due()

    @property
    def asks_runtime(self) -> bool:
        """Whether readiness is the runtime's word; else the cluster reports it by itself."""
        return not self._reports_ready

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes that there are, shown to anybody or not."""
        return tuple(self._ground.names)

    # ---- what is done to it ----

    def meddle(self, key: GroupKey, drift: Drift) -> None:
        """Let somebody else change one field of what is stored of a group."""
        with self._change():
            group = self._store.by_key.get(key)
            if group is not None:
                group.drift = (*(one for one in group.drift if one.field != drift.field), drift)
                self._store.touch(group, stored=True)

    def scale(self, key: GroupKey, by: str, target: int) -> None:
        """Let somebody else decide how many replicas a group has, from now on; nobody, where ``by`` is empty."""
        with self._change():
            group = self._store.by_key.get(key)
            if group is not None and not group.condemned:
                group.scaled_by, group.target = by, target if by else group.target
                self._store.touch(group, stored=True)
                self._controller.converge(group, (), self._clock.now())

    def unsettle(self, deployment: str, floor: int | None) -> None:
        """Let somebody else change what stands for a deployment as a whole, or remove it."""
        with self._change():
            self._standing.put(deployment, floor, self._owner_id)

    def disturb(self, replica: str) -> bool:
        """Let an administrator ask a replica to go from its node, and return whether that was allowed.

        It is, as long as enough others of its deployment are ready here; of one that is not ready it always is.
        """
        with self._change():
            server = self._known(replica)
            ready = sum(one.ready for one in self._store.servers() if one.key.deployment == server.key.deployment)
            if server.ready and ready <= self._standing.floor(server.key.deployment):
                return False
            self._life.stop(server, server.template.stop.kill_after, self._clock.now())
            return True

    def partition(self, *, parted: bool) -> None:
        """Let the cluster answer nobody, or answer again; its servers go on."""
        self.faults.partitioned = parted

    def reconnect(self) -> None:
        """Be as for a new process: the next observation is a consistent read, and owes nothing to earlier ones."""
        with self._lock:
            self._past = Past()

    def hand_over(self, owner_id: str) -> None:
        """Be driven for another fleet from now on, as by a new process of that one."""
        with self._lock:
            self._owner_id = self._controller.owner_id = owner_id
            for key in self._store.by_key:
                self._look_at(key)
            self._groups = None
            self.reconnect()

    def crash(self, replica: str, *, out_of_memory: bool = False) -> None:
        """End a server's process as an error of its own, or the kernel, would."""
        with self._change():
            self._life.crash(self._known(replica), self._clock.now(), out_of_memory=out_of_memory)

    def lose(self, replica: str) -> None:
        """Make a replica vanish for good."""
        with self._change():
            self._life.lose(self._known(replica))

    def afflict(self, source: str, fault: ModelFault | None) -> None:
        """Let a model do something to its servers from now on, those that serve it included, or end that."""
        with self._change():
            self.faults.models.pop(source, None)
            if fault is not None:
                self.faults.models[source] = fault
            for server in list(self._store.servers()):
                self._life.afflict(server, self._clock.now())

    def lose_node(self, name: str) -> None:
        """Take a node away for good, with all that runs there."""
        with self._change():
            room = self._room(name)
            self._ground.drop(name)
            for server in list(room.servers.values()):
                self._life.lose(server)

    def silence_node(self, name: str) -> None:
        """Let a node lose its power, until it returns; the cluster finds out in its own time."""
        with self._change():
            room = self._room(name)
            if room.down_since is None:
                self._life.node_down(room, self._clock.now())

    def part_node(self, name: str) -> None:
        """Let nobody reach a node, until it returns: what runs there runs on, and the cluster gives it up in time."""
        with self._change():
            room = self._room(name)
            if room.down_since is None:
                self._life.node_down(room, self._clock.now(), parted=True)

    def return_node(self, name: str) -> None:
        """Let a silent node start again, or be reached again."""
        with self._change():
            room = self._room(name)
            if room.down_since is not None:
                self._life.node_up(room, self._clock.now())

    def set_node(self, node: Node) -> None:
        """Add a node, or change what one of that name has."""
        with self._change():
            self._ground.put(node)

    def use_foreign(self, name: str, *, cpu: Cpus, memory: Memory, gpu_memory: Memory = Memory(0)) -> None:
        """Let others than we hold so much of a node from now on, ``gpu_memory`` of each of its devices."""
        with self._change():
            node = self._room(name).node
            devices = tuple(attrs.evolve(one, foreign=gpu_memory) for one in node.devices)
            self._ground.put(attrs.evolve(node, foreign_cpu=cpu, foreign_memory=memory, devices=devices))

    def limit(self, quota: Quota | None) -> None:
        """Give us another quota in the cluster itself; what is held stays."""
        with self._change():
            self._ground.quota = quota
            self._ground.changes += 1

    def plant(self, group: Group) -> None:
        """Put a group there that somebody else made; its replicas are slots that nobody places."""
        with self._change():
            stored = StoredGroup(
                key=group.key,
                owner=group.owner,
                owner_id=group.owner_id,
                generation=group.generation,
                target=group.target,
                template=group.template,
                version=0,
            )
            self._store.create(stored)
            for _ in range(group.target):
                self._store.add(stored)

    def _known(self, replica: str) -> Server:
        server = self._store.by_id.get(replica)
        if server is None:
            raise KeyError(f"there is no replica {replica!r} on {self.name}")
        return server

    def _room(self, name: str) -> Room:
        room = self._ground.rooms.get(name)
        if room is None:
            raise KeyError(f"there is no node {name!r} on {self.name}")
        return room

    # ---- how it works ----

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock:
            self._catch_up()
            yield
            self._controller.settle(self._clock.now())
            wakes = list(self._wakes)
        for wake in wakes:
            wake()

    def _catch_up(self) -> None:
        """Let everything happen that fell due, each at its own moment, what the cluster does about it included."""
        now = self._clock.now()
        due = self._life.next_due()
        while due is not None and due <= now:
            self._life.advance(due)
            self._controller.settle(due)
            due = self._life.next_due()

    def _snapshot(self) -> Snapshot:
        touched = self._store.take_touched()
        if touched or self._groups is None:
            self._unasked.update(dict.fromkeys(touched))
            for key in touched:
                self._look_at(key)
            self._groups = tuple(self._seen.values())
        others = self._store.by_key.values() if self._is_shared() else ()
        owners = frozenset(group.owner_id for group in others)
        return Snapshot(
            capabilities=self._able,
            nodes=self._ground.nodes() if self._temper.shows_nodes else (),
            groups=self._groups,
            foreign_owners=(owners | self._standing.owners()) - {self._owner_id},
            quota=self._ground.quota,
            settled=self._standing.shown_to(self._owner_id),
        )

    def _is_shared(self) -> bool:
        return len(self._seen) != len(self._store.by_key)

    def _look_at(self, key: GroupKey) -> None:
        """Keep how a group looks now; it is the same object while it looks the same, and one of ours."""
        group = self._store.by_key.get(key)
        if group is None or group.owner_id != self._owner_id:
            self._seen.pop(key, None)
            return
        self._seen[key] = Group(
            key=group.key,
            owner=group.owner,
            owner_id=group.owner_id,
            generation=group.generation,
            target=group.target,
            template=group.template,
            reloading=group.reloading,
            version=str(group.version),
            replicas=tuple(one.seen(reports_ready=self._reports_ready) for one in group.servers.values()),
            reason=group.reason,
            drift=group.drift,
            scaled_by=group.scaled_by,
            serves_on=self._temper.serves_on,
        )

    def _told(self, key: GroupKey) -> Mapping[str, ModelState | None]:
        """Return which servers of one group say something else than before, ``None`` of those that say nothing more."""
        group = self._store.by_key.get(key)
        servers = group.servers.values() if group is not None else ()
        running = {one.id: one for one in servers if one.phase is Phase.RUNNING}
        told: dict[str, ModelState | None] = {name: None for name in self._spoke.pop(key, ()) if name not in running}
        if group is not None:
            self._spoke[key] = tuple(running)
            said = {name: self._life.model_state(one, group.template.model.version) for name, one in running.items()}
            told.update({name: state for name, state in said.items() if self._states.get(name) != state})
        return told

    def _listen(self, server: Server) -> Endpoint:
        endpoint = self._network.address()
        self._network.listen(endpoint, partial(self._answer, server), partial(self._load, server))
        return endpoint

    def _answer(self, server: Server, version: int) -> ModelState:
        with self._lock:
            self._catch_up()
            return self._life.model_state(server, version)

    def _load(self, server: Server, version: int) -> None:
        with self._lock:
            self._catch_up()
            self._life.load(server, version, self._clock.now())


def _temper(given: Temper | None, able: Capabilities | None) -> Temper:
    """Return how a cluster behaves of which these things are said."""
    if given is None:
        native = able is not None and Scheduling.NATIVE in able.scheduling
        given = NATIVE if native else DIRECTED
    return given if able is None else attrs.evolve(given, able=able)
