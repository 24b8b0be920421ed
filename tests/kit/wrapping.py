"""A backend in front of a simulated cluster: it keeps the contract, and its subclasses break it in one place each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import attrs

from roadstead.capabilities import Capabilities
from roadstead.errors import Conflict, Rejected
from roadstead.model import Template
from roadstead.spi.backend import Expect, GroupOrder
from roadstead.testing.subject import found
from roadstead.units import Duration
from roadstead.world import Group, GroupKey, Phase, Replica, Snapshot, Usage
from roadstead_backends.simulated.cluster import SimulatedCluster

__all__ = ["Bare", "Faithful", "Renaming", "Showing"]


class Bare:
    """Passes on what every backend has to have, and nothing else."""

    def __init__(self, world: SimulatedCluster) -> None:
        self.world = world

    @property
    def capabilities(self) -> Capabilities:
        """What the cluster can do."""
        return self.world.capabilities

    def observe(self) -> Snapshot:
        """Look."""
        return self.world.observe()

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create or converge."""
        self.world.apply(order, target, retire=retire, expect=expect)

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove."""
        self.world.delete(key, grace=grace, expect=expect)

    def close(self) -> None:
        """Let go."""
        self.world.close()

    # ---- for whoever breaks it ----

    def now(self, key: GroupKey) -> Group | None:
        """Return the group as it really is."""
        return found(self.world.truth(), key)

    def replicas(self, key: GroupKey, *phases: Phase) -> list[Replica]:
        """Return the group's replicas in one of these phases, or all that count."""
        group = self.now(key)
        wanted = phases or (Phase.SLOT, Phase.STARTING, Phase.RUNNING)
        return [one for one in group.replicas if one.phase in wanted] if group is not None else []

    def expected_now(self, key: GroupKey) -> Expect:
        """Return the precondition that really holds."""
        group = self.now(key)
        return Expect(group.version if group is not None else None)


class Faithful(Bare):
    """Passes on all that a simulated cluster can, and keeps two lines of log for each replica besides."""

    def bind(self, replica: str, node: str, devices: tuple[str, ...]) -> None:
        """Place."""
        self.world.bind(replica, node, devices)

    def restart(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Restart."""
        self.world.restart(replica, grace=grace, reason=reason)

    def evict(self, replica: str, *, grace: Duration, reason: str) -> None:
        """Take away."""
        self.world.evict(replica, grace=grace, reason=reason)

    def revert(self, key: GroupKey, *, expect: Expect) -> None:
        """Put back."""
        self.world.revert(key, expect=expect)

    def settle(self, deployment: str, floor: int | None) -> None:
        """Let stand."""
        self.world.settle(deployment, floor)

    def check_model(self, template: Template) -> None:
        """Check."""
        self.world.check_model(template)

    def usage(self) -> Mapping[str, Usage]:
        """Measure."""
        return self.world.usage()

    def watch(self, wake: Callable[[], None]) -> None:
        """Listen."""
        self.world.watch(wake)

    def logs(self, replica: str, *, tail: int | None, follow: bool) -> Iterator[bytes]:  # noqa: ARG002  # it never grows
        """Yield two lines in one chunk."""
        if not any(one.id == replica for group in self.world.truth().groups for one in group.replicas):
            raise Rejected("there is no such replica", cluster=self.world.name, subject=replica)
        lines = [b"begun\n", b"serving\n"]
        yield b"".join(lines if tail is None else lines[-tail:])


class Showing(Faithful):
    """Shows every group as :meth:`group` makes it, none where that is ``None``."""

    def observe(self) -> Snapshot:
        """Look, and change what is seen."""
        seen = super().observe()
        shown = (self.group(group) for group in seen.groups)
        return attrs.evolve(seen, groups=tuple(group for group in shown if group is not None))

    def group(self, group: Group) -> Group | None:
        """Return what is shown of a group."""
        return group

    def each(self, group: Group, change: Callable[[Replica], Replica]) -> Group:
        """Return a group with every replica changed."""
        return attrs.evolve(group, replicas=tuple(map(change, group.replicas)))


class Renaming(Showing):
    """Has version tokens of its own, as :meth:`token` makes them, and takes them back."""

    def token(self, group: Group) -> str:
        """Return the token that stands for the group as it is now."""
        return group.version

    def group(self, group: Group) -> Group | None:
        """Show its own token."""
        return attrs.evolve(group, version=self.token(group))

    def apply(self, order: GroupOrder, target: int, *, retire: tuple[str, ...] = (), expect: Expect) -> None:
        """Create or converge, if the token is that of now."""
        self.world.apply(order, target, retire=retire, expect=self._meant(order.key, expect))

    def delete(self, key: GroupKey, *, grace: Duration, expect: Expect) -> None:
        """Remove, if the token is that of now."""
        self.world.delete(key, grace=grace, expect=self._meant(key, expect))

    def _meant(self, key: GroupKey, expect: Expect) -> Expect:
        group = self.now(key)
        if group is None or expect.version is None:
            return expect
        if expect.version != self.token(group):
            raise Conflict("it changed", cluster=self.world.name, subject=str(key))
        return Expect(group.version)
