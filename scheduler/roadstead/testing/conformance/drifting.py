"""What others changed of our objects is told, with both values, and nothing else is."""

from __future__ import annotations

from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import an_order, apply, group_of, run, settled
from roadstead.testing.subject import Meddles, Subject, found

__all__ = ["Drifting"]


class Drifting:
    """What others changed of our objects is told, with both values, and nothing else is."""

    def test_nothing_has_drifted_that_nobody_else_changed(self, subject: Subject) -> None:
        """What we or the cluster itself do to a group is no drift."""
        order = an_order(subject)
        run(subject, order, 1)
        assert () == group_of(subject, order.key).drift
        apply(subject, order, 2)
        settled(subject, order.key, 2)
        assert () == group_of(subject, order.key).drift

    @needs(Ability.MEDDLES)
    def test_what_somebody_else_changed_is_shown_with_both_values(self, subject: Subject) -> None:
        """The field by its name, what we wrote and what stands there, of this group and of no other."""
        assert isinstance(subject, Meddles)
        order, other = an_order(subject), an_order(subject, "other")
        run(subject, order, 1)
        run(subject, other, 1)
        field = subject.meddle(order.key)
        seen = subject.until(lambda now: bool((found(now, order.key) or group_of(subject, order.key)).drift))
        group = found(seen, order.key)
        assert group is not None
        assert [field] == [one.field for one in group.drift]
        assert all(one.ours != one.theirs for one in group.drift)
        assert () == group_of(subject, other.key).drift

    @needs(Ability.MEDDLES)
    def test_a_change_by_somebody_else_is_a_change_of_the_group(self, subject: Subject) -> None:
        """A decision that was made before it does not find its precondition any more."""
        assert isinstance(subject, Meddles)
        order = an_order(subject)
        run(subject, order, 1)
        before = group_of(subject, order.key).version
        subject.meddle(order.key)
        seen = subject.until(lambda now: bool((found(now, order.key) or group_of(subject, order.key)).drift))
        group = found(seen, order.key)
        assert group is not None
        assert before != group.version
