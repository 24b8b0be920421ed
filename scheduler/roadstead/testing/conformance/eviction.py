"""One replica is taken away, and its group stays as large as it was asked to be."""

from __future__ import annotations

from roadstead.errors import Conflict
from roadstead.spi.backend import Evicts
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import GRACE, an_order, apply, group_of, raises, run, settled
from roadstead.testing.subject import Subject, found
from roadstead.world import Group, Phase

__all__ = ["Eviction"]


class Eviction:
    """One replica is taken away, and its group stays as large as it was asked to be."""

    @needs(Ability.EVICTS)
    def test_an_evicted_replica_ends_and_the_others_do_not_notice(self, subject: Subject) -> None:
        """Who was named is gone in the end; the other is the same process as before."""
        order = an_order(subject)
        evicted, kept = run(subject, order, 2)
        _evict(subject, evicted.id)
        seen = subject.until(lambda now: not _runs(found(now, order.key), evicted.id))
        group = found(seen, order.key)
        assert group is not None
        assert kept.incarnation in {one.incarnation for one in group.replicas if one.phase is Phase.RUNNING}

    @needs(Ability.EVICTS)
    def test_an_evicted_replica_is_replaced_when_the_group_is_asked_for(self, subject: Subject) -> None:
        """The target is what it was; another replica, with an id of its own, takes the place."""
        order = an_order(subject)
        evicted, kept = run(subject, order, 2)
        _evict(subject, evicted.id)
        assert 2 == group_of(subject, order.key).target
        apply(subject, order, 2)
        after = {one.id for one in settled(subject, order.key, 2)}
        assert {kept.id} == after & {evicted.id, kept.id}

    @needs(Ability.EVICTS)
    def test_evicting_again_while_it_ends_does_no_harm(self, subject: Subject) -> None:
        """A repeated eviction is quietly the same order."""
        order = an_order(subject)
        evicted, kept = run(subject, order, 2)
        for _ in range(2):
            _evict(subject, evicted.id)
        apply(subject, order, 2)
        assert kept.id in {one.id for one in settled(subject, order.key, 2)}

    @needs(Ability.EVICTS)
    def test_evicting_nobody_is_refused(self, subject: Subject) -> None:
        """A replica that is gone since it was chosen is a conflict."""
        with raises(subject, Conflict, "nobody"):
            _evict(subject, "nobody")


def _evict(subject: Subject, replica: str) -> None:
    backend = subject.backend
    assert isinstance(backend, Evicts)
    backend.evict(replica, grace=GRACE, reason="a test")


def _runs(group: Group | None, replica: str) -> bool:
    return group is not None and any(one.id == replica and one.phase is Phase.RUNNING for one in group.replicas)
