"""Backends that do what they are asked, and show what is not so."""

# Each class is one defect; its sentence says which.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from roadstead.capabilities import Capabilities
from roadstead.errors import Unreachable
from roadstead.spi.backend import Expect, GroupOrder
from roadstead.testing.subject import OWNER_ID
from roadstead.units import Cpus
from roadstead.world import Drift, Endpoint, Group, GroupKey, Phase, Replica, Snapshot, Usage
from tests.kit.wrapping import Faithful, Renaming, Showing


class ForgetsTheGeneration(Showing):
    """Every group is of the first generation."""

    def group(self, group: Group) -> Group:
        return attrs.evolve(group, generation=1)


class LooksLate(Faithful):
    """The first look after a change is the one from before it."""

    before: Snapshot | None = None
    late: bool = False

    def observe(self) -> Snapshot:
        seen = self.world.observe()
        shown, self.before, self.late = (self.before if self.late else seen) or seen, seen, False
        return shown

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        super().apply(order, target, retire=retire, expect=expect)
        self.late = True


class HidesEmptyGroups(Showing):
    """A group without replicas is not there."""

    def group(self, group: Group) -> Group | None:
        return group if group.replicas else None


class HasOneVersionForAll(Renaming):
    """A change of any group gives every group another version."""

    def token(self, group: Group) -> str:  # noqa: ARG002  # that is the defect
        return "/".join(one.version for one in self.world.truth().groups)


class ShowsTheLastTemplate(Showing):
    """A group seems to be what it was last ordered as."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.ordered: dict[GroupKey, GroupOrder] = {}

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        super().apply(order, target, retire=retire, expect=expect)
        self.ordered[order.key] = order

    def group(self, group: Group) -> Group:
        return attrs.evolve(group, template=self.ordered[group.key].template)


class HidesWhoStops(Showing):
    """Who was told to stop is gone at once."""

    def group(self, group: Group) -> Group:
        return attrs.evolve(group, replicas=tuple(one for one in group.replicas if one.phase is not Phase.STOPPING))


class CountsVersionsFromOne(Renaming):
    """A group made again under its key has the versions of the one before."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.numbers: dict[GroupKey, dict[str, int]] = {}

    def observe(self) -> Snapshot:
        seen = super().observe()
        for key in self.numbers.keys() - {group.key for group in seen.groups}:
            del self.numbers[key]
        return seen

    def token(self, group: Group) -> str:
        numbers = self.numbers.setdefault(group.key, {})
        return str(numbers.setdefault(group.version, len(numbers)))


class ShowsNothingWhenCutOff(Faithful):
    """A cluster that does not answer looks empty."""

    def observe(self) -> Snapshot:
        try:
            return super().observe()
        except Unreachable:
            return Snapshot(capabilities=self.capabilities)


class CountsCallsAsVersions(Renaming):
    """Every call makes a new version, whether it changed anything or not."""

    calls: int = 0

    def token(self, group: Group) -> str:
        return f"{group.version}.{self.calls}"

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        super().apply(order, target, retire=retire, expect=expect)
        self.calls += 1


class ShowsOldCapabilities(Showing):
    """A snapshot carries other capabilities than the backend has."""

    def observe(self) -> Snapshot:
        seen = super().observe()
        return attrs.evolve(seen, capabilities=attrs.evolve(seen.capabilities, version="before the upgrade"))


class CopiesGroups(Showing):
    """Every look makes every group anew."""

    def group(self, group: Group) -> Group:
        return attrs.evolve(group)


class NumbersReplicasByGroup(Showing):
    """The first replica of every group is called 0."""

    def group(self, group: Group) -> Group:
        numbered = (attrs.evolve(one, id=str(number)) for number, one in enumerate(group.replicas))
        return attrs.evolve(group, replicas=tuple(numbered))


class UsesIdsAgain(Showing):
    """The first replica of a group has the same id as the first one that it had before."""

    def group(self, group: Group) -> Group:
        numbered = (attrs.evolve(one, id=f"{group.key}-{number}") for number, one in enumerate(group.replicas))
        return attrs.evolve(group, replicas=tuple(numbered))


class PutsSlotsSomewhere(Showing):
    """A slot seems to have a node already."""

    def group(self, group: Group) -> Group:
        return self.each(group, lambda one: attrs.evolve(one, node=one.node or "node-1"))


class GivesOneAddress(Showing):
    """All replicas answer at one address."""

    def group(self, group: Group) -> Group:
        endpoint = Endpoint(host="127.0.0.1", grpc=8500, rest=8501)
        return self.each(group, lambda one: attrs.evolve(one, endpoint=one.endpoint and endpoint))


class ShowsNodesTwice(Showing):
    """Every node is listed twice."""

    def observe(self) -> Snapshot:
        seen = super().observe()
        return attrs.evolve(seen, nodes=seen.nodes * 2)


