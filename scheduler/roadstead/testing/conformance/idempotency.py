"""Every call may come again, because replies get lost, and coming again does no harm."""

from __future__ import annotations

import pytest

from roadstead.errors import Conflict, OutcomeUnknown
from roadstead.spi.backend import ABSENT, Expect
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import (
    GRACE,
    an_order,
    apply,
    binder,
    counting,
    create,
    delete,
    gone,
    group_of,
    growing,
    raises,
    run,
    settled,
)
from roadstead.testing.subject import LosesReplies, Subject, expectation, found
from roadstead.world import Phase

__all__ = ["Idempotency"]


class Idempotency:
    """Every call may come again, because replies get lost, and coming again does no harm."""

    def test_creating_twice_is_refused_and_makes_nothing(self, subject: Subject) -> None:
        """A repeated creation whose first reply was lost conflicts instead of doubling the replicas."""
        order = an_order(subject)
        run(subject, order, 2)
        before = group_of(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 2, expect=ABSENT)
        assert before == group_of(subject, order.key)

    def test_repeating_a_count_changes_nothing(self, subject: Subject) -> None:
        """Asking again for what is there leaves the same replicas and the same version."""
        order = an_order(subject)
        run(subject, order, 2)
        before = group_of(subject, order.key)
        apply(subject, order, 2, expect=Expect(before.version))
        assert before == group_of(subject, order.key)

    def test_deleting_again_while_it_ends_does_no_harm(self, subject: Subject) -> None:
        """A repeated delete with the version of now is quietly the same order."""
        order = an_order(subject)
        run(subject, order, 1)
        delete(subject, order.key)
        delete(subject, order.key)
        gone(subject, order.key)

    def test_deleting_again_what_is_gone_does_no_harm(self, subject: Subject) -> None:
        """The precondition was of a group that is no more, and so is the wish."""
        order = an_order(subject)
        run(subject, order, 1)
        before = expectation(subject.backend, order.key)
        delete(subject, order.key, expect=before)
        gone(subject, order.key)
        delete(subject, order.key, expect=before)
        assert None is found(subject.backend.observe(), order.key)

    @needs(Ability.DIRECTED)
    def test_binding_again_to_the_same_node_is_fine(self, subject: Subject) -> None:
        """A repeated bind starts nothing twice."""
        order = an_order(subject)
        (before,) = run(subject, order, 1)
        assert before.node is not None
        binder(subject).bind(before.id, before.node, before.devices)
        assert (before,) == group_of(subject, order.key).replicas

    # ---- lost replies ----

    @needs(Ability.LOST_REPLIES)
    def test_a_creation_whose_reply_was_lost_can_be_asked_again(self, subject: Subject) -> None:
        """It is said that nobody knows; the group is there once, and the repetition finds it."""
        assert isinstance(subject, LosesReplies)
        order = an_order(subject)
        subject.lose_reply()
        with raises(subject, OutcomeUnknown, str(order.key)):
            subject.backend.apply(order, 2, expect=ABSENT)
        growing(subject, order.key, 2)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 2, expect=ABSENT)
        assert 2 == len(settled(subject, order.key, 2))

    @needs(Ability.LOST_REPLIES)
    def test_a_change_whose_reply_was_lost_was_made_once(self, subject: Subject) -> None:
        """The same change with the same precondition conflicts; what is there has as many replicas as were asked."""
        assert isinstance(subject, LosesReplies)
        order = an_order(subject)
        run(subject, order, 1)
        before = expectation(subject.backend, order.key)
        subject.lose_reply()
        with raises(subject, OutcomeUnknown, str(order.key)):
            subject.backend.apply(order, 3, expect=before)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 3, expect=before)
        assert 3 == len(counting(growing(subject, order.key, 3)))

    @needs(Ability.LOST_REPLIES)
    def test_a_deletion_whose_reply_was_lost_can_be_asked_again(self, subject: Subject) -> None:
        """Whatever became of the first one, the second one ends well."""
        assert isinstance(subject, LosesReplies)
        order = an_order(subject)
        run(subject, order, 1)
        subject.lose_reply()
        with raises(subject, OutcomeUnknown, str(order.key)):
            subject.backend.delete(order.key, grace=GRACE, expect=expectation(subject.backend, order.key))
        delete(subject, order.key)
        gone(subject, order.key)

    @needs(Ability.LOST_REPLIES)
    def test_a_lost_request_changed_nothing_and_can_be_made_again(self, subject: Subject) -> None:
        """It too is an outcome that nobody knows; the precondition still holds."""
        assert isinstance(subject, LosesReplies)
        order = an_order(subject)
        run(subject, order, 1)
        before = group_of(subject, order.key)
        subject.lose_request()
        with raises(subject, OutcomeUnknown, str(order.key)):
            subject.backend.apply(order, 2, expect=Expect(before.version))
        assert before == group_of(subject, order.key)
        apply(subject, order, 2, expect=Expect(before.version))
        assert 2 == len(counting(growing(subject, order.key, 2)))

    @needs(Ability.LOST_REPLIES, Ability.DIRECTED)
    def test_a_bind_whose_reply_was_lost_can_be_asked_again(self, subject: Subject) -> None:
        """The slot starts once, on the node of the first request."""
        assert isinstance(subject, LosesReplies)
        order = an_order(subject)
        (slot,) = create(subject, order, 1).replicas
        node = subject.backend.observe().nodes[0].name
        subject.lose_reply()
        with raises(subject, OutcomeUnknown, slot.id):
            binder(subject).bind(slot.id, node, ())
        binder(subject).bind(slot.id, node, ())
        (replica,) = settled(subject, order.key, 1)
        assert (slot.id, node, Phase.RUNNING, 0) == (replica.id, replica.node, replica.phase, replica.restarts)
