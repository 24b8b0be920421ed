"""The ``simulated`` backend: the contract of :mod:`roadstead.spi.backend` in front of servers that are pretended."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import attrs

from roadstead.capabilities import Capabilities, GpuKind, Limit
from roadstead.errors import Conflict, OutOfCapacity, Rejected, Unreachable
from roadstead.model import Scheduling, Template
from roadstead.reasons import Reason
from roadstead.spi.backend import Expect, GroupOrder
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import Endpoint, Group, GroupKey, ModelState, Node, Phase, Snapshot, Usage
from roadstead_backends.simulated.clock import Clock
from roadstead_backends.simulated.faults import CallFault, Faults, error_of
from roadstead_backends.simulated.network import Network
from roadstead_backends.simulated.past import Past
from roadstead_backends.simulated.room import Room, first_fit
from roadstead_backends.simulated.servers import Groups, Server, StoredGroup, Timings

__all__ = ["Call", "SimulatedCluster", "capabilities"]

_REMEMBERED_CALLS = 10_000


@attrs.frozen(kw_only=True)
class Call:
    """One call that could have changed something, for whoever checks what was asked; made even if it then failed."""

    at: int
    name: str
    subject: str


def capabilities(scheduling: Scheduling, *, exact_retire: bool = True, shares: bool = True) -> Capabilities:
    """Return what a simulated cluster can do: everything is enforced by nobody, and a native one heals alone."""
    return Capabilities(
        scheduling=frozenset({scheduling}),
        exact_retire=exact_retire,
        heals_alone=scheduling is Scheduling.NATIVE,
        binds_devices=scheduling is Scheduling.DIRECTED,
        restarts=True,
        reloads=True,
        gpu=frozenset({GpuKind.WHOLE, GpuKind.SHARE}) if shares else frozenset({GpuKind.WHOLE}),
        cpu_limit=Limit.NONE,
        memory_limit=Limit.NONE,
        gpu_limit=Limit.NONE,
        schemes=frozenset({"file", "http", "https", "gs", "s3"}),
        secrets=frozenset({"env", "file"}),
        version="simulated",
        notes=("nothing runs here: servers are pretended",),
    )


class SimulatedCluster:
    """One cluster in memory.

    Time passes when a method is called, up to what ``clock`` says then. The same calls at the same times with the same
    ``seed`` give the same answers. ``faults`` may be changed at any time; :attr:`calls` is what was asked of it.
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
        timings: Timings | None = None,
        reports_ready: bool = False,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.faults = Faults()
        self.calls: deque[Call] = deque(maxlen=_REMEMBERED_CALLS)
        self._owner_id = owner_id
        self._nodes = {node.name: node for node in nodes}
        self._clock = clock
        self._network = network
        self._able = able if able is not None else capabilities(Scheduling.DIRECTED)
        self._timings = timings if timings is not None else Timings()
        self._reports_ready = reports_ready
        self._random = random.Random(f"{name}/{seed}")  # noqa: S311  # repeatable on purpose
        placed = self._first_fit if Scheduling.NATIVE in self._able.scheduling else None
        self._groups = Groups(name, self._timings, self.faults.models, self._listen, placed)
        self._seen: dict[GroupKey, Group] = {}
        self._past = Past()
        self._wakes: list[Callable[[], None]] = []
        self._lock = threading.RLock()

    # ---- the contract ----

    @property
    def capabilities(self) -> Capabilities:
        """What this cluster can do."""
        return self._able

    def observe(self) -> Snapshot:
        """Return what the cluster looks like now, or looked like where an old answer was ordered.

        An old answer is never behind an earlier one, nor behind a change that was acknowledged.
        """
        with self._lock:
            self._catch_up()
            self._reach("")
            self._past.add(self._snapshot())
            return self._past.answer(self.faults.next_age())

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create the group, or converge an existing one to ``target`` replicas."""
        with self._call("apply", str(order.key)):
            group = self._expected(order.key, expect)
            if group is None:
                group = StoredGroup(
                    key=order.key,
                    owner=order.owner,
                    owner_id=order.owner_id,
                    generation=order.generation,
                    target=target,
                    template=order.template,
                    reloading=order.reloading,
                    version=0,
                )
                self._groups.create(group)
            elif group.condemned:
                raise self._conflict(order.key, "it is being deleted")
            stored = (group.target, group.owner, group.generation, group.template, group.reloading)
            group.target, group.owner, group.generation = target, order.owner, order.generation
            if order.reloading is not None:
                group.template, group.reloading = order.template, order.reloading
            if stored != (group.target, group.owner, group.generation, group.template, group.reloading):
                self._groups.touch(group, stored=True)
            self._converge(group, retire)

    def check_model(self, template: Template) -> None:
        """Return: whatever a simulated model is like shows when it is loaded."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove the group and stop what is left of it."""
        with self._call("delete", str(key)):
            if key not in self._groups.by_key:
                return
            group = self._expected(key, expect)
            if group is None or group.condemned:
                return
            group.condemned, group.target = True, 0
            self._groups.touch(group, stored=True)
            for server in list(group.servers.values()):
                self._stop(server, grace)
            self._groups.bury(group)

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Put the slot ``replica`` on ``node`` with the devices of these ids, and start it."""
        with self._call("bind", replica):
            if Scheduling.DIRECTED not in self._able.scheduling:
                raise Rejected("this cluster places replicas by itself", cluster=self.name, subject=replica)
            server = self._groups.find(replica)
            if server is not None and (server.node, server.devices) == (node, devices) and server.counts:
                return
            if server is None or server.phase is not Phase.SLOT:
                raise Conflict("it is no slot any more", cluster=self.name, subject=replica, hint="observe again")
            if node not in self._nodes:
                raise OutOfCapacity(f"there is no node {node!r}", cluster=self.name, subject=replica)
            lacks = Room(self._nodes[node], self._groups.servers()).lacks(server.template, devices)
            if lacks:
                raise OutOfCapacity(f"node {node!r} lacks {lacks}", cluster=self.name, subject=replica)
            self._groups.start(server, node, devices, self._clock.now())

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:  # noqa: ARG002  # shown nowhere here
        """End the server's process and start it again on the same node."""
        with self._call("restart", replica):
            server = self._groups.find(replica)
            if server is None:
                raise Conflict("there is no such replica", cluster=self.name, subject=replica, hint="observe again")
            self._groups.restart(server, grace, self._clock.now())

    def usage(self) -> Mapping[str, Usage]:
        """Return that every running server uses half of what it may."""
        with self._lock:
            self._catch_up()
            self._reach("")
            return {server.id: _half(server) for server in self._groups.servers() if server.phase is Phase.RUNNING}

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when a call or a fault changed something; what time does by itself is seen at the next call."""
        with self._lock:
            self._wakes.append(wake)

    def close(self) -> None:
        """Release the watches; servers go on."""
        with self._lock:
            self._wakes.clear()

    # ---- what a test does to it, or looks at ----

    def truth(self) -> Snapshot:
        """Return what is really there now, whatever the faults in force."""
        with self._lock:
            self._catch_up()
            snapshot = self._snapshot()
            self._past.add(snapshot)
            return snapshot

    def reconnect(self) -> None:
        """Be as for a new process: the next observation is a consistent read, and owes nothing to earlier ones."""
        with self._lock:
            self._past = Past()

    def model_states(self) -> Mapping[str, ModelState]:
        """Return what every running server would say of its model, by replica id."""
        with self._lock:
            self._catch_up()
            return {
                server.id: self._groups.model_state(server, group.template.model.version)
                for group in self._groups.by_key.values()
                for server in group.servers.values()
                if server.phase is Phase.RUNNING
            }

    def crash(self, replica: str, *, out_of_memory: bool = False) -> None:
        """End a server's process as an error of its own, or the kernel, would."""
        with self._change():
            self._groups.crash(self._known(replica), self._clock.now(), out_of_memory=out_of_memory)

    def lose(self, replica: str) -> None:
        """Make a replica vanish for good."""
        with self._change():
            self._groups.lose(self._known(replica))

    def lose_node(self, name: str) -> None:
        """Take a node away, with all that runs there."""
        with self._change():
            del self._nodes[name]
            for server in list(self._groups.servers()):
                if server.node == name and server.holds:
                    self._groups.lose(server)

    def set_node(self, node: Node) -> None:
        """Add a node, or change what one of that name has."""
        with self._change():
            self._nodes[node.name] = node

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
            self._groups.create(stored)
            for _ in range(group.target):
                self._groups.add_slot(stored, None)

    # ---- how it works ----

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._lock:
            self._catch_up()
            yield
            self._settle()
            wakes = list(self._wakes)
        for wake in wakes:
            wake()

    @contextmanager
    def _call(self, name: str, subject: str) -> Iterator[None]:
        with self._change():
            self.calls.append(Call(at=self._clock.now(), name=name, subject=subject))
            self._reach(subject)
            fault = self.faults.next_call()
            if fault not in (CallFault.NONE, CallFault.REPLY_LOST):
                raise error_of(fault, self.name, subject)
            yield
            self._settle()
            if fault is CallFault.REPLY_LOST:
                raise error_of(fault, self.name, subject)
            self._past.add(self._snapshot())
            self._past.forget_older()

    def _reach(self, subject: str) -> None:
        if self.faults.partitioned:
            raise Unreachable("simulated fault: partition", cluster=self.name, subject=subject)

    def _conflict(self, key: GroupKey, why: str) -> Conflict:
        return Conflict(why, cluster=self.name, subject=str(key), hint="observe again")

    def _known(self, replica: str) -> Server:
        server = self._groups.find(replica)
        if server is None:
            raise KeyError(f"there is no replica {replica!r} on {self.name}")
        return server

    def _expected(self, key: GroupKey, expect: Expect) -> StoredGroup | None:
        """Return the group as it must be for a change to go on: ours and unchanged, or absent."""
        group = self._groups.by_key.get(key)
        if group is not None and group.owner_id != self._owner_id:
            raise self._conflict(key, f"it belongs to {group.owner_id!r}")
        version = None if group is None else str(group.version)
        if version != expect.version:
            raise self._conflict(key, f"its version is {version!r}, not {expect.version!r}")
        return group

    def _converge(self, group: StoredGroup, retire: Collection[str]) -> None:
        for server in [one for one in group.servers.values() if one.phase is Phase.LOST]:
            self._groups.remove(server)
        counting = group.counting()
        for server in self._victims(counting, retire)[: max(0, len(counting) - group.target)]:
            self._stop(server, group.template.stop.kill_after)
        for _ in range(group.target - len(counting)):
            self._groups.add_slot(group, self._clock.now())

    def _victims(self, servers: Iterable[Server], retire: Collection[str]) -> list[Server]:
        """Return servers in the order in which they would be given up."""
        named = retire if self._able.exact_retire else ()
        order = {Phase.SLOT: 1, Phase.STARTING: 2, Phase.RUNNING: 3}
        ranked = [
            (0 if server.id in named else order[server.phase], self._random.random(), server) for server in servers
        ]
        return [server for _, _, server in sorted(ranked, key=lambda one: one[:2])]

    def _stop(self, server: Server, grace: Duration) -> None:
        self._groups.stop(server, grace, self._clock.now())

    def _catch_up(self) -> None:
        """Let everything happen that fell due, natively placed slots included."""
        self._groups.advance(self._clock.now())
        self._settle()

    def _settle(self) -> None:
        if self._able.heals_alone:
            for group in list(self._groups.by_key.values()):
                if group.owner_id == self._owner_id and not group.condemned:
                    self._converge(group, ())
        self._groups.retry_slots(self._clock.now())

    def _first_fit(self, template: Template) -> tuple[str, tuple[str, ...]] | Reason:
        return first_fit(self._nodes, list(self._groups.servers()), template)

    def _snapshot(self) -> Snapshot:
        for key in self._groups.take_touched():
            self._seen.pop(key, None)
        ours = [group for group in self._groups.by_key.values() if group.owner_id == self._owner_id]
        return Snapshot(
            capabilities=self._able,
            nodes=tuple(self._nodes.values()),
            groups=tuple(self._look_at(group) for group in ours),
            foreign_owners=frozenset(group.owner_id for group in self._groups.by_key.values()) - {self._owner_id},
        )

    def _look_at(self, group: StoredGroup) -> Group:
        """Return a group as it looks now: the same object while it looks the same."""
        seen = self._seen.get(group.key)
        if seen is None:
            seen = self._seen[group.key] = Group(
                key=group.key,
                owner=group.owner,
                owner_id=group.owner_id,
                generation=group.generation,
                target=group.target,
                template=group.template,
                reloading=group.reloading,
                version=str(group.version),
                replicas=tuple(one.seen(reports_ready=self._reports_ready) for one in group.servers.values()),
            )
        return seen

    def _listen(self, server: Server) -> Endpoint:
        endpoint = self._network.address()
        self._network.listen(endpoint, partial(self._answer, server), partial(self._load, server))
        return endpoint

    def _answer(self, server: Server, version: int) -> ModelState:
        with self._lock:
            self._catch_up()
            return self._groups.model_state(server, version)

    def _load(self, server: Server, version: int) -> None:
        with self._lock:
            self._catch_up()
            self._groups.load(server, version, self._clock.now())


def _half(server: Server) -> Usage:
    limit = server.template.resources
    return Usage(cpu=Cpus(limit.cpu.milli // 2), memory=Memory(limit.memory.bytes // 2))
