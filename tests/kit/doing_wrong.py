"""Backends that show what is so, and do what they were not asked."""

# Each class is one defect; its sentence says which.
# ruff: noqa: D102

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs

from roadstead.errors import (
    BackendError,
    Conflict,
    Forbidden,
    OutcomeUnknown,
    OutOfCapacity,
    Rejected,
    Retryable,
    Unreachable,
)
from roadstead.spi.backend import ABSENT, Expect, GroupOrder
from roadstead.testing.subject import OWNER_ID, STRANGER, bind_all
from roadstead.units import Duration
from roadstead.world import GroupKey, Phase, Snapshot
from tests.kit.wrapping import Faithful


class RestartsWhenItGrows(Faithful):
    """More replicas cost those that are there their process."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        running = self.replicas(order.key, Phase.RUNNING)
        super().apply(order, target, retire=retire, expect=expect)
        for one in running if target > len(running) else ():
            self.world.crash(one.id)


class RestartsWhenItShrinks(Faithful):
    """Fewer replicas cost those that stay their process."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        before = len(self.replicas(order.key))
        super().apply(order, target, retire=retire, expect=expect)
        for one in self.replicas(order.key, Phase.RUNNING) if target < before else ():
            self.world.crash(one.id)


class KeepsTheOldOwner(Faithful):
    """What is around the template stays as it was at first."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        group = self.now(order.key)
        if group is not None:
            order = attrs.evolve(order, owner=group.owner, generation=group.generation)
        super().apply(order, target, retire=retire, expect=expect)


class NeverReloads(Faithful):
    """Another model version is not taken over."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        group = self.now(order.key)
        order = attrs.evolve(order, reloading=None) if group is not None else order
        super().apply(order, target, retire=retire, expect=expect)


class RefusesToDeleteNothing(Faithful):
    """Deleting what is not there is an error."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        if self.now(key) is None:
            raise Rejected("there is no such group", cluster=self.world.name, subject=str(key))
        super().delete(key, grace=grace, expect=expect)


class WaitsForTheLost(Faithful):
    """Deleting stops nobody as long as one of the group is lost."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        if not self.replicas(key, Phase.LOST):
            super().delete(key, grace=grace, expect=expect)


class OnlyEmpties(Faithful):
    """Deleting stops the replicas and keeps the group."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.orders: dict[GroupKey, GroupOrder] = {}

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        super().apply(order, target, retire=retire, expect=expect)
        self.orders[order.key] = order

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:  # noqa: ARG002  # that is the defect
        self.world.apply(self.orders[key], 0, expect=expect)


class NamesNoCluster(Faithful):
    """An error does not say where."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        try:
            super().apply(order, target, retire=retire, expect=expect)
        except Conflict as error:
            raise Conflict("it changed", cluster="", subject=error.subject) from error


class TakesForbiddenForRejected(Faithful):
    """One refusal is taken for another."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        try:
            super().apply(order, target, retire=retire, expect=expect)
        except Forbidden as error:
            raise Rejected("no", cluster=error.cluster, subject=error.subject) from error


class DeletesAgain(Faithful):
    """A refused deletion is tried once more on its own account."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        try:
            super().delete(key, grace=grace, expect=expect)
        except BackendError:
            super().delete(key, grace=grace, expect=expect)


class DoubtsWhatItKnows(Faithful):
    """A request that could not be sent may have been carried out."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        try:
            super().apply(order, target, retire=retire, expect=expect)
        except Unreachable as error:
            raise OutcomeUnknown("no answer", cluster=error.cluster, subject=error.subject) from error


class KillsWhenCutOff(Faithful):
    """Servers do not survive that nobody can reach the cluster."""

    def observe(self) -> Snapshot:
        try:
            return super().observe()
        except Unreachable:
            for group in self.world.truth().groups:
                for one in group.replicas:
                    self.world.crash(one.id)
            raise


class IgnoresThatItExists(Faithful):
    """A creation of what is there goes through as a change."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        expect = self.expected_now(order.key) if expect == ABSENT else expect
        super().apply(order, target, retire=retire, expect=expect)


