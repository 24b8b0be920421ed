"""The backend contract, over every cluster that keeps it; what one cannot do by its capabilities is not asked of it."""

from __future__ import annotations

import pytest

from roadstead.errors import Conflict, OutOfCapacity
from roadstead.model import Scheduling
from roadstead.spi.backend import ABSENT, Binds, Expect, MeasuresUsage, Restarts
from roadstead.testing.subject import Subject, bind_all, expectation, found, group_order, small_template, started
from roadstead.units import Duration
from roadstead.world import Group, GroupKey, Phase, Snapshot

GRACE = Duration(5_000)


def _group(subject: Subject, key: GroupKey) -> Group:
    group = found(subject.backend.observe(), key)
    assert group is not None
    return group


def _counting(group: Group | None) -> set[str]:
    """Return the replicas that are among those asked for."""
    return {one.id for one in group.replicas if one.phase not in (Phase.STOPPING, Phase.LOST)} if group else set()


def _require(condition: bool, what: str) -> None:
    if not condition:
        pytest.skip(f"this cluster does not say that it {what}")


class TestApply:
    """Creating groups and converging their counts."""

    def test_a_created_group_carries_all_that_it_was_ordered_with(self, subject: Subject) -> None:
        """Key, owner, generation, target and template come back as they were given."""
        order = group_order(small_template(subject), generation=7)
        subject.backend.apply(order, 2, expect=ABSENT)
        group = _group(subject, order.key)
        assert (order.key, order.owner, order.owner_id, 7, 2) == (
            group.key,
            group.owner,
            group.owner_id,
            group.generation,
            group.target,
        )
        assert order.template == group.template
        assert 2 == len(_counting(group))

    def test_a_group_of_no_replicas_is_kept(self, subject: Subject) -> None:
        """Zero is a count like any other: the group stays to be grown again."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 0, expect=ABSENT)
        assert (0, set()) == (_group(subject, order.key).target, _counting(_group(subject, order.key)))

    def test_creating_twice_is_refused_and_makes_nothing(self, subject: Subject) -> None:
        """A repeated creation whose first reply was lost conflicts instead of doubling the replicas."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 2, expect=ABSENT)
        before = _group(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 2, expect=ABSENT)
        assert before == _group(subject, order.key)

    def test_repeating_a_count_changes_nothing(self, subject: Subject) -> None:
        """Asking again for what is there leaves the same replicas and the same version."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 2, expect=ABSENT)
        before = _group(subject, order.key)
        subject.backend.apply(order, 2, expect=Expect(before.version))
        assert before == _group(subject, order.key)

    def test_an_old_version_is_refused(self, subject: Subject) -> None:
        """A count decided on what the group no longer is raises a conflict and changes nothing."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 1, expect=ABSENT)
        old = expectation(subject.backend, order.key)
        subject.backend.apply(order, 2, expect=old)
        before = _group(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 1, expect=old)
        assert before == _group(subject, order.key)

    def test_a_version_of_a_group_that_is_gone_is_refused(self, subject: Subject) -> None:
        """A group that somebody deleted meanwhile is not made again by a change to it."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 0, expect=ABSENT)
        old = expectation(subject.backend, order.key)
        subject.backend.delete(order.key, grace=GRACE, expect=old)
        with pytest.raises(Conflict):
            subject.backend.apply(order, 1, expect=old)
        assert None is found(subject.backend.observe(), order.key)

    def test_growing_keeps_the_replicas_that_are_there(self, subject: Subject) -> None:
        """More replicas are new ones; the running ones are not touched."""
        order = group_order(small_template(subject))
        before = {(one.id, one.incarnation) for one in started(subject, order, 2)}
        subject.backend.apply(order, 3, expect=expectation(subject.backend, order.key))
        after = {(one.id, one.incarnation) for one in _group(subject, order.key).replicas}
        assert before < after
        assert 3 == len(after)

    def test_an_existing_group_takes_owner_and_generation(self, subject: Subject) -> None:
        """What is around the template is rewritten without restarting a replica."""
        order = group_order(small_template(subject), generation=1)
        before = [one.incarnation for one in started(subject, order, 1)]
        subject.backend.apply(
            group_order(small_template(subject), generation=2), 1, expect=expectation(subject.backend, order.key)
        )
        group = _group(subject, order.key)
        assert (2, before) == (group.generation, [one.incarnation for one in group.replicas])

    def test_two_groups_do_not_touch_each_other(self, subject: Subject) -> None:
        """A change of one group leaves the other as it was, its version too."""
        one, other = group_order(small_template(subject)), group_order(small_template(subject, source="/models/next"))
        subject.backend.apply(one, 1, expect=ABSENT)
        before = _group(subject, one.key)
        subject.backend.apply(other, 2, expect=ABSENT)
        assert before == _group(subject, one.key)


class TestRetire:
    """Who goes when replicas must go."""

    def test_exactly_the_named_replicas_go(self, subject: Subject) -> None:
        """Where retiring is exact, the others stay, whatever their age."""
        _require(subject.backend.capabilities.exact_retire, "retires exactly")
        order = group_order(small_template(subject))
        replicas = started(subject, order, 3)
        named = (replicas[0].id, replicas[2].id)
        subject.backend.apply(order, 1, retire=named, expect=expectation(subject.backend, order.key))
        assert {replicas[1].id} == _counting(_group(subject, order.key))

    def test_slots_go_before_running_replicas(self, subject: Subject) -> None:
        """A replica that never ran is given up first when nobody is named."""
        _require(Scheduling.DIRECTED in subject.backend.capabilities.scheduling, "keeps slots open")
        order = group_order(small_template(subject))
        running = {one.id for one in started(subject, order, 2)}
        subject.backend.apply(order, 3, expect=expectation(subject.backend, order.key))
        subject.backend.apply(order, 2, expect=expectation(subject.backend, order.key))
        assert running == _counting(_group(subject, order.key))

    def test_a_name_nobody_has_retires_nobody_in_particular(self, subject: Subject) -> None:
        """The count is what is asked; names are only an order among those that go."""
        order = group_order(small_template(subject))
        started(subject, order, 2)
        subject.backend.apply(order, 1, retire=("nobody",), expect=expectation(subject.backend, order.key))
        assert 1 == len(_counting(_group(subject, order.key)))

    def test_retired_replicas_end(self, subject: Subject) -> None:
        """A replica told to stop is gone from the observation in the end."""
        order = group_order(small_template(subject))
        started(subject, order, 2)
        subject.backend.apply(order, 1, expect=expectation(subject.backend, order.key))
        seen = subject.until(lambda now: len((found(now, order.key) or _none(order.key)).replicas) == 1)
        assert 1 == len(_counting(found(seen, order.key)))


def _none(key: GroupKey) -> Group:
    raise AssertionError(f"the group {key} is gone")


class TestDelete:
    """Removing groups."""

    def test_an_unknown_group_is_fine(self, subject: Subject) -> None:
        """Deleting what is not there says nothing, whatever was expected of it."""
        order = group_order(small_template(subject))
        before = subject.backend.observe()
        subject.backend.delete(order.key, grace=GRACE, expect=Expect("1"))
        assert before == subject.backend.observe()

    def test_a_deleted_group_and_its_replicas_are_gone_in_the_end(self, subject: Subject) -> None:
        """Nothing of the group is observed once its replicas have ended."""
        order = group_order(small_template(subject))
        started(subject, order, 2)
        subject.backend.delete(order.key, grace=GRACE, expect=expectation(subject.backend, order.key))
        assert None is found(subject.until(lambda now: found(now, order.key) is None), order.key)

    def test_replicas_that_are_stopping_are_still_seen(self, subject: Subject) -> None:
        """What still holds room is in the observation, so that it still counts."""
        order = group_order(small_template(subject))
        ids = {one.id for one in started(subject, order, 2)}
        subject.backend.delete(order.key, grace=GRACE, expect=expectation(subject.backend, order.key))
        group = _group(subject, order.key)
        assert {(one, Phase.STOPPING) for one in ids} == {(one.id, one.phase) for one in group.replicas}

    def test_an_old_version_is_refused(self, subject: Subject) -> None:
        """A group that changed since it was judged is not deleted."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 1, expect=ABSENT)
        old = expectation(subject.backend, order.key)
        subject.backend.apply(order, 2, expect=old)
        before = _group(subject, order.key)
        with pytest.raises(Conflict):
            subject.backend.delete(order.key, grace=GRACE, expect=old)
        assert before == _group(subject, order.key)

    def test_deleting_again_while_it_ends_does_no_harm(self, subject: Subject) -> None:
        """A repeated delete with the version of now is quietly the same order."""
        order = group_order(small_template(subject))
        started(subject, order, 1)
        subject.backend.delete(order.key, grace=GRACE, expect=expectation(subject.backend, order.key))
        before = _group(subject, order.key)
        subject.backend.delete(order.key, grace=GRACE, expect=expectation(subject.backend, order.key))
        assert before == _group(subject, order.key)

    def test_a_group_can_be_made_again_under_its_old_key(self, subject: Subject) -> None:
        """The same revision returns with new replicas and a version that was never used."""
        order = group_order(small_template(subject))
        ids = {one.id for one in started(subject, order, 1)}
        old = expectation(subject.backend, order.key)
        subject.backend.delete(order.key, grace=GRACE, expect=old)
        subject.until(lambda now: found(now, order.key) is None)
        again = {one.id for one in started(subject, order, 1)}
        assert set() == ids & again
        assert old != expectation(subject.backend, order.key)


