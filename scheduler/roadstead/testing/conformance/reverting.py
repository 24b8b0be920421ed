"""What others changed is put back as it was made, once for all that they changed, and nothing else is."""

from __future__ import annotations

from roadstead.errors import Conflict, OutcomeUnknown
from roadstead.spi.backend import ABSENT, Expect, GroupOrder, Reverts
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import an_order, apply, change, group_of, raises, run, settled
from roadstead.testing.subject import LosesReplies, Meddles, Subject, expectation, found
from roadstead.world import Group

__all__ = ["Reverting"]


class Reverting:
    """What others changed is put back as it was made, once for all that they changed, and nothing else is."""

    @needs(Ability.REVERTS, Ability.MEDDLES)
    def test_what_was_changed_is_as_it_was_made_again(self, subject: Subject) -> None:
        """Nothing has drifted any more, the count and the template are as before, and so are the servers."""
        order = an_order(subject)
        before = run(subject, order, 2)
        _meddle(subject, order)
        _revert(subject, order)
        group = group_of(subject, order.key)
        assert (2, order.template, ()) == (group.target, group.template, group.drift)
        assert {one.incarnation for one in before} == {one.incarnation for one in group.replicas}
        assert not any(one.drifted for one in group.replicas)

    @needs(Ability.REVERTS, Ability.MEDDLES)
    def test_replicas_that_were_made_meanwhile_are_told_apart(self, subject: Subject) -> None:
        """Those from before the change are not drifted; those from during it are, also once it was put back."""
        order = an_order(subject)
        (before,) = run(subject, order, 1)
        _meddle(subject, order)
        apply(subject, order, 2)
        settled(subject, order.key, 2)
        _revert(subject, order)
        drifted = {one.id for one in group_of(subject, order.key).replicas if one.drifted}
        assert 1 == len(drifted)
        assert before.id not in drifted

    @needs(Ability.REVERTS)
    def test_putting_back_what_nobody_changed_changes_nothing(self, subject: Subject) -> None:
        """It is no new version, and no server notices."""
        order = an_order(subject)
        run(subject, order, 1)
        before = group_of(subject, order.key)
        _revert(subject, order)
        after = group_of(subject, order.key)
        assert before.version == after.version
        assert before.replicas[0].incarnation == after.replicas[0].incarnation

    @needs(Ability.REVERTS, Ability.MEDDLES)
    def test_a_decision_from_before_the_change_puts_nothing_back(self, subject: Subject) -> None:
        """Nobody decided about what stands there now: it is refused, and still shown."""
        order = an_order(subject)
        run(subject, order, 1)
        before = Expect(group_of(subject, order.key).version)
        _meddle(subject, order)
        with raises(subject, Conflict, str(order.key)):
            _ask(subject, order, before)
        assert group_of(subject, order.key).drift

    @needs(Ability.REVERTS)
    def test_putting_back_a_group_that_is_gone_makes_none(self, subject: Subject) -> None:
        """A decision about one that was there is refused."""
        order = an_order(subject)
        with raises(subject, Conflict, str(order.key)):
            _ask(subject, order, Expect("7"))
        assert None is found(subject.backend.observe(), order.key)

    @needs(Ability.REVERTS, Ability.MEDDLES)
    def test_one_group_is_put_back_and_not_its_neighbour(self, subject: Subject) -> None:
        """What is to be left as it is in another one is left."""
        order, other = an_order(subject), an_order(subject, "other")
        run(subject, order, 1)
        run(subject, other, 1)
        _meddle(subject, order)
        _meddle(subject, other)
        _revert(subject, order)
        assert () == group_of(subject, order.key).drift
        assert group_of(subject, other.key).drift

    @needs(Ability.REVERTS, Ability.MEDDLES, Ability.LOST_REPLIES)
    def test_a_revert_whose_reply_was_lost_can_be_asked_again(self, subject: Subject) -> None:
        """Whether it was done shows; what is then asked for ends the same."""
        assert isinstance(subject, LosesReplies)
        order = an_order(subject)
        run(subject, order, 1)
        for lose in (subject.lose_reply, subject.lose_request):
            _meddle(subject, order)
            lose()
            with raises(subject, OutcomeUnknown, str(order.key)):
                _ask(subject, order, expectation(subject.backend, order.key))
            _revert(subject, order)
            assert () == group_of(subject, order.key).drift


def _meddle(subject: Subject, order: GroupOrder) -> Group:
    """Let somebody else change a group, and return it once that is shown."""
    assert isinstance(subject, Meddles)
    subject.meddle(order.key)
    seen = subject.until(lambda now: bool((found(now, order.key) or group_of(subject, order.key)).drift))
    group = found(seen, order.key)
    assert group is not None
    return group


def _revert(subject: Subject, order: GroupOrder) -> None:
    """Put a group back as it is now, and wait until nothing is shown as changed."""
    change(subject, order.key, lambda as_of: _ask(subject, order, as_of))
    subject.until(lambda now: not (found(now, order.key) or group_of(subject, order.key)).drift)


def _ask(subject: Subject, order: GroupOrder, expect: Expect) -> None:
    backend = subject.backend
    assert isinstance(backend, Reverts), "a cluster that puts back what others changed has `revert`"
    assert expect != ABSENT
    backend.revert(order.key, expect=expect)
