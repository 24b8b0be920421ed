"""The judgement of what happens on a stage: of what must always hold, and of what daemons keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from roadstead.act.events import Turn
from roadstead.act.journal import Selection
from roadstead.act.memory import MemoryStore
from roadstead.assembly import assemble
from roadstead.memory import PlanMemory
from roadstead.model import Fleet
from roadstead.plans import Plan, Step
from roadstead.testing.faults.calls import Kind
from roadstead.testing.faults.daemon import Daemon, Stores
from roadstead.testing.faults.props import Props
from roadstead.testing.gateway import true_view
from roadstead.testing.oracles import (
    crowding,
    floor_broken,
    last_proven_deleted,
    quota_broken,
    trespasses,
    unguarded,
)
from roadstead.testing.promises import cut_off, misplaced, unlisted
from roadstead.traffic import DataPath, Seen
from roadstead.world import Reachable, World

__all__ = ["Judgement"]

_BY_THEMSELVES = {"turn", "counted", "deployments"}
_ALL = Selection(limit=10_000)


class Judgement:
    """What is ``wrong`` about what happens to ``fleet`` on these ``props``.

    ``crowded``: two daemons decide at once. Nothing compares and sets over several groups, or in gateways, so both may
    ask for what both saw room for, and one may list again whom the other takes down. ``journal_is_whole``: no fault
    took anything from the journal. ``was_set_forth``: a clock was.
    """

    def __init__(self, props: Props, fleet: Callable[[], Fleet]) -> None:
        self.wrong: list[str] = []
        self.crowded = False
        self.journal_is_whole = True
        self.was_set_forth = False
        self._props = props
        self._fleet = fleet
        self._truth: World | None = None
        self._listed: dict[str, set[tuple[str, str]]] = {}

    def truth(self) -> World:
        """Return the world as it really is."""
        props = self._props
        views = {name: Reachable(cluster.truth()) for name, cluster in props.clusters.items()}
        models = {id_: state for one in props.clusters.values() for id_, state in one.model_states().items()}
        states = {name: Seen(true_view(proxy)) for name, proxy in props.proxies.items()}
        via = {name: address.gateway for name, address in self._fleet().addresses.items()}
        self._truth = assemble(self._truth, views, models, data_path=DataPath(gateways=states, via=via))
        return self._truth

    # ---- of decisions ----

    def planned(self, daemon: Daemon, world: World, plan: Plan, whole: Plan | None) -> None:
        """Judge a plan by what it was made for, and by the one for everything where it is for what changed only."""
        if whole is not None and plan != whole:
            names = (
                field.name for field in attrs.fields(Plan) if getattr(plan, field.name) != getattr(whole, field.name)
            )
            found = (f"{name} is {getattr(plan, name)}, for everything {getattr(whole, name)}" for name in names)
            self.wrong.append(f"for what changed {'; '.join(found)}")
        anew = assemble(None, world.clusters, world.models, data_path=world.data_path, usage=world.usage)
        if anew.shards != world.shards:
            self.wrong.append(f"what is known of deployments is {world.shards}, and made anew {anew.shards}")
        self.wrong += (
            *crowding(world, plan),
            *unguarded(world, plan),
            *trespasses(self._fleet(), world, plan),
            *misplaced(world, plan),
            *unlisted(world, plan),
        )
        now = self._props.time.now()
        self.wrong += daemon.lulls.broken(plan, self._fleet().daemon.turn.ms, now)
        daemon.graces.see(world, plan, now)

    def around(
        self,
        daemon: Daemon,
        cluster: str,
        subject: str,
        call: Callable[[], None],
        *,
        surprised: bool,
        overtaken: bool,
    ) -> None:
        """Judge a call by what it did since the last look before it.

        ``surprised``: replicas were lost meanwhile. ``overtaken``: another daemon did something there.
        """
        before, plan = self.truth(), daemon.decided
        step = _step(plan, cluster, subject) if plan is not None else None
        if plan is None or step is None or daemon.store.saved is not plan.memory:
            self.wrong.append(f"{subject} is changed by a plan whose memory was not saved")
            call()
            return
        try:
            call()
        finally:
            after = self.truth()
            self.wrong += (
                *(() if surprised else floor_broken(plan, step, before, after, unheard=daemon.unheard(step))),
                *last_proven_deleted(plan, step, before),
                *(() if overtaken else set(_undisturbable(after)) - set(_undisturbable(before))),
            )
            if not self.crowded:
                self.wrong += (
                    *quota_broken(self._fleet(), before, after),
                    *cut_off(step, before, after, daemon.graces, self._props.time.now() + self.leap()),
                )

    def leap(self) -> int:
        """Return how much more time a daemon whose clock was set forth may believe that passed: two turns at most."""
        return 2 * self._fleet().daemon.turn.ms if self.was_set_forth else 0

    def listed(self, turn: Turn, *, strictly: bool) -> None:
        """Judge who gets requests after a turn by who really serves, whatever the daemon believes.

        Only where that is asked for ``strictly``: a daemon that is struck twice may believe what it likes. Without a
        gateway, a new one cannot list what is on a cluster that has not answered it yet.
        """
        seen = {cluster for cluster, _ in turn.world.snapshots()}
        for name, floor in turn.plan.floor.items():
            shard = self.truth().shards.get(name)
            ready = {(one.cluster, one.replica.id): one for one in shard.ready} if shard is not None else {}
            listed = {(one.cluster, one.replica) for one in turn.plan.table.endpoints.get(name, ())}
            if name in self._fleet().addresses:
                listed = {key for key, one in ready.items() if one.passage is not None and one.passage.listed}
            else:
                ready = {key: one for key, one in ready.items() if one.cluster in seen}
            left_out = (ready.keys() & self._listed.get(name, set())) - listed
            self._listed[name] = listed
            if left_out and len(ready.keys() & listed) < floor and strictly:
                self.wrong.append(f"{name} unlists {left_out}, which serve; the floor is {floor}")

    # ---- of what is kept ----

    def events(self, daemon: Daemon) -> int:
        """Return how many events a daemon has told."""
        return len(daemon.journal.events(_ALL))

    def found_again(self, before: Daemon, events: int, after: Daemon, damage: Kind | None) -> None:
        """Judge what a new daemon found of what the one before it had saved, and of the ``events`` it had told."""
        found, saved = after.remembered, before.store.saved
        if damage is Kind.MEMORY_CORRUPTED and not found.lost:
            self.wrong.append("nobody noticed that the memory is corrupted")
        if damage is not None:
            return
        if saved is not None and not _is_whole(found.memory, saved):
            self.wrong.append(f"{found.memory} was found where {saved} was saved")
        if self.journal_is_whole and self.events(after) != events:
            self.wrong.append(f"not all of {events} events are found again")

    def on_disk(self, daemon: Daemon, stores: Stores) -> None:
        """Judge what another daemon would find now that all is at rest."""
        found = MemoryStore(stores.memory)
        kept, known = found.load().memory, daemon.reconciler.memory
        found.close()
        if not _is_whole(kept, known):
            self.wrong.append(f"{kept} is on disk and {known} is known")
        if daemon.journal.problem is not None:
            self.wrong.append(f"the journal is not kept: {daemon.journal.problem}")


def _is_whole(found: PlanMemory, saved: PlanMemory) -> bool:
    """Return whether all of ``saved`` was found again that must be.

    The numbers of turns in which nothing was done need not, and not all of how long ago groups were put back.
    """
    names = (field.name for field in attrs.fields(PlanMemory) if field.name not in _BY_THEMSELVES)
    deployments = found.deployments
    return (
        all(getattr(found, name) == getattr(saved, name) for name in names)
        and deployments.keys() == saved.deployments.keys()
        and all(
            one == deployments[name] or one.has_only_aged(deployments[name]) for name, one in saved.deployments.items()
        )
    )


def _undisturbable(truth: World) -> Iterator[str]:
    """Yield the deployments of which an administrator may disturb no replica, even if all of them are ready."""
    for cluster, snapshot in truth.snapshots():
        for name, floor in snapshot.settled.items():
            asked = sum(group.target for group in snapshot.groups if group.key.deployment == name)
            if 0 < asked <= floor:
                yield f"{floor} of {asked} replicas of {name} on {cluster} may not be disturbed"


def _step(plan: Plan, cluster: str, subject: str) -> Step | None:
    return next((step for step in plan.steps if (step.cluster, step.subject) == (cluster, subject)), None)