class RefusesToDeleteAgain(Faithful):
    """Deleting what ends already is an error."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        if self.replicas(key, Phase.STOPPING):
            raise Rejected("it is being deleted", cluster=self.world.name, subject=str(key))
        super().delete(key, grace=grace, expect=expect)


class ConflictsOverTheGone(Faithful):
    """Deleting what is gone conflicts."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        if self.now(key) is None:
            raise Conflict("it is gone", cluster=self.world.name, subject=str(key))
        super().delete(key, grace=grace, expect=expect)


class RefusesToBindAgain(Faithful):
    """Binding what is bound there already conflicts."""

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        if any(one.id == replica and one.node for group in self.world.truth().groups for one in group.replicas):
            raise Conflict("it is bound", cluster=self.world.name, subject=replica)
        super().bind(replica, node, devices)


class TakesLostForUnreachable(Faithful):
    """A lost reply is told as a cluster that was never reached."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        try:
            super().apply(order, target, retire=retire, expect=expect)
        except OutcomeUnknown as error:
            raise Unreachable("no answer", cluster=error.cluster, subject=error.subject) from error


class TakesLostForDone(Faithful):
    """A call whose reply was lost has gone well."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        try:
            super().apply(order, target, retire=retire, expect=expect)
        except OutcomeUnknown:
            return


class MakesLostChangesAgain(Faithful):
    """A change whose reply was lost is made again on its own account, from where the first one left it."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        try:
            super().apply(order, target, retire=retire, expect=expect)
        except OutcomeUnknown:
            super().apply(order, target + 1, retire=retire, expect=self.expected_now(order.key))
            raise


class TakesALostDeletionForRetryable(Faithful):
    """A deletion whose reply was lost is told as one that was not begun."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        try:
            super().delete(key, grace=grace, expect=expect)
        except OutcomeUnknown as error:
            raise Retryable("later", cluster=error.cluster, subject=error.subject) from error


class KillsWhenItCloses(Faithful):
    """A daemon takes its servers with it."""

    def close(self) -> None:
        for group in self.world.truth().groups:
            for one in group.replicas:
                self.world.crash(one.id)
        super().close()


class ChangesOnlyItsOwn(Faithful):
    """A group that another object made cannot be changed."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.made: set[GroupKey] = set()

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        if expect != ABSENT and order.key not in self.made:
            raise Rejected("it was made by another", cluster=self.world.name, subject=str(order.key))
        super().apply(order, target, retire=retire, expect=expect)
        self.made.add(order.key)


class TakesWhatIsNotOurs(Faithful):
    """A group of others is changed like one of ours."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        try:
            super().apply(order, target, retire=retire, expect=expect)
        except Conflict:
            self.world.hand_over(STRANGER)
            super().apply(order, target, retire=retire, expect=self.expected_now(order.key))
            self.world.hand_over(OWNER_ID)
            raise


class DeletesWhatIsNotOurs(Faithful):
    """A group of others is deleted like one of ours."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        try:
            super().delete(key, grace=grace, expect=expect)
        except Conflict:
            self.world.hand_over(STRANGER)
            super().delete(key, grace=grace, expect=self.expected_now(key))
            self.world.hand_over(OWNER_ID)
            raise


class BindsByItself(Faithful):
    """A directed cluster places slots before we have."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        super().apply(order, target, retire=retire, expect=expect)
        bind_all(self.world, order.key)


class BindsToTheFirst(Faithful):
    """Whatever node is named, the first one gets it."""

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:  # noqa: ARG002  # that is the defect
        super().bind(replica, self.world.truth().nodes[0].name, devices)


class BindsWhatItCan(Faithful):
    """A bind that conflicts is taken for done."""

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        try:
            super().bind(replica, node, devices)
        except Conflict:
            return


