"""A fleet on simulated clusters, driven turn by turn, with all that is wrong about it written down as it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import attrs

from roadstead.act import intents
from roadstead.act.addresses import assigned, spent
from roadstead.act.intents import migrated, moved_back
from roadstead.assembly import assemble
from roadstead.capabilities import Capabilities
from roadstead.daemon import steering
from roadstead.decide.destinations import destinations
from roadstead.decide.planner import plan
from roadstead.decide.spread import STOOD
from roadstead.decide.steering import steered
from roadstead.memory import ClusterMemory, DeploymentMemory
from roadstead.model import (
    ClusterSpec,
    ClusterState,
    DaemonSpec,
    Deployment,
    ExcessSpec,
    Fleet,
    HealthSpec,
    Intents,
    ModelSpec,
    Quota,
    Reach,
    RemoveIntent,
    Resources,
    RolloutSpec,
    RuntimeSpec,
    ScaleIntent,
    Scheduling,
    StopSpec,
    Strategy,
    Target,
    Template,
    Via,
)
from roadstead.plans import Plan, Step, deployment_of
from roadstead.reasons import ReasonCode
from roadstead.spi.policies import ScalingPolicy
from roadstead.spi.runtime import Server
from roadstead.template import target
from roadstead.testing import strategies
from roadstead.testing.driving import Died, Drive
from roadstead.testing.gateway import SimulatedGateway, true_view
from roadstead.testing.oracles import (
    crowding,
    disturbable,
    floor_broken,
    interfering,
    last_proven_deleted,
    quota_broken,
    trespasses,
    unguarded,
    unsettled,
)
from roadstead.testing.promises import Graces, cut_off, misplaced, unlisted
from roadstead.testing.proxy import Answer, Proxy, Traffic
from roadstead.traffic import DataPath, Endpoint, GatewayState, Seen
from roadstead.units import Cpus, Duration, Memory
from roadstead.world import ClusterView, Member, ModelState, ModelStatus, Node, Phase, Reachable, Replica, Usage, World
from roadstead_backends.simulated import tempers
from roadstead_backends.simulated.clock import VirtualClock
from roadstead_backends.simulated.cluster import SimulatedCluster, capabilities
from roadstead_backends.simulated.network import Network, SimulatedRuntime
from roadstead_backends.simulated.servers import Timings
from roadstead_plugins.placement.plugin import BinPack, Spread
from roadstead_plugins.scaling.concurrency import Concurrency

T = TypeVar("T")
OWNER_ID = "owner"
TURN_MS = 2_000
SCALERS: Mapping[str, ScalingPolicy] = {"concurrency": Concurrency()}
TIMINGS = Timings(start=Duration(1_000), load=Duration(1_500), stop=Duration(1_000), longest_back_off=Duration(8_000))
DIRECTED = capabilities(Scheduling.DIRECTED)
NATIVE = capabilities(Scheduling.NATIVE)


def nodes(count: int, cpu: int = 4_000) -> tuple[Node, ...]:
    """Return ``count`` nodes of ``cpu`` milli-cores each, in alternating zones."""
    return tuple(
        Node(
            name=f"n{number}",
            cpu=Cpus(cpu),
            memory=Memory(2**30),
            attributes={"hostname": f"n{number}", "zone": "ab"[number % 2]},
        )
        for number in range(count)
    )


def template(source: str = "/m/1", *, cpu: int = 1_000, drain: int = 5_000) -> Template:
    """Return a small template; another ``source`` is another revision."""
    return Template(
        model=ModelSpec(name="m", source=source),
        runtime=RuntimeSpec(name="simulated", engine="simulated"),
        resources=Resources(cpu=Cpus(cpu), memory=Memory(2**20)),
        health=HealthSpec(every=Duration(2_000), failures=2, start_within=Duration(30_000)),
        stop=StopSpec(drain_within=Duration(drain), kill_after=Duration(1_000)),
    )


def deployment(
    name: str = "anchor",
    *,
    of: Template | None = None,
    on: Iterable[str] | Mapping[str, int] = ("here",),
    elsewhere: Iterable[str] = (),
    fail_over_after: int = 300_000,
    replicas: int = 2,
    owner: str = "search",
    rollout: RolloutSpec | None = None,
    priority: int = 0,
    via: str | None = None,
    on_excess: ExcessSpec | None = None,
) -> Deployment:
    """Return a deployment of one template on these clusters, in order or by weight; ``elsewhere`` it can run, too."""
    made = of if of is not None else template()
    weights = on if isinstance(on, Mapping) else {}
    return Deployment(
        name=name,
        owner=owner,
        targets=tuple(attrs.evolve(target(cluster, made), weight=weights.get(cluster)) for cluster in on),
        elsewhere=tuple(target(cluster, made) for cluster in elsewhere),
        fail_over_after=Duration(fail_over_after),
        replicas=replicas,
        priority=priority,
        rollout=rollout if rollout is not None else RolloutSpec(progress_deadline=Duration(60_000)),
        via=Via(gateway=via) if via is not None else None,
        on_excess=on_excess if on_excess is not None else ExcessSpec(),
    )


def with_source(declared: Deployment, source: str) -> Deployment:
    """Return a deployment with another model, and so another revision."""
    return _with_model(declared, lambda model: attrs.evolve(model, source=source))


def with_version(declared: Deployment, version: int) -> Deployment:
    """Return a deployment with another version of its model: another revision, unless it reloads."""
    return _with_model(declared, lambda model: attrs.evolve(model, version=version))


def _with_model(declared: Deployment, changed: Callable[[ModelSpec], ModelSpec]) -> Deployment:
    reloads = declared.rollout.strategy is Strategy.RELOAD

    def remade(one: Target) -> Target:
        made = target(one.cluster, attrs.evolve(one.template, model=changed(one.template.model)), reloads=reloads)
        return attrs.evolve(made, weight=one.weight)

    return attrs.evolve(
        declared,
        targets=tuple(map(remade, declared.targets)),
        elsewhere=tuple(map(remade, declared.elsewhere)),
    )


def fleet(
    *deployments: Deployment, clusters: Iterable[str] = ("here",), gateways: Iterable[str] = (), **quotas: Quota
) -> Fleet:
    """Return a fleet of these deployments; a keyword is an owner's quota."""
    return Fleet(
        name="fleet",
        clusters={name: ClusterSpec(name=name, backend="simulated", options=None) for name in clusters},
        deployments={one.name: one for one in deployments},
        owner_id=OWNER_ID,
        quotas={"search": Quota(), "ads": Quota(), **quotas},
        gateways=strategies.gateways(tuple(gateways)),
        daemon=DaemonSpec(turn=Duration(TURN_MS)),
    )


