"""The ``simulated`` backend: the contract of :mod:`roadstead.spi.backend` in front of servers that are pretended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from roadstead.capabilities import Capabilities
from roadstead.errors import Conflict, OutOfCapacity, Rejected, Unreachable
from roadstead.model import Scheduling, Template
from roadstead.spi.backend import Expect, GroupOrder
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import GroupKey, Phase, Snapshot, Usage
from roadstead_backends.simulated.faults import CallFault, error_of
from roadstead_backends.simulated.pretence import Call, Pretence
from roadstead_backends.simulated.servers import Server, StoredGroup
from roadstead_backends.simulated.tempers import capabilities

__all__ = ["Call", "SimulatedCluster", "capabilities"]


class SimulatedCluster(Pretence):
    """One cluster in memory, as its backend drives it.

    What it is made from, and what can be done to it besides, is in
    :class:`~roadstead_backends.simulated.pretence.Pretence`.
    """

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
                group = self._create(order, target)
            elif group.condemned:
                raise self._conflict(order.key, "it is being deleted")
            else:
                self._check_lock(group, target)
                self._write(group, order, target)
            self._controller.converge(group, retire, self._clock.now())

    def check_model(self, template: Template) -> None:
        """Return: whatever a simulated model is like shows when it is loaded."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove the group and stop what is left of it."""
        with self._call("delete", str(key)):
            if key not in self._store.by_key:
                return
            group = self._expected(key, expect)
            if group is None or group.condemned:
                return
            group.condemned, group.target = True, 0
            self._store.touch(group, stored=True)
            self._controller.stop_all(group, grace, self._clock.now())

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Put the slot ``replica`` on ``node`` with the devices of these ids, and start it."""
        with self._call("bind", replica):
            if Scheduling.DIRECTED not in self._able.scheduling:
                raise Rejected("this cluster places replicas by itself", cluster=self.name, subject=replica)
            server = self._store.by_id.get(replica)
            if server is not None and (server.node, server.devices) == (node, devices) and server.counts:
                return
            if server is None or server.phase is not Phase.SLOT:
                raise Conflict("it is no slot any more", cluster=self.name, subject=replica, hint="observe again")
            if node not in self._ground.rooms:
                raise OutOfCapacity(f"there is no node {node!r}", cluster=self.name, subject=replica)
            lacks = self._ground.rooms[node].lacks(server.template, devices)
            if lacks:
                raise OutOfCapacity(f"node {node!r} lacks {lacks}", cluster=self.name, subject=replica)
            over = self._ground.over_quota(server.template, self._ground.held)
            if over:
                raise OutOfCapacity(f"over the cluster's own quota of {over}", cluster=self.name, subject=replica)
            self._life.start(server, node, devices, self._clock.now())

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:  # noqa: ARG002  # shown nowhere here
        """End the server's process and start it again on the same node."""
        with self._call("restart", replica):
            if not self._able.restarts:
                raise Rejected("replicas cannot be restarted in place here", cluster=self.name, subject=replica)
            self._life.restart(self._there(replica), grace, self._clock.now())

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:  # noqa: ARG002  # shown nowhere here
        """Stop the replica where it is; another takes its place when the group is next brought to its count."""
        with self._call("evict", replica):
            self._life.stop(self._there(replica), grace, self._clock.now())

    def settle(self, deployment: str, floor: int | None) -> None:
        """Let ``floor`` of a deployment's replicas be disturbed by nobody, or nothing stand for it any more."""
        with self._call("settle", deployment):
            if not self._able.settles:
                raise Rejected("nothing stands for a deployment here", cluster=self.name, subject=deployment)
            if self._standing.owner(deployment) not in (None, self._owner_id):
                raise Conflict("it belongs to others", cluster=self.name, subject=deployment, hint="observe again")
            self._standing.put(deployment, floor, self._owner_id)

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        """Put back what the group was made with; replicas that were made meanwhile stay as they are."""
        with self._call("revert", str(key)):
            group = self._expected(key, expect)
            if group is not None and group.drift:
                group.drift = ()
                self._store.touch(group, stored=True)

    def usage(self) -> Mapping[str, Usage]:
        """Return that every running server uses half of what it may."""
        with self._lock:
            self._catch_up()
            self._reach("")
            running = (one for one in self._store.servers() if one.phase is Phase.RUNNING and not one.silent)
            return {server.id: _half(server) for server in running}

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` when a call or a fault changed something; what time does by itself is seen at the next call."""
        with self._lock:
            self._wakes.append(wake)

    def close(self) -> None:
        """Release the watches; servers go on."""
        with self._lock:
            self._wakes.clear()

    # ---- how it works ----

    @contextmanager
    def _call(self, name: str, subject: str) -> Iterator[None]:
        with self._change():
            self.calls.append(Call(at=self._clock.now(), name=name, subject=subject))
            self._reach(subject)
            fault = self.faults.next_call()
            if fault not in (CallFault.NONE, CallFault.REPLY_LOST):
                raise error_of(fault, self.name, subject)
            yield
            self._controller.settle(self._clock.now())
            if fault is CallFault.REPLY_LOST:
                raise error_of(fault, self.name, subject)
            self._past.add(self._snapshot())
            self._past.forget_older()

    def _reach(self, subject: str) -> None:
        if self.faults.partitioned:
            raise Unreachable("simulated fault: partition", cluster=self.name, subject=subject)

    def _conflict(self, key: GroupKey, why: str) -> Conflict:
        return Conflict(why, cluster=self.name, subject=str(key), hint="observe again")

    def _there(self, replica: str) -> Server:
        server = self._store.by_id.get(replica)
        if server is None:
            raise Conflict("there is no such replica", cluster=self.name, subject=replica, hint="observe again")
        return server

    def _expected(self, key: GroupKey, expect: Expect) -> StoredGroup | None:
        """Return the group as it must be for a change to go on: ours and unchanged, or absent."""
        group = self._store.by_key.get(key)
        if group is not None and group.owner_id != self._owner_id:
            raise self._conflict(key, f"it belongs to {group.owner_id!r}")
        version = None if group is None else str(group.version)
        if version != expect.version:
            raise self._conflict(key, f"its version is {version!r}, not {expect.version!r}")
        return group

    def _create(self, order: GroupOrder, target: int) -> StoredGroup:
        group = StoredGroup(
            key=order.key,
            owner=order.owner,
            owner_id=order.owner_id,
            generation=order.generation,
            target=target,
            template=order.template,
            reloading=order.reloading,
            version=0,
            locked=self._able.locks and target > 0,
        )
        self._store.create(group)
        return group

    def _check_lock(self, group: StoredGroup, target: int) -> None:
        """Raise ``Conflict`` where the group is locked; a smaller count supersedes what only we ask for."""
        if not self._able.locks or target == group.target:
            return
        if group.key in self.faults.locked or (group.locked and target > group.target):
            raise self._conflict(group.key, "it is locked by a change in progress")

    def _write(self, group: StoredGroup, order: GroupOrder, target: int) -> None:
        """Store what an existing group takes over from an order."""
        stored = (group.target, group.owner, group.generation, group.template, group.reloading)
        if self._able.locks and target != group.target:
            group.locked = True
        group.target = target
        if not self._able.metadata_restarts:
            group.owner, group.generation = order.owner, order.generation
        if order.reloading is not None and self._able.reloads:
            group.template, group.reloading = order.template, order.reloading
        if stored != (group.target, group.owner, group.generation, group.template, group.reloading):
            self._store.touch(group, stored=True)


def _half(server: Server) -> Usage:
    limit = server.template.resources
    return Usage(cpu=Cpus(limit.cpu.milli // 2), memory=Memory(limit.memory.bytes // 2))
