"""The replicas of one cluster, their records and their shims: the effects behind the backend's calls."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import attrs

from roadstead.model import Template
from roadstead.shim import requests
from roadstead.shim import state as phases
from roadstead.shim.cgroup import ReplicaCgroup, enter, memory_bytes, missing, remove
from roadstead.shim.cgroup_place import CgroupError
from roadstead.shim.files import make_private_folder, write_json, write_whole
from roadstead.shim.identity import open_process
from roadstead.shim.spec import SPEC_FILE, spec_to_json
from roadstead.shim.state import ShimState
from roadstead.shim.tree import MarkedTree, resident_bytes, tree_of
from roadstead.spi.runtime import Launch
from roadstead.spi.shims import Shims, secrets_environment
from roadstead.template import from_canonical
from roadstead.units import Duration
from roadstead.world import GroupKey, Replica
from roadstead_backends.local.addresses import choose_address
from roadstead_backends.local.host import Host
from roadstead_backends.local.logs import tail_of
from roadstead_backends.local.measure import Measurable
from roadstead_backends.local.records import GroupRecord, ReplicaRecord
from roadstead_backends.local.room import Bound
from roadstead_backends.local.store import Store
from roadstead_backends.local.translate import CONFIG_FOLDER
from roadstead_backends.local.view import Seen, incarnation, replica_view

__all__ = ["Keeper"]

_LOG = logging.getLogger(__name__)

_RAW_LINES = 10


@attrs.define(kw_only=True)
class _Kept:
    """One replica: what is on disk about it, and what was last made of it."""

    record: ReplicaRecord
    template: Template
    launch: Launch
    folder: Path
    stopping: bool
    group: ReplicaCgroup | None
    trouble: str | None = None
    seen: Seen | None = None
    view: Replica | None = None


class Keeper:
    """Keeps every bound replica under a running shim until its shim says that it has stopped."""

    def __init__(self, store: Store, host: Host) -> None:
        self._store = store
        self._host = host
        self._shims = Shims(store.root)
        self._kept: dict[str, _Kept] = {}
        self._leftover: list[ReplicaCgroup] = []

    # ---- what there is ----

    def take(self, record: ReplicaRecord, group: GroupRecord) -> None:
        """Begin to keep a replica or slot whose record is on disk."""
        folder = self._store.replica_folder(record.id)
        self._kept[record.id] = _Kept(
            record=record,
            template=from_canonical(group.template),
            launch=group.launch,
            folder=folder,
            stopping=requests.stop_request(str(folder)) is not None,
            group=self._host.group_of(record.id),
        )

    def start_with(self, group: GroupRecord) -> None:
        """Start the group's replicas from now on as its record says; what runs is left as it is."""
        for record in self.of_group(group.key):
            kept = self._kept[record.id]
            self._kept[record.id] = attrs.evolve(kept, template=from_canonical(group.template), launch=group.launch)

    def records(self) -> Iterator[ReplicaRecord]:
        """Yield every replica and slot, ordered by id."""
        for _, kept in sorted(self._kept.items()):
            yield kept.record

    def of_group(self, key: GroupKey) -> list[ReplicaRecord]:
        """Return the replicas and slots of a group, stopping ones included."""
        return [record for record in self.records() if record.group == key]

    def get(self, replica: str) -> ReplicaRecord | None:
        """Return the record of a replica or slot, if it is there."""
        kept = self._kept.get(replica)
        return None if kept is None else kept.record

    def is_stopping(self, replica: str) -> bool:
        """Tell whether a replica was told to stop."""
        return self._kept[replica].stopping

    def bound(self) -> list[Bound]:
        """Return what every replica on this machine holds; one that is stopping still does."""
        return [
            Bound(kept.template.resources, kept.record.devices)
            for kept in self._kept.values()
            if kept.record.node is not None
        ]

    def view(self, replica: str) -> Replica:
        """Return a replica as a snapshot shows it; the same object while nothing about it changes."""
        kept = self._kept[replica]
        seen = Seen(state=self._state(kept), stopping=kept.stopping, node=self._host.name, trouble=kept.trouble)
        if kept.view is None or seen != kept.seen:
            kept.seen = seen
            kept.view = replica_view(kept.record, kept.launch, _with_circumstances(kept, seen))
        return kept.view

    def measurable(self) -> dict[str, Measurable]:
        """Return what to measure, for every replica with a process."""
        return {
            replica: Measurable(group=kept.group, tree=tree_of(replica, kept.group), devices=kept.record.devices)
            for replica, kept in self._kept.items()
            if (state := self._state(kept)) is not None and state.server is not None
        }

    def held_memory(self) -> int:
        """Return the memory that all our replicas hold, in bytes."""
        return sum(
            (memory_bytes(one.group) if one.group is not None else None) or resident_bytes(one.tree)
            for one in self.measurable().values()
        )

    def processes(self) -> Collection[int]:
        """Return the ids of all our replicas' processes."""
        return {pid for one in self.measurable().values() for pid in one.tree.members()}

    # ---- what is done ----

    def tend(self) -> None:
        """Collect what ended, clear away what has stopped, and give a shim to whatever lost its own."""
        self._shims.reap()
        self._leftover = [group for group in self._leftover if not remove(group)]
        for kept in tuple(self._kept.values()):
            if kept.record.node is not None:
                self._tend(kept)

    def bind(self, replica: str, devices: tuple[str, ...]) -> None:
        """Give a slot its place on this machine and start it.

        Raises ``LookupError`` without a free address, ``ValueError`` and ``FileNotFoundError`` for what its group asks
        and this machine does not have.
        """
        kept = self._kept[replica]
        others = [other.record for other in self._kept.values() if other.record.node is not None]
        record = attrs.evolve(
            kept.record,
            node=self._host.name,
            devices=devices,
            host=choose_address(str(self._store.root), replica, {other.host for other in others}),
            cpus=self._host.choose_cpus(kept.template, [other.cpus for other in others]),
        )
        self._lay_out(kept, record)
        # From here on it is bound: whatever is still to be done, tending does, now or after a crash.
        self._store.save_replica(record)
        kept.record, kept.view = record, None
        self._tend(kept)

    def stop(self, replica: str, grace: Duration, reason: str) -> None:
        """Remove a slot, or ask a replica to stop; asking again can only make the grace shorter."""
        kept = self._kept[replica]
        if kept.record.node is None:
            self._clear(kept)
            return
        asked = requests.stop_request(str(kept.folder))
        if asked is None or grace.seconds < asked.grace:
            requests.ask_to_stop(str(kept.folder), requests.StopRequest(grace.seconds, reason))
        kept.stopping = True
        self._tend(kept)
        self._shims.wake(replica)

    def restart(self, replica: str, grace: Duration, reason: str) -> None:
        """Ask for a new run of the server; asking again before it came changes nothing."""
        kept = self._kept[replica]
        state = self._state(kept)
        # The run that is to end names the request, so a repeated request for the same run is the same request.
        name = "first" if state is None else incarnation(state.server) or f"after {state.starts}"
        requests.ask_to_restart(str(kept.folder), requests.RestartRequest(name, grace.seconds, reason))
        self._tend(kept)
        self._shims.wake(replica)

    def lose(self, replica: str) -> bool:
        """End the server with SIGKILL, as a failing machine would; return whether there was one."""
        state = self._state(self._kept[replica])
        pidfd = open_process(state.server) if state is not None and state.server is not None else None
        if pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
        return True

    def lay_out_again(self) -> None:
        """Write every replica's folder anew, where the root was lost."""
        self._shims.make_pipe_again()
        for kept in self._kept.values():
            self._write_again(kept)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` as soon as a shim tells of a change or is lost."""
        self._shims.watch(wake)

    def close(self) -> None:
        """Let go of the shims; they go on."""
        self._shims.close()

    # ---- how it works ----

    def _lay_out(self, kept: _Kept, record: ReplicaRecord) -> None:
        """Write all that a replica's shim and its server need to find."""
        spec, files = self._host.render(record, kept.template, kept.launch, kept.folder, self._shims.wake_pipe)
        config = kept.folder / CONFIG_FOLDER
        make_private_folder(str(config))
        for file in files:
            write_whole(str(config / file.name), file.content, durable=False)
        write_json(str(kept.folder / SPEC_FILE), spec_to_json(spec), durable=True)

    def _write_again(self, kept: _Kept) -> None:
        """Write a replica's folder anew, from what is known of it; its shim adds what it knows."""
        if kept.record.node is not None:
            self._lay_out(kept, kept.record)
        if kept.stopping:
            grace = kept.template.stop.kill_after.seconds
            requests.ask_to_stop(str(kept.folder), requests.StopRequest(grace, "it was told to stop before"))
        self._store.save_replica(kept.record)
        self._shims.wake(kept.record.id)

    def _state(self, kept: _Kept) -> ShimState | None:
        return self._shims.state(kept.record.id, kept.folder) if kept.record.node is not None else None

    def _tend(self, kept: _Kept) -> None:
        state = self._state(kept)
        if state is not None and state.phase == phases.STOPPED and kept.stopping:
            self._clear(kept)
            return
        try:
            if self._shims.is_running(kept.record.id, state):
                self._tend_running(kept, state)
                return
            kept.trouble = self._shims.complaint(kept.record.id, kept.folder)
            if kept.group is not None:
                self._host.limit(kept.group, kept.template)
            references = (secret.ref for secret in kept.template.secrets)
            self._shims.start(kept.record.id, kept.folder, secrets_environment(references))
        except CgroupError as error:
            kept.trouble = str(error)
        except OSError as error:
            kept.trouble = f"the shim cannot be started: {error}"

    def _tend_running(self, kept: _Kept, state: ShimState | None) -> None:
        """Give back what a replica with a running shim needs and somebody took away."""
        self._restore_limits(kept)
        if state is not None:
            kept.trouble = None
        elif self._store.has_replica(kept.record.id):
            # What it wrote was lost, or it is about to write for the first time.
            self._shims.wake(kept.record.id)
        else:
            self._write_again(kept)

    def _restore_limits(self, kept: _Kept) -> None:
        """Make a control group again that somebody removed, and put what runs back into it."""
        if kept.group is None or kept.stopping or missing(kept.group) is None:
            return
        self._host.limit(kept.group, kept.template)
        strays = MarkedTree(kept.record.id).members()
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                enter(kept.group, pid)
        _LOG.warning(
            "the control group of %s was gone; it was made again, with %d processes", kept.record.id, len(strays)
        )

    def _clear(self, kept: _Kept) -> None:
        if kept.group is not None and kept.record.node is not None and not remove(kept.group):
            self._leftover.append(kept.group)
        self._shims.forget(kept.record.id)
        self._store.remove_replica(kept.record.id)
        del self._kept[kept.record.id]


def _with_circumstances(kept: _Kept, seen: Seen) -> Seen:
    """Return what was seen, with what may explain why a server keeps crashing."""
    if seen.state is None or seen.state.crashes == 0:
        return seen
    raw = ""
    with contextlib.suppress(OSError):
        raw = tail_of(kept.folder, _RAW_LINES)
    model = Path(kept.template.model.source, str(kept.template.model.version))
    return attrs.evolve(seen, raw=raw, no_model=None if model.is_dir() else str(model))
