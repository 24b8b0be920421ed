"""The backend under test does what the simulated one does, step for step, over stories that Hypothesis makes up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import attrs
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Phases
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from roadstead.errors import BackendError
from roadstead.model import Scheduling
from roadstead.spi.backend import (
    ABSENT,
    Backend,
    BackendContext,
    Binds,
    Evicts,
    Expect,
    GroupOrder,
    Restarts,
    Settles,
)
from roadstead.spi.host import PluginHost, resolve
from roadstead.spi.records import BackendPlugin
from roadstead.testing.conformance.asking import GRACE, apply, delete, insist
from roadstead.testing.conformance.live import LiveSubject
from roadstead.testing.subject import OWNER_ID, Subject, found, group_order, small_template
from roadstead.world import Group, GroupKey, Phase, Replica, Snapshot

__all__ = ["SideBySide"]

_NAMES = ("anchor", "buoy")
_MOST = 3
_SPEED = 1_000_000
"""How much faster than ours the time of the simulated cluster runs: it has always settled when it is looked at."""

_counts = st.integers(0, _MOST)
_names = st.sampled_from(_NAMES)
_picks = st.integers(0, _MOST - 1)


class SideBySide:
    """The backend under test does what the simulated one does.

    ``examples`` stories of ``steps`` steps each; whoever has slow servers asks for fewer. Where it ``shrinks``, a story
    that ends badly is told again and again to find a shorter one: that takes the cluster's patience each time.
    """

    examples: ClassVar[int] = 20
    steps: ClassVar[int] = 12
    shrinks: ClassVar[bool] = False

    def test_it_does_what_the_simulated_cluster_does(self, subject: Subject) -> None:
        """The same calls are taken or refused, for the same reason, and lead to the same groups and replicas."""
        run_state_machine_as_test(
            lambda: _Beside(subject),  # type: ignore[arg-type]  # whatever returns a machine will do
            settings=settings(
                max_examples=self.examples,
                stateful_step_count=self.steps,
                phases=tuple(phase for phase in Phases if self.shrinks or phase is not Phases.shrink),
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


@attrs.frozen(kw_only=True)
class _Look:
    """What both must agree on of one group: not names, times and tokens, which are each cluster's own."""

    owner: str
    generation: int
    target: int
    phases: tuple[str, ...]


@attrs.define
class _Side:
    """One of the two clusters, with the versions that its groups had after each step."""

    subject: Subject
    versions: dict[GroupKey, list[str]] = attrs.field(factory=dict)

    def expect(self, key: GroupKey, age: int | None) -> Expect:
        """Return a precondition: the version of so many steps ago, that of now for 0, absence for ``None``."""
        known = self.versions.get(key, [])
        if age is None or not known:
            return ABSENT
        return Expect(known[max(0, len(known) - 1 - age)])

    def pick(self, key: GroupKey, number: int) -> Replica | None:
        """Return one of the group's replicas, of those that are there now; slots come before what runs."""
        group = found(self.subject.backend.observe(), key)
        replicas = sorted(group.replicas, key=_place) if group is not None else []
        return replicas[number] if number < len(replicas) else None

    def remember(self) -> None:
        """Note the versions of now."""
        for group in self.subject.backend.observe().groups:
            self.versions.setdefault(group.key, []).append(group.version)


