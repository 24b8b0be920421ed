"""What is said when something goes wrong: where, about what, in the contract's words, and never half of the truth."""

from __future__ import annotations

import pytest

from roadstead.errors import BackendError, Conflict, Forbidden, Unreachable
from roadstead.spi.backend import ABSENT
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import GRACE, an_order, create, group_of, raises, run
from roadstead.testing.subject import CutsOff, Provokes, Subject, expectation, found

__all__ = ["Failures"]


class Failures:
    """What is said when something goes wrong: where, about what, in the contract's words."""

    def test_a_conflict_names_the_cluster_and_the_group(self, subject: Subject) -> None:
        """The same for both calls that change a group."""
        order = an_order(subject)
        run(subject, order, 0)
        with raises(subject, Conflict, str(order.key)):
            subject.backend.apply(order, 1, expect=ABSENT)
        with raises(subject, Conflict, str(order.key)):
            subject.backend.delete(order.key, grace=GRACE, expect=ABSENT)

    @needs(Ability.REFUSALS)
    def test_every_refusal_is_told_in_the_contract_s_words(self, subject: Subject) -> None:
        """The right error with its code, its cluster and its object; nothing was changed, and nothing is left over."""
        assert isinstance(subject, Provokes)
        order = an_order(subject)
        before = create(subject, order, 0)
        for error in sorted(subject.provokes, key=lambda kind: kind.code):
            subject.provoke(error)
            with raises(subject, error, str(order.key)):
                subject.backend.apply(order, 1, expect=expectation(subject.backend, order.key))
            assert before == group_of(subject, order.key)

    @needs(Ability.REFUSALS)
    def test_a_refused_deletion_leaves_the_group(self, subject: Subject) -> None:
        """As for any other change."""
        assert isinstance(subject, Provokes)
        order = an_order(subject)
        before = create(subject, order, 0)
        for error in sorted(subject.provokes, key=lambda kind: kind.code):
            subject.provoke(error)
            with raises(subject, error, str(order.key)):
                subject.backend.delete(order.key, grace=GRACE, expect=expectation(subject.backend, order.key))
            assert before == group_of(subject, order.key)

    @needs(Ability.CUT_OFF)
    def test_what_cannot_be_seen_is_not_told_as_empty(self, subject: Subject) -> None:
        """A cluster that does not answer raises; an empty snapshot would be taken for the truth."""
        assert isinstance(subject, CutsOff)
        order = an_order(subject)
        before = create(subject, order, 0)
        with subject.cut_off():
            with pytest.raises(BackendError) as caught:
                subject.backend.observe()
            assert isinstance(caught.value, Unreachable | Forbidden)
            assert subject.cluster == caught.value.cluster
        assert before == group_of(subject, order.key)

    @needs(Ability.CUT_OFF)
    def test_a_change_that_cannot_be_asked_for_is_not_made(self, subject: Subject) -> None:
        """It is said that the cluster does not answer, not that the change was made or may have been."""
        assert isinstance(subject, CutsOff)
        order, other = an_order(subject), an_order(subject, "other")
        before = create(subject, order, 0)
        expect = expectation(subject.backend, order.key)
        with subject.cut_off():
            with raises(subject, Unreachable, str(order.key)):
                subject.backend.apply(order, 1, expect=expect)
            with raises(subject, Unreachable, str(other.key)):
                subject.backend.apply(other, 1, expect=ABSENT)
            with raises(subject, Unreachable, str(order.key)):
                subject.backend.delete(order.key, grace=GRACE, expect=expect)
        assert before == group_of(subject, order.key)
        assert None is found(subject.backend.observe(), other.key)

    @needs(Ability.CUT_OFF)
    def test_servers_run_on_while_nobody_can_reach_the_cluster(self, subject: Subject) -> None:
        """An unreachable cluster is not a dead one: afterwards the same processes are there."""
        assert isinstance(subject, CutsOff)
        order = an_order(subject)
        before = run(subject, order, 2)
        with subject.cut_off(), pytest.raises(BackendError):
            subject.backend.observe()
        assert before == group_of(subject, order.key).replicas
