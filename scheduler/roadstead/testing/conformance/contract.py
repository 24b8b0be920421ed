"""Groups are created, grown, shown and removed."""

from __future__ import annotations

import attrs

from roadstead.model import Reloading
from roadstead.spi.backend import Expect
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import (
    an_order,
    apply,
    counting,
    create,
    delete,
    gone,
    group_of,
    growing,
    insist,
    run,
    settled,
)
from roadstead.testing.subject import LosesReplicas, Subject, found, group_order, small_template
from roadstead.world import Phase

__all__ = ["Contract"]

_LOOKS = 10
"""How often something that lasts for a moment may be missed."""


class Contract:
    """Groups are created, grown, shown and removed."""

    # ---- creating ----

    def test_a_created_group_carries_all_that_it_was_ordered_with(self, subject: Subject) -> None:
        """Key, owner, generation, target and template come back as they were given."""
        order = an_order(subject, generation=7)
        group = create(subject, order, 2)
        ordered = (order.key, order.owner, order.owner_id, order.generation, 2, order.template)
        assert ordered == (group.key, group.owner, group.owner_id, group.generation, group.target, group.template)

    def test_the_first_look_after_a_change_shows_it(self, subject: Subject) -> None:
        """An observation is never behind a change that was acknowledged."""
        order = an_order(subject)
        for target in (0, 2, 1):
            if target:
                apply(subject, order, target)
            else:
                create(subject, order, target)
            assert target == group_of(subject, order.key).target

    def test_a_group_of_no_replicas_is_kept(self, subject: Subject) -> None:
        """Zero is a count like any other: the group stays to be grown again."""
        group = create(subject, an_order(subject), 0)
        assert (0, set()) == (group.target, counting(group))

    def test_two_groups_do_not_touch_each_other(self, subject: Subject) -> None:
        """A change of one group leaves the other as it was, its version too."""
        one, other = an_order(subject), group_order(small_template(subject, cpu=50), launch=subject.launch)
        run(subject, one, 1)
        before = group_of(subject, one.key)
        create(subject, other, 2)
        apply(subject, other, 1)
        assert before == group_of(subject, one.key)

    # ---- what is around a template ----

    def test_growing_keeps_the_replicas_that_are_there(self, subject: Subject) -> None:
        """More replicas are new ones; the running ones are not touched."""
        order = an_order(subject)
        before = {(one.id, one.incarnation) for one in run(subject, order, 2)}
        apply(subject, order, 3)
        assert before < {(one.id, one.incarnation) for one in settled(subject, order.key, 3)}

    @needs(Ability.METADATA)
    def test_an_existing_group_takes_owner_and_generation_and_restarts_nothing(self, subject: Subject) -> None:
        """What is around the template is rewritten, and the replicas do not notice."""
        order = an_order(subject, generation=1)
        before = [one.incarnation for one in run(subject, order, 1)]
        apply(subject, attrs.evolve(order, generation=2, owner="ads"), 1)
        group = group_of(subject, order.key)
        assert (2, "ads", before) == (group.generation, group.owner, [one.incarnation for one in group.replicas])

    def test_an_existing_group_never_takes_another_template(self, subject: Subject) -> None:
        """Whatever a later order says, a group is what it was created from."""
        order = an_order(subject)
        before = run(subject, order, 1)
        other = attrs.evolve(order, template=small_template(subject, cpu=50))
        apply(subject, other, 2)
        after = growing(subject, order.key, 2)
        assert order.template == after.template
        assert {before[0].incarnation} <= {one.incarnation for one in after.replicas}

    @needs(Ability.RELOADS)
    def test_a_reloading_group_takes_another_model_version_and_restarts_nothing(self, subject: Subject) -> None:
        """Replicas that it starts from now on are to have it; those that run are told by somebody else."""
        order = attrs.evolve(an_order(subject), reloading=Reloading())
        (before,) = run(subject, order, 1)
        model = attrs.evolve(order.template.model, version=2)
        apply(subject, attrs.evolve(order, template=attrs.evolve(order.template, model=model)), 1)
        group = group_of(subject, order.key)
        assert 2 == group.template.model.version
        assert order.reloading == group.reloading
        assert [before.incarnation] == [one.incarnation for one in group.replicas]

    # ---- removing ----

    def test_an_unknown_group_can_be_deleted(self, subject: Subject) -> None:
        """Deleting what is not there says nothing, whatever was expected of it."""
        before = subject.backend.observe().groups
        delete(subject, an_order(subject).key, expect=Expect("1"))
        assert before == subject.backend.observe().groups

    def test_a_deleted_group_and_its_replicas_are_gone_in_the_end(self, subject: Subject) -> None:
        """Nothing of the group is observed once its replicas have ended."""
        order = an_order(subject)
        run(subject, order, 2)
        delete(subject, order.key)
        gone(subject, order.key)

    @needs(Ability.LOSES)
    def test_a_group_that_lost_a_replica_can_be_deleted(self, subject: Subject) -> None:
        """Who is lost has nothing to stop, and holds up nobody."""
        assert isinstance(subject, LosesReplicas)
        order = an_order(subject)
        lost, _ = run(subject, order, 2)
        subject.lose(lost.id)
        subject.until(lambda seen: lost.id not in counting(found(seen, order.key)))
        delete(subject, order.key)
        gone(subject, order.key)

    def test_replicas_that_are_stopping_are_still_seen(self, subject: Subject) -> None:
        """What still holds room is in the observation, so that it still counts.

        It may have ended before anybody looks, where the machine has much else to do: then it is asked again.
        """
        order = an_order(subject)
        for _ in range(_LOOKS):
            run(subject, order, 1)
            delete(subject, order.key)
            seen = subject.until(lambda now: counting(found(now, order.key)) == set())
            group = found(seen, order.key)
            if group is not None:
                assert [Phase.STOPPING] == [one.phase for one in group.replicas]
                return
        raise AssertionError("the group vanished each time while its replica still held room")

    def test_a_group_can_be_made_again_under_its_old_key(self, subject: Subject) -> None:
        """The same revision returns with new replicas and a version that was never used."""
        order = an_order(subject)
        ids = {one.id for one in run(subject, order, 1)}
        old = group_of(subject, order.key).version
        delete(subject, order.key)
        gone(subject, order.key)
        again = {one.id for one in run(subject, order, 1)}
        assert set() == ids & again
        assert old != group_of(subject, order.key).version

    # ---- placement by the cluster ----

    @needs(Ability.NATIVE)
    def test_a_native_cluster_places_and_starts_by_itself(self, subject: Subject) -> None:
        """Nobody binds anything, and the replicas run."""
        order = an_order(subject)
        insist(subject, lambda: subject.backend.apply(order, 2, expect=Expect(None)))
        assert 2 == len(settled(subject, order.key, 2))
