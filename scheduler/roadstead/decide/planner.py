"""``plan``: the whole scheduler as one pure function.

The order within a plan: what failed before is counted, then deployment after deployment, by priority and name: how many
are wanted, how many on which cluster, how many of which revision, which node for which slot, and last the quota gate. A
deployment that is as it should be is passed over after a few comparisons of numbers that its shard keeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from types import MappingProxyType

import attrs

from roadstead.decide import back_off, passing, settling
from roadstead.decide.case import Case
from roadstead.decide.claims import with_those_in_force
from roadstead.decide.course import course
from roadstead.decide.destinations import destinations
from roadstead.decide.ledger import Ledger
from roadstead.decide.rollout import floor_of
from roadstead.decide.scaling import Numbers, is_removed
from roadstead.decide.settling import Settlers
from roadstead.decide.steering import steered
from roadstead.mappings import with_changes
from roadstead.memory import DeploymentMemory, PlanMemory, place
from roadstead.model import ClusterState, Deployment, Fleet, Reloading, RolloutSpec, Strategy, Target
from roadstead.plans import Held, Plan, Step, Table
from roadstead.reasons import Change, ChangeKind, Reason, ReasonCode
from roadstead.spi.policies import PlacementPolicy, ScalingPolicy
from roadstead.world import Group, Listed, Shard, Unreachable, World, listed

__all__ = ["plan"]

_GOING = RolloutSpec(strategy=Strategy.RECREATE, history=0)
_NO_SCALERS: Mapping[str, ScalingPolicy] = MappingProxyType({})


def plan(  # noqa: PLR0913  # whatever a decision may depend on is an argument
    fleet: Fleet,
    world: World,
    memory: PlanMemory,
    now: int,
    policies: Mapping[str, PlacementPolicy],
    *,
    scalers: Mapping[str, ScalingPolicy] = _NO_SCALERS,
    only: frozenset[str] | None = None,
) -> Plan:
    """Return what to do about the difference between ``fleet`` and ``world``, and the memory to keep.

    ``now`` is in milliseconds since the epoch; only differences matter, clamped to two turns. ``policies`` are the
    placement policies that the fleet may name, ``scalers`` the scaling policies. With ``only``, the plan is about these
    deployments: its steps are those that the full plan has for them, as long as nobody else competes for the same room
    in this turn.
    """
    longest = 2 * fleet.daemon.turn.ms
    memory = back_off.counted(memory, world.outcomes, now, longest)
    numbers = Numbers(fleet, world, memory, now, scalers)
    memory = with_those_in_force(memory, world, numbers.foreseen)
    turn = _Turn(fleet, world, memory, now, policies, numbers)
    for name in _order(fleet, world, world.settled, only):
        turn.visit(name)
    turn.forget_what_is_gone()
    if only is None:
        turn.visit_places()
    return turn.result()


def _order(fleet: Fleet, world: World, settlers: Settlers, only: frozenset[str] | None) -> Iterable[str]:
    """Return the names to visit: by priority, highest first, then by name; what nobody declares any more comes last."""
    declared = fleet.deployments
    there: Iterable[str] = chain(world.shards, *settlers.values())
    if only is None:
        return (*fleet.order, *sorted({name for name in there if name not in declared}))
    first = sorted(only & declared.keys(), key=lambda name: (-declared[name].priority, name))
    others = {name for name in only if name not in declared}
    return (*first, *sorted(others.intersection(there) if others else ()))


def _usable(fleet: Fleet, world: World) -> frozenset[str]:
    """Return the clusters that are in use, and are not known to be silent."""
    return frozenset(
        name
        for name, spec in fleet.clusters.items()
        if spec.state is ClusterState.ACTIVE and not isinstance(world.clusters.get(name), Unreachable)
    )


def _has_reloaded(group: Group, target: Target, shard: Shard) -> bool:
    """Return whether every replica serves the version that the file wants, and none may serve another."""
    stored = (group.template.model.wanted, group.reloading) == (target.template.model.wanted, Reloading())
    return stored and all(member.is_current for member in shard.members)


class _Turn:
    """One call of ``plan``: collects what each deployment's course adds."""

    def __init__(
        self,
        fleet: Fleet,
        world: World,
        memory: PlanMemory,
        now: int,
        policies: Mapping[str, PlacementPolicy],
        numbers: Numbers,
    ) -> None:
        self.fleet = fleet
        self.world = world
        self.memory = memory
        self.now = now
        self.policies = policies
        self.numbers = numbers
        self.ledger = Ledger(fleet, world, memory)
        self.steps: list[Step] = []
        self.held: list[Held] = []
        self.endpoints: dict[str, tuple[Listed, ...]] = {}
        self.draining: dict[str, tuple[Listed, ...]] = {}
        self.has_gateways = bool(world.data_path.via)
        self.wanted: dict[str, int] = {}
        self.floor: dict[str, int] = {}
        self.unsettled: set[str] = set()
        self.spread: dict[str, Mapping[str, int]] = {}
        self.changed: dict[str, DeploymentMemory | None] = {}
        self.claims = dict(memory.claims)
        self.usable = _usable(fleet, world)

    def visit(self, name: str) -> None:
        shard = self.world.shards.get(name) or Shard(deployment=name)
        declared = self.fleet.deployments.get(name)
        going = is_removed(self.fleet, name)
        if declared is None and not going:
            self._leave_alone(name, shard)
            return
        is_steered = name in self.fleet.intents.steered
        if declared is not None and is_steered:
            declared = steered(self.fleet, declared)
        if self.has_gateways:
            self.held.extend(passing.of_route(self.world, name))
        count = 0 if going or declared is None else self.numbers.of(declared, shard, self.held)
        self.wanted[name] = count
        spec = _GOING if going or declared is None else declared.rollout
        self.floor[name] = floor_of(count, spec)
        if declared is not None and not going and not is_steered and self._is_settled(declared, shard, count):
            self.endpoints[name] = shard.listed
            return
        self.unsettled.add(name)
        self._decide(name, declared, shard, count, spec, going=going)

    def _leave_alone(self, name: str, shard: Shard) -> None:
        """Keep serving what vanished from the file, untouched, until somebody confirms that it is to go."""
        if not shard.groups:
            left = settling.left_over(name, self.world, self.memory)
            self.steps.extend(left.steps)
            self.held.extend(left.held)
            if left.steps or left.held:
                self.unsettled.add(name)
            self._forget(name)
            return
        known = self.memory.deployments.get(name)
        if known is not None and (known.leaving or known.unready):
            # All that is ready is listed again: whoever leaves after that has all of its grace.
            self.changed[name] = DeploymentMemory(at=known.at, groups=known.groups)
        serving = [member for member in shard.members if member.ready or member.is_unheard]
        self._list(name, listed(serving), passing.draining(shard.members, serving))
        reason = Reason(
            code=ReasonCode.ORPHANED,
            detail=f"{name} is no longer in the fleet file and is left as it is",
            change=Change(
                ChangeKind.FIX_INPUT, f"`roadstead delete {name}` takes it down; declaring it again keeps it"
            ),
        )
        self.held.append(Held(deployment=name, cluster="", reason=reason))

    def _is_settled(self, declared: Deployment, shard: Shard, count: int) -> bool:
        """Return whether all is as it should be, in a handful of comparisons."""
        if (
            not shard.is_calm
            or not count == shard.target == len(shard.members)
            or len(shard.groups) > 1 + declared.rollout.history
            or declared.name in self.world.over
            or declared.name in self.memory.claims
        ):
            return False
        known = self.memory.deployments.get(declared.name)
        where = destinations(self.fleet, declared).targets
        target = where[0]
        if (
            known is None
            or known.is_underway
            or target.cluster not in self.usable
            or (target.weight is not None and len(where) > 1)
        ):
            return False
        group = shard.group(target.cluster, target.revision)
        learnt = known.groups.get(place(target.cluster, group.key)) if group is not None else None
        if group is None or learnt is None or group.owner != declared.owner:
            return False
        return (
            count == group.target == len(group.replicas)
            and (learnt.proven or not count)
            and (group.reloading is None or _has_reloaded(group, target, shard))
            and settling.is_at_rest(self.world.settled, shard, count, declared.rollout)
        )

    def _decide(
        self, name: str, declared: Deployment | None, shard: Shard, count: int, spec: RolloutSpec, *, going: bool
    ) -> None:
        taken = course(
            Case(
                name=name,
                fleet=self.fleet,
                world=self.world,
                memory=self.memory,
                declared=declared,
                shard=shard,
                wanted=count,
                spec=spec,
                going=going,
                now=self.now,
            ),
            self.ledger,
            self.policies,
        )
        self.steps.extend(taken.steps)
        self.held.extend(taken.held)
        if taken.listed or taken.draining or declared is not None:
            self._list(name, taken.listed, taken.draining)
        if taken.spread:
            self.spread[name] = taken.spread
        self.claims.pop(name, None)
        if taken.claims:
            self.claims[name] = taken.claims
        if taken.memory is None:
            self._forget(name)
        elif taken.memory != self.memory.deployments.get(name):
            self.changed[name] = taken.memory

    def _forget(self, name: str) -> None:
        self.numbers.forget(name)
        if name in self.memory.deployments:
            self.changed[name] = None

    def forget_what_is_gone(self) -> None:
        """Remember nothing of what nobody declares and no cluster has: it may be declared again, and is new then.

        As long as there is no more to remember than is declared, nobody looks.
        """
        remembered = self.memory.deployments
        if len(remembered) > len(self.fleet.deployments) and not self.ledger.unseen:
            for name in remembered.keys() - self.fleet.deployments.keys() - self.world.shards.keys():
                self._forget(name)

    def _list(self, name: str, entries: tuple[Listed, ...], draining: tuple[Listed, ...]) -> None:
        self.endpoints[name] = entries
        if draining:
            self.draining[name] = draining

    def visit_places(self) -> None:
        """Say which clusters nothing can be decided about, and what is wrong with gateways."""
        for cluster, view in sorted(self.world.clusters.items()):
            if isinstance(view, Unreachable):
                reason = Reason(code=ReasonCode.UNREACHABLE, detail=f"{cluster} does not answer", raw=view.error)
                self.held.append(Held(deployment="", cluster=cluster, reason=reason))
        self.held.extend(passing.of_gateways(self.world))

    def result(self) -> Plan:
        return Plan(
            steps=tuple(self.steps),
            held=tuple(self.held),
            table=Table(MappingProxyType(self.endpoints), MappingProxyType(self.draining)),
            memory=attrs.evolve(
                self.memory,
                turn=self.memory.turn + 1,
                deployments=with_changes(self.memory.deployments, self.changed),
                claims=self.memory.claims if self.claims == self.memory.claims else MappingProxyType(self.claims),
                back_off=back_off.waited_for(self.memory, self.world, self.steps),
                scaling=self.numbers.memory,
            ),
            wanted=MappingProxyType(self.wanted),
            floor=MappingProxyType(self.floor),
            unsettled=frozenset(self.unsettled),
            spread=MappingProxyType(self.spread),
            scaled=tuple(self.numbers.decisions),
        )
