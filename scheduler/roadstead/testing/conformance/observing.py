"""What an observation shows, and who else can be asked about it."""

from __future__ import annotations

import threading

from roadstead.errors import Rejected
from roadstead.model import Scheduling
from roadstead.spi.backend import (
    Binds,
    ChecksModels,
    Evicts,
    KeepsLogs,
    MeasuresUsage,
    Restarts,
    Reverts,
    Settles,
    Watches,
)
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import an_order, apply, create, group_of, growing, raises, run
from roadstead.testing.subject import Reopens, Subject
from roadstead.world import Phase, Snapshot

__all__ = ["Observing"]


class Observing:
    """What an observation shows, and who else can be asked about it."""

    def test_it_has_the_methods_for_what_it_says_it_can(self, subject: Subject) -> None:
        """Capabilities are a promise: the planner asks for nothing else, and for all of this."""
        backend, able = subject.backend, subject.backend.capabilities
        for said, protocol in (
            (Scheduling.DIRECTED in able.scheduling, Binds),
            (able.restarts, Restarts),
            (able.reloads, ChecksModels),
            (able.evicts, Evicts),
            (able.reverts, Reverts),
            (able.settles, Settles),
        ):
            assert not said or isinstance(backend, protocol), f"it lacks the methods of {protocol.__name__}"
        assert able.scheduling, "a cluster is native, directed or both"

    def test_a_snapshot_carries_the_capabilities_of_now(self, subject: Subject) -> None:
        """Whoever decides about a snapshot needs no second question."""
        assert subject.backend.capabilities == subject.backend.observe().capabilities

    def test_what_did_not_change_is_the_same_object(self, subject: Subject) -> None:
        """An unchanged group costs whoever reads it nothing."""
        order = an_order(subject)
        run(subject, order, 1)
        before = group_of(subject, order.key)
        create(subject, an_order(subject, "other"), 1)
        assert before is group_of(subject, order.key)

    def test_every_replica_has_an_id_of_its_own(self, subject: Subject) -> None:
        """Over all groups of the cluster."""
        create(subject, an_order(subject), 2)
        create(subject, an_order(subject, "other"), 2)
        ids = [one.id for group in subject.backend.observe().groups for one in group.replicas]
        assert 4 == len(set(ids))
        assert "" not in ids

    def test_a_replica_has_what_belongs_to_its_phase(self, subject: Subject) -> None:
        """A slot has no node; from then on it has one that is observed, and what runs has a process."""
        order = an_order(subject)
        create(subject, order, 1)
        _check_phases(subject.backend.observe())
        run(subject, an_order(subject, "other"), 1)
        seen = subject.backend.observe()
        _check_phases(seen)
        assert Phase.RUNNING in {one.phase for group in seen.groups for one in group.replicas}

    def test_a_running_replica_has_an_endpoint_of_its_own(self, subject: Subject) -> None:
        """No two replicas answer at one address; one that nobody can reach from here has none."""
        endpoints = [one.endpoint for one in run(subject, an_order(subject), 3) if one.endpoint is not None]
        assert len(endpoints) == len(set(endpoints))

    def test_node_names_are_unique(self, subject: Subject) -> None:
        """A replica is placed by name."""
        nodes = subject.backend.observe().nodes
        assert len(nodes) == len({node.name for node in nodes})
        if Scheduling.DIRECTED in subject.backend.capabilities.scheduling:
            assert nodes, "a directed cluster shows where we may place"

    def test_what_our_replicas_hold_is_not_foreign(self, subject: Subject) -> None:
        """What they were given is counted by us; counted as foreign too, it would be counted twice."""
        before = {node.name: node.foreign_cpu for node in subject.backend.observe().nodes}
        run(subject, an_order(subject), 2)
        assert before == {node.name: node.foreign_cpu for node in subject.backend.observe().nodes}

    @needs(Ability.USAGE)
    def test_usage_is_of_running_replicas_only(self, subject: Subject) -> None:
        """What does not run uses nothing that could be measured, which is not the same as 0."""
        backend = subject.backend
        assert isinstance(backend, MeasuresUsage)
        order, waiting = an_order(subject), an_order(subject, "other", cpu=10**9)
        running = {one.id for one in run(subject, order, 1)}
        create(subject, waiting, 1)
        assert running == set(backend.usage())

    @needs(Ability.WATCHES)
    def test_whoever_watches_is_woken_by_a_change(self, subject: Subject) -> None:
        """A wake costs an observation and saves a turn's wait."""
        backend, woken = subject.backend, threading.Event()
        assert isinstance(backend, Watches)
        backend.watch(woken.set)
        run(subject, an_order(subject), 1)
        subject.until(lambda _: woken.is_set())

    @needs(Ability.LOGS)
    def test_what_a_server_printed_can_be_read_in_whole_lines(self, subject: Subject) -> None:
        """All that is there, and no more than was asked for from the end of it."""
        backend = subject.backend
        assert isinstance(backend, KeepsLogs)
        (replica,) = run(subject, an_order(subject), 1)
        subject.until(lambda _: any(backend.logs(replica.id, tail=None, follow=False)))
        chunks = list(backend.logs(replica.id, tail=None, follow=False))
        assert all(chunk.endswith(b"\n") for chunk in chunks)
        last = b"".join(chunks).splitlines(keepends=True)[-1]
        assert last == b"".join(backend.logs(replica.id, tail=1, follow=False))

    @needs(Ability.LOGS)
    def test_an_unknown_replica_has_no_logs(self, subject: Subject) -> None:
        """Nothing printed and nobody there are two answers."""
        backend = subject.backend
        assert isinstance(backend, KeepsLogs)
        with raises(subject, Rejected, "nobody"):
            list(backend.logs("nobody", tail=None, follow=False))

    # ---- the next daemon ----

    @needs(Ability.REOPENS)
    def test_the_next_daemon_finds_everything_as_it_was(self, subject: Subject) -> None:
        """Closing stops nothing: groups, versions, and processes are the same ones."""
        assert isinstance(subject, Reopens)
        order = an_order(subject)
        run(subject, order, 2)
        before = group_of(subject, order.key)
        subject.reopen()
        after = group_of(subject, order.key)
        assert before == after

    @needs(Ability.REOPENS)
    def test_the_next_daemon_can_change_what_it_finds(self, subject: Subject) -> None:
        """A group is not bound to the object that made it, nor is its version."""
        assert isinstance(subject, Reopens)
        order = an_order(subject)
        run(subject, order, 2)
        subject.reopen()
        apply(subject, order, 1)
        assert 1 == growing(subject, order.key, 1).target


def _check_phases(seen: Snapshot) -> None:
    for replica in (one for group in seen.groups for one in group.replicas):
        if replica.phase is Phase.SLOT:
            assert (None, ()) == (replica.node, replica.devices)
        if replica.phase in (Phase.STARTING, Phase.RUNNING):
            assert replica.node is not None
            assert not seen.nodes or replica.node in seen.by_node, "where nodes are shown, this is one of them"
        if replica.phase is Phase.RUNNING:
            assert replica.incarnation
            assert replica.started_at is not None