class RejectsUnknownNodes(Faithful):
    """A node that vanished is an error for ever."""

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        if node not in self.world.truth().by_node:
            raise Rejected("there is no such node", cluster=self.world.name, subject=replica)
        super().bind(replica, node, devices)


class FillsNodesOver(Faithful):
    """What does not fit is said to be bound."""

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        try:
            super().bind(replica, node, devices)
        except OutOfCapacity:
            return


class IgnoresOldVersions(Faithful):
    """A change goes through, whatever it was decided on."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        expect = self.expected_now(order.key) if expect != ABSENT else expect
        super().apply(order, target, retire=retire, expect=expect)


class DeletesOldVersions(Faithful):
    """A deletion goes through, whatever it was decided on."""

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:  # noqa: ARG002  # that is the defect
        super().delete(key, grace=grace, expect=self.expected_now(key))


class RestartsTheGroup(Faithful):
    """One replica cannot be restarted without the others."""

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:
        for group in self.world.truth().groups:
            if any(one.id == replica for one in group.replicas):
                for one in group.replicas:
                    super().restart(one.id, grace=grace, reason=reason)


class RestartsNobody(Faithful):
    """Restarting who is not there is fine."""

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:
        try:
            super().restart(replica, grace=grace, reason=reason)
        except Conflict:
            return


class RetiresTheOthers(Faithful):
    """Who is named stays."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        others = tuple(one.id for one in self.replicas(order.key) if one.id not in retire)
        super().apply(order, target, retire=others if retire else (), expect=expect)


class RetiresAllThatAreNamed(Faithful):
    """Every name costs a replica, whatever the count says."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        super().apply(
            order,
            min(target, len(self.replicas(order.key)) - len(retire)) if retire else target,
            retire=retire,
            expect=expect,
        )


class WaitsForTheNamed(Faithful):
    """A group shrinks by those who are named and there, and by nobody else."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        there = {one.id for one in self.replicas(order.key)}
        most = len(there) - len(there.intersection(retire))
        super().apply(order, max(target, most) if retire else target, retire=retire, expect=expect)


class RetiresAndGrows(Faithful):
    """Who is named goes, also while the group grows."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        if retire:
            super().apply(order, len(self.replicas(order.key)) - len(retire), retire=retire, expect=expect)
            expect = self.expected_now(order.key)
        super().apply(order, target, expect=expect)


class GivesUpServersFirst(Faithful):
    """Replicas that run go before those that never did."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        running = tuple(one.id for one in self.replicas(order.key, Phase.RUNNING))
        super().apply(order, target, retire=retire or running, expect=expect)


class CountsWhoStops(Faithful):
    """Who is on its way out is taken for one of those asked for."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        stopping = len(self.replicas(order.key, Phase.STOPPING))
        super().apply(order, max(0, target - stopping), retire=retire, expect=expect)


class LeavesTheLost(Faithful):
    """Being asked for what it was asked for before, it does nothing."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        group = self.now(order.key)
        if group is None or group.target != target:
            super().apply(order, target, retire=retire, expect=expect)


class MissesEveryFourth(Faithful):
    """One change in four is acknowledged and not made."""

    calls: int = 0

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        self.calls += 1
        if self.calls % 4:
            super().apply(order, target, retire=retire, expect=expect)


class RecreatesTheGone(Faithful):
    """A change of a group that is gone makes it again."""

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        expect = ABSENT if self.now(order.key) is None else expect
        super().apply(order, target, retire=retire, expect=expect)


class EvictsTheGroup(Faithful):
    """One replica cannot be taken away without the others."""

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        for group in self.world.truth().groups:
            if any(one.id == replica for one in group.replicas):
                for one in group.replicas:
                    super().evict(one.id, grace=grace, reason=reason)


class EvictsForGood(OnlyEmpties):
    """Who is taken away is not wanted any more."""

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        super().evict(replica, grace=grace, reason=reason)
        for key, order in self.orders.items():
            self.world.apply(order, len(self.replicas(key)), expect=self.expected_now(key))


