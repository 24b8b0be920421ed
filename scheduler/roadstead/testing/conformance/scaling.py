"""Who goes when replicas must go, and that nobody goes besides."""

from __future__ import annotations

from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import (
    an_order,
    apply,
    counting,
    create,
    group_of,
    growing,
    run,
    settled,
)
from roadstead.testing.subject import LosesReplicas, Subject, found
from roadstead.world import Phase

__all__ = ["Scaling"]


class Scaling:
    """Who goes when replicas must go, and that nobody goes besides."""

    @needs(Ability.EXACT)
    def test_exactly_the_named_replicas_go(self, subject: Subject) -> None:
        """Where retiring is exact, the others stay, whatever their age."""
        order = an_order(subject)
        first, kept, last = run(subject, order, 3)
        apply(subject, order, 1, retire=(first.id, last.id))
        assert {kept.id} == counting(growing(subject, order.key, 1))

    @needs(Ability.EXACT)
    def test_no_more_of_the_named_go_than_must(self, subject: Subject) -> None:
        """The count is what is asked; the names say who goes first."""
        order = an_order(subject)
        replicas = run(subject, order, 3)
        apply(subject, order, 2, retire=tuple(one.id for one in replicas[:2]))
        left = counting(growing(subject, order.key, 2))
        assert replicas[2].id in left

    def test_nobody_goes_while_a_group_grows(self, subject: Subject) -> None:
        """A name in `retire` is no order to stop it."""
        order = an_order(subject)
        replicas = run(subject, order, 2)
        apply(subject, order, 3, retire=(replicas[0].id,))
        assert {one.id for one in replicas} < counting(growing(subject, order.key, 3))

    def test_a_name_that_nobody_has_retires_nobody_in_particular(self, subject: Subject) -> None:
        """The group shrinks all the same, and by no more."""
        order = an_order(subject)
        run(subject, order, 3)
        apply(subject, order, 2, retire=("nobody",))
        assert 2 == len(counting(growing(subject, order.key, 2)))

    @needs(Ability.DIRECTED)
    def test_slots_go_before_running_replicas(self, subject: Subject) -> None:
        """A replica that never ran is given up first when nobody is named."""
        order = an_order(subject)
        running = {one.id for one in run(subject, order, 2)}
        apply(subject, order, 3)
        growing(subject, order.key, 3)
        apply(subject, order, 2)
        assert running == counting(growing(subject, order.key, 2))

    def test_retired_replicas_end_and_the_others_do_not_notice(self, subject: Subject) -> None:
        """Who was told to stop is gone in the end; the others are the same processes as before."""
        order = an_order(subject)
        before = {one.incarnation for one in run(subject, order, 3)}
        apply(subject, order, 2)
        left = settled(subject, order.key, 2)
        assert {one.incarnation for one in left} < before

    def test_who_is_on_its_way_out_is_not_counted(self, subject: Subject) -> None:
        """A group that grows again while one still stops gets a new replica, and keeps the one that stayed."""
        order = an_order(subject)
        before = {one.id for one in run(subject, order, 2)}
        apply(subject, order, 1)
        kept = counting(growing(subject, order.key, 1))
        apply(subject, order, 2)
        after = {one.id for one in settled(subject, order.key, 2)}
        assert kept == before & after

    def test_a_group_at_zero_grows_again_with_new_replicas(self, subject: Subject) -> None:
        """An id is never used twice."""
        order = an_order(subject)
        before = {one.id for one in run(subject, order, 1)}
        apply(subject, order, 0)
        subject.until(lambda seen: not (found(seen, order.key) or group_of(subject, order.key)).replicas)
        apply(subject, order, 1)
        assert set() == before & {one.id for one in settled(subject, order.key, 1)}

    @needs(Ability.LOSES)
    def test_asking_for_the_same_count_replaces_who_was_lost(self, subject: Subject) -> None:
        """A lost replica does not come back; another takes its place when the group is asked for."""
        assert isinstance(subject, LosesReplicas)
        order = an_order(subject)
        lost, kept = run(subject, order, 2)
        subject.lose(lost.id)
        subject.until(lambda seen: lost.id not in counting(found(seen, order.key)))
        apply(subject, order, 2)
        after = settled(subject, order.key, 2)
        assert kept.incarnation in {one.incarnation for one in after}
        assert lost.id not in {one.id for one in after}

    @needs(Ability.HEALS, Ability.LOSES)
    def test_who_was_lost_is_replaced_while_nobody_asks(self, subject: Subject) -> None:
        """A cluster that heals alone does not wait for us."""
        assert isinstance(subject, LosesReplicas)
        order = an_order(subject)
        lost, kept = run(subject, order, 2)
        subject.lose(lost.id)
        after = {one.id for one in settled(subject, order.key, 2)}
        assert kept.id in after
        assert lost.id not in after

    @needs(Ability.DIRECTED)
    def test_a_slot_that_is_given_up_is_gone_at_once(self, subject: Subject) -> None:
        """Nothing of it has to stop."""
        order = an_order(subject)
        create(subject, order, 2)
        apply(subject, order, 1)
        assert [Phase.SLOT] == [one.phase for one in group_of(subject, order.key).replicas]