class _Beside(RuleBasedStateMachine):
    """Calls to both, in the same order; after each, both are waited for and compared."""

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self.ours = _Side(subject)
        self.theirs = _Side(_simulated_beside(subject.backend))

    # ---- steps ----

    @rule(name=_names, count=_counts, age=st.sampled_from([None, 0, 0, 0, 1]), generation=st.integers(1, 2))
    def apply(self, name: str, count: int, age: int | None, generation: int) -> None:
        """Create a group or change its count, on a version that may be old."""
        if self.ours.subject.backend.capabilities.metadata_restarts:
            generation = 1
        self._both(
            lambda side, order: apply(
                side.subject, attrs.evolve(order, generation=generation), count, expect=side.expect(order.key, age)
            ),
            name,
        )

    @precondition(lambda self: self.exact)
    @rule(name=_names, pick=_picks)
    def retire(self, name: str, pick: int) -> None:
        """Give up one replica by its name; another of the same kind does not go for it."""
        named = {id(side): side.pick(self._order(side, name).key, pick) for side in (self.ours, self.theirs)}

        def call(side: _Side, order: GroupOrder) -> None:
            replica = named[id(side)]
            group = found(side.subject.backend.observe(), order.key)
            if replica is not None and group is not None:
                apply(side.subject, order, group.target - 1, retire=(replica.id,))

        self._both(call, name)
        for side in (self.ours, self.theirs):
            group = found(side.subject.backend.observe(), self._order(side, name).key)
            gone = named[id(side)]
            left = {one.id for one in group.replicas if one.phase is not Phase.STOPPING} if group else set()
            assert gone is None or gone.id not in left, f"{gone} was named and stays"

    @rule(name=_names, age=st.sampled_from([None, 0, 0, 1]))
    def delete(self, name: str, age: int | None) -> None:
        """Remove a group, on a version that may be old."""
        self._both(
            lambda side, order: side.subject.backend.delete(order.key, grace=GRACE, expect=side.expect(order.key, age)),
            name,
        )

    @precondition(lambda self: self.directed)
    @rule(name=_names, pick=_picks)
    def bind(self, name: str, pick: int) -> None:
        """Put a replica on the first node, whether it is a slot, runs there already, or is nobody."""

        def call(side: _Side, order: GroupOrder) -> None:
            backend = side.subject.backend
            replica = side.pick(order.key, pick)
            assert isinstance(backend, Binds)
            backend.bind(
                replica.id if replica is not None else "nobody",
                (replica.node if replica is not None else None) or backend.observe().nodes[0].name,
                (),
            )

        self._both(call, name)

    @precondition(lambda self: self.restarts)
    @rule(name=_names, pick=_picks)
    def restart(self, name: str, pick: int) -> None:
        """Restart a replica that runs, or nobody."""
        ended = [
            replica.incarnation
            for side in (self.ours, self.theirs)
            if (replica := side.pick(self._order(side, name).key, pick)) is not None and replica.phase is Phase.RUNNING
        ]

        def call(side: _Side, order: GroupOrder) -> None:
            backend = side.subject.backend
            replica = side.pick(order.key, pick)
            assert isinstance(backend, Restarts)
            if replica is None or replica.phase is Phase.RUNNING:
                backend.restart(replica.id if replica is not None else "nobody", grace=GRACE, reason="a test")

        self._both(call, name, without=frozenset(ended))

    @precondition(lambda self: self.evicts)
    @rule(name=_names, pick=_picks)
    def evict(self, name: str, pick: int) -> None:
        """Take away a replica, or nobody; another one comes by itself."""
        ended = [
            replica.incarnation
            for side in (self.ours, self.theirs)
            if (replica := side.pick(self._order(side, name).key, pick)) is not None and replica.incarnation
        ]

        def call(side: _Side, order: GroupOrder) -> None:
            backend = side.subject.backend
            replica = side.pick(order.key, pick)
            assert isinstance(backend, Evicts)
            backend.evict(replica.id if replica is not None else "nobody", grace=GRACE, reason="a test")

        self._both(call, name, without=frozenset(ended))

    @precondition(lambda self: self.settles)
    @rule(name=_names, floor=st.none() | _counts)
    def settle(self, name: str, floor: int | None) -> None:
        """Let something stand for a deployment, whether or not there is a group of it, or remove that."""

        def call(side: _Side, _: GroupOrder) -> None:
            backend = side.subject.backend
            assert isinstance(backend, Settles)
            backend.settle(name, floor)

        self._both(call, name)

    def teardown(self) -> None:
        """Leave the cluster under test as it was found."""
        for side in (self.ours, self.theirs):
            for name, backend in ((name, side.subject.backend) for name in _NAMES):
                if self.settles and isinstance(backend, Settles):
                    backend.settle(name, None)
            for group in side.subject.backend.observe().groups:
                delete(side.subject, group.key)
            side.subject.until(lambda seen: not seen.groups)
        self.theirs.subject.backend.close()

    # ---- comparing ----

    @property
    def exact(self) -> bool:
        """Whether the named replicas are those that go."""
        return self.ours.subject.backend.capabilities.exact_retire

    @property
    def directed(self) -> bool:
        """Whether placement is ours."""
        return Scheduling.DIRECTED in self.ours.subject.backend.capabilities.scheduling

    @property
    def restarts(self) -> bool:
        """Whether one replica can be restarted."""
        return self.ours.subject.backend.capabilities.restarts

    @property
    def evicts(self) -> bool:
        """Whether one replica can be taken away and is replaced by itself."""
        able = self.ours.subject.backend.capabilities
        return able.evicts and able.heals_alone

    @property
    def settles(self) -> bool:
        """Whether something stands for a deployment as a whole on both."""
        return all(side.subject.backend.capabilities.settles for side in (self.ours, self.theirs))

    def _order(self, side: _Side, name: str) -> GroupOrder:
        return group_order(small_template(self.ours.subject), name, launch=side.subject.launch)

    def _both(
        self, call: Callable[[_Side, GroupOrder], None], name: str, *, without: frozenset[str] = frozenset()
    ) -> None:
        """Make a call to both, and wait until they agree and none of the processes in ``without`` is left."""
        ours, theirs = (_outcome(side, call, self._order(side, name)) for side in (self.ours, self.theirs))
        assert theirs == ours, "the simulated cluster and this one answer the same call differently"
        expected = _looks(self.theirs.subject.until(lambda seen: _is_still(seen, without)))
        try:
            self.ours.subject.until(lambda seen: _is_still(seen, without) and _looks(seen) == expected)
        except AssertionError as error:
            seen = _looks(self.ours.subject.backend.observe())
            raise AssertionError(f"the simulated cluster has {expected}, this one has {seen}") from error
        if self.settles:
            assert self._standing(self.theirs) == self._standing(self.ours), "what stands for deployments is the same"
        for side in (self.ours, self.theirs):
            side.remember()
        assert self._changes(self.theirs) == self._changes(self.ours), "a version changes with the group, and only then"

    def _standing(self, side: _Side) -> dict[str, int]:
        return dict(side.subject.backend.observe().settled)

    def _changes(self, side: _Side) -> dict[GroupKey, bool]:
        return {key: len(known) > 1 and known[-1] != known[-2] for key, known in side.versions.items()}