class TestBind:
    """Placing slots, where placement is ours."""

    @pytest.fixture(autouse=True)
    def _directed(self, subject: Subject) -> None:
        _require(Scheduling.DIRECTED in subject.backend.capabilities.scheduling, "is directed")

    def _slot(self, subject: Subject, cpu: int = 100) -> tuple[Binds, str, Snapshot]:
        order = group_order(small_template(subject, cpu=cpu))
        subject.backend.apply(order, 1, expect=ABSENT)
        backend, seen = subject.backend, subject.backend.observe()
        assert isinstance(backend, Binds)
        (replica,) = _group(subject, order.key).replicas
        assert Phase.SLOT is replica.phase
        return backend, replica.id, seen

    def test_a_slot_stays_one_until_it_is_bound(self, subject: Subject) -> None:
        """A directed cluster places nothing by itself."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 1, expect=ABSENT)
        before = _group(subject, order.key)
        with pytest.raises(AssertionError, match="not within"):
            subject.until(lambda now: found(now, order.key) != before)

    def test_binding_again_to_the_same_node_is_fine(self, subject: Subject) -> None:
        """A repeated bind starts nothing twice."""
        backend, replica, seen = self._slot(subject)
        backend.bind(replica, seen.nodes[0].name, ())
        before = subject.backend.observe()
        backend.bind(replica, seen.nodes[0].name, ())
        assert before == subject.backend.observe()

    def test_binding_elsewhere_is_refused(self, subject: Subject) -> None:
        """A replica that has a node keeps it."""
        backend, replica, seen = self._slot(subject)
        _require(len(seen.nodes) > 1, "has two nodes")
        backend.bind(replica, seen.nodes[0].name, ())
        with pytest.raises(Conflict):
            backend.bind(replica, seen.nodes[1].name, ())

    def test_a_slot_that_is_gone_is_refused(self, subject: Subject) -> None:
        """Binding a replica that nobody knows is a conflict, not a new replica."""
        backend, _, seen = self._slot(subject)
        before = subject.backend.observe()
        with pytest.raises(Conflict):
            backend.bind("nobody", seen.nodes[0].name, ())
        assert before == subject.backend.observe()

    def test_what_does_not_fit_is_refused(self, subject: Subject) -> None:
        """A node is not filled over what it can give away."""
        backend, replica, seen = self._slot(subject, cpu=1_000_000)
        with pytest.raises(OutOfCapacity):
            backend.bind(replica, seen.nodes[0].name, ())

    def test_binding_leaves_the_group_s_version(self, subject: Subject) -> None:
        """A change decided together with the bind still finds its precondition."""
        order = group_order(small_template(subject))
        subject.backend.apply(order, 1, expect=ABSENT)
        before = _group(subject, order.key).version
        bind_all(subject.backend, order.key)
        assert before == _group(subject, order.key).version


class TestRestart:
    """Restarting in place."""

    def test_a_restarted_replica_is_another_incarnation_of_itself(self, subject: Subject) -> None:
        """Id, node and endpoint stay; the incarnation and the count of restarts move on."""
        backend = subject.backend
        _require(isinstance(backend, Restarts) and backend.capabilities.restarts, "restarts in place")
        assert isinstance(backend, Restarts)
        order = group_order(small_template(subject))
        (before,) = started(subject, order, 1)
        backend.restart(before.id, grace=GRACE, reason="a test")
        after = subject.until(lambda now: _replaced(now, order.key, before.incarnation))
        (replica,) = (found(after, order.key) or _none(order.key)).replicas
        assert (before.id, before.node, before.endpoint) == (replica.id, replica.node, replica.endpoint)
        assert before.restarts + 1 == replica.restarts

    def test_a_restart_leaves_the_group_s_version(self, subject: Subject) -> None:
        """The set of replicas is the same, so preconditions on it hold."""
        backend = subject.backend
        _require(isinstance(backend, Restarts) and backend.capabilities.restarts, "restarts in place")
        assert isinstance(backend, Restarts)
        order = group_order(small_template(subject))
        (before,) = started(subject, order, 1)
        version = expectation(subject.backend, order.key)
        backend.restart(before.id, grace=GRACE, reason="a test")
        assert version == expectation(subject.backend, order.key)


def _replaced(snapshot: Snapshot, key: GroupKey, incarnation: str) -> bool:
    group = found(snapshot, key)
    return group is not None and all(
        one.phase is Phase.RUNNING and one.incarnation != incarnation for one in group.replicas
    )


class TestObserve:
    """What an observation shows."""

    def test_what_did_not_change_is_the_same_object(self, subject: Subject) -> None:
        """An unchanged group costs whoever reads it nothing."""
        order, other = group_order(small_template(subject)), group_order(small_template(subject), "other")
        started(subject, order, 1)
        before = _group(subject, order.key)
        subject.backend.apply(other, 1, expect=ABSENT)
        assert before is _group(subject, order.key)

    def test_a_running_replica_has_an_endpoint_of_its_own(self, subject: Subject) -> None:
        """No two replicas answer at one address."""
        endpoints = [one.endpoint for one in started(subject, group_order(small_template(subject)), 3)]
        assert None not in endpoints
        assert 3 == len(set(endpoints))

    def test_usage_is_of_running_replicas_only(self, subject: Subject) -> None:
        """What does not run uses nothing that could be measured, which is not the same as 0."""
        backend = subject.backend
        _require(isinstance(backend, MeasuresUsage), "measures use")
        assert isinstance(backend, MeasuresUsage)
        order = group_order(small_template(subject))
        running = {one.id for one in started(subject, order, 1)}
        subject.backend.apply(order, 2, expect=expectation(subject.backend, order.key))
        assert running == set(backend.usage())
