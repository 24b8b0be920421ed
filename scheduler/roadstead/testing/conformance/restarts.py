"""Servers that end, by our order or against it, and what is seen of that."""

from __future__ import annotations

from roadstead.errors import Conflict
from roadstead.testing.conformance.abilities import Ability, needs
from roadstead.testing.conformance.asking import GRACE, an_order, group_of, raises, replaced, restarter, run
from roadstead.testing.subject import Crashes, Subject, found
from roadstead.world import Group, Phase

__all__ = ["Restarting"]


class Restarting:
    """Servers that end, by our order or against it, and what is seen of that."""

    @needs(Ability.RESTARTS)
    def test_a_restarted_replica_is_another_incarnation_of_itself(self, subject: Subject) -> None:
        """Id, node and endpoint stay; the incarnation and the count of restarts move on."""
        order = an_order(subject)
        (before,) = run(subject, order, 1)
        restarter(subject).restart(before.id, grace=GRACE, reason="a test")
        after = replaced(subject, order.key, before)
        assert (before.id, before.node, before.endpoint) == (after.id, after.node, after.endpoint)
        assert before.restarts + 1 == after.restarts

    @needs(Ability.RESTARTS)
    def test_restarting_one_leaves_the_others(self, subject: Subject) -> None:
        """Only the named server ends."""
        order = an_order(subject)
        one, other = run(subject, order, 2)
        restarter(subject).restart(one.id, grace=GRACE, reason="a test")
        replaced(subject, order.key, one)
        assert other in group_of(subject, order.key).replicas

    @needs(Ability.RESTARTS)
    def test_restarting_nobody_is_refused(self, subject: Subject) -> None:
        """A replica that is gone since it was chosen is a conflict."""
        with raises(subject, Conflict, "nobody"):
            restarter(subject).restart("nobody", grace=GRACE, reason="a test")

    @needs(Ability.CRASHES)
    def test_a_crashed_server_is_never_taken_for_the_one_before(self, subject: Subject) -> None:
        """It is another incarnation with its end told, or it is lost, or another replica stands in for it."""
        assert isinstance(subject, Crashes)
        order = an_order(subject)
        (before,) = run(subject, order, 1)
        subject.crash(before.id)
        seen = subject.until(lambda now: _noticed(found(now, order.key), before.incarnation))
        group = found(seen, order.key)
        assert group is not None
        for replica in (one for one in group.replicas if one.id == before.id and one.phase is not Phase.LOST):
            assert before.restarts < replica.restarts
            assert replica.last_exit is not None
            assert not replica.last_exit.asked


def _noticed(group: Group | None, incarnation: str) -> bool:
    """Return whether no running replica is that process any more, and one runs or is known to be lost."""
    replicas = group.replicas if group is not None else ()
    return all(one.incarnation != incarnation or one.phase is Phase.LOST for one in replicas) and any(
        one.phase in (Phase.RUNNING, Phase.LOST) for one in replicas
    )