def _outcome(side: _Side, call: Callable[[_Side, GroupOrder], None], order: GroupOrder) -> str:
    try:
        insist(side.subject, lambda: call(side, order))
    except BackendError as error:
        return type(error).__name__
    return "done"


def _place(replica: Replica) -> tuple[bool, str]:
    return replica.phase is not Phase.SLOT, replica.id


def _is_still(seen: Snapshot, without: frozenset[str]) -> bool:
    return all(_has_settled(group, without) for group in seen.groups)


def _has_settled(group: Group, without: frozenset[str]) -> bool:
    at_rest = all(one.phase in (Phase.SLOT, Phase.RUNNING) for one in group.replicas)
    return at_rest and len(group.replicas) == group.target and without.isdisjoint(map(_incarnation, group.replicas))


def _incarnation(replica: Replica) -> str:
    return replica.incarnation


def _looks(seen: Snapshot) -> dict[GroupKey, _Look]:
    return {
        group.key: _Look(
            owner=group.owner,
            generation=group.generation,
            target=group.target,
            phases=tuple(sorted(one.phase.value for one in group.replicas)),
        )
        for group in seen.groups
    }


def _chosen(options: Any, word: str) -> object:
    """Return the temper of that name: an enumeration of the plugin's own, which the kit does not know."""
    kind = type(next(one for one in attrs.fields(options) if one.name == "temper").default)
    return kind(word)


def _simulated_beside(backend: Backend) -> Subject:
    """Return a simulated cluster with the abilities of ``backend``, found as any plugin is: by its name."""
    record = PluginHost.installed().get(BackendPlugin, "simulated")
    able = backend.capabilities
    temper = "kubernetes" if able.settles and not able.restarts else "plain"
    context = BackendContext(
        cluster="simulated",
        fleet="tests",
        owner_id=OWNER_ID,
        options=record.options(
            nodes=2, speed=_SPEED, exact_retire=able.exact_retire, temper=_chosen(record.options, temper)
        ),
        scheduling=Scheduling.DIRECTED if Scheduling.DIRECTED in able.scheduling else Scheduling.NATIVE,
        root=Path(),
    )
    made: Backend = resolve(record.factory, "backend 'simulated'")(context)
    return LiveSubject(cluster="simulated", connect=lambda _: made, asks_servers=False)
