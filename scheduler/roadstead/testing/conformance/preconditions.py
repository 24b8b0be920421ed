"""A change is made to what it was decided on, or not at all."""

from __future__ import annotations

import pytest

from roadstead.errors import Conflict
from roadstead.spi.backend import ABSENT, Expect
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import (
    GRACE,
    an_order,
    apply,
    bind,
    create,
    delete,
    gone,
    group_of,
    replaced,
    restarter,
    run,
    settled,
)
from roadstead.testing.subject import LosesReplicas, Subject, expectation, found

__all__ = ["Preconditions"]


class Preconditions:
    """A change is made to what it was decided on, or not at all."""

    def test_a_count_for_an_old_version_is_refused(self, subject: Subject) -> None:
        """A count decided on what the group no longer is raises a conflict and changes nothing."""
        order = an_order(subject)
        run(subject, order, 1)
        old = expectation(subject.backend, order.key)
        apply(subject, order, 2, expect=old)
        settled(subject, order.key, 2)
        before = group_of(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 1, expect=old)
        assert before == group_of(subject, order.key)

    def test_a_count_for_a_group_that_is_gone_is_refused(self, subject: Subject) -> None:
        """A group that somebody deleted meanwhile is not made again by a change to it."""
        order = an_order(subject)
        create(subject, order, 0)
        old = expectation(subject.backend, order.key)
        delete(subject, order.key, expect=old)
        gone(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 1, expect=old)
        assert None is found(subject.backend.observe(), order.key)

    def test_a_deletion_for_an_old_version_is_refused(self, subject: Subject) -> None:
        """A group that changed since it was judged is not deleted."""
        order = an_order(subject)
        run(subject, order, 1)
        old = expectation(subject.backend, order.key)
        apply(subject, order, 2, expect=old)
        settled(subject, order.key, 2)
        before = group_of(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.delete(order.key, grace=GRACE, expect=old)
        assert before == group_of(subject, order.key)

    def test_a_deletion_of_what_should_not_exist_is_refused(self, subject: Subject) -> None:
        """Whoever took the group for absent has not judged it."""
        order = an_order(subject)
        run(subject, order, 1)
        before = group_of(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.delete(order.key, grace=GRACE, expect=ABSENT)
        assert before == group_of(subject, order.key)

    def test_a_version_comes_only_once(self, subject: Subject) -> None:
        """Back at an old count, the group is still not what was judged then."""
        order = an_order(subject)
        run(subject, order, 1)
        versions = [group_of(subject, order.key).version]
        for count in (2, 1):
            apply(subject, order, count)
            settled(subject, order.key, count)
            versions.append(group_of(subject, order.key).version)
        assert 3 == len(set(versions))

    @needs(Ability.LOSES)
    def test_a_lost_replica_is_a_change_of_the_group(self, subject: Subject) -> None:
        """A decision that counted on the replica does not find its precondition any more."""
        assert isinstance(subject, LosesReplicas)
        order = an_order(subject)
        replicas = run(subject, order, 2)
        old = expectation(subject.backend, order.key)
        subject.lose(replicas[0].id)
        subject.until(lambda seen: (found(seen, order.key) or group_of(subject, order.key)).replicas != replicas)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 1, expect=old)

    @needs(Ability.DIRECTED)
    def test_binding_leaves_the_version(self, subject: Subject) -> None:
        """A change decided together with the bind still finds its precondition."""
        order = an_order(subject)
        before = create(subject, order, 1).version
        bind(subject, order.key)
        assert before == group_of(subject, order.key).version
        settled(subject, order.key, 1)
        assert before == group_of(subject, order.key).version

    @needs(Ability.RESTARTS)
    def test_restarting_leaves_the_version(self, subject: Subject) -> None:
        """The set of replicas is the same, so preconditions on it hold."""
        order = an_order(subject)
        (replica,) = run(subject, order, 1)
        before = expectation(subject.backend, order.key)
        restarter(subject).restart(replica.id, grace=GRACE, reason="a test")
        assert before == expectation(subject.backend, order.key)
        replaced(subject, order.key, replica)
        settled(subject, order.key, 1)
        assert before == expectation(subject.backend, order.key)

    def test_a_version_as_it_is_now_always_does(self, subject: Subject) -> None:
        """Whoever has just looked is not refused, however often the group was changed before."""
        order = an_order(subject)
        create(subject, order, 0)
        for count in (1, 2, 0):
            apply(subject, order, count, expect=Expect(group_of(subject, order.key).version))
            settled(subject, order.key, count)
        assert 0 == group_of(subject, order.key).target
