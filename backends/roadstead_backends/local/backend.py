"""The ``local`` backend: groups and replicas as files below the cluster's root, servers under shims on this machine.

The records in the root are the truth, and only the holder of the root's lock writes them. What runs is the shims' word.
Every public method begins by tending: what ended is collected, what lost its shim gets a new one, what has stopped is
cleared away. So a daemon that was away for a while catches up at its first call.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping

import attrs

from roadstead.capabilities import Capabilities
from roadstead.errors import Conflict, Forbidden, OutOfCapacity, Rejected, Retryable, StateError, Unreachable
from roadstead.model import Template
from roadstead.shim.cgroup_place import remove_place
from roadstead.spi.backend import BackendContext, Expect, GroupOrder
from roadstead.spi.digest import DigestError
from roadstead.template import canonical, from_canonical
from roadstead.units import Duration
from roadstead.world import Group, GroupKey, Node, Phase, Replica, Snapshot, Usage
from roadstead_backends.local.devices import DeviceProvider
from roadstead_backends.local.host import Host
from roadstead_backends.local.keeper import Keeper
from roadstead_backends.local.logs import read_log
from roadstead_backends.local.measure import Meter
from roadstead_backends.local.options import LocalOptions
from roadstead_backends.local.records import GroupRecord, ReplicaRecord
from roadstead_backends.local.room import Bound, lacks
from roadstead_backends.local.root import Root

__all__ = ["LocalBackend"]

_LOG = logging.getLogger(__name__)

_RETRY_MS = 5_000
_ORDER_OF_GIVING_UP = {Phase.SLOT: 1, Phase.STARTING: 2, Phase.RUNNING: 3}


class LocalBackend:
    """Drives this machine. Made by :func:`roadstead_backends.local.connect.connect`."""

    def __init__(
        self,
        context: BackendContext,
        options: LocalOptions,
        *,
        root: Root,
        devices: DeviceProvider,
    ) -> None:
        self._cluster = context.cluster
        self._fleet = context.fleet
        self._owner_id = context.owner_id
        self._root = root
        self._store = root.store
        self._devices = devices
        self._guard = threading.RLock()
        self._groups: dict[GroupKey, GroupRecord] = {}
        self._foreign: dict[GroupKey, str] = {}
        self._seen: dict[GroupKey, Group] = {}
        self._host = Host(options, root.store.root, root.place, devices)
        self._keeper = Keeper(root.store, self._host)
        self._meter = Meter(devices)
        self._load()

    def _load(self) -> None:
        found = tuple(self._store.groups())
        self._groups = {record.key: record for record in found if record.owner_id == self._owner_id}
        self._foreign = {record.key: record.owner_id for record in found if record.key not in self._groups}
        for replica in self._store.replicas():
            group = self._groups.get(replica.group)
            if group is not None:
                self._keeper.take(replica, group)

    # ---- the contract ----

    @property
    def capabilities(self) -> Capabilities:
        """What this machine can do."""
        return self._host.capabilities

    def observe(self) -> Snapshot:
        """Return what runs here now."""
        with self._guard, self._seen_or_unreachable():
            self._tend()
            by_group: dict[GroupKey, list[Replica]] = {key: [] for key in self._groups}
            for record in self._keeper.records():
                by_group[record.group].append(self._keeper.view(record.id))
            return Snapshot(
                capabilities=self.capabilities,
                nodes=(self._node(),),
                groups=tuple(
                    self._group_view(record, tuple(by_group[key])) for key, record in sorted(self._groups.items())
                ),
                foreign_owners=frozenset(self._foreign.values()),
            )

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create the group, or converge an existing one to ``target`` replicas."""
        with self._guard, self._translated(str(order.key)):
            self._tend()
            known = self._expected(order.key, expect)
            if known is not None and known.condemned:
                raise self._conflict(order.key, "it is being deleted")
            wanted = self._ordered(known, order, target)
            if wanted != known:
                self._save(wanted)
            self._converge(wanted, retire)

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove the group and stop what is left of it."""
        with self._guard, self._translated(str(key)):
            self._tend()
            known = self._groups.get(key)
            if known is None:
                return
            if not known.condemned:
                self._expected(key, expect)
                self._save(attrs.evolve(known, condemned=True, target=0, grace=grace, serial=known.serial + 1))
            for record in self._keeper.of_group(key):
                self._keeper.stop(record.id, grace, f"group {key} is deleted")
            self._bury()

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Put the slot ``replica`` on this machine with the devices of these ids, and start it."""
        with self._guard, self._translated(replica):
            self._tend()
            record = self._keeper.get(replica)
            if record is None:
                raise Conflict("there is no such slot", cluster=self._cluster, subject=replica, hint="observe again")
            if record.node is not None:
                if (node, devices) != (self._host.name, record.devices) or self._keeper.is_stopping(replica):
                    raise Conflict(
                        "it is bound elsewhere", cluster=self._cluster, subject=replica, hint="observe again"
                    )
                return
            self._bind(record, node, devices)

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Ask the server to stop, kill it after ``grace``, and start it again."""
        with self._guard, self._translated(replica):
            self._tend()
            record = self._keeper.get(replica)
            if record is None or record.node is None or self._keeper.is_stopping(replica):
                raise Conflict("it does not run here", cluster=self._cluster, subject=replica, hint="observe again")
            self._keeper.restart(replica, grace, reason)

    def lose(self, replica: str) -> None:
        """End the replica's server without notice; its shim finds out and starts it again."""
        with self._guard, self._translated(replica):
            if self._keeper.get(replica) is None or not self._keeper.lose(replica):
                raise Conflict("it does not run here", cluster=self._cluster, subject=replica, hint="observe again")

    def check_model(self, template: Template) -> None:
        """Return if the model's version is there and is what its digest says; reads files and nothing of ours."""
        model = template.model
        try:
            self._host.check_model(model)
        except (DigestError, ValueError, OSError) as error:
            raise Rejected(
                f"version {model.version} of {model.name} cannot be loaded: {error}",
                cluster=self._cluster,
                hint=f"see what is in {model.source}, and `roadstead model digest`",
            ) from error

    def usage(self) -> Mapping[str, Usage]:
        """Return the use of every replica that can be measured now; of the processor, since the last call."""
        with self._guard:
            return self._meter.measure(self._keeper.measurable())

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` as soon as a shim tells of a change or is lost, until `close`."""
        self._keeper.watch(wake)

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Return an iterator over a replica's output, oldest first, in chunks of whole lines."""
        with self._guard:
            if self._keeper.get(replica) is None:
                raise Rejected(
                    "there is no such replica", cluster=self._cluster, subject=replica, hint="see `roadstead status`"
                )
        return read_log(self._store.replica_folder(replica), tail=tail, follow=follow)

    def close(self) -> None:
        """Let go of locks and descriptors; replicas go on serving."""
        if not self._keeper.bound():
            remove_place(self._root.place)  # the next daemon makes it again where it then is
        self._keeper.close()
        self._devices.close()
        self._root.release()

    # ---- how it works ----

    def _tend(self) -> None:
        if not self._root.is_in_place():
            self._write_again()
        self._keeper.tend()
        self._bury()

    def _write_again(self) -> None:
        """Write everything anew that somebody removed under us: what runs has not gone with its records."""
        with self._root.made_again():
            for record in self._groups.values():
                self._store.save_group(record)
            self._keeper.lay_out_again()
        _LOG.warning("%s was removed while the daemon ran; it was written again", self._store.root)

    def _bury(self) -> None:
        """Remove condemned groups whose last replica is gone."""
        for key, record in tuple(self._groups.items()):
            if record.condemned and not self._keeper.of_group(key):
                self._store.remove_group(record)
                del self._groups[key]
                self._seen.pop(key, None)

    def _save(self, record: GroupRecord) -> None:
        self._store.save_group(record)
        before = self._groups.get(record.key)
        self._groups[record.key] = record
        if before is not None and before.launch != record.launch:
            self._keeper.start_with(record)

    def _ordered(self, known: GroupRecord | None, order: GroupOrder, target: int) -> GroupRecord:
        """Return the record as ordered: an existing group keeps its template and rendering."""
        if known is None:
            return GroupRecord(
                key=order.key,
                fleet=order.fleet,
                owner=order.owner,
                owner_id=order.owner_id,
                generation=order.generation,
                target=target,
                template=canonical(order.template),
                launch=order.launch,
                reloading=order.reloading,
                birth=secrets.token_hex(4),
            )
        wanted = attrs.evolve(known, owner=order.owner, generation=order.generation, target=target)
        if order.reloading is not None:
            wanted = attrs.evolve(
                wanted, template=canonical(order.template), launch=order.launch, reloading=order.reloading
            )
        return known if wanted == known else attrs.evolve(wanted, serial=known.serial + 1)

    def _converge(self, group: GroupRecord, retire: tuple[str, ...]) -> None:
        counting = [record for record in self._keeper.of_group(group.key) if not self._keeper.is_stopping(record.id)]
        grace = from_canonical(group.template).stop.kill_after
        for record in self._by_giving_up(counting, retire)[: max(0, len(counting) - group.target)]:
            self._keeper.stop(record.id, grace, f"group {group.key} is to have {group.target} replicas")
        for _ in range(group.target - len(counting)):
            self._keeper.take(self._store.add_slot(group.key), group)

    def _by_giving_up(self, records: list[ReplicaRecord], retire: tuple[str, ...]) -> list[ReplicaRecord]:
        def rank(record: ReplicaRecord) -> tuple[int, int, str]:
            view = self._keeper.view(record.id)
            order = 0 if record.id in retire else _ORDER_OF_GIVING_UP.get(view.phase, 3)
            return order, -(view.started_at or 0), record.id  # of equals the youngest first

        return sorted(records, key=rank)

    def _bind(self, record: ReplicaRecord, node: str, devices: tuple[str, ...]) -> None:
        if node != self._host.name:
            raise OutOfCapacity(
                f"there is no node {node!r}",
                cluster=self._cluster,
                subject=record.id,
                hint=f"this is {self._host.name!r}",
            )
        group = self._groups[record.group]
        template = from_canonical(group.template)
        missing = lacks(self._node(), self._keeper.bound(), Bound(template.resources, devices))
        if missing is not None:
            raise OutOfCapacity(missing, cluster=self._cluster, subject=record.id)
        try:
            self._keeper.bind(record.id, devices)
        except (ValueError, FileNotFoundError) as error:
            raise Rejected(str(error), cluster=self._cluster, subject=record.id, hint="see the fleet file") from error
        except LookupError as error:
            raise OutOfCapacity(str(error), cluster=self._cluster, subject=record.id) from error

    def _node(self) -> Node:
        return self._host.node(self._keeper.held_memory, self._keeper.processes)

    def _group_view(self, record: GroupRecord, replicas: tuple[Replica, ...]) -> Group:
        known = self._seen.get(record.key)
        version = self._version(record)
        if known is not None and known.version == version and _same(known.replicas, replicas):
            return known
        group = Group(
            key=record.key,
            owner=record.owner,
            owner_id=record.owner_id,
            generation=record.generation,
            target=record.target,
            template=from_canonical(record.template),
            reloading=record.reloading,
            version=version,
            replicas=replicas,
        )
        self._seen[record.key] = group
        return group

    def _version(self, record: GroupRecord) -> str:
        """Return the token: which group of this key it is, its record's serial, and which replicas it has."""
        members = " ".join(replica.id for replica in self._keeper.of_group(record.key))
        return f"{record.birth}.{record.serial}.{zlib.crc32(members.encode()):08x}"

    def _expected(self, key: GroupKey, expect: Expect) -> GroupRecord | None:
        if key in self._foreign:
            raise self._conflict(key, f"it belongs to {self._foreign[key]!r}")
        known = self._groups.get(key)
        version = None if known is None else self._version(known)
        if version != expect.version:
            raise self._conflict(key, f"its version is {version!r}, not {expect.version!r}")
        return known

    @contextlib.contextmanager
    def _seen_or_unreachable(self) -> Iterator[None]:
        """Turn what keeps us from looking into the core's errors: half of the truth is none."""
        try:
            yield
        except PermissionError as error:
            raise Forbidden(
                f"{error.filename}: {error.strerror}", cluster=self._cluster, hint="see who owns it"
            ) from error
        except OSError as error:
            raise Unreachable(f"{error.filename}: {error.strerror}", cluster=self._cluster) from error
        except StateError as error:
            raise Unreachable(str(error), cluster=self._cluster, hint=error.hint) from error

    @contextlib.contextmanager
    def _translated(self, subject: str) -> Iterator[None]:
        """Turn what the disk refuses into the core's errors."""
        try:
            yield
        except PermissionError as error:
            raise Forbidden(
                f"{error.filename}: {error.strerror}", cluster=self._cluster, subject=subject, hint="see who owns it"
            ) from error
        except OSError as error:
            hint = "free some room" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
            raise Retryable(
                f"{error.filename}: {error.strerror}",
                cluster=self._cluster,
                subject=subject,
                hint=hint,
                after_ms=_RETRY_MS,
            ) from error
        except StateError as error:
            raise Unreachable(str(error), cluster=self._cluster, subject=subject, hint=error.hint) from error

    def _conflict(self, key: GroupKey, why: str) -> Conflict:
        return Conflict(why, cluster=self._cluster, subject=str(key), hint="observe again")


def _same(before: tuple[Replica, ...], after: tuple[Replica, ...]) -> bool:
    """Tell whether two tuples hold the very same objects; the keeper makes a new one only for a change."""
    return len(before) == len(after) and all(one is other for one, other in zip(before, after, strict=True))
