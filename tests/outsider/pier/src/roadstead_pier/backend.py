"""The backend: a directory of groups, each with its processes.

It places by itself, as there is one node only, and says that it does not heal: a process that ended is lost, and the
next ``apply`` replaces it. A daemon that is killed in the moment between a process's start and the writing of its
record leaves a process that nobody knows; the ``local`` backend has a shim for every server, so that this cannot be.
"""

from __future__ import annotations

import platform
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from roadstead.spi.backend import BackendContext, Expect, GroupOrder
from roadstead.spi.values import (
    BackendError,
    Capabilities,
    Conflict,
    Duration,
    Group,
    GroupKey,
    Node,
    Rejected,
    Retryable,
    Scheduling,
    Snapshot,
    Unreachable,
)
from roadstead_pier import processes
from roadstead_pier.options import PierOptions
from roadstead_pier.records import Berth, Record, read, shown, write


class Pier:
    """Drives one directory."""

    def __init__(self, context: BackendContext) -> None:
        if not isinstance(context.options, PierOptions):
            raise Rejected(f"{context.options!r} are not the options of a pier", cluster=context.cluster)
        self._cluster = context.cluster
        self._owner_id = context.owner_id
        self._folder = context.root
        self._folder.mkdir(parents=True, exist_ok=True)
        self._node = Node(name=platform.node(), cpu=context.options.cpu, memory=context.options.memory)
        self._shown: dict[GroupKey, Group] = {}

    @property
    def capabilities(self) -> Capabilities:
        """What a pier can do."""
        return Capabilities(
            scheduling=frozenset({Scheduling.NATIVE}),
            exact_retire=True,
            heals_alone=False,
            version="1.0",
            notes=("nothing is limited here: requests for cpu and memory are only counted",),
        )

    def observe(self) -> Snapshot:
        """Return what is there now."""
        with self._errors("", Unreachable):
            records = self._tended()
        self._shown = {record.key: self._show(record) for record in records.values() if self._is_ours(record)}
        return Snapshot(
            capabilities=self.capabilities,
            nodes=(self._node,),
            groups=tuple(self._shown.values()),
            foreign_owners=frozenset(record.owner_id for record in records.values() if not self._is_ours(record)),
        )

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create the group, or converge an existing one to ``target`` replicas."""
        with self._errors(str(order.key), Retryable):
            known = self._expected(self._tended(), order.key, expect)
            if known is not None and known.condemned:
                raise Conflict("it is being deleted", cluster=self._cluster, subject=str(order.key))
            record = known or _created(order)
            wanted = attrs.evolve(record, target=target, owner=order.owner, generation=order.generation)
            wanted = attrs.evolve(wanted, berths=tuple(self._converged(wanted, retire)))
            if wanted != known:
                write(self._folder, attrs.evolve(wanted, serial=record.serial + 1))

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove the group and stop what is left of it."""
        with self._errors(str(key), Retryable):
            records = self._tended()
            if key not in records or records[key].condemned:
                return
            record = self._expected(records, key, expect)
            assert record is not None, "it exists, or its absence was expected in vain"
            berths = tuple(processes.stop(one, grace) if one.counts else one for one in record.berths)
            write(
                self._folder,
                attrs.evolve(record, target=0, condemned=True, berths=berths, serial=record.serial + 1),
            )

    def close(self) -> None:
        """Hold nothing; the processes run on."""

    # ---- how it works ----

    def _tended(self) -> dict[GroupKey, Record]:
        """Return every group, after what happened to ours since the last look was written down."""
        records = {record.key: record for record in read(self._folder)}
        for record in [one for one in records.values() if self._is_ours(one)]:
            processes.reap(record.berths)
            berths = tuple(_tended_berths(record))
            if berths != record.berths or record.condemned:
                tended = attrs.evolve(record, berths=berths, serial=record.serial + (berths != record.berths))
                write(self._folder, tended)
                records[record.key] = tended
                if tended.condemned and not berths:
                    del records[record.key]
        return records

    def _converged(self, record: Record, retire: tuple[str, ...]) -> Iterator[Berth]:
        """Yield the group's processes, as many as it was asked for; who is named in ``retire`` goes first."""
        counting = sorted((one for one in record.berths if one.counts), key=lambda one: one.id not in retire)
        going = {one.id for one in counting[: max(0, len(counting) - record.target)]}
        for berth in record.berths:
            if not berth.lost:
                yield processes.stop(berth, record.template.stop.kill_after) if berth.id in going else berth
        for _ in range(record.target - len(counting)):
            yield processes.start(record, self._folder)

    def _expected(self, records: dict[GroupKey, Record], key: GroupKey, expect: Expect) -> Record | None:
        """Return the group as it must be for a change to go on: ours and unchanged, or absent."""
        record = records.get(key)
        if record is not None and not self._is_ours(record):
            raise Conflict(f"it belongs to {record.owner_id!r}", cluster=self._cluster, subject=str(key))
        version = record.version if record is not None else None
        if version != expect.version:
            raise Conflict(
                f"its version is {version!r}, not {expect.version!r}", cluster=self._cluster, subject=str(key)
            )
        return record

    def _is_ours(self, record: Record) -> bool:
        return record.owner_id == self._owner_id

    def _show(self, record: Record) -> Group:
        """Return a group as it looks now: the same object while it looks the same."""
        group = Group(
            key=record.key,
            owner=record.owner,
            owner_id=record.owner_id,
            generation=record.generation,
            target=record.target,
            template=record.template,
            version=record.version,
            replicas=tuple(shown(one, record.launch, self._node.name) for one in record.berths),
        )
        before = self._shown.get(record.key)
        return before if before == group else group

    @contextmanager
    def _errors(self, subject: str, kind: type[BackendError]) -> Iterator[None]:
        """Tell in the contract's words what the machine refuses."""
        try:
            yield
        except FileNotFoundError as error:
            raise Rejected(str(error), cluster=self._cluster, subject=subject) from error
        except OSError as error:
            raise kind(str(error), cluster=self._cluster, subject=subject) from error


def _created(order: GroupOrder) -> Record:
    return Record(
        key=order.key,
        owner=order.owner,
        owner_id=order.owner_id,
        generation=order.generation,
        target=0,
        template=order.template,
        launch=order.launch,
        birth=secrets.token_hex(4),
    )


def _tended_berths(record: Record) -> Iterator[Berth]:
    """Yield the processes that are still to be seen: who stopped is gone, who ended unasked is lost."""
    for berth in record.berths:
        if berth.alive:
            if berth.kill_at is not None and berth.kill_at <= processes.now():
                processes.kill(berth)
            yield berth
        elif berth.kill_at is None and not record.condemned:
            yield attrs.evolve(berth, lost=True)