class TakesOursForForeign(Showing):
    """What our replicas hold is shown as held by others."""

    def observe(self) -> Snapshot:
        seen = super().observe()
        held = sum(len(group.placed) for group in seen.groups)
        nodes = tuple(attrs.evolve(node, foreign_cpu=Cpus(100 * held)) for node in seen.nodes)
        return attrs.evolve(seen, nodes=nodes)


class MeasuresTheAbsent(Faithful):
    """What does not run uses 0."""

    def usage(self) -> Mapping[str, Usage]:
        replicas = (one for group in self.world.truth().groups for one in group.replicas)
        return {one.id: Usage(cpu=Cpus(0)) for one in replicas} | dict(super().usage())


class NeverWakes(Faithful):
    """Whoever watches is not told."""

    def watch(self, wake: Callable[[], None]) -> None:
        """Forget who listens."""


class CutsLines(Faithful):
    """A chunk of log ends anywhere."""

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        for chunk in super().logs(replica, tail=tail, follow=follow):
            yield chunk[:3]
            yield chunk[3:]


class HasNoLogsOfNobody(Faithful):
    """The logs of an unknown replica are empty."""

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:
        if any(one.id == replica for group in self.world.truth().groups for one in group.replicas):
            yield from super().logs(replica, tail=tail, follow=follow)


class TellsOfNobody(Showing):
    """Other owners are not told of."""

    def observe(self) -> Snapshot:
        return attrs.evolve(super().observe(), foreign_owners=frozenset())


class TellsOfUs(Showing):
    """We are foreign to ourselves."""

    def observe(self) -> Snapshot:
        return attrs.evolve(super().observe(), foreign_owners=frozenset({OWNER_ID}))


class HidesDevices(Showing):
    """What devices a replica has is not shown."""

    def group(self, group: Group) -> Group:
        return self.each(group, lambda one: attrs.evolve(one, devices=()))


class TakesTheCountForTheVersion(Renaming):
    """A group that was asked for as many as before has its version of then."""

    def token(self, group: Group) -> str:
        return str(group.target)


class PutsPhasesInTheVersion(Renaming):
    """A version changes as the replicas get on."""

    def token(self, group: Group) -> str:
        return f"{group.version}/{'/'.join(one.phase.value for one in group.replicas)}"


class PutsProcessesInTheVersion(Renaming):
    """A version changes with every restart."""

    def token(self, group: Group) -> str:
        return f"{group.version}/{'/'.join(str(one.restarts) for one in group.replicas)}"


class ShowsTheFirstVersion(Showing):
    """A version that was shown once is shown for ever."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.first: dict[GroupKey, str] = {}

    def group(self, group: Group) -> Group:
        return attrs.evolve(group, version=self.first.setdefault(group.key, group.version))


class CountsNoRestarts(Showing):
    """A restarted replica looks as if it never was."""

    def group(self, group: Group) -> Group:
        return self.each(group, lambda one: attrs.evolve(one, restarts=0))


class ForgetsEnds(Showing):
    """Nobody is told how a server ended."""

    def group(self, group: Group) -> Group:
        return self.each(group, lambda one: attrs.evolve(one, last_exit=None, earlier_exits=()))


class SaysThatItHeals(Faithful):
    """It says that it replaces lost replicas, and waits to be asked."""

    @property
    def capabilities(self) -> Capabilities:
        return attrs.evolve(self.world.capabilities, heals_alone=True)


class LetsSlotsLinger(Showing):
    """A slot that was given up seems to stop for a while."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self.slots: dict[GroupKey, dict[str, Replica]] = {}

    def group(self, group: Group) -> Group:
        slots = self.slots.setdefault(group.key, {})
        slots.update({one.id: one for one in group.replicas if one.phase is Phase.SLOT})
        gone = [slots.pop(name) for name in slots.keys() - {one.id for one in group.replicas}]
        lingering = tuple(attrs.evolve(one, phase=Phase.STOPPING) for one in gone)
        return attrs.evolve(group, replicas=group.replicas + lingering)


class ShowsNoDrift(Showing):
    """Nobody is told of what others change."""

    def group(self, group: Group) -> Group:
        return attrs.evolve(group, drift=())


class SeesDriftInCounts(Showing):
    """Our own count is taken for somebody else's."""

    def group(self, group: Group) -> Group:
        return attrs.evolve(group, drift=(Drift(field="replicas", ours="1", theirs=str(group.target)),))


class MissesMeddlingInTheVersion(Renaming):
    """A change by others leaves the token."""

    def token(self, group: Group) -> str:
        return f"{group.target}/{len(group.replicas)}"


class TellsNoStrayApart(Showing):
    """Who was made from what somebody else wrote is like all others."""

    def group(self, group: Group) -> Group:
        return self.each(group, lambda one: attrs.evolve(one, drifted=False))


class CopiesWhatStands(Faithful):
    """What stands is another object each time."""

    def observe(self) -> Snapshot:
        seen = super().observe()
        return attrs.evolve(seen, settled=dict(seen.settled))