class FrailRuntime(SimulatedRuntime):
    """The simulated runtime, with servers that can be made to hang: those answer nobody and end nothing."""

    def __init__(self, network: Network, hung: set[str]) -> None:
        super().__init__(network)
        self._hung = hung

    def probe(self, server: Server, *, timeout: Duration) -> ModelState:
        """Ask the server, or say that it does not answer."""
        state = super().probe(server, timeout=timeout)
        return silent(state.incarnation) if state.incarnation in self._hung else state


def silent(incarnation: str) -> ModelState:
    """Return what is known of a server that does not answer."""
    return ModelState(status=ModelStatus.UNKNOWN, incarnation=incarnation, error="deadline exceeded")


class Scene:
    """Clusters by name, each with its nodes and what it can do, the fleet's gateways, and a loop over them.

    ``wrong`` collects every violation of what must always hold; a test is to end with it empty. A ``thorough`` scene
    also plans every turn again, in another order, and for each deployment alone. ``hung`` are the server processes that
    hang, ``excess`` is what some use that use something else than what ``use`` says of their replica. ``serves_on``:
    its groups' replicas drain by themselves once they are told to stop, and say so. ``refuses_early``: over their own
    quota clusters make no replica at all, not even one that waits.
    """

    def __init__(
        self,
        first: Fleet,
        clusters: Mapping[str, tuple[Node, ...]],
        able: Mapping[str, Capabilities] | None = None,
        seed: int = 0,
        *,
        thorough: bool = False,
        traffic: Traffic | None = None,
        checked_for: int = 0,
        serves_on: bool = False,
        refuses_early: bool = False,
    ) -> None:
        self.clock = VirtualClock()
        self.wrong: list[str] = []
        self.hung: set[str] = set()
        self._graces = Graces()
        self.thorough = thorough
        self._random = Random(seed)  # noqa: S311  # repeatable on purpose
        self.decided: Plan | None = None
        self.use: dict[str, Usage] = {}
        self.excess: dict[str, Usage] = {}
        self._seen = World(clusters={})
        self._waiting_for_a_place: set[str] = set()
        self._network = network = Network()
        self.clusters = {
            name: SimulatedCluster(
                name,
                owner_id=OWNER_ID,
                nodes=given,
                clock=self.clock,
                network=network,
                temper=attrs.evolve(
                    _temper((able or {}).get(name, DIRECTED)), serves_on=serves_on, refuses_early=refuses_early
                ),
                timings=TIMINGS,
                seed=seed,
                reach=first.clusters[name].reach,
            )
            for name, given in clusters.items()
        }
        self.proxies = {
            name: Proxy(
                now=self.clock.now,
                answers=self._answer,
                traffic=traffic,
                checked_for=Duration(checked_for),
                seed=seed,
            )
            for name in first.gateways
        }
        self.drive = Drive(
            fleet=_with_addresses(first),
            clusters=self.clusters,
            gateways={name: SimulatedGateway(proxy, name) for name, proxy in self.proxies.items()},
            runtimes={"simulated": FrailRuntime(network, self.hung)},
            policies={"spread": Spread(), "binpack": BinPack()},
            scalers=SCALERS,
            now=self.clock.now,
            usage=self._usage,
            watch=self._watch,
            judge=self._judge,
        )

    # ---- what the owner does ----

    @property
    def fleet(self) -> Fleet:
        """The fleet as the loop has it now."""
        return self.drive.fleet

    def declare(self, *deployments: Deployment) -> None:
        """Write these deployments to the file, in the place of those of the same names.

        A gateway that one of them leaves is seen once more before: who else should say what it may still list?
        """
        for one in deployments:
            had = self.fleet.addresses.get(one.name)
            if had is not None and (one.via is None or one.via.gateway != had.gateway):
                self._let_answer(had.gateway)
                self.turns(1)
        changed = {**self.fleet.deployments, **{one.name: one for one in deployments}}
        self.drive.fleet = _with_addresses(attrs.evolve(self.fleet, deployments=changed))

    def withdraw(self, name: str) -> None:
        """Take a deployment out of the file."""
        left = {key: one for key, one in self.fleet.deployments.items() if key != name}
        self.drive.fleet = _with_addresses(attrs.evolve(self.fleet, deployments=left))

    def limit(self, **quotas: Quota) -> None:
        """Give owners other quotas."""
        self.drive.fleet = attrs.evolve(self.fleet, quotas={**self.fleet.quotas, **quotas})

    def delete(self, name: str) -> None:
        """Order by command that a deployment goes."""
        declared = self.fleet.deployments.get(name)
        intent = RemoveIntent(deployment=name, declared=declared.targets[0].revision if declared else None)
        self._intend(attrs.evolve(self.fleet.intents, remove=(*self.fleet.intents.remove, intent)))

    def migrate(self, name: str, to: str | None) -> None:
        """Order by command that all of a deployment goes to a cluster, or back to where the file says."""
        declared = self.fleet.deployments[name]
        intents = self.fleet.intents
        self._intend(moved_back(intents, name) if to is None else migrated(intents, declared, to))

    def set_state(self, cluster: str, state: ClusterState) -> None:
        """Use a cluster, move away from it, or leave it alone."""
        spec = attrs.evolve(self.fleet.clusters[cluster], state=state)
        self.drive.fleet = attrs.evolve(self.fleet, clusters={**self.fleet.clusters, cluster: spec})

    def scale(self, name: str, replicas: int) -> None:
        """Order by command that a deployment has so many replicas."""
        intent = ScaleIntent(deployment=name, replicas=replicas, declared=self.fleet.deployments[name].replicas)
        others = tuple(one for one in self.fleet.intents.scale if one.deployment != name)
        self._intend(attrs.evolve(self.fleet.intents, scale=(*others, intent)))

    def pause(self, name: str) -> None:
        """Order by command that a rollout stands still."""
        self._intend(intents.paused(self.fleet.intents, self.fleet.deployments[name]))

    def resume(self, name: str) -> None:
        """Order by command that a paused rollout goes on."""
        self._intend(intents.resumed(self.fleet.intents, name))

    def promote(self, name: str) -> None:
        """Vouch by command for what the file says of a deployment."""
        self._intend(intents.promoted(self.fleet.intents, self.fleet.deployments[name]))

    def undo(self, name: str, to: str | None = None) -> None:
        """Order by command what ran before; raises what the command is refused with."""
        declared = self.fleet.deployments[name]
        self._intend(steering.undo(self.fleet, declared, self.truth(), self.drive.saved, to).intents)

    def clear(self, name: str) -> None:
        """Order by command that what the file says runs again."""
        self._intend(intents.redone(self.fleet.intents, name))

    def _intend(self, intents: Intents) -> None:
        self.drive.fleet = _with_addresses(attrs.evolve(self.fleet, intents=intents))

    # ---- what time does ----

    def turn(self) -> Plan:
        """Make one turn, and let the time to the next one pass."""
        decided = self.drive.turn()
        self._give_back_addresses()
        self.clock.advance(TURN_MS)
        return decided

    def _give_back_addresses(self) -> None:
        gone = spent(self.fleet, self._seen)
        if gone:
            left = {name: one for name, one in self.fleet.addresses.items() if name not in gone}
            self.drive.fleet = attrs.evolve(self.fleet, addresses=left)

    def turns(self, count: int) -> Plan:
        """Make so many turns and return the last plan; a loop that dies goes on as a new one."""
        decided = None
        for _ in range(count):
            try:
                decided = self.turn()
            except Died:
                self.start_again()
                self.clock.advance(TURN_MS)
        return decided if decided is not None else self.turn()

    def _let_answer(self, gateway: str) -> None:
        proxy = self.proxies[gateway]
        proxy.faults.mute = proxy.faults.down = False
        proxy.start()

    def start_again(self, *, forget: bool = False) -> None:
        """Go on as a new daemon, with what the old one saved or without.

        A gateway that still serves what is led elsewhere now answers the new one: who else should say so?
        """
        path = self.true_path()
        for name in self.proxies:
            if any(path.via.get(deployment) != name for deployment in path.routes(name)):
                self._let_answer(name)
        self.drive.gateways = {name: SimulatedGateway(proxy, name) for name, proxy in self.proxies.items()}
        self.drive.start_again(forget=forget)
        for cluster in self.clusters.values():
            cluster.reconnect()

    def settle(self, within: int = 400, quiet: int = 8, rest: int = 20) -> Plan:
        """Make turns until ``quiet`` of them in a row had nothing to do and all is well.

        What does not come to rest ``within`` so many turns, or does not stay there for ``rest`` more, is written down.
        """
        still = 0
        decided = self.turn()
        for _ in range(within):
            still = still + 1 if not decided.steps and not self.unsettled(decided) else 0
            if still == quiet:
                break
            decided = self.turn()
        else:
            self.wrong.append(f"not settled within {within} turns: {self.unsettled(decided)}; {decided.steps}")
            return decided
        calls = self.calls()
        decided = self.turns(rest)
        if calls != self.calls():
            self.wrong.append(f"{self.calls() - calls} writes at rest: {decided.steps}")
        if self.unsettled(decided):
            self.wrong.append(f"it did not stay settled: {self.unsettled(decided)}")
        if not decided.held:
            self.wrong.extend(self.misrouted())
            self.wrong.extend(unsettled(self.fleet, self.truth(), decided))
            waits = decided.memory.back_off.items()
            self.wrong.extend(f"{key} waits for nobody" for key, wait in waits if wait.wait_ms <= 0)
        return decided

    def unsettled(self, decided: Plan) -> list[str]:
        """Return the names of the deployments that are not as they should be, without a word about it."""
        truth = self.truth()
        said = {held.deployment for held in decided.held}
        waiting = {held.deployment for held in decided.held if held.reason.code is ReasonCode.REFUSED}
        waiting |= {name for name, known in decided.memory.deployments.items() if known.leaving or known.unready}
        waiting |= {
            name
            for name, known in decided.memory.deployments.items()
            if any(map(_is_counting, known.clusters.values()))
        }
        waiting |= self._waiting_for_a_place
        waiting |= {
            name
            for name, shard in truth.shards.items()
            if any(one.replica.phase is Phase.STOPPING for one in shard.members)
        }
        return [
            name
            for name in decided.wanted
            if name in waiting or (name not in said and not self._is_right(truth, name, decided))
        ]

    def _is_right(self, truth: World, name: str, decided: Plan) -> bool:
        shard = truth.shards.get(name)
        declared = self.fleet.deployments.get(name)
        revision = declared.targets[0].revision if declared is not None else None
        if any((one.deployment, one.declared) == (name, revision) for one in self.fleet.intents.remove):
            return shard is None
        declared = steered(self.fleet, declared) if declared is not None else None
        where = destinations(self.fleet, declared).all if declared is not None else ()
        right = {(one.cluster, one.revision) for one in where}
        members = shard.members if shard is not None else ()
        current = [one for one in members if (one.cluster, one.group.key.revision) in right]
        spread = Counter(decided.spread.get(name) or {})
        return len(members) == len(current) == sum(one.serving for one in current) == decided.wanted[name] and (
            not spread or Counter(one.cluster for one in current) == +spread
        )

    def misrouted(self) -> list[str]:
        """Return what routes have, or lack, that they should not when all is at rest.

        Requests that no server will ever answer keep their endpoint there for good, where nobody may stop the server.
        """
        truth, path = self.truth(), self.true_path()
        found = []
        for gateway in path.gateways:
            for name, route in path.routes(gateway).items():
                ready = truth.shards[name].ready if name in truth.shards else ()
                own = path.via.get(name) == gateway
                right = {member.replica.endpoint for member in ready} if own else set()
                has = {endpoint for endpoint, passage in route.passages.items() if passage.listed}
                stuck = {one for one, passage in route.passages.items() if not (passage.listed or passage.idle)}
                if has != right or route.passages.keys() - stuck != right or not (own or stuck):
                    found.append(f"{gateway} has {has} of {sorted(route.passages, key=str)} for {name}, not {right}")
        found += [f"{name} has no route" for name, its in path.via.items() if name not in path.routes(its)]
        return found

    # ---- what is ----

    def truth(self) -> World:
        """Return the world as it really is, less what is written off."""
        views = {
            name: Reachable(cluster.truth())
            for name, cluster in self.clusters.items()
            if self.fleet.clusters[name].state is not ClusterState.DISABLED
        }
        models: dict[str, ModelState] = {}
        for cluster in self.clusters.values():
            models.update(cluster.model_states())
        for incarnation in self.hung:
            models.update({name: silent(incarnation) for name, one in models.items() if one.incarnation == incarnation})
        return assemble(None, views, models, data_path=self.true_path())

    def true_path(self) -> DataPath:
        """Return what the gateways really do."""
        states: dict[str, GatewayState] = {name: Seen(true_view(proxy)) for name, proxy in self.proxies.items()}
        via = {name: address.gateway for name, address in self.fleet.addresses.items()}
        return DataPath(gateways=states, via=via)

    def _answer(self, endpoint: Endpoint) -> Answer | None:
        state = self._network.ask(endpoint, 1)
        if state is None or not state.versions:
            return None
        return Answer(state.incarnation, hangs=state.incarnation in self.hung)

    def members(self, name: str = "anchor") -> tuple[Member, ...]:
        """Return what really exists of a deployment."""
        shard = self.truth().shards.get(name)
        return shard.members if shard is not None else ()

    def serving(self, name: str = "anchor") -> Counter[tuple[str, str]]:
        """Return how many replicas really serve, by cluster and model source."""
        return Counter((one.cluster, one.group.template.model.source) for one in self.members(name) if one.ready)

    def replicas(self, cluster: str = "here") -> list[Replica]:
        """Return every replica that really is on a cluster."""
        return [replica for group in self.clusters[cluster].truth().groups for replica in group.replicas]

    def calls(self) -> int:
        """Return how many writes were asked for so far."""
        tables = sum(proxy.offers for proxy in self.proxies.values())
        return tables + sum(len(cluster.calls) for cluster in self.clusters.values())

    # ---- what must hold ----

    def _judge(self, world: World, decided: Plan) -> None:
        self.wrong.extend(
            (
                *crowding(world, decided),
                *disturbable(world, decided),
                *interfering(self.fleet, world, decided),
                *unguarded(world, decided),
                *trespasses(self.fleet, world, decided),
                *misplaced(world, decided),
                *unlisted(world, decided),
            )
        )
        self._graces.see(world, decided, self.clock.now())
        before = self.drive.saved.deployments
        self._waiting_for_a_place = {
            name
            for name, known in decided.memory.deployments.items()
            if known.slots and (name not in before or known.slots != before[name].slots)
        } | {name for name, known in decided.memory.deployments.items() if _is_trying(known, before.get(name))}
        self.decided, self._seen = decided, world
        if self.thorough:
            self.wrong.extend(self._told_otherwise(world, decided))

    def _told_otherwise(self, world: World, decided: Plan) -> Iterator[str]:
        """Yield how the plan depends on what it must not depend on: repetition, order, and who else is asked."""
        now, policies = self.clock.now(), self.drive.policies
        again = plan(self.fleet, world, decided.memory, now, policies, scalers=SCALERS)
        if again.steps != decided.steps:
            yield f"planned again: {again.steps} instead of {decided.steps}"
        shuffled = _shuffled_fleet(self.fleet, self._random), self._shuffled(world)
        other = plan(*shuffled, self.drive.saved, now, policies, scalers=SCALERS)
        if other != decided:
            yield f"in another order: {other} instead of {decided}"
        for name in decided.wanted:
            mine = tuple(step for step in decided.steps if deployment_of(step) == name)
            if len(mine) == len(decided.steps) and {held.deployment for held in decided.held} <= {name}:
                only = frozenset({name})
                alone = plan(self.fleet, world, self.drive.saved, now, policies, scalers=SCALERS, only=only).steps
                if alone != mine:
                    yield f"asked for {name} only: {alone} instead of {mine}"

    def _usage(self) -> Mapping[str, Usage]:
        """Return what every replica uses: what was set for it, or half of what it may."""
        answering = (cluster for cluster in self.clusters.values() if not cluster.faults.partitioned)
        measured = {replica: use for cluster in answering for replica, use in cluster.usage().items()}
        processes = {
            replica.id: self.excess[replica.incarnation]
            for name in self.clusters
            for replica in self.replicas(name)
            if replica.incarnation in self.excess and replica.id in measured
        }
        return {**measured, **self.use, **processes}

    def _shuffled(self, world: World) -> World:
        """Return the same world, put together from observations in another order."""
        views = {name: self._shuffled_view(world.clusters[name]) for name in _mixed(world.clusters, self._random)}
        models = {name: world.models[name] for name in _mixed(world.models, self._random)}
        outcomes = tuple(_mixed(world.outcomes, self._random))
        path = self._shuffled_path(world.data_path)
        return assemble(None, views, models, data_path=path, usage=world.usage, outcomes=outcomes)

    def _shuffled_path(self, path: DataPath) -> DataPath:
        states = dict(_mixed(path.gateways.items(), self._random))
        for name, state in states.items():
            if state.view is not None:
                routes = {
                    key: attrs.evolve(route, passages=dict(_mixed(route.passages.items(), self._random)))
                    for key, route in _mixed(state.view.routes.items(), self._random)
                }
                states[name] = attrs.evolve(state, view=attrs.evolve(state.view, routes=routes))
        return DataPath(gateways=states, via=dict(_mixed(path.via.items(), self._random)))

    def _shuffled_view(self, view: ClusterView) -> ClusterView:
        if view.snapshot is None:
            return view
        groups = tuple(
            attrs.evolve(group, replicas=tuple(_mixed(group.replicas, self._random))) for group in view.snapshot.groups
        )
        snapshot = attrs.evolve(
            view.snapshot,
            groups=tuple(_mixed(groups, self._random)),
            nodes=tuple(_mixed(view.snapshot.nodes, self._random)),
        )
        return attrs.evolve(view, snapshot=snapshot)

    @contextmanager
    def _watch(self, step: Step) -> Iterator[None]:
        before, decided = self.truth(), self.decided
        assert decided is not None
        try:
            yield
        finally:
            after = self.truth()
            self.wrong.extend(quota_broken(self.fleet, before, after))
            self.wrong.extend(floor_broken(decided, step, before, after))
            self.wrong.extend(last_proven_deleted(decided, step, before))
            inside = frozenset(name for name, spec in self.fleet.clusters.items() if spec.reach is Reach.NONE)
            self.wrong.extend(cut_off(step, before, after, self._graces, self.clock.now(), inside=inside))