class RefusesToEvictAgain(Faithful):
    """Taking away who goes already conflicts."""

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        for group in self.world.truth().groups:
            if any(one.id == replica and one.phase is Phase.STOPPING for one in group.replicas):
                raise Conflict("it stops", cluster=self.world.name, subject=replica)
        super().evict(replica, grace=grace, reason=reason)


class EvictsNobody(Faithful):
    """Taking away who is not there is fine."""

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        try:
            super().evict(replica, grace=grace, reason=reason)
        except Conflict:
            return


class RevertsByAskingAnew(OnlyEmpties):
    """What others changed is put back by emptying the group and asking for it again."""

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        count = len(self.replicas(key))
        super().revert(key, expect=expect)
        self.world.apply(self.orders[key], 0, expect=self.expected_now(key))
        self.world.apply(self.orders[key], count, expect=self.expected_now(key))


class RevertsWhatIsAsItWas(OnlyEmpties):
    """Putting back is a change, also of what nobody changed."""

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        super().revert(key, expect=expect)
        order = self.orders[key]
        later = attrs.evolve(order, generation=order.generation + 1)
        self.world.apply(later, len(self.replicas(key)), expect=self.expected_now(key))


class RevertsOldDecisions(Faithful):
    """What others changed is put back, whatever was known of it."""

    def revert(self, key: GroupKey, *, expect: Expect) -> None:  # noqa: ARG002  # that is the defect
        super().revert(key, expect=self.expected_now(key))


class RevertsTheGone(Faithful):
    """Putting back what is gone is fine."""

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        if self.now(key) is not None:
            super().revert(key, expect=expect)


class RevertsAllAtOnce(Faithful):
    """One group is put back with all others."""

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        super().revert(key, expect=expect)
        for group in self.world.truth().groups:
            super().revert(group.key, expect=self.expected_now(group.key))


class RevertsOnceOnly(Faithful):
    """A lost reply to a revert is the end of it."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.lost = False

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        if self.lost:
            return
        try:
            super().revert(key, expect=expect)
        except OutcomeUnknown:
            self.lost = True
            raise


class SettlesWithTheGroup(Faithful):
    """What stands for a deployment is made when there is a group, and not before."""

    def settle(self, deployment: str, floor: int | None) -> None:
        if any(group.key.deployment == deployment for group in self.world.truth().groups):
            super().settle(deployment, floor)


class NeverLowers(Faithful):
    """A floor only rises."""

    def settle(self, deployment: str, floor: int | None) -> None:
        stands = self.world.truth().settled.get(deployment, 0)
        super().settle(deployment, floor if floor is None else max(floor, stands))


class RemovesAllThatStands(Faithful):
    """One deployment's end is everybody's."""

    def settle(self, deployment: str, floor: int | None) -> None:
        for name in self.world.truth().settled if floor is None else ():
            super().settle(name, None)
        super().settle(deployment, floor)


class SettlesByTouchingGroups(OnlyEmpties):
    """A floor is written into the groups."""

    def settle(self, deployment: str, floor: int | None) -> None:
        super().settle(deployment, floor)
        for key, order in self.orders.items():
            if key.deployment == deployment and self.now(key) is not None:
                later = attrs.evolve(order, generation=order.generation + 1 + (floor or 0))
                self.world.apply(later, len(self.replicas(key)), expect=self.expected_now(key))


class TakesALostFloorForDone(Faithful):
    """A floor whose reply was lost stands."""

    def settle(self, deployment: str, floor: int | None) -> None:
        with suppress(OutcomeUnknown):
            super().settle(deployment, floor)


class SettlesForOthers(Faithful):
    """What stands for others is taken over."""

    def settle(self, deployment: str, floor: int | None) -> None:
        try:
            super().settle(deployment, floor)
        except Conflict:
            self.world.hand_over(STRANGER)
            super().settle(deployment, floor)
            self.world.hand_over(OWNER_ID)
