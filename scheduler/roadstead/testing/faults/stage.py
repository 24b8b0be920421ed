"""Where a story is told: clusters, gateways, the owner's fleet, and the daemon that is to keep them together.

Everything happens on one thread and in virtual time. What must always hold is judged as it happens, and what is wrong
is written down in :attr:`Stage.wrong`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from roadstead.act.addresses import assigned, spent
from roadstead.act.events import Turn
from roadstead.act.intents import fulfilled, removed, scaled, still_held
from roadstead.model import Deployment, Fleet, Intents, Quota
from roadstead.plans import Plan
from roadstead.testing.faults.calls import Call, Kind, What
from roadstead.testing.faults.daemon import Daemon, Outside, Stores
from roadstead.testing.faults.injector import Injector, Killed
from roadstead.testing.faults.judgement import Judgement
from roadstead.testing.faults.props import Props
from roadstead.testing.faults.strikes import AGES, JOURNAL_FAULTS, JUMPS_MS, STORE_FAULTS, WITH_A_CRASH, copied
from roadstead.testing.gateway import SimulatedGateway
from roadstead.testing.promises import Graces, Lulls
from roadstead.testing.proxy import Proxy
from roadstead.world import Group, World

__all__ = ["Stage"]

TICK_MS = 1_000
SOON_MS = 100
"""How soon a turn follows one that did something, or news."""

_AWAY_MS = 6_000
_SECOND_TURNS = 10
_SECOND_EVERY = 5


Look = tuple[tuple[Group, ...], tuple[tuple[str, int], ...]]
"""What changes on a cluster by itself or by somebody's hand: its groups, and what stands for deployments as a whole."""


