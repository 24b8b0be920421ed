"""What another fleet owns is never touched."""

from __future__ import annotations

import attrs
import pytest

from roadstead.errors import BackendError
from roadstead.model import Scheduling
from roadstead.spi.backend import ABSENT, Expect, GroupOrder
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import GRACE, an_order, create, runs
from roadstead.testing.subject import STRANGER, LendsToOthers, Subject, found, group_order, small_template
from roadstead.world import Group, Phase, Replica

__all__ = ["Ownership"]


class Ownership:
    """What another fleet owns is never touched."""

    @needs(Ability.OTHERS)
    def test_what_belongs_to_others_is_not_shown_but_told_of(self, subject: Subject) -> None:
        """Their groups are none of ours; their owner ids are, so that nobody writes beside them unawares."""
        order = _planted(subject)
        seen = subject.backend.observe()
        assert None is found(seen, order.key)
        assert frozenset({STRANGER}) == seen.foreign_owners

    @needs(Ability.OTHERS)
    def test_nobody_else_is_told_of_where_nobody_is(self, subject: Subject) -> None:
        """Our own owner id is not foreign."""
        create(subject, an_order(subject), 1)
        assert frozenset() == subject.backend.observe().foreign_owners

    @needs(Ability.OTHERS)
    def test_a_group_of_others_cannot_be_changed(self, subject: Subject) -> None:
        """Neither as a new group nor with whatever version: it is refused, and theirs stays as it was."""
        order = _planted(subject)
        before = _as_they_see_it(subject, order)
        ours = an_order(subject)
        assert ours.key == order.key
        for expect in (ABSENT, Expect(before.version)):
            with pytest.raises(BackendError):
                subject.backend.apply(ours, 3, expect=expect)
        assert _of_their_making(before) == _of_their_making(_as_they_see_it(subject, order))

    @needs(Ability.OTHERS)
    def test_a_group_of_others_cannot_be_deleted(self, subject: Subject) -> None:
        """It is refused, or taken for a group that we do not have; theirs stays as it was."""
        order = _planted(subject)
        before = _as_they_see_it(subject, order)
        for expect in (ABSENT, Expect(before.version)):
            try:
                subject.backend.delete(order.key, grace=GRACE, expect=expect)
            except BackendError as error:
                assert subject.cluster == error.cluster  # noqa: PT017  # it need not be refused
        assert _of_their_making(before) == _of_their_making(_as_they_see_it(subject, order))


def _planted(subject: Subject) -> GroupOrder:
    """Let others make a group under a key that we might use, and return their order.

    Where the cluster starts replicas by itself, it has started theirs: until then it gives slots another name.
    """
    assert isinstance(subject, LendsToOthers)
    order = group_order(small_template(subject), launch=subject.launch, owner_id=STRANGER)
    with subject.as_owner(STRANGER) as theirs:
        theirs.apply(order, 1, expect=ABSENT)
        if Scheduling.DIRECTED not in theirs.capabilities.scheduling:
            subject.until(lambda _: runs(found(theirs.observe(), order.key), 1))
    return order


def _as_they_see_it(subject: Subject, order: GroupOrder) -> Group:
    assert isinstance(subject, LendsToOthers)
    with subject.as_owner(STRANGER) as theirs:
        group = found(theirs.observe(), order.key)
    assert group is not None, "a group of others is gone"
    return group


def _of_their_making(group: Group) -> Group:
    """Return a group without what its cluster does to it by itself meanwhile, which moves its version too."""
    kept = tuple(Replica(id=one.id, phase=Phase.SLOT) for one in group.replicas)
    return attrs.evolve(group, replicas=kept, version="", reason=None)
