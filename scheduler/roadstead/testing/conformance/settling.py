"""What stands for a deployment as a whole is as it was asked for, and is nobody's but its own."""

from __future__ import annotations

import pytest

from roadstead.errors import BackendError, Conflict, OutcomeUnknown
from roadstead.spi.backend import Settles
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import an_order, gone, group_of, insist, raises, run
from roadstead.testing.conformance.asking import delete as remove
from roadstead.testing.subject import STRANGER, LendsToOthers, LosesReplies, Subject

__all__ = ["Settling"]


class Settling:
    """What stands for a deployment as a whole is as it was asked for, and is nobody's but its own."""

    @needs(Ability.SETTLES)
    def test_it_stands_before_there_is_a_group_and_is_shown_at_once(self, subject: Subject) -> None:
        """With the number that was asked for; nothing stands that was not."""
        assert {} == subject.backend.observe().settled
        _settle(subject, "minilm", 2)
        assert {"minilm": 2} == subject.backend.observe().settled
        run(subject, an_order(subject, "other"), 1)
        assert {"minilm": 2} == subject.backend.observe().settled

    @needs(Ability.SETTLES)
    def test_another_floor_takes_the_place_of_the_one_before(self, subject: Subject) -> None:
        """Higher, lower, and none at all: with that it still stands."""
        for floor in (1, 3, 0, 2):
            _settle(subject, "minilm", floor)
            assert {"minilm": floor} == subject.backend.observe().settled

    @needs(Ability.SETTLES)
    def test_what_is_removed_stands_no_more(self, subject: Subject) -> None:
        """That of others does; removing what is gone is fine."""
        _settle(subject, "minilm", 1)
        _settle(subject, "other", 0)
        for _ in range(2):
            _settle(subject, "minilm", None)
            assert {"other": 0} == subject.backend.observe().settled

    @needs(Ability.SETTLES)
    def test_what_stands_as_before_is_the_same_object(self, subject: Subject) -> None:
        """Whoever reads it sees at a glance that nothing changed, also where the same was asked for again."""
        _settle(subject, "minilm", 1)
        before = subject.backend.observe().settled
        run(subject, an_order(subject), 1)
        _settle(subject, "minilm", 1)
        assert before is subject.backend.observe().settled

    @needs(Ability.SETTLES)
    def test_groups_do_not_notice_what_stands_for_them(self, subject: Subject) -> None:
        """Neither their versions nor their servers change with it, nor it with them."""
        order = an_order(subject)
        before = run(subject, order, 2)
        version = group_of(subject, order.key).version
        for floor in (1, 0, None, 1):
            _settle(subject, "minilm", floor)
        group = group_of(subject, order.key)
        assert version == group.version
        assert {one.incarnation for one in before} == {one.incarnation for one in group.replicas}
        remove(subject, order.key)
        gone(subject, order.key)
        assert {"minilm": 1} == subject.backend.observe().settled

    @needs(Ability.SETTLES, Ability.LOST_REPLIES)
    def test_what_was_asked_and_not_answered_can_be_asked_again(self, subject: Subject) -> None:
        """Whether it was done shows; asking again does no harm."""
        assert isinstance(subject, LosesReplies)
        for lose, floor in ((subject.lose_reply, 2), (subject.lose_request, 1), (subject.lose_reply, None)):
            before = dict(subject.backend.observe().settled)
            lose()
            with raises(subject, OutcomeUnknown, "minilm"):
                _ask(subject, "minilm", floor)
            wanted = {} if floor is None else {"minilm": floor}
            assert subject.backend.observe().settled in (before, wanted)
            _settle(subject, "minilm", floor)
            assert wanted == subject.backend.observe().settled

    @needs(Ability.SETTLES, Ability.OTHERS)
    def test_what_stands_for_others_is_left_alone(self, subject: Subject) -> None:
        """It is not shown, its owner is told of, and changing or removing it is refused."""
        assert isinstance(subject, LendsToOthers)
        with subject.as_owner(STRANGER) as theirs:
            assert isinstance(theirs, Settles)
            theirs.settle("minilm", 2)
        seen = subject.backend.observe()
        assert {} == seen.settled
        assert frozenset({STRANGER}) == seen.foreign_owners
        with pytest.raises(BackendError) as caught:
            _ask(subject, "minilm", 1)
        assert isinstance(caught.value, Conflict)
        with pytest.raises(BackendError):
            _ask(subject, "minilm", None)
        with subject.as_owner(STRANGER) as theirs:
            assert {"minilm": 2} == theirs.observe().settled


def _settle(subject: Subject, deployment: str, floor: int | None) -> None:
    insist(subject, lambda: _ask(subject, deployment, floor))


def _ask(subject: Subject, deployment: str, floor: int | None) -> None:
    backend = subject.backend
    assert isinstance(backend, Settles), "a cluster where something stands for a deployment has `settle`"
    backend.settle(deployment, floor)