class Stage:
    """A fleet on its ``props``; ``folder`` is where daemons keep their stores.

    ``turns`` counts turns, ``writes`` all that was asked of clusters and gateways and all that was saved, and
    ``started`` are the server processes that were ever seen.
    """

    def __init__(self, fleet: Fleet, props: Props, folder: Path, injector: Injector) -> None:
        self.props = props
        self.injector = injector
        self.fleet = _with_addresses(fleet)
        self.judgement = Judgement(props, lambda: self.fleet)
        self.turns = 0
        self.writes = 0
        self.last: Turn | None = None
        self.away: set[str] = set()
        self.started: set[tuple[str, str]] = set()
        self._folder = folder
        self._stores = Stores(folder / "first")
        self._pending: list[tuple[int, Callable[[], None]]] = []
        self._graces: dict[str, Graces] = {"first": Graces(), "second": Graces()}
        self._lulls: dict[str, Lulls] = {"first": Lulls(), "second": Lulls()}
        self._looks: dict[str, Look] = {}
        self._late: set[str] = set()
        self._damage: Kind | None = None
        self._second: Daemon | None = None
        self._second_left = 0
        self._overtaken: int | None = None
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
        daemon.lulls = self._lulls[who]
        for name, wire in daemon.wires.items():
            wire.away = lambda name=name: name in self.away  # type: ignore[misc]  # bound now
            wire.leap = self.judgement.leap
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
        events = self.judgement.events(before) if damage is None else 0
        before.end()
        self._damage = None
        self.daemon = self._open("first")
        self.daemon.clock.skew_ms = before.clock.skew_ms
        self.judgement.found_again(before, events, self.daemon, damage)
        self._begin()

    def move(self, folder: Path) -> None:
        """Go on in a copy of the folder, which is made: another process goes on in the one that there was."""
        daemons = {"first": self.daemon, "second": self._second}
        for who in sorted(one.name for one in self._folder.iterdir()):
            copy = Stores(folder / who)
            copied(Stores(self._folder / who), copy)
            if (daemon := daemons[who]) is not None:
                daemon.store.move(copy.memory)
                daemon.journal.move(copy.journal)
        self._folder = folder
        self._stores = Stores(folder / "first")

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
        self._overtaken = None
        self.judgement.crowded = self._second is not None
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
            self.wrong.extend(wire.hasty)
            wire.hasty.clear()
        self.last = turn
        self.judgement.listed(turn, strictly=self.is_strict and not self._lost_node())
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
            self.started |= {(name, one.incarnation) for group in look.groups for one in group.replicas}
            seen = look.groups, tuple(sorted(look.settled.items()))
            if self._looks.get(name) == seen:
                continue
            self._looks[name] = seen
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
        if kind in STORE_FAULTS:
            self.judgement.journal_is_whole &= kind not in JOURNAL_FAULTS
            if kind in WITH_A_CRASH:
                self.daemon.end()
                self._damage = kind
            STORE_FAULTS[kind](self._stores)
        elif kind in AGES:
            self.daemon.wires[call.where].age = AGES[kind]
        elif kind in JUMPS_MS:
            self.daemon.clock.skew_ms += JUMPS_MS[kind]
            self.judgement.was_set_forth |= JUMPS_MS[kind] > 0
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
            self.judgement.crowded = True
            self._second = self._open("second")
            self._second.start(self.fleet)
        self._second_left -= 1
        self._overtaken = len(self.injector.calls) - 1
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
        return self.judgement.truth()

    @property
    def busy(self) -> bool:
        """Whether something that was begun is not over: a fault that lasts, a second daemon."""
        return bool(self._pending or self._second_left or self._late)

    @property
    def is_strict(self) -> bool:
        """Whether at most one thing went wrong, and nobody else decides."""
        applied = self.injector.applied
        return not applied or (len(applied) == 1 and applied[0].kind is not Kind.SECOND_DAEMON)

    def _lost_node(self) -> Call | None:
        """Return the call before which a node went away in this turn, perhaps after all was looked at."""
        struck = [one.number for one in self.injector.applied if one.kind is Kind.NODE_AWAY][-1:]
        return self.injector.calls[struck[0]] if struck and self.injector.struck == self.turns else None

    @property
    def _is_surprised(self) -> bool:
        """Whether a node went away in this turn, and its cluster was not looked at again since: nobody can know."""
        lost = self._lost_node()
        return lost is not None and not self._was_observed(lost.where, lost.number + 1)

    def _is_overtaken(self, cluster: str) -> bool:
        """Return whether the second daemon made a turn since what the first one last saw of a cluster: nobody can know.

        What a look shows may be from just before the other one's turn.
        """
        return self._overtaken is not None and not self._was_observed(cluster, self._overtaken + 1)

    def _was_observed(self, cluster: str, since: int) -> bool:
        return any((one.what, one.where) == (What.OBSERVE, cluster) for one in self.injector.calls[since:])

    @property
    def looks(self) -> Mapping[str, Look]:
        """What every cluster looked like when that was last told."""
        return dict(self._looks)

    @property
    def offers(self) -> int:
        """How many routes gateways were asked for that they did not have."""
        return sum(proxy.offers for proxy in self.props.proxies.values())

    # ---- what must hold ----

    @property
    def wrong(self) -> list[str]:
        """All that is wrong so far."""
        return self.judgement.wrong

    def judge_disk(self) -> None:
        """Judge what another daemon would find now that all is at rest."""
        self.judgement.on_disk(self.daemon, self._stores)

    def planned(self, daemon: Daemon, world: World, plan: Plan, whole: Plan | None) -> None:
        """Have a plan judged."""
        self.judgement.planned(daemon, world, plan, whole)

    def around(self, daemon: Daemon, cluster: str, subject: str, call: Callable[[], None]) -> None:
        """Have a call judged."""
        self.writes += 1
        overtaken = daemon is self.daemon and self._is_overtaken(cluster)
        self.judgement.around(daemon, cluster, subject, call, surprised=self._is_surprised, overtaken=overtaken)


def _driver(name: str, proxy: Proxy) -> Callable[[], SimulatedGateway]:
    return lambda: SimulatedGateway(proxy, name)


def _with_addresses(fleet: Fleet) -> Fleet:
    return attrs.evolve(fleet, addresses=assigned(fleet, fleet.addresses).addresses)
