"""Where placement is ours, a slot goes where we say, if it fits, and nowhere else."""

from __future__ import annotations

import attrs

from roadstead.errors import Conflict, OutOfCapacity
from roadstead.model import Resources, WholeGpus
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import an_order, binder, create, group_of, raises, run, settled
from roadstead.testing.subject import Subject, group_order, small_template
from roadstead.units import Cpus, Memory
from roadstead.world import Phase, Replica

__all__ = ["Placement"]

_NOWHERE = "no-such-node"


class Placement:
    """Where placement is ours, a slot goes where we say, if it fits, and nowhere else."""

    @needs(Ability.DIRECTED)
    def test_a_slot_stays_one_until_it_is_bound(self, subject: Subject) -> None:
        """A directed cluster places nothing by itself, however long others have been running beside it."""
        order = an_order(subject)
        (slot,) = create(subject, order, 1).replicas
        run(subject, an_order(subject, "other"), 1)
        assert (slot,) == group_of(subject, order.key).replicas
        assert Phase.SLOT is slot.phase

    @needs(Ability.DIRECTED)
    def test_a_bound_slot_starts_on_its_node(self, subject: Subject) -> None:
        """The same replica runs where it was put."""
        order = an_order(subject)
        (slot,) = create(subject, order, 1).replicas
        node = subject.backend.observe().nodes[-1].name
        binder(subject).bind(slot.id, node, ())
        (replica,) = settled(subject, order.key, 1)
        assert (slot.id, node) == (replica.id, replica.node)

    @needs(Ability.DIRECTED)
    def test_binding_elsewhere_is_refused(self, subject: Subject) -> None:
        """A replica that has a node keeps it."""
        order = an_order(subject)
        (before,) = run(subject, order, 1)
        others = [node.name for node in subject.backend.observe().nodes if node.name != before.node]
        with raises(subject, Conflict, before.id):
            binder(subject).bind(before.id, others[0] if others else _NOWHERE, ())
        assert (before,) == group_of(subject, order.key).replicas

    @needs(Ability.DIRECTED)
    def test_binding_a_slot_that_is_gone_is_refused(self, subject: Subject) -> None:
        """A replica that nobody knows is a conflict, not a new replica."""
        order = an_order(subject)
        before = create(subject, order, 1)
        node = subject.backend.observe().nodes[0].name
        with raises(subject, Conflict, "nobody"):
            binder(subject).bind("nobody", node, ())
        assert before == group_of(subject, order.key)

    @needs(Ability.DIRECTED)
    def test_an_unknown_node_has_no_room(self, subject: Subject) -> None:
        """A node that vanished since it was chosen is a place like any full one: the slot stays."""
        order = an_order(subject)
        (slot,) = create(subject, order, 1).replicas
        with raises(subject, OutOfCapacity, slot.id):
            binder(subject).bind(slot.id, _NOWHERE, ())
        assert (slot,) == group_of(subject, order.key).replicas

    @needs(Ability.DIRECTED)
    def test_what_is_larger_than_a_node_is_refused(self, subject: Subject) -> None:
        """A node is not filled over what it can give away."""
        node = subject.backend.observe().nodes[0]
        (slot,) = _slots(subject, node.cpu.milli + 1, 1)
        with raises(subject, OutOfCapacity, slot.id):
            binder(subject).bind(slot.id, node.name, ())

    @needs(Ability.DIRECTED)
    def test_what_runs_takes_its_room(self, subject: Subject) -> None:
        """Two that fit alone and not together: the second one is refused, and stays a slot."""
        node = subject.backend.observe().nodes[0]
        first, second = _slots(subject, (node.cpu.milli - node.foreign_cpu.milli) // 2 + 1, 2)
        binder(subject).bind(first.id, node.name, ())
        with raises(subject, OutOfCapacity, second.id):
            binder(subject).bind(second.id, node.name, ())

    @needs(Ability.DEVICES)
    def test_a_replica_gets_the_devices_that_it_was_bound_to(self, subject: Subject) -> None:
        """A whole device is one replica's, and another one that wants it is refused."""
        node = next(node for node in subject.backend.observe().nodes if node.devices)
        device = node.devices[0].id
        first, second = _gpu_slots(subject)
        binder(subject).bind(first.id, node.name, (device,))
        assert (device,) == _now(subject, first).devices
        with raises(subject, OutOfCapacity, second.id):
            binder(subject).bind(second.id, node.name, (device,))
        assert () == _now(subject, second).devices


def _slots(subject: Subject, milli: int, count: int) -> tuple[Replica, ...]:
    return create(subject, an_order(subject, cpu=milli), count).replicas


def _gpu_slots(subject: Subject) -> tuple[Replica, ...]:
    resources = Resources(cpu=Cpus(100), memory=Memory(64 * 1024**2), gpu=WholeGpus(count=1))
    template = attrs.evolve(small_template(subject), resources=resources)
    return create(subject, group_order(template, launch=subject.launch), 2).replicas


def _now(subject: Subject, replica: Replica) -> Replica:
    seen = subject.backend.observe()
    return next(one for group in seen.groups for one in group.replicas if one.id == replica.id)
