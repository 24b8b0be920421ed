"""Where a story is told: clusters, gateways, the owner's fleet, and the daemon that is to keep them together.

Everything happens on one thread and in virtual time. What must always hold is judged as it happens, and what is wrong
is written down in :attr:`Stage.wrong`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import attrs

from roadstead.act.addresses import assigned, spent
from roadstead.act.events import Turn
from roadstead.act.intents import fulfilled, removed, scaled, still_held
from roadstead.act.journal import Selection
from roadstead.act.memory import MemoryStore
from roadstead.assembly import assemble
from roadstead.memory import PlanMemory
from roadstead.model import Deployment, Fleet, Intents, Quota
from roadstead.plans import Plan, Step
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.spi.runtime import Runtime
from roadstead.testing.faults.calls import Call, Kind
from roadstead.testing.faults.daemon import Daemon, Outside, Stores
from roadstead.testing.faults.injector import Injector, Killed
from roadstead.testing.faults.wires import Drivable
from roadstead.testing.gateway import SimulatedGateway, true_view
from roadstead.testing.oracles import (
    crowding,
    floor_broken,
    last_proven_deleted,
    quota_broken,
    trespasses,
    unguarded,
)
from roadstead.testing.promises import Graces, cut_off, misplaced, unlisted
from roadstead.testing.proxy import Proxy
from roadstead.traffic import DataPath, Seen
from roadstead.world import Group, ModelState, Node, Reachable, Snapshot, World

__all__ = ["Props", "Stage", "Stageable", "Time"]

TICK_MS = 1_000
SOON_MS = 100
"""How soon a turn follows one that did something, or news."""

_AWAY_MS = 6_000
_JUMP_MS = 3_600_000
_SECOND_TURNS = 10
_SECOND_EVERY = 5


class Stageable(Drivable, Protocol):
    """A simulated cluster: what it does shows, and nodes can be taken from it."""

    def truth(self) -> Snapshot:
        """Return what is really there."""

    def model_states(self) -> Mapping[str, ModelState]:
        """Return what every server would say."""

    def reconnect(self) -> None:
        """Be as for a new process."""

    def lose_node(self, name: str) -> None:
        """Take a node away with all that runs there."""

    def set_node(self, node: Node) -> None:
        """Add a node."""


class Time(Protocol):
    """A clock that only moves when told."""

    def now(self) -> int:
        """Return the milliseconds since the epoch."""

    def advance(self, ms: int) -> None:
        """Move on."""


@attrs.frozen(kw_only=True)
class Props:
    """What a stage is furnished with; all of it new for each run."""

    time: Time
    clusters: Mapping[str, Stageable]
    proxies: Mapping[str, Proxy]
    runtimes: Mapping[str, Runtime]
    policies: Mapping[str, PlacementPolicy]
    scalers: Mapping[str, ScalingPolicy]


class Stage:
    """A fleet on its ``props``; ``folder`` is where daemons keep their stores.

    ``turns`` counts turns, ``writes`` all that was asked of clusters and gateways and all that was saved.
    """

    def __init__(self, fleet: Fleet, props: Props, folder: Path, injector: Injector) -> None:
        self.props = props
        self.injector = injector
        self.fleet = _with_addresses(fleet)
        self.wrong: list[str] = []
        self.turns = 0
        self.writes = 0
        self.last: Turn | None = None
        self.away: set[str] = set()
        self._folder = folder
        self._stores = Stores(folder / "first")
        self._pending: list[tuple[int, Callable[[], None]]] = []
        self._graces: dict[str, Graces] = {"first": Graces(), "second": Graces()}
        self._truth: World | None = None
        self._looks: dict[str, tuple[Group, ...]] = {}
        self._late: set[str] = set()
        self._damage: Kind | None = None
        self._journal_is_whole = True
        self._listed: dict[str, set[tuple[str, str]]] = {}
        self._second: Daemon | None = None
        self._second_left = 0
        self._crowded = False
        self._outside = Outside(
            clusters=props.clusters,
            gateways={name: _driver(name, proxy) for name, proxy in props.proxies.items()},
            runtimes=props.runtimes,
            policies=props.policies,
            scalers=props.scalers,
            time=props.time.now,
            wait=props.time.advance,
        )
        injector.between = self._between
        self.daemon = self._open("first")
        self._begin()

    # ---- what the owner does ----

    def declare(self, *deployments: Deployment) -> None:
        """Write these deployments to the file, in the place of those of the same names."""
        changed = {**self.fleet.deployments, **{one.name: one for one in deployments}}
        self._adopt(attrs.evolve(self.fleet, deployments=changed))

    def scale(self, name: str, replicas: int) -> None:
        """Order another count by command."""
        intents = scaled(self.fleet.intents, self.fleet.deployments[name], replicas)
        self._adopt(attrs.evolve(self.fleet, intents=intents))

    def delete(self, name: str) -> None:
        """Order by command that a deployment goes."""
        self._adopt(attrs.evolve(self.fleet, intents=removed(self.fleet.intents, self.fleet, [name])))

    def intend(self, change: Callable[[Intents, Deployment], Intents], name: str = "anchor") -> None:
        """Order by command what ``change`` makes of the intents for a deployment."""
        intents = change(self.fleet.intents, self.fleet.deployments[name])
        self._adopt(attrs.evolve(self.fleet, intents=intents))

    def limit(self, **quotas: Quota) -> None:
        """Give owners other quotas."""
        self._adopt(attrs.evolve(self.fleet, quotas={**self.fleet.quotas, **quotas}))

    def change(self, fleet: Fleet) -> None:
        """Have another file; what was given by command stays."""
        self._adopt(attrs.evolve(fleet, intents=self.fleet.intents, addresses=self.fleet.addresses))

    def _adopt(self, fleet: Fleet) -> None:
        """Have this file: intents end that are about what it says no more."""
        self.fleet = _with_addresses(attrs.evolve(fleet, intents=still_held(fleet.intents, fleet)))

    # ---- what breaks as part of a story ----

    def part(self, cluster: str) -> None:
        """Have a cluster not answer any more."""
        self.away.add(cluster)

    def join(self, cluster: str) -> None:
        """Have a cluster answer again."""
        self.away.discard(cluster)

    def later(self, ms: int, do: Callable[[], None]) -> None:
        """Have something done after a while."""
        self._pending.append((self.props.time.now() + ms, do))

    # ---- daemons ----

    def _open(self, who: str) -> Daemon:
        stores = Stores(self._folder / who)
        stores.folder.mkdir(parents=True, exist_ok=True)
        injector = self.injector if who == "first" else Injector()
        daemon = Daemon(self._outside, self.fleet, stores, self._graces[who], injector, self)
        for name, wire in daemon.wires.items():
            wire.away = lambda name=name: name in self.away  # type: ignore[misc]  # bound now
        if who == "first":
            daemon.clock.read = lambda: self.injector.reading(self)
        return daemon

    def _begin(self) -> None:
        for _ in range(3):
            try:
                self.daemon.start(self.fleet)
                for name, wire in self.daemon.gateway_wires.items():
                    wire.away = lambda name=name: name in self.away  # type: ignore[misc]  # bound now
                return
            except Killed:
                self.daemon.end()
                self.daemon = self._open("first")
        raise AssertionError("a plan has at most two faults")

    def restart(self) -> None:
        """End the daemon and start another on the stores as they are."""
        self.daemon.graces.fall_silent(self.truth(), self.props.time.now())
        before, damage = self.daemon, self._damage
        events = len(before.journal.events(_ALL)) if damage is None else 0
        before.end()
        self._damage = None
        self.daemon = self._open("first")
        self._judge_stores(before, damage, events)
        self._begin()

    def _judge_stores(self, before: Daemon, damage: Kind | None, events: int) -> None:
        """Judge what a new daemon found of what the one before it had saved."""
        found, saved = self.daemon.remembered, before.store.saved
        if damage is Kind.MEMORY_CORRUPTED and not found.lost:
            self.wrong.append("nobody noticed that the memory is corrupted")
        if damage is not None:
            return
        if saved is not None and _content(found.memory) != _content(saved):
            self.wrong.append(f"{found.memory} was found where {saved} was saved")
        if self._journal_is_whole and len(self.daemon.journal.events(_ALL)) != events:
            self.wrong.append(f"not all of {events} events are found again")

    def close(self) -> None:
        """End every daemon."""
        self.daemon.end()
        if self._second is not None:
            self._second.end()

    # ---- what time does ----

    def turn(self, *, news: bool = False) -> None:
        """Have the daemon make a turn, and start it again where it dies of that."""
        self.turns += 1
        self.injector.turn = self.turns
        self._crowded = self._second is not None
        try:
            before = self.daemon.store.wrote
            turn = self.daemon.turn(self.fleet, news=news)
        except Killed:
            self.last = None
            self.restart()
            return
        except Exception as error:  # noqa: BLE001  # a turn that fails is what we look for
            self.wrong.append(f"a turn failed: {type(error).__name__}: {error}")
            self.last = None
            return
        self.writes += self.daemon.store.wrote - before
        for wire in self.daemon.wires.values():
            self.wrong += wire.hasty
            wire.hasty.clear()
        self.last = turn
        self._judge_listed(turn)
        self._tidy_up(turn)

    def _tidy_up(self, turn: Turn) -> None:
        gone = spent(self.fleet, turn.world)
        intents = fulfilled(self.fleet, turn.world)
        if gone or intents is not self.fleet.intents:
            kept = {name: one for name, one in self.fleet.addresses.items() if name not in gone}
            self._adopt(attrs.evolve(self.fleet, intents=intents, addresses=kept))

    def pass_turn(self) -> None:
        """Let time pass up to the next turn that is due, with turns for news before that, and make it."""
        due = self.props.time.now() + self.fleet.daemon.turn.ms
        news = bool(self.last is None or self.last.outcomes)
        while self.props.time.now() < due:
            self._advance(SOON_MS if news else min(TICK_MS, due - self.props.time.now()))
            again = self._events()
            if news or self.daemon.woken:
                self.turn(news=True)
                again -= 1
            for _ in range(again):
                self.turn(news=True)
            news = bool(self.last is None or self.last.outcomes)
        self.turn()

    def _advance(self, ms: int) -> None:
        self.props.time.advance(ms)
        now = self.props.time.now()
        due = [do for at, do in self._pending if at <= now]
        self._pending = [(at, do) for at, do in self._pending if at > now]
        for do in due:
            do()
        for proxy in self.props.proxies.values():
            proxy.advance()
        try:
            self.daemon.idle()
        except Killed:
            self.restart()
        except Exception as error:  # noqa: BLE001  # a thread that ends is what we look for
            self.wrong.append(f"a thread of the daemon ended: {type(error).__name__}: {error}")

    def _events(self) -> int:
        """Return how many watch events arrive now: one for each cluster that looks different, if all goes well."""
        arrived, late = len(self._late), set[str]()
        for name, cluster in self.props.clusters.items():
            look = cluster.truth()
            self.daemon.wires[name].note(look)
            if self._looks.get(name) == look.groups:
                continue
            self._looks[name] = look.groups
            match self.injector.event(name):
                case Kind.DROPPED:
                    pass
                case Kind.DUPLICATED:
                    arrived += 2
                case Kind.REORDERED:
                    late.add(name)
                case _:
                    arrived += 1
        self._late = late
        return arrived

    # ---- what faults do ----

    def strike(self, kind: Kind, call: Call) -> None:
        """Do to the world what a fault says."""
        if kind in _STORE_FAULTS:
            self._journal_is_whole &= kind not in _JOURNAL_FAULTS
            if kind in _WITH_A_CRASH:
                self.daemon.end()
                self._damage = kind
            _STORE_FAULTS[kind](self._stores)
        elif kind in _AGES:
            self.daemon.wires[call.where].age = _AGES[kind]
        elif kind in _JUMPS:
            self.daemon.clock.skew_ms += _JUMPS[kind]
        elif kind is Kind.PARTITION:
            self.part(call.where)
            self.later(_AWAY_MS, lambda: self.join(call.where))
        elif kind is Kind.NODE_AWAY:
            self._take_node(call.where)
        elif kind is Kind.GATEWAY_DIES:
            self.props.proxies[call.where].die()
        elif kind is Kind.SECOND_DAEMON:
            self._second_left = _SECOND_TURNS
            self._between(_SECOND_EVERY)

    def _take_node(self, cluster: str) -> None:
        there = self.props.clusters[cluster]
        snapshot = there.truth()
        used = sorted({one.node for group in snapshot.groups for one in group.replicas if one.node is not None})
        name = used[0] if used else snapshot.nodes[0].name
        node = snapshot.by_node[name]
        there.lose_node(name)
        self.later(_AWAY_MS, lambda: there.set_node(node))

    def _between(self, number: int) -> None:
        """Have the second daemon, where there is one, make a turn before every fifth call of the first."""
        if not self._second_left or number % _SECOND_EVERY:
            return
        if self._second is None:
            # Nothing compares and sets over several groups: what both see room for, both may ask for once.
            self._crowded = True
            self._second = self._open("second")
            self._second.start(self.fleet)
        self._second_left -= 1
        try:
            self._second.idle()
            self._second.turn(self.fleet, news=False)
        except Exception as error:  # noqa: BLE001  # a turn that fails is what we look for
            self.wrong.append(f"a turn of the second daemon failed: {type(error).__name__}: {error}")
        if self._second_left == 0:
            self._second.end()
            self._second = None

    # ---- what is ----

    def truth(self) -> World:
        """Return the world as it really is."""
        views = {name: Reachable(cluster.truth()) for name, cluster in self.props.clusters.items()}
        models = {id_: state for one in self.props.clusters.values() for id_, state in one.model_states().items()}
        states = {name: Seen(true_view(proxy)) for name, proxy in self.props.proxies.items()}
        via = {name: address.gateway for name, address in self.fleet.addresses.items()}
        self._truth = assemble(self._truth, views, models, data_path=DataPath(gateways=states, via=via))
        return self._truth

    @property
    def busy(self) -> bool:
        """Whether something that was begun is not over: a fault that lasts, a second daemon."""
        return bool(self._pending or self._second_left or self._late)

    @property
    def looks(self) -> Mapping[str, tuple[Group, ...]]:
        """What every cluster looked like when that was last told."""
        return dict(self._looks)

    @property
    def offers(self) -> int:
        """How many routes gateways were asked for that they did not have."""
        return sum(proxy.offers for proxy in self.props.proxies.values())

    # ---- what must hold ----

    def judge_disk(self) -> None:
        """Judge what another daemon would find now that all is at rest."""
        found = MemoryStore(self._stores.memory)
        kept, known = found.load().memory, self.daemon.reconciler.memory
        found.close()
        if _content(kept) != _content(known):
            self.wrong.append(f"{kept} is on disk and {known} is known")
        if self.daemon.journal.problem is not None:
            self.wrong.append(f"the journal is not kept: {self.daemon.journal.problem}")

    def planned(self, daemon: Daemon, world: World, plan: Plan) -> None:
        """Judge a plan by what it was made for."""
        self.wrong += (
            *crowding(world, plan),
            *unguarded(world, plan),
            *trespasses(self.fleet, world, plan),
            *misplaced(world, plan),
            *unlisted(world, plan),
        )
        daemon.graces.see(world, plan, self.props.time.now())

    def _as_late_as_may_be(self) -> int:
        """Return the time, or what a daemon may take it for whose clock was set forth: two turns passed at most."""
        leap = 2 * self.fleet.daemon.turn.ms if self.daemon.clock.skew_ms > 0 else 0
        return self.props.time.now() + leap

    def _judge_listed(self, turn: Turn) -> None:
        """Judge who gets requests after a turn by who really serves, whatever the daemon believes.

        Without a gateway, a new daemon cannot list what is on a cluster that has not answered it yet.
        """
        seen = {cluster for cluster, _ in turn.world.snapshots()}
        for name, floor in turn.plan.floor.items():
            shard = self.truth().shards.get(name)
            ready = {(one.cluster, one.replica.id): one for one in shard.ready} if shard is not None else {}
            listed = {(one.cluster, one.replica) for one in turn.plan.table.endpoints.get(name, ())}
            if name in self.fleet.addresses:
                listed = {key for key, one in ready.items() if one.passage is not None and one.passage.listed}
            else:
                ready = {key: one for key, one in ready.items() if one.cluster in seen}
            left_out = (ready.keys() & self._listed.get(name, set())) - listed
            self._listed[name] = listed
            if left_out and len(ready.keys() & listed) < floor and len(self.injector.applied) < 2:
                self.wrong.append(f"{name} unlists {left_out}, which serve; the floor is {floor}")

    def around(self, daemon: Daemon, cluster: str, subject: str, call: Callable[[], None]) -> None:
        """Judge a call by what it did."""
        self.writes += 1
        before, plan = self.truth(), daemon.decided
        if plan is None or daemon.store.saved is not plan.memory:
            self.wrong.append(f"{subject} is changed by a plan whose memory was not saved")
            call()
            return
        try:
            call()
        finally:
            after = self.truth()
            step = _step(plan, cluster, subject)
            self.wrong += (
                *(() if self._crowded else quota_broken(self.fleet, before, after)),
                *floor_broken(plan, step, before, after),
                *last_proven_deleted(plan, step, before),
                *cut_off(step, before, after, daemon.graces, self._as_late_as_may_be()),
            )


_STORE_FAULTS: Mapping[Kind, Callable[[Stores], None]] = {
    Kind.MEMORY_LOST: lambda stores: _remove(stores.memory),
    Kind.MEMORY_CORRUPTED: lambda stores: _corrupt(stores.memory),
    Kind.JOURNAL_LOST: lambda stores: _remove(stores.journal),
    Kind.JOURNAL_CORRUPTED: lambda stores: _corrupt(stores.journal),
    Kind.MEMORY_REMOVED: lambda stores: _remove(stores.memory),
    Kind.JOURNAL_OVERWRITTEN: lambda stores: _corrupt(stores.journal),
}
_WITH_A_CRASH = _STORE_FAULTS.keys() - {Kind.MEMORY_REMOVED, Kind.JOURNAL_OVERWRITTEN}
_JOURNAL_FAULTS = {Kind.JOURNAL_LOST, Kind.JOURNAL_CORRUPTED, Kind.JOURNAL_OVERWRITTEN}
_JUMPS = {Kind.CLOCK_FORTH: _JUMP_MS, Kind.CLOCK_BACK: -_JUMP_MS}
_NUMBERS = {"turn", "counted"}
_ALL = Selection(limit=10_000)
_AGES = {Kind.STALE_1: 1, Kind.STALE_2: 2, Kind.STALE_3: 3}


def _content(memory: PlanMemory) -> tuple[object, ...]:
    """Return what of a memory must be found again; the numbers of turns in which nothing was done need not."""
    return tuple(getattr(memory, field.name) for field in attrs.fields(PlanMemory) if field.name not in _NUMBERS)


def _driver(name: str, proxy: Proxy) -> Callable[[], SimulatedGateway]:
    return lambda: SimulatedGateway(proxy, name)


def _step(plan: Plan, cluster: str, subject: str) -> Step:
    return next(step for step in plan.steps if step.cluster == cluster and step.subject == subject)


def _with_addresses(fleet: Fleet) -> Fleet:
    return attrs.evolve(fleet, addresses=assigned(fleet, fleet.addresses).addresses)


def _files(path: Path) -> list[Path]:
    return [path, *(path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))]


def _remove(path: Path) -> None:
    for file in _files(path):
        file.unlink(missing_ok=True)


def _corrupt(path: Path) -> None:
    """Write rubbish over the first pages of a database, and over what was still to be taken into it."""
    for file in _files(path)[:2]:
        if file.exists():
            with file.open("r+b") as opened:
                opened.write(b"rubbish " * min(1_024, 1 + file.stat().st_size // 8))