def _temper(able: Capabilities) -> tempers.Temper:
    """Return how a cluster behaves that can do this."""
    plain = tempers.DIRECTED if able.is_directed else tempers.NATIVE
    return attrs.evolve(plain, able=able)


def _is_trying(known: DeploymentMemory, before: DeploymentMemory | None) -> bool:
    """Return whether a deadline comes closer at which something else will be wanted."""
    tried = {key: group.trying_ms for key, group in before.groups.items()} if before is not None else {}
    return any(group.trying_ms > tried.get(key, 0) for key, group in known.groups.items())


def _is_counting(known: ClusterMemory) -> bool:
    """Return whether something will happen as time passes: a cluster is trusted again, or counts as full."""
    return known.waiting_ms is not None or 0 < (known.room_ms or 0) < STOOD.ms


def _with_addresses(fleet: Fleet) -> Fleet:
    return attrs.evolve(fleet, addresses=assigned(fleet, fleet.addresses).addresses)


def _mixed(things: Iterable[T], random: Random) -> list[T]:
    mixed = list(things)
    random.shuffle(mixed)
    return mixed


def _shuffled_fleet(fleet: Fleet, random: Random) -> Fleet:
    return attrs.evolve(
        fleet,
        clusters=dict(_mixed(fleet.clusters.items(), random)),
        deployments=dict(_mixed(fleet.deployments.items(), random)),
        quotas=dict(_mixed(fleet.quotas.items(), random)),
    )
